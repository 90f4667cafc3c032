"""What it means that a system table, or a view that clones it, does not exist."""

from collections.abc import Mapping

from dbminer_dagster.databricks.system_tables import SYSTEM_CATALOG, SystemTable, quoted
from dbminer_dagster.errors import AccessDeniedError, StatementError
from dbminer_dagster.preflight.model import Answer, Status
from dbminer_dagster.preflight.workspace import WorkspaceSession

_ORIGINALS = {
    "table_lineage": ("access", "table_lineage"),
    "column_lineage": ("access", "column_lineage"),
    "query_history": ("query", "history"),
    "billing_usage": ("billing", "usage"),
    "list_prices": ("billing", "list_prices"),
}
_ENABLED = frozenset({"ENABLE_COMPLETED", "MANAGED"})
_BEING_ENABLED = "ENABLE_INITIALIZED"


def not_found_answer(
    session: WorkspaceSession, absent: Mapping[SystemTable, StatementError]
) -> Answer:
    """Which tables do not exist, and how they come to be."""
    names = " and ".join(table.full_name for table in absent)
    table, error = next(iter(absent.items()))
    if not table.is_clone:
        return _schema_answer(session, table, names)
    kind = "LINEAGE" if "lineage" in table.name else "QUERY_HISTORY"
    return Answer(
        f"The workspace knows no {names} ({error.error_class}).",
        Status.FAILED,
        f"Set DBMINER_{kind}_CATALOG and DBMINER_{kind}_SCHEMA to where the views are, or let who "
        "may read the system tables make them:",
        tuple(
            # Never OR REPLACE: a view that is there may hide rows and columns on purpose.
            f"CREATE VIEW {table.quoted} AS "  # noqa: S608 - names are quoted
            f"SELECT * FROM {quoted(SYSTEM_CATALOG, *_ORIGINALS[table.name])}"
            for table in absent
        ),
    )


def _schema_answer(session: WorkspaceSession, table: SystemTable, names: str) -> Answer:
    """System tables exist as soon as an account admin has enabled their schema."""
    state = _schema_state(session, table.schema)
    if state in _ENABLED:
        return Answer(
            f"The system schema {table.schema} is enabled, but has no {names}.",
            Status.FAILED,
            "Ask the support of Databricks whether the region has these tables.",
        )
    if state == _BEING_ENABLED:
        return Answer(
            f"There is no {names}: the system schema {table.schema} is just being enabled.",
            Status.FAILED,
            "Wait some minutes and ask again.",
        )
    known = f"its state is {state}" if state else "only a metastore admin may see its state"
    return Answer(
        f"There is no {names}: the system schema {table.schema} is not enabled ({known}).",
        Status.FAILED,
        "Let an account admin who is a metastore admin enable it with the Databricks CLI: "
        f"databricks system-schemas enable {session.metastore_id} {table.schema}",
    )


def _schema_state(session: WorkspaceSession, schema: str) -> str | None:
    """The state of a system schema in Databricks' words; None when one may not know it."""
    try:
        with session.connection.calling("list the system schemas") as client:
            listed = client.system_schemas.list(session.metastore_id)
            states = {each.schema: each.state for each in listed}
    except AccessDeniedError:
        return None
    return states.get(schema.lower(), "UNKNOWN")
