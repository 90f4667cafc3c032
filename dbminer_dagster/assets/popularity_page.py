"""What the page of the scores shows of the last day: charts, and tables of what is popular."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from dbminer_dagster.assets.changes import changed_names, day_before
from dbminer_dagster.assets.common import bars_table, markdown_table
from dbminer_dagster.charts import as_markdown, bar_chart, line_chart, shortened
from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.reasons import shown as without_literals
from dbminer_dagster.mining.window_costs import (
    costliest,
    costly_templates,
    costly_users,
    top_readers,
)
from dbminer_dagster.mining.window_usage import WindowUsage
from dbminer_dagster.schemas import POPULARITY_SCORES
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window

LISTED_TABLES = 20
CHARTED_TABLES = 15
LISTED_COSTS = 10
LISTED_USERS = 10
LISTED_MOVERS = 8
MOVER_CHARACTERS = 20
TEXT_CHARACTERS = 100
SHOWN = (
    "table_name",
    "table_type",
    "popularity_score",
    "popularity_label",
    "read_count",
    "user_count",
    "last_read_by",
)
COSTS = ("total_task_duration_ms", "read_bytes", "estimated_cost_micro_usd")


def page(
    engine: Engine,
    storage: DeltaStorage,
    used: WindowUsage,
    totals: pl.DataFrame,
    reads: Sequence[tuple[date, int]],
) -> dict[str, Any]:
    """Metadata of the last day of a window, whose scores are stored.

    Args:
        engine: Runs the steps.
        storage: Holds the scores.
        used: The window.
        totals: See `reference_totals`.
        reads: Reads of each day of the window.
    """
    day = used.window.last_day
    is_table = pl.col("asset_type") == "table"
    scores = storage.scan(POPULARITY_SCORES, Window.of_day(day))
    before = day_before(storage, POPULARITY_SCORES, day)
    tables = scores.filter(is_table)
    tables_before = None if before is None else before.filter(is_table)
    shown = tables.select(*SHOWN, *COSTS).collect()
    top = shown.select(SHOWN).sort("popularity_score", "table_name", descending=[True, False])
    bars = list(top.head(CHARTED_TABLES).select("table_name", "popularity_score").iter_rows())
    bar = bar_chart(bars, f"Most popular tables on {day}")
    line = line_chart(reads, f"Reads per day, {used.window}")
    templates = costly_templates(totals, used.references, LISTED_COSTS)
    readers = top_readers(engine, used, LISTED_USERS)
    by_cost = shown.select("table_name", "read_count", *COSTS)
    return {
        "changes": changed_names(day, tables, tables_before, "table_name"),
        "movers": markdown_table(movers(tables, tables_before)),
        "levels": _levels(scores),
        "top_users": bars_table([(user, count, f"{count:,}") for user, count in readers], "user"),
        "top_tables": markdown_table(top.head(LISTED_TABLES).to_dicts()),
        "popularity_chart": dg.MetadataValue.md(as_markdown(bar, "most popular tables")),
        "reads_per_day": dg.MetadataValue.md(as_markdown(line, "reads per day")),
        "costly_tables": _cost_table(costliest(by_cost, "table_name", LISTED_COSTS)),
        "costly_queries": _cost_table(
            templates.with_columns(
                # Everybody who opens the page sees it: literals are masked.
                pl.col("statement_text")
                .map_elements(without_literals, return_dtype=pl.String)
                .str.head(TEXT_CHARACTERS)
            )
        ),
        "costly_users": _cost_table(costly_users(engine, used, LISTED_COSTS)),
    }


def _levels(scores: pl.LazyFrame) -> dg.MarkdownMetadataValue:
    """How many tables and columns have each level."""
    is_table = pl.col("asset_type") == "table"
    counted = (
        scores.group_by("popularity_level", "popularity_label")
        .agg(tables=is_table.sum(), columns=(~is_table).sum())
        .sort("popularity_level", descending=True)
        .select(level="popularity_label", tables="tables", columns="columns")
    )
    return markdown_table(counted.collect().to_dicts())


def movers(tables: pl.LazyFrame, before: pl.LazyFrame | None) -> list[dict[str, Any]]:
    """The tables whose rank among all changed most against the day before."""
    if before is None:
        return []
    ranked = [
        rows.select(
            "table_name",
            rank=pl.col("popularity_score").rank("min", descending=True).cast(pl.Int64),
        )
        for rows in (tables, before)
    ]
    moved = (
        ranked[0]
        .join(ranked[1], on="table_name", suffix="_before")
        .with_columns(change=pl.col("rank_before") - pl.col("rank"))
        .filter(pl.col("change") != 0)
        .sort(pl.col("change").abs(), "table_name", descending=[True, False])
        .head(LISTED_MOVERS)
        .select("table_name", "rank", "change")
        .collect()
    )
    return [
        {"table": shortened(name, MOVER_CHARACTERS), "rank": rank, "change": f"{change:+}"}
        for name, rank, change in moved.iter_rows()
    ]


def _cost_table(rows: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """In dollars, hours and gigabytes, which people can read."""
    return markdown_table(
        rows.with_columns(
            estimated_cost_usd=pl.col("estimated_cost_micro_usd") / 1e6,
            task_hours=pl.col("total_task_duration_ms") / 3.6e6,
            gigabytes_read=pl.col("read_bytes") / 1e9,
        )
        .drop(COSTS)
        .to_dicts()
    )
