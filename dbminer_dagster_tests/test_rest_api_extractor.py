"""The REST method: its rows are those of the offline method on the same answers, and its notes."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import time_machine

from dbminer_dagster.errors import DayNotCoveredError, RequestBudgetError
from dbminer_dagster.resources.databricks import DatabricksResource
from dbminer_dagster.resources.extractor import Inventory
from dbminer_dagster.resources.rest_api import RestApiExtractor
from dbminer_dagster.schemas import KNOWN_TABLES, RAW_TABLE_LINEAGE
from dbminer_dagster.settings import load_settings
from dbminer_dagster.spool import open_spool
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.api_error import Answer, refused
from dbminer_dagster_tests.databricks_emulator.routes import Body, Call, find_route, route
from dbminer_dagster_tests.databricks_emulator.workspace import Column, Table
from dbminer_dagster_tests.offline_files import DAY, column_row, lineage_of, lineage_row
from dbminer_dagster_tests.warehouse import load

READ_AT = datetime(2026, 1, 9, 8, 30, tzinfo=UTC)
TABLE_PATH = "/api/2.0/lineage-tracking/table-lineage"
Extract = Callable[..., RestApiExtractor]


@pytest.fixture
def emulator(databricks_emulator: Emulator, no_databricks: pytest.MonkeyPatch) -> Emulator:
    """A workspace that the miner signs in to."""
    for name, value in databricks_emulator.environment("pat").items():
        no_databricks.setenv(name, value)
    return databricks_emulator


@pytest.fixture
def extractor(emulator: Emulator, tmp_path: Path) -> Extract:  # noqa: ARG001
    """Makes the extractor of the workspace."""

    def extractor_with(**settings: Any) -> RestApiExtractor:
        fast = {"rest_tables_per_second": 1000, "rest_columns_per_second": 1000}
        given = load_settings(work_folder=str(tmp_path / "work"), **{**fast, **settings})
        return RestApiExtractor.of(given, DatabricksResource.of(given))

    return extractor_with


def add_lineage(emulator: Emulator, *rows: dict[str, Any]) -> None:
    """Adds rows of lineage and the tables that they name."""
    load(emulator, lineage=rows)
    emulator.add_tables_of_lineage()


def inventory(extractor: RestApiExtractor) -> tuple[Inventory, pl.DataFrame]:
    with open_spool() as spool:
        found = extractor.inventory(READ_AT, spool)
        rows = found.frame.sort("table_name").collect()
    assert rows.with_columns(day=pl.lit(DAY)).schema == KNOWN_TABLES.schema
    assert found.row_count == rows.height
    return found, rows


def test_an_edge_is_told_once(emulator: Emulator, extractor: Extract) -> None:
    """Both ends answer of the same edge, which is one row with the types of both."""
    add_lineage(emulator, lineage_row(source_type="TABLE", target_type="TABLE"), column_row())

    tables, columns = lineage_of(extractor(), Window.of_day(DAY)).values()
    assert tables.rows.select("source_name", "target_name", "event_count").rows() == [
        ("main.a.s", "main.a.t", 1)
    ]
    assert columns.rows.select("source_column", "target_column").rows() == [("x", "y")]
    assert tables.extraction.counts["rows_merged"] == 1


def test_edges_of_other_days_are_left_out_and_counted(
    emulator: Emulator, extractor: Extract
) -> None:
    """An edge is only on the day on which it was last seen; newer and older ones are counted."""
    for number, time in enumerate(("2026-01-04T12:00:00Z", "2026-01-06T00:00:00Z")):
        add_lineage(
            emulator, lineage_row(event_time=time, target_table_full_name=f"main.a.{number}")
        )
    add_lineage(emulator, lineage_row())

    (found,) = lineage_of(extractor(), Window.of_day(DAY), [RAW_TABLE_LINEAGE]).values()
    assert found.column("target_name") == ["main.a.t"]
    assert found.extraction.counts["rows_of_other_days"] == 4
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert found.extraction.covered == (date(2026, 1, 4), yesterday)


def test_the_day_of_the_snapshot_is_not_covered(emulator: Emulator, extractor: Extract) -> None:
    """That day is not over: an edge on it does not make it a day that may be mined."""
    newest = lineage_row(event_time="2026-01-09T08:00:00Z", target_table_full_name="main.a.new")
    add_lineage(emulator, lineage_row(), newest)
    window = Window(DAY, date(2026, 1, 10))

    with time_machine.travel(READ_AT):
        (found,) = lineage_of(extractor(), window, [RAW_TABLE_LINEAGE]).values()
        assert found.extraction.absent_days(window) == {READ_AT.date()}
        with pytest.raises(DayNotCoveredError):
            lineage_of(extractor(), Window.of_day(READ_AT.date()))


def test_a_snapshot_of_a_day_that_was_not_over_is_not_gone_on_with(
    emulator: Emulator, extractor: Extract
) -> None:
    """What was answered on the mined day does not know its later edges, so it is asked again."""
    window = Window(DAY, READ_AT.date() + timedelta(days=1))
    for number in range(4):
        target = f"main.a.{number}"
        add_lineage(emulator, lineage_row(target_table_full_name=target))
    with time_machine.travel(READ_AT), pytest.raises(RequestBudgetError):
        lineage_of(extractor(rest_max_requests=2), window, [RAW_TABLE_LINEAGE])
    with time_machine.travel(READ_AT + timedelta(hours=1)), pytest.raises(RequestBudgetError):
        lineage_of(extractor(rest_max_requests=2), Window.of_day(DAY), [RAW_TABLE_LINEAGE])
    sent = len(emulator.requests)
    late = [
        lineage_row(event_time="2026-01-09T20:00:00Z", target_table_full_name=f"main.a.{number}")
        for number in range(4)
    ]
    add_lineage(emulator, *late)

    with time_machine.travel(READ_AT + timedelta(days=1)):
        (found,) = lineage_of(
            extractor(), Window.of_day(READ_AT.date()), [RAW_TABLE_LINEAGE]
        ).values()
    assert found.rows.height == 4
    asked = [each for each in emulator.requests[sent:] if "table-lineage" in each.path]
    assert len(asked) == 5


def test_a_retry_after_a_day_that_is_not_covered_asks_again(
    emulator: Emulator, extractor: Extract
) -> None:
    """What came to nothing is forgotten, so that a later edge is found."""
    emulator.workspace.add_table(Table("main", "a", "t"))
    with pytest.raises(DayNotCoveredError):
        lineage_of(extractor(), Window.of_day(DAY))
    add_lineage(emulator, lineage_row())

    assert lineage_of(extractor(), Window.of_day(DAY))["raw_table_lineage"].rows.height == 1


def test_what_failed_is_named(emulator: Emulator, extractor: Extract) -> None:
    """The metadata names the tables of which the workspace tells nothing but an error."""
    add_lineage(emulator, lineage_row())
    server = emulator._server  # noqa: SLF001
    usual, _ = find_route(server.routes, "GET", TABLE_PATH)

    def answer(call: Call) -> Body | Answer:
        if call.query["table_name"] == "main.a.s":
            raise refused(400, "INVALID_PARAMETER_VALUE", "It stumbles.")
        return usual.answer(call)

    server.routes = (route("GET", TABLE_PATH, usual.scope, answer), *server.routes)

    (found,) = lineage_of(extractor(), Window.of_day(DAY), [RAW_TABLE_LINEAGE]).values()
    assert found.extraction.notes["failed"] == ["main.a.s"]
    assert found.extraction.counts["tables_failed"] == 1


def test_a_snapshot_says_what_it_cannot_know(emulator: Emulator, extractor: Extract) -> None:
    """The metadata has the time of the snapshot, and what was denied, gone or masked."""
    add_lineage(emulator, lineage_row(), lineage_row(target_table_full_name="main.a.gone"))
    emulator.lineage.deleted_tables = {"main.a.gone"}
    emulator.lineage.add_item("main.a.t", "upstreams", {"tableInfo": {"has_permission": False}})
    emulator.lineage.add_item("main.a.t", "upstreams", {"modelInfo": {"model_name": "m"}})

    (found,) = lineage_of(extractor(), Window.of_day(DAY), [RAW_TABLE_LINEAGE]).values()
    (note,) = found.extraction.notes["snapshot"]
    assert "last seen" in note
    assert f"{datetime.now(UTC):%Y-%m-}" in note
    counts = found.extraction.counts
    assert (counts["tables_asked"], counts["tables_gone"]) == (3, 1)
    assert (counts["masked"], counts["other_kind:modelInfo"]) == (1, 1)


def test_columns_are_asked_only_for_column_lineage(emulator: Emulator, extractor: Extract) -> None:
    """A run of table lineage alone costs no request for a column."""
    add_lineage(emulator, lineage_row(), column_row())

    lineage_of(extractor(), Window.of_day(DAY), [RAW_TABLE_LINEAGE])
    assert not any("column-lineage" in request.path for request in emulator.requests)


def test_a_finished_run_leaves_no_journal(
    emulator: Emulator, extractor: Extract, tmp_path: Path
) -> None:
    """What was answered is kept after a run that was cut off, and goes with one that was not."""
    add_lineage(emulator, lineage_row())
    window = Window.of_day(DAY)

    with pytest.raises(RequestBudgetError):
        lineage_of(extractor(rest_max_requests=1), window)
    assert list((tmp_path / "work").glob("lineage-*.sqlite"))
    lineage_of(extractor(), window)
    assert not list((tmp_path / "work").iterdir())
    asked = [
        request.query["table_name"]
        for request in emulator.requests
        if "table-lineage" in request.path
    ]
    assert sorted(asked) == ["main.a.s", "main.a.t"]


def test_a_workspace_without_lineage_covers_no_day(emulator: Emulator, extractor: Extract) -> None:
    """Nothing at all is not taken for an empty day: it mostly means missing grants."""
    emulator.workspace.add_table(Table("main", "a", "t"))

    with pytest.raises(DayNotCoveredError, match=r"no row at all.*BROWSE"):
        lineage_of(extractor(), Window.of_day(DAY))


def test_the_inventory_is_that_of_the_lists(emulator: Emulator, extractor: Extract) -> None:
    """Each table has its key, its type and path as spelled, and its columns by position."""
    add = emulator.workspace.add_table
    columns = tuple(Column(f"C{number}") for number in range(12))
    add(Table("Main", "Gold", "T", columns=columns, storage_location="s3a://Lake/T/"))
    add(Table("main", "gold", "odd.`one", table_type="VIEW", columns=(Column("ü x"),)))
    add(Table("samples", "s", "t"))

    found, rows = inventory(extractor())
    assert found.notes == ()
    shown = rows.select("table_name", "table_type", "storage_path", "columns")
    assert shown.rows() == [
        ("main.gold.`odd.``one`", "VIEW", None, ["ü x"]),
        ("main.gold.t", "MANAGED", "s3a://Lake/T/", [f"c{number}" for number in range(12)]),
    ]
    assert rows["read_at"].unique().to_list() == [READ_AT]
    assert rows["extraction_method"].unique().to_list() == ["rest_api"]


def test_an_inventory_without_tables_says_why(emulator: Emulator, extractor: Extract) -> None:
    """A principal who sees nothing is told the grant."""
    emulator.workspace.add_table(Table("main", "a", "t"))
    emulator.workspace.revoke_everything(emulator.workspace.user)

    found, rows = inventory(extractor())
    assert rows.is_empty()
    assert found.is_readable
    assert "BROWSE" in found.notes[0]


def test_an_inventory_without_metastore_is_not_readable(
    emulator: Emulator, extractor: Extract
) -> None:
    """A workspace without Unity Catalog has no inventory: that is a note, and no error."""
    emulator.workspace.unity_catalog = False

    found, rows = inventory(extractor())
    assert rows.is_empty()
    assert not found.is_readable
    assert "could not be listed" in found.notes[0]
