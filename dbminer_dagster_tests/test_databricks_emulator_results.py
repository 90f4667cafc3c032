"""How results of the emulated warehouse travel, and how its statements run and end."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from databricks.sql.client import Cursor
from databricks.sql.exc import DatabaseError, Error

from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.faults import Fault
from dbminer_dagster_tests.offline_files import system_row
from dbminer_dagster_tests.warehouse_client import HISTORY, connect, frame, query, value

BIG_ROWS = 120_000


def big_table(emulator: Emulator, folder: Path) -> str:
    """Fills a table with so many rows that they travel in several batches; the query of them."""
    statement_ids = [f"s-{n:06}" for n in range(BIG_ROWS)]
    rows = pl.DataFrame({"statement_id": statement_ids, "read_rows": range(BIG_ROWS)})
    rows.write_parquet(folder / "rows.parquet")
    emulator.load_parquet(HISTORY, str(folder / "*.parquet"))
    return f"SELECT statement_id, read_rows FROM {HISTORY} ORDER BY read_rows"


@pytest.mark.parametrize("lz4", [True, False], ids=["lz4", "plain"])
@pytest.mark.parametrize("links", [True, False], ids=["links", "inline"])
def test_large_results_travel_in_batches(
    databricks_emulator: Emulator, tmp_path: Path, *, lz4: bool, links: bool
) -> None:
    """All rows arrive once and in order, inline or by links, compressed or not."""
    emulator = databricks_emulator
    statement = big_table(emulator, tmp_path)
    emulator.results.links_above_bytes = 100_000
    emulator.results.direct_results_wait_s = 60.0
    options: dict[str, Any] = {
        "use_cloud_fetch": links,
        "enable_query_result_lz4_compression": lz4,
    }
    sizes: list[int] = []
    ids: list[str] = []
    with connect(emulator, **options) as connection:
        cursor = connection.cursor(arraysize=20_000)
        cursor.execute(statement)
        while (table := cursor.fetchmany_arrow(7_000)).num_rows:
            sizes.append(table.num_rows)
            ids += frame(table)["statement_id"].to_list()
        cursor.close()
        assert not list(emulator.engine.folder.iterdir())  # links are gone with their statement
    assert ids == [f"s-{n:06}" for n in range(BIG_ROWS)]
    assert max(sizes) == 7_000
    operations = [request.operation for request in emulator.requests]
    assert operations.count("FetchResults") == 5
    assert any("cloud-fetch" in operation for operation in operations) is links
    record = emulator.statements[-1]
    assert (record.state, record.rows_sent) == ("FINISHED", BIG_ROWS)


def test_a_small_result_needs_no_link(databricks_emulator: Emulator) -> None:
    """Only a result above the threshold goes to files."""
    assert query(databricks_emulator, "SELECT 1 AS x", use_cloud_fetch=True).item() == 1
    operations = [request.operation for request in databricks_emulator.requests]
    assert not any("cloud-fetch" in operation for operation in operations)


def test_an_expired_link_fails_the_fetch(databricks_emulator: Emulator, tmp_path: Path) -> None:
    """A client is told that a link has expired, as after a slow consumer."""
    databricks_emulator.results.links_above_bytes = 0
    databricks_emulator.faults.add(Fault("expired_link", f"*{HISTORY}*"))
    with pytest.raises(Error, match="link has expired"):
        query(databricks_emulator, big_table(databricks_emulator, tmp_path))


def test_links_expire_by_themselves(databricks_emulator: Emulator, tmp_path: Path) -> None:
    """After its lifetime a link leads nowhere."""
    databricks_emulator.results.links_above_bytes = 0
    databricks_emulator.links.link_lifetime_s = 0.0
    with pytest.raises(Error, match="link has expired"):
        query(databricks_emulator, big_table(databricks_emulator, tmp_path))


def test_statements_carry_the_tags_of_session_and_statement(databricks_emulator: Emulator) -> None:
    """Query tags are noted with their special characters, the statement's before the session's."""
    of_session = {"application": "dbminer", "note": "a,b:c\\d", "flag": None}
    with connect(databricks_emulator, query_tags=of_session) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT 1", query_tags={"flag": "x"})
        cursor.close()
    assert databricks_emulator.statements[0].query_tags == {
        "application": "dbminer",
        "note": "a,b:c\\d",
        "flag": "x",
    }


def test_a_stopped_warehouse_starts_with_the_session(databricks_emulator: Emulator) -> None:
    """The first session waits until the warehouse runs."""
    databricks_emulator.workspace.warehouse.state = "STOPPED"
    assert value(databricks_emulator, "1") == 1
    assert databricks_emulator.workspace.warehouse.state == "RUNNING"


def test_a_slow_statement_is_waited_for(databricks_emulator: Emulator) -> None:
    """A statement that takes longer than the call that starts it is polled for."""
    databricks_emulator.faults.add(Fault("slow", "SELECT 1*", delay_s=0.6))
    databricks_emulator.results.direct_results_wait_s = 0.0
    assert value(databricks_emulator, "1") == 1
    operations = [request.operation for request in databricks_emulator.requests]
    assert operations.count("GetOperationStatus") >= 2


@pytest.mark.parametrize(
    "statement",
    ["SELECT 1", "SELECT sum(a.range * b.range) FROM range(1000000) AS a, range(1000000) AS b"],
)
def test_a_statement_can_be_cancelled(databricks_emulator: Emulator, statement: str) -> None:
    """Cancelling from another thread ends a statement that waits or computes."""
    databricks_emulator.faults.add(Fault("slow", "SELECT 1", delay_s=30.0))
    with connect(databricks_emulator) as connection:
        cursor = connection.cursor()
        thread = threading.Thread(target=cancel_once_it_runs, args=(cursor,))
        thread.start()
        with pytest.raises(DatabaseError, match="OPERATION_CANCELED"):
            cursor.execute(statement)
        thread.join()
        assert databricks_emulator.statements[0].state == "CANCELED"
        assert frame(connection.cursor().execute("SELECT 2 AS x").fetchall_arrow()).item() == 2


def cancel_once_it_runs(cursor: Cursor) -> None:
    while cursor.active_command_id is None:
        time.sleep(0.02)
    cursor.cancel()


def test_rows_end_with_a_cancel(databricks_emulator: Emulator, tmp_path: Path) -> None:
    """A client that cancels while it fetches gets no more rows."""
    statement = big_table(databricks_emulator, tmp_path)
    with connect(databricks_emulator) as connection:
        cursor = connection.cursor(arraysize=1_000)
        cursor.execute(statement)
        assert cursor.fetchmany_arrow(1_000).num_rows == 1_000
        cursor.cancel()
        with pytest.raises(DatabaseError, match="OPERATION_CANCELED"):
            cursor.fetchmany_arrow(1_000)
    record = databricks_emulator.statements[0]
    assert (record.state, record.rows_sent) == ("CANCELED", 1_000)


@pytest.mark.parametrize("rows", [0, 1, 50])
def test_a_statement_is_cancelled_half_way(databricks_emulator: Emulator, rows: int) -> None:
    """The fault lets some rows through, then the fetch fails and the statement is cancelled."""
    databricks_emulator.load_rows(HISTORY, [system_row(f"s-{n}") for n in range(rows)])
    databricks_emulator.faults.add(Fault("statement_canceled", "SELECT*history*"))
    statement = f"SELECT statement_id FROM {HISTORY}"
    with pytest.raises(DatabaseError, match=r"\[OPERATION_CANCELED\].*HY008"):
        query(databricks_emulator, statement)
    record = databricks_emulator.statements[0]
    assert (record.state, record.rows_sent) == ("CANCELED", rows // 2)
    assert query(databricks_emulator, statement).height == rows


def test_a_result_can_be_cut_off(databricks_emulator: Emulator, tmp_path: Path) -> None:
    """A cut result looks complete to the client."""
    databricks_emulator.results.row_cut = 60_001
    found = query(databricks_emulator, big_table(databricks_emulator, tmp_path))
    assert found.height == 60_001
    assert databricks_emulator.statements[0].state == "FINISHED"


def test_a_closed_session_stops_its_statements(
    databricks_emulator: Emulator, tmp_path: Path
) -> None:
    """What was not fetched when the session ends is closed, and counts as not running."""
    statement = big_table(databricks_emulator, tmp_path)
    with connect(databricks_emulator) as connection:
        connection.cursor(arraysize=10).execute(statement)
        assert databricks_emulator.statements[0].state == "RUNNING"
    assert databricks_emulator.statements[0].state == "CLOSED"


def test_parallel_statements_are_counted(databricks_emulator: Emulator) -> None:
    """The greatest number of statements that ran at once is known."""
    databricks_emulator.faults.add(Fault("slow", "SELECT 1", times=3, delay_s=0.8))
    opened = threading.Barrier(3)

    def run(_number: int) -> None:
        with connect(databricks_emulator) as connection:
            opened.wait()
            connection.cursor().execute("SELECT 1")

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(run, range(3)))
    value(databricks_emulator, "2")
    assert databricks_emulator.most_parallel_statements == 3
