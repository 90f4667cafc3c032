"""Usage assets: which statements count, what they used, and how often."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import dagster as dg
import narwhals as nw
import polars as pl

from dbminer_dagster.assets.common import (
    absent_days,
    markdown_table,
    of_run,
    report_days,
    table_asset,
    table_assets,
    total,
)
from dbminer_dagster.failures import user_errors
from dbminer_dagster.mining.attribution import Attribution, Evidence, attribute
from dbminer_dagster.mining.filters import with_drop_reason
from dbminer_dagster.mining.inventory import known_names
from dbminer_dagster.mining.lineage import day_tables
from dbminer_dagster.mining.paths import PathResolver, path_ends, with_tables
from dbminer_dagster.mining.sessions import session_states
from dbminer_dagster.mining.templates import with_query_hash
from dbminer_dagster.mining.usage import ATTRIBUTION_ORDER, usage_of_day
from dbminer_dagster.parse_cache import ParseCache
from dbminer_dagster.partitions import run_window, trailing
from dbminer_dagster.resources.parser import ParserResource
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import (
    DAILY_USAGE,
    FILTERED_QUERIES,
    KNOWN_TABLES,
    QUERY_REFERENCES,
    RAW_QUERY_HISTORY,
    RAW_TABLE_LINEAGE,
)
from dbminer_dagster.settings import Settings
from dbminer_dagster.spool import Spool, open_spool
from dbminer_dagster.storage import DayFrame
from dbminer_dagster.windows import Window

GROUP = "usage"
BATCH_ROWS = 30_000
LISTED_NAMES = 20
WAYS = (*ATTRIBUTION_ORDER, "unattributed")
STATEMENT_COLUMNS = (
    "workspace_id",
    "statement_id",
    "cache_origin_statement_id",
    "session_id",
    "user_id",
    "user_name",
    "start_time",
    "query_hash",
    "operation",
    "text_redacted",
    "total_duration_ms",
    "total_task_duration_ms",
    "read_bytes",
    "day",
)
"""What attribution and usage need of a statement; a day of them is held in memory."""
SHARE_DECIMALS = 6
NOT_SUMMED = {*(f"{name}_share" for name in WAYS), "lineage_mined"}
SESSION_DAYS = 2
"""A session, and the lineage of a cached result, may have begun the day before."""


def usage_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The usage assets for these settings."""
    return [_filtered_queries_asset(settings), _usage_asset(settings)]


def _filtered_queries_asset(settings: Settings) -> dg.AssetsDefinition:
    @table_asset(FILTERED_QUERIES, GROUP, settings)
    def filtered_queries(
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        raw_query_history: pl.LazyFrame,
    ) -> Iterator[dg.Output]:
        window = run_window(context)
        with user_errors(), open_spool() as spool:
            absent = absent_days(storage, RAW_QUERY_HISTORY, window)
            judged = with_drop_reason(nw.from_native(raw_query_history), settings.excluded_users)
            statements = judged.to_native()
            dropped = _dropped(statements)
            report_days(context, _filter_figures(window, dropped), FILTERED_QUERIES)
            _hash_kept(statements, spool)
            rows = spool.scan(FILTERED_QUERIES.name, FILTERED_QUERIES.schema)
            kept = int(dropped.filter(pl.col("drop_reason").is_null())["rows"].sum())
            yield dg.Output(
                DayFrame(rows, absent, kept),
                metadata=of_run(
                    {
                        "rows_in": int(dropped["rows"].sum()),
                        "rows_kept": kept,
                        "dropped_by_reason": markdown_table(_by_reason(dropped)),
                    }
                ),
            )

    return filtered_queries


