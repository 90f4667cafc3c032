"""Lineage and query history of the emulated workspace over REST, as the real SDK sees them."""

import http.client
import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied
from databricks.sdk.service.sql import QueryFilter, QueryStatus, TimeRange

from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.api_error import ApiError, refused
from dbminer_dagster_tests.databricks_emulator.query_history_api import LastPage
from dbminer_dagster_tests.databricks_emulator.rate_limits import RateLimits
from dbminer_dagster_tests.databricks_emulator.workspace import Column, Table
from dbminer_dagster_tests.offline_files import (
    Row,
    column_row,
    epoch_ms,
    lineage_row,
    ndjson,
    system_row,
    write_history,
    write_lineage,
)

HISTORY_PATH = "/api/2.0/sql/history/queries"
TABLE_PATH = "/api/2.0/lineage-tracking/table-lineage"
COLUMN_PATH = "/api/2.0/lineage-tracking/column-lineage"
HISTORY, TABLES, COLUMNS = (
    "system.query.history",
    "system.access.table_lineage",
    "system.access.column_lineage",
)
NOW = datetime(2026, 1, 10, tzinfo=UTC)
BIG = 1234567890123456789
DAY = QueryFilter(
    query_start_time_range=TimeRange(
        start_time_ms=epoch_ms("2026-01-05T00:00:00"),
        end_time_ms=epoch_ms("2026-01-05T23:59:59.999"),
    )
)


