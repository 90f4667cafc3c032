"""The inventory asset: the tables that the source has, to resolve names and paths against."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import polars as pl

from dbminer_dagster.assets.changes import changed_names, day_before
from dbminer_dagster.assets.common import table_asset
from dbminer_dagster.assets.day_writer import DayWriter
from dbminer_dagster.assets.guard import require_ready
from dbminer_dagster.assets.raw import GROUP
from dbminer_dagster.assets.sources import LINEAGE_SOURCE, POOLS
from dbminer_dagster.failures import user_errors
from dbminer_dagster.preflight.model import Source
from dbminer_dagster.resources.extractor import Extractor, Inventory
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import KNOWN_TABLES
from dbminer_dagster.settings import Settings
from dbminer_dagster.spool import open_spool
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window


def inventory_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The inventory asset for these settings."""

    @table_asset(
        KNOWN_TABLES,
        GROUP,
        settings,
        deps=[LINEAGE_SOURCE],
        pool=POOLS.get(settings.lineage_method),
    )
    def known_tables(
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        lineage_extractor: dg.ResourceParam[Extractor],
    ) -> dg.MaterializeResult:
        read_at = datetime.now(UTC)
        with user_errors(), open_spool() as spool:
            storage.tables.check_writable()
            require_ready(context, settings, Source.LINEAGE)
            inventory = lineage_extractor.inventory(read_at, spool)
            for note in inventory.notes:
                context.log.info(f"{KNOWN_TABLES.name}: {note}")
            writer = DayWriter.of(context, storage.tables, KNOWN_TABLES)
            counts = inventory.frame.select(
                tables=pl.len(),
                tables_with_path=pl.col("storage_path").count(),
                columns=pl.col("columns").list.len().sum(),
            )
            figures = counts.collect(engine="streaming").row(0, named=True)
            for days in writer.chunks:
                rows = pl.concat([inventory.frame.with_columns(day=pl.lit(day)) for day in days])
                # A refusal is no snapshot: the one that a day may have stays.
                absent = frozenset() if inventory.is_readable else frozenset(days)
                frame = DayFrame(rows, absent, inventory.row_count * days.days)
                writer.store(days, frame, dict.fromkeys(days, figures))
            of_attempt = {
                "read_at": dg.MetadataValue.timestamp(read_at),
                "notes": dg.MetadataValue.md("\n".join(inventory.notes) or "(none)"),
            }
            page = _changes(storage.tables, inventory, writer.run) if inventory.is_readable else {}
            return writer.result(of_attempt, page)

    return [known_tables]


def _changes(storage: DeltaStorage, inventory: Inventory, run: Window) -> dict[str, Any]:
    """All days of a run hold the same snapshot: what came before is before its first."""
    before = day_before(storage, KNOWN_TABLES, run.start)
    return {"changes": changed_names(run.start, inventory.frame, before, "table_name")}
