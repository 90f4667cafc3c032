"""Asks the emulated warehouse through databricks-sql-connector, without the miner's own code."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import polars as pl
import pytest
from databricks import sql
from databricks.sql.client import Connection
from databricks.sql.exc import ServerOperationError

from dbminer_dagster_tests.databricks_emulator import Emulator

LINEAGE, HISTORY = "system.access.table_lineage", "system.query.history"


@contextmanager
def connect(emulator: Emulator, **options: Any) -> Iterator[Connection]:
    """A session of the user with the access token."""
    path = f"/sql/1.0/warehouses/{emulator.workspace.warehouse_id}"
    with sql.connect(
        server_hostname="127.0.0.1",
        http_path=path,
        _connection_uri=emulator.host + path,
        access_token=emulator.workspace.user.secret,
        enable_telemetry=False,
        **options,
    ) as connection:
        yield connection


def query(
    emulator: Emulator, statement: str, parameters: Mapping[str, Any] | None = None, **options: Any
) -> pl.DataFrame:
    """All rows of a statement, run in a session of its own."""
    with connect(emulator, **options) as connection, connection.cursor() as cursor:
        cursor.execute(statement, dict(parameters or {}) or None)
        return frame(cursor.fetchall_arrow())


def frame(table: Any) -> pl.DataFrame:
    """An Arrow table as Polars sees it."""
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    return found


def value(emulator: Emulator, expression: str, **parameters: Any) -> Any:
    """The value of an expression."""
    return query(emulator, f"SELECT {expression} AS x", parameters).item()


def error_of(emulator: Emulator, statement: str) -> str:
    """The text of the error with which a statement fails."""
    with pytest.raises(ServerOperationError) as raised:
        query(emulator, statement)
    return str(raised.value)
