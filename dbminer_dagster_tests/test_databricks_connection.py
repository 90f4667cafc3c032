"""The Databricks connection: settings, the three ways to sign in, and what each failure says."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest
import requests
import urllib3.exceptions as urllib3_errors

from dbminer_dagster.databricks import network
from dbminer_dagster.databricks.addresses import workspace_url
from dbminer_dagster.databricks.connection import Connection
from dbminer_dagster.errors import (
    AccessDeniedError,
    DbminerError,
    SettingsError,
    SignInError,
    WorkspaceUnreachableError,
)
from dbminer_dagster.failures import user_errors
from dbminer_dagster.resources.databricks import DatabricksResource
from dbminer_dagster.settings import AuthType, load_settings
from dbminer_dagster_tests.databricks_emulator import Emulator, run_emulator
from dbminer_dagster_tests.databricks_emulator.faults import Fault

WAYS = [AuthType.PAT, AuthType.OAUTH_M2M, AuthType.AZURE_CLIENT_SECRET]
COMPLETE = {
    AuthType.PAT: {"DATABRICKS_TOKEN": "dapi-7f31"},
    AuthType.OAUTH_M2M: {"DATABRICKS_CLIENT_ID": "id-1", "DATABRICKS_CLIENT_SECRET": "dose-7f31"},
    AuthType.AZURE_CLIENT_SECRET: {
        "ARM_TENANT_ID": "tenant-1",
        "ARM_CLIENT_ID": "id-2",
        "ARM_CLIENT_SECRET": "entra-7f31",
    },
}
Environment = Callable[[Mapping[str, str]], Connection]


@pytest.fixture
def connect(no_databricks: pytest.MonkeyPatch) -> Environment:
    """Gives the connection of an environment that holds these variables and no others of ours."""

    def connect_with(variables: Mapping[str, str]) -> Connection:
        for name, value in variables.items():
            no_databricks.setenv(name, value)
        return Connection.from_settings(load_settings())

    return connect_with


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("adb-1.2.azuredatabricks.net", "https://adb-1.2.azuredatabricks.net"),
        (" https://Dbc-1.cloud.databricks.com/ ", "https://dbc-1.cloud.databricks.com"),
        ("https://adb-1.2.azuredatabricks.net/?o=12#job/4", "https://adb-1.2.azuredatabricks.net"),
        ("https://dbc-1.cloud.databricks.com:443/sql/x?o=1", "https://dbc-1.cloud.databricks.com"),
        ("https://lake.example:8443", "https://lake.example:8443"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://localhost", "http://localhost"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_host_is_taken_as_people_copy_it(given: str, url: str) -> None:
    """A host name, or a URL with path and query, gives the workspace's bare URL."""
    assert workspace_url(given) == url


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("http://adb-1.2.azuredatabricks.net", "unencrypted"),
        ("http://127.0.0.1.lake.example", "unencrypted"),
        ("http://10.0.0.7:8080", "unencrypted"),
        ("ftp://lake.example", "no URL"),
        ("https://", "no URL"),
        ("lake.example:port", "no URL"),
        ("two words", "no URL"),
    ],
)
def test_host_that_is_unsafe_or_no_url_is_refused(given: str, reason: str) -> None:
    """Credentials never travel unencrypted over a network, and nothing is guessed."""
    with pytest.raises(SettingsError, match=reason):
        workspace_url(given)


def test_password_in_the_host_is_not_repeated() -> None:
    """A password that stands before the host is not shown."""
    with pytest.raises(SettingsError) as raised:
        workspace_url("https://token:dapi-7f31@lake.example")
    assert "dapi-7f31" not in str(raised.value)


