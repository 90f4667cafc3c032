"""Each check passes on what was mined, and fails when a stored table is tampered with."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from deltalake import DeltaTable
from sample_generator import generate

from dbminer_dagster.checks.quality import quality_checks
from dbminer_dagster.day_files import commit_days
from dbminer_dagster.due_days import listed
from dbminer_dagster.resources.mining_options import KEY
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import (
    DAILY_USAGE,
    FILTERED_QUERIES,
    POPULARITY_SCORES,
    QUERY_REFERENCES,
    RAW_QUERY_HISTORY,
    RAW_TABLE_LINEAGE,
    TABLE_LINEAGE,
    TABLES,
    Table,
    empty,
)
from dbminer_dagster.settings import load_settings
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline

WINDOW = Window(FIRST_DAY, FIRST_DAY + timedelta(days=6))
LAST = Window.of_day(WINDOW.last_day)
STALE = "newest_minable_day_present"
UNKEYED = ("table_rebuilds", "known_tables", "warehouse_costs")
KEYED = [name for name, table in TABLES.items() if table.key and name not in UNKEYED]


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Six mined days of a small company."""
    offline = tmp_path_factory.mktemp("offline")
    generate(offline, first_day=FIRST_DAY, days=6, statements_per_day=40, seed=4)
    return Pipeline(str(offline), str(tmp_path_factory.mktemp("mined"))).mined(WINDOW)


@pytest.fixture
def storage(mined: Pipeline, tmp_path: Path) -> DeltaStorage:
    """A copy of the mined tables to tamper with."""
    return DeltaStorage(str(shutil.copytree(mined.storage, tmp_path / "tampered")))


def run_check(
    storage: DeltaStorage,
    asset: str,
    name: str,
    *,
    instance: dg.DagsterInstance | None = None,
    **settings: object,
) -> dg.AssetCheckResult:
    """The result of a check, by default on an instance that knows no run."""
    defaults = {"start_date": FIRST_DAY, "excluded_users": "svc-*@larkfell.example"}
    windows = {"lineage_window_days": 20, "popularity_window_days": 10}
    checks = quality_checks(load_settings(**(defaults | windows | settings)))
    wanted = dg.AssetCheckKey(dg.AssetKey(asset), name)
    (check,) = [check for check in checks if wanted in check.check_keys]
    given: dict[str, Any] = {"storage": StorageResource(uri=storage.uri)}
    with ExitStack() as stack:
        known = instance or stack.enter_context(dg.DagsterInstance.ephemeral())
        context = dg.build_asset_check_context(instance=known)
        result = check(context, **given) if name == "every_row_accounted_for" else check(**given)
    assert isinstance(result, dg.AssetCheckResult)
    return result


def tamper(
    storage: DeltaStorage,
    table: Table,
    change: Callable[[pl.DataFrame], pl.DataFrame],
    window: Window = LAST,
) -> None:
    """Replaces the stored rows of the window by what `change` makes of them."""
    rows = storage.scan(table, window).collect()
    changed = change(rows)
    assert not changed.equals(rows)
    storage.replace_days(table, window, DayFrame(changed.lazy()))


def lose(storage: DeltaStorage, table: Table, window: Window) -> None:
    """Makes the days of the window as if they had never been mined."""
    commit_days(DeltaTable(storage.table_uri(table.name)), tuple(window), [], frozenset(window))


def assert_fails(result: dg.AssetCheckResult, severity: dg.AssetCheckSeverity, *said: str) -> None:
    assert not result.passed
    assert result.severity is severity
    for text in said:
        assert text in (result.description or "")


ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def check_names() -> list[tuple[str, str]]:
    keys = [key for check in quality_checks(load_settings()) for key in check.check_keys]
    return [(key.asset_key.path[-1], key.name) for key in keys]


@pytest.mark.parametrize(("asset", "name"), [pair for pair in check_names() if pair[1] != STALE])
def test_mined_tables_pass(asset: str, name: str, mined: Pipeline) -> None:
    """After a run every check passes, at the start date too, where the window is short."""
    result = run_check(DeltaStorage(mined.storage), asset, name)

    assert result.passed, result.description


@pytest.mark.parametrize(("asset", "name"), check_names())
def test_an_empty_storage_is_told_to_be_mined(asset: str, name: str, tmp_path: Path) -> None:
    """Where nothing was mined a check warns, and says which asset to materialise."""
    result = run_check(DeltaStorage(str(tmp_path)), asset, name)

    assert_fails(result, WARN, f"{asset} holds no rows yet: materialise it.")


