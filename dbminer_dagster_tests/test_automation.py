"""When the schedules run, and which days a tick asks for."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sample_generator import generate

from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import (
    COLUMN_LINEAGE,
    POPULARITY_SCORES,
    TABLE_LINEAGE,
    Table,
    empty,
)
from dbminer_dagster.sensors import stretches
from dbminer_dagster.settings import Settings, load_settings
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.pipeline import FIRST_DAY, JOB, Pipeline, failures

START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
NEWEST = date(2026, 3, 10)


@cache
def definitions_of(settings: Settings) -> dg.Definitions:
    return build_definitions(settings)


def settings_of(**changes: Any) -> Settings:
    return load_settings(**({"start_date": FIRST_DAY} | changes))


def tick(
    settings: Settings,
    instance: dg.DagsterInstance,
    at: datetime = NOON,
    log: list[str] | None = None,
) -> dg.RunRequest | dg.SkipReason:
    # The settings are frozen, which makes them hashable.
    definitions = definitions_of(settings)  # pyright: ignore[reportArgumentType]
    schedule = definitions.resolve_schedule_def("mining_schedule")
    with dg.build_schedule_context(
        instance=instance,
        resources={"storage": StorageResource(uri=settings.storage_uri)},
        repository_def=definitions.get_repository_def(),
        scheduled_execution_time=at,
    ) as context:
        if log is not None:
            context.log.addFilter(lambda record: log.append(record.getMessage()) or True)
        found = schedule(context)
    assert isinstance(found, dg.RunRequest | dg.SkipReason)
    return found


def days_of(found: dg.RunRequest | dg.SkipReason) -> Window:
    assert isinstance(found, dg.RunRequest), found
    first, last = (date.fromisoformat(found.tags[name]) for name in (START, END))
    return Window(first, Window.of_day(last).end)


@pytest.fixture(autouse=True)
def storage_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of result tables for each test."""
    monkeypatch.setenv("DBMINER_STORAGE_URI", str(tmp_path / "storage"))
    return str(tmp_path / "storage")


LINEAGE_TABLES = (TABLE_LINEAGE, COLUMN_LINEAGE)
LAST_TABLES = (POPULARITY_SCORES, *LINEAGE_TABLES)


def note_mined(*days: date, tables: Sequence[Table] = LAST_TABLES) -> None:
    """Leaves the days in the tables, as a run does that finds no row."""
    storage = DeltaStorage(load_settings().storage_uri)
    for table in tables:
        for first, end in ((window.start, window.end) for window in stretches(days)):
            storage.replace_days(table, Window(first, end), DayFrame(empty(table)))


def note_run(instance: dg.DagsterInstance, *days: date) -> None:
    """Leaves the days in Dagster's records, as a run does whatever it finds."""
    for table in LAST_TABLES:
        for day in days:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(table.name, partition=str(day))
            )


@pytest.mark.parametrize(
    ("schedule", "cron"),
    [
        ("hourly", "0 * * * *"),
        ("daily", "0 6 * * *"),
        ("weekly", "0 6 * * 1"),
        ("monthly", "0 6 1 * *"),
        ("15 4 * * 1-5", "15 4 * * 1-5"),
    ],
)
def test_the_cadence_gives_the_cron_line(schedule: str, cron: str) -> None:
    """Each cadence is one cron line in UTC, and a cron line is taken as it is."""
    definitions = build_definitions(settings_of(schedule=schedule))
    found = definitions.resolve_schedule_def("mining_schedule")

    assert found.cron_schedule == cron
    assert found.execution_timezone == "UTC"


@pytest.mark.parametrize("name", ["mining_schedule", "extraction_schedule", "maintenance_schedule"])
def test_schedules_are_stopped_until_switched_on(name: str) -> None:
    """Loading the definitions starts nothing."""
    found = build_definitions(settings_of()).resolve_schedule_def(name)

    assert found.default_status is dg.DefaultScheduleStatus.STOPPED


@pytest.mark.parametrize(("popularity", "job"), [(True, JOB), (False, "mine_lineage")])
def test_the_job_follows_the_popularity_setting(popularity: bool, job: str) -> None:
    """Without popularity the schedule mines lineage only."""
    settings = settings_of(calculate_popularity=popularity)

    found = build_definitions(settings).resolve_schedule_def("mining_schedule")

    assert found.job_name == job


@pytest.mark.parametrize(
    ("schedule", "days"),
    [("hourly", 1), ("daily", 1), ("weekly", 7), ("monthly", 31), ("0 0 * * 3", 7)],
)
def test_the_first_tick_mines_one_period(
    schedule: str, days: int, instance: dg.DagsterInstance
) -> None:
    """Where nothing is mined yet, a tick mines what one period makes minable."""
    found = tick(settings_of(schedule=schedule), instance)

    assert days_of(found) == Window.trailing(NEWEST, days)


