"""Raw assets: what the source tells of a day, in our columns and otherwise untouched."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from dbminer_dagster.assets.common import (
    report_days,
    report_run,
    table_asset,
    table_assets,
)
from dbminer_dagster.assets.guard import require_ready
from dbminer_dagster.assets.raw_page import raw_page
from dbminer_dagster.assets.sources import LINEAGE_SOURCE, POOLS, QUERY_HISTORY_SOURCE
from dbminer_dagster.failures import user_errors
from dbminer_dagster.partitions import run_window
from dbminer_dagster.preflight.model import Source
from dbminer_dagster.resources.extractor import Extraction, Extractor
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import (
    RAW_COLUMN_LINEAGE,
    RAW_QUERY_HISTORY,
    RAW_TABLE_LINEAGE,
    TABLES,
    Table,
)
from dbminer_dagster.settings import ExtractionMethod, Settings
from dbminer_dagster.spool import open_spool
from dbminer_dagster.storage import DayFrame
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
    ) -> Iterator[dg.Output]:
        window = run_window(context)
        with user_errors(), open_spool() as spool:
            storage.tables.check_writable()
            require_ready(context, settings, Source.QUERY_HISTORY)
            extraction = query_history_extractor.query_history(window, spool)
            yield _output(context, RAW_QUERY_HISTORY, window, extraction)

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
    ) -> Iterator[dg.Output]:
        window = run_window(context)
        tables = [TABLES[key.path[-1]] for key in sorted(context.selected_asset_keys)]
        with user_errors(), open_spool() as spool:
            storage.tables.check_writable()
            require_ready(context, settings, Source.LINEAGE)
            for name, extraction in lineage_extractor.lineage(window, spool, tables).items():
                yield _output(context, TABLES[name], window, extraction)

    return [raw_query_history, raw_lineage]


def _output(
    context: dg.AssetExecutionContext, table: Table, window: Window, extraction: Extraction
) -> dg.Output:
    absent = extraction.absent_days(window)
    rows = dict(extraction.frame.group_by("day").len().collect().iter_rows())
    figures = {day: {"rows": rows.get(day, 0), "covered": day not in absent} for day in window}
    report_days(context, figures, table)
    newest = extraction.frame.filter(pl.col("day") == window.last_day)
    report_days(context, {window.last_day: raw_page(table, newest)}, table)
    for day in sorted(absent):
        context.log.warning(f"{table.name}: the source does not cover {day}; it stays missing.")
    notes = {
        name: dg.MetadataValue.md("\n".join(f"- {line}" for line in lines))
        for name, lines in extraction.notes.items()
    }
    covered = " to ".join(map(str, extraction.covered)) if extraction.covered else "nothing"
    report_run(context, {**extraction.counts, **notes, "source_covers": covered}, table)
    return dg.Output(
        DayFrame(extraction.frame, absent, extraction.row_count),
        output_name=table.name if len(context.assets_def.keys) > 1 else "result",
    )
