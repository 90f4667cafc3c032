"""Query-history objects to rows of `raw_query_history`.

Two shapes are read: rows of the Query History API (`query_id`) and rows of
`system.query.history` (`statement_id`). Unknown fields are ignored; both shapes keep growing.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import polars as pl
from msgspec import Meta, Struct

from dbminer_dagster.resources.offline.decoding import check_time, decode_either
from dbminer_dagster.resources.query_history_rows import (
    RENAMED_SYSTEM_COLUMNS,
    finished,
    tags_text,
)
from dbminer_dagster.schemas import RAW_QUERY_HISTORY

Id = str | int | None
Count = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None
EpochMs = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]


class _JobInfo(Struct, gc=False):
    job_id: Id = None


class _PipelineInfo(Struct, gc=False):
    pipeline_id: Id = None


class _Source(Struct, gc=False):
    job_info: _JobInfo | None = None
    notebook_id: Id = None
    dashboard_id: Id = None
    legacy_dashboard_id: Id = None
    alert_id: Id = None
    sql_query_id: Id = None
    genie_space_id: Id = None
    pipeline_info: _PipelineInfo | None = None


class _Metrics(Struct, gc=False):
    total_time_ms: Count = None
    execution_time_ms: Count = None
    compilation_time_ms: Count = None
    task_total_time_ms: Count = None
    read_bytes: Count = None
    rows_read_count: Count = None
    rows_produced_count: Count = None
    result_from_cache: bool | None = None


class _Compute(Struct, gc=False):
    type: str | None = None
    warehouse_id: Id = None


class ApiRow(Struct, gc=False):
    """A row of `GET /api/2.0/sql/history/queries`, with the `workspace_id` our extractor adds."""

    query_id: str
    query_start_time_ms: EpochMs
    status: str | None = None
    query_text: str | None = None
    statement_type: str | None = None
    query_end_time_ms: EpochMs | None = None
    execution_end_time_ms: EpochMs | None = None
    duration: Count = None
    user_id: Id = None
    user_name: str | None = None
    executed_as_user_id: Id = None
    executed_as_user_name: str | None = None
    warehouse_id: Id = None
    endpoint_id: Id = None
    rows_produced: Count = None
    error_message: str | None = None
    cache_query_id: str | None = None
    client_application: str | None = None
    session_id: str | None = None
    query_source: _Source | None = None
    query_tags: Any = None
    metrics: _Metrics | None = None
    workspace_id: Id = None


class SystemRow(Struct, gc=False):
    """A row of `system.query.history`."""

    statement_id: str
    start_time: datetime
    workspace_id: Id = None
    execution_status: str | None = None
    statement_text: str | None = None
    statement_type: str | None = None
    end_time: datetime | None = None
    update_time: datetime | None = None
    total_duration_ms: Count = None
    execution_duration_ms: Count = None
    compilation_duration_ms: Count = None
    total_task_duration_ms: Count = None
    executed_by_user_id: Id = None
    executed_by: str | None = None
    executed_as_user_id: Id = None
    executed_as: str | None = None
    compute: _Compute | None = None
    error_message: str | None = None
    client_application: str | None = None
    session_id: str | None = None
    read_bytes: Count = None
    read_rows: Count = None
    produced_rows: Count = None
    from_result_cache: bool | None = None
    cache_origin_statement_id: str | None = None
    query_source: _Source | None = None
    query_tags: Any = None


_NO_SOURCE, _NO_METRICS, _NO_COMPUTE = _Source(), _Metrics(), _Compute()
_NO_JOB, _NO_PIPELINE = _JobInfo(), _PipelineInfo()
_API, _SYSTEM = (msgspec.json.Decoder(kind, strict=False) for kind in (ApiRow, SystemRow))

# Column of `raw_query_history` to the field that fills it.
_SOURCE_FIELDS = {
    name: name for name in _Source.__struct_fields__ if name not in {"job_info", "pipeline_info"}
}
_API_FIELDS = {
    "statement_id": "query_id",
    "executed_as": "executed_as_user_name",
    "statement_text": "query_text",
} | {
    name: name
    for name in (
        *("workspace_id", "session_id", "user_id", "user_name", "executed_as_user_id"),
        *("statement_type", "status", "error_message", "client_application", "query_tags"),
    )
}
_API_METRICS = {
    "execution_duration_ms": "execution_time_ms",
    "compilation_duration_ms": "compilation_time_ms",
    "total_task_duration_ms": "task_total_time_ms",
    "read_bytes": "read_bytes",
    "read_rows": "rows_read_count",
    "from_result_cache": "result_from_cache",
}
_SYSTEM_FIELDS = RENAMED_SYSTEM_COLUMNS | {
    name: name for name in SystemRow.__struct_fields__ if name in RAW_QUERY_HISTORY.schema
}


def decode(content: bytes) -> ApiRow | SystemRow:
    """One object, checked.

    Raises:
        msgspec.DecodeError: It is not JSON, or a field has a wrong type or is missing.
        ValueError: A text is not UTF-8, or a time is out of range.
    """
    # Only a guess, hence cheap: a tag or a text may be called `query_id` as well.
    likely, other = (_API, _SYSTEM) if b'"query_id"' in content[:200] else (_SYSTEM, _API)
    row = decode_either(content, likely, other)
    if isinstance(row, SystemRow):
        for time in (row.start_time, row.end_time, row.update_time):
            check_time(time)
    return row


def known_fields() -> frozenset[str]:
    """The names of all fields that either shape may have."""
    return frozenset(ApiRow.__struct_fields__) | frozenset(SystemRow.__struct_fields__)


def frames(rows: Sequence[ApiRow | SystemRow], method: str) -> Iterator[pl.LazyFrame]:
    """The rows in the columns of `raw_query_history`, a frame for each shape."""
    if api := [row for row in rows if isinstance(row, ApiRow)]:
        yield _shaped(_api_columns(api), method)
    if system := [row for row in rows if isinstance(row, SystemRow)]:
        yield _shaped(_system_columns(system), method)


def _values(objects: Sequence[Struct], field: str) -> list:
    return list(map(attrgetter(field), objects))


def _columns(objects: Sequence[Struct], fields: Mapping[str, str]) -> dict[str, list]:
    return {column: _values(objects, field) for column, field in fields.items()}


def _source_columns(rows: Sequence[ApiRow | SystemRow]) -> dict[str, list]:
    sources = [row.query_source or _NO_SOURCE for row in rows]
    return {
        **_columns(sources, _SOURCE_FIELDS),
        "job_id": [(source.job_info or _NO_JOB).job_id for source in sources],
        "pipeline_id": [(source.pipeline_info or _NO_PIPELINE).pipeline_id for source in sources],
    }


def _api_columns(rows: Sequence[ApiRow]) -> dict[str, list]:
    metrics = [row.metrics or _NO_METRICS for row in rows]
    ended = _values(rows, "query_end_time_ms")
    return {
        **_source_columns(rows),
        **_columns(rows, _API_FIELDS),
        **_columns(metrics, _API_METRICS),
        "warehouse_id": _either(_values(rows, "warehouse_id"), _values(rows, "endpoint_id")),
        # As in the system table: a statement that took no cached result is its own origin.
        "cache_origin_statement_id": _either(
            _values(rows, "cache_query_id"), _values(rows, "query_id")
        ),
        "start_time": _micros(_values(rows, "query_start_time_ms")),
        "end_time": _micros(ended),
        "update_time": _micros(_either(_values(rows, "execution_end_time_ms"), ended)),
        "total_duration_ms": _either(_values(rows, "duration"), _values(metrics, "total_time_ms")),
        "produced_rows": _either(
            _values(rows, "rows_produced"), _values(metrics, "rows_produced_count")
        ),
    }


def _system_columns(rows: Sequence[SystemRow]) -> dict[str, list]:
    computes = [row.compute or _NO_COMPUTE for row in rows]
    return {
        **_source_columns(rows),
        **_columns(rows, _SYSTEM_FIELDS),
        "warehouse_id": _values(computes, "warehouse_id"),
        "compute_type": _values(computes, "type"),
        **{name: _utc(_values(rows, name)) for name in ("start_time", "end_time", "update_time")},
    }


def _shaped(columns: dict[str, list], method: str) -> pl.LazyFrame:
    columns["query_tags"] = list(map(tags_text, columns["query_tags"]))
    height = len(columns["statement_id"])
    series = [
        # Not strict for texts: ids are JSON integers in REST answers, and texts in system tables.
        pl.Series(name, columns.get(name, [None] * height), dtype, strict=dtype != pl.String)
        for name, dtype in RAW_QUERY_HISTORY.schema.items()
    ]
    return finished(pl.DataFrame(series).lazy(), method)


def _either(first: Sequence, second: Sequence) -> list:
    return [b if a is None else a for a, b in zip(first, second, strict=True)]


def _micros(milliseconds: Sequence[int | None]) -> list[int | None]:
    return [value and value * 1000 for value in milliseconds]


def _utc(times: Sequence[datetime | None]) -> list[datetime | None]:
    """Times without an offset are UTC, as in the system tables."""
    return [time if time is None or time.tzinfo else time.replace(tzinfo=UTC) for time in times]