def test_the_first_tick_is_clipped_at_the_start_date(instance: dg.DagsterInstance) -> None:
    """No tick asks for a day before the start date."""
    settings = settings_of(schedule="monthly", start_date=NEWEST - timedelta(days=3))

    assert days_of(tick(settings, instance)) == Window.trailing(NEWEST, 4)


def test_days_mined_before_a_later_start_date_do_not_matter(
    instance: dg.DagsterInstance,
) -> None:
    """After the start date moved forward, a tick begins there."""
    note_mined(FIRST_DAY)
    settings = settings_of(start_date=NEWEST)

    assert days_of(tick(settings, instance)) == Window.of_day(NEWEST)


def test_a_tick_mines_what_became_minable_since(instance: dg.DagsterInstance) -> None:
    """All days after the newest mined one are one run, however many ticks were missed."""
    note_mined(*Window.trailing(NEWEST - timedelta(days=5), 4))

    # The newest mined days are read again for their late rows.
    assert days_of(tick(settings_of(), instance)) == Window.trailing(NEWEST, 7)


def test_a_hole_is_filled(instance: dg.DagsterInstance) -> None:
    """A day that is missing between mined ones is mined, and the days after it once more."""
    note_mined(*Window.trailing(NEWEST - timedelta(days=5), 4), NEWEST)

    assert days_of(tick(settings_of(), instance)) == Window.trailing(NEWEST, 5)


@pytest.mark.parametrize("table", LAST_TABLES, ids=lambda table: table.name)
def test_a_day_is_mined_when_every_chain_is(table: Table, instance: dg.DagsterInstance) -> None:
    """A day that one of the last tables lacks is due, whatever the others hold."""
    others = [other for other in LAST_TABLES if other is not table]
    note_mined(*Window.trailing(NEWEST, 4))
    note_mined(NEWEST + timedelta(days=1), tables=others)

    found = tick(settings_of(), instance, NOON + timedelta(days=1))

    assert days_of(found).last_day == NEWEST + timedelta(days=1)


def test_a_month_of_missed_ticks_is_one_run(instance: dg.DagsterInstance) -> None:
    """After weeks without a daemon the next tick asks for all days that it missed."""
    note_mined(NEWEST - timedelta(days=45))

    assert days_of(tick(settings_of(), instance)) == Window.trailing(NEWEST, 46)


@pytest.mark.parametrize("lag_days", [1, 2, 7])
def test_a_tick_reads_the_late_days_again(lag_days: int, instance: dg.DagsterInstance) -> None:
    """The last `DBMINER_LAG_DAYS` mined days are part of the run, whose sources fill up late."""
    newest = NOON.date() - timedelta(days=lag_days)
    note_mined(*Window.trailing(newest - timedelta(days=1), 10))

    found = days_of(tick(settings_of(lag_days=lag_days), instance))

    assert found == Window.trailing(newest, 1 + lag_days)


def test_only_mined_days_are_read_again(instance: dg.DagsterInstance) -> None:
    """Days before the first mined one are no late days."""
    note_mined(NEWEST - timedelta(days=1))

    assert days_of(tick(settings_of(lag_days=2), instance)) == Window.trailing(NEWEST, 2)


def test_lineage_only_goes_by_the_lineage_tables(instance: dg.DagsterInstance) -> None:
    """Without popularity the newest mined day is that of lineage, not of scores."""
    note_mined(NEWEST - timedelta(days=2), tables=LINEAGE_TABLES)
    note_mined(NEWEST, tables=[POPULARITY_SCORES])

    found = tick(settings_of(calculate_popularity=False), instance)

    assert days_of(found) == Window.trailing(NEWEST, 3)


def test_nothing_new_is_skipped_with_its_reason(instance: dg.DagsterInstance) -> None:
    """When the newest minable day is mined, the tick names it."""
    note_mined(NEWEST)

    found = tick(settings_of(), instance)

    assert isinstance(found, dg.SkipReason)
    assert found.skip_message == (
        "Nothing became minable: 2026-03-10, the newest minable day, is mined."
    )


def test_a_start_date_ahead_is_skipped_with_its_reason(instance: dg.DagsterInstance) -> None:
    """Before the start date is minable, the tick says so and does not claim that it is mined."""
    found = tick(settings_of(start_date=date(2026, 4, 1)), instance)

    assert isinstance(found, dg.SkipReason)
    assert found.skip_message == (
        "Nothing is minable yet: DBMINER_START_DATE is 2026-04-01, and with DBMINER_LAG_DAYS=2 "
        "the newest minable day is 2026-03-10."
    )


