"""Popularity of tables and columns, day by day over a trailing window."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from dbminer_dagster.assets.common import (
    absent_days,
    markdown_table,
    report_days,
    table_asset,
)
from dbminer_dagster.charts import as_markdown, bar_chart, line_chart
from dbminer_dagster.failures import user_errors
from dbminer_dagster.mining.inventory import table_types
from dbminer_dagster.mining.lineage import known_tables
from dbminer_dagster.mining.popularity import example_texts, popularity_of
from dbminer_dagster.mining.window_usage import window_usage
from dbminer_dagster.partitions import run_window, trailing
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import DAILY_USAGE, KNOWN_TABLES, POPULARITY_SCORES
from dbminer_dagster.settings import Settings
from dbminer_dagster.spool import Spool, open_spool
from dbminer_dagster.storage import DayFrame
from dbminer_dagster.windows import Window

GROUP = "popularity"
LISTED_TABLES = 20
CHARTED_TABLES = 15


def popularity_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The popularity asset for these settings."""
    window_days = settings.popularity_window_days
    usage_window = dg.AssetIn(partition_mapping=trailing(window_days))

    @table_asset(
        POPULARITY_SCORES,
        GROUP,
        settings,
        ins={
            "daily_usage": usage_window,
            "query_references": usage_window,
            "raw_table_lineage": dg.AssetIn(
                partition_mapping=trailing(settings.lineage_window_days)
            ),
            "inventory": dg.AssetIn(KNOWN_TABLES.name),
        },
    )
    def popularity_scores(
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        daily_usage: pl.LazyFrame,
        query_references: pl.LazyFrame,
        raw_table_lineage: pl.LazyFrame,
        inventory: pl.LazyFrame,
    ) -> Iterator[dg.Output]:
        run = run_window(context)
        with user_errors(), open_spool() as spool:
            known = known_tables(raw_table_lineage).collect()
            present = storage.tables.days_present(DAILY_USAGE, run.extended_back(window_days - 1))
            figures = {}
            for day in run:
                window = Window.trailing(day, window_days)
                lineage_window = Window.trailing(day, settings.lineage_window_days)
                days_present = len(present & frozenset(window))
                context.log.info(f"Scoring {window}: {days_present} of {window.days} days present.")
                _write_day(
                    spool,
                    usage=daily_usage.filter(window.holds()),
                    references=query_references.filter(window.holds()),
                    table_types=table_types(known, inventory, lineage_window),
                    window=window,
                    days_present=days_present,
                )
                figures[day] = {
                    "days_present": days_present,
                    "days_wanted": window.days,
                    "tables_scored": 0,
                    "columns_scored": 0,
                }
            scores = spool.scan(POPULARITY_SCORES.name, POPULARITY_SCORES.schema)
            for day, counted in _counts(scores).items():
                figures[day] |= counted
            report_days(context, figures, POPULARITY_SCORES)
            charts = _charts(scores, daily_usage, query_references, run.last_day, window_days)
            report_days(context, {run.last_day: charts}, POPULARITY_SCORES)
            yield dg.Output(
                DayFrame(
                    scores,
                    absent_days(storage, DAILY_USAGE, run),
                    scores.select(pl.len()).collect().item(),
                )
            )

    return [popularity_scores]


def _write_day(
    spool: Spool,
    *,
    usage: pl.LazyFrame,
    references: pl.LazyFrame,
    table_types: pl.LazyFrame,
    window: Window,
    days_present: int,
) -> None:
    name = f"used-{window.last_day}"
    used = window_usage(usage, references)
    spool.write(name, used.pairs)
    used = replace(used, pairs=spool.scan(name, used.pairs.collect_schema()))
    texts = example_texts(references).collect().lazy()
    for asset_type in ("table", "column"):
        rows = popularity_of(asset_type, used, texts, table_types, window, days_present)
        spool.write(POPULARITY_SCORES.name, rows)


def _counts(scores: pl.LazyFrame) -> dict[Any, dict[str, int]]:
    counted = scores.group_by("day").agg(
        tables_scored=(pl.col("asset_type") == "table").sum(),
        columns_scored=(pl.col("asset_type") == "column").sum(),
    )
    return {row.pop("day"): row for row in counted.collect().to_dicts()}


def _charts(
    scores: pl.LazyFrame,
    usage: pl.LazyFrame,
    references: pl.LazyFrame,
    day: date,
    window_days: int,
) -> dict[str, Any]:
    """What people look at: the most popular tables of a day, and the reads up to it."""
    top = (
        scores.filter(pl.col("day") == day, pl.col("asset_type") == "table")
        .sort("popularity_score", "table_name", descending=[True, False])
        .head(LISTED_TABLES)
        .select(
            "table_name",
            "table_type",
            "popularity_score",
            "popularity_label",
            "read_count",
            "user_count",
            "last_read_by",
        )
        .collect()
    )
    bars = list(top.head(CHARTED_TABLES).select("table_name", "popularity_score").iter_rows())
    window = Window.trailing(day, window_days)
    reads = (
        usage.filter(window.holds())
        .join(
            references.filter(pl.col("operation") == "read").select("day", "reference_hash"),
            on=["day", "reference_hash"],
        )
        .group_by("day")
        .agg(pl.col("statement_count").sum())
        .sort("day")
        .collect()
    )
    bar = bar_chart(bars, f"Most popular tables on {day}")
    line = line_chart(list(reads.iter_rows()), f"Reads per day, {window}")
    return {
        "top_tables": markdown_table(top.to_dicts()),
        "popularity_chart": dg.MetadataValue.md(as_markdown(bar, "most popular tables")),
        "reads_per_day": dg.MetadataValue.md(as_markdown(line, "reads per day")),
    }
