"""Freshness: how old the result tables may get, and whether their newest minable day is there.

Dagster's policies go by the time of the last materialisation, of whichever day; the check goes by
the days that the tables hold.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from dbminer_dagster.automation import last_tables
from dbminer_dagster.cadence import period_days
from dbminer_dagster.due_days import listed
from dbminer_dagster.failures import user_errors
from dbminer_dagster.preflight.plan import method_of, mined_sources
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import Table
from dbminer_dagster.settings import ExtractionMethod, Settings
from dbminer_dagster.windows import Window

GRACE = timedelta(hours=6)
"""For the run of a tick, with its retries."""

DESCRIPTIONS = {
    "newest_minable_day_mined": "Every day up to the newest minable one has been mined to its end."
}
"""What holds when a check of this name passes."""


def with_freshness(
    assets: Sequence[dg.AssetsDefinition], settings: Settings
) -> list[dg.AssetsDefinition]:
    """The assets with a policy: it warns when a scheduled run is late, and fails after two."""
    period = timedelta(days=period_days(settings))
    policy = dg.FreshnessPolicy.time_window(2 * period + GRACE, warn_window=period + GRACE)

    def with_policy(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(freshness_policy=policy)

    return [*dg.map_asset_specs(with_policy, assets)]


def freshness_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The checks for these settings."""
    return [_newest_day_mined(settings, table) for table in last_tables(settings)]


def _newest_day_mined(settings: Settings, table: Table) -> dg.AssetChecksDefinition:
    name = "newest_minable_day_mined"

    @dg.asset_check(asset=table.name, name=name, description=DESCRIPTIONS[name])
    def newest_minable_day_mined(storage: StorageResource) -> dg.AssetCheckResult:
        today = datetime.now(UTC).date()
        newest = settings.newest_minable_day(today)
        if newest < settings.start_date:
            return dg.AssetCheckResult(passed=True, description="No day may be mined yet.")
        minable = Window(settings.start_date, newest + timedelta(days=1))
        recent = Window.trailing(newest, settings.lineage_window_days)
        judged = Window(max(minable.start, recent.start), minable.end)
        with user_errors():
            mined = storage.tables.days_present(table, judged)
            with_rows = storage.tables.row_counts(table, minable)
        is_older = any(day < judged.start for day in with_rows)
        since = judged.start if is_older else min(mined, default=None)
        return _judged(settings, table, since, judged, mined)

    return newest_minable_day_mined


def _judged(
    settings: Settings, table: Table, since: date | None, judged: Window, mined: frozenset[date]
) -> dg.AssetCheckResult:
    newest = judged.last_day
    if since is None:
        return _missing(f"{table.name} holds no day yet", [newest], is_late=False)
    missing = [day for day in Window(since, judged.end) if day not in mined]
    if not missing:
        return dg.AssetCheckResult(
            passed=True, description=f"All days from {since} to {newest} have been mined."
        )
    # A day becomes minable at midnight, and is mined by the next tick.
    is_late = missing[0] <= newest - timedelta(days=period_days(settings))
    # Nobody knows when files are to arrive.
    methods = {method_of(settings, source) for source in mined_sources(settings)}
    what = f"{table.name} lacks {listed(missing)}"
    return _missing(what, missing, is_late=is_late and ExtractionMethod.OFFLINE not in methods)


def _missing(what: str, days: Sequence[date], *, is_late: bool) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if is_late else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        passed=False,
        severity=severity,
        description=f"{what}. Switch on mining_schedule, whose next tick mines what is missing, "
        f"or launch a backfill from {days[0]} on; the last run says what kept it.",
        metadata={"missing_days": len(days), "first_missing_day": str(days[0])},
    )
