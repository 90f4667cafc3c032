"""From nothing granted to a run, by nothing but what preflight prints."""

import re
from pathlib import Path

import pytest

from dbminer_dagster.preflight.model import Status
from dbminer_dagster.settings import AuthType
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.offline_files import column_row, lineage_row, system_row
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline, failures
from dbminer_dagster_tests.preflight_runs import ask_all, settings_of
from dbminer_dagster_tests.warehouse import load

GRANTS = (
    ("USE CATALOG", "CATALOG", "system"),
    ("USE SCHEMA", "SCHEMA", "system.access"),
    ("SELECT", "SCHEMA", "system.access"),
    ("USE SCHEMA", "SCHEMA", "system.query"),
    ("SELECT", "SCHEMA", "system.query"),
)
DAY = Window.of_day(FIRST_DAY)


@pytest.mark.parametrize("auth_type", list(AuthType))
def test_the_printed_grants_make_a_run_pass(
    auth_type: AuthType,
    databricks_emulator: Emulator,
    no_databricks: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A run names what its principal lacks; once the printed lines were run, it passes."""
    for name, value in databricks_emulator.environment(auth_type.value).items():
        no_databricks.setenv(name, value)
    load(databricks_emulator, [system_row()], [lineage_row(), column_row()])
    workspace = databricks_emulator.workspace
    for principal in workspace.principals:
        for grant in GRANTS:
            workspace.revoke(*grant, to=principal)
    pipeline = Pipeline("unused", str(tmp_path), lineage_method="system_table")

    refused = 0
    while not (result := pipeline.mine(DAY)).success:
        refused += 1
        printed = set(re.findall(r"GRANT [^;]+;", failures(result)))
        assert printed
        assert refused <= len(GRANTS)
        for line in printed:
            workspace.run_sql_as_admin(line)

    assert refused > 0
    found = ask_all(settings_of(databricks_emulator, auth_type))
    assert Status.FAILED not in {status for statuses in found.values() for status in statuses}
    assert pipeline.table("raw_query_history").height == 1
    assert pipeline.table("raw_table_lineage").height == 1
