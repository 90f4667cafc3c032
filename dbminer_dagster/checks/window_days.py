"""Whether scores were made from all days of their windows."""

from collections.abc import Callable
from datetime import date

import dagster as dg
import polars as pl

from dbminer_dagster.due_days import listed
from dbminer_dagster.schemas import DAILY_USAGE, POPULARITY_SCORES
from dbminer_dagster.settings import Settings
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window


def days_in_window(settings: Settings) -> Callable[[DeltaStorage, Window], dg.AssetCheckResult]:
    """Finds days of a window that are not mined, and scores that are older than their days."""

    def check(storage: DeltaStorage, window: Window) -> dg.AssetCheckResult:
        present = storage.days_present(DAILY_USAGE, window)
        missing = [day for day in window if day not in present]
        outdated = _outdated(storage, window)
        few = len(present) / window.days < settings.minimum_window_coverage
        said = [f"{len(present)} of {window.days} days of {window} have been mined."]
        if missing:
            said.append(f"Backfill {listed(missing)}.")
        if outdated:
            said.append(
                f"Days before {listed(outdated)} were mined after their scores: materialise "
                "popularity_scores again for these days."
            )
        return dg.AssetCheckResult(
            passed=not missing and not outdated,
            severity=dg.AssetCheckSeverity.ERROR if few else dg.AssetCheckSeverity.WARN,
            description=" ".join(said),
            metadata={
                "days_present": len(present),
                "days_wanted": window.days,
                "days_outdated": len(outdated),
            },
        )

    return check


def _outdated(storage: DeltaStorage, window: Window) -> list[date]:
    """The days whose scores know of fewer days than there are by now."""
    scores = storage.scan(POPULARITY_SCORES, window)
    of_days = scores.group_by("day").agg(pl.col("window_start", "days_present").first()).collect()
    outdated = []
    for day, first, days_present in of_days.sort("day").iter_rows():
        of_window = Window(first, Window.of_day(day).end)
        if len(storage.days_present(DAILY_USAGE, of_window)) > days_present:
            outdated.append(day)
    return outdated
