"""Query-history objects to rows of `raw_query_history`.

Two shapes are read: rows of the Query History API (`query_id`) and rows of
`system.query.history` (`statement_id`). Unknown fields are ignored; both shapes keep growing.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import polars as pl
from msgspec import Meta, Struct
from msgspec.structs import astuple

from dbminer_dagster.schemas import RAW_QUERY_HISTORY, UTC_TIME

REDACTED = "<redacted>"
"""What Databricks gives instead of a text that the reader may not see, in any case."""

Id = str | int | None
Count = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None
EpochMs = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]


class _JobInfo(Struct):
    job_id: Id = None


class _PipelineInfo(Struct):
    pipeline_id: Id = None


class _Source(Struct):
    job_info: _JobInfo | None = None
    notebook_id: Id = None
    dashboard_id: Id = None
    legacy_dashboard_id: Id = None
    alert_id: Id = None
    sql_query_id: Id = None
    genie_space_id: Id = None
    pipeline_info: _PipelineInfo | None = None


class _Metrics(Struct):
    total_time_ms: Count = None
    execution_time_ms: Count = None
    compilation_time_ms: Count = None
    task_total_time_ms: Count = None
    read_bytes: Count = None
    rows_read_count: Count = None
    rows_produced_count: Count = None
    result_from_cache: bool | None = None


class _Compute(Struct):
    type: str | None = None
    warehouse_id: Id = None


class ApiRow(Struct):
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


class SystemRow(Struct):
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
_DECODERS = {
    kind: msgspec.json.Decoder(kind, strict=False) for kind in (ApiRow, SystemRow)
}
_TEXT_COLUMNS = {
    column.name for column in RAW_QUERY_HISTORY.columns if column.dtype == pl.String
}


def decode(content: bytes) -> ApiRow | SystemRow:
    """One object, checked.

    Raises:
        msgspec.DecodeError: It is not JSON, or a field has a wrong type or is missing.
    """
    kind = ApiRow if b'"query_id"' in content else SystemRow
    return _DECODERS[kind].decode(content)


def known_fields() -> frozenset[str]:
    """The names of all fields that either shape may have."""
    return frozenset(ApiRow.__struct_fields__) | frozenset(SystemRow.__struct_fields__)


def frames(rows: Sequence[ApiRow | SystemRow], method: str) -> Iterator[pl.LazyFrame]:
    """The rows in the columns of `raw_query_history`, a frame for each shape."""
    if api := [row for row in rows if isinstance(row, ApiRow)]:
        yield _shaped(_api_columns(api), method)
    if system := [row for row in rows if isinstance(row, SystemRow)]:
        yield _shaped(_system_columns(system), method)


def _fields(rows: Sequence[Struct], kind: type[Struct]) -> dict[str, tuple]:
    return dict(zip(kind.__struct_fields__, zip(*map(astuple, rows), strict=True), strict=True))


def _source_columns(sources: Sequence[_Source | None]) -> dict[str, Sequence]:
    fields = _fields([source or _NO_SOURCE for source in sources], _Source)
    jobs, pipelines = fields.pop("job_info"), fields.pop("pipeline_info")
    return {
        **fields,
        "job_id": [job and job.job_id for job in jobs],
        "pipeline_id": [pipeline and pipeline.pipeline_id for pipeline in pipelines],
    }


def _api_columns(rows: Sequence[ApiRow]) -> dict[str, Sequence]:
    row = _fields(rows, ApiRow)
    metrics = _fields([m or _NO_METRICS for m in row["metrics"]], _Metrics)
    return {
        **_source_columns(row["query_source"]),
        "workspace_id": row["workspace_id"],
        "statement_id": row["query_id"],
        "session_id": row["session_id"],
        "user_id": row["user_id"],
        "user_name": row["user_name"],
        "executed_as_user_id": row["executed_as_user_id"],
        "executed_as": row["executed_as_user_name"],
        "statement_text": row["query_text"],
        "statement_type": row["statement_type"],
        "status": row["status"],
        "error_message": row["error_message"],
        "warehouse_id": _either(row["warehouse_id"], row["endpoint_id"]),
        "client_application": row["client_application"],
        "start_time": _ms(row["query_start_time_ms"]),
        "end_time": _ms(row["query_end_time_ms"]),
        "update_time": _ms(_either(row["execution_end_time_ms"], row["query_end_time_ms"])),
        "total_duration_ms": _either(row["duration"], metrics["total_time_ms"]),
        "execution_duration_ms": metrics["execution_time_ms"],
        "compilation_duration_ms": metrics["compilation_time_ms"],
        "total_task_duration_ms": metrics["task_total_time_ms"],
        "read_bytes": metrics["read_bytes"],
        "read_rows": metrics["rows_read_count"],
        "produced_rows": _either(row["rows_produced"], metrics["rows_produced_count"]),
        "from_result_cache": metrics["result_from_cache"],
        "cache_origin_statement_id": row["cache_query_id"],
        "query_tags": row["query_tags"],
    }


def _system_columns(rows: Sequence[SystemRow]) -> dict[str, Sequence]:
    row = _fields(rows, SystemRow)
    computes = _fields([compute or _NO_COMPUTE for compute in row.pop("compute")], _Compute)
    return {
        **_source_columns(row.pop("query_source")),
        **row,
        "status": row["execution_status"],
        "user_id": row["executed_by_user_id"],
        "user_name": row["executed_by"],
        "warehouse_id": computes["warehouse_id"],
        "compute_type": computes["type"],
        "start_time": _utc(row["start_time"]),
        "end_time": _utc(row["end_time"]),
        "update_time": _utc(row["update_time"]),
    }


def _shaped(columns: dict[str, Sequence], method: str) -> pl.LazyFrame:
    height = len(columns["statement_id"])
    columns["query_tags"] = [_tags_text(tags) if tags else None for tags in columns["query_tags"]]
    series = [
        pl.Series(name, _texts(values) if name in _TEXT_COLUMNS else values, dtype, strict=True)
        for name, dtype in RAW_QUERY_HISTORY.schema.items()
        if (values := columns.get(name)) is not None
    ]
    missing = {
        name: pl.lit(None, dtype)
        for name, dtype in RAW_QUERY_HISTORY.schema.items()
        if name not in columns
    }
    text = pl.col("statement_text").str.strip_chars()
    redacted = (text.str.to_lowercase() == REDACTED).fill_null(value=False)
    return (
        pl.DataFrame(series, height=height)
        .lazy()
        .with_columns(**missing)
        .with_columns(
            pl.when(~redacted & (text.str.len_bytes() > 0)).then("statement_text"),
            text_redacted=redacted,
            extraction_method=pl.lit(method),
            day=pl.col("start_time").dt.date(),
        )
        .select(RAW_QUERY_HISTORY.schema.names())
    )


def _either(first: Sequence, second: Sequence) -> list:
    return [b if a is None else a for a, b in zip(first, second, strict=True)]


def _texts(values: Sequence) -> list[str | None]:
    """Ids arrive as JSON integers by REST and as text from system tables."""
    return [str(value) if isinstance(value, int) else value for value in values]


def _ms(values: Sequence[int | None]) -> pl.Series:
    return pl.Series(values, dtype=pl.Int64).cast(pl.Datetime("ms", "UTC")).cast(UTC_TIME)


def _utc(values: Sequence[datetime | None]) -> list[datetime | None]:
    """Times without an offset are UTC, as in the system tables."""
    return [
        value if value is None or value.tzinfo else value.replace(tzinfo=UTC) for value in values
    ]


def _tags_text(tags: Any) -> str:  # noqa: ANN401 - whatever JSON the tags are
    """Tags as one JSON object, whether they came as such or as a list of pairs."""
    if isinstance(tags, list) and all(isinstance(tag, dict) and "key" in tag for tag in tags):
        tags = {str(tag["key"]): tag.get("value") for tag in tags}
    return msgspec.json.encode(tags, order="sorted").decode()


def latest(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Each statement once: the version that the source changed last.

    Ties are broken by all columns, so that the order of the input never matters.
    """
    key = list(RAW_QUERY_HISTORY.key)
    repeated = rows.group_by(key).len().filter(pl.col("len") > 1).select(key).collect()
    if repeated.is_empty():
        return rows
    others = [name for name in RAW_QUERY_HISTORY.schema if name not in {"update_time", "end_time"}]
    newest = (
        rows.join(repeated.lazy(), on=key, how="semi", nulls_equal=True)
        .sort("update_time", "end_time", *others, nulls_last=False)
        .unique(key, keep="last", maintain_order=True)
    )
    once = rows.join(repeated.lazy(), on=key, how="anti", nulls_equal=True)
    return pl.concat([once, newest])
