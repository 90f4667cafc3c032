"""The measured figures as Markdown."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from measuring import Cost
from stages import (
    COLD_STAGE,
    FILTER_STAGE,
    LINEAGE_STAGES,
    RAW_STAGES,
    WARM_STAGE,
    popularity_stage,
)

PACKAGES = ("polars", "deltalake", "dagster", "sqlglot", "msgspec", "narwhals")
STAGE_HEADER = ("stage", "rows in", "s", "rows/s", "CPU s", "peak MB", "biggest worker MB")
WAY_HEADER = ("way", "statements", "CPU s", "statements per CPU s", "ratio")


@dataclass(frozen=True, slots=True)
class Measured:
    """What some work took for so many rows."""

    name: str
    rows: int
    cost: Cost


@dataclass(frozen=True, slots=True)
class Results:
    """What was measured.

    Attributes:
        generated: The generator's counts.
        window_days: Days of the popularity window.
        stages: One entry for each stage.
        baseline: Parsing every statement of a sample.
    """

    generated: dict[str, int]
    window_days: int
    stages: Sequence[Measured]
    baseline: Measured

    def total(self, name: str, *stages: str) -> Measured:
        """Several stages as one, which takes the day's statements in."""
        costs = [self.stage(stage).cost for stage in stages]
        cost = Cost(
            sum(cost.seconds for cost in costs),
            sum(cost.cpu_seconds for cost in costs),
            max(cost.peak_mb for cost in costs),
            max(cost.worker_peak_mb for cost in costs),
        )
        return Measured(name, self.generated["statements"], cost)

    def stage(self, name: str) -> Measured:
        """The stage of this name."""
        return next(stage for stage in self.stages if stage.name == name)


def machine() -> str:
    """What the figures depend on, without anything that names the machine."""
    cores = os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    load = ", ".join(f"{mean:.1f}" for mean in os.getloadavg())
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"{cores} cores ({platform.machine()}), {memory:.0f} GB memory, {platform.system()}, "
        f"Python {platform.python_version()}, {packages}. "
        f"Load average over 1, 5 and 15 minutes at the end: {load}."
    )


def as_markdown(results: Results, described: str) -> str:
    """The whole report."""
    counted = results.generated
    length = counted["text_characters"] / counted["statements"]
    days = results.window_days
    return "\n\n".join(
        (
            "# Benchmark",
            "Written by `make bench`; do not edit.",
            f"One generated day: {counted['statements']:,} statements with texts of "
            f"{length:,.0f} characters on average, {counted['lineage_rows']:,} lineage rows. "
            f"The window of {days} days holds the same statements on each day, by other users.",
            f"Machine: {described}",
            "## Stages",
            "Each stage ran once, in a process of its own, on files in the page cache: the assets "
            "of the mining job with their checks. Seconds leave out the start of Python and the "
            "imports; peaks include them. The rows of the popularity stages are the stored pairs "
            "of reference and user of all days.",
            markdown_table(
                STAGE_HEADER, [_stage_cells(row) for row in (*results.stages, *_days(results))]
            ),
            "## Against plain sqlglot",
            _comparison(results),
            markdown_table(WAY_HEADER, _way_cells(results)),
        )
    )


def _days(results: Results) -> list[Measured]:
    """A whole day, when its templates are new and when they are known."""
    window = popularity_stage(results.window_days)
    others = [stage.name for stage in (*RAW_STAGES, FILTER_STAGE, *LINEAGE_STAGES, window)]
    return [
        results.total("**first day, all of it**", *others, COLD_STAGE.name),
        results.total("**later day, all of it**", *others, WARM_STAGE.name),
    ]


def _comparison(results: Results) -> str:
    sample, whole = results.baseline.rows, results.stage(COLD_STAGE.name).rows
    return (
        f"Plain sqlglot parsed a random sample of {sample:,} statements in one process, without a "
        f"cache; its figure for all {whole:,} that count is **extrapolated from that sample**. It "
        "lists the tables of each tree but CTE names, and does nothing else. dbminer's figures are "
        "measured on all of them and cover the stages `filtered queries` and `usage`: filter, "
        "template hashes, attribution by lineage and text, name resolution, columns, counts, "
        "checks and storage."
    )


def _way_cells(results: Results) -> list[list[str]]:
    sample = results.baseline
    whole = results.stage(COLD_STAGE.name).rows
    rate = sample.rows / sample.cost.cpu_seconds
    ways = [
        ("plain sqlglot, sample", sample.rows, sample.cost.cpu_seconds),
        ("plain sqlglot, extrapolated", whole, whole / rate),
    ]
    for name, stage in (("first day", COLD_STAGE), ("later day", WARM_STAGE)):
        total = results.total(name, FILTER_STAGE.name, stage.name)
        ways.append((f"dbminer, {name}", whole, total.cost.cpu_seconds))
    return [
        [name, f"{rows:,}", f"{cpu:,.1f}", f"{rows / cpu:,.0f}", f"{rows / cpu / rate:,.1f}"]
        for name, rows, cpu in ways
    ]


def _stage_cells(measured: Measured) -> list[str]:
    cost = measured.cost
    figures = (cost.cpu_seconds, cost.peak_mb, cost.worker_peak_mb)
    rate = measured.rows / cost.seconds
    cells = [f"{figure:,.{digits}f}" for figure, digits in zip(figures, (1, 0, 0), strict=True)]
    return [measured.name, f"{measured.rows:,}", f"{cost.seconds:,.1f}", f"{rate:,.0f}", *cells]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))
