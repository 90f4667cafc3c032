"""Rows of the lineage system tables to lineage events, and events to raw lineage."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import msgspec
import polars as pl
from msgspec import UNSET, Struct, UnsetType

from dbminer_dagster.mining.resolution import quoted
from dbminer_dagster.resources.lineage_rows import (
    END,
    ENTITY_KEYS,
    NAMES_OF_AN_EVENT,
    TOLD_OF_THE_OTHER_END,
    combination,
)
from dbminer_dagster.schemas import RAW_COLUMN_LINEAGE, RAW_TABLE_LINEAGE, UTC_TIME, Table

Id = str | int | None
NEEDLESS_QUOTES = "`([^`.]+)`"
"""Back-quotes around a part that needs none; one table must not have two spellings."""
NAME_PARTS = "full_name", "catalog", "schema", "name"

EVENT_SCHEMA = pl.Schema(
    {
        name: dtype
        for name, dtype in RAW_COLUMN_LINEAGE.schema.items()
        if name not in {"event_count", "first_event_time", "last_event_time", "extraction_method"}
    }
    | {"event_time": UTC_TIME, "record_id": pl.String}
)
"""One lineage event: the columns of raw lineage that tell combinations apart, and its time."""


class _JobInfo(Struct, gc=False):
    job_id: Id = None


class _PipelineInfo(Struct, gc=False):
    dlt_pipeline_id: Id = None


class _Entities(Struct, gc=False):
    notebook_id: Id = None
    job_info: _JobInfo | None = None
    dlt_pipeline_info: _PipelineInfo | None = None
    dashboard_id: Id = None
    legacy_dashboard_id: Id = None
    sql_query_id: Id = None
    genie_space_id: Id = None
    alert_id: Id = None


class SystemRow(Struct, gc=False):
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
    source_column_name: str | UnsetType | None = UNSET
    target_column_name: str | None = None

    @property
    def is_column_row(self) -> bool:
        """Whether the row comes from `column_lineage`."""
        # A writer of JSON may leave nulls out.
        return self.source_column_name is not UNSET or self.target_column_name is not None

    def entity(self) -> tuple[str | None, Id]:
        """The entity behind the event: the row's own, else the first that its metadata names."""
        found = self.entity_metadata
        if self.entity_type is not None or found is None:
            return self.entity_type, self.entity_id
        candidates = ((kind, _leaf(found, path)) for kind, path in ENTITY_KEYS.items())
        return next(((kind, key) for kind, key in candidates if key is not None), (None, None))


def _leaf(found: Any, path: str) -> Id:
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


DECODER = msgspec.json.Decoder(SystemRow, strict=False)

_SPELLED = {
    name: name
    for name in (
        *("workspace_id", "statement_id", "created_by", "record_id", "direct_access", "event_time"),
        *(f"{end}_{part}" for end in END for part in ("type", "path")),
        *(f"{end}_table_{part}" for end in END for part in NAME_PARTS),
    )
}
_COLUMN_PAIR = {f"{end}_column": f"{end}_column_name" for end in END}

SPELLED_SCHEMA = pl.Schema(
    {name: dtype for name, dtype in EVENT_SCHEMA.items() if name in _SPELLED}
    | dict.fromkeys(
        (
            *("entity_type", "entity_id", *_COLUMN_PAIR),
            *(name for name in _SPELLED if name not in EVENT_SCHEMA),
        ),
        pl.String(),
    )
)
"""An event as a source spells it: names in parts, and no day yet."""


def events(rows: Sequence[SystemRow]) -> Iterator[tuple[Table, pl.LazyFrame]]:
    """The rows as events of `EVENT_SCHEMA`, a frame for tables and one for columns."""
    for table, of_columns in ((RAW_TABLE_LINEAGE, False), (RAW_COLUMN_LINEAGE, True)):
        if chosen := [row for row in rows if row.is_column_row is of_columns]:
            fields = _SPELLED | _COLUMN_PAIR if of_columns else _SPELLED
            columns = {name: list(map(attrgetter(field), chosen)) for name, field in fields.items()}
            if of_columns:
                given = columns["source_column"]
                columns["source_column"] = [None if name is UNSET else name for name in given]
            entities = [row.entity() for row in chosen]
            columns["entity_type"] = [kind for kind, _ in entities]
            columns["entity_id"] = [key for _, key in entities]
            columns["event_time"] = [_utc(time) for time in columns["event_time"]]
            yield table, named(columns)


def named(columns: Mapping[str, list]) -> pl.LazyFrame:
    """Columns of `SPELLED_SCHEMA`, those without a value left out, as events of `EVENT_SCHEMA`."""
    nothing = [None] * len(columns["event_time"])
    series = [
        # Not strict for texts: ids are JSON integers in REST answers, and texts in system tables.
        pl.Series(name, columns.get(name, nothing), dtype, strict=dtype != pl.String)
        for name, dtype in SPELLED_SCHEMA.items()
    ]
    return (
        pl.DataFrame(series)
        .lazy()
        .with_columns(*(_full_name(end).alias(f"{end}_name") for end in END))
        .with_columns(day=pl.col("event_time").dt.date())
        .select(EVENT_SCHEMA.names())
    )


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _full_name(end: str) -> pl.Expr:
    """The name as the source spells it; parts that hold dots are quoted, so that they split."""
    parts = [quoted(pl.col(f"{end}_table_{part}")) for part in ("catalog", "schema", "name")]
    given = pl.col(f"{end}_table_full_name")
    plain = pl.when(~given.str.contains("``", literal=True)).then(
        given.str.replace_all(NEEDLESS_QUOTES, "${1}")
    )
    return pl.coalesce(pl.concat_str(parts, separator="."), plain, given)


def _merged_twins(events: pl.LazyFrame) -> pl.LazyFrame:
    """One event for what two REST answers tell of the same edge and time, each from its own end.

    An answer knows type and path of the other end only. The tables they name are the identity.
    """
    ends = [pl.coalesce(f"{end}_name", f"{end}_path").alias(f"{end}_key") for end in END]
    identity = [name for name in events.collect_schema() if name not in TOLD_OF_THE_OTHER_END]
    merged = events.with_columns(ends).group_by(*identity, *(f"{end}_key" for end in END))
    return merged.agg(pl.col(TOLD_OF_THE_OTHER_END).max())


def raw_lineage(table: Table, all_events: pl.LazyFrame, method: str) -> pl.LazyFrame:
    """Events to rows of raw lineage: each combination of a day once, however often exported.

    The same event in two files (same record, or same combination and time where the source
    gives no record id) counts once.
    """
    columns = combination(table)
    events = all_events.select(*columns, "event_time", "record_id").unique()
    nameless = pl.all_horizontal(pl.col(name).is_null() for name in NAMES_OF_AN_EVENT)
    twins = _merged_twins(events.filter(nameless)).select(events.collect_schema().names())
    return (
        pl.concat([events.filter(~nameless), twins])
        .group_by(columns)
        .agg(
            event_count=pl.len().cast(pl.Int64),
            first_event_time=pl.col("event_time").min(),
            last_event_time=pl.col("event_time").max(),
        )
        .with_columns(extraction_method=pl.lit(method))
        .select(table.schema.names())
    )
