"""The system-table extractor over an emulated workspace."""

from collections.abc import Sequence
from typing import Any

import pytest

from dbminer_dagster.resources.databricks import DatabricksResource
from dbminer_dagster.resources.system_tables import SystemTableExtractor
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
