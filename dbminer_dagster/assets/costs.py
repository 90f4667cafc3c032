"""The asset of what SQL warehouses cost, which makes estimates of what statements cost."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from dbminer_dagster.assets.common import table_asset
from dbminer_dagster.assets.day_writer import DayWriter
from dbminer_dagster.assets.guard import require_ready
from dbminer_dagster.assets.raw import GROUP
from dbminer_dagster.assets.sources import POOLS, QUERY_HISTORY_SOURCE
from dbminer_dagster.failures import user_errors
from dbminer_dagster.preflight.model import Source
from dbminer_dagster.resources.extractor import Costs, Extractor
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import WAREHOUSE_COSTS
from dbminer_dagster.settings import Settings
from dbminer_dagster.spool import open_spool
from dbminer_dagster.storage import DayFrame
from dbminer_dagster.windows import Window


def warehouse_costs_asset(settings: Settings) -> dg.AssetsDefinition:
    """The asset `warehouse_costs` for these settings."""

    @table_asset(
        WAREHOUSE_COSTS,
        GROUP,
        settings,
        deps=[QUERY_HISTORY_SOURCE],
        pool=POOLS.get(settings.query_history_extraction_method),
    )
    def warehouse_costs(
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        query_history_extractor: dg.ResourceParam[Extractor],
    ) -> dg.MaterializeResult:
        with user_errors():
            storage.tables.check_writable()
            require_ready(context, settings, Source.QUERY_HISTORY)
            writer = DayWriter.of(context, storage.tables, WAREHOUSE_COSTS)
            notes = dict[str, None]()
            for days in writer.chunks:
                with open_spool() as spool:
                    costs = query_history_extractor.costs(days, spool)
                    if costs.is_refused and costs.note not in notes:
                        context.log.warning(f"{WAREHOUSE_COSTS.name}: {costs.note}")
                    # A refusal says nothing of a day: what an earlier run may have read stays.
                    absent = frozenset(days) if costs.is_refused else frozenset()
                    rows = DayFrame(costs.frame, absent, costs.row_count)
                    writer.store(days, rows, _figures(costs, days))
                    notes[costs.note] = None
            told = "\n\n".join(_markdown(note) for note in notes)
            return writer.result({"notes": dg.MetadataValue.md(told)})

    return warehouse_costs


def _figures(costs: Costs, window: Window) -> dict[date, dict[str, Any]]:
    """What is known of each day."""
    sums = costs.frame.group_by("day").agg(
        warehouses=pl.struct("workspace_id", "warehouse_id").n_unique(),
        list_cost_usd=pl.col("list_cost_micro_usd").sum() / 1_000_000,
    )
    by_day = {row.pop("day"): row for row in sums.collect().to_dicts()}
    return {
        day: {
            "billing_known": costs.is_known,
            "unpriced_records": costs.unpriced_records.get(day, 0),
            **by_day.get(day, {"warehouses": 0, "list_cost_usd": 0.0}),
        }
        for day in window
    }


def _markdown(note: str) -> str:
    """The note with its statements, which stand one a line, in a block that can be copied."""
    text, *statements = note.splitlines() or ["(none)"]
    block = "".join(f"{statement}\n" for statement in statements)
    return f"{text}\n\n```sql\n{block}```" if statements else text
