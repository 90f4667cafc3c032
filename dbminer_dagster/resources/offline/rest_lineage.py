"""REST lineage answers to lineage events.

An answer is a snapshot of one table's neighbours. It names no statement and no user, and pairs a
neighbour with the notebooks, jobs, ... of the same item. An edge has the time of its
`lineage_timestamp` (UTC). What the caller may not see comes as `has_permission: false`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from dbminer_dagster.resources.offline.lineage import EVENT_SCHEMA, Id
from dbminer_dagster.schemas import RAW_COLUMN_LINEAGE, RAW_TABLE_LINEAGE, Table

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
    def extracted_on(self) -> date | None:
        """The UTC day of the snapshot."""
        if self.extracted_at is None:
            return None
        return self.extracted_at.replace(tzinfo=self.extracted_at.tzinfo or UTC).astimezone(UTC).date()


_DECODER = msgspec.json.Decoder(Answers, strict=False)


def decode(content: bytes) -> Answers:
    """One object, checked.

    Raises:
        msgspec.DecodeError: It is not JSON, or a field has a wrong type or is missing.
    """
    return _DECODER.decode(content)


@dataclass
class RestEvents:
    """Collects events; what is left out is counted by reason."""

    counts: defaultdict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    _rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, answers: Answers) -> None:
        """Adds the events of one table's answers."""
        for name, rows in (
            (RAW_TABLE_LINEAGE.name, self._table_events(answers)),
            (RAW_COLUMN_LINEAGE.name, self._column_events(answers)),
        ):
            self._rows.setdefault(name, []).extend(rows)

    def frames(self, table: Table) -> pl.LazyFrame:
        """The events of one raw table so far, as `EVENT_SCHEMA`; they are handed out once."""
        rows = self._rows.pop(table.name, [])
        return pl.LazyFrame(rows, schema=EVENT_SCHEMA)

    def _count(self, table: Table, reason: str, count: int = 1) -> None:
        self.counts[table.name][reason] += count

    def _table_events(self, answers: Answers) -> Iterator[dict[str, Any]]:
        own = {"name": answers.table_name, "type": None, "path": None}
        for items, upstream in (
            (answers.table_lineage.upstreams, True),
            (answers.table_lineage.downstreams, False),
        ):
            for item in items:
                for other in self._neighbours(item):
                    ends = _ends(other, own) if upstream else _ends(own, other)
                    yield from self._with_entities(item, ends, other, answers)

    def _neighbours(self, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
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
            yield {"name": None, "type": None, "path": None, "time": None}

    def _with_entities(
        self, item: dict[str, Any], ends: dict[str, Any], other: dict[str, Any], answers: Answers
    ) -> Iterator[dict[str, Any]]:
        """An event for each entity of the item, or one without an entity."""
        entities = [
            (kind, info.get(key), info)
            for infos, (kind, key) in ENTITY_KINDS.items()
            for info in _listed(item.get(infos))
        ]
        for kind, entity_id, info in entities or [(None, None, {})]:
            time = _time(other["time"]) or _time(info.get("lineage_timestamp"))
            if time is None:
                self._count(RAW_TABLE_LINEAGE, "without_timestamp")
                continue
            yield _event(
                ends,
                time,
                workspace_id=_text(info.get("workspace_id", answers.workspace_id)),
                entity_type=kind,
                entity_id=_text(entity_id),
            )

    def _column_events(self, answers: Answers) -> Iterator[dict[str, Any]]:
        own_table = {"name": answers.table_name, "type": None, "path": None}
        for column, answer in answers.columns.items():
            for infos, upstream in ((answer.upstream_cols, True), (answer.downstream_cols, False)):
                for info in infos:
                    other, time = _table(info, name="table_name"), _time(info.get("lineage_timestamp"))
                    if other is None or info.get("name") is None:
                        self._count(RAW_COLUMN_LINEAGE, "masked")
                    elif time is None:
                        self._count(RAW_COLUMN_LINEAGE, "without_timestamp")
                    else:
                        ends = _ends(other, own_table) if upstream else _ends(own_table, other)
                        pair = (info["name"], column) if upstream else (column, info["name"])
                        yield _event(
                            ends,
                            time,
                            workspace_id=_text(info.get("workspace_id", answers.workspace_id)),
                            source_column=pair[0],
                            target_column=pair[1],
                        )


def _listed(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a member comes alone or in a list
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]


def _table(info: dict[str, Any], name: str = "name") -> dict[str, Any] | None:
    parts = [info.get(part) for part in ("catalog_name", "schema_name", name)]
    if info.get("has_permission") is False or not all(isinstance(part, str) for part in parts):
        return None
    quoted = [f"`{part.replace('`', '``')}`" if {".", "`"} & set(part) else part for part in parts]
    return {
        "name": ".".join(quoted),
        "type": info.get("table_type"),
        "path": info.get("path"),
        "time": info.get("lineage_timestamp"),
    }


def _file(info: dict[str, Any]) -> dict[str, Any] | None:
    path = info.get("path") or info.get("storage_location")
    if info.get("has_permission") is False or path is None:
        return None
    return {"name": None, "type": "PATH", "path": path, "time": info.get("lineage_timestamp")}


def _ends(source: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{end}_{part}": table[part]
        for end, table in (("source", source), ("target", target))
        for part in ("name", "type", "path")
    }


def _event(ends: dict[str, Any], time: datetime, **values: str | None) -> dict[str, Any]:
    return dict.fromkeys(EVENT_SCHEMA.names()) | ends | values | {"event_time": time, "day": time.date()}


def _text(value: Any) -> str | None:  # noqa: ANN401 - ids are numbers or texts
    return None if value is None else str(value)


def _time(value: Any) -> datetime | None:  # noqa: ANN401 - whatever JSON stands there
    """A time without an offset is UTC; a date alone is its midnight."""
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)


