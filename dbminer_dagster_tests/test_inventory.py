"""Tables known from the source's inventory, and what is made of them."""

import shutil
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from dbminer_dagster.automation import range_tags
from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.mining.inventory import known_names, table_types
from dbminer_dagster.mining.lineage import day_tables, known_tables
from dbminer_dagster.schemas import COLUMN_LINEAGE, KNOWN_TABLES, TABLE_LINEAGE
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.frames import DAY, at, inventory, lineage
from dbminer_dagster_tests.offline_files import (
    column_row,
    lineage_row,
    ndjson,
    system_row,
    write_history,
    write_lineage,
)
from dbminer_dagster_tests.pipeline import FIRST_DAY, JOB, Pipeline, failures
from dbminer_dagster_tests.test_quality_checks import run_check

BEFORE = DAY - timedelta(days=1)
WINDOW = Window.trailing(DAY, 30)
MINED = Window(FIRST_DAY, FIRST_DAY + timedelta(days=2))
DOWNSTREAM = (
    *("table_rebuilds", "table_lineage", "column_lineage"),
    *("query_references", "daily_usage", "popularity_scores"),
)


def test_names_of_a_day_are_those_of_lineage_and_of_its_inventory() -> None:
    """A table is known by lineage of the window, or by the inventory of that very day."""
    raw = lineage({"source_name": "c.s.Used"}, {"source_name": "c.s.old", "at": at(1, date.min)})
    listed = inventory(
        {"table_name": "c.s.used"},
        {"table_name": "c.s.listed"},
        {"table_name": "c.s.gone", "day": BEFORE},
    )
    seen = day_tables(raw.lazy())

    assert set(known_names(seen, listed.lazy(), WINDOW)) == {"c.s.used", "c.s.listed"}
    assert known_names(seen, inventory().lazy(), WINDOW).to_list() == ["c.s.used"]


def test_the_type_comes_from_the_inventory_first() -> None:
    """The inventory's type wins, in lineage's word for it; what it lacks has lineage's own."""
    raw = lineage(
        {"source_name": "c.s.both", "source_type": "VIEW"},
        {"source_name": "c.s.seen", "source_type": "TABLE", "at": at(1, BEFORE)},
        {"source_name": "c.s.seen", "source_type": "VIEW"},
        {"source_name": "c.s.untyped", "source_type": "STREAMING_TABLE"},
    )
    listed = inventory(
        {"table_name": "c.s.both", "table_type": "EXTERNAL"},
        {"table_name": "c.s.listed", "table_type": "MATERIALIZED_VIEW"},
        {"table_name": "c.s.untyped", "table_type": None},
        {"table_name": "c.s.seen", "table_type": "METRIC_VIEW", "day": BEFORE},
    )
    found = table_types(known_tables(raw.lazy()).collect(), listed.lazy(), WINDOW)

    assert dict(found.collect().iter_rows()) == {
        "c.s.both": "TABLE",
        "c.s.listed": "MATERIALIZED_VIEW",
        "c.s.seen": "VIEW",
        "c.s.untyped": "STREAMING_TABLE",
    }


