"""The use of a window that slides over the days of a run, with numbers for hashes and names.

On one machine each day of a run of several is read and numbered once, and spooled; a window sums
the small frames of its days. So a scored day costs the same, however many there are.
"""

from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass, field

import narwhals as nw
import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.window_references import REFERENCE_SCHEMA, newest_rows, slid
from dbminer_dagster.windows import Window, of_days

SUMS = (
    "statement_count",
    "cached_statement_count",
    "total_duration_ms",
    "total_task_duration_ms",
    "read_bytes",
    "estimated_cost_micro_usd",
    "costed_count",
)
"""All are whole numbers. `costed_count` tells a cost of nothing from one that nobody knows."""


@dataclass(frozen=True, slots=True)
class WindowUsage:
    """What a window saw.

    Attributes:
        window: The window.
        pairs: Sums for each `reference` and `user`, spooled by the engine.
        references: The newest row of each reference, see `REFERENCE_SCHEMA`.
        users: The users' names, sorted; `user` is a place in it.
    """

    window: Window
    pairs: nw.LazyFrame
    references: pl.DataFrame
    users: pl.Series


def window_usages(
    engine: Engine, usage: nw.LazyFrame, references: nw.LazyFrame, run: Window, window_days: int
) -> Generator[WindowUsage]:
    """The windows that end on the days of a run, one after the other.

    Each holds until the next one is asked for.

    Args:
        engine: Runs the steps.
        usage: Rows of `daily_usage`, of all days of all windows.
        references: Rows of `query_references`, of the same.
        run: The last days of the windows.
        window_days: Length of a window.
    """
    names = engine.collect(usage.select("user_name").unique())["user_name"].sort()
    users = engine.frame(names.to_frame().with_row_index("user").cast({"user": pl.Int64}))
    seen = pl.DataFrame(schema=REFERENCE_SCHEMA)
    with ExitStack() as run_end:
        days = _SpooledDays(engine, run_end)
        for day in run:
            window = Window.trailing(day, window_days)
            fresh = window if day == run.start else Window.of_day(day)
            seen = slid(seen, newest_rows(engine, of_days(references, fresh)), window)
            numbers = engine.frame(seen.select("reference_hash", "reference"))
            if engine.has_workers or run.days == 1:
                # A cluster reads a window faster than it is told of the numbers of each day, and
                # nobody asks again for the days of a single window.
                rows = _paired(engine, of_days(usage, window), numbers, users, len(names))
            else:
                of_fresh = of_days(usage, fresh)
                days.add(fresh, _paired(engine, of_fresh, numbers, users, len(names)))
                rows = days.of(window)
            with engine.spooled(_summed(rows, len(names))) as pairs:
                yield WindowUsage(window, pairs, seen, names)


@dataclass
class _SpooledDays:
    """Numbered rows of the days of a window; what no window will ask for is given up."""

    engine: Engine
    run_end: ExitStack
    parts: list[tuple[Window, nw.LazyFrame, ExitStack]] = field(default_factory=list)

    def add(self, days: Window, rows: nw.LazyFrame) -> None:
        """Spools the rows of these days, which follow those that are there."""
        stack = self.run_end.enter_context(ExitStack())
        self.parts.append((days, stack.enter_context(self.engine.spooled(rows)), stack))

    def of(self, window: Window) -> nw.LazyFrame:
        """The rows of the window, which is not before the last one that was asked for."""
        while self.parts[0][0].last_day < window.start:
            self.parts.pop(0)[-1].close()
        return of_days(nw.concat([rows for _, rows, _ in self.parts]), window)


def _paired(
    engine: Engine, usage: nw.LazyFrame, numbers: nw.LazyFrame, users: nw.LazyFrame, user_count: int
) -> nw.LazyFrame:
    """Rows with `pair`: one number for reference and user, which groups faster than two."""
    pair = nw.col("reference") * user_count + nw.col("user")
    costed = (~nw.col("estimated_cost_micro_usd").is_null()).cast(nw.Int64)
    sums = [nw.col(name).fill_null(0).alias(name) for name in SUMS]
    numbered = engine.look_up(usage, numbers, ["reference_hash"])
    described = numbered.filter(~nw.col("reference").is_null())
    return (
        engine.look_up(described, users, ["user_name"])
        .with_columns(pair.alias("pair"), costed.alias("costed_count"))
        .select("day", "pair", *sums, "last_used_at")
    )


def _summed(rows: nw.LazyFrame, user_count: int) -> nw.LazyFrame:
    """The sums for each `reference` and `user`."""
    sums = rows.group_by("pair").agg(nw.col(*SUMS).sum(), nw.col("last_used_at").max())
    return split_key(sums, "pair", "reference", "user", user_count)


def split_key(
    rows: nw.LazyFrame, key: str, first: str, second: str, second_count: int
) -> nw.LazyFrame:
    """Undoes `first * second_count + second`, exactly on every engine."""
    return (
        rows.with_columns((nw.col(key) % second_count).alias(second))
        .with_columns(((nw.col(key) - nw.col(second)) / second_count).cast(nw.Int64).alias(first))
        .drop(key)
    )


def reference_totals(engine: Engine, used: WindowUsage) -> pl.DataFrame:
    """The sums of each reference over its users, and its last use."""
    return engine.collect(
        used.pairs.group_by("reference").agg(nw.col(*SUMS).sum(), nw.col("last_used_at").max())
    )
