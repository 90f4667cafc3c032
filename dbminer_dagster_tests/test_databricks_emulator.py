"""The emulated workspace as the real SDK sees it: signing in, REST, grants and faults."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from databricks import sql
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.environments import (
    ARM_DATABRICKS_RESOURCE_ID,
    AzureEnvironment,
    Cloud,
    DatabricksEnvironment,
)
from databricks.sdk.errors import (
    NotFound,
    PermissionDenied,
    ResourceDoesNotExist,
    Unauthenticated,
)
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.sql import State
from databricks.sql.client import Connection
from databricks.sql.exc import RequestError, ServerOperationError

from dbminer_dagster_tests.databricks_emulator import Emulator, run_emulator
from dbminer_dagster_tests.databricks_emulator.faults import Fault, FaultKind, Faults
from dbminer_dagster_tests.databricks_emulator.workspace import Column, Table, Workspace

ME = "/api/2.0/preview/scim/v2/Me"
WAREHOUSES = "/api/2.0/sql/warehouses"
ORDERS = Table("sales", "gold", "orders", "MANAGED", (Column("id", "bigint"), Column("note")))


class Reply(NamedTuple):
    """The answer to a request."""

    status: int
    headers: dict[str, str]
    body: Any


@pytest.fixture(autouse=True)
def _only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps settings of this machine out of the SDK, and proxies out of the way."""
    for name in [name for name in os.environ if name.startswith(("DATABRICKS_", "ARM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def config(emulator: Emulator, auth_type: str, **changes: Any) -> Config:
    """The SDK's settings for a way to sign in, with short times."""
    workspace = emulator.workspace
    m2m, azure = workspace.service_principal, workspace.azure_service_principal
    settings: dict[str, dict[str, Any]] = {
        "pat": {"token": workspace.user.secret},
        "oauth-m2m": {"client_id": m2m.name, "client_secret": m2m.secret},
        "azure-client-secret": {
            "azure_tenant_id": azure.tenant_id,
            "azure_client_id": azure.name,
            "azure_client_secret": azure.secret,
            "databricks_environment": DatabricksEnvironment(
                Cloud.AZURE,
                "127.0.0.1",
                azure_application_id=ARM_DATABRICKS_RESOURCE_ID,
                azure_environment=AzureEnvironment(
                    name="LOOPBACK",
                    service_management_endpoint="https://management.core.windows.net/",
                    resource_manager_endpoint="https://management.azure.com/",
                    active_directory_endpoint=f"{emulator.host}/",
                ),
            ),
        },
    }
    common = {
        "host": emulator.host,
        "auth_type": auth_type,
        "retry_timeout_seconds": 5,
        "http_timeout_seconds": 5,
    }
    return Config(**{**common, **settings[auth_type], **changes})


def client(emulator: Emulator, auth_type: str = "pat", **changes: Any) -> WorkspaceClient:
    return WorkspaceClient(config=config(emulator, auth_type, **changes))


def ask(emulator: Emulator, method: str, path: str, headers: dict[str, str] | None = None) -> Reply:
    """A request without any library's retries, as the user unless the headers say otherwise."""
    connection = http.client.HTTPConnection(emulator.host.removeprefix("http://"), timeout=5)
    try:
        pat = f"Bearer {emulator.workspace.user.secret}"
        connection.request(
            method, path, headers={"Authorization": pat} if headers is None else headers
        )
        response = connection.getresponse()
        return Reply(response.status, dict(response.headers), json.loads(response.read() or "null"))
    finally:
        connection.close()


def add_tables(workspace: Workspace, *names: str) -> None:
    for name in names:
        workspace.add_table(Table("sales", "gold", name))


@pytest.mark.parametrize("auth_type", ["pat", "oauth-m2m", "azure-client-secret"])
def test_each_way_to_sign_in(databricks_emulator: Emulator, auth_type: str) -> None:
    """The real SDK signs in each way, and the workspace knows who it is."""
    names = {
        "pat": databricks_emulator.workspace.user.name,
        "oauth-m2m": databricks_emulator.workspace.service_principal.name,
        "azure-client-secret": databricks_emulator.workspace.azure_service_principal.name,
    }
    me = client(databricks_emulator, auth_type).current_user.me()
    assert me.user_name == names[auth_type]
    assert [group.display for group in me.groups or []] == ["users", "account users"]
    assert databricks_emulator.requests[-1].principal == names[auth_type]


def test_the_environment_signs_in(
    databricks_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables that the emulator hands out are those that the SDK reads."""
    for name, value in databricks_emulator.environment("oauth-m2m").items():
        monkeypatch.setenv(name, value)
    me = WorkspaceClient(config=Config(retry_timeout_seconds=5)).current_user.me()
    assert me.user_name == databricks_emulator.workspace.service_principal.name


def test_the_tenant_is_found(databricks_emulator: Emulator) -> None:
    """Without a tenant the SDK finds it by the redirect of the login page."""
    found = config(databricks_emulator, "azure-client-secret", azure_tenant_id=None)
    assert found.azure_tenant_id == databricks_emulator.workspace.azure_service_principal.tenant_id


@pytest.mark.parametrize(
    ("auth_type", "wrong", "message"),
    [
        ("oauth-m2m", "client_id", "invalid_client: Client authentication failed"),
        ("oauth-m2m", "client_secret", "invalid_client: Client authentication failed"),
        ("azure-client-secret", "azure_tenant_id", "invalid_request: AADSTS90002: Tenant 'wrong'"),
        ("azure-client-secret", "azure_client_id", "unauthorized_client: AADSTS700016"),
        ("azure-client-secret", "azure_client_secret", "invalid_client: AADSTS7000215"),
    ],
)
def test_wrong_credentials(
    databricks_emulator: Emulator, auth_type: str, wrong: str, message: str
) -> None:
    """Each wrong credential has the error that Databricks or Entra gives it."""
    with pytest.raises(ValueError, match=message):
        client(databricks_emulator, auth_type, **{wrong: "wrong"}).current_user.me()


def test_wrong_token(databricks_emulator: Emulator) -> None:
    """A wrong personal access token is refused, with a header that SQL clients show."""
    with pytest.raises(PermissionDenied, match=r"Invalid access token\."):
        client(databricks_emulator, token="wrong").current_user.me()
    reply = ask(databricks_emulator, "GET", ME, {"Authorization": "Bearer wrong"})
    assert reply.body == {"error_code": 403, "message": "Invalid access token."}
    assert reply.headers["x-databricks-reason-phrase"] == "Invalid access token."


def test_no_token(databricks_emulator: Emulator) -> None:
    """A request without a token is told so."""
    reply = ask(databricks_emulator, "GET", ME, {})
    assert (reply.status, reply.body["error_code"]) == (401, 401)
    assert "Credential was not sent" in reply.body["message"]


def test_scopes_of_a_secret(databricks_emulator: Emulator) -> None:
    """A secret restricted to a scope gives no token for more, and its tokens serve for no more."""
    workspace = databricks_emulator.workspace
    workspace.scopes[workspace.service_principal.name] = {"unity-catalog"}
    with pytest.raises(ValueError, match="access_denied: Scopes 'all-apis' are not assigned"):
        client(databricks_emulator, "oauth-m2m").current_user.me()
    restricted = client(databricks_emulator, "oauth-m2m", scopes="unity-catalog")
    assert restricted.metastores.summary().metastore_id == workspace.metastore_id
    with pytest.raises(PermissionDenied, match="does not have required scopes: sql"):
        list(restricted.warehouses.list())


def test_scopes_of_a_personal_access_token(databricks_emulator: Emulator) -> None:
    """A personal access token may be restricted to scopes as well."""
    workspace = databricks_emulator.workspace
    workspace.scopes[workspace.user.name] = {"unity-catalog"}
    with pytest.raises(PermissionDenied, match="does not have required scopes: sql"):
        list(client(databricks_emulator).warehouses.list())


def test_unknown_scope(databricks_emulator: Emulator) -> None:
    """A scope that does not exist is refused."""
    with pytest.raises(ValueError, match="invalid_scope"):
        client(databricks_emulator, "oauth-m2m", scopes="every-api").current_user.me()


@pytest.mark.parametrize(
    ("auth_type", "error", "message"),
    [
        ("oauth-m2m", PermissionDenied, "Invalid Token"),
        ("azure-client-secret", Unauthenticated, "Token is expired"),
    ],
)
def test_expired_token(
    databricks_emulator: Emulator, auth_type: str, error: type[DatabricksError], message: str
) -> None:
    """Tokens that expire before their time are refused; a new one serves again."""
    workspace_client = client(databricks_emulator, auth_type)
    workspace_client.current_user.me()
    databricks_emulator.faults.add(Fault("expired_token", ME))
    with pytest.raises(error, match=message):
        workspace_client.current_user.me()
    client(databricks_emulator, auth_type).current_user.me()


def test_tokens_are_renewed(databricks_emulator: Emulator) -> None:
    """A client gets itself a new token once the lifetime it was told is over."""
    databricks_emulator.workspace.token_lifetime_s = 2.0
    workspace_client = client(databricks_emulator, "oauth-m2m", disable_async_token_refresh=True)
    workspace_client.current_user.me()
    time.sleep(2.1)
    workspace_client.current_user.me()
    paths = [request.path for request in databricks_emulator.requests]
    assert paths.count("/oidc/v1/token") == 2


def test_azure_membership(databricks_emulator: Emulator) -> None:
    """An Azure service principal that is no member needs the id of the Azure resource too."""
    workspace = databricks_emulator.workspace
    workspace.azure_member = False
    with pytest.raises(PermissionDenied, match="User not authorized"):
        client(databricks_emulator, "azure-client-secret").current_user.me()
    resource_id = workspace.azure_resource_id
    manager = client(
        databricks_emulator, "azure-client-secret", azure_workspace_resource_id=resource_id
    )
    assert manager.current_user.me().user_name == workspace.azure_service_principal.name


def test_metastore(databricks_emulator: Emulator) -> None:
    """The metastore is there, and gone in a workspace without Unity Catalog."""
    workspace, sdk = databricks_emulator.workspace, client(databricks_emulator)
    assert sdk.metastores.summary().metastore_id == workspace.metastore_id
    assert sdk.metastores.current().workspace_id == int(workspace.workspace_id)
    workspace.unity_catalog = False
    for call in (sdk.metastores.summary, sdk.metastores.current, lambda: list(sdk.catalogs.list())):
        with pytest.raises(NotFound, match="No metastore assigned") as caught:
            call()
        assert caught.value.error_code == "METASTORE_DOES_NOT_EXIST"


def test_system_schemas(databricks_emulator: Emulator) -> None:
    """An admin sees which system schemas are enabled, and enables them for SQL."""
    workspace, sdk = databricks_emulator.workspace, client(databricks_emulator)

    def states() -> dict[str, str]:
        listed = sdk.system_schemas.list(workspace.metastore_id)
        return {schema.schema: schema.state for schema in listed}

    workspace.enabled_system_schemas.discard("access")
    assert (states()["access"], states()["query"]) == ("AVAILABLE", "ENABLE_COMPLETED")
    assert not workspace.schema_exists("system", "access")
    sdk.system_schemas.enable(workspace.metastore_id, "access")
    assert states()["access"] == "ENABLE_COMPLETED"
    sdk.system_schemas.disable(workspace.metastore_id, "access")
    assert not workspace.schema_exists("system", "access")
    workspace.metastore_admins.clear()
    with pytest.raises(PermissionDenied, match="Only metastore admins"):
        states()


def test_warehouse(databricks_emulator: Emulator) -> None:
    """A warehouse starts on demand and takes its time."""
    workspace, sdk = databricks_emulator.workspace, client(databricks_emulator)
    workspace.warehouse.state = "STOPPED"
    assert [warehouse.state for warehouse in sdk.warehouses.list()] == [State.STOPPED]
    sdk.warehouses.start(workspace.warehouse_id)
    assert sdk.warehouses.get(workspace.warehouse_id).state is State.STARTING
    workspace.warehouse.wait_until_running()
    assert sdk.warehouses.get(workspace.warehouse_id).state is State.RUNNING


def test_deleted_warehouse(databricks_emulator: Emulator) -> None:
    """A deleted warehouse is gone, like one that never was."""
    workspace, sdk = databricks_emulator.workspace, client(databricks_emulator)
    workspace.warehouse.state = "DELETED"
    assert not list(sdk.warehouses.list())
    for warehouse_id in (workspace.warehouse_id, "0000000000000000"):
        with pytest.raises(ResourceDoesNotExist, match=f"{warehouse_id} does not exist"):
            sdk.warehouses.get(warehouse_id)


def test_warehouse_needs_can_use(databricks_emulator: Emulator) -> None:
    """Who may not use a warehouse does not see it."""
    workspace, sdk = databricks_emulator.workspace, client(databricks_emulator)
    workspace.warehouse.can_use.discard(workspace.user.name)
    assert not list(sdk.warehouses.list())
    with pytest.raises(PermissionDenied, match="not authorized to use") as caught:
        sdk.warehouses.get(workspace.warehouse_id)
    assert caught.value.error_code == "PERMISSION_DENIED"


def test_lists(databricks_emulator: Emulator) -> None:
    """Catalogs, schemas, tables with columns, and summaries are listed."""
    databricks_emulator.workspace.add_table(ORDERS)
    sdk = client(databricks_emulator)
    assert {"sales", "system"} <= {catalog.name for catalog in sdk.catalogs.list()}
    assert [schema.full_name for schema in sdk.schemas.list("sales")] == ["sales.gold"]
    (table,) = sdk.tables.list("sales", "gold")
    assert table.full_name == "sales.gold.orders"
    columns = [(column.name, column.type_text, column.position) for column in table.columns or []]
    assert columns == [("id", "bigint", 0), ("note", "string", 1)]
    assert not next(sdk.tables.list("sales", "gold", omit_columns=True)).columns


@pytest.mark.parametrize(("pattern", "found"), [("ord%", 1), ("o_ders", 1), ("o_d", 0)])
def test_table_summaries(databricks_emulator: Emulator, pattern: str, found: int) -> None:
    """Summaries are filtered by the patterns of SQL's LIKE."""
    databricks_emulator.workspace.add_table(ORDERS)
    summaries = client(databricks_emulator).tables.list_summaries(
        "sales", schema_name_pattern="g%", table_name_pattern=pattern
    )
    assert len(list(summaries)) == found


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/2.1/unity-catalog/schemas?catalog_name=x", "CATALOG_DOES_NOT_EXIST"),
        (
            "/api/2.1/unity-catalog/tables?catalog_name=system&schema_name=x",
            "SCHEMA_DOES_NOT_EXIST",
        ),
        ("/api/2.1/unity-catalog/catalogs?page_token=x", "INVALID_PARAMETER_VALUE"),
        ("/api/2.0/no-such-call", "ENDPOINT_NOT_FOUND"),
    ],
)
def test_errors_carry_their_code(databricks_emulator: Emulator, path: str, code: str) -> None:
    """What does not exist is refused with Databricks' code for it."""
    assert ask(databricks_emulator, "GET", path).body["error_code"] == code


def test_pages_may_be_empty(databricks_emulator: Emulator) -> None:
    """Rows that the caller may not see leave gaps, even a whole page that still has a token."""
    workspace = databricks_emulator.workspace
    add_tables(workspace, *(f"t{number}" for number in range(6)))
    workspace.page_size = 2
    workspace.revoke("SELECT", "SCHEMA", "sales.gold", to=workspace.user)
    for name in ("t0", "t1", "t5"):
        workspace.grant("SELECT", "TABLE", f"sales.gold.{name}", to=workspace.user)
    names = [table.name for table in client(databricks_emulator).tables.list("sales", "gold")]
    assert names == ["t0", "t1", "t5"]
    path = "/api/2.1/unity-catalog/tables?catalog_name=sales&schema_name=gold"
    first = ask(databricks_emulator, "GET", path).body
    second = ask(databricks_emulator, "GET", f"{path}&page_token={first['next_page_token']}").body
    assert second["tables"] == []
    assert second["next_page_token"]


def test_browse(databricks_emulator: Emulator) -> None:
    """BROWSE shows what may not be read, marked so, to those who ask for it."""
    workspace, sdk = databricks_emulator.workspace, client(databricks_emulator)
    workspace.add_table(ORDERS)
    workspace.revoke_everything(workspace.user)
    workspace.grant("BROWSE", "CATALOG", "sales", to=workspace.user)
    assert not list(sdk.tables.list("sales", "gold"))
    (table,) = sdk.tables.list("sales", "gold", include_browse=True)
    assert table.browse_only


@pytest.mark.parametrize(
    ("privilege", "securable_type", "securable", "missing"),
    [
        ("USE CATALOG", "CATALOG", "system", ("USE CATALOG", "CATALOG", "system")),
        ("USE SCHEMA", "SCHEMA", "system.access", ("USE SCHEMA", "SCHEMA", "system.access")),
        ("SELECT", "SCHEMA", "system.access", ("SELECT", "TABLE", "system.access.table_lineage")),
    ],
)
def test_missing_privilege(
    privilege: str, securable_type: str, securable: str, missing: tuple[str, str, str]
) -> None:
    """The first missing privilege is named, and giving it makes up for it."""
    workspace = Workspace()
    user, parts = workspace.user, ("system", "access", "table_lineage")
    assert workspace.missing_privilege(user, *parts) is None
    workspace.revoke(privilege, securable_type, securable, to=user)
    assert workspace.missing_privilege(user, *parts) == missing
    assert workspace.missing_privilege(workspace.service_principal, *parts) is None
    kind, name = missing[1:]
    quoted = ".".join(f"`{part}`" for part in name.split("."))
    workspace.run_sql_as_admin(f"GRANT {missing[0]} ON {kind} {quoted} TO `{user.name}`;")
    assert workspace.missing_privilege(user, *parts) is None


@pytest.mark.parametrize(
    "line",
    [
        "GRANT USE CATALOG, USE SCHEMA, SELECT ON CATALOG system TO `{name}`",
        "grant all privileges on catalog `system` to `{name}`",
        "GRANT ALL PRIVILEGES ON CATALOG system TO `account users`",
    ],
)
def test_privileges_are_inherited(line: str) -> None:
    """A privilege on a catalog holds for all below, a group's for its members."""
    workspace = Workspace()
    user, parts = workspace.user, ("system", "query", "history")
    workspace.revoke_everything(user)
    assert workspace.missing_privilege(user, *parts) == ("USE CATALOG", "CATALOG", "system")
    workspace.run_sql_as_admin(line.format(name=user.name))
    assert workspace.missing_privilege(user, *parts) is None


def test_order_of_missing_privileges() -> None:
    """Privileges are missed from the top: the catalog, the schema, then the table."""
    workspace = Workspace()
    user, parts, missed = workspace.user, ("system", "query", "history"), []
    workspace.revoke_everything(user)
    while missing := workspace.missing_privilege(user, *parts):
        missed.append(missing)
        workspace.grant(*missing, to=user)
    assert [privilege for privilege, _, _ in missed] == ["USE CATALOG", "USE SCHEMA", "SELECT"]


def test_information_schema_is_open() -> None:
    """Everybody may read information_schema."""
    workspace = Workspace()
    workspace.revoke_everything(workspace.user)
    parts = ("system", "information_schema", "tables")
    assert workspace.missing_privilege(workspace.user, *parts) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("GRANT FLY ON CATALOG system TO `miner@larkfell.example`", "FLY is not a privilege"),
        ("GRANT SELECT ON CATALOG system TO `nobody`", "PRINCIPAL_DOES_NOT_EXIST.*nobody"),
        ("SELECT 1", "PARSE_SYNTAX_ERROR"),
    ],
)
def test_wrong_grant_lines(line: str, message: str) -> None:
    """A line that Databricks would refuse changes nothing silently."""
    with pytest.raises(ValueError, match=message):
        Workspace().run_sql_as_admin(line)


