"""The engine `spark` on two real servers: Sail, and Apache Spark itself."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal
from sample_generator import generate

from dbminer_dagster.engines.spark import SparkEngine, spark_schema
from dbminer_dagster.engines.spark_session import connected
from dbminer_dagster.errors import EngineError
from dbminer_dagster.resources.engine import EngineResource
from dbminer_dagster.schemas import RAW_QUERY_HISTORY, TABLES
from dbminer_dagster.settings import load_settings
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.billing import load_billing, price_row, usage_row
from dbminer_dagster_tests.databricks_emulator import Emulator, run_emulator
from dbminer_dagster_tests.frames import DAY, at, history
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline, assert_same_tables
from dbminer_dagster_tests.spark_functions import COUNTS, counted, doubled
from dbminer_dagster_tests.spark_servers import run_sail, run_spark
from dbminer_dagster_tests.warehouse import sign_in

SERVERS = {"sail": run_sail, "spark": run_spark}
on_both = pytest.mark.parametrize(
    "remote",
    [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in SERVERS],
    indirect=True,
)
WINDOW = Window(FIRST_DAY, FIRST_DAY + timedelta(days=3))
WAREHOUSES = ("4f1c9b7a20de8365", "a07e35d19c42bb80")
"""Two of the three that run generated statements."""
ROWS = pl.DataFrame(
    {
        "key": ["a", "b", None, "a"],
        "number": [1, 2, None, -4],
        "time": [at(1) + timedelta(microseconds=1), at(23.5), None, at(0)],
        "names": [["x", "ü"], [], None, ["y", None]],
        "users": [[{"name": "ann", "reads": 1}], [], None, [{"name": None, "reads": None}]],
    }
)


@pytest.fixture(scope="session")
def remote(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of one of the servers."""
    with SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as address:
        yield address
        # What Spark's client has yet to tell a server that is gone, it would try for ten minutes.
        connected(address).stop()


@pytest.fixture
def engine(remote: str) -> SparkEngine:
    return SparkEngine(remote)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A small company's workspace, which knows the columns of its tables and has a bill."""
    files = tmp_path_factory.mktemp("files")
    generate(
        files,
        first_day=FIRST_DAY,
        days=WINDOW.days,
        statements_per_day=300,
        seed=11,
        system_rows_only=True,
    )
    with run_emulator() as emulator:
        emulator.load_files(files)
        emulator.add_tables_of_lineage()
        emulator.adopt_workspace_id()
        load_billing(emulator, list(_bill(emulator.workspace.workspace_id)), [price_row("0.7")])
        yield emulator


def _bill(workspace_id: str) -> Iterator[dict[str, Any]]:
    """Some usage in each hour but the last of a day."""
    for day, hour, warehouse_id in product(WINDOW, range(23), WAREHOUSES):
        yield usage_row(
            0.25 + hour,
            f"{day}T{hour:02}:00:00Z",
            workspace_id=workspace_id,
            usage_metadata={"warehouse_id": warehouse_id},
        )


