"""REST calls on the workspace: the current user and SQL warehouses."""

from dbminer_dagster_tests.databricks_emulator.api_error import refused
from dbminer_dagster_tests.databricks_emulator.routes import Body, Call, route
from dbminer_dagster_tests.databricks_emulator.workspace import Principal, Workspace


def check_warehouse(workspace: Workspace, principal: Principal, warehouse_id: str) -> None:
    """Refuses a warehouse that does not exist, was deleted, or may not be used by the caller.

    Raises:
        ApiError: With Databricks' code.
    """
    warehouse = workspace.warehouse
    if warehouse_id != warehouse.id or warehouse.state == "DELETED":
        message = f"SQL warehouse {warehouse_id} does not exist."
        raise refused(404, "RESOURCE_DOES_NOT_EXIST", message)
    if principal.name not in warehouse.can_use:
        message = f"{principal.name} is not authorized to use SQL warehouse {warehouse_id}."
        raise refused(403, "PERMISSION_DENIED", f"{message} Please contact its administrator.")


def _current_user(call: Call) -> Body:
    principal = call.principal
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": principal.id,
        "userName": principal.name,
        "displayName": principal.display_name,
        "active": True,
        "groups": [
            {"display": group, "type": "direct", "value": str(number)}
            for number, group in enumerate(principal.groups, start=9001)
        ],
    }


def _list_warehouses(call: Call) -> Body:
    """The warehouses that the caller may use."""
    warehouse = call.workspace.warehouse
    visible = warehouse.state != "DELETED" and call.principal.name in warehouse.can_use
    return {"warehouses": [_warehouse(call.workspace)] if visible else []}


def _get_warehouse(call: Call) -> Body:
    check_warehouse(call.workspace, call.principal, call.parts[0])
    if call.workspace.warehouse.state == "STARTING":
        call.workspace.warehouse.start()
    return _warehouse(call.workspace)


def _start_warehouse(call: Call) -> Body:
    """Starts a warehouse without waiting for it."""
    check_warehouse(call.workspace, call.principal, call.parts[0])
    call.workspace.warehouse.start()
    return {}


def _warehouse(workspace: Workspace) -> Body:
    warehouse = workspace.warehouse
    scheme, _, hostname = workspace.host.partition("://")
    return {
        "id": warehouse.id,
        "name": warehouse.name,
        "state": warehouse.state,
        "cluster_size": "2X-Small",
        "warehouse_type": "PRO",
        "enable_serverless_compute": True,
        "auto_stop_mins": 10,
        "min_num_clusters": 1,
        "max_num_clusters": 1,
        "num_clusters": int(warehouse.state == "RUNNING"),
        "num_active_sessions": 0,
        "creator_name": "admin@larkfell.example",
        "odbc_params": {
            "hostname": hostname.partition(":")[0],
            "path": f"/sql/1.0/warehouses/{warehouse.id}",
            "protocol": scheme,
            "port": int(hostname.partition(":")[2]),
        },
    }


ROUTES = (
    route("GET", "/api/2.0/preview/scim/v2/Me", None, _current_user),
    route("GET", "/api/2.0/sql/warehouses", "sql", _list_warehouses),
    route("GET", "/api/2.0/sql/warehouses/*", "sql", _get_warehouse),
    route("POST", "/api/2.0/sql/warehouses/*/start", "sql", _start_warehouse),
)
