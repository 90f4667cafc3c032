"""What the statements that count used, and how often."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import dagster as dg
import narwhals as nw
import polars as pl

from dbminer_dagster.assets.common import (
    absent_days,
    bars_table,
    markdown_table,
    table_assets,
    total,
)
from dbminer_dagster.assets.day_writer import DayWriter, chunks_left
from dbminer_dagster.day_usage import SESSION_DAYS, KnownNames, UsageRun
from dbminer_dagster.failures import user_errors
from dbminer_dagster.mining.attribution import WAYS
from dbminer_dagster.parse_cache import ParseCache
from dbminer_dagster.partitions import trailing
from dbminer_dagster.resources.engine import EngineResource
from dbminer_dagster.resources.mining_options import MiningOptions
from dbminer_dagster.resources.parser import ParserResource
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import (
    DAILY_USAGE,
    FILTERED_QUERIES,
    KNOWN_TABLES,
    QUERY_REFERENCES,
    RAW_TABLE_LINEAGE,
)
from dbminer_dagster.settings import Settings
from dbminer_dagster.spool import open_spool
from dbminer_dagster.storage import DayFrame
from dbminer_dagster.windows import Window

GROUP = "usage"
LISTED_REASONS = 20
NOT_SUMMED = {*(f"{name}_share" for name in WAYS), "lineage_mined"}


def usage_asset(settings: Settings) -> dg.AssetsDefinition:
    """The assets `query_references` and `daily_usage` for these settings."""
    lineage_days = settings.lineage_window_days

    @table_assets(
        (QUERY_REFERENCES, DAILY_USAGE),
        GROUP,
        settings,
        ins={
            "filtered_queries": dg.AssetIn(),
            "raw_query_history": dg.AssetIn(partition_mapping=trailing(SESSION_DAYS)),
            "raw_column_lineage": dg.AssetIn(partition_mapping=trailing(SESSION_DAYS)),
            "raw_table_lineage": dg.AssetIn(partition_mapping=trailing(lineage_days)),
            "inventory": dg.AssetIn(KNOWN_TABLES.name),
        },
    )
    def usage(  # noqa: PLR0917  # inputs are parameters, and Dagster wants no keyword-only ones
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        parser: ParserResource,
        engine: EngineResource,
        mining_options: MiningOptions,
        filtered_queries: nw.LazyFrame,
        raw_query_history: nw.LazyFrame,
        raw_column_lineage: nw.LazyFrame,
        raw_table_lineage: nw.LazyFrame,
        inventory: pl.LazyFrame,
    ) -> Iterator[dg.MaterializeResult]:
        with user_errors():
            tables = (QUERY_REFERENCES, DAILY_USAGE)
            writers = [DayWriter.of(context, storage.tables, table) for table in tables]
            chunks = chunks_left(writers)
            window = Window.spanning(chunks)
            without_lineage = absent_days(storage, RAW_TABLE_LINEAGE, window)
            run = UsageRun(
                engine.engine,
                settings.excluded_catalogs,
                mining_options.excluded_users,
                parser.cache(engine.engine, is_ignored=mining_options.ignore_cache),
                KnownNames.of_run(storage.tables, window, lineage_days, inventory),
                filtered_queries,
                raw_query_history,
                raw_table_lineage,
                raw_column_lineage,
            )
            figures, reasons = {}, []
            for days in chunks:
                with open_spool() as spool:
                    for day in days:
                        context.log.info(f"Attributing the statements of {day}.")
                        found = run.write_day(day, spool)
                        figures[day] = found.figures | {"lineage_mined": day not in without_lineage}
                        reasons.append(found.reasons)
                    absent = absent_days(storage, FILTERED_QUERIES, days)
                    of_chunk = {day: figures[day] for day in days}
                    for writer in writers:
                        rows = spool.scan(writer.table.name, writer.table.schema)
                        count = rows.select(pl.len()).collect().item()
                        writer.store(days, DayFrame(rows, absent, count), of_chunk)
            told = _of_attempt(figures, reasons, run.cache)
            told["excluded_users"] = mining_options.shown_users
            page = {"attribution": _attribution(figures[window.last_day])}
            for writer in writers:
                yield writer.result(told, page)

    return usage


def _attribution(figures: Mapping[str, float]) -> dg.MarkdownMetadataValue:
    """The statements of a day by the evidence of what they used."""
    shares = [(way, figures[f"{way}_share"]) for way in WAYS]
    return bars_table([(way, share, f"{share:.1%}") for way, share in shares], "evidence")


def _of_attempt(
    figures: dict[date, dict[str, float]], reasons: list[pl.DataFrame], cache: ParseCache
) -> dict[str, Any]:
    """Sums over the days, and what the texts left open most often."""
    listed = (
        pl.concat(reasons)
        .group_by("reason", "name")
        .agg(
            pl.col("statement_count").sum(),
            pl.col("example", "query_hash").sort_by("query_hash").first(),
        )
        .sort("statement_count", "reason", "name", descending=[True, False, False])
        .head(LISTED_REASONS)
    )
    sums = {name: value for name, value in total(figures).items() if name not in NOT_SUMMED}
    return {
        "totals": markdown_table([{"figure": name, "sum": value} for name, value in sums.items()]),
        "templates_parsed": cache.parsed,
        "templates_from_cache": cache.found,
        "unresolved": markdown_table(listed.to_dicts()),
    }