@pytest.mark.parametrize(
    ("kind", "status"), [("401", 401), ("403", 403), ("429", 429), ("503", 503)]
)
def test_faults_with_a_status(databricks_emulator: Emulator, kind: FaultKind, status: int) -> None:
    """A planned fault hits the next requests of its operation, and no others."""
    databricks_emulator.faults.add(Fault(kind, WAREHOUSES, times=2, retry_after_s=7))
    paths = (ME, WAREHOUSES, WAREHOUSES, WAREHOUSES)
    replies = [ask(databricks_emulator, "GET", path) for path in paths]
    assert [reply.status for reply in replies] == [200, status, status, 200]
    assert replies[1].headers.get("Retry-After") == ("7" if status in {429, 503} else None)


def test_no_retry_after(databricks_emulator: Emulator) -> None:
    """A 503 may come without Retry-After."""
    databricks_emulator.faults.add(Fault("503", retry_after_s=None))
    reply = ask(databricks_emulator, "GET", ME)
    assert (reply.status, "Retry-After" in reply.headers) == (503, False)


def test_dropped_connections(databricks_emulator: Emulator) -> None:
    """A connection is dropped before the answer or in the middle of it."""
    databricks_emulator.faults.add(Fault("dropped_before_answer"))
    with pytest.raises(http.client.RemoteDisconnected):
        ask(databricks_emulator, "GET", ME)
    databricks_emulator.faults.add(Fault("dropped_in_answer"))
    with pytest.raises(http.client.IncompleteRead):
        ask(databricks_emulator, "GET", ME)
    assert [request.status for request in databricks_emulator.requests] == [0, 0]
    assert ask(databricks_emulator, "GET", ME).status == 200


