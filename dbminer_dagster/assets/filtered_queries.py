"""Which statements count as use, and the hash of each one's template."""

from datetime import date
from typing import Any

import dagster as dg
import narwhals as nw
import polars as pl

from dbminer_dagster.assets.common import absent_days, markdown_table, table_asset
from dbminer_dagster.assets.day_writer import DayWriter
from dbminer_dagster.failures import user_errors
from dbminer_dagster.mining.costs import allocation, shared_hours
from dbminer_dagster.mining.filtered_statements import dropped_statements, filtered_statements
from dbminer_dagster.resources.engine import EngineResource
from dbminer_dagster.resources.mining_options import MiningOptions
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import FILTERED_QUERIES, RAW_QUERY_HISTORY
from dbminer_dagster.settings import Settings
from dbminer_dagster.storage import DayFrame
from dbminer_dagster.windows import Window, of_days

GROUP = "usage"


def filtered_queries_asset(settings: Settings) -> dg.AssetsDefinition:
    """The asset `filtered_queries` for these settings."""

    @table_asset(FILTERED_QUERIES, GROUP, settings)
    def filtered_queries(
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        engine: EngineResource,
        mining_options: MiningOptions,
        raw_query_history: nw.LazyFrame,
        warehouse_costs: nw.LazyFrame,
    ) -> dg.MaterializeResult:
        runner, users = engine.engine, mining_options.excluded_users
        with user_errors():
            writer = DayWriter.of(context, storage.tables, FILTERED_QUERIES)
            dropped = list[pl.DataFrame]()
            for days in writer.chunks:
                history = of_days(raw_query_history, days)
                dropped.append(dropped_statements(runner, history, users))
                hours = shared_hours(runner, history, of_days(warehouse_costs, days))
                figures = _filter_figures(days, dropped[-1])
                for day, costs in allocation(hours).items():
                    figures[day] |= costs
                frames = [
                    runner.stream(filtered_statements(runner, statements, users, hours))
                    for statements in runner.slices(storage.tables, RAW_QUERY_HISTORY, days)
                ]
                absent = absent_days(storage, RAW_QUERY_HISTORY, days)
                rows_kept = sum(told["rows_kept"] for told in figures.values())
                writer.store(days, DayFrame(frames, absent, rows_kept), figures)
            told = _of_attempt(pl.concat(dropped))
            return writer.result(told | {"excluded_users": mining_options.shown_users})

    return filtered_queries


def _filter_figures(window: Window, dropped: pl.DataFrame) -> dict[date, dict[str, int]]:
    """For each day the rows in, the rows kept, and the rows dropped by each kind of reason."""
    figures: dict[date, dict[str, int]] = {day: {"rows_in": 0, "rows_kept": 0} for day in window}
    for day, reason, rows in dropped.iter_rows():
        name = "rows_kept" if reason is None else f"dropped_{reason.partition(':')[0]}"
        figures[day]["rows_in"] += rows
        figures[day][name] = figures[day].get(name, 0) + rows
    return figures


def _of_attempt(dropped: pl.DataFrame) -> dict[str, Any]:
    """All rows, those that were kept, and the others by reason."""
    is_kept = pl.col("drop_reason").is_null()
    by_reason = (
        dropped.filter(~is_kept)
        .group_by("drop_reason")
        .agg(pl.col("rows").sum())
        .sort("rows", "drop_reason", descending=[True, False])
    )
    return {
        "rows_in": int(dropped["rows"].sum()),
        "rows_kept": int(dropped.filter(is_kept)["rows"].sum()),
        "dropped_by_reason": markdown_table(by_reason.to_dicts()),
    }
