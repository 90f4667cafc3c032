"""Preflight of a workspace: who may sign in where, and what each fault says."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dbminer_dagster.preflight.model import Source, Status, Verdict
from dbminer_dagster.preflight.plan import mined_sources, preflight
from dbminer_dagster.settings import AuthType
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.faults import Fault
from dbminer_dagster_tests.preflight_runs import (
    NAMES,
    ask,
    assert_only_failure,
    load_rows,
    settings_of,
    statuses,
)


@pytest.mark.parametrize("auth_type", AuthType)
def test_a_complete_workspace_is_ready(databricks_emulator: Emulator, auth_type: AuthType) -> None:
    """With everything granted and fresh rows each check passes, by each way to sign in."""
    load_rows(databricks_emulator)
    settings = settings_of(databricks_emulator, auth_type)

    reports = preflight(settings, mined_sources(settings))

    for source, report in reports.items():
        found = {finding.probe.name: finding for finding in report.findings}
        assert list(found) == NAMES[source]
        assert {finding.status for finding in report.findings} == {Status.PASSED}, statuses(found)
        assert report.verdict is Verdict.READY
        assert auth_type.value in found["credentials_accepted"].answer.text


def test_the_answer_says_as_whom_it_signed_in(databricks_emulator: Emulator) -> None:
    """A service principal is named by its application id, as in grants."""
    found = ask(settings_of(databricks_emulator, AuthType.OAUTH_M2M))

    name = databricks_emulator.workspace.service_principal.name
    assert name in found["credentials_accepted"].answer.text


def test_what_both_sources_share_is_asked_once(databricks_emulator: Emulator) -> None:
    """Probes of the same workspace run once, in one SQL session, and are reported for both."""
    load_rows(databricks_emulator)
    settings = settings_of(databricks_emulator)

    reports = preflight(settings, mined_sources(settings))

    shared = [set(report.findings) for report in reports.values()]
    assert len(shared[0] & shared[1]) == 4
    operations = [request.operation for request in databricks_emulator.requests]
    assert operations.count("OpenSession") == 1
    assert len([each for each in operations if each.endswith("/scim/v2/Me")]) == 1


def test_every_statement_is_marked_as_ours(databricks_emulator: Emulator) -> None:
    """Each statement carries the tag by which mining leaves it out."""
    load_rows(databricks_emulator)

    ask(settings_of(databricks_emulator), Source.QUERY_HISTORY)

    tags = [statement.query_tags for statement in databricks_emulator.statements]
    assert len(tags) == 6
    assert {each["application"] for each in tags} == {"dbminer"}


def test_the_session_is_closed(databricks_emulator: Emulator) -> None:
    """Preflight leaves no SQL session behind."""
    ask(settings_of(databricks_emulator))

    operations = [request.operation for request in databricks_emulator.requests]
    assert operations.count("CloseSession") == 1


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("https://no-such-workspace.invalid", "the name is not known"),
        ("http://127.0.0.1:9", "it accepts no connection"),
    ],
)
def test_an_unreachable_host_is_told_apart(
    databricks_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, host: str, said: str
) -> None:
    """A host that does not exist and one that refuses differ, and nothing else is asked."""
    monkeypatch.setattr("dbminer_dagster.databricks.network._ATTEMPTS", 1)

    found = ask(settings_of(databricks_emulator, databricks_host=host))

    finding = assert_only_failure(found, "workspace_reachable")
    assert said in finding.answer.text
    assert finding.remedy.startswith("Check DATABRICKS_HOST")


@pytest.fixture
def silent_host() -> Iterator[str]:
    """A host that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_host_that_does_not_answer_is_told_apart(
    databricks_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, silent_host: str
) -> None:
    """A host that takes the connection and stays silent is said to be late."""
    monkeypatch.setattr("dbminer_dagster.databricks.network._TIMEOUTS_S", (0.2, 0.2))
    monkeypatch.setattr("dbminer_dagster.databricks.network._ATTEMPTS", 1)

    found = ask(settings_of(databricks_emulator, databricks_host=silent_host))

    finding = assert_only_failure(found, "workspace_reachable")
    assert "it does not answer in time" in finding.answer.text


