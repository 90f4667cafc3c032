"""Preflight of the REST method: each missing grant, call and row is named."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dbminer_dagster.checks.preflight import preflight_checks
from dbminer_dagster.preflight import rest_calls
from dbminer_dagster.preflight.model import Finding, Source, Status
from dbminer_dagster.settings import AuthType, Settings
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.api_error import ApiError, refused
from dbminer_dagster_tests.databricks_emulator.faults import Fault
from dbminer_dagster_tests.databricks_emulator.workspace import Table
from dbminer_dagster_tests.preflight_runs import (
    SHARED,
    ask,
    assert_only_failure,
    settings_of,
    statuses,
)

HISTORY = "query_history_api_reachable"
LINEAGE = "lineage_api_enabled"
NAMES = {
    Source.LINEAGE: [*SHARED, "catalogs_visible", LINEAGE],
    Source.QUERY_HISTORY: [*SHARED, HISTORY, "statement_text_visible", "other_users_visible"],
}
NOT_FOUND = "No API found for 'GET /x'"


def rest(emulator: Emulator, auth_type: AuthType = AuthType.PAT, **changes: Any) -> Settings:
    return settings_of(emulator, auth_type, lineage_method="rest_api", **changes)


def add_tables(emulator: Emulator, *full_names: str) -> None:
    for full_name in full_names:
        catalog, schema, name = full_name.split(".")
        emulator.workspace.add_table(Table(catalog, schema, name))


def load_statements(
    emulator: Emulator,
    users: Iterable[str] = ("ana@larkfell.example",),
    text: str | None = "select 1",
    age: timedelta = timedelta(hours=5),
) -> None:
    """Adds one statement of each user, seconds apart."""
    time = datetime.now(UTC) - age
    workspace = emulator.workspace
    emulator.load_rows(
        "system.query.history",
        [
            {
                "workspace_id": workspace.workspace_id,
                "statement_id": f"s-{number}-{age}",
                "executed_by": user,
                "statement_text": text,
                "start_time": time - timedelta(seconds=number),
                "compute": {"type": "WAREHOUSE", "warehouse_id": workspace.warehouse_id},
            }
            for number, user in enumerate(users)
        ],
    )


def repaired(emulator: Emulator, finding: Finding) -> None:
    """Runs the statements of the remedy literally, as they are printed."""
    assert finding.answer.statements
    for sql in finding.answer.statements:
        assert f"{sql};" in finding.remedy.splitlines()
        emulator.workspace.run_sql_as_admin(f"{sql};")


def refuse(emulator: Emulator, source: Source, refusal: ApiError) -> None:
    api = emulator.lineage if source is Source.LINEAGE else emulator.history
    api.refusal = refusal


@pytest.fixture
def emulator(databricks_emulator: Emulator) -> Emulator:
    """A workspace with a table in two catalogs, and a statement of somebody."""
    add_tables(databricks_emulator, "main.sales.orders", "finance.books.entries")
    load_statements(databricks_emulator)
    return databricks_emulator


@pytest.mark.parametrize("auth_type", AuthType)
@pytest.mark.parametrize("source", Source)
def test_a_complete_workspace_is_ready(
    emulator: Emulator,
    source: Source,
    auth_type: AuthType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every check passes, whichever way one signs in, and nothing is asked of a warehouse."""
    monkeypatch.setenv("ARM_AUTHORITY_HOST", emulator.host)

    found = ask(rest(emulator, auth_type), source)

    assert statuses(found) == dict.fromkeys(NAMES[source], "passed")
    assert emulator.statements == []


def test_what_is_seen_is_named(emulator: Emulator) -> None:
    """The catalogs that will be mined are named, without those that are excluded."""
    found = ask(rest(emulator))["catalogs_visible"]

    assert found.answer.text == "miner@larkfell.example sees main, finance, and tables in them."


