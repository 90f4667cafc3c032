"""A session on a SQL warehouse: results, cancellation, and what each failure says."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime

import dagster as dg
import polars as pl
import pytest
from databricks.sql import exc

from dbminer_dagster.databricks import warehouse as warehouse_module
from dbminer_dagster.databricks.connection import Connection
from dbminer_dagster.databricks.sql_errors import explain_sql
from dbminer_dagster.databricks.system_tables import SystemTable
from dbminer_dagster.databricks.warehouse import Warehouse
from dbminer_dagster.errors import (
    AccessDeniedError,
    StatementError,
    WarehouseError,
    WorkspaceUnreachableError,
)
from dbminer_dagster.preflight.grants import denied_answer
from dbminer_dagster.settings import load_settings
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.faults import Fault

LINEAGE = "SELECT event_date, event_time, statement_id FROM system.access.table_lineage"
EVENT_TIME = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)


@pytest.fixture
def connection(databricks_emulator: Emulator, no_databricks: pytest.MonkeyPatch) -> Connection:
    """A connection with a personal access token."""
    for name, value in databricks_emulator.environment("pat").items():
        no_databricks.setenv(name, value)
    return Connection.from_settings(load_settings())


@pytest.fixture
def warehouse(databricks_emulator: Emulator, connection: Connection) -> Iterator[Warehouse]:
    """A session, opened with its first statement."""
    with connection.warehouse(databricks_emulator.workspace.warehouse_id) as session:
        yield session


def load_lineage(emulator: Emulator, count: int) -> None:
    emulator.load_rows(
        "system.access.table_lineage",
        (
            {
                "event_date": EVENT_TIME.date(),
                "event_time": EVENT_TIME,
                "statement_id": f"s{number}",
            }
            for number in range(count)
        ),
    )


def calls(emulator: Emulator) -> list[str]:
    return [request.operation for request in emulator.requests]


def test_parameters_and_times_keep_their_values(
    databricks_emulator: Emulator, warehouse: Warehouse
) -> None:
    """Values are bound by name, and times come back as the same instants, in UTC."""
    load_lineage(databricks_emulator, 1)
    statement = f"{LINEAGE} WHERE event_time >= :start AND event_time < :end AND event_date = :day"
    parameters = {
        "start": EVENT_TIME,
        "end": datetime(2026, 3, 2, tzinfo=UTC),
        "day": date(2026, 3, 1),
    }
    (frame,) = warehouse.batches(statement, parameters)
    assert frame.schema["event_time"] == pl.Datetime("us", "UTC")
    assert frame.rows() == [(date(2026, 3, 1), EVENT_TIME, "s0")]
    assert warehouse.rows(statement, parameters) == frame.to_dicts()
    assert warehouse.rows(statement, {**parameters, "start": parameters["end"]}) == []


def test_statements_are_marked_as_ours(databricks_emulator: Emulator, warehouse: Warehouse) -> None:
    """Every statement carries the query tag by which the miner leaves it out later."""
    list(warehouse.batches("SELECT 1"))
    warehouse.rows("SELECT 2")
    tags = [statement.query_tags for statement in databricks_emulator.statements]
    assert tags == [{"application": "dbminer"}] * 2


@pytest.mark.parametrize("links_above_bytes", [0, 2**40])
def test_large_results_come_in_batches(
    databricks_emulator: Emulator,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    links_above_bytes: int,
) -> None:
    """All rows arrive once, in frames of limited size, inline and by CloudFetch links."""
    databricks_emulator.results.links_above_bytes = links_above_bytes
    monkeypatch.setattr(warehouse_module, "BATCH_ROWS", 400)
    load_lineage(databricks_emulator, 1_200)
    frames = list(warehouse.batches(LINEAGE))
    assert [frame.height for frame in frames] == [400, 400, 400]
    assert pl.concat(frames)["statement_id"].n_unique() == 1_200
    (statement,) = databricks_emulator.statements
    assert (statement.state, statement.rows_sent) == ("FINISHED", 1_200)


@pytest.mark.parametrize("links_above_bytes", [0, 2**40])
def test_empty_result_has_its_columns(
    databricks_emulator: Emulator, warehouse: Warehouse, links_above_bytes: int
) -> None:
    """A result without rows is one frame, with the columns; taking only that cancels nothing."""
    databricks_emulator.results.links_above_bytes = links_above_bytes
    with closing(warehouse.batches(f"{LINEAGE} LIMIT 0")) as batches:
        frame = next(batches)
    assert frame.height == 0
    assert frame.columns == ["event_date", "event_time", "statement_id"]
    assert databricks_emulator.statements[0].state == "FINISHED"


@contextmanager
def interrupted(error: BaseException, when: Callable[[], bool]) -> Iterator[None]:
    """Raises an error in this thread, as a signal does, a moment after the condition holds."""

    def wait_and_signal() -> None:
        while not when():
            time.sleep(0.01)
        time.sleep(0.1)
        signal.raise_signal(signal.SIGUSR1)

    def handler(*_: object) -> None:
        raise error

    previous = signal.signal(signal.SIGUSR1, handler)
    thread = threading.Thread(target=wait_and_signal)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, previous)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), dg.DagsterExecutionInterruptedError()])
def test_interrupt_cancels_the_running_statement(
    databricks_emulator: Emulator, warehouse: Warehouse, error: BaseException
) -> None:
    """An interrupt, as Dagster's when a run is terminated, cancels in the warehouse."""
    databricks_emulator.faults.add(Fault("slow", "SELECT 7*", delay_s=60))

    def is_running() -> bool:
        return "GetOperationStatus" in calls(databricks_emulator)

    with pytest.raises(type(error)), interrupted(error, is_running):
        list(warehouse.batches("SELECT 7"))
    assert databricks_emulator.statements[0].state == "CANCELED"