def test_slow_answer(databricks_emulator: Emulator) -> None:
    """An answer can come late."""
    databricks_emulator.faults.add(Fault("slow", delay_s=0.3))
    started = time.monotonic()
    assert ask(databricks_emulator, "GET", ME).status == 200
    assert time.monotonic() - started >= 0.3


def test_the_sdk_gets_over_faults(databricks_emulator: Emulator) -> None:
    """The real SDK retries what is worth a retry."""
    sdk = client(databricks_emulator)
    databricks_emulator.faults.add(Fault("429", ME, retry_after_s=0))
    databricks_emulator.faults.add(Fault("503", ME, retry_after_s=0))
    assert sdk.current_user.me().user_name == databricks_emulator.workspace.user.name
    statuses = [r.status for r in databricks_emulator.requests if r.path == ME]
    assert statuses == [429, 503, 200]


def _kinds(faults: Faults, operations: list[str]) -> list[str | None]:
    found = [faults.take(operation, "429", "503") for operation in operations]
    return [fault and fault.kind for fault in found]


def test_random_faults_are_the_same_each_time() -> None:
    """The same seed gives each operation the same faults, whatever comes in between."""
    faults = Faults()
    faults.at_random(rate=1 / 3, seed=7, kinds=("429", "503"))
    alone = _kinds(faults, ["FetchResults"] * 300)
    faults.clear()
    faults.at_random(rate=1 / 3, seed=7, kinds=("429", "503"))
    mixed = _kinds(faults, ["FetchResults", "OpenSession"] * 300)
    assert mixed[::2] == alone
    assert 0.2 < sum(kind is not None for kind in alone) / 300 < 0.45