@pytest.fixture(scope="module")
def polars(workspace: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The workspace's days, mined by the engine `polars`."""
    with pytest.MonkeyPatch.context() as patch:
        sign_in(workspace, patch)
        return _mined(tmp_path_factory.mktemp("polars"))


def _mined(storage: Path, spark_remote: str | None = None) -> Pipeline:
    pipeline = Pipeline(
        "unused", str(storage), lineage_method="system_table", spark_remote=spark_remote
    )
    return pipeline.mined(WINDOW)


@on_both
def test_both_engines_give_the_same_tables(
    workspace: Emulator,
    polars: Pipeline,
    remote: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine `spark` gives the rows that `polars` gives, to the last digit."""
    sign_in(workspace, monkeypatch)

    found = _mined(tmp_path, remote)

    assert_same_tables(polars, found, "read_at")
    assert found.table("known_tables")["columns"].list.len().sum() > 0
    costs = found.table("filtered_queries")["estimated_cost_micro_usd"]
    assert 0 < costs.null_count() < costs.len()
    assert found.table("popularity_scores")["estimated_cost_micro_usd"].sum() > 0


@on_both
def test_rows_keep_their_types(engine: SparkEngine) -> None:
    """Rows go to Spark and come back as they were, whole and in batches, or none at all."""
    for rows in (ROWS, ROWS.clear()):
        frame = engine.frame(rows)
        assert_frame_equal(engine.collect(frame), rows, check_row_order=False)
        assert_frame_equal(engine.stream(frame).collect(), rows, check_row_order=False)


@on_both
def test_types_of_all_tables_are_known_to_spark(engine: SparkEngine) -> None:
    """Every result table has a Spark schema that comes back as its own."""
    for table in TABLES.values():
        rows = pl.DataFrame(schema=table.schema)
        assert engine.collect(engine.frame(rows)).schema == table.schema
        assert len(spark_schema(table.schema)) > 0


@on_both
def test_functions_run_on_batches_and_on_groups(engine: SparkEngine) -> None:
    """Functions of ours run on Spark's workers; all rows of one key come together, nulls too."""
    rows = ROWS.select("key", "number")
    mapped = engine.map_batches(engine.frame(rows), doubled, rows.schema)
    assert_frame_equal(engine.collect(mapped), doubled(rows), check_row_order=False)
    many = engine.frame(pl.concat([rows] * 50))
    groups = engine.collect(engine.map_groups(many, ["key"], counted, COUNTS))
    assert sorted(groups.rows(), key=str) == [("a", 100), ("b", 50), (None, 50)]


@on_both
def test_row_hashes_tell_rows_apart(engine: SparkEngine) -> None:
    """Equal rows have equal hashes, others do not, and it matters where a null stands."""
    rows = pl.DataFrame({"one": ["a", None, "a", "a"], "two": [None, "a", "a", None]})
    hashed = engine.with_row_hash(engine.frame(rows), ["one", "two"], ["hash", "hash_2"])
    found = engine.collect(hashed)
    assert found.select("hash").n_unique() == found.select("hash_2").n_unique() == 3
    assert found.unique().height == 3
    assert found.filter(pl.col("hash") == pl.col("hash_2")).is_empty()


@on_both
def test_scan_reads_the_days_of_a_table(engine: SparkEngine, tmp_path: Path) -> None:
    """Days outside of the window stay out, and so does what a later run replaced."""
    storage = DeltaStorage(str(tmp_path))
    for day, text in ((DAY, "SELECT 0"), (DAY, "SELECT 1"), (DAY + timedelta(days=1), "SELECT 2")):
        rows = history({"statement_text": text}).with_columns(day=pl.lit(day))
        storage.replace_days(RAW_QUERY_HISTORY, Window.of_day(day), DayFrame(rows.lazy()))
    found = engine.collect(engine.scan(storage, RAW_QUERY_HISTORY, Window.of_day(DAY)))
    assert_frame_equal(found, history({"statement_text": "SELECT 1"}))
    both = engine.scan(storage, RAW_QUERY_HISTORY, Window.trailing(DAY + timedelta(days=1), 5))
    assert sorted(engine.collect(both)["statement_text"]) == ["SELECT 1", "SELECT 2"]
    before = engine.scan(storage, RAW_QUERY_HISTORY, Window.of_day(DAY - timedelta(days=1)))
    assert engine.collect(before.select(nw.len())).item() == 0


@on_both
def test_tables_of_an_older_release_can_be_scanned(engine: SparkEngine, tmp_path: Path) -> None:
    """Columns that came since are null, with the type that they have today."""
    storage = DeltaStorage(str(tmp_path))
    table = TABLES["daily_usage"]
    today = pl.DataFrame(
        {"reference_hash": ["r"], "user_name": ["ann"], "day": [DAY]}
    ).match_to_schema(table.schema, missing_columns="insert")
    today.drop("estimated_cost_micro_usd").write_delta(
        storage.table_uri(table.name), delta_write_options={"partition_by": ["day"]}
    )
    assert DeltaTable(storage.table_uri(table.name)).version() == 0
    found = engine.collect(engine.scan(storage, table, Window.of_day(DAY)))
    assert_frame_equal(found, today)


@on_both
def test_a_step_that_fails_says_where_and_why(engine: SparkEngine) -> None:
    """What Spark says reaches the user as one error, with the address and without a traceback."""
    mapped = engine.map_batches(engine.frame(ROWS.select("key")), doubled, ROWS.schema)
    with pytest.raises(EngineError, match=r"Spark at sc://127.0.0.1:\d+ could not run a step"):
        engine.collect(mapped)


def test_an_address_where_nobody_answers_is_named() -> None:
    """The error names the address but none of its options, and what to check."""
    with pytest.raises(EngineError) as raised:
        connected("sc://127.0.0.1:1/;token=geheim")
    assert "DBMINER_SPARK_REMOTE=sc://127.0.0.1:1 does not answer" in str(raised.value)
    assert "geheim" not in str(raised.value)


def test_a_missing_client_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Spark's client the error says what to install."""
    monkeypatch.setitem(sys.modules, "pyspark.errors", None)
    with pytest.raises(EngineError, match=r"pip install 'dbminer\[spark\]'"):
        connected("sc://127.0.0.1:2")


def test_the_resource_shows_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster stores what a resource holds: the address, while its options stay outside."""
    monkeypatch.setenv("DBMINER_ENGINE", "spark")
    monkeypatch.setenv("DBMINER_SPARK_REMOTE", "sc://host:443/;token=geheim;use_ssl=true")
    settings = load_settings()
    resource = EngineResource(spark_address=settings.spark_address)
    assert "geheim" not in repr(settings) + repr(resource) + str(resource.model_dump())
    assert isinstance(resource.engine, SparkEngine)
    assert resource.engine.remote == "sc://host:443/;token=geheim;use_ssl=true"