def test_interrupt_ends_a_statement_without_a_handle(
    databricks_emulator: Emulator, warehouse: Warehouse
) -> None:
    """A statement whose start has not been answered yet ends with the session."""
    databricks_emulator.faults.add(Fault("slow", "SELECT 7*", delay_s=60))
    databricks_emulator.results.direct_results_wait_s = 2.0

    def is_starting() -> bool:
        return bool(databricks_emulator.statements)

    with pytest.raises(KeyboardInterrupt), interrupted(KeyboardInterrupt(), is_starting):
        warehouse.rows("SELECT 7")
    assert databricks_emulator.statements[0].state == "CLOSED"


def test_iteration_that_ends_early_cancels(
    databricks_emulator: Emulator, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing the iterator, and an error of who iterates, cancel the rest of the statement."""
    monkeypatch.setattr(warehouse_module, "BATCH_ROWS", 100)
    databricks_emulator.results.links_above_bytes = 2**40
    load_lineage(databricks_emulator, 1_000)
    with closing(warehouse.batches(LINEAGE)) as batches:
        next(batches)
    with pytest.raises(ZeroDivisionError), closing(warehouse.batches(LINEAGE)) as batches:
        assert next(batches).height / 0
    assert [statement.state for statement in databricks_emulator.statements] == ["CANCELED"] * 2
    assert warehouse.rows("SELECT 1 AS one") == [{"one": 1}]


def test_failed_statement_says_why(databricks_emulator: Emulator, warehouse: Warehouse) -> None:
    """A failure carries Databricks' error class; the session goes on."""
    for run in (warehouse.rows, lambda statement: list(warehouse.batches(statement))):
        with pytest.raises(StatementError, match="enable the system schema") as raised:
            run("SELECT * FROM system.access.no_such_table")
        assert raised.value.error_class == "TABLE_OR_VIEW_NOT_FOUND"
        assert not raised.value.retryable
    assert warehouse.rows("SELECT 1 AS one") == [{"one": 1}]
    assert calls(databricks_emulator).count("OpenSession") == 1


@pytest.mark.parametrize(
    ("privilege", "kind", "securable"),
    [
        ("USE CATALOG", "CATALOG", "system"),
        ("USE SCHEMA", "SCHEMA", "system.access"),
        ("SELECT", "TABLE", "system.access.table_lineage"),
    ],
)
def test_missing_privilege_comes_with_its_grant(
    databricks_emulator: Emulator,
    warehouse: Warehouse,
    privilege: str,
    kind: str,
    securable: str,
) -> None:
    """The error names the privilege, and running its GRANT line as it stands repairs it."""
    workspace = databricks_emulator.workspace
    if privilege == "SELECT":
        workspace.revoke("SELECT", "SCHEMA", "system.access", to=workspace.user)
    else:
        workspace.revoke(privilege, kind, securable, to=workspace.user)
    with pytest.raises(AccessDeniedError) as raised:
        warehouse.rows(LINEAGE)
    error = raised.value
    assert (error.privilege, error.securable) == (privilege, securable)
    workspace.run_sql_as_admin(error.remedy.partition(" run: ")[2])
    assert warehouse.rows(LINEAGE) == []


def test_names_that_hold_the_word_warehouse_are_no_matter_of_the_warehouse(
    databricks_emulator: Emulator, warehouse: Warehouse
) -> None:
    """A denial in a catalog or schema named after a warehouse names the privilege on it."""
    workspace = databricks_emulator.workspace
    clone = "data_warehouse.sql endpoint.table_lineage"
    databricks_emulator.create_view(clone, "SELECT * FROM system.access.table_lineage")
    workspace.revoke("SELECT", "SCHEMA", "data_warehouse.sql endpoint", to=workspace.user)
    with pytest.raises(AccessDeniedError) as raised:
        warehouse.rows("SELECT * FROM data_warehouse.`sql endpoint`.table_lineage")
    assert (raised.value.privilege, raised.value.securable) == ("SELECT", clone)


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        (" User does not have SELECT on Table 'system.access.table_lineage'.", "SELECT on table "),
        ("", "a privilege"),
    ],
)
def test_right_that_the_owner_of_a_view_lacks_is_not_granted_to_the_miner(
    databricks_emulator: Emulator, connection: Connection, said: str, missing: str
) -> None:
    """Where a view's owner may not read what is below it, the owner needs the privilege."""
    text = (
        "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: Access to this SQL warehouse's view "
        "was denied because the owner of one of the underlying resources failed an authorization "
        f"check.{said} SQLSTATE: 42501"
    )
    warehouse_id = databricks_emulator.workspace.warehouse_id
    error = explain_sql(exc.ServerOperationError(text), connection, warehouse_id)
    assert isinstance(error, AccessDeniedError)
    assert "owner of a view" in error.what
    assert missing in error.what
    table = SystemTable("system", "access", "table_lineage", frozenset(), frozenset())
    answer = denied_answer({table: error}, connection.principal)
    assert (answer.text, answer.remedy, answer.statements) == (error.what, error.remedy, ())
    assert "to the owner of the view" in error.remedy


