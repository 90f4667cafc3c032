"""Jobs, and what they mine."""

from datetime import date
from typing import Any

import dagster as dg

from dbminer_dagster.assets.sources import SOURCE_ASSETS
from dbminer_dagster.extract_job import extract_offline_files
from dbminer_dagster.failures import user_errors
from dbminer_dagster.parse_cache import CACHE_TABLE
from dbminer_dagster.partitions import day_key
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.run_outcomes import RANGE_END, RANGE_START
from dbminer_dagster.schemas import (
    COLUMN_LINEAGE,
    POPULARITY_SCORES,
    TABLE_LINEAGE,
    TABLES,
    Table,
)
from dbminer_dagster.settings import Settings
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window

LINEAGE_ASSETS = (
    "raw_table_lineage",
    "raw_column_lineage",
    "known_tables",
    "table_lineage",
    "column_lineage",
)
USAGE_ASSETS = (
    "raw_query_history",
    "warehouse_costs",
    "table_rebuilds",
    "filtered_queries",
    "query_references",
    "daily_usage",
    "popularity_scores",
    "popularity_report",
)


def jobs() -> list[Any]:
    """The jobs; the days of a run are those that its tags or the launch dialog name."""
    lineage_checks, history_checks = (
        dg.AssetSelection.checks_for_assets(source.key) for source in SOURCE_ASSETS.values()
    )
    return [
        dg.define_asset_job(
            "mine_lineage_and_popularity",
            selection=dg.AssetSelection.assets(*LINEAGE_ASSETS, *USAGE_ASSETS)
            | lineage_checks
            | history_checks,
            description="Mines lineage and query history, and scores popularity.",
        ),
        dg.define_asset_job(
            "mine_lineage",
            selection=dg.AssetSelection.assets(*LINEAGE_ASSETS) | lineage_checks,
            description="Mines lineage only.",
        ),
        dg.define_asset_job(
            "preflight",
            selection=lineage_checks | history_checks,
            description="Asks the sources what is missing before a run, and what repairs it.",
        ),
        extract_offline_files,
        maintain_tables,
    ]


def mining_job(settings: Settings) -> str:
    """The job that mines what the settings ask for."""
    return "mine_lineage_and_popularity" if settings.calculate_popularity else "mine_lineage"


def last_tables(settings: Settings) -> list[Table]:
    """The tables that end the chains of that job: a day that all of them hold is mined."""
    lineage = [TABLE_LINEAGE, COLUMN_LINEAGE]
    return [POPULARITY_SCORES, *lineage] if settings.calculate_popularity else lineage


def mined_days(settings: Settings, storage: DeltaStorage, window: Window) -> frozenset[date]:
    """The days of the window that all of these tables hold."""
    held = [storage.days_present(table, window) for table in last_tables(settings)]
    return frozenset.intersection(*held)


def range_tags(window: Window) -> dict[str, str]:
    """The tags by which Dagster knows the days of a run."""
    return {
        RANGE_START: day_key(window.start),
        RANGE_END: day_key(window.last_day),
    }


@dg.op(description="Compacts the files of every result table and deletes what no version needs.")
def compact_and_vacuum(context: dg.OpExecutionContext, storage: StorageResource) -> None:
    """Maintains each table that exists; see `docs/decisions` for why and how often."""
    for name in (*TABLES, CACHE_TABLE):
        with user_errors():
            figures = storage.tables.maintain(name)
        if figures is not None:
            context.log.info(f"{name}: {figures}")


@dg.job(description="Compacts the result tables and deletes old files; run it weekly.")
def maintain_tables() -> None:
    """The job behind `maintenance_schedule`."""
    compact_and_vacuum()
