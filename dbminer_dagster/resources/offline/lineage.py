"""Rows of the lineage system tables to lineage events, and events to raw lineage."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec
import polars as pl
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import astuple

from dbminer_dagster.schemas import RAW_COLUMN_LINEAGE, RAW_TABLE_LINEAGE, UTC_TIME, Table

Id = str | int | None
END = "source", "target"

EVENT_SCHEMA = pl.Schema(
    {
        name: dtype
        for name, dtype in RAW_COLUMN_LINEAGE.schema.items()
        if name not in {"event_count", "first_event_time", "last_event_time", "extraction_method"}
    }
    | {"event_time": UTC_TIME, "record_id": pl.String}
)
"""One lineage event: the columns of raw lineage that tell combinations apart, and its time."""


class _JobInfo(Struct):
    job_id: Id = None


class _PipelineInfo(Struct):
    dlt_pipeline_id: Id = None


class _Entities(Struct):
    notebook_id: Id = None
    job_info: _JobInfo | None = None
    dlt_pipeline_info: _PipelineInfo | None = None
    dashboard_id: Id = None
    legacy_dashboard_id: Id = None
    sql_query_id: Id = None
    genie_space_id: Id = None
    alert_id: Id = None


class SystemRow(Struct):
    """A row of `system.access.table_lineage`, or of `column_lineage` with its two columns."""

    event_time: datetime
    workspace_id: Id = None
    entity_type: str | None = None
    entity_id: Id = None
    entity_metadata: _Entities | None = None
    source_table_full_name: str | None = None
    source_table_catalog: str | None = None
    source_table_schema: str | None = None
    source_table_name: str | None = None
    source_path: str | None = None
    source_type: str | None = None
    target_table_full_name: str | None = None
    target_table_catalog: str | None = None
    target_table_schema: str | None = None
    target_table_name: str | None = None
    target_path: str | None = None
    target_type: str | None = None
    created_by: str | None = None
    event_date: str | None = None
    record_id: str | None = None
    event_id: str | None = None
    statement_id: str | None = None
    direct_access: bool | None = None
    source_column_name: str | None | UnsetType = UNSET
    target_column_name: str | None = None

    @property
    def is_column_row(self) -> bool:
        """Whether the row comes from `column_lineage`."""
        return self.source_column_name is not UNSET

    def entity(self) -> tuple[str | None, Id]:
        """The entity behind the event: the row's own, else the first that its metadata names."""
        found = self.entity_metadata
        if self.entity_type is not None or found is None:
            return self.entity_type, self.entity_id
        candidates = (
            ("NOTEBOOK", found.notebook_id),
            ("JOB", found.job_info and found.job_info.job_id),
            ("PIPELINE", found.dlt_pipeline_info and found.dlt_pipeline_info.dlt_pipeline_id),
            ("DASHBOARD_V3", found.dashboard_id),
            ("DBSQL_DASHBOARD", found.legacy_dashboard_id),
            ("DBSQL_QUERY", found.sql_query_id),
            ("GENIE_SPACE", found.genie_space_id),
            ("ALERT", found.alert_id),
        )
        return next(((kind, key) for kind, key in candidates if key is not None), (None, None))


_DECODER = msgspec.json.Decoder(SystemRow, strict=False)


def decode(content: bytes) -> SystemRow:
    """One row, checked.

    Raises:
        msgspec.DecodeError: It is not JSON, or a field has a wrong type or is missing.
    """
    return _DECODER.decode(content)


def events(rows: Sequence[SystemRow]) -> Iterator[tuple[Table, pl.LazyFrame]]:
    """The rows as events of `EVENT_SCHEMA`, a frame for tables and one for columns."""
    for table, of_columns in ((RAW_TABLE_LINEAGE, False), (RAW_COLUMN_LINEAGE, True)):
        if chosen := [row for row in rows if row.is_column_row is of_columns]:
            yield table, _shaped(chosen)


def _shaped(rows: Sequence[SystemRow]) -> pl.LazyFrame:
    names = SystemRow.__struct_fields__
    columns = dict(zip(names, zip(*map(astuple, rows), strict=True), strict=True))
    entities = [row.entity() for row in rows]
    texts = {
        name: [value if value is None else str(value) for value in columns[name]]
        for name in (
            "workspace_id", "statement_id", "created_by", "record_id",
            *(f"{end}_{part}" for end in END for part in ("type", "path")),
            *(f"{end}_table_{part}" for end in END for part in ("full_name", "catalog", "schema", "name")),
        )
    }  # fmt: skip
    series = [pl.Series(name, values, pl.String) for name, values in texts.items()]
    series += [
        pl.Series("entity_type", [kind for kind, _ in entities], pl.String),
        pl.Series("entity_id", [None if key is None else str(key) for _, key in entities], pl.String),
        pl.Series("source_column", _set(columns["source_column_name"]), pl.String),
        pl.Series("target_column", columns["target_column_name"], pl.String),
        pl.Series("direct_access", columns["direct_access"], pl.Boolean),
        pl.Series("event_time", [_utc(time) for time in columns["event_time"]], UTC_TIME),
    ]
    return (
        pl.DataFrame(series)
        .lazy()
        .with_columns(*(_full_name(end).alias(f"{end}_name") for end in END))
        .with_columns(day=pl.col("event_time").dt.date())
        .select(EVENT_SCHEMA.names())
    )


def _set(values: Sequence) -> list:
    return [None if value is UNSET else value for value in values]


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _full_name(end: str) -> pl.Expr:
    """The name as the source spells it; parts that hold dots are quoted, so that they split."""
    parts = [pl.col(f"{end}_table_{part}") for part in ("catalog", "schema", "name")]
    quoted = [
        pl.when(part.str.contains("[.`]")).then("`" + part.str.replace_all("`", "``") + "`")
        .otherwise(part)
        for part in parts
    ]  # fmt: skip
    return pl.coalesce(pl.concat_str(quoted, separator="."), f"{end}_table_full_name")


def raw_lineage(table: Table, all_events: pl.LazyFrame, method: str) -> pl.LazyFrame:
    """Events to rows of raw lineage: each combination of a day once, however often exported.

    The same event in two files (same record, or same combination and time where the source
    gives no record id) counts once.
    """
    counted = {"event_count", "first_event_time", "last_event_time", "extraction_method"}
    combination = [name for name in table.schema.names() if name not in counted]
    return (
        all_events.select(*combination, "event_time", "record_id")
        .unique()
        .group_by(combination)
        .agg(
            event_count=pl.len().cast(pl.Int64),
            first_event_time=pl.col("event_time").min(),
            last_event_time=pl.col("event_time").max(),
        )
        .with_columns(extraction_method=pl.lit(method))
        .select(table.schema.names())
    )
