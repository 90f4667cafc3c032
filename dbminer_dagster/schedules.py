"""When the jobs run by themselves, and for which days."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from typing import Any

import dagster as dg

from dbminer_dagster.automation import (
    last_tables,
    maintain_tables,
    mined_days,
    mining_job,
    range_tags,
)
from dbminer_dagster.cadence import period_days
from dbminer_dagster.due_days import Progress, Rules, due
from dbminer_dagster.extract_job import extract_offline_files, extraction_of
from dbminer_dagster.failures import user_errors
from dbminer_dagster.redaction import known_secrets, redacted
from dbminer_dagster.resources.offline import (
    LINEAGE_FOLDER,
    QUERY_HISTORY_FOLDER,
    TABLES_FOLDER,
)
from dbminer_dagster.resources.offline.files import Location, locate
from dbminer_dagster.resources.offline.manifest import Manifest, manifest_among
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.run_outcomes import days_of, faults, last_failed_run, unfinished_run
from dbminer_dagster.settings import Settings
from dbminer_dagster.source_retention import oldest_day, oldest_statements
from dbminer_dagster.windows import Window

EXTRACTED_FOLDERS = (QUERY_HISTORY_FOLDER, LINEAGE_FOLDER, TABLES_FOLDER)
AFTER_FAILURE_TAG = "dbminer/after_failed_run"
"""On a run: the run of the job before it, which failed."""


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The schedules; all are stopped until somebody switches them on."""
    return [_mining_schedule(settings), _extraction_schedule(settings), _maintenance_schedule()]


def _mining_schedule(settings: Settings) -> dg.ScheduleDefinition:
    job_name = mining_job(settings)

    @dg.schedule(
        name="mining_schedule",
        job_name=job_name,
        cron_schedule=settings.cron_schedule,
        execution_timezone="UTC",
        description="Mines every day that became minable since the newest mined one, days between "
        "that are missing, and the last `DBMINER_LAG_DAYS` days before the new ones once more for "
        "rows that came late, in one run.",
    )
    def mining_schedule(
        context: dg.ScheduleEvaluationContext, storage: StorageResource
    ) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time.astimezone(UTC)
        minable = minable_days(settings, now.date())
        if isinstance(minable, str):
            return dg.SkipReason(minable)
        rules = Rules(
            period_days(settings),
            late_days=settings.lag_days,
            reach_days=max(settings.popularity_window_days, settings.lineage_window_days),
        )
        with user_errors():
            done = mined_days(settings, storage.tables, minable)
        tried = _tried_days(settings, context.instance)
        progress = Progress(minable, done, tried, oldest_day(settings, now))
        return _Tick(context, settings, job_name).request(
            progress, rules, lambda days: {"tags": range_tags(days)}
        )

    return mining_schedule


def _extraction_schedule(settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="extraction_schedule",
        job=extract_offline_files,
        cron_schedule=settings.cron_schedule,
        execution_timezone="UTC",
        description="Extracts every day that became minable since the newest extracted one into "
        "`DBMINER_OFFLINE_URI`; for where the workspace can be reached.",
    )
    def extraction_schedule(
        context: dg.ScheduleEvaluationContext,
    ) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time.astimezone(UTC)
        minable = _why_not_extracted(settings) or minable_days(settings, now.date())
        if isinstance(minable, str):
            return dg.SkipReason(minable)
        rules = Rules(
            period_days(settings), late_days=0, reach_days=minable.days, done_word="extracted"
        )
        with user_errors():
            progress = Progress(minable, _extracted_days(settings), oldest=oldest_statements(now))
        return _Tick(context, settings, extract_offline_files.name).request(
            progress, rules, extraction_of
        )

    return extraction_schedule


def _maintenance_schedule() -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name="maintenance_schedule",
        job=maintain_tables,
        cron_schedule="0 3 * * 0",
        execution_timezone="UTC",
        description="Maintains the result tables every Sunday at 03:00 UTC.",
    )