@pytest.mark.parametrize(
    "status",
    [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ],
)
def test_a_run_in_progress_is_waited_for(
    status: dg.DagsterRunStatus, instance: dg.DagsterInstance
) -> None:
    """While a run of the job has not ended, the tick names it and starts no second one."""
    run = add_run(instance, status)

    found = tick(settings_of(), instance)

    assert isinstance(found, dg.SkipReason)
    assert run.run_id in (found.skip_message or "")


@pytest.mark.parametrize(
    "status",
    [
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.CANCELED,
    ],
)
def test_a_run_that_ended_is_not_waited_for(
    status: dg.DagsterRunStatus, instance: dg.DagsterInstance
) -> None:
    """After a run that ended without mining, the same days are due again."""
    add_run(instance, status)

    assert days_of(tick(settings_of(), instance)) == Window.of_day(NEWEST)


def add_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    return instance.add_run(dg.DagsterRun(job_name=JOB, status=status))


def test_run_keys_differ_between_ticks(instance: dg.DagsterInstance) -> None:
    """A key that was used never runs again, so two ticks for the same days have two keys."""
    keys = set()
    for hour in range(3):
        found = tick(settings_of(schedule="hourly"), instance, NOON + timedelta(hours=hour))
        assert isinstance(found, dg.RunRequest)
        keys.add(found.run_key)

    assert len(keys) == 3


@pytest.mark.parametrize("lag_days", [1, 2, 7])
def test_the_lag_counts_from_midnight_utc(lag_days: int, instance: dg.DagsterInstance) -> None:
    """At 00:00 UTC a day becomes minable, and not a second earlier."""
    midnight = datetime(2026, 3, 12, tzinfo=UTC)
    settings = settings_of(lag_days=lag_days)
    day = midnight.date() - timedelta(days=lag_days)

    after = tick(settings, instance, midnight)
    before = tick(settings, instance, midnight - timedelta(seconds=1))

    assert days_of(after) == Window.of_day(day)
    assert days_of(before) == Window.of_day(day - timedelta(days=1))


@pytest.mark.parametrize("lag_days", [1, 2, 7])
def test_every_asked_day_is_a_partition(lag_days: int, instance: dg.DagsterInstance) -> None:
    """The newest day that a tick asks for is the newest partition at that moment."""
    settings = settings_of(lag_days=lag_days)
    midnight = datetime(2026, 3, 12, tzinfo=UTC)
    key = dg.AssetKey("popularity_scores")
    graph = build_definitions(settings).get_repository_def().asset_graph
    partitions = graph.get(key).partitions_def
    assert partitions is not None

    asked = days_of(tick(settings, instance, midnight))

    assert partitions.get_partition_keys(current_time=midnight)[-1] == str(asked.last_day)


@pytest.mark.parametrize(("schedule", "period"), [("daily", 1), ("weekly", 7), ("0 6 */3 * *", 3)])
def test_ticks_leave_no_gap(schedule: str, period: int, instance: dg.DagsterInstance) -> None:
    """Over six weeks with missed ticks and failed runs, days are mined in order, late ones again.

    No day is left out, and none is read again but the last `DBMINER_LAG_DAYS` before a run.
    """
    settings, mined = settings_of(schedule=schedule), list[date]()
    for number, passed in enumerate(range(0, 42, period)):
        if number % 4 == 2:
            continue  # the daemon was down
        window = days_of(tick(settings, instance, NOON + timedelta(days=passed)))
        if number % 5 == 3:
            continue  # the run failed
        again = [day for day in window if day in mined]
        assert again == mined[len(mined) - len(again) :]
        assert len(again) == min(len(mined), settings.lag_days)
        mined += [day for day in window if day not in again]
        note_mined(*window)

    assert len(mined) > 30
    assert mined == list(Window(mined[0], mined[-1] + timedelta(days=1)))


