"""Small frames of the result tables: each row names only what its test is about."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from dbminer_dagster.mining.sql_reads import referenced_tables
from dbminer_dagster.mining.template_rows import TEMPLATE_SCHEMA, template_row
from dbminer_dagster.mining.templates import with_query_hash
from dbminer_dagster.schemas import (
    DAILY_USAGE,
    FILTERED_QUERIES,
    KNOWN_TABLES,
    QUERY_REFERENCES,
    RAW_COLUMN_LINEAGE,
    RAW_QUERY_HISTORY,
    RAW_TABLE_LINEAGE,
    TABLE_REBUILDS,
    Table,
)

DAY = date(2026, 1, 10)
Row = dict[str, Any]


def at(hour: float, day: date = DAY) -> datetime:
    """An instant of the day."""
    minutes = round(hour * 60)
    return datetime(day.year, day.month, day.day, minutes // 60, minutes % 60, tzinfo=UTC)


def frame(table: Table, rows: Sequence[Row], **defaults: Any) -> pl.DataFrame:
    """Rows of a table; what they leave out is the default, or null."""
    return pl.DataFrame([defaults | row for row in rows], schema=table.schema)


def history(*rows: Row) -> pl.DataFrame:
    """Rows of `raw_query_history`: finished SELECTs, one a minute, numbered `s0`, `s1`, ..."""
    numbered = [
        {"statement_id": f"s{number}", "start_time": at(number / 60)} | row
        for number, row in enumerate(rows)
    ]
    return frame(
        RAW_QUERY_HISTORY,
        numbered,
        workspace_id="w1",
        session_id="session",
        user_name="ann@x.com",
        statement_type="SELECT",
        status="FINISHED",
        text_redacted=False,
        day=DAY,
    )


def queries(*rows: Row) -> pl.DataFrame:
    """Rows of `filtered_queries`: as `history`, with `query_hash`; reads unless they say."""
    added = {"operation": "read", "estimated_cost_micro_usd": None}
    plain = [{name: row[name] for name in row if name not in added} for row in rows]
    return with_query_hash(history(*plain)).with_columns(
        pl.Series(name, [row.get(name, value) for row in rows], FILTERED_QUERIES.schema[name])
        for name, value in added.items()
    )


def lineage(*rows: Row, table: Table = RAW_TABLE_LINEAGE) -> pl.DataFrame:
    """Rows of raw lineage: one event of the given time, or at noon."""
    timed = []
    for row in rows:
        when = row.get("at", at(12))
        timed.append(
            {"first_event_time": when, "last_event_time": when, "day": when.date()}
            | {name: value for name, value in row.items() if name != "at"}
        )
    return frame(table, timed, workspace_id="w1", event_count=1)


def column_lineage(*rows: Row) -> pl.DataFrame:
    """Rows of `raw_column_lineage`, see `lineage`."""
    return lineage(*rows, table=RAW_COLUMN_LINEAGE)


def inventory(*rows: Row) -> pl.DataFrame:
    """Rows of `known_tables`: managed tables without columns."""
    return frame(KNOWN_TABLES, rows, table_type="MANAGED", columns=[], read_at=at(12), day=DAY)


def rebuilds(*rows: Row) -> pl.DataFrame:
    """Rows of `table_rebuilds`."""
    return frame(TABLE_REBUILDS, rows, workspace_id="w1", attribution="parsed", day=DAY)


def usage(*rows: Row) -> pl.DataFrame:
    """Rows of `daily_usage`: each one statement of a second at noon."""
    return frame(
        DAILY_USAGE,
        rows,
        statement_count=1,
        total_duration_ms=1000,
        max_duration_ms=1000,
        total_task_duration_ms=0,
        read_bytes=0,
        last_used_at=at(12),
        day=DAY,
    )


def references(*rows: Row) -> pl.DataFrame:
    """Rows of `query_references`: reads of nothing unless they say."""
    return frame(
        QUERY_REFERENCES,
        rows,
        operation="read",
        attribution="parsed",
        tables_read=[],
        columns_read=[],
        tables_written=[],
        day=DAY,
    )


def parse_here(templates: pl.DataFrame) -> pl.DataFrame:
    """Parses templates in this process, as `ParseCache.references` does in others."""
    texts = templates.select("query_hash", "statement_text").iter_rows()
    rows = [template_row(query_hash, referenced_tables(text)) for query_hash, text in texts]
    return pl.DataFrame(rows, schema=TEMPLATE_SCHEMA, orient="row")


def examples(statements: pl.DataFrame) -> pl.LazyFrame:
    """One text of each template."""
    texts = statements.lazy().drop_nulls("query_hash").group_by("query_hash")
    return texts.agg(pl.col("statement_text").min())
