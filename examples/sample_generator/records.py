"""Query-history rows of one execution, in the two shapes in which files hold them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sample_generator.company import Company
from sample_generator.model import Entity, Principal, Statement

DRIVERS = {
    "dbt": "PyDatabricksSqlConnector/4.0.5",
    "Tableau": "SimbaSparkODBC/2.9.2",
    "Power BI": "SimbaSparkODBC/2.9.2",
    "Databricks SQL Connector for Python": "PyDatabricksSqlConnector/4.1.2",
}
SMALL_MS = 2_000
Row = dict[str, Any]


@dataclass(slots=True)
class Execution:
    """One run of a statement."""

    statement: Statement
    statement_id: str
    session_id: str
    user: Principal
    text: str
    start_ms: int
    duration_ms: int
    compilation_ms: int
    status: str
    error: str | None
    entity: Entity
    run_id: str
    application: str
    warehouse_id: str
    tags: tuple[tuple[str, str], ...]
    rows_read: int
    rows_produced: int
    cache_origin: str | None

    @property
    def end_ms(self) -> int:
        """When the result was ready."""
        return self.start_ms + self.duration_ms

    @property
    def execution_ms(self) -> int:
        """Time spent after compilation; none for a cached result."""
        return 0 if self.cache_origin else self.duration_ms - self.compilation_ms

    @property
    def read_bytes(self) -> int:
        """A believable size of what was read."""
        return self.rows_read * 37


def rest_row(run: Execution, company: Company, *, is_final: bool = True) -> Row:
    """A row of the Query History API, with the `workspace_id` that the extractor adds."""
    ended = {"query_end_time_ms": run.end_ms, "execution_end_time_ms": run.end_ms}
    row: Row = {
        "query_id": run.statement_id,
        "status": run.status if is_final else "RUNNING",
        "query_text": run.text,
        "query_start_time_ms": run.start_ms,
        **(ended if is_final else {}),
        "user_id": run.user.user_id,
        "user_name": run.user.name,
        "executed_as_user_id": run.user.user_id,
        "executed_as_user_name": run.user.name,
        "warehouse_id": run.warehouse_id,
        "endpoint_id": run.warehouse_id,
        "rows_produced": run.rows_produced if is_final else 0,
        "is_final": is_final,
        "statement_type": run.statement.statement_type,
        "session_id": run.session_id,
        "client_application": run.application,
        "duration": run.duration_ms if is_final else run.compilation_ms,
        "plans_state": "EXISTS" if run.duration_ms > SMALL_MS else "IGNORED_SMALL_DURATION",
        "query_source": _rest_source(run),
        "query_tags": [{"key": key, "value": value} for key, value in run.tags],
        "workspace_id": company.workspace_id,
    }
    if run.error:
        row["error_message"] = run.error
    if run.cache_origin:
        row["cache_query_id"] = run.cache_origin
    if is_final:
        row["metrics"] = _metrics(run)
    return row


def system_row(run: Execution, company: Company, *, late_ms: int = 0) -> Row:
    """A row of `system.query.history`; `late_ms` tells a later update of the same statement."""
    user_id = str(run.user.user_id)
    produced = run.rows_produced
    end = iso_time(run.end_ms)
    return {
        "account_id": company.account_id,
        "workspace_id": company.workspace_id,
        "statement_id": run.statement_id,
        "executed_by": run.user.name,
        "session_id": run.session_id,
        "execution_status": run.status,
        "compute": {"type": "WAREHOUSE", "cluster_id": None, "warehouse_id": run.warehouse_id},
        "executed_by_user_id": user_id,
        "statement_text": run.text,
        "statement_type": run.statement.statement_type,
        "error_message": run.error,
        "client_application": run.application,
        "client_driver": DRIVERS.get(run.application),
        "total_duration_ms": run.duration_ms,
        "waiting_for_compute_duration_ms": 0,
        "waiting_at_capacity_duration_ms": 0,
        "execution_duration_ms": run.execution_ms,
        "compilation_duration_ms": run.compilation_ms,
        "total_task_duration_ms": run.execution_ms * 6,
        "result_fetch_duration_ms": run.compilation_ms // 8,
        "start_time": iso_time(run.start_ms),
        "end_time": end,
        "update_time": iso_time(run.end_ms + late_ms) if late_ms else end,
        "read_partitions": 0,
        "pruned_files": 0,
        "read_files": run.rows_read // 90_000,
        "read_rows": run.rows_read,
        "produced_rows": produced,
        "read_bytes": run.read_bytes,
        "read_io_cache_percent": 0,
        "from_result_cache": run.cache_origin is not None,
        "spilled_local_bytes": 0,
        "written_bytes": 0,
        "shuffle_read_bytes": 0,
        "query_source": _system_source(run),
        "executed_as_user_id": user_id,
        "executed_as": run.user.name,
        "written_rows": 0,
        "written_files": 0,
        "cache_origin_statement_id": run.cache_origin or run.statement_id,
        "query_tags": dict(run.tags),
    }


def iso_time(milliseconds: int) -> str:
    """ISO text in UTC, with `Z` at its end."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def source_ids(entity: Entity, run_id: str) -> Row:
    """The member of `query_source` that an entity fills."""
    match entity.kind:
        case "DASHBOARD_V3":
            return {"dashboard_id": entity.entity_id}
        case "DBSQL_DASHBOARD":
            return {"legacy_dashboard_id": entity.entity_id}
        case "DBSQL_QUERY":
            return {"sql_query_id": entity.entity_id}
        case "NOTEBOOK":
            return {"notebook_id": entity.entity_id}
        case "JOB":
            return {"job_info": {"job_id": entity.entity_id, "job_run_id": run_id}}
        case _:
            return {}


def _rest_source(run: Execution) -> Row:
    source = source_ids(run.entity, run.run_id)
    if "job_info" in source:
        source["job_info"]["job_task_run_id"] = run.run_id + "1"
    return source


def _system_source(run: Execution) -> Row:
    pipeline = run.entity.entity_id if run.entity.kind == "PIPELINE" else None
    return {
        "job_info": None,
        "legacy_dashboard_id": None,
        "dashboard_id": None,
        "alert_id": None,
        "notebook_id": None,
        "sql_query_id": None,
        "genie_space_id": None,
        "pipeline_info": {"pipeline_id": pipeline, "update_id": run.run_id} if pipeline else None,
        **_rest_source(run),
    }


def _metrics(run: Execution) -> Row:
    return {
        "total_time_ms": run.duration_ms,
        "execution_time_ms": run.execution_ms,
        "compilation_time_ms": run.compilation_ms,
        "result_fetch_time_ms": run.compilation_ms // 8,
        "task_total_time_ms": run.execution_ms * 6,
        "read_bytes": run.read_bytes,
        "read_files_count": run.rows_read // 90_000,
        "rows_read_count": run.rows_read,
        "rows_produced_count": run.rows_produced,
        "spill_to_disk_bytes": 0,
        "result_from_cache": run.cache_origin is not None,
    }