def minable_days(settings: Settings, today: date) -> Window | str:
    """From the start date to the newest minable day; or that there is none yet."""
    newest = settings.newest_minable_day(today)
    if newest < settings.start_date:
        return (
            f"Nothing is minable yet: DBMINER_START_DATE is {settings.start_date}, and with "
            f"DBMINER_LAG_DAYS={settings.lag_days} the newest minable day is {newest}."
        )
    return Window(settings.start_date, newest + timedelta(days=1))


def _tried_days(settings: Settings, instance: dg.DagsterInstance) -> frozenset[date]:
    """Days that runs have materialised.

    Dagster also calls days materialised that the source did not cover; the tables know better.
    """
    keys = [
        instance.get_materialized_partitions(dg.AssetKey(table.name))
        for table in last_tables(settings)
    ]
    return frozenset(map(date.fromisoformat, frozenset.intersection(*map(frozenset, keys))))


def _why_not_extracted(settings: Settings) -> str:
    """What is missing for an extraction; empty if nothing is."""
    for variable, value in (
        ("DATABRICKS_HOST", settings.databricks_host),
        ("DBMINER_OFFLINE_URI", settings.offline_uri),
    ):
        if value is None:
            return (
                f"Nothing can be extracted: {variable} is not set. Set it, or stop this schedule "
                "where no workspace can be reached."
            )
    return ""


def _extracted_days(settings: Settings) -> frozenset[date]:
    """The days of which the manifests of all folders tell."""
    location = locate(
        settings.offline_uri, region=settings.s3_region, endpoint_url=settings.s3_endpoint_url
    )
    return frozenset.intersection(
        *(
            manifest.extracted_days() if manifest else frozenset()
            for manifest in (_manifest(location, folder) for folder in EXTRACTED_FOLDERS)
        )
    )


def _manifest(location: Location, folder: str) -> Manifest | None:
    if not location.holds(folder):
        return None
    return manifest_among(location, folder, location.files(folder))


@dataclass(frozen=True, slots=True)
class _Tick:
    """One evaluation of a schedule.

    Attributes:
        context: Of the evaluation.
        settings: Know the secrets that are not told.
        job_name: Of the job.
    """

    context: dg.ScheduleEvaluationContext
    settings: Settings
    job_name: str

    def request(
        self, progress: Progress, rules: Rules, of_days: Callable[[Window], dict[str, Any]]
    ) -> dg.RunRequest | dg.SkipReason:
        """A run for the days that are due, or why there is none.

        Args:
            progress: What is done.
            rules: How days are asked for.
            of_days: Gives the arguments of a run for some days.
        """
        instance = self.context.instance
        running = unfinished_run(instance, self.job_name)
        if running:
            return dg.SkipReason(f"Run {running.run_id} of {self.job_name} has not ended yet.")
        failed = last_failed_run(instance, self.job_name)
        found = due(progress, rules, days_of(failed) if failed else None)
        if found.window is None:
            return dg.SkipReason("\n".join([found.reason, *found.notes]))
        for note in found.notes:
            self.context.log.warning(note)
        arguments = of_days(found.window)
        if failed:
            self.context.log.warning(self._about(failed, found.window))
            arguments["tags"] |= {AFTER_FAILURE_TAG: failed.run_id}
        # The time makes the days of a failed run due again at the next tick.
        at = self.context.scheduled_execution_time.isoformat()
        return dg.RunRequest(run_key=f"{found.window}@{at}", **arguments)

    def _about(self, failed: dg.DagsterRun, window: Window) -> str:
        said = "\n".join(map(str, faults(self.context.instance, failed)))
        days = days_of(failed)
        return (
            f"Run {failed.run_id} of {self.job_name} for {days or 'no days'} failed: "
            f"{redacted(said, known_secrets(self.settings))}\nAsking for {window} now."
        )
