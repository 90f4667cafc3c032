"""Preflight of the system tables: each missing grant, table, column and row is named."""

from datetime import timedelta
from typing import Any

import pytest

from dbminer_dagster.preflight.model import Finding, Source, Status
from dbminer_dagster.preflight.plan import planned
from dbminer_dagster.settings import AuthType
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.preflight_runs import (
    ask,
    assert_only_failure,
    load_rows,
    settings_of,
    statuses,
)

READABLE = {
    Source.LINEAGE: "lineage_tables_readable",
    Source.QUERY_HISTORY: "query_history_readable",
}
CLONES: dict[str, Any] = {
    "lineage_catalog": "governance",
    "lineage_schema": "clones",
    "query_history_catalog": "governance",
    "query_history_schema": "clones",
}
VIEWS = {
    "table_lineage": "system.access.table_lineage",
    "column_lineage": "system.access.column_lineage",
    "query_history": "system.query.history",
    "billing_usage": "system.billing.usage",
    "list_prices": "system.billing.list_prices",
}


def clone(emulator: Emulator, *names: str) -> None:
    for name in names:
        emulator.create_view(f"governance.clones.{name}", f"SELECT * FROM {VIEWS[name]}")


def repaired(emulator: Emulator, finding: Finding) -> None:
    """Runs the statements of the remedy literally, as they are printed."""
    assert finding.answer.statements
    for sql in finding.answer.statements:
        assert f"{sql};" in finding.remedy.splitlines()
        emulator.workspace.run_sql_as_admin(f"{sql};")


@pytest.mark.parametrize("auth_type", [AuthType.PAT, AuthType.OAUTH_M2M])
@pytest.mark.parametrize(
    ("source", "grant", "lacking"),
    [
        (Source.LINEAGE, ("USE CATALOG", "CATALOG", "system"), ["CATALOG system"]),
        (Source.LINEAGE, ("USE SCHEMA", "SCHEMA", "system.access"), ["SCHEMA system.access"]),
        (
            Source.LINEAGE,
            ("SELECT", "SCHEMA", "system.access"),
            ["TABLE system.access.table_lineage", "TABLE system.access.column_lineage"],
        ),
        (Source.QUERY_HISTORY, ("USE CATALOG", "CATALOG", "system"), ["CATALOG system"]),
        (Source.QUERY_HISTORY, ("USE SCHEMA", "SCHEMA", "system.query"), ["SCHEMA system.query"]),
        (
            Source.QUERY_HISTORY,
            ("SELECT", "SCHEMA", "system.query"),
            ["TABLE system.query.history"],
        ),
    ],
)
def test_a_missing_grant_is_named_and_its_line_repairs_it(
    databricks_emulator: Emulator,
    auth_type: AuthType,
    source: Source,
    grant: tuple[str, str, str],
    lacking: list[str],
) -> None:
    """Each grant that is taken away is named; its printed line, run as it is, repairs it."""
    load_rows(databricks_emulator)
    settings = settings_of(databricks_emulator, auth_type)
    workspace = databricks_emulator.workspace
    principal = workspace.user if auth_type is AuthType.PAT else workspace.service_principal
    workspace.revoke(*grant, to=principal)

    finding = assert_only_failure(ask(settings, source), READABLE[source])

    assert principal.name in finding.answer.text
    for securable in lacking:
        assert f"{grant[0]} on {securable}" in finding.answer.text
    repaired(databricks_emulator, finding)
    assert set(statuses(ask(settings, source)).values()) == {"passed"}


def test_one_table_may_lack_its_grant(databricks_emulator: Emulator) -> None:
    """When only one of two tables may be read, the line is for the other one."""
    workspace = databricks_emulator.workspace
    workspace.revoke("SELECT", "SCHEMA", "system.access", to=workspace.user)
    workspace.grant("SELECT", "TABLE", "system.access.table_lineage", to=workspace.user)

    found = ask(settings_of(databricks_emulator))

    finding = assert_only_failure(found, "lineage_tables_readable")
    assert finding.answer.statements == (
        "GRANT SELECT ON TABLE `system`.`access`.`column_lineage` TO `miner@larkfell.example`",
    )


