"""The sensors, and the one that mines the days of offline files as they arrive."""

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from dbminer_dagster.alerts import run_failure_alert
from dbminer_dagster.automation import LINEAGE_ASSETS, mining_job, range_tags
from dbminer_dagster.errors import SourceError
from dbminer_dagster.preflight.model import Source
from dbminer_dagster.preflight.plan import method_of, mined_sources
from dbminer_dagster.resources.offline import LINEAGE_FOLDER, QUERY_HISTORY_FOLDER
from dbminer_dagster.resources.offline.arrivals import Budget, Cursor, Look
from dbminer_dagster.resources.offline.files import locate
from dbminer_dagster.settings import ExtractionMethod, Settings
from dbminer_dagster.windows import Window

FOLDERS = {Source.LINEAGE: LINEAGE_FOLDER, Source.QUERY_HISTORY: QUERY_HISTORY_FOLDER}
SECONDS_BETWEEN_TICKS = 60


def sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors; all are stopped until somebody switches them on."""
    return [_offline_files_arrived(settings), run_failure_alert(settings)]


def _offline_files_arrived(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        name="offline_files_arrived",
        job_name=mining_job(settings),
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Mines the days of new and replaced files under `DBMINER_OFFLINE_URI`, once "
        "all of them are there and can be read.",
    )
    def offline_files_arrived(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        folders = _watched_folders(settings)
        if not folders:
            return dg.SensorResult(
                skip_reason="No source is read from offline files. Set DBMINER_LINEAGE_METHOD or "
                "DBMINER_QUERY_HISTORY_METHOD to offline, or stop this sensor."
            )
        try:
            cursor = Cursor.parse(context.cursor).of(settings.offline_uri or "")
            look = _look(settings, folders, cursor)
        except SourceError as error:
            return dg.SensorResult(skip_reason=str(error))
        found = [
            *(*look.waiting, *look.faults, *look.passed_over),
            *drop_early_days(settings, look.cursor),
        ]
        for message in found:
            context.log.warning(message)
        today = datetime.now(UTC).date()
        requests = due(settings, look.cursor, today) if look.is_complete else []
        return dg.SensorResult(
            run_requests=requests,
            # Dagster allows no reason beside requests.
            skip_reason=None if requests else "\n".join([*found, _state(settings, look, today)]),
            cursor=look.cursor.text,
        )

    return offline_files_arrived


def _watched_folders(settings: Settings) -> list[str]:
    return [
        FOLDERS[source]
        for source in mined_sources(settings)
        if method_of(settings, source) is ExtractionMethod.OFFLINE
    ]


def _look(settings: Settings, folders: Iterable[str], cursor: Cursor) -> Look:
    location = locate(
        settings.offline_uri, region=settings.s3_region, endpoint_url=settings.s3_endpoint_url
    )
    look = Look(location, settings.offline_max_bad_lines, cursor, Budget())
    for folder in folders:
        look.at(folder)
    return look


def drop_early_days(settings: Settings, cursor: Cursor) -> list[str]:
    """Takes the days that can never be mined out of the cursor, and says so."""
    early = {day for day in cursor.days if day < settings.start_date}
    cursor.days -= early
    if not early:
        return []
    return [
        f"{len(early)} days before DBMINER_START_DATE={settings.start_date} are left out: "
        f"{min(early)} to {max(early)}."
    ]


def due(settings: Settings, cursor: Cursor, today: date) -> list[dg.RunRequest]:
    """Takes the days that are minable out of the cursor; a run for each stretch of them.

    Args:
        settings: Say which days are minable, and what is mined.
        cursor: Holds the days that were found; those to come stay.
        today: In UTC.
    """
    newest = settings.newest_minable_day(today)
    days = {day for day in cursor.days if day <= newest}
    cursor.days -= days
    # A lineage snapshot names days for which no statement was ever extracted.
    of_lineage = {day for day in days if not _may_have_statements(settings, cursor, day)}
    lineage = [dg.AssetKey(name) for name in LINEAGE_ASSETS]
    return [
        dg.RunRequest(
            run_key=f"{window.start}..{window.last_day}@{cursor.history}",
            tags=range_tags(window),
            asset_selection=assets,
        )
        for chosen, assets in ((days - of_lineage, None), (of_lineage, lineage))
        for window in stretches(chosen)
    ]


def _may_have_statements(settings: Settings, cursor: Cursor, day: date) -> bool:
    if QUERY_HISTORY_FOLDER not in _watched_folders(settings):
        return True
    return cursor.folders[QUERY_HISTORY_FOLDER].covers(day)


def stretches(days: Collection[date]) -> Iterator[Window]:
    """The days as windows without a gap, ascending."""
    one_day = timedelta(days=1)
    starts = sorted(day for day in days if day - one_day not in days)
    ends = sorted(day + one_day for day in days if day + one_day not in days)
    return map(Window, starts, ends)


def _state(settings: Settings, look: Look, today: date) -> str:
    """Why no run is requested."""
    days = f"{len(look.cursor.days)} days are to be mined"
    if look.unread:
        return f"{look.unread} files are left for the next tick; {days} so far."
    if look.waiting or look.faults:
        return f"{days} once this is repaired, or the upload has ended."
    if look.cursor.days:
        newest = settings.newest_minable_day(today)
        first = min(look.cursor.days)
        return f"{days} later, from {first} on: {newest} is the newest minable day."
    return "No file is new."
