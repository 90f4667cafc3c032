"""The popularity report on the terminal."""

from datetime import date
from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from dbminer_dagster.errors import StorageError
from dbminer_dagster.schemas import POPULARITY_SCORES, TABLE_LINEAGE
from dbminer_dagster.settings import Settings
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window

LISTED_NEIGHBOURS = 10
NAME_WIDTH = 44
"""Fits an 80-column terminal with all figures beside it."""


def print_report(settings: Settings, day: date | None, limit: int) -> None:
    """Prints the most popular tables of a day, and what surrounds the first of them.

    Raises:
        StorageError: There are no scores, or none of this day.
    """
    storage = DeltaStorage(settings.storage_uri, settings.s3_region, settings.s3_endpoint_url)
    scored = day or storage.newest_day(POPULARITY_SCORES)
    if scored is None:
        raise StorageError(
            f"{storage.table_uri(POPULARITY_SCORES.name)} holds no scores yet: run dbminer mine."
        )
    scores = storage.scan(POPULARITY_SCORES, Window.of_day(scored)).collect()
    tables = _first(scores, "table", limit)
    if tables.is_empty():
        raise StorageError(f"No table was scored on {scored}: mine that day, or name another one.")
    # Names may hold square brackets, which would count as markup.
    console = Console(markup=False)
    window = tables.select("window_start", "days_present", "days_wanted").row(0)
    console.print(
        f"\nMost popular tables, {window[0]} to {scored} ({window[1]} of {window[2]} days present)",
        style="bold",
    )
    console.print(_tables(tables))
    first = tables["table_name"][0]
    columns = _first(scores.filter(pl.col("table_name") == first), "column", limit)
    console.print(f"\nMost used columns of {first}", style="bold")
    console.print(_columns(columns))
    _print_dearest(
        console, first, tables["costly_queries"].head(1).explode().drop_nulls().to_list()
    )
    edges = storage.scan(TABLE_LINEAGE, Window.of_day(scored)).filter(status="active").collect()
    upstreams = edges.filter(pl.col("target_name") == first)["source_name"]
    downstreams = edges.filter(pl.col("source_name") == first)["target_name"]
    _print_names(console, f"Direct upstreams of {first}", upstreams)
    _print_names(console, f"Direct downstreams of {first}", downstreams)


def _print_names(console: Console, title: str, found: pl.Series) -> None:
    names = found.sort().to_list() or ["(no active edge)"]
    console.print(f"\n{title}", style="bold")
    for name in names[:LISTED_NEIGHBOURS]:
        console.print(f"  {name}", highlight=False)
    if len(names) > LISTED_NEIGHBOURS:
        console.print(f"  and {len(names) - LISTED_NEIGHBOURS} more")


def _print_dearest(console: Console, table: str, queries: list[dict[str, Any]]) -> None:
    console.print(f"\nDearest queries of {table}", style="bold")
    for query in queries:
        micro_usd = query["estimated_cost_micro_usd"]
        hours = f"{query['total_task_duration_ms'] / 3.6e6:,.2f} h"
        cost = hours if micro_usd is None else f"${micro_usd / 1e6:,.2f}"
        text = " ".join((query["statement_text"] or "(text unknown)").split())
        line = f"  {cost:>10} {query['read_count']:>9,} reads  {text}"
        console.print(Text(line), no_wrap=True, overflow="ellipsis")
    if not queries:
        console.print("  (no text is known)")


def _first(scores: pl.DataFrame, asset_type: str, limit: int) -> pl.DataFrame:
    return (
        scores.filter(pl.col("asset_type") == asset_type)
        .sort("popularity_score", "table_name", "column_name", descending=[True, False, False])
        .head(limit)
    )


def _tables(tables: pl.DataFrame) -> RichTable:
    shown = _frame("table", "score", "reads", "users", "writes", "level")
    for row in tables.iter_rows(named=True):
        shown.add_row(
            Text(row["table_name"]),
            f"{row['popularity_score']:,.1f}",
            f"{row['read_count']:,}",
            f"{row['user_count']:,}",
            f"{row['write_count']:,}",
            row["popularity_label"].removesuffix(" popular"),
        )
    return shown


def _columns(columns: pl.DataFrame) -> RichTable:
    shown = _frame("column", "score", "reads", "users")
    for row in columns.iter_rows(named=True):
        shown.add_row(
            Text(row["column_name"]),
            f"{row['popularity_score']:,.1f}",
            f"{row['read_count']:,}",
            f"{row['user_count']:,}",
        )
    return shown


def _frame(name: str, *figures: str) -> RichTable:
    shown = RichTable(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    shown.add_column(name, overflow="fold", min_width=NAME_WIDTH)
    for figure in figures:
        shown.add_column(figure, justify="right", no_wrap=True)
    return shown
