"""Query-history objects of both shapes to rows."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbminer_dagster.errors import BadLinesError
from dbminer_dagster.resources.offline import query_history
from dbminer_dagster.resources.query_history_rows import each_once
from dbminer_dagster.schemas import RAW_QUERY_HISTORY
from dbminer_dagster_tests.offline_files import (
    Read,
    api_row,
    epoch_ms,
    ndjson,
    read_history,
    system_row,
    write_history,
)

BOTH_SHAPES = pytest.mark.parametrize(
    ("row", "text"), [(api_row, "query_text"), (system_row, "statement_text")], ids=["api", "table"]
)
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def read_rows(root: Path, *rows: object) -> Read:
    write_history(root, ndjson(*rows))
    return read_history(root)


def test_api_row_fills_every_column(tmp_path: Path) -> None:
    """Each field of a row of the API lands in its column."""
    row = {
        "query_id": "s-1",
        "status": "FINISHED",
        "query_text": "select 1",
        "query_start_time_ms": epoch_ms("2026-01-05T12:00:00"),
        "query_end_time_ms": epoch_ms("2026-01-05T12:00:02"),
        "execution_end_time_ms": epoch_ms("2026-01-05T12:00:01"),
        "duration": 2000,
        "user_id": 7405618923410267123,
        "user_name": "ana@x.com",
        "executed_as_user_id": 8,
        "executed_as_user_name": "svc",
        "endpoint_id": "wh-1",
        "rows_produced": 4,
        "statement_type": "SELECT",
        "cache_query_id": "s-0",
        "client_application": "editor",
        "session_id": "se-1",
        "error_message": "none",
        "query_source": {
            "alert_id": "a",
            "dashboard_id": "d",
            "legacy_dashboard_id": "l",
            "genie_space_id": "g",
            "notebook_id": 11,
            "sql_query_id": "q",
            "job_info": {"job_id": "12"},
            "pipeline_info": {"pipeline_id": "p"},
        },
        "query_tags": [{"key": "team", "value": "bi"}, {"key": "adhoc"}],
        "metrics": {
            "total_time_ms": 1,
            "execution_time_ms": 900,
            "compilation_time_ms": 50,
            "task_total_time_ms": "1234567890123",
            "read_bytes": 10,
            "rows_read_count": 20,
            "result_from_cache": True,
        },
        "workspace_id": 17,
    }
    assert read_rows(tmp_path, row).rows.to_dicts() == [
        {
            "workspace_id": "17",
            "statement_id": "s-1",
            "session_id": "se-1",
            "user_id": "7405618923410267123",
            "user_name": "ana@x.com",
            "executed_as_user_id": "8",
            "executed_as": "svc",
            "statement_text": "select 1",
            "statement_type": "SELECT",
            "status": "FINISHED",
            "error_message": "none",
            "warehouse_id": "wh-1",
            "compute_type": None,
            "client_application": "editor",
            "start_time": NOON,
            "end_time": NOON + timedelta(seconds=2),
            "update_time": NOON + timedelta(seconds=1),
            "total_duration_ms": 2000,
            "execution_duration_ms": 900,
            "compilation_duration_ms": 50,
            "total_task_duration_ms": 1234567890123,
            "read_bytes": 10,
            "read_rows": 20,
            "produced_rows": 4,
            "from_result_cache": True,
            "cache_origin_statement_id": "s-0",
            "job_id": "12",
            "notebook_id": "11",
            "dashboard_id": "d",
            "legacy_dashboard_id": "l",
            "alert_id": "a",
            "sql_query_id": "q",
            "genie_space_id": "g",
            "pipeline_id": "p",
            "query_tags": '{"adhoc":null,"team":"bi"}',
            "text_redacted": False,
            "extraction_method": "offline",
            "day": date(2026, 1, 5),
        }
    ]


def test_system_row_fills_every_column(tmp_path: Path) -> None:
    """Each field of a row of the system table lands in its column, under its own name if it can."""
    same_name = {
        "session_id": "se-1",
        "executed_as_user_id": "8",
        "executed_as": "svc",
        "statement_type": "SELECT",
        "error_message": "none",
        "client_application": "editor",
        "total_duration_ms": 2000,
        "execution_duration_ms": 900,
        "compilation_duration_ms": 50,
        "total_task_duration_ms": 70,
        "read_bytes": 10,
        "read_rows": 20,
        "produced_rows": 4,
        "from_result_cache": False,
        "cache_origin_statement_id": "s-0",
    }
    row = system_row(
        **same_name,
        end_time="2026-01-05 12:00:02.5",
        update_time="2026-01-05T13:00:03+01:00",
        executed_by_user_id="7",
        executed_by="ana@x.com",
        compute={"type": "WAREHOUSE", "warehouse_id": "wh-1"},
        query_source={"job_info": None, "notebook_id": "11"},
        query_tags={"team": "bi"},
    )
    (found,) = read_rows(tmp_path, row).rows.to_dicts()

    assert {name: found[name] for name in same_name} == same_name
    assert found["end_time"] == NOON + timedelta(seconds=2, milliseconds=500)
    assert found["update_time"] == NOON + timedelta(seconds=3)
    assert (found["user_id"], found["user_name"]) == ("7", "ana@x.com")
    assert (found["compute_type"], found["warehouse_id"]) == ("WAREHOUSE", "wh-1")
    assert (found["notebook_id"], found["job_id"]) == ("11", None)
    assert found["query_tags"] == '{"team":"bi"}'


@BOTH_SHAPES
@pytest.mark.parametrize(
    ("given_text", "text_kept", "redacted"),
    [
        ("select 1", "select 1", False),
        ("<REDACTED>", None, True),
        ("<Redacted>", None, True),
        (" <redacted>\n", None, True),
        ("select '<redacted>'", "select '<redacted>'", False),
        ("", None, False),
        (" \n\t", None, False),
        (None, None, False),
    ],
)
def test_text(row, text: str, given_text, text_kept, redacted, tmp_path: Path) -> None:  # noqa: ANN001
    """Redacted text is null and marked so; empty text is null and not marked."""
    found = read_rows(tmp_path, row(**{text: given_text}))

    assert found.column("statement_text") == [text_kept]
    assert found.column("text_redacted") == [redacted]


@BOTH_SHAPES
@pytest.mark.parametrize(
    ("tags", "text_kept"),
    [
        ([{"key": "b", "value": "2"}, {"key": "a", "value": "1"}], '{"a":"1","b":"2"}'),
        ({"b": "2", "a": "1"}, '{"a":"1","b":"2"}'),
        ('{"b": "2", "a": "1"}', '{"a":"1","b":"2"}'),
        ("free text", '"free text"'),
        ([], None),
        ({}, None),
        (None, None),
    ],
)
def test_tags_are_one_json_object(row, text: str, tags, text_kept, tmp_path: Path) -> None:  # noqa: ANN001, ARG001
    """Tags come as pairs, as an object or as its text, and are kept as one sorted object."""
    assert read_rows(tmp_path, row(query_tags=tags)).column("query_tags") == [text_kept]


@pytest.mark.parametrize("text", ["2026-01-05T12:00:00", "2026-01-05 12:00:00.0"])
def test_times_without_offset_are_utc(text: str, tmp_path: Path) -> None:
    """A time without an offset is UTC."""
    assert read_rows(tmp_path, system_row(start_time=text)).column("start_time") == [NOON]


def test_an_offset_decides_the_day(tmp_path: Path) -> None:
    """The day is that of the start in UTC, whatever the offset says."""
    rows = [
        system_row("in", start_time="2026-01-06T01:30:00+02:00"),
        system_row("out", start_time="2026-01-05T23:30:00-02:00"),
        system_row("naive", start_time="2026-01-05T23:30:00"),
    ]
    assert read_rows(tmp_path, *rows).column("statement_id") == ["in", "naive"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("query_id", "looks like the other shape"),
        ("query_tags", {"query_id": "7"}),
        ("statement_text", "query_id"),
    ],
)
def test_a_value_does_not_decide_the_shape(field: str, value: object, tmp_path: Path) -> None:
    """A tag or a text that is called like a key of the other shape changes nothing."""
    row = {field: value, **{k: v for k, v in system_row().items() if k != field}}

    assert read_rows(tmp_path, row).column("statement_id") == ["s-1"]


@BOTH_SHAPES
@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30, 1.5, "many", True])
def test_a_number_out_of_range_is_a_bad_line(row, text: str, number, tmp_path: Path) -> None:  # noqa: ANN001, ARG001
    """A count that is no 64-bit integer makes a bad line."""
    fields = {"rows_produced": number, "read_rows": number}

    with pytest.raises(BadLinesError, match=r"result-0.json, line 1: .*(rows|range|Expected)"):
        read_rows(tmp_path, row(**fields))


def test_integers_may_come_as_text(tmp_path: Path) -> None:
    """A 64-bit integer as text, as REST writes it, counts as the integer."""
    row = api_row(query_start_time_ms="1767614400000", rows_produced=str(2**63 - 1))

    found = read_rows(tmp_path, row)

    assert found.column("start_time") == [NOON]
    assert found.column("produced_rows") == [2**63 - 1]


@BOTH_SHAPES
def test_versions_of_a_statement_become_the_latest(row, text: str, tmp_path: Path) -> None:  # noqa: ANN001, ARG001
    """A statement in several files and both shapes counts once, as it was changed last."""
    running = api_row(status="RUNNING")
    finished = system_row(update_time="2026-01-05T12:00:09Z", end_time="2026-01-05T12:00:05Z")
    failed = system_row(update_time="2026-01-05T12:00:08Z", execution_status="FAILED")
    elsewhere = row(workspace_id="18")
    write_history(tmp_path, ndjson(failed, running), ndjson(finished, elsewhere), ndjson(running))

    found = read_history(tmp_path)

    assert found.column("workspace_id") == ["17", "18"]
    assert found.column("status") == ["FINISHED", "FINISHED"]
    assert found.extraction.row_count == 2
    assert found.extraction.counts["rows_merged"] == 3


VERSIONS = st.fixed_dictionaries(
    {
        "statement_id": st.sampled_from(["a", "b", "c"]),
        "workspace_id": st.sampled_from(["1", None]),
        "read_rows": st.integers(0, 3) | st.none(),
        "update_time": st.sampled_from(["2026-01-05T12:00:00Z", "2026-01-05T13:00:00Z"])
        | st.none(),
    }
)


@given(st.lists(VERSIONS, min_size=1, max_size=12), st.randoms())
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_input_never_matters(versions: list, random) -> None:  # noqa: ANN001
    """Any order of the same versions leaves the same rows, one for each key."""
    shuffled = random.sample(versions, len(versions))

    def once(rows: list) -> pl.DataFrame:
        content = [json.dumps(system_row(**row)).encode() for row in rows]
        decoded = list(map(query_history.decode, content))
        read = pl.concat(query_history.frames(decoded, "offline"))
        return each_once(read).collect().sort(RAW_QUERY_HISTORY.key)

    found = once(versions)

    assert found.equals(once(shuffled))
    assert found.height == len({(row["statement_id"], row["workspace_id"]) for row in versions})


def test_equal_hashes_are_not_equal_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements whose keys have the same hash by chance are all kept; versions are still one."""
    monkeypatch.setattr(pl.Expr, "hash", lambda _: pl.lit(7, pl.UInt64))

    found = read_rows(tmp_path, system_row("a"), system_row("b"), system_row("b", read_rows=1))

    assert found.column("statement_id") == ["a", "b"]