def statement_rows() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """History and lineage of two days: a read and a write by path, and a read by a short name."""
    history, events = [], []
    for day in MINED:
        noon = f"{day}T12:00:00Z"
        path = {"source_table_full_name": None, "source_path": f"s3a://Lake/orders/day={day}"}
        by_path = path | {"source_type": "PATH", "statement_id": f"path-{day}"}
        read = {"record_id": f"r-{day}", "event_time": noon, "target_table_full_name": None}
        wrote = {"record_id": f"w-{day}", "event_time": noon, "statement_id": f"write-{day}"}
        into = {"target_table_full_name": "main.gold.report", "target_type": "TABLE"}
        events += [
            lineage_row(**by_path, **read),
            column_row(**by_path, **read, source_column_name="Amount", target_column_name=None),
            lineage_row(**wrote, **path, source_type="PATH", **into),
            column_row(**wrote, **path, source_type="PATH", **into),
        ]
        for name, text in (
            ("path", f"SELECT amount FROM delta.`s3a://Lake/orders/day={day}`"),
            ("write", "INSERT INTO main.gold.report SELECT * FROM x"),
            ("short", "SELECT city FROM customers"),
        ):
            kind = "INSERT" if name == "write" else "SELECT"
            statement = {"start_time": noon, "statement_text": text, "statement_type": kind}
            history.append(system_row(f"{name}-{day}", **statement, executed_by="ann@x.com"))
    return history, events


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Two days of these statements, mined without an inventory."""
    folder = tmp_path_factory.mktemp("inventory")
    history, events = statement_rows()
    write_history(folder / "files", ndjson(*history))
    write_lineage(folder / "files", ndjson(*events))
    return Pipeline(str(folder / "files"), str(folder / "storage")).mined(MINED)


@pytest.fixture
def pipeline(mined: Pipeline, tmp_path: Path) -> Pipeline:
    """A copy of it to go on with."""
    return Pipeline(mined.offline, str(shutil.copytree(mined.storage, tmp_path / "storage")))


def mine_downstream(pipeline: Pipeline) -> dict[str, dict[str, object]]:
    """Mines again what uses the inventory; gives the metadata of the last day by asset."""
    job = build_definitions(pipeline.settings).resolve_job_def(JOB)
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in DOWNSTREAM],
            tags=range_tags(MINED),
            raise_on_error=False,
        )
        assert result.success, failures(result)
        events = [
            event
            for event in result.get_asset_materialization_events()
            if event.partition == str(MINED.last_day)
        ]
    return {
        str(event.asset_key.path[-1]): {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in events
        if event.asset_key
    }


def store_inventory(pipeline: Pipeline) -> None:
    tables = [
        {"table_name": "main.silver.orders", "storage_path": "s3://lake/orders/"},
        {"table_name": "main.silver.customers", "storage_path": "s3://lake/customers"},
    ]
    rows = inventory(*(table | {"day": day} for table in tables for day in MINED))
    DeltaStorage(pipeline.storage).replace_days(KNOWN_TABLES, MINED, DayFrame(rows.lazy()))


def test_offline_files_hold_no_inventory(mined: Pipeline) -> None:
    """Without an inventory a run succeeds, its days count as mined, and paths stay paths."""
    assert mined.table("known_tables").is_empty()
    assert DeltaStorage(mined.storage).days_present(KNOWN_TABLES, MINED) == set(MINED)
    assert mined.table("table_lineage")["source_type"].unique().to_list() == ["PATH"]
    assert set(mined.table("popularity_scores")["table_name"]) == set()


def test_paths_and_names_resolve_by_the_inventory(pipeline: Pipeline) -> None:
    """With an inventory edges, reads and scores are those of the tables that lie at the paths."""
    store_inventory(pipeline)
    figures = mine_downstream(pipeline)
    of_day = pl.col("day") == MINED.last_day

    for table in (TABLE_LINEAGE, COLUMN_LINEAGE):
        (edge,) = pipeline.table(table.name).filter(of_day).to_dicts()
        assert (edge["source_name"], edge["source_type"]) == ("main.silver.orders", "TABLE")
        assert edge["event_count"] == MINED.days
        counted = [figures[table.name][f"path_ends_{way}"] for way in ("resolved", "unresolved")]
        assert counted == [2, 0]
    scores = pipeline.table("popularity_scores").filter(of_day)
    assert set(scores.select("table_name", "column_name", "table_type", "read_count").rows()) == {
        ("main.silver.orders", None, "TABLE", 2),
        ("main.silver.orders", "amount", "TABLE", 2),
        ("main.silver.customers", None, "TABLE", 2),
        ("main.silver.customers", "city", "TABLE", 2),
    }
    for asset in ("table_lineage", "column_lineage"):
        check = run_check(DeltaStorage(pipeline.storage), asset, "every_edge_accounted_for")
        assert check.passed, check.description


def test_tables_of_an_older_release_are_mined_on(pipeline: Pipeline) -> None:
    """Where no inventory was ever mined, what uses it goes by lineage alone."""
    before = {name: pipeline.table(name) for name in DOWNSTREAM}
    shutil.rmtree(Path(pipeline.storage) / KNOWN_TABLES.name)

    mine_downstream(pipeline)

    for name, rows in before.items():
        key = [column for column in rows.columns if not rows[column].dtype.is_nested()]
        assert rows.sort(key).equals(pipeline.table(name).sort(key)), name
    check = run_check(DeltaStorage(pipeline.storage), "table_lineage", "every_edge_accounted_for")
    assert check.passed


def test_a_table_that_stands_twice_is_found(pipeline: Pipeline) -> None:
    """Two rows of one name on a day fail the check of the inventory's keys."""
    store_inventory(pipeline)
    storage = DeltaStorage(pipeline.storage)
    assert run_check(storage, "known_tables", "keys_unique").passed
    rows = storage.scan(KNOWN_TABLES, MINED).collect()

    storage.replace_days(KNOWN_TABLES, MINED, DayFrame(pl.concat([rows, rows.head(1)]).lazy()))

    assert not run_check(storage, "known_tables", "keys_unique").passed
