"""SQL that reads rows of system tables from files of JSON lines and from Parquet files."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from dbminer_dagster_tests.databricks_emulator.system_tables import (
    COLUMN_LINEAGE,
    TABLE_LINEAGE,
)

Columns = Mapping[str, str]
"""Names of columns to DuckDB's names of their types."""
_COLUMN_ROW = "(r.source_column_name IS NOT NULL OR r.target_column_name IS NOT NULL)"
OFFLINE_FILES = (
    ("system.access.table_lineage", "extracted-lineage", f"NOT {_COLUMN_ROW}"),
    ("system.access.column_lineage", "extracted-lineage", _COLUMN_ROW),
    ("system.query.history", "extracted-query-history", "true"),
)
"""Each table, the folder of its offline files, and which of their rows are its own."""
_DETECTED = {"query_id": "VARCHAR", "table_lineage": "JSON"} | dict.fromkeys(
    sorted(COLUMN_LINEAGE.keys() - TABLE_LINEAGE.keys()), "VARCHAR"
)
_DAY, _DAY_OF_EVENT = "event_date", "CAST(r.event_time AS DATE)"
_API_ROW = "r.query_id IS NOT NULL OR r.table_lineage IS NOT NULL"
API_ROW_ERROR = "answers of the REST API are no rows of system tables"


def write_lines(path: Path, rows: Iterable[Mapping[str, object]], allowed: Columns) -> None:
    """Writes rows as JSON lines; times may be text or Python's own.

    Raises:
        ValueError: A row has a column that the table lacks.
    """
    with path.open("w", encoding="utf-8") as lines:
        for row in rows:
            if unknown := row.keys() - allowed.keys():
                raise ValueError(f"The table has no column {', '.join(sorted(unknown))}.")
            lines.write(json.dumps(dict(row), default=str) + "\n")


def select_json(
    paths: Iterable[Path], columns: Columns, condition: str = "true", shift_days: int = 0
) -> str:
    """A query that gives the rows of JSON lines; what they lack is NULL.

    Args:
        paths: The files, gzip or not.
        columns: The columns of the table.
        condition: Which rows `r` to take.
        shift_days: How many days later all times are than in the files.
    """
    files = ", ".join(text(str(path)) for path in paths)
    read = _DETECTED | dict(columns)
    types = ", ".join(f"{text(name)}: {text(kind)}" for name, kind in read.items())
    given = {name: _shifted(name, kind, shift_days) for name, kind in columns.items()}
    if _DAY in given:
        given[_DAY] = f"coalesce({given[_DAY]}, CAST({given['event_time']} AS DATE))"
    return (
        f"SELECT {_listed(given)} FROM read_json([{files}], format='newline_delimited', "
        f"columns={{{types}}}) AS r WHERE {condition} "
        f"AND CASE WHEN {_API_ROW} THEN error({text(API_ROW_ERROR)}) ELSE true END"
    )


def _shifted(name: str, kind: str, days: int) -> str:
    """A column of a row `r`, moved by whole days if it is a time."""
    value = f"r.{quoted(name)}"
    is_time = kind == "DATE" or kind.startswith("TIMESTAMP")
    return f"CAST({value} + INTERVAL {days} DAY AS {kind})" if days and is_time else value


def select_parquet(path_glob: str, columns: Columns, present: Iterable[str]) -> str:
    """A query that gives the rows of Parquet files; what they lack is NULL.

    Args:
        path_glob: The files.
        columns: The columns of the table.
        present: The columns that the files have.
    """
    given = dict.fromkeys(columns, "NULL") | {name: f"r.{quoted(name)}" for name in present}
    if given.get(_DAY) == "NULL":
        given[_DAY] = _DAY_OF_EVENT
    typed = {name: f"CAST({given[name]} AS {kind})" for name, kind in columns.items()}
    return f"SELECT {_listed(typed)} FROM read_parquet({text(path_glob)}) AS r"


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{value} AS {quoted(name)}" for name, value in values.items())


def quoted(*parts: str) -> str:
    """A name in DuckDB's quotes."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def text(value: str) -> str:
    """A literal of DuckDB."""
    return "'" + value.replace("'", "''") + "'"
