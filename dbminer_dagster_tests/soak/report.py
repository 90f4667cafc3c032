"""What was seen in the month, as Markdown."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Self

from dbminer_dagster_tests.e2e.postgres import Postgres
from dbminer_dagster_tests.soak.memory import MemoryWatch
from dbminer_dagster_tests.soak.month import Blow, Tick

PROCESSES = ("code-server", "webserver", "daemon", "postgres")
PACKAGES = ("dagster", "dagster-postgres", "polars", "deltalake")


@dataclass(frozen=True, slots=True)
class Growth:
    """The state after a number of ticks.

    Attributes:
        ticks: How many.
        events: Rows of the event log.
        event_mb: Size of the event log, with its indexes.
        database_mb: Size of all of Dagster's database.
        held_mb: Memory by process, between two runs.
    """

    ticks: int
    events: int
    event_mb: float
    database_mb: float
    held_mb: Mapping[str, float]

    @classmethod
    def of(cls, ticks: int, postgres: Postgres, watch: MemoryWatch) -> Self:
        """The state now."""
        ((events, event_bytes, all_bytes),) = postgres.sql(
            "SELECT (SELECT count(*) FROM event_logs), pg_total_relation_size('event_logs'), "
            "pg_database_size(current_database())"
        )
        return cls(ticks, int(events), int(event_bytes) / 1e6, int(all_bytes) / 1e6, watch.now_mb())


def as_markdown(
    ticks: Sequence[Tick],
    growth: Sequence[Growth],
    peak_mb: Mapping[str, float],
    rows: Mapping[str, int],
    faults: tuple[int, int],
    seconds: float,
    max_runtime_s: int,
) -> str:
    """The report.

    Args:
        ticks: In their order.
        growth: The state from time to time; the first before the month.
        peak_mb: The most that each process held.
        rows: Rows of each result table.
        faults: Requests to the workspace that failed, and all.
        seconds: What the month took.
        max_runtime_s: Age at which a run of a lost host fails.
    """
    runs = Counter(status for tick in ticks for status in tick.runs)
    blows = Counter(tick.blow for tick in ticks)
    failed, asked = faults
    peaks = ", ".join(f"{name} {peak:.0f} MB" for name, peak in sorted(peak_mb.items()))
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    per_tick = (growth[-1].events - growth[0].events) / growth[-1].ticks
    kb_per_tick = (growth[-1].event_mb - growth[0].event_mb) * 1000 / growth[-1].ticks
    return f"""# Soak test

Written by `make soak`; do not edit.

{len(ticks)} ticks of `mining_schedule`, from one simulated morning to the next, were evaluated by
the code server at their own time. Each run went through the real queue and daemon, on PostgreSQL,
with the webserver up, over the workspace emulator. It took {seconds / 60:.0f} minutes.

{failed:,} of {asked:,} requests to the workspace failed. {blows[Blow.WORKER_KILLED]} run workers
were killed, and {blows[Blow.HOST_LOST]} with their code server, where `max_runtime_seconds` was
{max_runtime_s}. {runs["SUCCESS"]} runs succeeded, {runs["FAILURE"]} failed.
Dagster and the next ticks did all repairs.

In the end every day was present. All {len(rows)} result tables with {sum(rows.values()):,} rows
equalled those of one backfill without any fault; `read_at` of `known_tables` aside.

Machine: {platform.machine()}, {platform.system()}, Python {platform.python_version()}, {packages}.

## Growth of Dagster's database, and memory between two runs

Memory counts what processes share in parts. A tick adds {per_tick:.0f} events,
{kb_per_tick:.0f} KB.

{_growth_table(growth)}

Peaks: {peaks}; `runs` are all run workers together.

## Ticks

{_tick_table(ticks)}

## Failures that nobody caused

{_reasons(ticks)}
"""


def _reasons(ticks: Sequence[Tick]) -> str:
    found = [
        (f"{tick.at:%Y-%m-%d %H:%M}", reason.replace("|", "\\|"))
        for tick in ticks
        for reason in tick.reasons
    ]
    return _table(("tick", "what the run says"), found) if found else "None."


def _growth_table(growth: Sequence[Growth]) -> str:
    names = ("ticks", "events", "event log MB", "database MB", *(f"{p} MB" for p in PROCESSES))
    return _table(
        names,
        [
            (
                str(each.ticks),
                f"{each.events:,}",
                f"{each.event_mb:.1f}",
                f"{each.database_mb:.1f}",
                *(f"{each.held_mb.get(name, 0):.0f}" for name in PROCESSES),
            )
            for each in growth
        ],
    )


def _tick_table(ticks: Sequence[Tick]) -> str:
    return _table(
        ("tick", "days asked for, or why none", "what happened", "runs", "s"),
        [
            (
                f"{tick.at:%Y-%m-%d %H:%M}",
                tick.requested,
                tick.blow,
                ", ".join(tick.runs),
                f"{tick.seconds:.0f}",
            )
            for tick in ticks
        ],
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