@pytest.mark.parametrize("way", WAYS)
def test_the_only_complete_way_is_taken(connect: Environment, way: AuthType) -> None:
    """Without DATABRICKS_AUTH_TYPE the one way whose variables are all set is used."""
    stray = {"ARM_CLIENT_ID": "id-3"} | COMPLETE[way]
    assert connect({"DATABRICKS_HOST": "lake.example", **stray}).auth_type is way


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, ["DATABRICKS_TOKEN", "DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET"]),
        ({"DATABRICKS_CLIENT_ID": "x"}, ["DATABRICKS_CLIENT_SECRET (oauth-m2m)"]),
        ({"ARM_CLIENT_ID": "x"}, ["ARM_TENANT_ID and ARM_CLIENT_SECRET (azure-client-secret)"]),
        (
            {"DATABRICKS_AUTH_TYPE": "oauth-m2m", **COMPLETE[AuthType.PAT]},
            ["DATABRICKS_AUTH_TYPE=oauth-m2m", "Set DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_S"],
        ),
        (
            COMPLETE[AuthType.PAT] | COMPLETE[AuthType.OAUTH_M2M],
            ["pat and oauth-m2m", "Set DATABRICKS_AUTH_TYPE"],
        ),
    ],
)
def test_credentials_missing_or_ambiguous_are_named(
    connect: Environment, variables: Mapping[str, str], named: list[str]
) -> None:
    """What is missing is named exactly, and of several ways none is guessed."""
    with pytest.raises(SettingsError) as raised:
        connect({"DATABRICKS_HOST": "lake.example", **variables})
    assert all(part in str(raised.value) for part in named)
    assert "7f31" not in str(raised.value)


def test_missing_host_is_named(connect: Environment) -> None:
    """Without DATABRICKS_HOST the error says so."""
    with pytest.raises(SettingsError, match="Set DATABRICKS_HOST"):
        connect(COMPLETE[AuthType.PAT])


@pytest.mark.parametrize("way", WAYS)
def test_each_way_signs_in_whatever_else_is_around(
    databricks_emulator: Emulator, connect: Environment, tmp_path: Path, way: AuthType
) -> None:
    """Only the credentials of the chosen way count, not those of others or of a profile."""
    (tmp_path / ".databrickscfg").write_text(
        "[DEFAULT]\nhost = https://other.example\ntoken = dapi-profile\n[other]\ntoken = dapi-o\n"
    )
    others = {name: value for other in WAYS for name, value in COMPLETE[other].items()}
    stray = {
        "DATABRICKS_CONFIG_PROFILE": "other",
        "DATABRICKS_ACCOUNT_ID": "stray",
        "DATABRICKS_CLUSTER_ID": "stray",
        "DATABRICKS_USERNAME": "stray",
        "ARM_USE_MSI": "true",
    }
    connection = connect(others | stray | databricks_emulator.environment(way.value))
    config = connection.client().config

    workspace = databricks_emulator.workspace
    principals = dict(zip(WAYS, workspace.principals, strict=True))
    assert connection.signed_in() == principals[way].name
    assert config.auth_type == way
    stray_fields = (config.token, config.cluster_id, config.username, config.azure_use_msi)
    assert not any(stray_fields)
    with connection.warehouse(workspace.warehouse_id) as warehouse:
        assert warehouse.rows("SELECT 1 AS one") == [{"one": 1}]


WRONG = [
    ("pat", {"DATABRICKS_TOKEN": "dapi-wrong"}, "Invalid access token", "Set DATABRICKS_TOKEN"),
    (
        "oauth-m2m",
        {"DATABRICKS_CLIENT_SECRET": "dose-wrong"},
        "client id 3d8f2b1c-5a64-4e7f-b0c9-1f2e6d7a8b90 or its secret",
        "DATABRICKS_CLIENT_SECRET",
    ),
    ("oauth-m2m", {"DATABRICKS_CLIENT_ID": "wrong"}, "client id wrong", "DATABRICKS_CLIENT_ID"),
    (
        "azure-client-secret",
        {"ARM_CLIENT_SECRET": "entra-wrong"},
        "the client secret is wrong (AADSTS7000215",
        "Set ARM_CLIENT_SECRET to the value",
    ),
    (
        "azure-client-secret",
        {"ARM_CLIENT_ID": "wrong"},
        "the tenant does not know the application (AADSTS700016",
        "Set ARM_CLIENT_ID",
    ),
    (
        "azure-client-secret",
        {"ARM_TENANT_ID": "wrong"},
        "the tenant does not exist (AADSTS90002",
        "Set ARM_TENANT_ID",
    ),
]