@pytest.mark.parametrize(
    ("auth_type", "changes", "said", "remedy"),
    [
        (
            AuthType.PAT,
            {"databricks_token": "dapi-wrong"},
            "token is not accepted",
            "DATABRICKS_TOKEN",
        ),
        (
            AuthType.OAUTH_M2M,
            {"databricks_client_id": "nobody"},
            "client id nobody or its secret is wrong",
            "DATABRICKS_CLIENT_ID",
        ),
        (
            AuthType.OAUTH_M2M,
            {"databricks_client_secret": "wrong"},
            "or its secret is wrong",
            "DATABRICKS_CLIENT_SECRET",
        ),
        (
            AuthType.AZURE_CLIENT_SECRET,
            {"arm_client_secret": "wrong"},
            "the client secret is wrong",
            "ARM_CLIENT_SECRET",
        ),
        (
            AuthType.AZURE_CLIENT_SECRET,
            {"arm_client_id": "nobody"},
            "the tenant does not know the application",
            "ARM_CLIENT_ID",
        ),
        (
            AuthType.AZURE_CLIENT_SECRET,
            {"arm_tenant_id": "nowhere"},
            "the tenant does not exist",
            "ARM_TENANT_ID",
        ),
    ],
    ids=["token", "client id", "client secret", "Azure secret", "Azure client id", "tenant"],
)
def test_wrong_credentials_are_told_apart(
    databricks_emulator: Emulator,
    auth_type: AuthType,
    changes: dict[str, str],
    said: str,
    remedy: str,
) -> None:
    """Each wrong part of the credentials has its own message, which names its variable."""
    found = ask(settings_of(databricks_emulator, auth_type, **changes))

    finding = assert_only_failure(found, "credentials_accepted")
    assert said in finding.answer.text
    assert remedy in finding.remedy
    assert "dapi-wrong" not in finding.summary


def test_an_expired_token_is_told_apart(databricks_emulator: Emulator) -> None:
    """An expired token asks for a new one."""
    databricks_emulator.faults.add(Fault("401", "/api/2.0/preview/scim/v2/Me"))

    found = ask(settings_of(databricks_emulator))

    finding = assert_only_failure(found, "credentials_accepted")
    assert "has expired" in finding.answer.text
    assert finding.remedy.startswith("Create a new token")


def test_a_missing_scope_is_named(databricks_emulator: Emulator) -> None:
    """A token without a scope that is needed says which one."""
    workspace = databricks_emulator.workspace
    workspace.scopes[workspace.user.name] = {"sql"}

    found = ask(settings_of(databricks_emulator))

    failed = [finding for finding in found.values() if finding.status is Status.FAILED]
    assert ["lacks the scope" in finding.answer.text for finding in failed] == [True]
    assert "scope" in failed[0].remedy


@pytest.mark.parametrize(
    ("changes", "name", "variable"),
    [
        ({"databricks_host": None}, "workspace_reachable", "DATABRICKS_HOST"),
        ({"databricks_host": "http://example.com"}, "workspace_reachable", "DATABRICKS_HOST"),
        ({"databricks_token": None}, "credentials_accepted", "DATABRICKS_TOKEN"),
        ({"warehouse_id": None}, "warehouse_usable", "DBMINER_WAREHOUSE_ID"),
    ],
)
def test_a_missing_setting_is_a_finding(
    databricks_emulator: Emulator, changes: dict[str, Any], name: str, variable: str
) -> None:
    """A setting that is missing fails the check that needs it, and is marked as wrong use."""
    finding = assert_only_failure(ask(settings_of(databricks_emulator, **changes)), name)

    assert finding.answer.is_wrong_setting
    assert variable in finding.summary


def test_a_workspace_without_a_metastore_is_said_to_be(databricks_emulator: Emulator) -> None:
    """Without Unity Catalog there is nothing to mine."""
    databricks_emulator.workspace.unity_catalog = False

    finding = assert_only_failure(ask(settings_of(databricks_emulator)), "unity_catalog_enabled")

    assert "no metastore" in finding.answer.text
    assert "assign a metastore" in finding.remedy


