"""The system-table extractor over an emulated workspace."""

from collections.abc import Sequence
from typing import Any

import pytest
from databricks.sql.backend import thrift_backend

from dbminer_dagster.databricks import warehouse
from dbminer_dagster.preflight import runner
from dbminer_dagster.resources.databricks import DatabricksResource
from dbminer_dagster.resources.system_tables import SystemTableExtractor, attempts
from dbminer_dagster.rest_api import query_history
from dbminer_dagster.settings import load_settings
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.offline_files import Row

HISTORY, TABLE_LINEAGE, COLUMN_LINEAGE = (
    "system.query.history",
    "system.access.table_lineage",
    "system.access.column_lineage",
)


def sign_in(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets the environment in which the miner uses the workspace."""
    for name, value in emulator.environment("pat").items():
        monkeypatch.setenv(name, value)


def extractor(**places: Any) -> SystemTableExtractor:
    """The extractor of the workspace that the environment names; system tables by default."""
    settings = load_settings(**places)
    return SystemTableExtractor.of(settings, DatabricksResource.of(settings))


def load(
    emulator: Emulator, history: Sequence[Row] = (), lineage: Sequence[Row] = ()
) -> SystemTableExtractor:
    """Puts rows into the system tables, those with a source column into column lineage."""
    of_columns = [row for row in lineage if "source_column_name" in row]
    of_tables = [row for row in lineage if "source_column_name" not in row]
    for name, rows in (
        (HISTORY, history),
        (TABLE_LINEAGE, of_tables),
        (COLUMN_LINEAGE, of_columns),
    ):
        if rows:
            emulator.load_rows(name, rows)
    return extractor()


def ask_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the REST method send more requests a second than it would to a workspace."""
    monkeypatch.setattr(query_history, "REQUESTS_PER_SECOND", 500.0)
    for kind in ("TABLES", "COLUMNS"):
        monkeypatch.setenv(f"DBMINER_REST_{kind}_PER_SECOND", "500")


def wait_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens all waits before another attempt; the connector's own is five seconds or more."""
    shortest = (float, 0.1, 0.1, 3600.0)
    monkeypatch.setitem(thrift_backend._retry_policy, "_retry_delay_max", shortest)  # noqa: SLF001
    for name in ("_retry_delay_min", "_retry_delay_max"):
        monkeypatch.setitem(warehouse._NETWORK, name, 0.1)  # noqa: SLF001
    for module in (attempts, runner):
        monkeypatch.setattr(module, "WAITS_SECONDS", (0.1,) * len(module.WAITS_SECONDS))
