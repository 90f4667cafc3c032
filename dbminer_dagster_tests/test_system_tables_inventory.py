"""The inventory that `system.information_schema` gives, against a workspace on loopback."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dbminer_dagster.errors import CutOffError, StatementError
from dbminer_dagster.resources.extractor import Inventory
from dbminer_dagster.schemas import KNOWN_TABLES
from dbminer_dagster.spool import open_spool
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.faults import Fault, FaultKind
from dbminer_dagster_tests.offline_files import lineage_row, system_row
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline
from dbminer_dagster_tests.warehouse import extractor, load, sign_in, wait_less

TABLES, COLUMNS = (f"system.information_schema.{view}" for view in ("tables", "columns"))
READ_AT = datetime(2026, 1, 9, 8, 30, 0, 123456, tzinfo=UTC)
ALTERED = datetime(2025, 12, 24, 18, tzinfo=UTC)
WINDOW = Window(FIRST_DAY, FIRST_DAY + timedelta(days=3))


@pytest.fixture
def emulator(databricks_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """A workspace that the miner signs in to."""
    sign_in(databricks_emulator, monkeypatch)
    return databricks_emulator


def list_table(emulator: Emulator, *parts: str, columns: tuple[str, ...] = (), **more: Any) -> None:
    """Adds a table to the inventory, its columns in an order that is not theirs."""
    name = dict(zip(("table_catalog", "table_schema", "table_name"), parts, strict=True))
    emulator.load_rows(TABLES, [{**name, "table_type": "MANAGED", "last_altered": ALTERED} | more])
    numbered = sorted(enumerate(columns), key=lambda column: column[1])
    rows = [{**name, "column_name": each, "ordinal_position": at} for at, each in numbered]
    emulator.load_rows(COLUMNS, rows)


def read(**settings: Any) -> tuple[Inventory, pl.DataFrame]:
    with open_spool() as spool:
        found = extractor(**settings).inventory(READ_AT, spool)
        rows = found.frame.sort("table_name").collect()
    assert rows.with_columns(day=pl.lit(FIRST_DAY)).schema == KNOWN_TABLES.schema
    assert found.row_count == rows.height
    return found, rows


def test_a_table_is_told_with_its_columns_in_order(emulator: Emulator) -> None:
    """Each table has its key, its type and path as spelled, and its columns by position."""
    columns = tuple(f"C{number}" for number in range(12))
    list_table(emulator, "Main", "Gold", "T", columns=columns, storage_path="s3a://Lake/T/")
    list_table(emulator, "main", "gold", "odd.`one", columns=("ü x",), table_type="VIEW")
    list_table(emulator, "main", "gold", "bare", last_altered=None)

    found, rows = read()

    assert found.notes == ()
    assert rows.drop("read_at", "extraction_method").rows() == [
        ("main.gold.`odd.``one`", "VIEW", None, ["ü x"], ALTERED),
        ("main.gold.bare", "MANAGED", None, [], None),
        ("main.gold.t", "MANAGED", "s3a://Lake/T/", [each.lower() for each in columns], ALTERED),
    ]
    assert rows["read_at"].unique().to_list() == [READ_AT]
    assert rows["extraction_method"].unique().to_list() == ["system_table"]


def test_excluded_catalogs_stay_in_the_warehouse(emulator: Emulator) -> None:
    """Excluded catalogs and every information_schema are left out by the statements, bound."""
    for parts in (
        ("main", "s", "t"),
        ("samples", "s", "t"),
        ("Dev_A", "s", "t"),
        ("main", "information_schema", "tables"),
    ):
        list_table(emulator, *parts, columns=("x",))

    _, rows = read(excluded_catalogs="samples,dev_*,system")
    assert rows["table_name"].to_list() == ["main.s.t"]
    assert read(excluded_catalogs="system")[1].height == 3
    for statement in emulator.statements:
        assert "dev_" not in statement.text
        assert statement.parameters
        assert statement.rows_sent <= 3
        assert statement.query_tags["application"] == "dbminer"


def test_an_inventory_that_cannot_be_read_is_empty(emulator: Emulator) -> None:
    """A statement that fails gives no row, and a note that says what came back."""
    list_table(emulator, "main", "s", "t", storage_path="s3://lake/t")
    emulator.drop_columns(TABLES, "last_altered")

    found, rows = read()

    assert rows.is_empty()
    assert not found.is_readable
    assert f"{TABLES} could not be read." in found.notes[0]
    assert "last_altered" in found.notes[0]


@pytest.mark.parametrize("view", ["tables", "columns"])
def test_a_statement_that_ended_half_way_fails(emulator: Emulator, view: str) -> None:
    """What is no refusal is no inventory either: it would replace a good one by a worse."""
    list_table(emulator, "main", "s", "t", columns=("x",))
    emulator.faults.add(Fault("statement_canceled", f"*`information_schema`.`{view}`*"))

    with pytest.raises(StatementError, match="cancel"):
        read()


def test_a_result_that_was_cut_off_fails(emulator: Emulator) -> None:
    """A list that lacks tables would make names look unique, and is refused with both counts."""
    for schema in ("a", "b", "c"):
        list_table(emulator, "main", schema, "t")
    emulator.results.row_cut = 2

    with pytest.raises(CutOffError, match=r"tables: the result held 2 of its 3 rows"):
        read()


def test_a_principal_that_sees_no_table_is_told_so(emulator: Emulator) -> None:
    """An inventory without a table is no failure, and says which grant would fill it."""
    list_table(emulator, "main", "s", "t")
    for principal in emulator.workspace.principals:
        emulator.workspace.revoke("USE CATALOG", "CATALOG", "main", to=principal)

    found, rows = read()

    assert rows.is_empty()
    assert found.is_readable
    assert "BROWSE or SELECT" in found.notes[0]


@pytest.mark.parametrize("kind", ["503", "dropped_in_answer"])
def test_a_fault_is_outlived(
    emulator: Emulator, kind: FaultKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that passes costs an attempt, and no row stands twice."""
    wait_less(monkeypatch)
    list_table(emulator, "main", "s", "t", columns=("x", "y"))
    emulator.faults.add(Fault(kind, "FetchResults"))

    _, rows = read()

    assert rows.select("table_name", "columns").rows() == [("main.s.t", ["x", "y"])]