def test_random_faults_end_in_time() -> None:
    """However high the rate, no more than two requests of an operation fail in a row."""
    faults = Faults()
    faults.at_random(rate=1.0, seed=1, kinds=("503",))
    assert _kinds(faults, ["FetchResults"] * 6) == ["503", "503", None] * 2
    assert _kinds(faults, ["/oidc/v1/token"] * 3) == [None] * 3


def test_connections_are_kept(databricks_emulator: Emulator) -> None:
    """Many requests go over one connection, each answered at once."""
    connection = http.client.HTTPConnection(databricks_emulator.host.removeprefix("http://"))
    headers = {"Authorization": f"Bearer {databricks_emulator.workspace.user.secret}"}
    started = time.monotonic()
    for _ in range(50):
        connection.request("GET", ME, headers=headers)
        connection.getresponse().read()
    connection.close()
    assert (
        time.monotonic() - started < 1.8
    )  # 2 s, 40 ms each, if answers waited for an acknowledgement


def test_start_and_end() -> None:
    """The emulator starts afresh each time, and ends though clients keep their connections."""
    started = time.monotonic()
    with run_emulator() as emulator:
        sys.stdout.write(f"The emulator started in {time.monotonic() - started:.3f} s.\n")
        connection = http.client.HTTPConnection(emulator.host.removeprefix("http://"), timeout=5)
        connection.request("GET", "/.well-known/databricks-config")
        connection.getresponse().read()
        ended = time.monotonic()
    assert time.monotonic() - ended < 2
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        ask(emulator, "GET", ME)