def test_a_principal_without_anything_gets_all_lines_at_once(
    databricks_emulator: Emulator,
) -> None:
    """What a missing privilege hides is granted by the same lines, so that one round is enough."""
    load_rows(databricks_emulator)
    databricks_emulator.workspace.revoke_everything(databricks_emulator.workspace.user)
    settings = settings_of(databricks_emulator)

    finding = assert_only_failure(ask(settings), "lineage_tables_readable")

    repaired(databricks_emulator, finding)
    assert set(statuses(ask(settings)).values()) == {"passed"}


@pytest.mark.parametrize(
    ("source", "schema"), [(Source.LINEAGE, "access"), (Source.QUERY_HISTORY, "query")]
)
@pytest.mark.parametrize("is_admin", [False, True])
def test_a_system_schema_that_is_not_enabled_is_named(
    databricks_emulator: Emulator, source: Source, schema: str, is_admin: bool
) -> None:
    """A schema of `system` that is not enabled is named with the command that enables it."""
    workspace = databricks_emulator.workspace
    workspace.enabled_system_schemas.discard(schema)
    if not is_admin:
        workspace.metastore_admins.discard(workspace.user.name)

    found = ask(settings_of(databricks_emulator), source)

    finding = assert_only_failure(found, READABLE[source])
    known = "its state is AVAILABLE" if is_admin else "only a metastore admin may see its state"
    assert f"the system schema {schema} is not enabled ({known})" in finding.answer.text
    command = f"databricks system-schemas enable {workspace.metastore_id} {schema}"
    assert finding.remedy.endswith(command)


def test_clones_are_read_instead(databricks_emulator: Emulator) -> None:
    """With a cloned catalog no right on `system` is asked for."""
    load_rows(databricks_emulator)
    clone(databricks_emulator, *VIEWS)
    workspace = databricks_emulator.workspace
    workspace.revoke("USE CATALOG", "CATALOG", "system", to=workspace.user)
    settings = settings_of(databricks_emulator, **CLONES)

    for source in Source:
        found = ask(settings, source)
        assert set(statuses(found).values()) == {"passed"}, found


@pytest.mark.parametrize(
    "grant",
    [
        ("USE CATALOG", "CATALOG", "governance"),
        ("USE SCHEMA", "SCHEMA", "governance.clones"),
        ("SELECT", "SCHEMA", "governance.clones"),
    ],
)
def test_a_missing_grant_on_a_clone_is_named(
    databricks_emulator: Emulator, grant: tuple[str, str, str]
) -> None:
    """The grants on a cloned catalog are named, and the printed lines repair them."""
    load_rows(databricks_emulator)
    clone(databricks_emulator, "table_lineage", "column_lineage")
    workspace = databricks_emulator.workspace
    workspace.revoke(*grant, to=workspace.user)
    settings = settings_of(databricks_emulator, **CLONES)

    finding = assert_only_failure(ask(settings), "lineage_tables_readable")

    assert f"{grant[0]} on " in finding.answer.text
    assert "governance" in finding.answer.text
    repaired(databricks_emulator, finding)
    assert set(statuses(ask(settings)).values()) == {"passed"}


def test_a_missing_view_is_named_with_what_makes_it(databricks_emulator: Emulator) -> None:
    """A view that the cloned catalog lacks is named, with the statement that makes it."""
    clone(databricks_emulator, "table_lineage")

    found = ask(settings_of(databricks_emulator, **CLONES))

    finding = assert_only_failure(found, "lineage_tables_readable")
    assert "no governance.clones.column_lineage" in finding.answer.text
    assert "DBMINER_LINEAGE_CATALOG" in finding.remedy
    assert finding.answer.statements == (
        "CREATE VIEW `governance`.`clones`.`column_lineage` AS "
        "SELECT * FROM `system`.`access`.`column_lineage`",
    )


def test_a_missing_clone_of_the_history_is_named(databricks_emulator: Emulator) -> None:
    """In a cloned catalog the history is called `query_history`."""
    found = ask(settings_of(databricks_emulator, **CLONES), Source.QUERY_HISTORY)

    finding = assert_only_failure(found, "query_history_readable")
    assert "no governance.clones.query_history" in finding.answer.text
    assert "DBMINER_QUERY_HISTORY_CATALOG" in finding.remedy
    assert finding.answer.statements[0].endswith("SELECT * FROM `system`.`query`.`history`")


