"""The comparison with other tools as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from report import markdown_table

HEADER = (
    "tool",
    "statements",
    "CPU s",
    "statements per CPU s",
    "dbminer is faster by",
    "whole workload, CPU s",
    "right tables",
    "gave up",
)


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a tool read some statements, and how well.

    Attributes:
        title: Of the tool.
        statements: How many it read.
        cpu_seconds: Processor time for them.
        right_share: Share of the judged texts of which it found just the tables that are read.
        failures: Texts of which it found nothing to say.
    """

    title: str
    statements: int
    cpu_seconds: float
    right_share: float | None = None
    failures: int | None = None

    @property
    def per_cpu_second(self) -> float:
        """Statements in a second of processor time."""
        return self.statements / self.cpu_seconds


@dataclass(frozen=True, slots=True)
class Comparison:
    """All tools on one workload.

    Attributes:
        name: Of the workload.
        statements: Statements that count as use, all of which dbminer read.
        templates: Their distinct templates.
        judged: Texts of the sample of which lineage tells the tables.
        rates: dbminer first.
    """

    name: str
    statements: int
    templates: int
    judged: int
    rates: Sequence[Rate]


def as_markdown(comparisons: Sequence[Comparison], described: str, picture: str | None) -> str:
    """The whole report.

    Args:
        comparisons: One for each workload.
        described: The machine.
        picture: Address of the chart, if there is one.
    """
    sample = comparisons[0].rates[1].statements
    parts = [
        "# Against other tools",
        "Written by `make bench`; do not edit.",
        f"Machine: {described}",
        "dbminer runs its stages `filtered queries` and `usage` over all statements, with no "
        "template known and no lineage to spare it a text: filter, template hashes, parsing in "
        "worker processes, columns, name resolution, counts, checks and storage, all of it. "
        f"The others get {sample:,} of the same statements in the same run, in groups of 100 that "
        "began one after the other, in one process, imports left out: only what finds the tables "
        "of a text. Their figures for the whole workload are **extrapolated from that sample**. "
        "DataHub's `sqlglot_lineage` is called as its own usage extraction calls it, without "
        "schemas of the tables, and once more without columns; sqllineage with the dialect that "
        "fits best and with the one that is fastest, which it calls deprecated.",
        "*Right tables* are just the tables that the generator's lineage names for the statement, "
        "where it names some; a name may lack a catalog or schema that the session adds.",
    ]
    if picture:
        parts.append(f"![Statements per second of processor time]({picture})")
    for comparison in comparisons:
        parts += _section(comparison)
    return "\n\n".join(parts)


def _section(comparison: Comparison) -> list[str]:
    ours = comparison.rates[0].per_cpu_second
    rows = [_cells(rate, ours, comparison.statements) for rate in comparison.rates]
    return [
        f"## Workload {comparison.name}",
        f"{comparison.statements:,} statements that count as use, {comparison.templates:,} "
        f"templates; {comparison.judged:,} texts of the sample are judged by lineage.",
        markdown_table(HEADER, rows),
    ]


def _cells(rate: Rate, ours: float, statements: int) -> list[str]:
    whole = statements / rate.per_cpu_second
    is_sample = rate.statements != statements
    return [
        rate.title,
        f"{rate.statements:,}",
        f"{rate.cpu_seconds:,.1f}",
        f"{rate.per_cpu_second:,.0f}",
        f"{ours / rate.per_cpu_second:,.1f} x",
        f"{whole:,.0f}" + (" (extrapolated)" if is_sample else ""),
        "" if rate.right_share is None else f"{rate.right_share:.1%}",
        "" if rate.failures is None else f"{rate.failures:,}",
    ]
