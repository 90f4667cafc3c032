"""Errors of Databricks SQL: class, text and SQLSTATE as "Error conditions" documents them."""

import re
from collections.abc import Sequence

from dbminer_dagster_tests.databricks_emulator.grants import SecurableType


class SqlError(Exception):
    """A statement that fails as it would in Databricks.

    Attributes:
        error_class: Such as `TABLE_OR_VIEW_NOT_FOUND`.
        sql_state: Its five characters.
    """

    def __init__(self, error_class: str, text: str, sql_state: str) -> None:
        super().__init__(f"[{error_class}] {text} SQLSTATE: {sql_state}")
        self.error_class = error_class
        self.sql_state = sql_state


class UnknownHandleError(Exception):
    """A call for a session or statement that does not exist (any more)."""

    def __init__(self, kind: str, guid: bytes) -> None:
        super().__init__(f"Invalid {kind}Handle: {kind}Handle [{guid.hex()}]")


_VERIFY = "Verify the spelling and correctness of the schema and catalog."


def quoted(parts: Sequence[str]) -> str:
    """A name as it stands in error texts and statements."""
    return ".".join(f"`{part.replace('`', '``')}`" for part in parts)


def table_not_found(parts: Sequence[str]) -> SqlError:
    """There is no such table or view."""
    text = (
        f"The table or view {quoted(parts)} cannot be found. {_VERIFY}\n"
        "If you did not qualify the name with a schema, verify the current_schema() output, or "
        "qualify the name with the correct schema and catalog.\n"
        "To tolerate the error on drop use DROP VIEW IF EXISTS or DROP TABLE IF EXISTS."
    )
    return SqlError("TABLE_OR_VIEW_NOT_FOUND", text, "42P01")


def schema_not_found(parts: Sequence[str]) -> SqlError:
    """There is no such schema."""
    text = (
        f"The schema {quoted(parts)} cannot be found. {_VERIFY}\n"
        "If you did not qualify the name with a catalog, verify the current_schema() output, or "
        "qualify the name with the correct catalog.\n"
        "To tolerate the error on drop use DROP SCHEMA IF EXISTS."
    )
    return SqlError("SCHEMA_NOT_FOUND", text, "42704")


def no_such_catalog(name: str) -> SqlError:
    """There is no such catalog."""
    text = (
        f"Catalog '{name}' was not found. Please verify the catalog name and then retry the query "
        "or command again."
    )
    return SqlError("NO_SUCH_CATALOG_EXCEPTION", text, "42704")


def insufficient_permissions(
    privilege: str, securable_type: SecurableType, securable: str
) -> SqlError:
    """A privilege is missing; the text has the line break of the real one."""
    text = (
        f"Insufficient privileges:\nUser does not have {privilege} on "
        f"{securable_type.capitalize()} '{securable}'."
    )
    return SqlError("INSUFFICIENT_PERMISSIONS", text, "42501")


def syntax_error(near: str) -> SqlError:
    """The statement cannot be parsed."""
    return SqlError("PARSE_SYNTAX_ERROR", f"Syntax error at or near {near}.", "42601")


def unsupported(what: str) -> SqlError:
    """Real SQL that the emulator does not run; it says so rather than answer wrongly."""
    return SqlError("UNSUPPORTED_FEATURE.EMULATOR", f"The emulator does not run {what}.", "0A000")


def uc_not_enabled() -> SqlError:
    """The workspace has no metastore."""
    return SqlError("UC_NOT_ENABLED", "Unity Catalog is not enabled on this cluster.", "56038")


def unbound_parameter(name: str) -> SqlError:
    """A marker has no value."""
    text = (
        f"Found the unbound parameter: {name}. Please, fix `args` and provide a mapping of the "
        "parameter to either a SQL literal or collection constructor functions such as `map()`, "
        "`array()`, `struct()`."
    )
    return SqlError("UNBOUND_SQL_PARAMETER", text, "42P02")


def canceled() -> SqlError:
    """The statement was cancelled."""
    return SqlError("OPERATION_CANCELED", "Operation has been canceled.", "HY008")


_COLUMN = re.compile(
    r'Referenced column "(.+?)" not found|does not have a column named "(.+?)"'
    r'|Referenced table "(.+?)" not found'
)
_SUGGESTED = re.compile(r'"([^"]+)"')
_OTHERS = (
    (
        re.compile(r'Could not find key "(.+?)" in struct'),
        ("FIELD_NOT_FOUND", "No such struct field `{}`.", "42704"),
    ),
    (
        re.compile(r'column "(.+?)" must appear in the GROUP BY'),
        (
            "MISSING_AGGREGATION",
            'The non-aggregating expression "{}" is based on columns which are not participating '
            "in the GROUP BY clause.",
            "42803",
        ),
    ),
    (
        re.compile(r"Function with name (\S+) does not exist"),
        ("UNRESOLVED_ROUTINE", "Cannot resolve routine `{}` on search path.", "42883"),
    ),
    (
        re.compile(r"Conversion Error: (.+)"),
        ("CAST_INVALID_INPUT", "A value cannot be cast: {}.", "22018"),
    ),
)


def from_duckdb(message: str) -> SqlError:
    """What Databricks would say where DuckDB refused a statement."""
    if column := _COLUMN.search(message):
        name = quoted(next(filter(None, column.groups())).split("."))
        suggested = ", ".join(f"`{s}`" for s in _SUGGESTED.findall(message[column.end() :]))
        text = (
            f"A column, variable, or function parameter with name {name} cannot be resolved. "
            f"Did you mean one of the following? [{suggested}]."
        )
        return SqlError("UNRESOLVED_COLUMN.WITH_SUGGESTION", text, "42703")
    for pattern, (error_class, text, sql_state) in _OTHERS:
        if found := pattern.search(message):
            return SqlError(error_class, text.format(found[1]), sql_state)
    return SqlError("INTERNAL_ERROR", message, "XX000")