def test_a_missing_required_column_fails(databricks_emulator: Emulator) -> None:
    """A column without which nothing can be mined is named with its table."""
    databricks_emulator.drop_columns("system.query.history", "statement_type", "executed_by")

    found = ask(settings_of(databricks_emulator), Source.QUERY_HISTORY)

    finding = assert_only_failure(found, "required_columns_present")
    assert "executed_by, statement_type of system.query.history" in finding.answer.text


def test_a_missing_optional_column_warns(databricks_emulator: Emulator) -> None:
    """A column that is left out where it is missing is named, and a run may go on."""
    load_rows(databricks_emulator)
    databricks_emulator.drop_columns("system.access.column_lineage", "direct_access")

    finding = ask(settings_of(databricks_emulator))["required_columns_present"]

    assert finding.status is Status.WARNING
    assert "direct_access of system.access.column_lineage" in finding.answer.text


def test_a_view_that_lacks_a_required_column_is_left_to_its_owner(
    databricks_emulator: Emulator,
) -> None:
    """No statement is printed that would replace a view, which may hide something on purpose."""
    clone(databricks_emulator, "column_lineage")
    databricks_emulator.create_view(
        "governance.clones.table_lineage",
        "SELECT event_time, event_date FROM system.access.table_lineage",
    )

    found = ask(settings_of(databricks_emulator, **CLONES))

    finding = assert_only_failure(found, "required_columns_present")
    assert "source_table_full_name, target_table_full_name" in finding.answer.text
    assert finding.remedy == "Let the owner of the view add these columns to its SELECT."


def test_a_view_that_lacks_an_optional_column_may_stay(databricks_emulator: Emulator) -> None:
    """What a clone leaves out without need is named, and nothing says to make the view again."""
    load_rows(databricks_emulator)
    columns = "workspace_id, statement_id, start_time, executed_by, execution_status"
    databricks_emulator.create_view(
        "governance.clones.query_history",
        f"SELECT {columns}, statement_text, statement_type FROM system.query.history",
    )

    found = ask(settings_of(databricks_emulator, **CLONES), Source.QUERY_HISTORY)

    finding = found["required_columns_present"]
    assert finding.status is Status.WARNING
    assert "update_time of governance.clones.query_history" in finding.answer.text
    assert "go on without" in finding.remedy
    assert "VIEW" not in finding.remedy


@pytest.mark.parametrize("source", Source)
def test_all_statements_may_wait_for_the_warehouse(
    databricks_emulator: Emulator, source: Source
) -> None:
    """Where nobody sits before it, each probe that runs a statement waits for a busy warehouse."""
    names = {
        *("warehouse_usable", READABLE[source], "source_is_fresh"),
        *(() if source is Source.LINEAGE else ("statement_text_visible", "billing_readable")),
    }
    with planned(settings_of(databricks_emulator), [source], wait_seconds=600) as plans:
        patient = {probe.name for probe in plans[source] if probe.budget_seconds == 600}

    assert patient == names


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize(("age_days", "said"), [(9, "9.0 days old"), (40, "none of the last 30")])
def test_a_stale_source_warns(
    databricks_emulator: Emulator, source: Source, age_days: int, said: str
) -> None:
    """Rows older than the lag and a day warn with their age, and so does a source without any."""
    load_rows(databricks_emulator, timedelta(days=age_days))

    finding = ask(settings_of(databricks_emulator), source)["source_is_fresh"]

    assert finding.status is Status.WARNING
    assert said in finding.answer.text
    assert finding.answer.remedy


@pytest.mark.parametrize(("age_days", "status"), [(7.9, "passed"), (8.1, "warning")])
def test_freshness_goes_by_the_lag(
    databricks_emulator: Emulator, age_days: float, status: str
) -> None:
    """The newest row may be as old as the lag and one day more."""
    load_rows(databricks_emulator, timedelta(days=age_days))

    found = ask(settings_of(databricks_emulator, lag_days=7))

    assert found["source_is_fresh"].status.value == status


