"""Raw assets: what the source tells of a day, in our columns and otherwise untouched."""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from dbminer_dagster.assets.common import table_asset, table_assets
from dbminer_dagster.assets.guard import require_ready
from dbminer_dagster.assets.raw_writer import store_days
from dbminer_dagster.assets.sources import LINEAGE_SOURCE, POOLS, QUERY_HISTORY_SOURCE
from dbminer_dagster.failures import user_errors
from dbminer_dagster.preflight.model import Source
from dbminer_dagster.resources.extractor import Extraction, Extractor
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import (
    RAW_COLUMN_LINEAGE,
    RAW_QUERY_HISTORY,
    RAW_TABLE_LINEAGE,
    TABLES,
)
from dbminer_dagster.settings import ExtractionMethod, Settings
from dbminer_dagster.spool import Spool
from dbminer_dagster.windows import Window

GROUP = "raw"

_NOTES = {
    ExtractionMethod.REST_API: "Over REST, lineage is a snapshot of the moment at which it is "
    "read: each edge counts on the day on which it was last seen. A backfill of an old day finds "
    "the edges that nobody has used since; it cannot know those that were seen again later, nor "
    "statements, users and numbers of events.",
}
"""What the rows of raw lineage can and cannot know by a method."""


def raw_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The raw assets for these settings."""

    @table_asset(
        RAW_QUERY_HISTORY,
        GROUP,
        settings,
        deps=[QUERY_HISTORY_SOURCE],
        pool=POOLS.get(settings.query_history_extraction_method),
    )
    def raw_query_history(
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        query_history_extractor: dg.ResourceParam[Extractor],
    ) -> Iterator[dg.MaterializeResult]:
        def read(window: Window, spool: Spool) -> dict[str, Extraction]:
            return {RAW_QUERY_HISTORY.name: query_history_extractor.query_history(window, spool)}

        with user_errors():
            storage.tables.check_writable()
            require_ready(context, settings, Source.QUERY_HISTORY)
            yield from store_days(
                context,
                storage.tables,
                [RAW_QUERY_HISTORY],
                read,
                by_days=query_history_extractor.reads_query_history_by_days,
            )

    @table_assets(
        (RAW_TABLE_LINEAGE, RAW_COLUMN_LINEAGE),
        GROUP,
        settings,
        _NOTES.get(settings.lineage_method, ""),
        deps=[LINEAGE_SOURCE],
        pool=POOLS.get(settings.lineage_method),
        can_subset=True,
    )
    def raw_lineage(
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        lineage_extractor: dg.ResourceParam[Extractor],
    ) -> Iterator[dg.MaterializeResult]:
        tables = [TABLES[key.path[-1]] for key in sorted(context.selected_asset_keys)]
        with user_errors():
            storage.tables.check_writable()
            require_ready(context, settings, Source.LINEAGE)
            yield from store_days(
                context,
                storage.tables,
                tables,
                partial(lineage_extractor.lineage, tables=tables),
                by_days=lineage_extractor.reads_lineage_by_days,
            )

    return [raw_query_history, raw_lineage]
