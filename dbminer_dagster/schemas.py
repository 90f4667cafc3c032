"""The columns of every result table: name, type and meaning, in order.

Each asset is one Delta table of the same name, partitioned by `day`. Times are UTC with
microseconds. Columns only ever get added.
"""

from dataclasses import dataclass

import polars as pl

from dbminer_dagster.errors import SchemaMismatchError

UTC_TIME = pl.Datetime("us", "UTC")
STRINGS = pl.List(pl.String)
USER_USE = pl.Struct({"user_name": pl.String, "read_count": pl.Int64, "last_read_at": UTC_TIME})
QUERY_USE = pl.Struct(
    {
        "query_hash": pl.String,
        "statement_text": pl.String,
        "read_count": pl.Int64,
        "user_count": pl.Int64,
        "mean_duration_ms": pl.Float64,
        "total_task_duration_ms": pl.Int64,
        "last_run_at": UTC_TIME,
    }
)
QUERY_COST = pl.Struct(
    {
        "query_hash": pl.String,
        "statement_text": pl.String,
        "read_count": pl.Int64,
        "total_task_duration_ms": pl.Int64,
        "read_bytes": pl.Int64,
        "estimated_cost_micro_usd": pl.Int64,
    }
)
USER_COST = pl.Struct(
    {
        "user_name": pl.String,
        "read_count": pl.Int64,
        "total_task_duration_ms": pl.Int64,
        "read_bytes": pl.Int64,
        "estimated_cost_micro_usd": pl.Int64,
    }
)
ENTITY = pl.Struct(
    {
        "entity_type": pl.String,
        "entity_id": pl.String,
        "workspace_id": pl.String,
        "last_seen": UTC_TIME,
    }
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result table."""

    name: str
    dtype: pl.DataType | type[pl.DataType]
    description: str


@dataclass(frozen=True, slots=True)
class Table:
    """One result table: its columns in order, and the columns that identify a row.

    An empty key means that whole rows are distinct by construction.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def schema(self) -> pl.Schema:
        """The Polars schema, in column order."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def conform(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Puts the columns in order, or refuses a frame that does not fit.

        Raises:
            SchemaMismatchError: Names each missing, additional or wrongly typed column.
        """
        found = frame.collect_schema()
        faults = [
            f"column {column.name!r} is missing"
            for column in self.columns
            if column.name not in found
        ]
        faults += [
            f"column {name!r} is not of this table" for name in found if name not in self.schema
        ]
        faults += [
            f"column {name!r} has type {found[name]}, wanted {dtype}"
            for name, dtype in self.schema.items()
            if name in found and found[name] != dtype
        ]
        if faults:
            raise SchemaMismatchError(f"Table {self.name!r} was not written: {'; '.join(faults)}.")
        return frame.select(self.schema.names())


def _columns(
    *rows: tuple[str, pl.DataType | type[pl.DataType], str] | Column,
) -> tuple[Column, ...]:
    return tuple(row if isinstance(row, Column) else Column(*row) for row in rows)


DAY = Column("day", pl.Date(), "UTC day; the partition.")
EXTRACTION_METHOD = Column("extraction_method", pl.String(), "How the row was read.")

RAW_QUERY_HISTORY = Table(
    name="raw_query_history",
    description="Every statement that started on the day, as the source tells it.",
    key=("workspace_id", "statement_id"),
    columns=(
        *_columns(
            ("workspace_id", pl.String(), "Workspace that ran the statement."),
            ("statement_id", pl.String(), "Id of the statement; unique in its workspace."),
            ("session_id", pl.String(), "Session that the statement ran in."),
            ("user_id", pl.String(), "Id of the user who ran it."),
            ("user_name", pl.String(), "User who ran it: e-mail, or service-principal id."),
            ("executed_as_user_id", pl.String(), "Id of the user whose rights were used."),
            ("executed_as", pl.String(), "User whose rights were used."),
            ("statement_text", pl.String(), "SQL text; null when redacted or not given."),
            ("statement_type", pl.String(), "SELECT, INSERT, MERGE, ... as Databricks names it."),
            ("status", pl.String(), "FINISHED, FAILED, CANCELED, or a state still running."),
            ("error_message", pl.String(), "Why it failed."),
            ("warehouse_id", pl.String(), "SQL warehouse that ran it."),
            ("compute_type", pl.String(), "WAREHOUSE, SERVERLESS_COMPUTE, ..."),
            ("client_application", pl.String(), "Tool that sent it."),
            ("start_time", UTC_TIME, "When it started; decides the day."),
            ("end_time", UTC_TIME, "When it ended."),
            ("update_time", UTC_TIME, "When the source last changed the row."),
            ("total_duration_ms", pl.Int64(), "Duration as the user felt it, in milliseconds."),
            ("execution_duration_ms", pl.Int64(), "Time spent executing, in milliseconds."),
            ("compilation_duration_ms", pl.Int64(), "Time spent planning, in milliseconds."),
            ("total_task_duration_ms", pl.Int64(), "Sum over all tasks, in milliseconds."),
            ("read_bytes", pl.Int64(), "Bytes read."),
            ("read_rows", pl.Int64(), "Rows read."),
            ("produced_rows", pl.Int64(), "Rows given back."),
            ("from_result_cache", pl.Boolean(), "Whether the result came from the cache."),
            ("cache_origin_statement_id", pl.String(), "Statement whose result was reused."),
            ("job_id", pl.String(), "Job that asked."),
            ("notebook_id", pl.String(), "Notebook that asked."),
            ("dashboard_id", pl.String(), "AI/BI dashboard that asked."),
            ("legacy_dashboard_id", pl.String(), "Legacy dashboard that asked."),
            ("alert_id", pl.String(), "Alert that asked."),
            ("sql_query_id", pl.String(), "Saved query that asked."),
            ("genie_space_id", pl.String(), "Genie space that asked."),
            ("pipeline_id", pl.String(), "Pipeline that asked."),
            ("query_tags", pl.String(), "Query tags, as JSON text."),
            ("text_redacted", pl.Boolean(), "Whether the source hid the text."),
        ),
        EXTRACTION_METHOD,
        DAY,
    ),
)

_LINEAGE_COLUMNS = _columns(
    ("workspace_id", pl.String(), "Workspace of the event."),
    ("entity_type", pl.String(), "NOTEBOOK, JOB, PIPELINE, DASHBOARD_V3, ... or null."),
    ("entity_id", pl.String(), "Id of that entity."),
    ("statement_id", pl.String(), "Statement that caused it; null for clusters and REST."),
    ("source_type", pl.String(), "TABLE, VIEW, PATH, ... of the source."),
    ("source_name", pl.String(), "Source table as the source spells it; null: write only."),
    ("source_path", pl.String(), "Storage path of the source."),
    ("target_type", pl.String(), "TABLE, VIEW, PATH, ... of the target."),
    ("target_name", pl.String(), "Target table as the source spells it; null: read only."),
    ("target_path", pl.String(), "Storage path of the target."),
)
_LINEAGE_COLUMN_PAIR = _columns(
    ("source_column", pl.String(), "Column read."),
    ("target_column", pl.String(), "Column written."),
)
_LINEAGE_EVENTS = (
    *_columns(
        ("created_by", pl.String(), "User or service principal behind the event."),
        ("direct_access", pl.Boolean(), "False: reached through a view, not named by the text."),
        ("event_count", pl.Int64(), "Events of this combination on the day."),
        ("first_event_time", UTC_TIME, "First of them."),
        ("last_event_time", UTC_TIME, "Last of them."),
    ),
    EXTRACTION_METHOD,
    DAY,
)

RAW_TABLE_LINEAGE = Table(
    name="raw_table_lineage",
    description="Every distinct combination of source, target and cause seen on the day.",
    key=(),
    columns=(*_LINEAGE_COLUMNS, *_LINEAGE_EVENTS),
)
RAW_COLUMN_LINEAGE = Table(
    name="raw_column_lineage",
    description="Every distinct pair of source and target column, with its cause, of the day.",
    key=(),
    columns=(*_LINEAGE_COLUMNS, *_LINEAGE_COLUMN_PAIR, *_LINEAGE_EVENTS),
)

KNOWN_TABLES = Table(
    name="known_tables",
    description="The tables of the source and their columns, as they stood at `read_at`.",
    key=("table_name",),
    columns=(
        *_columns(
            ("table_name", pl.String(), "catalog.schema.table, lower-cased."),
            ("table_type", pl.String(), "MANAGED, EXTERNAL, VIEW, ... as the source spells it."),
            ("storage_path", pl.String(), "Where it lies, as spelled; null for views."),
            ("columns", STRINGS, "Its columns, lower-cased, in order."),
            ("last_altered", UTC_TIME, "When its definition last changed."),
            ("read_at", UTC_TIME, "When this was true: a run gives all its days one snapshot."),
        ),
        EXTRACTION_METHOD,
        DAY,
    ),
)

WAREHOUSE_COSTS = Table(
    name="warehouse_costs",
    description="What each SQL warehouse used in each hour of the day, at list prices.",
    key=("workspace_id", "warehouse_id", "hour"),
    columns=(
        *_columns(
            ("workspace_id", pl.String(), "Workspace of the warehouse."),
            ("warehouse_id", pl.String(), "SQL warehouse."),
            ("hour", UTC_TIME, "Start of the hour."),
            ("dbus", pl.Float64(), "Databricks units used in the hour."),
            ("list_cost_micro_usd", pl.Int64(), "Their list price, in millionths of a US dollar."),
        ),
        EXTRACTION_METHOD,
        DAY,
    ),
)

_ESTIMATED_COST = Column(
    "estimated_cost_micro_usd",
    pl.Int64(),
    "Estimate, in millionths of a US dollar; null where no cost is known.",
)

FILTERED_QUERIES = Table(
    name="filtered_queries",
    description="The statements that count as use, with the hash of their template.",
    key=("workspace_id", "statement_id"),
    columns=(
        *RAW_QUERY_HISTORY.columns[:-1],
        *_columns(
            ("query_hash", pl.String(), "Hash of the template; null when the text is unknown."),
            ("operation", pl.String(), "`read` for SELECT, else `write`."),
            _ESTIMATED_COST,
        ),
        DAY,
    ),
)

QUERY_REFERENCES = Table(
    name="query_references",
    description="Each distinct set of tables and columns that statements used on the day.",
    key=("reference_hash",),
    columns=(
        *_columns(
            ("reference_hash", pl.String(), "Hash of template, operation and references."),
            ("query_hash", pl.String(), "Hash of the template; null when the text is unknown."),
            (
                "operation",
                pl.String(),
                "`read`, `write`, or `cluster`: a read without a statement.",
            ),
            ("attribution", pl.String(), "`lineage`, `parsed` or `scanned`: the best evidence."),
            ("tables_read", STRINGS, "Tables read, sorted."),
            ("columns_read", STRINGS, "Columns read, as `table.column`, sorted."),
            ("tables_written", STRINGS, "Tables written, sorted."),
            ("tables_read_indirectly", STRINGS, "Tables read through a view only, sorted."),
            ("statement_text", pl.String(), "One example; null when redacted."),
        ),
        DAY,
    ),
)

DAILY_USAGE = Table(
    name="daily_usage",
    description="How often and at what cost each user ran each set of references on the day.",
    key=("reference_hash", "user_name"),
    columns=(
        *_columns(
            ("reference_hash", pl.String(), "The set of references, see `query_references`."),
            ("user_name", pl.String(), "User who ran the statements."),
            ("statement_count", pl.Int64(), "Statements."),
            ("total_duration_ms", pl.Int64(), "Sum of their durations, in milliseconds."),
            ("max_duration_ms", pl.Int64(), "Longest duration, in milliseconds."),
            ("total_task_duration_ms", pl.Int64(), "Sum of their task times, in milliseconds."),
            ("read_bytes", pl.Int64(), "Bytes read."),
            ("last_used_at", UTC_TIME, "Start of the last one."),
            ("last_statement_id", pl.String(), "Id of the last one."),
            ("cached_statement_count", pl.Int64(), "Statements served from the result cache."),
            _ESTIMATED_COST,
        ),
        DAY,
    ),
)

POPULARITY_SCORES = Table(
    name="popularity_scores",
    description="Popularity of each table and column read in the window that ends on the day.",
    key=("asset_type", "table_name", "column_name"),
    columns=(
        *_columns(
            ("asset_type", pl.String(), "`table` (views too) or `column`."),
            ("table_name", pl.String(), "catalog.schema.table, lower-cased."),
            ("column_name", pl.String(), "Column, lower-cased; null for a table."),
            ("table_type", pl.String(), "TABLE, VIEW, ... as lineage names it; null if unknown."),
            ("popularity_score", pl.Float64(), "user_count x ln(read_count)."),
            ("percentile", pl.Float64(), "Rank among the same asset_type, 0 to 1."),
            ("popularity_level", pl.Int8(), "1 (least) to 4 (most popular)."),
            ("popularity_label", pl.String(), "The level in words."),
            ("read_count", pl.Int64(), "Reads in the window."),
            ("write_count", pl.Int64(), "Writes in the window; 0 for columns."),
            ("user_count", pl.Int64(), "Distinct users who read it."),
            ("last_read_at", UTC_TIME, "Last read."),
            ("last_read_by", pl.String(), "Its user."),
            ("last_written_at", UTC_TIME, "Last write in the window; null for columns."),
            ("top_users", pl.List(USER_USE), "The ten users with most reads."),
            ("recent_users", pl.List(USER_USE), "The ten users who read it last."),
            ("popular_queries", pl.List(QUERY_USE), "The five templates read most."),
            ("slow_queries", pl.List(QUERY_USE), "The five with the longest mean duration."),
            ("expensive_queries", pl.List(QUERY_USE), "The five with the most task time."),
            ("window_start", pl.Date(), "First day of the window."),
            ("window_end", pl.Date(), "Last day of the window: the scored day."),
            ("days_present", pl.Int32(), "Days of the window that have been mined."),
            ("days_wanted", pl.Int32(), "Days of the window."),
            ("cached_read_count", pl.Int64(), "Reads by SELECT served from the result cache."),
            ("pipeline_read_count", pl.Int64(), "Reads by INSERT ... SELECT, MERGE, CTAS, ..."),
            ("indirect_read_count", pl.Int64(), "Reads of a table through a view; 0 for columns."),
            ("cluster_read_count", pl.Int64(), "Lineage events without a statement."),
            ("total_task_duration_ms", pl.Int64(), "Task time of its reads, in milliseconds."),
            ("read_bytes", pl.Int64(), "Bytes that its reads read, of this asset and others."),
            _ESTIMATED_COST,
            ("costly_queries", pl.List(QUERY_COST), "The five templates that cost most."),
            ("costly_users", pl.List(USER_COST), "The ten users whose reads cost most."),
        ),
        DAY,
    ),
)

TABLE_REBUILDS = Table(
    name="table_rebuilds",
    description="Finished statements of the day that built a table anew.",
    key=("table_name", "workspace_id", "statement_id"),
    columns=(
        *_columns(
            ("table_name", pl.String(), "Table that was rebuilt, lower-cased."),
            ("workspace_id", pl.String(), "Workspace of the statement."),
            ("statement_id", pl.String(), "The statement."),
            ("rebuilt_at", UTC_TIME, "When the statement started."),
            ("attribution", pl.String(), "`lineage` or `parsed`: how the target was found."),
        ),
        DAY,
    ),
)

_EDGE_STATE = (
    *_columns(
        ("status", pl.String(), "`active`, `superseded` or `expired`."),
        ("reason", pl.String(), "Why the edge is not active; null if it is."),
        ("first_seen", UTC_TIME, "First event within twice the lineage window."),
        ("last_seen", UTC_TIME, "Last event."),
        ("event_count", pl.Int64(), "Events within twice the lineage window."),
        ("last_statement_id", pl.String(), "Statement of the last event that had one."),
        ("entities", pl.List(ENTITY), "Notebooks, jobs, ... behind the events, newest first."),
    ),
    DAY,
)
TABLE_LINEAGE = Table(
    name="table_lineage",
    description="Every edge between tables as known at the end of the day.",
    key=("source_name", "target_name"),
    columns=(
        *_columns(
            ("source_name", pl.String(), "Source table, lower-cased; a path as spelled."),
            ("source_type", pl.String(), "TABLE, VIEW, PATH, ..."),
            ("target_name", pl.String(), "Target table, lower-cased; a path as spelled."),
            ("target_type", pl.String(), "TABLE, VIEW, PATH, ..."),
        ),
        *_EDGE_STATE,
    ),
)
COLUMN_LINEAGE = Table(
    name="column_lineage",
    description="Every edge between columns as known at the end of the day.",
    key=("source_name", "source_column", "target_name", "target_column"),
    columns=(
        *_columns(
            ("source_name", pl.String(), "Source table, lower-cased; a path as spelled."),
            ("source_column", pl.String(), "Source column, lower-cased."),
            ("source_type", pl.String(), "TABLE, VIEW, PATH, ..."),
            ("target_name", pl.String(), "Target table, lower-cased; a path as spelled."),
            ("target_column", pl.String(), "Target column, lower-cased."),
            ("target_type", pl.String(), "TABLE, VIEW, PATH, ..."),
        ),
        *_EDGE_STATE,
    ),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        RAW_TABLE_LINEAGE,
        RAW_COLUMN_LINEAGE,
        RAW_QUERY_HISTORY,
        KNOWN_TABLES,
        WAREHOUSE_COSTS,
        FILTERED_QUERIES,
        QUERY_REFERENCES,
        DAILY_USAGE,
        POPULARITY_SCORES,
        TABLE_REBUILDS,
        TABLE_LINEAGE,
        COLUMN_LINEAGE,
    )
}


def empty(table: Table) -> pl.LazyFrame:
    """A frame of the table without rows."""
    return pl.LazyFrame(schema=table.schema)
