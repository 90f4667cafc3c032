"""Rows of `system.query.history` as the Query History API gives them."""

from typing import Any, NamedTuple

_SMALL_MS = 2_000
_COLUMNS = {
    "query_id": "statement_id",
    "status": "execution_status",
    "query_text": "statement_text",
    "start_ms": "epoch_ms(start_time)",
    "end_ms": "epoch_ms(end_time)",
    "user_id": "TRY_CAST(executed_by_user_id AS BIGINT)",
    "user_name": "executed_by",
    "executed_as_user_id": "TRY_CAST(executed_as_user_id AS BIGINT)",
    "executed_as_user_name": "executed_as",
    "warehouse_id": "compute.warehouse_id",
    "statement_type": "statement_type",
    "session_id": "session_id",
    "client_application": "client_application",
    "error_message": "error_message",
    "duration_ms": "total_duration_ms",
    "execution_ms": "execution_duration_ms",
    "compilation_ms": "compilation_duration_ms",
    "fetch_ms": "result_fetch_duration_ms",
    "task_ms": "total_task_duration_ms",
    "rows_produced": "produced_rows",
    "rows_read": "read_rows",
    "read_bytes": "read_bytes",
    "read_files": "read_files",
    "spilled_bytes": "spilled_local_bytes",
    "from_cache": "from_result_cache",
    "cache_origin": "cache_origin_statement_id",
    "query_source": "query_source",
    "query_tags": "query_tags",
}
STATEMENT_COLUMNS = ", ".join(f'{value} AS "{name}"' for name, value in _COLUMNS.items())
"""What to select from `system.query.history` for a `Statement`."""


class Statement(NamedTuple):
    """A statement that ran on a warehouse; its fields are those of `STATEMENT_COLUMNS`."""

    query_id: str
    status: str | None
    query_text: str | None
    start_ms: int
    end_ms: int | None
    user_id: int | None
    user_name: str | None
    executed_as_user_id: int | None
    executed_as_user_name: str | None
    warehouse_id: str
    statement_type: str | None
    session_id: str | None
    client_application: str | None
    error_message: str | None
    duration_ms: int | None
    execution_ms: int | None
    compilation_ms: int | None
    fetch_ms: int | None
    task_ms: int | None
    rows_produced: int | None
    rows_read: int | None
    read_bytes: int | None
    read_files: int | None
    spilled_bytes: int | None
    from_cache: bool | None
    cache_origin: str | None
    query_source: dict[str, Any] | None
    query_tags: dict[str, str | None] | None


def query_info(
    statement: Statement, *, is_running: bool, with_metrics: bool, sees_text: bool
) -> dict[str, Any]:
    """A statement as a row of the API; what it does not know is left out."""
    text = statement.query_text
    info = {
        "query_id": statement.query_id,
        "status": statement.status,
        "query_text": text if sees_text or text is None else "<REDACTED>",
        "query_start_time_ms": statement.start_ms,
        "query_end_time_ms": statement.end_ms,
        "execution_end_time_ms": statement.end_ms,
        "user_id": statement.user_id,
        "user_name": statement.user_name,
        "executed_as_user_id": statement.executed_as_user_id,
        "executed_as_user_name": statement.executed_as_user_name,
        "warehouse_id": statement.warehouse_id,
        "endpoint_id": statement.warehouse_id,
        "rows_produced": statement.rows_produced,
        "is_final": True,
        "statement_type": statement.statement_type,
        "session_id": statement.session_id,
        "client_application": statement.client_application,
        "duration": statement.duration_ms,
        "plans_state": _plans_state(statement),
        "query_source": _source(statement.query_source or {}),
        "query_tags": _tags(statement.query_tags),
        "error_message": statement.error_message,
        "cache_query_id": statement.cache_origin if statement.from_cache else None,
        "metrics": _metrics(statement) if with_metrics and not is_running else None,
    }
    if is_running:
        info |= _WHILE_RUNNING | {"duration": statement.compilation_ms}
    return {name: value for name, value in info.items() if value is not None}


_WHILE_RUNNING: dict[str, Any] = {
    "status": "RUNNING",
    "is_final": False,
    "rows_produced": 0,
    "query_end_time_ms": None,
    "execution_end_time_ms": None,
    "error_message": None,
}


def _plans_state(statement: Statement) -> str:
    is_small = (statement.duration_ms or 0) <= _SMALL_MS
    return "IGNORED_SMALL_DURATION" if is_small else "EXISTS"


def _source(source: dict[str, Any]) -> dict[str, Any]:
    """Where a statement came from; the API knows nothing of pipelines."""
    known = {name: value for name, value in source.items() if name != "pipeline_info" and value}
    if "job_info" in known:
        known["job_info"] = {name: value for name, value in known["job_info"].items() if value}
    return known


def _tags(tags: dict[str, str | None] | None) -> list[dict[str, str]] | None:
    """Pairs; a tag without a value has no `value`."""
    if not tags:
        return None
    return [
        {"key": key} if value is None else {"key": key, "value": value}
        for key, value in tags.items()
    ]


def _metrics(statement: Statement) -> dict[str, Any]:
    metrics = {
        "total_time_ms": statement.duration_ms,
        "execution_time_ms": statement.execution_ms,
        "compilation_time_ms": statement.compilation_ms,
        "result_fetch_time_ms": statement.fetch_ms,
        "task_total_time_ms": statement.task_ms,
        "read_bytes": statement.read_bytes,
        "read_files_count": statement.read_files,
        "rows_read_count": statement.rows_read,
        "rows_produced_count": statement.rows_produced,
        "spill_to_disk_bytes": statement.spilled_bytes,
        "result_from_cache": statement.from_cache,
    }
    return {name: value for name, value in metrics.items() if value is not None}