def _usage_asset(settings: Settings) -> dg.AssetsDefinition:
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
        filtered_queries: pl.LazyFrame,
        raw_query_history: pl.LazyFrame,
        raw_column_lineage: pl.LazyFrame,
        raw_table_lineage: pl.LazyFrame,
        inventory: pl.LazyFrame,
    ) -> Iterator[dg.Output]:
        window = run_window(context)
        with user_errors(), open_spool() as spool:
            absent = absent_days(storage, FILTERED_QUERIES, window)
            without_lineage = absent_days(storage, RAW_TABLE_LINEAGE, window)
            cache = parser.cache()
            known = day_tables(raw_table_lineage)
            recent = window.extended_back(SESSION_DAYS - 1).holds()
            paths = [
                path_ends(raw.filter(recent)) for raw in (raw_table_lineage, raw_column_lineage)
            ]
            resolver = PathResolver.of_run(pl.concat(paths), raw_table_lineage, inventory)
            figures, unresolved = {}, []
            for day in window:
                context.log.info(f"Attributing the statements of {day}.")
                pair = Window.trailing(day, SESSION_DAYS).holds()
                lineage_window = Window.trailing(day, lineage_days)
                tables = resolver.tables(lineage_window)
                evidence = Evidence(
                    table_lineage=with_tables(raw_table_lineage.filter(pair), tables),
                    column_lineage=with_tables(raw_column_lineage.filter(pair), tables),
                    session_states=session_states(raw_query_history.filter(pair)),
                    known_tables=known_names(known, inventory, lineage_window),
                    references_of=cache.references,
                    excluded_catalogs=settings.excluded_catalogs,
                )
                queries = filtered_queries.filter(Window.of_day(day).holds())
                attributed = _write_day(queries, evidence, day, spool)
                figures[day] = _coverage(attributed) | {"lineage_mined": day not in without_lineage}
                unresolved.append(attributed.unresolved)
            for table in (QUERY_REFERENCES, DAILY_USAGE):
                report_days(context, figures, table)
                rows = spool.scan(table.name, table.schema)
                count = rows.select(pl.len()).collect().item()
                yield dg.Output(
                    DayFrame(rows, absent, count),
                    output_name=table.name,
                    metadata=_run_metadata(figures, unresolved, cache),
                )

    return usage


def _run_metadata(
    figures: dict[date, dict[str, float]], unresolved: list[pl.DataFrame], cache: ParseCache
) -> dict[str, Any]:
    names = pl.concat(unresolved).group_by("name", "reason").sum()
    names = names.sort("statement_count", "name", descending=[True, False]).head(LISTED_NAMES)
    sums = {name: value for name, value in total(figures).items() if name not in NOT_SUMMED}
    return of_run(
        sums
        | {
            "templates_parsed": cache.parsed,
            "templates_from_cache": cache.found,
            "unresolved_names": markdown_table(names.to_dicts()),
        }
    )


def _dropped(statements: pl.LazyFrame) -> pl.DataFrame:
    return statements.group_by("day", "drop_reason").agg(rows=pl.len().cast(pl.Int64)).collect()


def _filter_figures(window: Window, dropped: pl.DataFrame) -> dict[date, dict[str, int]]:
    """For each day the rows in, the rows kept, and the rows dropped by each kind of reason."""
    figures: dict[date, dict[str, int]] = {day: {"rows_in": 0, "rows_kept": 0} for day in window}
    for day, reason, rows in dropped.iter_rows():
        name = "rows_kept" if reason is None else f"dropped_{reason.partition(':')[0]}"
        figures[day]["rows_in"] += rows
        figures[day][name] = figures[day].get(name, 0) + rows
    return figures


def _by_reason(dropped: pl.DataFrame) -> list[dict[str, str | int]]:
    return (
        dropped.drop_nulls("drop_reason")
        .group_by("drop_reason")
        .agg(pl.col("rows").sum())
        .sort("rows", "drop_reason", descending=[True, False])
        .to_dicts()
    )


def _hash_kept(statements: pl.LazyFrame, spool: Spool) -> None:
    """Writes the rows that count, with their hash; a few batches are in memory at a time."""
    kept = statements.filter(pl.col("drop_reason").is_null()).drop("drop_reason")

    def write(batch: pl.DataFrame) -> None:
        spool.write(
            FILTERED_QUERIES.name, with_query_hash(batch).select(FILTERED_QUERIES.schema.names())
        )

    with ThreadPoolExecutor(max_workers=2) as threads:
        pending = []
        for batch in kept.collect_batches(chunk_size=BATCH_ROWS, maintain_order=False):
            pending.append(threads.submit(write, batch))
            if len(pending) > 1:
                pending.pop(0).result()
        for task in pending:
            task.result()


def _write_day(queries: pl.LazyFrame, evidence: Evidence, day: date, spool: Spool) -> Attribution:
    # The least text is an example that does not depend on the order of the input.
    texts = (
        queries.drop_nulls("query_hash")
        .group_by("query_hash")
        .agg(pl.col("statement_text").min())
        .collect()
        .lazy()
    )
    statements = queries.select(STATEMENT_COLUMNS).collect()
    attributed = attribute(statements, texts, evidence)
    references, usage = usage_of_day(attributed, texts, day)
    spool.write(QUERY_REFERENCES.name, references)
    spool.write(DAILY_USAGE.name, usage)
    return attributed


def _coverage(attributed: Attribution) -> dict[str, int | float]:
    """Statements by attribution with their shares, and what was left out and why."""
    statements = attributed.statements.height
    counts = dict(attributed.counts)
    ways = {name: counts.pop(name) for name in WAYS}
    return {
        "statements": statements,
        **{f"{name}_statements": count for name, count in ways.items()},
        **{
            f"{name}_share": round(count / statements, SHARE_DECIMALS) if statements else 0.0
            for name, count in ways.items()
        },
        **counts,
    }