@pytest.mark.parametrize("name", KEYED)
def test_a_key_that_stands_twice_is_found(name: str, storage: DeltaStorage) -> None:
    """One row stored twice fails the check of its table."""
    tamper(storage, TABLES[name], lambda rows: pl.concat([rows, rows.head(1)]))

    result = run_check(storage, name, "keys_unique")

    assert_fails(result, ERROR, f"materialise {name} again")
    assert result.metadata["fault_count"].value == 1


def test_the_same_key_on_two_days_is_fine(storage: DeltaStorage) -> None:
    """A key is one of its day only."""
    day_before = Window.of_day(LAST.start - timedelta(days=1))
    rows = storage.scan(QUERY_REFERENCES, LAST).collect()
    tamper(storage, QUERY_REFERENCES, lambda _: rows.with_columns(day=day_before.start), day_before)

    assert run_check(storage, "query_references", "keys_unique").passed


@pytest.mark.parametrize("kept", [0, 5])
def test_filtered_rows_that_are_gone_are_found(kept: int, storage: DeltaStorage) -> None:
    """Some or all filtered rows of a day missing fails the account of its rows."""
    day = Window.of_day(FIRST_DAY + timedelta(days=2))
    tamper(storage, FILTERED_QUERIES, lambda rows: rows.head(kept), day)

    result = run_check(storage, "filtered_queries", "every_row_accounted_for")

    assert_fails(result, ERROR, "materialise filtered_queries")
    assert str(day) in str(result.metadata["faults"].value)


@pytest.mark.parametrize("grow", [True, False])
def test_raw_rows_mined_again_are_found(grow: bool, storage: DeltaStorage) -> None:
    """Raw rows that came or went after filtering fail the account, a day without any too."""

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([rows, rows.head(3)]) if grow else rows.clear()

    tamper(storage, RAW_QUERY_HISTORY, change)

    result = run_check(storage, "filtered_queries", "every_row_accounted_for")

    assert_fails(result, ERROR, "materialise filtered_queries")


def test_rows_are_judged_by_what_their_run_left_out(mined: Pipeline, tmp_path: Path) -> None:
    """A day of a run that left out other users is in order, and the days beside it as before."""
    pipeline = replace(mined, storage=str(shutil.copytree(mined.storage, tmp_path / "again")))
    storage, check = DeltaStorage(pipeline.storage), ("filtered_queries", "every_row_accounted_for")
    everybody = {"resources": {KEY: {"config": {"excluded_users": ["*"]}}}}
    day_before = Window.of_day(LAST.start - timedelta(days=1))

    with dg.DagsterInstance.ephemeral() as instance:
        run = pipeline.mine(LAST, instance=instance, run_config=everybody)
        assert storage.scan(FILTERED_QUERIES, LAST).collect().is_empty()
        tamper(storage, FILTERED_QUERIES, lambda rows: rows.head(5), day_before)
        afterwards = run_check(storage, *check, instance=instance)

    (of_run,) = [each for each in run.get_asset_check_evaluations() if each.check_name == check[1]]
    assert of_run.passed, of_run.description
    assert afterwards.metadata["fault_count"].value == 1
    assert str(day_before) in str(afterwards.metadata["faults"].value)


def test_uses_without_reference_are_found(storage: DeltaStorage) -> None:
    """References that are gone leave uses of nothing, which the check counts by day."""
    tamper(storage, QUERY_REFERENCES, lambda rows: rows.slice(2))

    result = run_check(storage, "daily_usage", "usage_matches_references")

    assert_fails(result, ERROR, "materialise query_references and daily_usage again")
    assert "uses_without_reference" in str(result.metadata["faults"].value)


def test_more_uses_than_statements_are_found(storage: DeltaStorage) -> None:
    """A count that grew beyond the day's statements fails the check."""
    tamper(
        storage,
        DAILY_USAGE,
        lambda rows: rows.with_columns(pl.col("statement_count") + 1),
    )

    assert_fails(run_check(storage, "daily_usage", "usage_matches_references"), ERROR)


def test_low_attribution_warns(storage: DeltaStorage) -> None:
    """Too few attributed statements warn, with the share found and the share wanted."""
    tamper(storage, DAILY_USAGE, lambda rows: rows.gather_every(3), WINDOW)

    result = run_check(storage, "daily_usage", "attribution_coverage")

    assert_fails(result, WARN, "at least 80% wanted", "metadata of daily_usage")
    assert run_check(storage, "daily_usage", "attribution_coverage", minimum_attribution=0.1).passed


