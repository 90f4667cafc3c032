"""REST lineage answers to lineage events.

An answer is a snapshot of one table's neighbours. It names no statement and no user, and pairs a
neighbour with the notebooks, jobs, ... of the same item. An edge has the time of its
`lineage_timestamp` (UTC). What the caller may not see comes as `has_permission: false`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from dbminer_dagster.resources.offline.decoding import check_time
from dbminer_dagster.resources.offline.lineage import SPELLED_SCHEMA, Id, named
from dbminer_dagster.schemas import RAW_COLUMN_LINEAGE, RAW_TABLE_LINEAGE, Table

Values = dict[str, Any]

ENTITY_KINDS = {
    "notebookInfos": ("NOTEBOOK", "notebook_id"),
    "jobInfos": ("JOB", "job_id"),
    "pipelineInfos": ("PIPELINE", "pipeline_id"),
    "dashboardV3Infos": ("DASHBOARD_V3", "dashboard_id"),
    "dashboardInfos": ("DBSQL_DASHBOARD", "dashboard_id"),
    "queryInfos": ("DBSQL_QUERY", "query_id"),
    "alertInfos": ("ALERT", "alert_id"),
    "genieSpaceInfos": ("GENIE_SPACE", "genie_space_id"),
}

SYSTEM_TYPES = {"PERSISTED_VIEW": "VIEW"}
"""Types of tables that the system tables call otherwise."""


class TableAnswer(Struct):
    """The body of the table-lineage call."""

    upstreams: list[dict[str, Any]] = []
    downstreams: list[dict[str, Any]] = []


class ColumnAnswer(Struct):
    """The body of the column-lineage call."""

    upstream_cols: list[dict[str, Any]] = []
    downstream_cols: list[dict[str, Any]] = []


class Answers(Struct):
    """What our extractor writes for one table."""

    table_name: str
    table_lineage: TableAnswer
    columns: dict[str, ColumnAnswer] = {}
    extracted_at: datetime | None = None
    workspace_id: Id = None

    @property
    def known_until(self) -> date | None:
        """The UTC day before the snapshot, the last one that it knows whole."""
        if self.extracted_at is None:
            return None
        moment = self.extracted_at.replace(tzinfo=self.extracted_at.tzinfo or UTC)
        return moment.astimezone(UTC).date() - timedelta(days=1)


DECODER = msgspec.json.Decoder(Answers, strict=False)


@dataclass
class RestEvents:
    """Collects events; what is left out is counted by reason."""

    counts: defaultdict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    _rows: dict[str, list[Values]] = field(default_factory=dict)

    def add(self, answers: Answers) -> None:
        """Adds the events of one table's answers."""
        for name, rows in (
            (RAW_TABLE_LINEAGE.name, self._table_events(answers)),
            (RAW_COLUMN_LINEAGE.name, self._column_events(answers)),
        ):
            self._rows.setdefault(name, []).extend(rows)

    def days(self, answers: Answers) -> set[date]:
        """The days of the events of one table's answers, without taking the events in."""
        both = chain(self._table_events(answers), self._column_events(answers))
        return {event["event_time"].date() for event in both}

    def frames(self, table: Table) -> pl.LazyFrame:
        """The events of one raw table so far, as `EVENT_SCHEMA`; they are handed out once."""
        rows = self._rows.pop(table.name, [])
        return named({column: [row.get(column) for row in rows] for column in SPELLED_SCHEMA})

    def _count(self, table: Table, reason: str, count: int = 1) -> None:
        self.counts[table.name][reason] += count

    def _table_events(self, answers: Answers) -> Iterator[Values]:
        own = {"table_full_name": answers.table_name}
        for items, upstream in (
            (answers.table_lineage.upstreams, True),
            (answers.table_lineage.downstreams, False),
        ):
            for item in items:
                for other in self._neighbours(item):
                    ends = _ends(other, own) if upstream else _ends(own, other)
                    yield from self._with_entities(item, ends, other, answers)

    def _neighbours(self, item: Values) -> Iterator[Values]:
        """The tables and files of an item; an item of entities alone has an unnamed one."""
        known = {"tableInfo", "fileInfo", *ENTITY_KINDS}
        for kind in item.keys() - known:
            self._count(RAW_TABLE_LINEAGE, f"other_kind:{kind}")
        found = [_table(info) for info in _listed(item.get("tableInfo"))]
        found += [_file(info) for info in _listed(item.get("fileInfo"))]
        visible = [info for info in found if info is not None]
        self._count(RAW_TABLE_LINEAGE, "masked", len(found) - len(visible))
        yield from visible
        if not found and item.keys() & ENTITY_KINDS.keys():
            yield {}

    def _with_entities(
        self, item: Values, ends: Values, other: Values, answers: Answers
    ) -> Iterator[Values]:
        """An event for each entity of the item, or one without an entity."""
        entities = [
            (kind, info.get(key), info)
            for infos, (kind, key) in ENTITY_KINDS.items()
            for info in _listed(item.get(infos))
        ]
        for kind, entity_id, info in entities or [(None, None, {})]:
            time = _time(other.get("time")) or _time(info.get("lineage_timestamp"))
            if time is None:
                self._count(RAW_TABLE_LINEAGE, "without_timestamp")
            else:
                yield {
                    **ends,
                    "event_time": time,
                    "workspace_id": info.get("workspace_id") or answers.workspace_id,
                    "entity_type": kind,
                    "entity_id": entity_id,
                }

    def _column_events(self, answers: Answers) -> Iterator[Values]:
        for column, answer in answers.columns.items():
            own = {"table_full_name": answers.table_name, "column": column}
            for infos, upstream in ((answer.upstream_cols, True), (answer.downstream_cols, False)):
                for info in infos:
                    other, time = _column(info), _time(info.get("lineage_timestamp"))
                    if other is None:
                        self._count(RAW_COLUMN_LINEAGE, "masked")
                    elif time is None:
                        self._count(RAW_COLUMN_LINEAGE, "without_timestamp")
                    else:
                        yield {
                            **(_ends(other, own) if upstream else _ends(own, other)),
                            "event_time": time,
                            "workspace_id": info.get("workspace_id") or answers.workspace_id,
                        }


def _listed(value: Any) -> list[Values]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]


def _table(info: Values, name: str = "name") -> Values | None:
    """The end that a table is; None if the caller may not see it."""
    parts = [info.get(part) for part in ("catalog_name", "schema_name", name)]
    kind = info.get("table_type")
    if info.get("has_permission") is False or not all(isinstance(part, str) for part in parts):
        return None
    return {
        **dict(zip(("table_catalog", "table_schema", "table_name"), parts, strict=True)),
        "type": SYSTEM_TYPES.get(str(kind), kind),
        "path": info.get("path"),
        "time": info.get("lineage_timestamp"),
    }


def _column(info: Values) -> Values | None:
    table, column = _table(info, name="table_name"), info.get("name")
    return {**table, "column": column} if table and column is not None else None


def _file(info: Values) -> Values | None:
    path = info.get("path") or info.get("storage_location")
    if info.get("has_permission") is False or path is None:
        return None
    return {"type": "PATH", "path": path, "time": info.get("lineage_timestamp")}


def _ends(source: Values, target: Values) -> Values:
    ends = (("source", source), ("target", target))
    return {f"{end}_{part}": value for end, parts in ends for part, value in parts.items()}


def _time(value: Any) -> datetime | None:
    """A time without an offset is UTC; a date alone is its midnight."""
    return _parsed(value) if isinstance(value, str) else None


@lru_cache(maxsize=4096)
def _parsed(value: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(value)
        check_time(time)
    except ValueError:
        return None
    return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