def connect(host: str, warehouse_id: str, token: str) -> Connection:
    """The real SQL connector, with short times."""
    path = f"/sql/1.0/warehouses/{warehouse_id}"
    return sql.connect(
        server_hostname="127.0.0.1",
        http_path=path,
        access_token=token,
        enable_telemetry=False,
        _connection_uri=host + path,
        _retry_stop_after_attempts_count=1,
    )


def _take_scope(workspace: Workspace) -> None:
    workspace.scopes[workspace.user.name] = {"unity-catalog"}


def _take_can_use(workspace: Workspace) -> None:
    workspace.warehouse.can_use.clear()


def _delete_warehouse(workspace: Workspace) -> None:
    workspace.warehouse.state = "DELETED"


def _change_token(workspace: Workspace) -> None:
    workspace.user = replace(workspace.user, secret="another")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (_take_scope, "required scopes: sql"),
        (_take_can_use, "not authorized to use SQL warehouse"),
        (_delete_warehouse, "SQL warehouse .* does not exist"),
        (_change_token, "Invalid access token"),
    ],
)
def test_sql_clients_see_the_reason(
    databricks_emulator: Emulator, break_it: Callable[[Workspace], None], message: str
) -> None:
    """The real connector says why the workspace does not let it open a session."""
    workspace = databricks_emulator.workspace
    token = workspace.user.secret
    break_it(workspace)
    with pytest.raises(RequestError, match=message):
        connect(databricks_emulator.host, workspace.warehouse_id, token)