def test_the_job_takes_the_tags_of_a_tick(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """A run with the tags of a tick mines exactly its days, and the next tick sees them."""
    generate(tmp_path / "offline", first_day=FIRST_DAY, days=3, statements_per_day=20, seed=2)
    pipeline = Pipeline(str(tmp_path / "offline"), str(tmp_path / "storage"))
    now = datetime(2026, 1, 9, 6, tzinfo=UTC)
    note_mined(FIRST_DAY)
    request = tick(pipeline.settings, instance, now)

    result = pipeline.mine(days_of(request), instance=instance)

    assert result.success, failures(result)
    assert set(pipeline.table("daily_usage")["day"]) == set(Window.trailing(date(2026, 1, 7), 3))
    assert isinstance(tick(pipeline.settings, instance, now), dg.SkipReason)


def test_maintenance_runs_over_all_tables(tmp_path: Path) -> None:
    """The maintenance job succeeds on an empty storage and on a mined one."""
    generate(tmp_path / "offline", first_day=FIRST_DAY, days=1, statements_per_day=20, seed=2)
    pipeline = Pipeline(str(tmp_path / "offline"), str(tmp_path / "storage"))

    assert pipeline.run("maintain_tables").success
    pipeline.mined(Window.of_day(FIRST_DAY))
    before = pipeline.table("popularity_scores")

    assert pipeline.run("maintain_tables").success
    assert pipeline.table("popularity_scores").equals(before)


def test_days_of_a_run_that_failed_stay_due(instance: dg.DagsterInstance) -> None:
    """A day for which no run ended well is asked for again."""
    note_mined(*Window.trailing(NEWEST - timedelta(days=1), 2))

    assert days_of(tick(settings_of(), instance)) == Window.trailing(NEWEST, 3)


def test_ticks_of_a_day_ask_once_for_what_the_source_lacks(instance: dg.DagsterInstance) -> None:
    """A day that a run asked for in vain is not asked for each hour, but with the next day."""
    settings = settings_of(schedule="hourly")
    note_mined(*Window.trailing(NEWEST - timedelta(days=1), 5))
    note_run(instance, *Window.trailing(NEWEST, 6))

    found = tick(settings, instance)
    later = tick(settings, instance, NOON + timedelta(days=1))

    assert isinstance(found, dg.SkipReason)
    assert "the source did not cover it yet" in (found.skip_message or "")
    assert days_of(later) == Window.trailing(NEWEST + timedelta(days=1), 3)


@pytest.mark.parametrize(
    ("methods", "days"),
    [
        ({"lineage_method": "system_table"}, 363),
        ({"lineage_method": "rest_api"}, 28),
        ({"lineage_method": "rest_api", "calculate_popularity": False}, 501),
        ({"lineage_method": "system_table", "query_history_method": "rest_api"}, 28),
        ({"lineage_method": "offline", "offline_uri": "nowhere"}, 501),
    ],
    ids=["system tables", "rest", "rest lineage alone", "both", "offline"],
)
def test_days_that_the_source_lost_are_not_asked_for(
    methods: dict[str, Any], days: int, instance: dg.DagsterInstance
) -> None:
    """After a long stop the run begins with what the source still has, and the tick says so."""
    first = NEWEST - timedelta(days=500)
    settings, log = settings_of(start_date=first, **methods), list[str]()
    note_mined(first)

    found = days_of(tick(settings, instance, log=log))

    assert found == Window.trailing(NEWEST, days)
    assert any("any more" in line for line in log) is (days < 501)


def fail(instance: dg.DagsterInstance, window: Window, tmp_path: Path) -> str:
    """A run for these days that fails for want of files; its id."""
    pipeline = Pipeline(str(tmp_path / "nowhere"), str(tmp_path / "storage"))
    result = pipeline.mine(window, instance=instance)
    assert not result.success
    return result.run_id


def test_a_tick_tells_why_its_days_are_asked_for_again(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """After a failed run the same days are due, and the tick names the run and its error."""
    log = list[str]()
    run_id = fail(instance, Window.of_day(NEWEST), tmp_path)

    found = tick(settings_of(), instance, log=log)

    assert days_of(found) == Window.of_day(NEWEST)
    assert isinstance(found, dg.RunRequest)
    assert found.tags["dbminer/after_failed_run"] == run_id
    (line,) = log
    assert line.startswith(f"Run {run_id} of {JOB} for {NEWEST} failed: ")
    assert "nowhere does not exist" in line


def test_a_hole_that_fails_lets_new_days_pass(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """A day that cannot be mined costs the newest day no more than one tick."""
    hole = NEWEST - timedelta(days=10)
    note_mined(*(day for day in Window.trailing(NEWEST - timedelta(days=1), 20) if day != hole))
    first = days_of(tick(settings_of(), instance))
    fail(instance, first, tmp_path)

    second = days_of(tick(settings_of(), instance))

    assert first == Window.trailing(NEWEST, 11)
    assert second == Window.trailing(NEWEST, 3)


def test_no_secret_of_an_error_is_told(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a tick tells of a failed run holds no secret of the settings."""
    log = list[str]()
    fail(instance, Window.of_day(NEWEST), tmp_path)
    monkeypatch.setenv("DATABRICKS_TOKEN", str(tmp_path / "nowhere"))

    tick(settings_of(), instance, log=log)

    assert "nowhere" not in log[0]
    assert "[redacted]" in log[0]
