"""What a name in a statement stands for, and whether the principal may read it."""

from collections.abc import Callable
from typing import NamedTuple

import sqlglot
import sqlglot.expressions as exp

from dbminer_dagster_tests.databricks_emulator.loading import quoted, text
from dbminer_dagster_tests.databricks_emulator.sql_errors import (
    insufficient_permissions,
    no_such_catalog,
    schema_not_found,
    table_not_found,
    uc_not_enabled,
)
from dbminer_dagster_tests.databricks_emulator.workspace import Principal, Workspace

REDACTED = "<REDACTED>"
_HISTORY = ("system", "query", "history")


class Namespace(NamedTuple):
    """Where names with one or two parts are looked up."""

    catalog: str = "main"
    schema: str = "default"


def physical(catalog: str, schema: str, name: str) -> str:
    """Where DuckDB keeps a table: its own catalog `system` is in the way of Databricks'."""
    return quoted(f"{catalog}.{schema}".lower(), name.lower())


class Resolver:
    """Resolves the names of one statement.

    Args:
        workspace: Its tables and privileges.
        principal: Who runs the statement; None is the emulator itself, which may do everything.
        namespace: Where short names are looked up.
        information_schema: Gives the query that reads a table of information_schema.
    """

    def __init__(
        self,
        workspace: Workspace,
        principal: Principal | None,
        namespace: Namespace,
        information_schema: Callable[[str, str], str],
    ) -> None:
        self._workspace = workspace
        self._principal = principal
        self._namespace = namespace
        self._information_schema = information_schema

    def source(self, table: exp.Table) -> exp.Expr:
        """What DuckDB reads for a table that a statement names.

        Raises:
            SqlError: It does not exist, or a privilege is missing.
        """
        catalog, schema, name = parts = self.checked(table)
        if schema.lower() == "information_schema":
            return _subquery(self._information_schema(catalog, name))
        key = (catalog.lower(), schema.lower(), name.lower())
        if key == _HISTORY and not self._sees_text():
            text_or_null = f"CASE WHEN statement_text IS NOT NULL THEN {text(REDACTED)} END"
            columns = f"* REPLACE ({text_or_null} AS statement_text)"
            return _subquery(f"SELECT {columns} FROM {physical(*parts)}")
        return exp.to_table(physical(*parts), dialect="duckdb")

    def checked(self, table: exp.Table) -> tuple[str, str, str]:
        """Catalog, schema and name of a table that exists and may be read.

        Raises:
            SqlError: It does not exist, or a privilege is missing.
        """
        catalog, schema, name = self._full_name(table)
        self.check_schema(catalog, schema)
        if self._principal is not None:
            missing = self._workspace.missing_privilege(self._principal, catalog, schema, name)
            if missing is not None:
                raise insufficient_permissions(*missing)
        inside = "system" if schema.lower() == "information_schema" else catalog
        if (inside.lower(), schema.lower(), name.lower()) not in self._workspace.tables:
            raise table_not_found((catalog, schema, name))
        return catalog, schema, name

    def check_catalog(self, catalog: str) -> None:
        """Checks that a catalog exists.

        Raises:
            SqlError: It does not.
        """
        if not self._workspace.unity_catalog:
            raise uc_not_enabled()
        if catalog.lower() not in {key[0] for key in self._workspace.tables}:
            raise no_such_catalog(catalog)

    def check_schema(self, catalog: str, schema: str) -> None:
        """Checks that a schema exists.

        Raises:
            SqlError: It does not, or its catalog does not.
        """
        self.check_catalog(catalog)
        known = {key[:2] for key in self._workspace.tables}
        is_known = (catalog.lower(), schema.lower()) in known
        if schema.lower() != "information_schema" and not (
            is_known and self._workspace.schema_exists(catalog, schema)
        ):
            raise schema_not_found((catalog, schema))

    def _full_name(self, table: exp.Table) -> tuple[str, str, str]:
        catalog = table.catalog or self._namespace.catalog
        return catalog, table.db or self._namespace.schema, table.name

    def _sees_text(self) -> bool:
        principal = self._principal
        return principal is None or principal.name in self._workspace.sees_statement_text


def _subquery(select: str) -> exp.Subquery:
    return exp.Subquery(this=sqlglot.parse_one(select, dialect="duckdb"))