def test_the_lineage_of_a_visible_table_is_asked_for(emulator: Emulator) -> None:
    """The table is the first that is listed, and its neighbours are counted."""
    emulator.lineage.add_item("main.sales.orders", "upstreams", {"notebookInfos": []})

    found = ask(rest(emulator))[LINEAGE]

    assert found.answer.text == (
        "The lineage API answers; it names 1 neighbours of main.sales.orders."
    )


def test_excluded_catalogs_are_not_looked_into(emulator: Emulator) -> None:
    """A table of an excluded catalog proves nothing."""
    found = ask(rest(emulator, excluded_catalogs="system,ma*"))

    assert "sees finance, and tables" in found["catalogs_visible"].answer.text
    assert found[LINEAGE].answer.text.endswith("finance.books.entries.")


@pytest.mark.parametrize("auth_type", [AuthType.PAT, AuthType.OAUTH_M2M])
def test_a_principal_without_tables_gets_the_lines(emulator: Emulator, auth_type: AuthType) -> None:
    """Catalogs in which nothing is seen are named; the lines, run as they are, repair it."""
    workspace = emulator.workspace
    principal = workspace.user if auth_type is AuthType.PAT else workspace.service_principal
    workspace.revoke_everything(principal)
    for catalog in ("main", "finance"):
        workspace.grant("USE CATALOG", "CATALOG", catalog, to=principal)
    settings = rest(emulator, auth_type)

    finding = assert_only_failure(ask(settings), "catalogs_visible")

    assert finding.answer.text == f"{principal.name} sees no table in main, finance."
    assert finding.answer.statements == (
        f"GRANT BROWSE ON CATALOG `main` TO `{principal.name}`",
        f"GRANT BROWSE ON CATALOG `finance` TO `{principal.name}`",
    )
    repaired(emulator, finding)
    assert set(statuses(ask(settings)).values()) == {"passed"}


def test_a_catalog_of_which_nothing_is_seen_is_a_warning(emulator: Emulator) -> None:
    """The others can be mined; the line repairs the rest."""
    workspace = emulator.workspace
    workspace.revoke("USE SCHEMA", "SCHEMA", "finance.books", to=workspace.user)

    finding = ask(rest(emulator))["catalogs_visible"]

    assert finding.status is Status.WARNING
    assert finding.answer.text == (
        "miner@larkfell.example sees 2 catalogs, but nothing in finance."
    )
    repaired(emulator, finding)
    assert set(statuses(ask(rest(emulator))).values()) == {"passed"}


def test_a_principal_without_catalogs_gets_the_line(emulator: Emulator) -> None:
    """Where no catalog shows, its name is left to who grants it."""
    emulator.workspace.revoke_everything(emulator.workspace.user)

    finding = assert_only_failure(ask(rest(emulator)), "catalogs_visible")

    assert finding.answer.text == "miner@larkfell.example sees no catalog."
    assert finding.remedy.endswith(
        "GRANT BROWSE ON CATALOG `<catalog>` TO `miner@larkfell.example`"
    )


def test_excluded_catalogs_alone_are_named(databricks_emulator: Emulator) -> None:
    """A workspace that shows nothing but excluded catalogs names the setting."""
    finding = assert_only_failure(ask(rest(databricks_emulator)), "catalogs_visible")

    assert "sees no catalog but system, which DBMINER_EXCLUDED_CATALOGS" in finding.answer.text


def test_browsing_is_enough(emulator: Emulator) -> None:
    """Whoever may browse a catalog needs no right to read its data."""
    workspace = emulator.workspace
    workspace.revoke_everything(workspace.user)
    workspace.grant("BROWSE", "CATALOG", "main", to=workspace.user)

    assert set(statuses(ask(rest(emulator))).values()) == {"passed"}


