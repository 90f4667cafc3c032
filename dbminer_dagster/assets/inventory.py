"""The inventory asset: the tables that the source has, to resolve names and paths against."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import polars as pl

from dbminer_dagster.assets.changes import changed_names, day_before
from dbminer_dagster.assets.common import report_days, report_run, table_asset
from dbminer_dagster.assets.guard import require_ready
from dbminer_dagster.assets.raw import GROUP
from dbminer_dagster.assets.sources import LINEAGE_SOURCE, POOLS
from dbminer_dagster.failures import user_errors
from dbminer_dagster.partitions import run_window
from dbminer_dagster.preflight.model import Source
from dbminer_dagster.resources.extractor import Extractor
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import KNOWN_TABLES
from dbminer_dagster.settings import Settings
from dbminer_dagster.spool import open_spool
from dbminer_dagster.storage import DayFrame
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
    ) -> Iterator[dg.Output]:
        window, read_at = run_window(context), datetime.now(UTC)
        with user_errors(), open_spool() as spool:
            storage.tables.check_writable()
            require_ready(context, settings, Source.LINEAGE)
            inventory = lineage_extractor.inventory(read_at, spool)
            for note in inventory.notes:
                context.log.info(f"{KNOWN_TABLES.name}: {note}")
            counts = inventory.frame.select(
                tables=pl.len(),
                tables_with_path=pl.col("storage_path").count(),
                columns=pl.col("columns").list.len().sum(),
            )
            figures = counts.collect(engine="streaming").row(0, named=True)
            report_days(context, dict.fromkeys(window, figures), KNOWN_TABLES)
            rows = pl.concat([inventory.frame.with_columns(day=pl.lit(day)) for day in window])
            if inventory.is_readable:
                # All days of a run hold the same snapshot: what came before is before its first.
                before = day_before(storage.tables, KNOWN_TABLES, rows, Window.of_day(window.start))
                changes = changed_names(window.start, inventory.frame, before, "table_name")
                report_days(context, {window.last_day: {"changes": changes}}, KNOWN_TABLES)
            # A refusal is no snapshot: the one that a day may have stays.
            absent = frozenset() if inventory.is_readable else frozenset(window)
            of_run = {
                "read_at": dg.MetadataValue.timestamp(read_at),
                "notes": dg.MetadataValue.md("\n".join(inventory.notes) or "(none)"),
            }
            report_run(context, of_run, KNOWN_TABLES)
            yield dg.Output(DayFrame(rows, absent, inventory.row_count * window.days))

    return [known_tables]
