"""Lineage assets: edges as known at the end of each day, and the rebuilds that end them."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from dbminer_dagster.assets.common import (
    absent_days,
    report_days,
    table_asset,
)
from dbminer_dagster.assets.lineage_page import lineage_page
from dbminer_dagster.failures import user_errors
from dbminer_dagster.mining.inventory import known_names
from dbminer_dagster.mining.lineage import (
    ROW_KINDS,
    day_tables,
    edges,
    history_days,
    with_row_kind,
)
from dbminer_dagster.mining.paths import PathResolver, count_path_ends, path_ends, with_tables
from dbminer_dagster.mining.rebuilds import rebuilding_statements
from dbminer_dagster.mining.rebuilds import table_rebuilds as rebuilds_of_day
from dbminer_dagster.mining.sessions import session_states
from dbminer_dagster.partitions import run_window, trailing
from dbminer_dagster.resources.mining_options import MiningOptions
from dbminer_dagster.resources.parser import ParserResource
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import (
    COLUMN_LINEAGE,
    KNOWN_TABLES,
    RAW_COLUMN_LINEAGE,
    RAW_QUERY_HISTORY,
    RAW_TABLE_LINEAGE,
    TABLE_LINEAGE,
    TABLE_REBUILDS,
    Table,
)
from dbminer_dagster.settings import Settings
from dbminer_dagster.spool import open_spool
from dbminer_dagster.storage import DayFrame
from dbminer_dagster.windows import Window

GROUP = "lineage"
SESSION_DAYS = 2


def lineage_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The lineage assets for these settings."""
    return [
        _rebuilds_asset(settings),
        _edges_asset(settings, RAW_TABLE_LINEAGE, TABLE_LINEAGE),
        _edges_asset(settings, RAW_COLUMN_LINEAGE, COLUMN_LINEAGE),
    ]


def _rebuilds_asset(settings: Settings) -> dg.AssetsDefinition:
    @table_asset(
        TABLE_REBUILDS,
        GROUP,
        settings,
        ins={
            "raw_query_history": dg.AssetIn(partition_mapping=trailing(SESSION_DAYS)),
            "raw_table_lineage": dg.AssetIn(
                partition_mapping=trailing(settings.lineage_window_days)
            ),
            "inventory": dg.AssetIn(KNOWN_TABLES.name),
        },
    )
    def table_rebuilds(
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        parser: ParserResource,
        mining_options: MiningOptions,
        raw_query_history: pl.LazyFrame,
        raw_table_lineage: pl.LazyFrame,
        inventory: pl.LazyFrame,
    ) -> Iterator[dg.Output]:
        run = run_window(context)
        with user_errors(), open_spool() as spool:
            cache = parser.cache(is_ignored=mining_options.ignore_cache)
            known = day_tables(raw_table_lineage)
            figures = {}
            for day in run:
                of_day = Window.of_day(day).holds()
                window = Window.trailing(day, settings.lineage_window_days)
                history = raw_query_history.filter(Window.trailing(day, SESSION_DAYS).holds())
                found = rebuilds_of_day(
                    rebuilding_statements(history.filter(of_day)),
                    raw_table_lineage.filter(of_day),
                    session_states(history),
                    known_names(known, inventory, window),
                    cache.references,
                    settings.excluded_catalogs,
                    day,
                )
                spool.write(TABLE_REBUILDS.name, found)
                figures[day] = {"rebuilds": found.height}
            report_days(context, figures, TABLE_REBUILDS)
            rows = spool.scan(TABLE_REBUILDS.name, TABLE_REBUILDS.schema)
            count = sum(figure["rebuilds"] for figure in figures.values())
            yield dg.Output(DayFrame(rows, absent_days(storage, RAW_QUERY_HISTORY, run), count))

    return table_rebuilds


def _edges_asset(settings: Settings, raw_table: Table, table: Table) -> dg.AssetsDefinition:
    history = trailing(history_days(settings.lineage_window_days))
    # Tables and columns must find the same table at a path, so both ask table lineage.
    named = (
        {}
        if raw_table == RAW_TABLE_LINEAGE
        else {"raw_table_lineage": dg.AssetIn(partition_mapping=history)}
    )

    @table_asset(
        table,
        GROUP,
        settings,
        ins={
            "raw": dg.AssetIn(raw_table.name, partition_mapping=history),
            "table_rebuilds": dg.AssetIn(partition_mapping=history),
            "inventory": dg.AssetIn(KNOWN_TABLES.name),
            **named,
        },
    )
    def lineage_edges(
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        raw: pl.LazyFrame,
        table_rebuilds: pl.LazyFrame,
        inventory: pl.LazyFrame,
        **named: pl.LazyFrame,
    ) -> Iterator[dg.Output]:
        run = run_window(context)
        with user_errors(), open_spool() as spool:
            resolver = PathResolver.of_run(
                path_ends(raw), named.get("raw_table_lineage", raw), inventory
            )
            figures = {}
            for day in run:
                reach = Window.trailing(day, history_days(settings.lineage_window_days))
                tables = resolver.tables(reach)
                figures[day] = _figures(raw.filter(Window.of_day(day).holds()), tables)
                rows = edges(
                    table,
                    with_tables(raw.filter(reach.holds()), tables),
                    table_rebuilds.filter(reach.holds()),
                    Window.trailing(day, settings.lineage_window_days),
                )
                spool.write(table.name, rows)
            found = spool.scan(table.name, table.schema)
            for day, status, count in found.group_by("day", "status").len().collect().iter_rows():
                figures[day][f"{status}_edges"] = count
            report_days(
                context, {run.last_day: lineage_page(storage.tables, table, found, run)}, table
            )
            report_days(context, figures, table)
            yield dg.Output(
                DayFrame(
                    found,
                    absent_days(storage, raw_table, run),
                    found.select(pl.len()).collect().item(),
                )
            )

    return lineage_edges


def _figures(raw_of_day: pl.LazyFrame, tables: pl.DataFrame) -> dict[str, int]:
    """Raw rows of a day by kind, its ends that are paths by what they led to, and no edge yet."""
    rows = with_row_kind(with_tables(raw_of_day, tables))
    counted = rows.group_by("row_kind").len().collect()
    statuses = [f"{status}_edges" for status in ("active", "superseded", "expired")]
    return (
        dict.fromkeys((*ROW_KINDS, *statuses), 0)
        | dict(counted.iter_rows())
        | count_path_ends(path_ends(raw_of_day), tables)
    )
