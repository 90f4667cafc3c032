"""`DESCRIBE TABLE` and `SHOW`, which tell of tables and not of their rows."""

import re
from collections.abc import Iterable

import pyarrow as pa
import sqlglot.expressions as exp

from dbminer_dagster_tests.databricks_emulator.name_resolution import Resolver
from dbminer_dagster_tests.databricks_emulator.sql_dialect import parse
from dbminer_dagster_tests.databricks_emulator.sql_errors import unsupported
from dbminer_dagster_tests.databricks_emulator.system_tables import PARTITION_COLUMN
from dbminer_dagster_tests.databricks_emulator.workspace import Principal, Workspace

_DESCRIBE = re.compile(r"\s*DESC(?:RIBE)?\s", re.IGNORECASE)
_NAME = r"`?([\w-]+)`?"
_SHOW = re.compile(
    rf"\s*SHOW\s+(?:(CATALOGS)|(?:SCHEMAS|DATABASES)\s+(?:IN|FROM)\s+{_NAME}"
    rf"|TABLES\s+(?:IN|FROM)\s+{_NAME}\.{_NAME})\s*;?\s*",
    re.IGNORECASE,
)


def metadata_answer(
    statement: str, workspace: Workspace, principal: Principal, resolver: Resolver
) -> pa.Table | None:
    """The answer to a statement of these kinds; None when it is another one.

    Raises:
        SqlError: What it names does not exist or may not be read.
    """
    if show := _SHOW.fullmatch(statement):
        readable = [
            key for key in workspace.tables if workspace.missing_privilege(principal, *key) is None
        ]
        return _show(show, sorted(readable), resolver)
    if not _DESCRIBE.match(statement):
        return None
    tree = parse(statement)
    if not isinstance(tree, exp.Describe) or not isinstance(tree.this, exp.Table):
        raise unsupported("this kind of DESCRIBE")
    return _describe(tree.this, workspace, resolver)


def _describe(table: exp.Table, workspace: Workspace, resolver: Resolver) -> pa.Table:
    catalog, schema, name = resolver.checked(table)
    key = (catalog.lower(), schema.lower(), name.lower())
    found = workspace.tables[key]
    rows = [(column.name, column.type_text, None) for column in found.columns]
    types = {name: kind for name, kind, _ in rows}
    partition = PARTITION_COLUMN.get(key)
    if partition in types:
        rows += [
            ("# Partition Information", "", ""),
            ("# col_name", "data_type", "comment"),
            (partition, types[partition], None),
        ]
    return _table(("col_name", "data_type", "comment"), rows)


def _show(
    show: re.Match[str], readable: list[tuple[str, str, str]], resolver: Resolver
) -> pa.Table:
    of_catalogs, catalog, catalog_of_tables, schema = show.groups()
    if of_catalogs:
        return _table(("catalog",), sorted({(key[0],) for key in readable}))
    if catalog:
        resolver.check_catalog(catalog)
        schemas = {(key[1],) for key in readable if key[0] == catalog.lower()}
        return _table(("databaseName",), sorted(schemas))
    resolver.check_schema(catalog_of_tables, schema)
    inside = (catalog_of_tables.lower(), schema.lower())
    rows = [(key[1], key[2], False) for key in readable if key[:2] == inside]
    return _table(("database", "tableName", "isTemporary"), rows)


def _table(names: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> pa.Table:
    """Rows as a table; `is…` columns are flags, the others are texts."""
    listed = list(rows)
    fields = [
        pa.field(name, pa.bool_() if name.startswith("is") else pa.string()) for name in names
    ]
    columns = [list(column) for column in zip(*listed, strict=True)] or [[] for _ in names]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, fields, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))