@pytest.fixture
def emulator(databricks_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """A workspace with two tables, in January."""
    for name in [name for name in os.environ if name.startswith(("DATABRICKS_", "ARM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    databricks_emulator.workspace.workspace_id = "17"
    databricks_emulator.workspace.clock = lambda: NOW
    for name in ("s", "t"):
        databricks_emulator.workspace.add_table(Table("main", "a", name))
    return databricks_emulator


def client(emulator: Emulator) -> WorkspaceClient:
    """The SDK, with so little patience that a refusal comes through."""
    token = emulator.workspace.user.secret
    return WorkspaceClient(
        config=Config(host=emulator.host, token=token, auth_type="pat", retry_timeout_seconds=1)
    )


def table_lineage(emulator: Emulator, name: str = "main.a.t", **query: Any) -> dict[str, Any]:
    query = {"table_name": name, "include_entity_lineage": True} | query
    answer = client(emulator).api_client.do("GET", TABLE_PATH, query=query)
    assert isinstance(answer, dict)
    return answer


def column_lineage(emulator: Emulator, name: str, column: str) -> dict[str, Any]:
    query = {"table_name": name, "column_name": column}
    answer = client(emulator).api_client.do("GET", COLUMN_PATH, query=query)
    assert isinstance(answer, dict)
    return answer


def load_statements(emulator: Emulator, count: int = 1, **values: Any) -> None:
    """Statements `s-0`, `s-1`, … of one day, each a second after the one before."""
    values = {"compute": {"type": "WAREHOUSE", "warehouse_id": "w"}} | values
    emulator.load_rows(
        HISTORY,
        [
            system_row(f"s-{n}", **({"start_time": f"2026-01-05T12:00:{n:02d}Z"} | values))
            for n in range(count)
        ],
    )


def page(emulator: Emulator, **query: Any) -> dict[str, Any]:
    answer = client(emulator).api_client.do("GET", HISTORY_PATH, query=query)
    assert isinstance(answer, dict)
    return answer


def refusal_of(emulator: Emulator, path: str) -> tuple[int, Mapping[str, str], str]:
    """Status, headers and code of a refused request, which no library asks again."""
    connection = http.client.HTTPConnection(emulator.host.removeprefix("http://"), timeout=10)
    with closing(connection):
        token = emulator.workspace.user.secret
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        body = json.loads(response.read())
    return response.status, dict(response.headers), body["error_code"]


def ids(answer: dict[str, Any]) -> list[str]:
    return [row["query_id"] for row in answer.get("res", [])]


def table_info(name: str, time: str = "2026-01-05 12:00:00.0") -> Row:
    return {
        "name": name,
        "catalog_name": "main",
        "schema_name": "a",
        "table_type": "TABLE",
        "lineage_timestamp": time,
        "has_permission": True,
    }


def test_a_statement_has_the_fields_of_the_api(emulator: Emulator) -> None:
    """Ids of users are integers of up to 19 digits, tags are pairs, pipelines are unknown."""
    load_statements(
        emulator,
        executed_by="ada@larkfell.example",
        executed_by_user_id=str(BIG),
        end_time="2026-01-05T12:00:03.250Z",
        total_duration_ms=3250,
        read_rows=7,
        query_tags={"team": "bi", "adhoc": None},
        query_source={"job_info": {"job_id": "9"}, "pipeline_info": {"pipeline_id": "p"}},
    )
    started = epoch_ms("2026-01-05T12:00:00")
    expected = {
        "query_id": "s-0",
        "status": "FINISHED",
        "query_text": "select 1",
        "query_start_time_ms": started,
        "query_end_time_ms": started + 3250,
        "execution_end_time_ms": started + 3250,
        "user_id": BIG,
        "user_name": "ada@larkfell.example",
        "warehouse_id": "w",
        "endpoint_id": "w",
        "is_final": True,
        "duration": 3250,
        "plans_state": "EXISTS",
        "query_source": {"job_info": {"job_id": "9"}},
        "query_tags": [{"key": "team", "value": "bi"}, {"key": "adhoc"}],
    }
    assert page(emulator) == {"res": [expected], "has_next_page": False}
    metrics = {"total_time_ms": 3250, "rows_read_count": 7}
    assert page(emulator, include_metrics=True)["res"] == [{**expected, "metrics": metrics}]
    assert emulator.requests[-1].query == {"include_metrics": "true"}


def test_the_sdk_reads_pages(emulator: Emulator) -> None:
    """Newest first, a hundred rows by default, and a token leads on until no page is left."""
    load_statements(emulator, 5)
    found = client(emulator).query_history.list(filter_by=DAY, max_results=3)
    assert [row.query_id for row in found.res or []] == ["s-4", "s-3", "s-2"]
    assert found.next_page_token is not None
    assert {"+", "/", "="} <= set(found.next_page_token)
    last = client(emulator).query_history.list(page_token=found.next_page_token, max_results=3)
    assert [row.query_id for row in last.res or []] == ["s-1", "s-0"]
    assert (last.has_next_page, last.next_page_token) == (False, None)


def test_both_ends_of_a_range_are_in(emulator: Emulator) -> None:
    """A range of one millisecond holds what started in it."""
    load_statements(emulator, 3)
    at = epoch_ms("2026-01-05T12:00:01")
    name = "filter_by.query_start_time_range"
    found = page(emulator, **{f"{name}.start_time_ms": at, f"{name}.end_time_ms": at})
    assert ids(found) == ["s-1"]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        pytest.param({"statement_ids": ["s-0", "s-2"]}, ["s-2", "s-0"], id="statements"),
        pytest.param({"user_ids": [BIG]}, ["s-2", "s-1", "s-0"], id="user"),
        pytest.param({"user_ids": [5]}, [], id="other_user"),
        pytest.param({"warehouse_ids": ["w", "v"]}, ["s-2", "s-1", "s-0"], id="warehouses"),
        pytest.param(
            {"statuses": [QueryStatus.FAILED, QueryStatus.RUNNING]}, ["s-1"], id="statuses"
        ),
    ],
)
def test_filters(emulator: Emulator, chosen: dict[str, Any], expected: list[str]) -> None:
    """Each filter takes several values, and a running statement has no other status."""
    load_statements(emulator, 3, executed_by_user_id=str(BIG))
    emulator.history.running["s-1"] = None
    found = client(emulator).query_history.list(filter_by=QueryFilter(**chosen))
    assert [row.query_id for row in found.res or []] == expected


def token_of_another_filter(emulator: Emulator) -> dict[str, Any]:
    token = page(emulator, max_results=1, **{"filter_by.statuses": "FINISHED"})["next_page_token"]
    return {"page_token": token, "filter_by.statuses": "FAILED"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        pytest.param(lambda _: {"max_results": 1001}, "max_results", id="too_many_rows"),
        pytest.param(
            lambda _: {
                "filter_by.query_start_time_range.start_time_ms": 0,
                "filter_by.query_start_time_range.end_time_ms": 30 * 86_400_000 + 1,
            },
            "30 days",
            id="long_range",
        ),
        pytest.param(lambda _: {"page_token": "x"}, "token is invalid", id="token"),
        pytest.param(lambda _: {"filter_by.statuses": "DONE"}, "DONE", id="status"),
        pytest.param(lambda _: {"filter_by.user_ids": "ada"}, "whole number", id="number"),
        pytest.param(
            token_of_another_filter,
            "the filter must match the filter represented by the page token",
            id="other_filter",
        ),
    ],
)
def test_wrong_parameters_are_refused(
    emulator: Emulator, query: Callable[[Emulator], dict[str, Any]], message: str
) -> None:
    """What the API does not allow is a 400 that says so."""
    load_statements(emulator, 2)
    with pytest.raises(BadRequest, match=message) as refusal:
        page(emulator, **query(emulator))
    assert refusal.value.error_code == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"compute": {"type": "SERVERLESS_COMPUTE"}}, id="no_warehouse"),
        pytest.param({"workspace_id": "18"}, id="other_workspace"),
        pytest.param({"start_time": "2025-12-10T23:59:59Z"}, id="beyond_the_horizon"),
        pytest.param({"start_time": "2026-01-10T00:00:01Z"}, id="to_come"),
    ],
)
def test_statements_that_are_not_known(emulator: Emulator, values: Row) -> None:
    """It knows what ran on a warehouse of this workspace in the last 30 days, until now."""
    load_statements(emulator, **values)
    assert ids(page(emulator)) == []


