"""Why a SQL warehouse cannot be used, as far as the workspace tells."""

from typing import TYPE_CHECKING

from databricks.sdk import errors as sdk

from dbminer_dagster.errors import DbminerError, WarehouseError

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

    from dbminer_dagster.databricks.connection import Connection

_DELETED = "DELETED"


def warehouse_unusable(
    connection: "Connection", warehouse_id: str, text: str, *, denied: bool
) -> DbminerError:
    """Asks the workspace for the state of a warehouse, and says what to do about it.

    Args:
        connection: To the workspace.
        warehouse_id: The warehouse that refused.
        text: What it answered.
        denied: Whether it refused this principal.
    """
    try:
        with connection.calling(f"look at SQL warehouse {warehouse_id}") as client:
            state, visible = _state(client, warehouse_id), _visible(client)
    except DbminerError as error:
        return error
    who, where = connection.principal, f"SQL warehouse {warehouse_id} at {connection.host}"
    if state == _DELETED:
        choice = f"one that {who} may use: {visible}" if visible else "another one"
        return WarehouseError(f"{where} does not exist.", f"Set DBMINER_WAREHOUSE_ID to {choice}.")
    if denied or state is None:
        return WarehouseError(
            f"{who} may not use {where}.",
            f"Let its owner or an admin give {who} the permission CAN USE on it.",
        )
    return WarehouseError(
        f"{where} does not serve: it is {state} ({text}).",
        "Start it in the workspace and look at what it reports, or set DBMINER_WAREHOUSE_ID.",
        retryable=True,
    )


def _state(client: "WorkspaceClient", warehouse_id: str) -> str | None:
    """The state in Databricks' words; None if it may not be seen."""
    try:
        state = client.warehouses.get(warehouse_id).state
    except sdk.PermissionDenied:
        return None
    except (sdk.NotFound, sdk.BadRequest):  # an id that is no id is a bad request
        return _DELETED
    return state.value if state else None


def _visible(client: "WorkspaceClient") -> str:
    return ", ".join(f"{found.id} ({found.name})" for found in client.warehouses.list())