@pytest.mark.parametrize(("way", "change", "reason", "remedy"), WRONG)
def test_each_wrong_credential_has_its_own_message(
    databricks_emulator: Emulator,
    connect: Environment,
    way: AuthType,
    change: Mapping[str, str],
    reason: str,
    remedy: str,
) -> None:
    """The message says which value is wrong and which variable to set, and shows no secret."""
    connection = connect({**databricks_emulator.environment(AuthType(way).value), **change})
    with pytest.raises(SignInError) as raised:
        connection.signed_in()
    assert reason in raised.value.what
    assert remedy in raised.value.remedy
    assert not any(f"{kind}-wrong" in str(raised.value) for kind in ("dapi", "dose", "entra"))


@pytest.mark.parametrize("way", [AuthType.PAT, AuthType.OAUTH_M2M])  # Entra has no such scopes
def test_missing_scope_is_named(
    databricks_emulator: Emulator, connect: Environment, way: AuthType
) -> None:
    """A token without the scope for SQL is told apart from a wrong one."""
    workspace = databricks_emulator.workspace
    connection = connect(databricks_emulator.environment(way.value))
    workspace.scopes = {principal.name: {"scim"} for principal in workspace.principals}
    with (
        pytest.raises(SignInError, match="lacks the scope") as raised,
        connection.warehouse(workspace.warehouse_id) as warehouse,
    ):
        warehouse.rows("SELECT 1")
    assert not raised.value.retryable


@pytest.mark.parametrize("way", WAYS)
def test_expired_token_is_told_apart_and_renewed(
    databricks_emulator: Emulator, connect: Environment, way: AuthType
) -> None:
    """An expired token is named as such; the next attempt signs in anew where that is possible."""
    connection = connect(databricks_emulator.environment(way.value))
    name = connection.signed_in()
    kind = "401" if way is AuthType.PAT else "expired_token"  # the emulator's PAT stays good
    databricks_emulator.faults.add(Fault(kind, "/api/*"))

    with (
        pytest.raises(SignInError, match="has expired") as raised,
        connection.calling("ask who is signed in") as client,
    ):
        client.current_user.me()

    assert raised.value.retryable == (way is not AuthType.PAT)
    assert connection.client().current_user.me().user_name == name


def test_azure_principal_that_is_no_member_needs_the_resource_id(
    databricks_emulator: Emulator, connect: Environment
) -> None:
    """Who only manages the workspace in Azure is let in by its resource id, for SQL as well."""
    databricks_emulator.workspace.azure_member = False
    variables = databricks_emulator.environment("azure-client-secret")
    resource_id = variables.pop("DATABRICKS_AZURE_RESOURCE_ID")
    with pytest.raises(SignInError, match="set DATABRICKS_AZURE_RESOURCE_ID"):
        connect(variables).signed_in()

    connection = connect({"DATABRICKS_AZURE_RESOURCE_ID": resource_id})
    assert connection.signed_in() == databricks_emulator.workspace.azure_service_principal.name
    with connection.warehouse(databricks_emulator.workspace.warehouse_id) as warehouse:
        assert warehouse.rows("SELECT 1 AS one") == [{"one": 1}]


