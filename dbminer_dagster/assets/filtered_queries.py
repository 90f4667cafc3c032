"""Which statements count as use, and the hash of each one's template."""

from collections.abc import Iterator
from datetime import date

import dagster as dg
import narwhals as nw
import polars as pl

from dbminer_dagster.assets.common import (
    absent_days,
    markdown_table,
    report_days,
    report_run,
    table_asset,
)
from dbminer_dagster.failures import user_errors
from dbminer_dagster.mining.costs import allocation, shared_hours
from dbminer_dagster.mining.filtered_statements import dropped_statements, filtered_statements
from dbminer_dagster.partitions import run_window
from dbminer_dagster.resources.engine import EngineResource
from dbminer_dagster.resources.mining_options import MiningOptions
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import FILTERED_QUERIES, RAW_QUERY_HISTORY
from dbminer_dagster.settings import Settings
from dbminer_dagster.storage import DayFrame
from dbminer_dagster.windows import Window

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
    ) -> Iterator[dg.Output]:
        window, runner = run_window(context), engine.engine
        excluded_users = mining_options.excluded_users
        with user_errors():
            absent = absent_days(storage, RAW_QUERY_HISTORY, window)
            dropped = dropped_statements(runner, raw_query_history, excluded_users)
            hours = shared_hours(runner, raw_query_history, warehouse_costs)
            figures = _filter_figures(window, dropped)
            for day, costs in allocation(hours).items():
                figures[day] |= costs
            report_days(context, figures, FILTERED_QUERIES)
            frames = [
                filtered_statements(runner, statements, excluded_users, hours)
                for statements in runner.slices(storage.tables, RAW_QUERY_HISTORY, window)
            ]
            kept = int(dropped.filter(pl.col("drop_reason").is_null())["rows"].sum())
            of_run = {
                "rows_in": int(dropped["rows"].sum()),
                "rows_kept": kept,
                "excluded_users": mining_options.shown_users,
                "dropped_by_reason": markdown_table(_by_reason(dropped)),
            }
            report_run(context, of_run, FILTERED_QUERIES)
            yield dg.Output(DayFrame([runner.stream(frame) for frame in frames], absent, kept))

    return filtered_queries


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