@pytest.mark.parametrize(("missing", "severity"), [(1, WARN), (3, WARN), (4, ERROR)])
def test_missing_days_warn_and_then_fail(
    missing: int, severity: dg.AssetCheckSeverity, storage: DeltaStorage
) -> None:
    """Below the whole window the check warns, below half of it it fails, and names the days."""
    lose(storage, DAILY_USAGE, Window(FIRST_DAY, FIRST_DAY + timedelta(days=missing)))

    result = run_check(storage, "popularity_scores", "days_in_window")

    assert_fails(result, severity, f"{6 - missing} of 6 days", f"Backfill {FIRST_DAY}")


def test_scores_older_than_their_days_warn(mined: Pipeline, tmp_path: Path) -> None:
    """Scores made before an earlier day was mined are named until they are made again."""
    pipeline = Pipeline(mined.offline, str(tmp_path))
    storage, check = DeltaStorage(pipeline.storage), ("popularity_scores", "days_in_window")
    later = Window(FIRST_DAY + timedelta(days=3), WINDOW.end)
    pipeline.mined(later)
    scored = sorted(storage.row_counts(POPULARITY_SCORES, WINDOW))
    pipeline.mined(Window(FIRST_DAY, later.start))

    outdated = run_check(storage, *check)

    assert_fails(outdated, WARN, f"before {listed(scored)} were", "popularity_scores again")
    assert outdated.metadata["days_outdated"].value == len(scored) > 1
    pipeline.mined(later)
    assert run_check(storage, *check).passed


def test_days_before_the_start_date_are_not_asked_for(storage: DeltaStorage) -> None:
    """The window of the first days is as long as there are days, and no longer."""
    earlier = FIRST_DAY - timedelta(days=2)

    assert run_check(storage, "popularity_scores", "days_in_window").passed
    result = run_check(storage, "popularity_scores", "days_in_window", start_date=earlier)
    assert_fails(result, WARN, "6 of 8 days", f"Backfill {earlier}")


@pytest.mark.parametrize("table", [RAW_QUERY_HISTORY, RAW_TABLE_LINEAGE], ids=lambda t: t.name)
def test_a_stale_table_warns(table: Table, storage: DeltaStorage) -> None:
    """A newest minable day that is not mined warns; mined without any row it passes."""
    stale = run_check(storage, table.name, STALE)
    newest = Window.of_day(datetime.now(UTC).date() - timedelta(days=2))
    storage.replace_days(table, newest, DayFrame(pl.LazyFrame(schema=table.schema)))

    assert_fails(stale, WARN, f"the newest stored day is {WINDOW.last_day}", "mining_schedule")
    assert run_check(storage, table.name, STALE).passed


@pytest.mark.parametrize("asset", ["table_lineage", "column_lineage"])
def test_a_lost_edge_and_an_invented_one_are_found(asset: str, storage: DeltaStorage) -> None:
    """One edge gone and one made up fail the check although their number is right."""
    source = pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("made.up.name"))
    renamed = source.otherwise("source_name").alias("source_name")
    tamper(storage, TABLES[asset], lambda rows: rows.with_columns(renamed))

    result = run_check(storage, asset, "every_edge_accounted_for")

    assert_fails(result, ERROR, f"materialise {asset} again for {LAST}")
    assert result.metadata["fault_count"].value == 2
    assert "made.up.name" in str(result.metadata["faults"].value)


@pytest.mark.parametrize("status", ["superseded", "expired"])
def test_edges_that_no_longer_hold_are_accounted_for(status: str, storage: DeltaStorage) -> None:
    """An edge has its row for as long as its history reaches, whatever its status."""
    tamper(storage, TABLE_LINEAGE, lambda rows: rows.with_columns(status=pl.lit(status)))

    assert run_check(storage, "table_lineage", "every_edge_accounted_for").passed


def test_a_storage_that_cannot_be_read_fails_plainly(tmp_path: Path) -> None:
    """A broken table gives the check's failure a description instead of a traceback."""
    log = tmp_path / "daily_usage" / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("no json")

    with pytest.raises(dg.Failure) as failure:
        run_check(DeltaStorage(str(tmp_path)), "daily_usage", "keys_unique")

    assert "daily_usage" in (failure.value.description or "")


def test_a_quiet_day_has_no_key_twice(storage: DeltaStorage) -> None:
    """A window of one day that was mined and has no row passes."""
    quiet = Window.of_day(WINDOW.end)
    storage.replace_days(DAILY_USAGE, quiet, DayFrame(empty(DAILY_USAGE)))

    result = run_check(storage, "daily_usage", "keys_unique", popularity_window_days=1)

    assert result.passed
    assert str(quiet) in (result.description or "")