def test_the_last_update_counts(emulator: Emulator) -> None:
    """A statement with several rows in the system table is one row here."""
    load_statements(emulator, update_time="2026-01-05T12:00:00Z", total_duration_ms=1)
    load_statements(emulator, update_time="2026-01-05T12:00:09Z", total_duration_ms=9)
    assert [row["duration"] for row in page(emulator)["res"]] == [9]


def test_a_running_statement_ends(emulator: Emulator) -> None:
    """It is not final in as many answers as set, or until it is released."""
    load_statements(emulator, 2, end_time="2026-01-05T13:00:00Z")
    emulator.history.running |= {"s-0": 1, "s-1": None}
    rows = page(emulator, include_metrics=True)["res"]
    assert [(row["status"], row["is_final"]) for row in rows] == [("RUNNING", False)] * 2
    assert all({"query_end_time_ms", "metrics"}.isdisjoint(row) for row in rows)
    assert [row["is_final"] for row in page(emulator)["res"]] == [False, True]
    del emulator.history.running["s-1"]
    assert [row["is_final"] for row in page(emulator)["res"]] == [True, True]


def test_what_a_caller_may_see(emulator: Emulator) -> None:
    """Others' statements are left out silently, and texts are masked."""
    name = emulator.workspace.user.name
    load_statements(emulator, 2, executed_by=name, update_time="2026-01-05T13:00:00Z")
    load_statements(emulator, executed_by="ada", update_time="2026-01-05T14:00:00Z")
    assert ids(page(emulator)) == ["s-1", "s-0"]
    emulator.workspace.sees_only_own_statements.add(name)
    emulator.workspace.sees_statement_text.remove(name)
    (row,) = page(emulator)["res"]
    assert (row["query_id"], row["query_text"]) == ("s-1", "<REDACTED>")


def test_an_empty_page_in_the_middle(emulator: Emulator) -> None:
    """A page without rows may carry a token; the next page goes on where it was."""
    load_statements(emulator, 4)
    emulator.history.empty_page_every = 2
    pages = [page(emulator, max_results=2)]
    while pages[-1]["has_next_page"]:
        pages.append(page(emulator, max_results=2, page_token=pages[-1]["next_page_token"]))
    assert [ids(answer) for answer in pages] == [["s-3", "s-2"], [], ["s-1", "s-0"]]


@pytest.mark.parametrize(
    ("last_page", "flag"), [("repeats_token", True), ("repeats_token_without_flag", None)]
)
def test_a_last_page_that_repeats_its_token(
    emulator: Emulator, last_page: LastPage, flag: bool | None
) -> None:
    """Old servers never end: the token of the last page leads to itself."""
    load_statements(emulator, 3)
    emulator.history.last_page = last_page
    token = page(emulator, max_results=2)["next_page_token"]
    last = page(emulator, max_results=2, page_token=token)
    assert (ids(last), last["next_page_token"], last.get("has_next_page")) == (["s-0"], token, flag)