def test_a_session_starts_the_warehouse(databricks_emulator: Emulator) -> None:
    """A session on a stopped warehouse starts it and waits until it runs."""
    warehouse = databricks_emulator.workspace.warehouse
    warehouse.state = "STOPPED"
    token = databricks_emulator.workspace.user.secret
    started = time.monotonic()
    connect(databricks_emulator.host, warehouse.id, token).close()
    assert time.monotonic() - started >= warehouse.start_delay_s
    assert warehouse.state == "RUNNING"


def test_command(tmp_path: Path) -> None:
    """The command serves the files it is given, prints how to sign in, and ends on Ctrl-C."""
    (tmp_path / "extracted-lineage").mkdir()
    row = {"event_date": "2026-07-01", "source_table_full_name": "sales.gold.orders"}
    (tmp_path / "extracted-lineage" / "result-0.json").write_text(json.dumps(row))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "dbminer_dagster_tests.databricks_emulator"),
            *("--files", tmp_path, "--warehouse-state", "STOPPED"),
            *("--revoke", "SELECT ON SCHEMA system.query"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process, _killed_after(process, 30):
        lines = list(iter(process.stdout.readline, "# Ctrl-C ends it.\n"))
        pairs = (line.removeprefix("export ").strip().split("=") for line in lines if "=" in line)
        shown = dict(pairs)
        with (
            connect(
                shown["DATABRICKS_HOST"], shown["DBMINER_WAREHOUSE_ID"], shown["DATABRICKS_TOKEN"]
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT source_table_full_name FROM system.access.table_lineage")
            assert [tuple(row) for row in cursor.fetchall()] == [("sales.gold.orders",)]
            with pytest.raises(ServerOperationError, match="INSUFFICIENT_PERMISSIONS"):
                cursor.execute("SELECT statement_id FROM system.query.history")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    auth_types = [line.strip("# \n") for line in lines if line.startswith("#")]
    assert auth_types == ["pat", "oauth-m2m", "azure-client-secret"]


@contextmanager
def _killed_after(process: subprocess.Popen[str], seconds: float) -> Iterator[None]:
    """Sees to it that a process that hangs does not hang its test."""
    guard = threading.Timer(seconds, process.kill)
    guard.start()
    try:
        yield
    finally:
        guard.cancel()
