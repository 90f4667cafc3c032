"""`dbminer preflight`: what it prints, and its exit status."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dbminer_dagster.cli import main
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.preflight_runs import NAMES, load_rows
from dbminer_dagster_tests.test_definitions import clean_environment, python

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs the command in this process, with these variables and no other setting."""
    for name in os.environ.keys() - clean_environment().keys():
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def invoke(*options: str, **variables: str) -> Result:
        environment = {"COLUMNS": "120", "NO_COLOR": "1", **variables}
        return CliRunner(env=environment).invoke(main, ["preflight", *options])

    return invoke


def test_a_ready_workspace_exits_0(databricks_emulator: Emulator, run: Run) -> None:
    """Every check is one line, and the verdict stands at the end."""
    load_rows(databricks_emulator)

    found = run(**databricks_emulator.environment("pat"))

    assert found.exit_code == 0, found.output
    lines = found.stdout.splitlines()
    for names in NAMES.values():
        assert all(any(line.startswith(f"{name} ") for line in lines) for name in names)
    assert lines.count("lineage by system_table: ready") == 1
    assert lines[-1] == "verdict: ready (every check passed)"


def test_advice_exits_0(databricks_emulator: Emulator, run: Run) -> None:
    """When only advice is left, the verdict is partial and the exit status 0."""
    load_rows(databricks_emulator, timedelta(days=9))

    found = run(**databricks_emulator.environment("pat"))

    assert found.exit_code == 0
    assert "verdict: partial (a run may go on; read the warnings)" in found.stdout
    assert "warning: source_is_fresh (lineage)" in found.stdout


def test_a_failure_exits_1_with_the_remedy_in_full(databricks_emulator: Emulator, run: Run) -> None:
    """What failed is said once for both sources, with statements that are not wrapped."""
    workspace = databricks_emulator.workspace
    workspace.revoke_everything(workspace.user)

    found = run(**databricks_emulator.environment("pat"), COLUMNS="60")

    assert found.exit_code == 1
    line = "  GRANT SELECT ON TABLE `system`.`access`.`column_lineage` TO `miner@larkfell.example`;"
    assert line in found.stdout.splitlines()
    assert "verdict: not ready" in found.stdout
    assert workspace.user.secret not in found.stdout


def test_a_shared_failure_is_repaired_once(databricks_emulator: Emulator, run: Run) -> None:
    """What both sources need is listed once among the repairs, with both their names."""
    databricks_emulator.workspace.unity_catalog = False

    found = run(**databricks_emulator.environment("pat"))

    assert found.exit_code == 1
    assert found.stdout.count("failed: unity_catalog_enabled (lineage, query_history)") == 1


@pytest.mark.parametrize(
    ("options", "variables", "said"),
    [
        ([], {}, "Set DATABRICKS_HOST"),
        ([], {"DBMINER_LINEAGE_METHOD": "offline"}, "s3://bucket/prefix that holds"),
        ([], {"DBMINER_LAG_DAYS": "8"}, "DBMINER_LAG_DAYS: '8' is not allowed"),
        (["--xml"], {}, "No such option"),
    ],
    ids=["no host", "no files", "wrong value", "wrong option"],
)
def test_wrong_use_exits_2(
    run: Run, options: list[str], variables: dict[str, str], said: str
) -> None:
    """Settings that are missing or wrong, and unknown options, exit 2 and are named."""
    found = run(*options, **variables)

    assert found.exit_code == 2
    assert said in " ".join(found.output.split())


def test_the_rest_method_needs_a_workspace(run: Run) -> None:
    """Without a host the REST method exits 2 and names the setting."""
    found = run(DBMINER_LINEAGE_METHOD="rest_api")

    assert found.exit_code == 2
    assert "Set DATABRICKS_HOST to its URL" in " ".join(found.stdout.split())


def test_json_is_for_programs(databricks_emulator: Emulator, run: Run) -> None:
    """With --json the output is one object with verdicts and every finding, and nothing else."""
    load_rows(databricks_emulator)
    workspace = databricks_emulator.workspace
    workspace.revoke("SELECT", "SCHEMA", "system.query", to=workspace.user)

    found = run("--json", **databricks_emulator.environment("oauth-m2m"))
    failed = run("--json", **databricks_emulator.environment("pat"))

    assert (found.exit_code, failed.exit_code) == (0, 1)
    assert json.loads(found.stdout)["verdict"] == "ready"
    told = json.loads(failed.stdout)
    assert told["verdict"] == "not ready"
    assert told["sources"] == {
        "lineage": {"method": "system_table", "verdict": "ready"},
        "query_history": {"method": "system_table", "verdict": "not ready"},
    }
    checks = {(check["source"], check["name"]): check for check in told["checks"]}
    assert list(checks) == [(source.value, name) for source in NAMES for name in NAMES[source]]
    refused = checks["query_history", "query_history_readable"]
    assert refused.keys() == {
        "source", "name", "status", "tried", "answer", "remedy", "duration_ms",
    }  # fmt: skip
    assert refused["status"] == "failed"
    assert refused["remedy"].endswith(
        "GRANT SELECT ON TABLE `system`.`query`.`history` TO `miner@larkfell.example`;"
    )
    assert checks["query_history", "source_is_fresh"]["status"] == "skipped"


def test_methods_are_checked_each_on_its_own(
    databricks_emulator: Emulator, run: Run, tmp_path: Path
) -> None:
    """Lineage from files and query history from tables are each checked by their method."""
    load_rows(databricks_emulator)
    variables = {
        **databricks_emulator.environment("pat"),
        "DBMINER_LINEAGE_METHOD": "offline",
        "DBMINER_QUERY_HISTORY_METHOD": "system_table",
        "DBMINER_OFFLINE_URI": str(tmp_path / "nowhere"),
    }

    told = json.loads(run("--json", **variables).stdout)

    assert told["sources"] == {
        "lineage": {"method": "offline", "verdict": "not ready"},
        "query_history": {"method": "system_table", "verdict": "ready"},
    }


def test_lineage_only_leaves_out_query_history(databricks_emulator: Emulator, run: Run) -> None:
    """Without popularity only lineage is checked, since nothing else is read."""
    load_rows(databricks_emulator)
    variables = databricks_emulator.environment("pat")

    told = json.loads(run("--json", **variables, DBMINER_CALCULATE_POPULARITY="false").stdout)

    assert list(told["sources"]) == ["lineage"]


@pytest.mark.parametrize("method", ["offline", "system_table"])
def test_the_command_does_without_dagster(method: str, tmp_path: Path) -> None:
    """Dagster takes a second to import; this command does not need it."""
    script = (
        "import sys\n"
        "from dbminer_dagster.cli import main\n"
        "try: main(['preflight'])\n"
        "except SystemExit: sys.exit('dagster' in sys.modules)"
    )

    found = python(script, tmp_path, DBMINER_LINEAGE_METHOD=method)

    assert found.returncode == 0, found.stderr