def test_pages_that_overlap(emulator: Emulator) -> None:
    """Rows of a page may come again on the next one."""
    load_statements(emulator, 4)
    emulator.history.overlap_rows = 1
    first = page(emulator, max_results=3)
    second = page(emulator, max_results=3, page_token=first["next_page_token"])
    assert (ids(first), ids(second)) == (["s-3", "s-2", "s-1"], ["s-1", "s-0"])


def test_neighbours_of_a_table(emulator: Emulator) -> None:
    """One item a neighbour, with its newest time and the entities that made the edge."""
    job = {"entity_type": "JOB", "entity_id": str(BIG)}
    notebook = {"entity_metadata": {"notebook_id": "5", "job_info": {"job_id": "6"}}}
    newer = "2026-01-06T01:02:03.250Z"
    emulator.load_rows(TABLES, [lineage_row(**job), lineage_row(event_time=newer, **notebook)])
    told = {"workspace_id": 17, "lineage_timestamp": "2026-01-06 01:02:03.25"}
    entities = {
        "jobInfos": [
            {"workspace_id": 17, "job_id": BIG, "lineage_timestamp": "2026-01-05 12:00:00.0"},
            {**told, "job_id": 6},
        ],
        "notebookInfos": [{**told, "notebook_id": 5}],
    }
    upstream = {"tableInfo": table_info("s", "2026-01-06 01:02:03.25")}
    assert table_lineage(emulator) == {"upstreams": [{**upstream, **entities}]}
    assert table_lineage(emulator, include_entity_lineage=False) == {"upstreams": [upstream]}
    assert list(table_lineage(emulator, "MAIN.a.S")) == ["downstreams"]


def test_entities_and_files_without_a_table(emulator: Emulator) -> None:
    """Who only reads is an item of its own, and a path is a file."""
    nothing = dict.fromkeys(("source_table_full_name", "target_table_full_name"))
    query = {"entity_type": "DBSQL_QUERY", "entity_id": "q-1"}
    read = lineage_row() | query | {"target_table_full_name": None}
    written = lineage_row() | nothing | {"source_path": "s3://landing/x/", "source_type": "PATH"}
    emulator.load_rows(TABLES, [read, written | {"target_table_full_name": "main.a.s"}])
    found = table_lineage(emulator, "main.a.s")
    time = "2026-01-05 12:00:00.0"
    assert found["downstreams"] == [
        {"queryInfos": [{"workspace_id": 17, "query_id": "q-1", "lineage_timestamp": time}]}
    ]
    (item,) = found["upstreams"]
    assert item["fileInfo"]["path"] == item["fileInfo"]["storage_location"] == "s3://landing/x/"
    assert "downstreams" not in table_lineage(emulator, "main.a.s", include_entity_lineage=False)


def test_neighbours_of_a_column(emulator: Emulator) -> None:
    """Columns name their table, one entry each; a column without lineage has an empty answer."""
    emulator.load_rows(COLUMNS, [column_row(), column_row(event_time="2026-01-04T12:00:00Z")])
    entry = {
        "catalog_name": "main",
        "schema_name": "a",
        "workspace_id": 17,
        "lineage_timestamp": "2026-01-05 12:00:00.0",
        "has_permission": True,
    }
    upstream = {"upstream_cols": [{**entry, "table_name": "s", "name": "x"}]}
    downstream = {"downstream_cols": [{**entry, "table_name": "t", "name": "y"}]}
    assert column_lineage(emulator, "main.a.t", "Y") == upstream
    assert column_lineage(emulator, "main.a.s", "x") == downstream
    assert column_lineage(emulator, "main.a.s", "y") == {}


def test_names_hold_dots(emulator: Emulator) -> None:
    """Names are joined as they are, so that dots in them need no quotes."""
    emulator.workspace.add_table(Table("main", "a", "v1.0"))
    end = {"target_table_catalog": "main", "target_table_schema": "a", "target_table_name": "v1.0"}
    emulator.load_rows(TABLES, [lineage_row(**end, target_table_full_name="main.a.`v1.0`")])
    assert table_lineage(emulator, "main.a.v1.0")["upstreams"] == [{"tableInfo": table_info("s")}]


