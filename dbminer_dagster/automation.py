"""Jobs and schedules."""

import dagster as dg

from dbminer_dagster.settings import Settings

LINEAGE_ASSETS = ("raw_table_lineage", "raw_column_lineage", "table_lineage", "column_lineage")
USAGE_ASSETS = (
    "raw_query_history",
    "table_rebuilds",
    "filtered_queries",
    "query_references",
    "daily_usage",
    "popularity_scores",
)


def jobs(settings: Settings) -> list:
    """The jobs."""
    del settings
    return [
        dg.define_asset_job(
            "mine_lineage_and_popularity",
            selection=dg.AssetSelection.assets(*LINEAGE_ASSETS, *USAGE_ASSETS),
            description="Mines lineage, query history and usage, and scores popularity.",
        ),
        dg.define_asset_job(
            "mine_lineage",
            selection=dg.AssetSelection.assets(*LINEAGE_ASSETS),
            description="Mines lineage only.",
        ),
    ]


def schedules(settings: Settings) -> list:
    """The schedules."""
    del settings
    return []