@contextmanager
def server(answers: Mapping[str, tuple[int, dict[str, str]]]) -> Iterator[str]:
    """A web server on loopback that is no workspace: a status and headers for each path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers = answers.get(self.path, (404, {}))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Keeps quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{http_server.server_port}"
        http_server.shutdown()
        thread.join()


@pytest.mark.parametrize("way", WAYS)
def test_host_that_is_no_workspace_is_named(connect: Environment, way: AuthType) -> None:
    """A web server that is no workspace is not mistaken for wrong credentials."""
    with server({}) as host:
        connection = connect({"DATABRICKS_HOST": host, **COMPLETE[way]})
        with pytest.raises((SignInError, WorkspaceUnreachableError)) as raised:
            connection.signed_in()
    assert host in str(raised.value)
    assert "DATABRICKS_HOST" in raised.value.remedy


def test_azure_secret_goes_to_entra_only(connect: Environment) -> None:
    """A host that sends people to another place than Entra gets no secret sent there."""
    redirect = {"/aad/auth": (302, {"Location": "https://login.example/tenant/oauth2/authorize"})}
    with server(redirect) as host:
        connection = connect({"DATABRICKS_HOST": host, **COMPLETE[AuthType.AZURE_CLIENT_SECRET]})
        with pytest.raises(SignInError, match=r"login\.example/, which is not Entra"):
            connection.client()


def test_host_that_refuses_fails_soon(connect: Environment) -> None:
    """A port that refuses connections is given up in seconds, with a message that names it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    connection = connect({"DATABRICKS_HOST": f"http://{address}", **COMPLETE[AuthType.PAT]})
    started = time.monotonic()
    with pytest.raises(WorkspaceUnreachableError, match="accepts no connection") as raised:
        connection.client()
    assert time.monotonic() - started < 20
    assert address in raised.value.what
    assert "DATABRICKS_HOST" in raised.value.remedy
    assert not raised.value.retryable