def test_a_json_body_is_read_too(emulator: Emulator) -> None:
    """The vendor's samples send the parameters of a GET as a body."""
    emulator.load_rows(TABLES, [lineage_row(entity_type="JOB", entity_id="6")])
    body = {"table_name": "main.a.t", "include_entity_lineage": True}
    found = client(emulator).api_client.do("GET", TABLE_PATH, body=body)
    assert found == table_lineage(emulator)
    assert "jobInfos" in table_lineage(emulator)["upstreams"][0]


def test_events_to_come_are_not_told(emulator: Emulator) -> None:
    """An event counts from its time on, and rows that are added count at once."""
    emulator.load_rows(TABLES, [lineage_row(event_time="2026-01-10T00:00:01Z")])
    assert table_lineage(emulator) == {}
    emulator.workspace.clock = lambda: datetime(2026, 1, 11, tzinfo=UTC)
    assert len(table_lineage(emulator)["upstreams"]) == 1
    emulator.load_rows(TABLES, [lineage_row(source_table_full_name="main.a.r")])
    assert len(table_lineage(emulator)["upstreams"]) == 2


def test_what_a_caller_may_not_see_is_masked(emulator: Emulator) -> None:
    """A neighbour without permission has no name, a table asked about is refused."""
    workspace = emulator.workspace
    emulator.load_rows(TABLES, [lineage_row()])
    emulator.load_rows(COLUMNS, [column_row()])
    workspace.revoke_everything(workspace.user)
    workspace.grant("BROWSE", "TABLE", "main.a.t", to=workspace.user)
    assert table_lineage(emulator) == {"upstreams": [{"tableInfo": {"has_permission": False}}]}
    masked = {"upstream_cols": [{"has_permission": False}]}
    assert column_lineage(emulator, "main.a.t", "y") == masked
    with pytest.raises(PermissionDenied) as refusal:
        table_lineage(emulator, "main.a.s")
    assert refusal.value.error_code == "PERMISSION_DENIED"


def test_tables_that_are_not_there(emulator: Emulator) -> None:
    """An unknown table, one deleted since it was listed and a wrong verb differ by their code."""
    emulator.lineage.deleted_tables.add("main.a.t")
    for name in ("main.a.unknown", "main.a.t"):
        with pytest.raises(NotFound) as missing:
            table_lineage(emulator, name)
        assert missing.value.error_code == "TABLE_DOES_NOT_EXIST"
    listed = client(emulator).tables.list("main", "a")
    assert [table.name for table in listed] == ["s", "t"]
    with pytest.raises(NotFound) as unknown:
        client(emulator).api_client.do("POST", TABLE_PATH, body={"table_name": "main.a.s"})
    assert unknown.value.error_code == "ENDPOINT_NOT_FOUND"


def test_items_of_any_kind_can_be_added(emulator: Emulator) -> None:
    """What no system table tells can be put into the answers for one table or column."""
    emulator.load_rows(TABLES, [lineage_row()])
    odd = {"holographInfo": {"name": "unheard-of"}}
    emulator.lineage.add_item("main.a.t", "upstreams", odd)
    emulator.lineage.add_item("main.a.t", "upstream_cols", {"has_permission": False}, "y")
    assert table_lineage(emulator)["upstreams"] == [{"tableInfo": table_info("s")}, odd]
    masked = {"upstream_cols": [{"has_permission": False}]}
    assert column_lineage(emulator, "main.a.t", "y") == masked


@pytest.mark.parametrize(
    ("status", "error_code"),
    [(403, "FEATURE_DISABLED"), (404, "FEATURE_DISABLED"), (503, "TEMPORARILY_UNAVAILABLE")],
)
def test_features_can_be_off(emulator: Emulator, status: int, error_code: str) -> None:
    """Either API answers everything with one error while it is set."""
    emulator.lineage.refusal = emulator.history.refusal = refused(status, error_code, "Off.")
    for path in (HISTORY_PATH, f"{TABLE_PATH}?table_name=main.a.t"):
        assert refusal_of(emulator, path)[::2] == (status, error_code)


