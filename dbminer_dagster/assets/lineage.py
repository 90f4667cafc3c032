"""Lineage assets: edges as known at the end of each day, and the rebuilds that end them."""

from datetime import date

import dagster as dg
import polars as pl

from dbminer_dagster.assets.common import absent_days, table_asset
from dbminer_dagster.assets.day_writer import DayWriter
from dbminer_dagster.assets.lineage_page import lineage_page
from dbminer_dagster.failures import user_errors
from dbminer_dagster.mining.inventory import known_names
from dbminer_dagster.mining.lineage import (
    ROW_KINDS,
    day_tables,
    edges,
    has_both_ends,
    history_days,
    with_row_kind,
)
from dbminer_dagster.mining.paths import PathResolver, count_path_ends, path_ends, with_tables
from dbminer_dagster.mining.rebuilds import rebuilding_statements
from dbminer_dagster.mining.rebuilds import table_rebuilds as rebuilds_of_day
from dbminer_dagster.mining.sessions import session_states
from dbminer_dagster.partitions import trailing
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
from dbminer_dagster.spool import Spool, open_spool
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
    ) -> dg.MaterializeResult:
        with user_errors():
            writer = DayWriter.of(context, storage.tables, TABLE_REBUILDS)
            cache = parser.cache(is_ignored=mining_options.ignore_cache)
            known = day_tables(raw_table_lineage)

            def rebuilds_on(day: date) -> pl.DataFrame:
                of_day = Window.of_day(day).holds()
                window = Window.trailing(day, settings.lineage_window_days)
                history = raw_query_history.filter(Window.trailing(day, SESSION_DAYS).holds())
                return rebuilds_of_day(
                    rebuilding_statements(history.filter(of_day)),
                    raw_table_lineage.filter(of_day),
                    session_states(history),
                    known_names(known, inventory, window),
                    cache.references,
                    settings.excluded_catalogs,
                    day,
                )

            for days in writer.chunks:
                found = {day: rebuilds_on(day) for day in days}
                rows = pl.concat(found.values()).lazy()
                figures = {day: {"rebuilds": of_day.height} for day, of_day in found.items()}
                absent = absent_days(storage, RAW_QUERY_HISTORY, days)
                writer.store(days, DayFrame(rows, absent), figures)
            return writer.result({})

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
    ) -> dg.MaterializeResult:
        with user_errors():
            writer = DayWriter.of(context, storage.tables, table)
            resolver = PathResolver.of_run(
                path_ends(raw), named.get("raw_table_lineage", raw), inventory
            )

            def write_day(day: date, linked: pl.LazyFrame, spool: Spool) -> dict[str, int]:
                reach = Window.trailing(day, history_days(settings.lineage_window_days))
                tables = resolver.tables(reach)
                rows = edges(
                    table,
                    with_tables(linked.filter(reach.holds()), tables),
                    table_rebuilds.filter(reach.holds()),
                    Window.trailing(day, settings.lineage_window_days),
                )
                spool.write(table.name, rows)
                return _figures(raw.filter(Window.of_day(day).holds()), tables)

            for days in writer.chunks:
                with open_spool() as spool:
                    linked = raw.filter(has_both_ends())
                    if days.days > 1:
                        # Most rows are reads, without a target, which every day would read anew.
                        reach = days.extended_back(history_days(settings.lineage_window_days) - 1)
                        spool.write(raw_table.name, linked.filter(reach.holds()))
                        linked = spool.scan(raw_table.name, raw_table.schema)
                    figures = {day: write_day(day, linked, spool) for day in days}
                    found = spool.scan(table.name, table.schema)
                    counted = found.group_by("day", "status").len().collect()
                    for day, status, count in counted.iter_rows():
                        figures[day][f"{status}_edges"] = count
                    absent = absent_days(storage, raw_table, days)
                    writer.store(days, DayFrame(found, absent, int(counted["len"].sum())), figures)
            return writer.result({}, lineage_page(storage.tables, table, writer.run.last_day))

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
