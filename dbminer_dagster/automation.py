"""Jobs and schedules."""

from datetime import UTC, date, timedelta
from typing import Any

import dagster as dg

from dbminer_dagster.assets.sources import SOURCE_ASSETS
from dbminer_dagster.extract_job import extract_offline_files
from dbminer_dagster.failures import user_errors
from dbminer_dagster.parse_cache import CACHE_TABLE
from dbminer_dagster.partitions import day_key
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import COLUMN_LINEAGE, POPULARITY_SCORES, TABLES, Table
from dbminer_dagster.settings import Settings
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
)
DAYS_BY_CADENCE = {"weekly": 7, "monthly": 31}
"""Days that become minable between two ticks; one for every other cadence."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


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


def range_tags(window: Window) -> dict[str, str]:
    """The tags by which Dagster knows the days of a run."""
    return {
        "dagster/asset_partition_range_start": day_key(window.start),
        "dagster/asset_partition_range_end": day_key(window.last_day),
    }


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The schedules; both are stopped until somebody switches them on."""
    return [_mining_schedule(settings), _maintenance_schedule()]


def _mining_schedule(settings: Settings) -> dg.ScheduleDefinition:
    job_name = mining_job(settings)
    last_table = POPULARITY_SCORES if settings.calculate_popularity else COLUMN_LINEAGE

    @dg.schedule(
        name="mining_schedule",
        job_name=job_name,
        cron_schedule=settings.cron_schedule,
        execution_timezone="UTC",
        description="Mines every day that became minable since the newest mined one, and the last "
        "`DBMINER_LAG_DAYS` days before them once more for rows that came late, in one run.",
    )
    def mining_schedule(
        context: dg.ScheduleEvaluationContext, storage: StorageResource
    ) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time.astimezone(UTC)
        running = context.instance.get_runs(
            dg.RunsFilter(job_name=job_name, statuses=UNFINISHED), limit=1
        )
        if running:
            return dg.SkipReason(f"Run {running[0].run_id} of {job_name} has not ended yet.")
        mined = _mined_days(settings, storage, last_table, now.date())
        window = _due(settings, now.date(), mined)
        if isinstance(window, str):
            return dg.SkipReason(window)
        return dg.RunRequest(
            # The time makes the days of a failed run due again at the next tick.
            run_key=f"{window.start}..{window.last_day}@{now.isoformat()}",
            tags=range_tags(window),
        )

    return mining_schedule


def _mined_days(
    settings: Settings, storage: StorageResource, table: Table, today: date
) -> frozenset[date]:
    """The minable days that the tables hold.

    Dagster also calls days materialised that the source did not cover; the tables know better.
    """
    newest = settings.newest_minable_day(today)
    if newest < settings.start_date:
        return frozenset()
    with user_errors():
        minable = Window(settings.start_date, newest + timedelta(days=1))
        return storage.tables.days_present(table, minable)


def _due(settings: Settings, today: date, mined: frozenset[date]) -> Window | str:
    """The days after the newest mined one with the late days before them, or why there are none.

    Before anything is mined, these are the days that one period of the schedule makes minable.
    """
    newest = settings.newest_minable_day(today)
    if newest < settings.start_date:
        return (
            f"Nothing is minable yet: DBMINER_START_DATE is {settings.start_date}, and with "
            f"DBMINER_LAG_DAYS={settings.lag_days} the newest minable day is {newest}."
        )
    if newest in mined:
        return f"Nothing became minable: {newest}, the newest minable day, is mined."
    if mined:
        # Sources fill up late: what they gave after a day was mined is read with its re-read.
        first = min(mined.intersection(Window.trailing(max(mined), settings.lag_days)))
    else:
        first = newest - timedelta(days=DAYS_BY_CADENCE.get(settings.schedule, 1) - 1)
    return Window(max(first, settings.start_date), newest + timedelta(days=1))


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


def _maintenance_schedule() -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name="maintenance_schedule",
        job=maintain_tables,
        cron_schedule="0 3 * * 0",
        execution_timezone="UTC",
        description="Maintains the result tables every Sunday at 03:00 UTC.",
    )