def test_a_run_gives_all_its_days_one_snapshot(emulator: Emulator, tmp_path: Path) -> None:
    """Each day has the same rows, read at one time; a later refusal leaves them as they are."""
    list_table(emulator, "main", "a", "s", columns=("x",), storage_path="s3://lake/s")
    times = [f"{day}T12:00:00Z" for day in WINDOW]
    edges = [lineage_row(event_time=time, record_id=time) for time in times]
    by_path = {"source_table_full_name": None, "source_path": "s3a://lake/s/"}
    edges += [row | by_path | {"record_id": f"p{row['record_id']}"} for row in edges]
    columns = [row | {"source_column_name": "x", "target_column_name": "y"} for row in edges]
    statements = [system_row(time, start_time=time, executed_by="ann@x.com") for time in times]
    load(emulator, statements, [*edges, *columns])
    pipeline = Pipeline("unused", str(tmp_path), lineage_method="system_table").mined(WINDOW)

    stored = pipeline.table("known_tables")
    assert stored.sort("day")["day"].to_list() == list(WINDOW)
    assert stored.drop("day").unique().height == 1
    for table in ("table_lineage", "column_lineage"):
        found = pipeline.table(table).select("source_name", "target_name").unique()
        assert found.rows() == [("main.a.s", "main.a.t")]

    emulator.drop_columns(TABLES, "last_altered")
    again = pipeline.mined(Window.of_day(WINDOW.last_day)).table("known_tables")
    assert again.sort("day").equals(stored.sort("day"))
