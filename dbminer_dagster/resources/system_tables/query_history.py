"""The statement that gives `raw_query_history`: named columns, structs by their leaves."""

import polars as pl

from dbminer_dagster.databricks.system_tables import Places, query_history
from dbminer_dagster.resources.query_history_rows import (
    RENAMED_SYSTEM_COLUMNS,
    finished,
    tags_text,
)
from dbminer_dagster.resources.system_tables.columns import FoundColumns
from dbminer_dagster.resources.system_tables.source import SOURCE_ROWS, Source
from dbminer_dagster.schemas import RAW_QUERY_HISTORY

_LEAVES = {
    "warehouse_id": "compute.warehouse_id",
    "compute_type": "compute.type",
    "job_id": "query_source.job_info.job_id",
    "pipeline_id": "query_source.pipeline_info.pipeline_id",
} | {
    name: f"query_source.{name}"
    for name in (
        *("notebook_id", "dashboard_id", "legacy_dashboard_id", "alert_id"),
        *("sql_query_id", "genie_space_id"),
    )
}
_SQL_TYPES = {pl.Int64: "BIGINT", pl.Boolean: "BOOLEAN", pl.Datetime: "TIMESTAMP"}


def query_history_source(places: Places, method: str) -> Source:
    """How `raw_query_history` is read."""
    return Source(
        raw=RAW_QUERY_HISTORY,
        table=query_history(places),
        time_column="start_time",
        date_column=None,
        leaves=tuple(_LEAVES.values()),
        statement=_statement,
        rows=lambda batch: _rows(batch, method),
    )


def _statement(found: FoundColumns, condition: str) -> str:
    columns = ",\n    ".join(f"{sql} AS {name}" for name, sql in _columns(found).items())
    return f"SELECT\n    {columns}\nFROM {found.table.quoted} AS t\nWHERE {condition}"


def _columns(found: FoundColumns) -> dict[str, str]:
    derived = {"text_redacted", "extraction_method", "day"}
    paths = {name: name for name in RAW_QUERY_HISTORY.schema if name not in derived}
    return {
        name: found.sql(path, _SQL_TYPES.get(RAW_QUERY_HISTORY.schema[name].base_type(), "STRING"))
        for name, path in (paths | RENAMED_SYSTEM_COLUMNS | _LEAVES).items()
    } | {"query_tags": _tags(found)}


def _tags(found: FoundColumns) -> str:
    tags = found.sql("query_tags")
    is_text = found.dtype("query_tags") in (None, pl.String)
    return tags if is_text else f"nullif(to_json({tags}), '{{}}')"


def _rows(batch: pl.DataFrame, method: str) -> pl.DataFrame:
    texts = batch["query_tags"].unique().to_list()
    tags = pl.col("query_tags").replace_strict(
        texts, list(map(tags_text, texts)), return_dtype=pl.String
    )
    rows = finished(batch.lazy().with_columns(tags), method)
    return rows.with_columns(pl.lit(1).alias(SOURCE_ROWS)).collect()
