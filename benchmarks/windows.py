"""Times popularity windows over generated days: one day, a range of days, and simpler ways.

Every way runs in a process of its own over the same days. `--help` tells the options.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from measuring import Cost, in_fresh_process
from report import machine, markdown_table
from window_days import LAST_DAY, UsageSize, day_writer

from dbminer_dagster.engines.polars import PolarsEngine
from dbminer_dagster.mining.popularity import popularity_of
from dbminer_dagster.mining.window_usage import reference_totals, window_usages
from dbminer_dagster.schemas import DAILY_USAGE, POPULARITY_SCORES, QUERY_REFERENCES
from dbminer_dagster.spool import open_spool
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window

BOTH = ("table", "column")
USES = ("select", "cached")
WHOLE = "tables and columns"
INTRODUCTION = """# Benchmark of popularity windows

Written by `benchmarks/windows.py`; do not edit.

Days are generated, and no pair of template and user comes twice in a window. Each way ran once, in
a process of its own, on files in the page cache, to rows of `popularity_scores` on local disk.
Seconds leave out imports; peaks include them. Ratios are those of processor time a day to one day
of tables and columns."""
HEADER = ("way", "scored days", "assets", "s a day", "CPU s a day", "peak MB", "ratio")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to score some days, and what it took."""

    name: str
    days: int
    assets: int
    cost: Cost

    @property
    def cpu_seconds_a_day(self) -> float:
        """Processor time of a scored day."""
        return self.cost.cpu_seconds / self.days


def main() -> None:
    """Reads the command line, measures, prints, and writes where that is wanted."""
    options = _options()
    tables = [_measured(options, audience) for audience in options.audience]
    report = "\n\n".join((INTRODUCTION, f"Machine: {machine()}", *tables))
    print(report)
    if options.write:
        options.write.write_text(report + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Times popularity windows over generated days.")
    parser.add_argument("--statements", type=int, default=1_000_000, help="a day")
    parser.add_argument("--templates", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument(
        "--audience", type=int, nargs="+", default=[4, 20], help="users of a template on a day"
    )
    parser.add_argument("--window-days", type=int, default=30)
    parser.add_argument("--range-days", type=int, default=10, help="days scored in one run")
    parser.add_argument("--write", type=Path, help="a Markdown file for the results")
    return parser.parse_args()


def _measured(options: argparse.Namespace, audience: int) -> str:
    """All ways over days in which a template has so many users."""
    size = UsageSize(options.statements, options.templates, options.users, options.tables, audience)
    wanted = options.window_days + options.range_days - 1
    with tempfile.TemporaryDirectory(prefix="dbminer-windows-") as folder:
        print(f"Writing {wanted} days.", file=sys.stderr)
        rows, _ = in_fresh_process(day_writer, Path(folder), size, wanted)
        ways = _ways(folder, options.window_days, options.range_days)
    return _table(ways, rows // wanted, size)


def _ways(folder: str, window_days: int, range_days: int) -> list[Way]:
    """Runs them one after the other."""
    a_few = max(1, range_days // 3)
    runs = [
        ("tables", sliding, 1, ("table",)),
        ("columns", sliding, 1, ("column",)),
        (WHOLE, sliding, 1, BOTH),
        (f"the same, range of {a_few} days", sliding, a_few, BOTH),
        (f"the same, range of {range_days} days", sliding, range_days, BOTH),
        (f"each of {a_few} days from its {window_days} days", day_by_day, a_few, BOTH),
        ("plain join of tables and users, without lists", exploded, 1, ("table",)),
    ]
    ways = []
    for name, prepare, days, asset_types in runs:
        assets, cost = in_fresh_process(prepare, folder, window_days, days, asset_types)
        ways.append(Way(name, days, assets, cost))
        print(f"{name}: {cost.seconds / days:.2f} s a day", file=sys.stderr)
    return ways


def _run(days: int) -> Window:
    return Window.trailing(LAST_DAY, days)


def sliding(
    folder: str, window_days: int, days: int, asset_types: tuple[str, ...]
) -> Callable[[], int]:
    """Scores a range of days as the asset does; what is returned counts the last day's assets."""
    return lambda: _scored(folder, window_days, _run(days), asset_types)


def day_by_day(
    folder: str, window_days: int, days: int, asset_types: tuple[str, ...]
) -> Callable[[], int]:
    """The same days, each read with its whole window."""
    each = [Window.of_day(day) for day in _run(days)]
    return lambda: [_scored(folder, window_days, one, asset_types) for one in each][-1]


def _scored(folder: str, window_days: int, run: Window, asset_types: tuple[str, ...]) -> int:
    engine, storage = PolarsEngine(), DeltaStorage(folder)
    read = run.extended_back(window_days - 1)
    usage = engine.scan(storage, DAILY_USAGE, read)
    references = engine.scan(storage, QUERY_REFERENCES, read)
    types = pl.LazyFrame(schema={"table_name": pl.String, "table_type": pl.String})
    with open_spool() as spool:
        for used in window_usages(engine, usage, references, run, window_days):
            totals = reference_totals(engine, used)
            for asset_type in asset_types:
                rows = popularity_of(engine, asset_type, used, totals, USES, types, window_days)
                for portion in rows:
                    spool.write(POPULARITY_SCORES.name, portion)
        scores = spool.scan(POPULARITY_SCORES.name, POPULARITY_SCORES.schema)
        return scores.filter(pl.col("day") == LAST_DAY).select(pl.len()).collect().item()


def exploded(
    folder: str, window_days: int, days: int, asset_types: tuple[str, ...]
) -> Callable[[], int]:
    """A row for each table, user and day, by name: what a first draft would do."""
    storage, window = DeltaStorage(folder), Window.trailing(LAST_DAY, window_days)
    del days, asset_types  # one day, tables alone: columns would need many times the memory
    usage = storage.scan(DAILY_USAGE, window)
    references = storage.scan(QUERY_REFERENCES, window)
    scores = (
        usage.join(references, on=["day", "reference_hash"])
        .select("user_name", "statement_count", table_name="tables_read")
        .explode("table_name")
        .group_by("table_name")
        .agg(user_count=pl.col("user_name").n_unique(), read_count=pl.col("statement_count").sum())
        .with_columns(popularity_score=pl.col("user_count") * pl.col("read_count").log())
    )
    return lambda: scores.collect(engine="streaming").height


def _table(ways: list[Way], rows_a_day: int, size: UsageSize) -> str:
    unit = next(way for way in ways if way.name == WHOLE).cpu_seconds_a_day
    cells = [
        [
            way.name,
            f"{way.days:,}",
            f"{way.assets:,}",
            f"{way.cost.seconds / way.days:,.2f}",
            f"{way.cpu_seconds_a_day:,.2f}",
            f"{way.cost.peak_mb:,.0f}",
            f"{way.cpu_seconds_a_day / unit:,.2f}",
        ]
        for way in ways
    ]
    return (
        f"## {rows_a_day:,} pairs of template and user a day\n\n"
        f"{size.statements:,} statements a day of {size.templates:,} templates, {size.users:,} "
        f"users and {size.tables:,} tables.\n\n{markdown_table(HEADER, cells)}"
    )


if __name__ == "__main__":
    main()
