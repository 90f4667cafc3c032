"""The tables and columns of the metastore, from `system.information_schema`.

It lists what the principal may see, and shows a path only to who may read it. A refusal fails no
run: whoever may not read it has names and paths resolved by lineage alone. A result that is not
whole does, for a name must not look unique because its namesake is missing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from dbminer_dagster.databricks.system_tables import SYSTEM_CATALOG, quoted
from dbminer_dagster.mining import resolution
from dbminer_dagster.mining.filters import glob_pattern
from dbminer_dagster.resources.extractor import Inventory
from dbminer_dagster.resources.system_tables.whole_result import ALL_ROWS, WholeResult
from dbminer_dagster.schemas import KNOWN_TABLES, STRINGS, UTC_TIME
from dbminer_dagster.settings import ExtractionMethod
from dbminer_dagster.spool import Spool

if TYPE_CHECKING:
    from dbminer_dagster.databricks.connection import Connection

PARTS = ("table_catalog", "table_schema", "table_name")
TABLES_SCHEMA = pl.Schema(
    {
        **dict.fromkeys((*PARTS, "table_type", "storage_path"), pl.String),
        "last_altered": UTC_TIME,
    }
)
COLUMNS_SCHEMA = pl.Schema({**dict.fromkeys(PARTS, pl.String), "columns": STRINGS})


def read_inventory(
    connection: "Connection",
    warehouse_id: str,
    excluded_catalogs: Sequence[str],
    read_at: datetime,
    spool: Spool,
) -> Inventory:
    """See `Extractor.inventory`.

    Args:
        connection: To the workspace.
        warehouse_id: The SQL warehouse that runs the two statements.
        excluded_catalogs: Globs; what lies in them is not read, and neither is the
            `information_schema` of any catalog.
        read_at: Now, in UTC.
        spool: Takes the rows.

    Raises:
        CutOffError: A result held fewer rows than it says itself.
        WorkspaceError: A statement failed for another cause than a refusal.
    """
    condition, parameters = _condition(excluded_catalogs)
    for view, statement, schema in (
        ("tables", _tables_statement(condition), TABLES_SCHEMA),
        ("columns", _columns_statement(condition), COLUMNS_SCHEMA),
    ):
        name = f"{SYSTEM_CATALOG}.information_schema.{view}"
        result = WholeResult(name, view, statement, parameters, schema)
        if refusal := result.read(connection, warehouse_id, spool):
            note = f"{name} could not be read. {refusal}"
            return Inventory.without_rows(note, is_readable=False)
    spool.write(KNOWN_TABLES.name, _rows(spool, read_at))
    rows = spool.scan(KNOWN_TABLES.name, _SCHEMA)
    row_count = rows.select(pl.len()).collect(engine="streaming").item()
    notes = ()
    if not row_count:
        notes = (
            f"{SYSTEM_CATALOG}.information_schema.tables lists no table: grant the principal "
            "BROWSE or SELECT on the catalogs to have names and paths resolved by it.",
        )
    return Inventory(rows, row_count, notes=notes)


_SCHEMA = pl.Schema({name: dtype for name, dtype in KNOWN_TABLES.schema.items() if name != "day"})


def _condition(excluded_catalogs: Sequence[str]) -> tuple[str, dict[str, str]]:
    inside = "t.`table_schema` <> 'information_schema'"
    if not excluded_catalogs:
        return inside, {}
    pattern = glob_pattern(excluded_catalogs)
    return f"{inside} AND NOT t.`table_catalog` RLIKE :excluded_catalogs", {
        "excluded_catalogs": pattern
    }


def _tables_statement(condition: str) -> str:
    return _statement("tables", [f"t.`{name}`" for name in TABLES_SCHEMA], condition)


def _columns_statement(condition: str) -> str:
    """Columns are collected in the warehouse: there are many times more of them than tables."""
    parts = [f"t.`{name}`" for name in PARTS]
    in_order = "array_sort(collect_list(struct(t.`ordinal_position`, t.`column_name`)))"
    columns = f"transform({in_order}, c -> c.`column_name`) AS `columns`"
    return f"{_statement('columns', [*parts, columns], condition)}\nGROUP BY {', '.join(parts)}"


def _statement(view: str, selected: Sequence[str], condition: str) -> str:
    source = quoted(SYSTEM_CATALOG, "information_schema", view)
    return (
        f"/* dbminer: {view} of {KNOWN_TABLES.name} */\n"
        f"SELECT {', '.join(selected)}, count(*) OVER () AS {ALL_ROWS}\n"
        f"FROM {source} AS t\nWHERE {condition}"
    )


def _rows(spool: Spool, read_at: datetime) -> pl.LazyFrame:
    """Tables with their columns; a name that differs from another's by case only stands once."""
    columns = spool.scan("columns", COLUMNS_SCHEMA).select(
        _table_name(), pl.col("columns").list.eval(pl.element().str.to_lowercase())
    )
    return (
        spool.scan("tables", TABLES_SCHEMA)
        .with_columns(_table_name())
        .sort(PARTS)
        .unique("table_name", keep="first")
        .join(columns.unique("table_name", keep="any"), on="table_name", how="left")
        .with_columns(
            pl.col("columns").fill_null([]),
            read_at=pl.lit(read_at, UTC_TIME),
            extraction_method=pl.lit(ExtractionMethod.SYSTEM_TABLE.value),
        )
        .select(_SCHEMA.names())
    )


def _table_name() -> pl.Expr:
    parts = [resolution.quoted(pl.col(part)) for part in PARTS]
    return pl.concat_str(parts, separator=".").str.to_lowercase().alias("table_name")