def test_a_table_deleted_meanwhile_proves_the_api(emulator: Emulator) -> None:
    """An answer that the table does not exist is an answer of the lineage API."""
    emulator.lineage.deleted_tables.add("main.sales.orders")

    found = ask(rest(emulator))[LINEAGE]

    assert found.status is Status.PASSED
    assert found.answer.text == (
        "The lineage API answers: main.sales.orders was deleted since it was listed."
    )


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize(
    ("refusal", "said", "remedy"),
    [
        (refused(404, "ENDPOINT_NOT_FOUND", NOT_FOUND), "has no ", "Check that DATABRICKS_HOST"),
        (
            refused(403, "FEATURE_DISABLED", "It is disabled for this workspace"),
            "is switched off at",
            "Let an account admin switch it on",
        ),
        (
            refused(400, "FEATURE_DISABLED", "It is disabled for this workspace"),
            "is switched off at",
            "Let an account admin switch it on",
        ),
        (
            refused(503, "TEMPORARILY_UNAVAILABLE", "Not available in this region"),
            "is not available at",
            "If it stays so, it is not offered in this region",
        ),
    ],
    ids=["no endpoint", "disabled 403", "disabled 400", "no region"],
)
def test_an_api_that_is_not_there_is_told_apart(
    emulator: Emulator,
    source: Source,
    refusal: ApiError,
    said: str,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No endpoint, a switched-off feature and a missing region each have their own text."""
    monkeypatch.setattr(rest_calls, "RETRY_BUDGET_S", 1.0)
    refuse(emulator, source, refusal)

    found = ask(rest(emulator), source)

    finding = assert_only_failure(found, LINEAGE if source is Source.LINEAGE else HISTORY)
    assert said in finding.answer.text
    assert remedy in finding.remedy
    assert f"DBMINER_{source.value.upper()}_METHOD=system_table" in finding.remedy


def test_a_table_whose_lineage_is_refused_gets_its_line(emulator: Emulator) -> None:
    """A missing privilege on the table is no missing feature, and has its line."""
    refusal = "User does not have BROWSE or SELECT on Table 'main.sales.orders'."
    refuse(emulator, Source.LINEAGE, refused(403, "PERMISSION_DENIED", refusal))

    finding = assert_only_failure(ask(rest(emulator)), LINEAGE)

    assert "may not ask for the lineage of main.sales.orders" in finding.answer.text
    assert finding.answer.statements == (
        "GRANT BROWSE ON CATALOG `main` TO `miner@larkfell.example`",
    )


def test_a_refused_history_names_the_entitlement(emulator: Emulator) -> None:
    """Whoever may not use Databricks SQL is told what an admin gives."""
    refusal = "This API is disabled for users without the databricks-sql-access entitlement."
    refuse(emulator, Source.QUERY_HISTORY, refused(403, "PERMISSION_DENIED", refusal))

    finding = assert_only_failure(ask(rest(emulator), Source.QUERY_HISTORY), HISTORY)

    assert "databricks-sql-access entitlement" in finding.answer.text
    assert finding.remedy.startswith(
        "Let an admin of the workspace give miner@larkfell.example the entitlement"
    )


def test_an_unknown_refusal_is_shown(emulator: Emulator) -> None:
    """What nobody has foreseen is told with the workspace's own words."""
    for source in Source:
        refuse(emulator, source, refused(400, "INVALID_STATE", "The moon is full"))

        found = ask(rest(emulator), source)

        failed = [finding for finding in found.values() if finding.status is Status.FAILED]
        assert ["The moon is full" in finding.answer.text for finding in failed] == [True]


@pytest.mark.parametrize(
    ("source", "scope", "name"),
    [
        (Source.LINEAGE, "sql", "unity_catalog_enabled"),
        (Source.QUERY_HISTORY, "unity-catalog", HISTORY),
    ],
)
def test_a_missing_scope_is_named(
    emulator: Emulator, source: Source, scope: str, name: str
) -> None:
    """A token that is restricted to other APIs says which scope it lacks."""
    emulator.workspace.scopes[emulator.workspace.user.name] = {scope}

    finding = assert_only_failure(ask(rest(emulator), source), name)

    assert "lacks the scope" in finding.answer.text
    assert "all-apis" in finding.remedy


def test_a_quiet_day_is_no_failure(databricks_emulator: Emulator) -> None:
    """Without statements the API answers, and what only rows could tell is a warning."""
    found = ask(rest(databricks_emulator), Source.QUERY_HISTORY)

    assert found[HISTORY].answer.text.endswith("it shows no statement of the last day.")
    assert statuses(found) == {
        **dict.fromkeys([*SHARED, HISTORY], "passed"),
        "statement_text_visible": "warning",
        "other_users_visible": "warning",
    }
    assert found["other_users_visible"].remedy == "Ask again once statements have run."


def test_redacted_texts_are_a_warning(emulator: Emulator) -> None:
    """Texts that are hidden from the principal name the group that sees them."""
    emulator.workspace.sees_statement_text.clear()

    finding = ask(rest(emulator), Source.QUERY_HISTORY)["statement_text_visible"]

    assert finding.status is Status.WARNING
    assert finding.answer.text.startswith("Of 1 recent statements 100% have a redacted text")
    assert "add miner@larkfell.example to the account-level group" in finding.remedy


def test_empty_texts_are_a_warning(databricks_emulator: Emulator) -> None:
    """Texts that are encrypted come empty, which is told apart from redacted."""
    load_statements(databricks_emulator, text="")

    finding = ask(rest(databricks_emulator), Source.QUERY_HISTORY)["statement_text_visible"]

    assert finding.status is Status.WARNING
    assert "0% have a redacted text and 100% an empty one" in finding.answer.text
    assert finding.remedy.startswith("Nothing to repair")


def test_statements_of_others_that_are_left_out_are_a_warning(emulator: Emulator) -> None:
    """A history of nothing but the principal's own statements names the permission."""
    workspace, settings = emulator.workspace, rest(emulator)
    load_statements(emulator, [workspace.user.name] * 3, age=timedelta(days=4))

    before = ask(settings, Source.QUERY_HISTORY)["other_users_visible"]
    workspace.sees_only_own_statements.add(workspace.user.name)
    after = ask(settings, Source.QUERY_HISTORY)["other_users_visible"]

    assert before.answer.text == (
        "4 recent statements are by 1 other users than miner@larkfell.example."
    )
    assert before.status is Status.PASSED
    assert after.status is Status.WARNING
    assert after.answer.text.startswith(
        "All 3 recent statements are by miner@larkfell.example itself."
    )
    assert "give miner@larkfell.example CAN VIEW on every SQL warehouse" in after.remedy


def test_own_names_are_compared_in_any_case(databricks_emulator: Emulator) -> None:
    """The principal spelt otherwise is nobody else."""
    load_statements(databricks_emulator, ["Miner@Larkfell.example", "miner@larkfell.example"])

    finding = ask(rest(databricks_emulator), Source.QUERY_HISTORY)["other_users_visible"]

    assert finding.status is Status.WARNING


def test_endless_empty_pages_end(emulator: Emulator) -> None:
    """Empty pages that name a next one are followed, but not for ever."""
    emulator.history.empty_page_every = 1

    found = ask(rest(emulator), Source.QUERY_HISTORY)[HISTORY]

    assert found.status is Status.PASSED
    assert found.answer.text.endswith("it shows no statement of the last day.")


def test_a_busy_workspace_is_asked_again(emulator: Emulator) -> None:
    """A refusal for the moment is no finding."""
    for path in ("/api/2.1/unity-catalog/catalogs", "/api/2.0/lineage-tracking/table-lineage"):
        emulator.faults.add(Fault("429", path, retry_after_s=0))
        emulator.faults.add(Fault("503", path, retry_after_s=0))

    assert set(statuses(ask(rest(emulator))).values()) == {"passed"}


@pytest.mark.parametrize("source", Source)
def test_each_probe_is_a_check(emulator: Emulator, source: Source) -> None:
    """The checks of a source are its probes; all but advice stop a run."""
    (lineage, history) = preflight_checks(rest(emulator))
    specs = (lineage if source is Source.LINEAGE else history).check_specs

    found = {spec.name: spec.blocking for spec in specs}

    advice = {"statement_text_visible", "other_users_visible"}
    assert found == {name: name not in advice for name in NAMES[source]}