def test_host_that_is_gone_after_it_answered_is_worth_another_attempt(
    connect: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gap in the network during a run is waited out: the next attempt may reach the host."""
    monkeypatch.setattr(network, "_ATTEMPTS", 1)
    with run_emulator() as emulator:
        port, warehouse_id = int(emulator.host.rpartition(":")[2]), emulator.workspace.warehouse_id
        connection = connect(emulator.environment("pat"))
        assert connection.signed_in()
    with pytest.raises(WorkspaceUnreachableError, match="accepts no connection") as raised:
        connection.warehouse(warehouse_id).rows("SELECT 1")
    assert raised.value.retryable
    with run_emulator(port), connection.warehouse(warehouse_id) as warehouse:
        assert warehouse.rows("SELECT 1 AS one") == [{"one": 1}]


@pytest.mark.parametrize("way", [AuthType.OAUTH_M2M, AuthType.AZURE_CLIENT_SECRET])
def test_token_that_cannot_be_renewed_during_a_gap_is_worth_another_attempt(
    connect: Environment, monkeypatch: pytest.MonkeyPatch, way: AuthType
) -> None:
    """An endpoint that gave a token before and is not reached now may be reached again."""
    monkeypatch.setattr(network, "_ATTEMPTS", 1)
    with run_emulator() as emulator:
        emulator.workspace.token_lifetime_s = 1.0
        connection = connect(emulator.environment(way.value))
        config = connection.client().config
    time.sleep(1.1)
    with pytest.raises(WorkspaceUnreachableError, match="accepts no connection") as raised:
        config.authenticate()
    assert raised.value.retryable


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (requests.exceptions.SSLError("self-signed certificate"), False),
        (requests.exceptions.ProxyError("Cannot connect to proxy"), True),
        (requests.exceptions.ReadTimeout("timed out"), True),
        (urllib3_errors.NameResolutionError("lake.example", None, socket.gaierror()), True),  # pyright: ignore[reportArgumentType]
    ],
)
def test_certificate_is_the_one_thing_that_time_does_not_repair(
    error: Exception, retryable: bool
) -> None:
    """Of a host that answered before, all but an untrusted certificate is worth another attempt."""
    assert network.unreachable("https://lake.example", error).retryable == retryable
    assert not network.unreachable("https://lake.example", error, reached=False).retryable


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (WorkspaceUnreachableError("It broke.", "Run again.", retryable=True), True),
        (WorkspaceUnreachableError("No such host.", "Set DATABRICKS_HOST."), False),
        (SettingsError("Set DATABRICKS_HOST."), False),
    ],
)
def test_only_what_may_pass_is_left_to_retries_of_dagster(
    error: DbminerError, retryable: bool
) -> None:
    """A run repeats a step for an error that may pass, and for no other of ours."""
    with pytest.raises(dg.Failure, match=str(error)) as raised, user_errors():
        raise error
    assert raised.value.allow_retries == retryable


def test_unknown_host_is_named(connect: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name that does not exist is told apart from one that refuses."""
    monkeypatch.setattr(network, "_ATTEMPTS", 1)
    connection = connect({"DATABRICKS_HOST": "no-such.invalid", **COMPLETE[AuthType.PAT]})
    with pytest.raises(WorkspaceUnreachableError, match=r"no-such\.invalid cannot be reached"):
        connection.client()


def test_silent_host_fails_soon(connect: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that accepts connections and never answers is given up within a minute."""
    longest_s = network._BUDGET_S + sum(network._TIMEOUTS_S) + network._ATTEMPTS  # noqa: SLF001
    assert longest_s < 60
    monkeypatch.setattr(network, "_TIMEOUTS_S", (0.2, 0.2))
    monkeypatch.setattr(network, "_ATTEMPTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"http://127.0.0.1:{silent.getsockname()[1]}"
        connection = connect({"DATABRICKS_HOST": host, **COMPLETE[AuthType.PAT]})
        with pytest.raises(WorkspaceUnreachableError, match="does not answer in time"):
            connection.client()


@pytest.mark.parametrize("way", WAYS)
def test_sign_in_survives_faults(
    databricks_emulator: Emulator, connect: Environment, way: AuthType
) -> None:
    """A throttled or broken request while signing in, and a throttled call, are made again."""
    databricks_emulator.faults.add(Fault("dropped_in_answer", "/.well-known/*"))
    databricks_emulator.faults.add(Fault("dropped_in_answer", "*/token"))
    databricks_emulator.faults.add(Fault("503", "*/token", retry_after_s=0))
    databricks_emulator.faults.add(Fault("429", "/api/*", retry_after_s=0))
    assert connect(databricks_emulator.environment(way.value)).signed_in()


def test_denied_call_names_what_is_missing(
    databricks_emulator: Emulator, connect: Environment
) -> None:
    """A REST call that is denied to the principal is no matter of signing in."""
    workspace = databricks_emulator.workspace
    workspace.metastore_admins.clear()
    connection = connect(databricks_emulator.environment("pat"))
    with (
        pytest.raises(AccessDeniedError, match=workspace.user.name),
        connection.calling("list the system schemas") as client,
    ):
        list(client.system_schemas.list(workspace.metastore_id))


@pytest.mark.parametrize("way", WAYS)
def test_secrets_stay_secret(
    databricks_emulator: Emulator,
    connect: Environment,
    caplog: pytest.LogCaptureFixture,
    way: AuthType,
) -> None:
    """No secret and no token shows in logs, not even at DEBUG, nor in what Dagster stores."""
    variables = databricks_emulator.environment(way.value)
    connection = connect(variables)
    with caplog.at_level(logging.DEBUG):
        connection.signed_in()
        with connection.warehouse(databricks_emulator.workspace.warehouse_id) as warehouse:
            warehouse.rows("SELECT 1")
    headers = connection.client().config.authenticate()
    secrets = [headers["Authorization"].removeprefix("Bearer ")]
    secrets += [value for name, value in variables.items() if "TOKEN" in name or "SECRET" in name]
    secrets += [value for name, value in headers.items() if "Token" in name]

    resource = DatabricksResource.of(load_settings())
    definitions = dg.Definitions(resources={"databricks": resource})
    shown = [
        *(record.getMessage() for record in caplog.records),
        repr(connection),
        repr(connection.credentials),
        repr(connection.client().config),
        repr(resource),
        str(resource.model_dump()),
        str(definitions.resources),
    ]
    assert resource.connection.signed_in() == connection.signed_in()
    assert not [text for text in shown for secret in secrets if secret in text]
