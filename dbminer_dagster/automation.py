"""Jobs and schedules."""

from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from dbminer_dagster.parse_cache import CACHE_TABLE
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import TABLES
from dbminer_dagster.settings import Settings
from dbminer_dagster.windows import Window

LINEAGE_ASSETS = ("raw_table_lineage", "raw_column_lineage", "table_lineage", "column_lineage")
USAGE_ASSETS = (
    "raw_query_history",
    "table_rebuilds",
    "filtered_queries",
    "query_references",
    "daily_usage",
    "popularity_scores",
)
DAYS_BY_CADENCE = {"weekly": 7, "monthly": 31}
"""Days that become minable between two ticks; one for every other cadence."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def jobs() -> list[Any]:
    """The jobs; the days of a run are those that its tags or the launch dialog name."""
    return [
        dg.define_asset_job(
            "mine_lineage_and_popularity",
            selection=dg.AssetSelection.assets(*LINEAGE_ASSETS, *USAGE_ASSETS),
            description="Mines lineage and query history, and scores popularity.",
        ),
        dg.define_asset_job(
            "mine_lineage",
            selection=dg.AssetSelection.assets(*LINEAGE_ASSETS),
            description="Mines lineage only.",
        ),
        maintain_tables,
    ]


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The schedules; both are stopped until somebody switches them on."""
    return [_mining_schedule(settings), _maintenance_schedule()]


def _mining_schedule(settings: Settings) -> dg.ScheduleDefinition:
    popularity = settings.calculate_popularity
    job_name = "mine_lineage_and_popularity" if popularity else "mine_lineage"
    newest_asset = dg.AssetKey("popularity_scores" if popularity else "table_lineage")

    @dg.schedule(
        name="mining_schedule",
        job_name=job_name,
        cron_schedule=settings.cron_schedule,
        execution_timezone="UTC",
        description="Mines every day that became minable since the newest mined one, in one run.",
    )
    def mining_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time
        running = context.instance.get_runs(
            dg.RunsFilter(job_name=job_name, statuses=UNFINISHED), limit=1
        )
        if running:
            return dg.SkipReason(f"Run {running[0].run_id} of {job_name} has not ended yet.")
        mined = context.instance.get_materialized_partitions(newest_asset)
        window = _due(settings, now, max(map(date.fromisoformat, mined), default=None))
        if window is None:
            newest = settings.newest_minable_day(now.date())
            return dg.SkipReason(f"Nothing became minable: {newest}, the newest day, is mined.")
        return dg.RunRequest(
            run_key=f"{window.start}..{window.last_day}@{now.isoformat()}",
            tags={
                "dagster/asset_partition_range_start": window.start.isoformat(),
                "dagster/asset_partition_range_end": window.last_day.isoformat(),
            },
        )

    return mining_schedule


def _due(settings: Settings, now: datetime, newest_mined: date | None) -> Window | None:
    """The days after the newest mined one, or what one period of the schedule makes minable."""
    newest = settings.newest_minable_day(now.date())
    first = newest - timedelta(days=DAYS_BY_CADENCE.get(settings.schedule, 1) - 1)
    if newest_mined is not None:
        first = newest_mined + timedelta(days=1)
    first = max(first, settings.start_date)
    return Window(first, newest + timedelta(days=1)) if first <= newest else None


@dg.op(description="Compacts the files of every result table and deletes what no version needs.")
def compact_and_vacuum(context: dg.OpExecutionContext, storage: StorageResource) -> None:
    """Maintains each table that exists; see `docs/decisions` for why and how often."""
    for name in (*TABLES, CACHE_TABLE):
        figures = storage.tables.maintain(name)
        if figures is not None:
            context.log.info(f"{name}: {figures}")


@dg.job(description="Compacts the result tables and deletes old files; run it weekly.")
def maintain_tables() -> None:
    """The job behind `maintenance_schedule`."""
    compact_and_vacuum()


def _maintenance_schedule() -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name="maintenance_schedule",
        job=maintain_tables,
        cron_schedule="0 3 * * 0",
        execution_timezone="UTC",
        description="Maintains the result tables every Sunday at 03:00 UTC.",
    )