def test_warehouse_that_may_not_be_used(
    databricks_emulator: Emulator, warehouse: Warehouse
) -> None:
    """Without CAN USE the error names the principal and the permission."""
    databricks_emulator.workspace.warehouse.can_use.clear()
    with pytest.raises(WarehouseError) as raised:
        warehouse.rows("SELECT 1")
    assert databricks_emulator.workspace.user.name in raised.value.what
    assert "CAN USE" in raised.value.remedy


def test_warehouse_that_does_not_exist(connection: Connection) -> None:
    """A wrong id is told apart, and the warehouses that may be used are listed."""
    with pytest.raises(WarehouseError, match="does not exist") as raised:
        connection.warehouse("0123456789abcdef").rows("SELECT 1")
    assert "Set DBMINER_WAREHOUSE_ID to one that" in raised.value.remedy
    assert "8c1f0a57d2e94b36 (Mining)" in raised.value.remedy


def test_warehouse_that_was_deleted(databricks_emulator: Emulator, warehouse: Warehouse) -> None:
    """A deleted warehouse is told apart from one that may not be used."""
    databricks_emulator.workspace.warehouse.state = "DELETED"
    with pytest.raises(WarehouseError, match="does not exist"):
        warehouse.rows("SELECT 1")


def test_stopped_warehouse_starts(databricks_emulator: Emulator, warehouse: Warehouse) -> None:
    """A stopped warehouse starts with the first statement, and that waits for it."""
    databricks_emulator.workspace.warehouse.state = "STOPPED"
    assert warehouse.rows("SELECT 1 AS one") == [{"one": 1}]


