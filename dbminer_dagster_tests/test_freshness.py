"""Freshness: the policies follow the schedule, the check follows the days of the tables."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from dbminer_dagster.checks.freshness import freshness_checks
from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import COLUMN_LINEAGE, POPULARITY_SCORES, TABLE_LINEAGE, empty
from dbminer_dagster.settings import Settings, load_settings
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window

NAME = "newest_minable_day_mined"


def newest() -> Any:
    """The newest minable day by the default lag."""
    return datetime.now(UTC).date() - timedelta(days=2)


def settings_of(tmp_path: Path, **changes: Any) -> Settings:
    given = {"storage_uri": str(tmp_path), "start_date": newest() - timedelta(days=400)}
    return load_settings(**(given | changes))


def checked(settings: Settings, asset: str = "popularity_scores") -> dg.AssetCheckResult:
    """The result of the check on an asset."""
    (check,) = [
        check
        for check in freshness_checks(settings)
        if dg.AssetCheckKey(dg.AssetKey(asset), NAME) in check.check_keys
    ]
    found = check(storage=StorageResource(uri=settings.storage_uri))
    assert isinstance(found, dg.AssetCheckResult)
    return found


@pytest.fixture
def mined(tmp_path: Path) -> Callable[[Window], None]:
    """Leaves days in the scores, as a run without rows does."""

    def note(window: Window) -> None:
        DeltaStorage(str(tmp_path)).replace_days(
            POPULARITY_SCORES, window, DayFrame(empty(POPULARITY_SCORES))
        )

    return note


def test_all_days_mined_pass(mined: Callable[[Window], None], tmp_path: Path) -> None:
    """When no day is missing up to the newest minable one, the check passes."""
    mined(Window.trailing(newest(), 3))

    found = checked(settings_of(tmp_path))

    assert found.passed
    assert str(newest()) in (found.description or "")


def test_a_day_of_today_warns(mined: Callable[[Window], None], tmp_path: Path) -> None:
    """The day that became minable last night may still be mined by the next tick."""
    mined(Window.trailing(newest() - timedelta(days=1), 3))

    found = checked(settings_of(tmp_path))

    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert f"lacks {newest()}" in (found.description or "")
    assert "Switch on mining_schedule" in (found.description or "")


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, dg.AssetCheckSeverity.ERROR),
        ({"schedule": "weekly"}, dg.AssetCheckSeverity.WARN),
        ({"lineage_method": "offline"}, dg.AssetCheckSeverity.WARN),
        ({"query_history_method": "offline"}, dg.AssetCheckSeverity.WARN),
    ],
    ids=["daily", "weekly", "offline", "partly offline"],
)
def test_a_day_that_a_tick_has_missed_fails(
    changes: dict[str, Any],
    severity: dg.AssetCheckSeverity,
    mined: Callable[[Window], None],
    tmp_path: Path,
) -> None:
    """A day older than the period of the schedule is an error, unless files are waited for."""
    mined(Window.trailing(newest() - timedelta(days=3), 3))

    found = checked(settings_of(tmp_path, **changes))

    assert not found.passed
    assert found.severity is severity
    assert found.metadata["missing_days"].value == 3
    assert found.metadata["first_missing_day"].value == str(newest() - timedelta(days=2))


def test_a_hole_is_missing_too(mined: Callable[[Window], None], tmp_path: Path) -> None:
    """Days between mined ones count as well, within the lineage window."""
    mined(Window.trailing(newest(), 10))
    mined(Window.trailing(newest() - timedelta(days=20), 10))

    found = checked(settings_of(tmp_path, lineage_window_days=30))

    assert not found.passed
    assert found.metadata["missing_days"].value == 10
    assert checked(settings_of(tmp_path, lineage_window_days=10)).passed


def test_days_before_the_lineage_window_open_a_hole(tmp_path: Path) -> None:
    """Where only older days were mined, all days of the lineage window are missing."""
    day = newest() - timedelta(days=50)
    row = pl.DataFrame({"day": [day]}).match_to_schema(
        POPULARITY_SCORES.schema, missing_columns="insert"
    )
    DeltaStorage(str(tmp_path)).replace_days(
        POPULARITY_SCORES, Window.of_day(day), DayFrame(row.lazy())
    )

    found = checked(settings_of(tmp_path, lineage_window_days=30))

    assert not found.passed
    assert found.metadata["missing_days"].value == 30
    assert found.metadata["first_missing_day"].value == str(newest() - timedelta(days=29))


def test_a_table_that_was_never_mined_warns(tmp_path: Path) -> None:
    """Before the first run nobody has missed anything."""
    found = checked(settings_of(tmp_path))

    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "popularity_scores holds no day yet" in (found.description or "")


def test_before_the_start_date_nothing_is_missing(tmp_path: Path) -> None:
    """A start date ahead leaves nothing to be mined."""
    found = checked(settings_of(tmp_path, start_date=newest() + timedelta(days=9)))

    assert found.passed


@pytest.mark.parametrize(
    ("popularity", "tables"),
    [
        (True, {POPULARITY_SCORES.name, TABLE_LINEAGE.name, COLUMN_LINEAGE.name}),
        (False, {TABLE_LINEAGE.name, COLUMN_LINEAGE.name}),
    ],
    ids=["with popularity", "lineage only"],
)
def test_the_last_tables_are_checked(popularity: bool, tables: set[str], tmp_path: Path) -> None:
    """Without popularity nobody misses scores."""
    settings = settings_of(tmp_path, calculate_popularity=popularity)

    keys = [key for check in freshness_checks(settings) for key in check.check_keys]

    assert {key.asset_key.path[-1] for key in keys} == tables


@pytest.mark.parametrize(
    ("schedule", "warn_hours", "fail_hours"),
    [("hourly", 30, 54), ("daily", 30, 54), ("weekly", 174, 342), ("0 6 * * 1-5", 78, 150)],
)
def test_the_policies_follow_the_schedule(
    schedule: str, warn_hours: int, fail_hours: int, tmp_path: Path
) -> None:
    """Every result is to be younger than a period and a grace, and the sources have no policy."""
    graph = build_definitions(settings_of(tmp_path, schedule=schedule)).resolve_asset_graph()
    expected = dg.FreshnessPolicy.time_window(
        timedelta(hours=fail_hours), warn_window=timedelta(hours=warn_hours)
    )
    policies = {
        key.path[-1]: graph.get(key).freshness_policy_or_from_metadata
        for key in graph.get_all_asset_keys()
    }

    sources = {"databricks_lineage", "databricks_query_history"}
    assert {policies.pop(name) for name in sources} == {None}
    assert set(policies.values()) == {expected}