@pytest.mark.parametrize(("scope", "denied"), [("sql", table_lineage), ("unity-catalog", page)])
def test_scopes(
    emulator: Emulator, scope: str, denied: Callable[[Emulator], dict[str, Any]]
) -> None:
    """History needs the scope `sql`, lineage `unity-catalog`."""
    emulator.workspace.scopes[emulator.workspace.user.name] = {scope}
    allowed = page if denied is table_lineage else table_lineage
    allowed(emulator)
    with pytest.raises(PermissionDenied, match="required scopes"):
        denied(emulator)


def test_requests_over_a_limit_are_refused(emulator: Emulator) -> None:
    """The first of a second are answered, the others get a 429; kinds are counted apart."""
    limits = emulator.rate_limits
    limits.table_lineage = 0
    for retry_after_s, header in ((7, "7"), (None, None)):
        limits.retry_after_s = retry_after_s
        status, headers, error_code = refusal_of(emulator, f"{TABLE_PATH}?table_name=main.a.t")
        assert (status, error_code) == (429, "REQUEST_LIMIT_EXCEEDED")
        assert headers.get("Retry-After") == header
    assert column_lineage(emulator, "main.a.t", "y") == {}
    assert limits.refused == {"table_lineage": 2}
    assert limits.accepted == {"column_lineage": 1}


def test_a_limit_lets_as_many_through_as_it_says() -> None:
    """A kind takes its number in any second, whatever others take; refusals use up nothing."""
    now = 0.0
    limits = RateLimits(clock=lambda: now)
    limits.table_lineage, limits.listings = 2, 1
    for _ in range(2):
        with limits.admitted(TABLE_PATH):
            pass
    with pytest.raises(ApiError), limits.admitted(TABLE_PATH):
        pass
    with limits.admitted("/api/2.1/unity-catalog/tables"):
        pass
    with pytest.raises(ApiError), limits.admitted("/api/2.1/unity-catalog/catalogs"):
        pass
    now = 1.0
    with limits.admitted(TABLE_PATH):
        pass
    assert limits.accepted == {"table_lineage": 3, "listings": 1}


def test_requests_at_once_are_limited(emulator: Emulator) -> None:
    """More requests in work than allowed are refused, and the most of them are noted."""
    limits = emulator.rate_limits
    limits.most_parallel = 1
    entered, go_on = threading.Event(), threading.Event()

    def wait() -> datetime:
        entered.set()
        assert go_on.wait(10)
        return NOW

    emulator.workspace.clock = wait
    first = threading.Thread(target=page, args=[emulator])
    first.start()
    assert entered.wait(10)
    try:
        status, _, error_code = refusal_of(emulator, f"{TABLE_PATH}?table_name=main.a.t")
    finally:
        go_on.set()
        first.join()
    assert (status, error_code) == (429, "REQUEST_LIMIT_EXCEEDED")
    assert limits.refused == {"parallel": 1}
    assert limits.most_parallel_requests == 1


def test_files_are_moved_to_another_day(emulator: Emulator, tmp_path: Path) -> None:
    """All times move by the same whole days, and the tables of the files become known."""
    history = system_row(compute={"warehouse_id": "w"}, workspace_id="18")
    write_history(tmp_path, ndjson(history))
    names = {
        f"{side}_table_{part}": value
        for side in ("source", "target")
        for part, value in (("catalog", "lake"), ("schema", "a"), ("name", f"{side}s"))
    }
    newest = lineage_row(event_time="2026-01-06T03:00:00Z")
    write_lineage(tmp_path, ndjson(newest, column_row(**names)))

    emulator.load_files(tmp_path, shift_to=date(2026, 1, 9))
    emulator.add_tables_of_lineage()
    emulator.adopt_workspace_id()

    assert table_lineage(emulator)["upstreams"][0]["tableInfo"]["lineage_timestamp"] == (
        "2026-01-09 03:00:00.0"
    )
    started = [row["query_start_time_ms"] for row in page(emulator)["res"]]
    assert started == [epoch_ms("2026-01-08T12:00:00")]
    known = emulator.workspace.tables["lake", "a", "targets"]
    assert (known.table_type, known.columns) == ("MANAGED", (Column("y"),))
