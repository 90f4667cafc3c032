"""The tables that lineage names, for workspaces that are made of lineage rows alone."""

from collections.abc import Iterator

import duckdb

from dbminer_dagster_tests.databricks_emulator.lineage_index import (
    COLUMN_LINEAGE,
    TABLE_LINEAGE,
    end_columns,
    rows_of,
)
from dbminer_dagster_tests.databricks_emulator.workspace import Column, Table

_TYPES = {"TABLE": "MANAGED"}


def tables_of_lineage(cursor: duckdb.DuckDBPyConnection) -> Iterator[Table]:
    """The tables and views outside of `system`, with the columns that lineage names."""
    named = " UNION ALL ".join(
        f"SELECT {end_columns(side)}, {side}_type, {column} AS name, event_time FROM {table}"
        for side in ("source", "target")
        for table, column in (
            (TABLE_LINEAGE, "NULL"),
            (COLUMN_LINEAGE, f"{side}_column_name"),
        )
    )
    cursor.execute(
        f"SELECT source_0, source_1, source_2, arg_max(source_type, event_time), "
        f"list(DISTINCT name ORDER BY name) FILTER (name IS NOT NULL) FROM ({named}) "
        "WHERE source_2 IS NOT NULL AND lower(source_0) <> 'system' GROUP BY ALL ORDER BY ALL"
    )
    for catalog, schema, name, kind, columns in rows_of(cursor):
        yield Table(
            catalog,
            schema,
            name,
            table_type=_TYPES.get(kind, kind) or "MANAGED",
            columns=tuple(Column(column) for column in columns or ()),
        )
