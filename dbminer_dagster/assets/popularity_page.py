"""What the page of the scores shows of the last day: charts, and tables of what is popular."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from dbminer_dagster.assets.common import markdown_table
from dbminer_dagster.charts import as_markdown, bar_chart, line_chart
from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.reasons import shown as without_literals
from dbminer_dagster.mining.window_costs import costliest, costly_templates, costly_users
from dbminer_dagster.mining.window_usage import WindowUsage

LISTED_TABLES = 20
CHARTED_TABLES = 15
LISTED_COSTS = 10
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
    scores: pl.LazyFrame,
    used: WindowUsage,
    totals: pl.DataFrame,
    reads: Sequence[tuple[date, int]],
) -> dict[str, Any]:
    """Metadata of the last day of a window.

    Args:
        engine: Runs the steps.
        scores: Rows of `popularity_scores`.
        used: The window.
        totals: See `reference_totals`.
        reads: Reads of each day of the window.
    """
    day = used.window.last_day
    tables = scores.filter(pl.col("day") == day, pl.col("asset_type") == "table")
    shown = tables.select(*SHOWN, *COSTS).collect()
    top = shown.select(SHOWN).sort("popularity_score", "table_name", descending=[True, False])
    bars = list(top.head(CHARTED_TABLES).select("table_name", "popularity_score").iter_rows())
    bar = bar_chart(bars, f"Most popular tables on {day}")
    line = line_chart(reads, f"Reads per day, {used.window}")
    templates = costly_templates(totals, used.references, LISTED_COSTS)
    by_cost = shown.select("table_name", "read_count", *COSTS)
    return {
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