@pytest.mark.parametrize("kind", ["503", "dropped_before_answer", "slow"])
def test_faults_are_waited_out(
    databricks_emulator: Emulator, warehouse: Warehouse, kind: str
) -> None:
    """The session waits when it is told to come back, and asks again after a broken connection."""
    operation = "ExecuteStatement" if kind == "503" else "GetOperationStatus"
    databricks_emulator.faults.add(Fault(kind, operation, retry_after_s=0))  # pyright: ignore[reportArgumentType]
    (frame,) = warehouse.batches("SELECT 1 AS one")
    assert frame.to_dicts() == [{"one": 1}]


@pytest.mark.parametrize(
    ("fault", "links_above_bytes", "error"),
    [
        (Fault("dropped_in_answer", "FetchResults"), 2**40, WorkspaceUnreachableError),
        (Fault("expired_link", "*table_lineage*"), 0, StatementError),
        (Fault("expired_link", "/cloud-fetch/"), 0, StatementError),
    ],
)
def test_lost_results_are_worth_another_attempt(
    databricks_emulator: Emulator,
    warehouse: Warehouse,
    fault: Fault,
    links_above_bytes: int,
    error: type[StatementError | WorkspaceUnreachableError],
) -> None:
    """What cannot be repaired within a statement is raised as retryable, and then works."""
    load_lineage(databricks_emulator, 100)
    databricks_emulator.results.links_above_bytes = links_above_bytes
    databricks_emulator.faults.add(fault)
    with pytest.raises(error) as raised:
        list(warehouse.batches(LINEAGE))
    assert raised.value.retryable
    assert sum(frame.height for frame in warehouse.batches(LINEAGE)) == 100


def test_statement_cancelled_in_the_workspace(
    databricks_emulator: Emulator, warehouse: Warehouse
) -> None:
    """A statement that somebody cancels is not repeated behind their back."""
    load_lineage(databricks_emulator, 100)
    databricks_emulator.results.links_above_bytes = 2**40
    databricks_emulator.faults.add(Fault("statement_canceled", "*"))
    with pytest.raises(StatementError, match="it was cancelled") as raised:
        list(warehouse.batches(LINEAGE))
    assert raised.value.error_class == "OPERATION_CANCELED"
    assert not raised.value.retryable


def test_azure_headers_are_fresh_with_every_request(
    databricks_emulator: Emulator, no_databricks: pytest.MonkeyPatch
) -> None:
    """Tokens that end while a result is read are renewed, the management token as well."""
    workspace = databricks_emulator.workspace
    workspace.azure_member, workspace.token_lifetime_s = False, 1.0
    for name, value in databricks_emulator.environment("azure-client-secret").items():
        no_databricks.setenv(name, value)
    connection = Connection.from_settings(load_settings())
    with connection.warehouse(workspace.warehouse_id) as warehouse:
        assert warehouse.rows("SELECT 1 AS one") == [{"one": 1}]
        time.sleep(1.1)
        assert warehouse.rows("SELECT 2 AS two") == [{"two": 2}]


def test_signed_links_stay_out_of_logs(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    """What the connector and its libraries log of a download leaves out what signs its link."""
    warehouse.rows("SELECT 1")
    link = "https://bucket.example/results/7?X-Amz-Signature=9f3c&X-Amz-Expires=900"
    for name, message in (
        ("databricks.sql.cloudfetch.downloader", "slower than threshold, from %s"),
        ("databricks.sql.common.unified_http_client", "failed: (url: %s): timed out"),
        ("urllib3.connectionpool", "Retrying after connection broken: %s"),
    ):
        logging.getLogger(name).warning(message, link)
    logged = [record.getMessage() for record in caplog.records if "bucket.example" in record.msg]
    assert len(logged) == 3
    assert not [message for message in logged if "9f3c" in message]