def test_an_unknown_warehouse_is_told_apart(databricks_emulator: Emulator) -> None:
    """An id that no warehouse has names those that may be used."""
    found = ask(settings_of(databricks_emulator, warehouse_id="0123456789abcdef"))

    finding = assert_only_failure(found, "warehouse_usable")
    assert "0123456789abcdef" in finding.answer.text
    assert databricks_emulator.workspace.warehouse_id in finding.remedy


def test_a_deleted_warehouse_is_told_apart(databricks_emulator: Emulator) -> None:
    """A warehouse that was deleted does not exist."""
    databricks_emulator.workspace.warehouse.state = "DELETED"

    finding = assert_only_failure(ask(settings_of(databricks_emulator)), "warehouse_usable")

    assert "does not exist" in finding.answer.text
    assert finding.remedy == "Set DBMINER_WAREHOUSE_ID to another one."


def test_a_warehouse_that_may_not_be_used_is_told_apart(databricks_emulator: Emulator) -> None:
    """Without CAN USE the remedy names the permission and who needs it."""
    workspace = databricks_emulator.workspace
    workspace.warehouse.can_use.discard(workspace.user.name)

    finding = assert_only_failure(ask(settings_of(databricks_emulator)), "warehouse_usable")

    assert f"{workspace.user.name} may not use" in finding.answer.text
    assert "CAN USE" in finding.remedy


def test_a_stopped_warehouse_is_started(databricks_emulator: Emulator) -> None:
    """A stopped warehouse is no fault, but it is said that it starts."""
    databricks_emulator.workspace.warehouse.state = "STOPPED"

    finding = ask(settings_of(databricks_emulator))["warehouse_usable"]

    assert finding.status is Status.PASSED
    assert "was STOPPED, started and answers" in finding.answer.text


def test_a_warehouse_that_starts_too_slowly_is_given_up(databricks_emulator: Emulator) -> None:
    """After its time the probe is given up, and what needs the warehouse is not asked."""
    warehouse = databricks_emulator.workspace.warehouse
    warehouse.state, warehouse.start_delay_s = "STOPPED", 1.5

    found = ask(settings_of(databricks_emulator), wait_seconds=0.4)

    finding = assert_only_failure(found, "warehouse_usable")
    assert finding.answer.text.startswith("No answer within")
    assert finding.duration_ms < 1_400


def test_a_probe_that_was_given_up_opens_no_session(databricks_emulator: Emulator) -> None:
    """Given up while it asks for the state, the probe of the warehouse goes no further."""
    slow = Fault("slow", "/api/2.0/sql/warehouses/*", delay_s=0.8)
    databricks_emulator.faults.add(slow)

    found = ask(settings_of(databricks_emulator), wait_seconds=0.3)

    finding = assert_only_failure(found, "warehouse_usable")
    for asking in threading.enumerate():
        if asking.name == "warehouse_usable":
            asking.join(5)
    assert finding.answer.text.startswith("No answer within")
    operations = [request.operation for request in databricks_emulator.requests]
    assert "/api/2.0/sql/warehouses/" in "".join(operations)
    assert "OpenSession" not in operations


def test_a_session_that_opens_too_late_is_closed(databricks_emulator: Emulator) -> None:
    """A session that a probe was opening when it was given up is closed once it is there."""
    warehouse = databricks_emulator.workspace.warehouse
    warehouse.state, warehouse.start_delay_s = "STOPPED", 0.8

    found = ask(settings_of(databricks_emulator), wait_seconds=0.3)

    assert_only_failure(found, "warehouse_usable")
    operations: list[str] = []
    give_up_at = time.monotonic() + 5
    while "CloseSession" not in operations and time.monotonic() < give_up_at:
        time.sleep(0.05)
        operations = [request.operation for request in databricks_emulator.requests]
    assert operations.count("OpenSession") == operations.count("CloseSession") == 1
