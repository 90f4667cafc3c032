"""Asks preflight of an emulated workspace, as the command and the checks do."""

from datetime import UTC, datetime, timedelta
from typing import Any

from dbminer_dagster.preflight.model import Finding, Source, Status
from dbminer_dagster.preflight.plan import mined_sources, preflight
from dbminer_dagster.settings import AuthType, Settings, load_settings
from dbminer_dagster_tests.databricks_emulator import Emulator

LINEAGE_TABLES = ("system.access.table_lineage", "system.access.column_lineage")
SHARED = ["workspace_reachable", "credentials_accepted", "unity_catalog_enabled"]
NAMES = {
    Source.LINEAGE: [
        *SHARED, "warehouse_usable", "lineage_tables_readable", "required_columns_present",
        "source_is_fresh",
    ],
    Source.QUERY_HISTORY: [
        *SHARED, "warehouse_usable", "query_history_readable", "required_columns_present",
        "source_is_fresh", "statement_text_visible", "billing_readable",
    ],
}  # fmt: skip

_FIELDS = {field.validation_alias: name for name, field in Settings.model_fields.items()}


def settings_of(emulator: Emulator, auth_type: AuthType = AuthType.PAT, **changes: Any) -> Settings:
    """The settings with which the miner reads the system tables of the workspace."""
    signing_in = {
        _FIELDS[variable]: value
        for variable, value in emulator.environment(auth_type.value).items()
    }
    return load_settings(**{"lineage_method": "system_table", **signing_in, **changes})


def ask(
    settings: Settings, source: Source = Source.LINEAGE, wait_seconds: float = 60
) -> dict[str, Finding]:
    """The findings on one source by name, in their order."""
    reports = preflight(settings, [source], wait_seconds=wait_seconds)
    return {finding.probe.name: finding for finding in reports[source].findings}


def ask_all(settings: Settings) -> dict[Source, list[Status]]:
    """The statuses of all findings."""
    reports = preflight(settings, mined_sources(settings))
    return {
        source: [finding.status for finding in report.findings]
        for source, report in reports.items()
    }


def statuses(found: dict[str, Finding]) -> dict[str, str]:
    """The status of each finding by name."""
    return {name: finding.status.value for name, finding in found.items()}


def load_rows(
    emulator: Emulator, age: timedelta = timedelta(hours=5), text: str | None = "select 1"
) -> None:
    """Adds one row of this age to each table."""
    time = datetime.now(UTC) - age
    for table in LINEAGE_TABLES:
        row = {"event_time": time, "event_date": time.date(), "source_table_full_name": "a.b.c"}
        emulator.load_rows(table, [row])
    statement = {"workspace_id": "1", "statement_id": "s", "start_time": time}
    emulator.load_rows("system.query.history", [{**statement, "statement_text": text}])


def assert_only_failure(found: dict[str, Finding], name: str) -> Finding:
    """The finding of this name failed, what came before passed, what comes after was not asked."""
    names = list(found)
    at = names.index(name)
    for before in names[:at]:
        assert found[before].status is Status.PASSED, found[before].summary
    for after in names[at + 1 :]:
        assert found[after].status is Status.SKIPPED, found[after].summary
        assert found[after].answer.text == f"Not asked, because {name} failed."
    assert found[name].status is Status.FAILED, found[name].summary
    assert found[name].answer.remedy
    assert found[name].probe.tries
    return found[name]
