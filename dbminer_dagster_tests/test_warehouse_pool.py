"""How many statements runs send to the SQL warehouse at once."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from dbminer_dagster.assets.sources import POOLS
from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.settings import ExtractionMethod, load_settings
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.faults import Fault
from dbminer_dagster_tests.offline_files import column_row, lineage_row

RUNS, LIMIT = 3, 2
DAGSTER_YAML = f"""\
telemetry:
  enabled: false
concurrency:
  pools:
    default_limit: {LIMIT}
"""
READS_OF_WORKSPACE = {
    "raw_query_history",
    "raw_lineage",
    "known_tables",
    "warehouse_costs",
    "preflight_lineage",
    "preflight_query_history",
}


@pytest.mark.parametrize(
    ("method", "pooled"),
    [("system_table", READS_OF_WORKSPACE), ("rest_api", READS_OF_WORKSPACE), ("offline", set())],
)
def test_what_reads_the_workspace_is_in_the_pool_of_its_method(
    method: str, pooled: set[str]
) -> None:
    """All steps that ask the workspace share a pool, and no other step waits for it."""
    job = build_definitions(load_settings(lineage_method=method)).resolve_job_def(
        "mine_lineage_and_popularity"
    )

    found = {node.name: node.definition.pools for node in job.graph.nodes}
    pool = {POOLS[ExtractionMethod(method)]} if pooled else set()

    assert {name for name, pools in found.items() if pools} == pooled
    assert set().union(*found.values()) == pool


def test_parallel_runs_keep_to_the_limit(
    databricks_emulator: Emulator, no_databricks: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Runs in processes of their own never have more statements at once than the pool allows."""
    databricks_emulator.load_rows("system.access.table_lineage", [lineage_row()])
    databricks_emulator.load_rows("system.access.column_lineage", [column_row()])
    databricks_emulator.faults.add(Fault("slow", "*count(*)*", times=RUNS, delay_s=1))
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(DAGSTER_YAML)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs_count()  # its tables are made once, before anybody races for that
        instance.event_log_storage.get_concurrency_keys()
    environment = {
        **databricks_emulator.environment("pat"),
        "DAGSTER_HOME": str(home),
        "DBMINER_LINEAGE_METHOD": "system_table",
        "DBMINER_CALCULATE_POPULARITY": "false",
        "DBMINER_STORAGE_URI": str(tmp_path / "storage"),
    }
    for name, value in environment.items():
        no_databricks.setenv(name, value)
    day = ["--from", "2026-01-05", "--to", "2026-01-05"]
    command = [Path(sys.executable).with_name("dbminer"), "mine", *day]

    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(RUNS)
    ]
    said = [run.communicate()[0] for run in runs]

    assert databricks_emulator.most_parallel_statements == LIMIT, said
    assert [run.returncode for run in runs] == [0] * RUNS, said
