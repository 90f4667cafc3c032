"""A run over many days stores some at a time, and one that failed goes on where it stopped."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from deltalake import DeltaTable
from sample_generator import generate

from dbminer_dagster.assets import day_writer
from dbminer_dagster.automation import range_tags
from dbminer_dagster.errors import StorageError
from dbminer_dagster.schemas import DAILY_USAGE, RAW_QUERY_HISTORY, TABLES, Table
from dbminer_dagster.storage import Commit, DayFrame, DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.pipeline import (
    FIRST_DAY,
    JOB,
    Pipeline,
    assert_same_tables,
    failures,
)
from dbminer_dagster_tests.warehouse import sign_in, wait_less

CHUNK = 2
WINDOW = Window(FIRST_DAY, FIRST_DAY + timedelta(days=3 * CHUNK))
FIRST, SECOND, THIRD = WINDOW.chunks(CHUNK)
FAILING = DAILY_USAGE
Stores = list[tuple[str, Window]]


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of two days, so that six are a long run."""
    monkeypatch.setattr(day_writer, "CHUNK_DAYS", CHUNK)


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Files of a small company."""
    folder = tmp_path_factory.mktemp("offline")
    generate(folder, first_day=FIRST_DAY, days=WINDOW.days, statements_per_day=30, seed=17)
    return str(folder)


@pytest.fixture(scope="module")
def calm(offline: str, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """All days mined by a run that nothing disturbed, in chunks of the usual length."""
    return Pipeline(offline, str(tmp_path_factory.mktemp("calm"))).mined(WINDOW)


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> Stores:
    """The table and days of each replacement; the second chunk of `FAILING` fails once."""
    made: Stores = []
    replace_days = DeltaStorage.replace_days

    def replace_or_fail(
        storage: DeltaStorage, table: Table, window: Window, rows: DayFrame
    ) -> Commit:
        is_first_try = (table.name, window) not in made
        made.append((table.name, window))
        if table == FAILING and window == SECOND and is_first_try:
            raise StorageError("The disk is full. Make room and run again.")
        return replace_days(storage, table, window, rows)

    monkeypatch.setattr(DeltaStorage, "replace_days", replace_or_fail)
    return made


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance that remembers the runs of a test."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def attempt(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    failed: dg.ExecuteInProcessResult | None = None,
    resumed_by: str = "dagster/is_resume_retry",
) -> dg.ExecuteInProcessResult:
    """A run over all days, or the one that goes on where it failed."""
    resumed = {"dagster/root_run_id": failed.run_id, resumed_by: "true"} if failed else {}
    return pipeline.run(JOB, range_tags(WINDOW) | resumed, instance)


def told(instance: dg.DagsterInstance, table: Table) -> dict[str, dict[str, Any]]:
    """What the newest materialisation of each day says of it alone."""
    records = instance.fetch_materializations(dg.AssetKey(table.name), limit=100).records
    days: dict[str, dict[str, Any]] = {}
    for record in records:
        if record.asset_materialization and record.partition_key:
            metadata = record.asset_materialization.metadata
            days.setdefault(
                record.partition_key,
                {
                    name: value.value
                    for name, value in metadata.items()
                    if not name.startswith(("run_", "dagster/"))
                },
            )
    return days


def test_chunks_give_the_tables_of_one_commit(calm: Pipeline, offline: str, tmp_path: Path) -> None:
    """Tables do not depend on how many days are stored at a time, and each chunk is one commit."""
    chunked = Pipeline(offline, str(tmp_path)).mined(WINDOW)

    assert_same_tables(calm, chunked)
    for name in TABLES:
        # The first version is the empty table.
        assert DeltaTable(f"{chunked.storage}/{name}").version() == WINDOW.days / CHUNK, name


def test_a_failed_run_goes_on_behind_stored_days(
    calm: Pipeline,
    offline: str,
    tmp_path: Path,
    stores: Stores,
    instance: dg.DagsterInstance,
) -> None:
    """What an earlier attempt stored is kept; tables and metadata are those of one run."""
    pipeline = Pipeline(offline, str(tmp_path))
    failed = attempt(pipeline, instance)
    assert not failed.success
    assert (FAILING.name, FIRST) in stores

    stores.clear()
    stores.append((FAILING.name, SECOND))
    resumed = attempt(pipeline, instance, failed)

    assert resumed.success, failures(resumed)
    counted = Counter(stores)
    assert (FAILING.name, FIRST) not in counted
    assert counted[FAILING.name, THIRD] == 1
    assert counted[RAW_QUERY_HISTORY.name, FIRST] == 0
    assert_same_tables(calm, pipeline)
    with dg.DagsterInstance.ephemeral() as other:
        assert attempt(Pipeline(offline, str(tmp_path / "other")), other).success
        undisturbed = told(other, FAILING)
    assert told(instance, FAILING) == undisturbed


def test_a_run_from_the_start_does_all_days_again(
    offline: str, tmp_path: Path, stores: Stores, instance: dg.DagsterInstance
) -> None:
    """A run that is not told to resume stores every day, whatever failed before it."""
    pipeline = Pipeline(offline, str(tmp_path))
    assert not attempt(pipeline, instance).success
    stores.clear()
    stores.append((FAILING.name, SECOND))

    assert attempt(pipeline, instance).success

    days = [window for name, window in stores[1:] if name == FAILING.name]
    assert days == [FIRST, SECOND, THIRD]


def test_days_that_another_run_stored_since_are_done_again(
    calm: Pipeline, offline: str, tmp_path: Path, stores: Stores, instance: dg.DagsterInstance
) -> None:
    """A day that somebody else replaced between two attempts is stored again by the second one."""
    pipeline = Pipeline(offline, str(tmp_path))
    failed = attempt(pipeline, instance)
    assert pipeline.mine(Window.of_day(FIRST.last_day), instance=instance).success
    stores.clear()
    stores.append((FAILING.name, SECOND))

    assert attempt(pipeline, instance, failed, "dagster/is_asset_resume_retry").success

    assert (FAILING.name, FIRST) in stores
    assert_same_tables(calm, pipeline)


def test_deleted_tables_are_made_again(
    calm: Pipeline, offline: str, tmp_path: Path, stores: Stores, instance: dg.DagsterInstance
) -> None:
    """What an attempt stored and somebody deleted is stored again by the next attempt."""
    failed = attempt(Pipeline(offline, str(tmp_path / "deleted")), instance)
    stores.append((FAILING.name, SECOND))
    empty_place = Pipeline(offline, str(tmp_path / "new"))

    assert attempt(empty_place, instance, failed).success

    assert_same_tables(calm, empty_place)


def test_days_before_the_source_begins_are_told_and_left_out(
    databricks_emulator: Emulator,
    no_databricks: pytest.MonkeyPatch,
    tmp_path: Path,
    instance: dg.DagsterInstance,
) -> None:
    """A run that begins before the source does mines what is there, and names what is not."""
    known = Window(SECOND.start, WINDOW.end)
    pipeline = mined_from_workspace(databricks_emulator, no_databricks, tmp_path, known)

    result = attempt(pipeline, instance)

    assert result.success, failures(result)
    storage = DeltaStorage(pipeline.storage)
    for table in (RAW_QUERY_HISTORY, DAILY_USAGE):
        assert storage.days_present(table, WINDOW) == frozenset(known)
    (event,) = (
        event
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(RAW_QUERY_HISTORY.name)
        and event.partition == FIRST.start.isoformat()
    )
    metadata = event.materialization.metadata
    assert metadata["covered"].value is False
    assert f"{FIRST}: the source holds {known.start} to" in str(metadata["run_not_covered"].value)


def test_a_run_before_the_source_begins_fails(
    databricks_emulator: Emulator,
    no_databricks: pytest.MonkeyPatch,
    tmp_path: Path,
    instance: dg.DagsterInstance,
) -> None:
    """A long run of which the source knows no day ends with what the source holds instead."""
    later = Window(date(2026, 3, 1), date(2026, 3, 3))
    pipeline = mined_from_workspace(databricks_emulator, no_databricks, tmp_path, later)

    result = attempt(pipeline, instance)

    assert not result.success
    assert "the source holds 2026-03-01 to 2026-03-02" in failures(result)
    assert not DeltaStorage(pipeline.storage).days_present(RAW_QUERY_HISTORY, WINDOW)


def mined_from_workspace(
    emulator: Emulator, environment: pytest.MonkeyPatch, folder: Path, known: Window
) -> Pipeline:
    """A pipeline over a workspace whose system tables hold some days."""
    generate(
        folder / "files",
        first_day=known.start,
        days=known.days,
        statements_per_day=20,
        seed=3,
        system_rows_only=True,
    )
    emulator.load_files(folder / "files")
    sign_in(emulator, environment)
    wait_less(environment)
    return Pipeline("unused", str(folder / "storage"), lineage_method="system_table")
