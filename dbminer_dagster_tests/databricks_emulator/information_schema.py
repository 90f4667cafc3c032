"""`information_schema`: what Unity Catalog knows, and of it what a principal may see."""

import duckdb
import pyarrow as pa

from dbminer_dagster_tests.databricks_emulator.loading import text
from dbminer_dagster_tests.databricks_emulator.workspace import Principal, Table, Workspace

_KEY = ("table_catalog", "table_schema", "table_name")
_STRING_KEY = [pa.field(name, pa.string()) for name in _KEY]
_TABLES = pa.schema(
    [*_STRING_KEY]
    + [pa.field(name, pa.string()) for name in ("table_type", "table_owner", "storage_path")]
)
_COLUMNS = pa.schema(
    [
        *_STRING_KEY,
        pa.field("column_name", pa.string()),
        pa.field("ordinal_position", pa.int32()),
        pa.field("is_nullable", pa.string()),
        pa.field("full_data_type", pa.string()),
        pa.field("data_type", pa.string()),
    ]
)
_STORED = '"system.information_schema".'


def select_visible(
    cursor: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    principal: Principal | None,
    catalog: str,
    name: str,
) -> str:
    """The query that reads `tables` or `columns` as the principal sees it.

    Rows that were loaded stand for themselves; the other tables of the workspace are added.

    Args:
        cursor: Where the query will run; the tables of the workspace are registered with it.
        workspace: The tables and privileges.
        principal: Who reads.
        catalog: Of the information_schema; the one of `system` tells of all catalogs.
        name: `tables` or `columns`.
    """
    stored, made = f"{_STORED}{name.lower()}", f"workspace_{name.lower()}"
    known = list(workspace.tables.values())
    rows = _table_rows(known) if name.lower() == "tables" else _column_rows(known)
    cursor.register(made, rows)
    key = ", ".join(_KEY)
    names = cursor.execute(f"SELECT {key} FROM {stored} UNION SELECT {key} FROM {made}").fetchall()
    visible = [parts for parts in names if _is_visible(workspace, principal, *parts)]
    cursor.register(
        "visible_tables",
        pa.Table.from_pylist(
            [dict(zip(_KEY, parts, strict=True)) for parts in visible],
            schema=pa.schema(_STRING_KEY),
        ),
    )
    inside = "" if catalog.lower() == "system" else f"WHERE i.table_catalog = {text(catalog)}"
    return (
        f"SELECT i.* FROM (SELECT * FROM {stored} UNION ALL BY NAME SELECT * FROM {made} "
        f"ANTI JOIN {stored} USING ({key})) AS i SEMI JOIN visible_tables USING ({key}) {inside}"
    )


def _is_visible(
    workspace: Workspace, principal: Principal | None, catalog: str, schema: str, table: str
) -> bool:
    if not workspace.schema_exists(catalog, schema):
        return False
    if principal is None:
        return True
    return workspace.missing_privilege(principal, catalog, schema, table) is None


def _names(table: Table) -> dict[str, str]:
    parts = (table.catalog, table.schema, table.name)
    return {name: part.lower() for name, part in zip(_KEY, parts, strict=True)}


def _table_rows(tables: list[Table]) -> pa.Table:
    rows = [
        {
            **_names(table),
            "table_type": table.table_type,
            "table_owner": "System user" if table.catalog == "system" else "admin",
            "storage_path": table.storage_location,
        }
        for table in tables
    ]
    return pa.Table.from_pylist(rows, schema=_TABLES)


def _column_rows(tables: list[Table]) -> pa.Table:
    rows = [
        {
            **_names(table),
            "column_name": column.name,
            "ordinal_position": position,
            "is_nullable": "YES",
            "full_data_type": column.type_text,
            "data_type": column.type_text.partition("<")[0].upper(),
        }
        for table in tables
        for position, column in enumerate(table.columns)
    ]
    return pa.Table.from_pylist(rows, schema=_COLUMNS)