def test_only_recent_days_are_read(databricks_emulator: Emulator) -> None:
    """Every statement over rows is bound by the partition column or the exact time."""
    load_rows(databricks_emulator)
    for source in Source:
        ask(settings_of(databricks_emulator), source)

    texts = [statement.text for statement in databricks_emulator.statements]
    over_rows = [text for text in texts if "LIMIT 0" not in text and "one" not in text]
    assert len(over_rows) == 4
    assert all(
        "event_date >= :since" in text or "start_time >= :since" in text for text in over_rows
    )


def test_redacted_texts_warn(databricks_emulator: Emulator) -> None:
    """Texts that are redacted name the group that sees them."""
    load_rows(databricks_emulator)
    workspace = databricks_emulator.workspace
    workspace.sees_statement_text.discard(workspace.user.name)

    finding = ask(settings_of(databricks_emulator), Source.QUERY_HISTORY)["statement_text_visible"]

    assert finding.status is Status.WARNING
    assert "100% have a redacted text" in finding.answer.text
    assert f"add {workspace.user.name} to" in finding.remedy
    assert "databricks_pii_access" in finding.remedy


def test_empty_texts_warn(databricks_emulator: Emulator) -> None:
    """Texts that are empty, as under customer-managed keys, are counted apart."""
    load_rows(databricks_emulator, text=None)

    finding = ask(settings_of(databricks_emulator), Source.QUERY_HISTORY)["statement_text_visible"]

    assert finding.status is Status.WARNING
    assert "0% have a redacted text and 100% an empty one" in finding.answer.text
    assert "customer-managed keys" in finding.remedy


@pytest.mark.parametrize(
    ("grant", "lines"),
    [
        (("USE SCHEMA", "SCHEMA", "system.billing"), 3),
        (("SELECT", "SCHEMA", "system.billing"), 2),
    ],
)
def test_costs_that_may_not_be_read_warn(
    databricks_emulator: Emulator, grant: tuple[str, str, str], lines: int
) -> None:
    """Without a right on billing a run may go on; the printed lines, run as they are, repair it."""
    load_rows(databricks_emulator)
    workspace = databricks_emulator.workspace
    workspace.revoke(*grant, to=workspace.user)
    settings = settings_of(databricks_emulator)

    found = ask(settings, Source.QUERY_HISTORY)

    finding = found.pop("billing_readable")
    assert finding.status is Status.WARNING
    assert finding.probe.is_advisory
    assert f"lacks {grant[0]} on " in finding.answer.text
    assert finding.answer.text.endswith("What statements cost stays unknown.")
    assert set(statuses(found).values()) == {"passed"}
    assert len(finding.answer.statements) == lines
    repaired(databricks_emulator, finding)
    assert set(statuses(ask(settings, Source.QUERY_HISTORY)).values()) == {"passed"}


def test_a_billing_schema_that_is_not_enabled_warns(databricks_emulator: Emulator) -> None:
    """Where nobody enabled `system.billing`, the advice names the command that does."""
    load_rows(databricks_emulator)
    databricks_emulator.workspace.enabled_system_schemas.discard("billing")

    finding = ask(settings_of(databricks_emulator), Source.QUERY_HISTORY)["billing_readable"]

    assert finding.status is Status.WARNING
    assert "no system.billing.usage and system.billing.list_prices" in finding.answer.text
    assert finding.remedy.endswith(f"{databricks_emulator.workspace.metastore_id} billing")


def test_clones_of_billing_are_named_when_they_are_missing(databricks_emulator: Emulator) -> None:
    """In a cloned catalog billing lies beside the query history, or the advice makes the views."""
    load_rows(databricks_emulator)
    clone(databricks_emulator, "query_history", "list_prices")

    settings = settings_of(databricks_emulator, **CLONES)
    finding = ask(settings, Source.QUERY_HISTORY)["billing_readable"]

    assert finding.status is Status.WARNING
    assert finding.answer.statements == (
        "CREATE VIEW `governance`.`clones`.`billing_usage` AS "
        "SELECT * FROM `system`.`billing`.`usage`",
    )
