"""Schemas: complete, documented, and enforced."""

import polars as pl
import pytest

from dbminer_dagster.errors import SchemaMismatchError
from dbminer_dagster.schemas import RAW_QUERY_HISTORY, TABLES, Table, empty

RAW_QUERY_HISTORY_COLUMNS = (
    "workspace_id statement_id session_id user_id user_name executed_as_user_id executed_as"
    " statement_text statement_type status error_message warehouse_id compute_type"
    " client_application start_time end_time update_time total_duration_ms execution_duration_ms"
    " compilation_duration_ms total_task_duration_ms read_bytes read_rows produced_rows"
    " from_result_cache cache_origin_statement_id job_id notebook_id dashboard_id"
    " legacy_dashboard_id alert_id sql_query_id genie_space_id pipeline_id query_tags"
    " text_redacted extraction_method day"
)
EVERY_TABLE = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())


@EVERY_TABLE
def test_a_table_is_partitioned_by_its_last_column(table: Table) -> None:
    """Every table ends with `day`, names each column once, and has the columns of its key."""
    names = [column.name for column in table.columns]

    assert table.schema["day"] == pl.Date
    assert names[-1] == "day"
    assert len(names) == len(set(names))
    assert set(table.key) <= set(names)


@EVERY_TABLE
def test_every_column_is_documented(table: Table) -> None:
    """Every table and column says what it means."""
    assert table.description.endswith(".")
    assert [column.name for column in table.columns if not column.description] == []


@EVERY_TABLE
def test_times_are_utc_in_microseconds(table: Table) -> None:
    """Every point in time is UTC with microseconds."""
    times = {dtype for dtype in table.schema.values() if isinstance(dtype, pl.Datetime)}

    assert times <= {pl.Datetime("us", "UTC")}


def test_query_history_has_the_published_columns() -> None:
    """The columns of raw query history are those that users rely on, in order."""
    assert " ".join(RAW_QUERY_HISTORY.schema.names()) == RAW_QUERY_HISTORY_COLUMNS


@EVERY_TABLE
def test_an_empty_frame_conforms(table: Table) -> None:
    """The empty frame of a table fits it."""
    assert table.conform(empty(table)).collect_schema() == table.schema


def test_conform_orders_columns() -> None:
    """Columns in another order are put in order."""
    shuffled = empty(RAW_QUERY_HISTORY).select(reversed(RAW_QUERY_HISTORY.schema.names()))

    assert RAW_QUERY_HISTORY.conform(shuffled).collect_schema() == RAW_QUERY_HISTORY.schema


def test_every_fault_is_named_with_both_types() -> None:
    """A frame that does not fit is refused with each missing, foreign and wrongly typed column."""
    frame = (
        empty(RAW_QUERY_HISTORY)
        .drop("status")
        .with_columns(pl.col("read_rows").cast(pl.Float64), colour=pl.lit("red"))
    )

    with pytest.raises(SchemaMismatchError) as caught:
        RAW_QUERY_HISTORY.conform(frame)

    assert "column 'status' is missing" in str(caught.value)
    assert "column 'colour' is not of this table" in str(caught.value)
    assert "column 'read_rows' has type Float64, wanted Int64" in str(caught.value)
