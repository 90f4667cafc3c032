"""Rows of the lineage system tables.

Tables recur in millions of rows, so that a row is put together from fragments encoded once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from sample_generator.company import Company
from sample_generator.model import Edge, Entity, Statement, Table
from sample_generator.records import iso_time, source_ids
from sample_generator.writes import landing_path

LAKE = "s3://larkfell-lake"


class Event(NamedTuple):
    """One query or Spark job, as lineage tells of it."""

    event_id: str
    time_ms: int
    created_by: str | None
    entity: Entity
    run_id: str
    statement_id: str | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """A table that an event read; `named` is the table or view that the text names for it."""

    table: Table
    columns: Sequence[str]
    named: Table

    @property
    def direct(self) -> bool:
        """Whether the text names the table itself."""
        return self.table is self.named


class LineageRows:
    """Encodes the lineage rows of events.

    Args:
        company: Supplies the ids of account, metastore and workspace.
        ids_from: Rows before this time (milliseconds) carry no record id, as in old workspaces.
    """

    def __init__(self, company: Company, *, ids_from: int) -> None:
        self._fragments: dict[tuple[str, Table | None], bytes] = {}
        self._ids_from = ids_from
        self._number = 0
        self._common = _fragment(
            account_id=company.account_id,
            metastore_id=company.metastore_id,
            workspace_id=company.workspace_id,
        )

    def of_statement(self, statement: Statement, event: Event) -> Iterator[bytes]:
        """Table rows, then column rows, of what a statement read and wrote."""
        reads = list(_expanded(statement.reads))
        yield from self.of_event(event, reads, statement.target, statement.edges, statement.path)

    def of_load(self, table: Table, event: Event) -> Iterator[bytes]:
        """Rows of a cluster job that loads a table: from its sources, or from files."""
        if not table.sources:
            yield from self.of_event(event, [], table, (), f"{landing_path(table)}/")
            return
        reads = [Read(s, s.columns, s) for s in table.sources]
        columns = {c: s for s in reversed(table.sources) for c in s.columns}
        edges = [Edge(columns[c], c, c) for c in table.columns if c in columns]
        yield from self.of_event(event, reads, table, edges, None, read_columns=False)

    def of_event(
        self,
        event: Event,
        reads: Sequence[Read],
        target: Table | None,
        edges: Sequence[Edge],
        path: str | None,
        *,
        read_columns: bool = True,
    ) -> Iterator[bytes]:
        """All rows of one event."""
        shared = b"%b,%b,%b" % (self._common, _event_fragment(event), self._side("target", target))
        if path or (target and not reads):
            yield self._row(event, shared, _path_side("source", path), direct=True)
        for read in reads:
            yield self._row(event, shared, self._side("source", read.table), direct=read.direct)
        targets: dict[tuple[Table, str], list[str]] = {}
        for source, column, target_column in edges:
            targets.setdefault((source, column), []).append(target_column)
        nowhere = b"%b,%b,%b" % (self._common, _event_fragment(event), self._side("target", None))
        for read in reads:
            side = self._side("source", read.table)
            for column in read.columns:
                ends = targets.get((read.named, column), ())
                for end in ends:
                    pair = (column, end)
                    yield self._row(event, shared, side, direct=read.direct, columns=pair)
                if not ends and read_columns:
                    pair = (column, None)
                    yield self._row(event, nowhere, side, direct=read.direct, columns=pair)

    def _side(self, side: str, table: Table | None) -> bytes:
        key = (side, table)
        if key not in self._fragments:
            self._fragments[key] = _table_side(side, table) if table else _path_side(side, None)
        return self._fragments[key]

    def _row(
        self,
        event: Event,
        shared: bytes,
        source: bytes,
        *,
        direct: bool,
        columns: tuple[str, str | None] | None = None,
    ) -> bytes:
        self._number += 1
        record = f"{self._number:08x}{event.event_id[8:]}"
        own: dict[str, Any] = {
            "record_id": record if event.time_ms >= self._ids_from else None,
            "direct_access": direct,
        }
        if columns:
            own["source_column_name"], own["target_column_name"] = columns
        return b"{%b,%b,%b}\n" % (shared, source, msgspec.json.encode(own)[1:-1])


def _expanded(reads: Mapping[Table, Sequence[str]]) -> Iterator[Read]:
    """What a text names, and behind each view the tables that it stands for."""
    for table, columns in reads.items():
        yield Read(table, columns, table)
        if table.is_view:
            yield from _behind(table, columns, table)


def _behind(view: Table, columns: Sequence[str], named: Table) -> Iterator[Read]:
    taken: set[str] = set()
    for source in view.sources:
        own = [c for c in columns if c in source.columns and c not in taken]
        taken.update(own)
        yield Read(source, own, named)
        if source.is_view:
            yield from _behind(source, own, named)


def _fragment(**values: object) -> bytes:
    """The members of a JSON object without its braces."""
    return msgspec.json.encode(values)[1:-1]


def _table_side(side: str, table: Table) -> bytes:
    path = f"{LAKE}/{table.catalog}/{table.schema}/{table.name}"
    return _fragment(
        **{
            f"{side}_table_full_name": table.full_name,
            f"{side}_table_catalog": table.catalog,
            f"{side}_table_schema": table.schema,
            f"{side}_table_name": table.name,
            f"{side}_path": None if table.is_view else path,
            f"{side}_type": table.kind,
        }
    )


def _path_side(side: str, path: str | None) -> bytes:
    return _fragment(
        **{
            f"{side}_table_full_name": None,
            f"{side}_table_catalog": None,
            f"{side}_table_schema": None,
            f"{side}_table_name": None,
            f"{side}_path": path,
            f"{side}_type": "PATH" if path else None,
        }
    )


def _event_fragment(event: Event) -> bytes:
    kind, entity_id = event.entity
    run_id = event.run_id if kind in ("JOB", "NOTEBOOK", "PIPELINE") else event.statement_id
    time = iso_time(event.time_ms).replace("Z", "+00:00")
    metadata = {
        "job_info": None,
        "dashboard_id": None,
        "legacy_dashboard_id": None,
        "notebook_id": None,
        "sql_query_id": None,
        "dlt_pipeline_info": None,
        "genie_space_id": None,
        "alert_id": None,
        **source_ids(event.entity, event.run_id),
    }
    if kind == "PIPELINE":
        metadata["dlt_pipeline_info"] = {"dlt_pipeline_id": entity_id, "dlt_update_id": run_id}
    return _fragment(
        entity_type=kind,
        entity_id=entity_id,
        entity_run_id=run_id if kind else None,
        created_by=event.created_by,
        event_time=time,
        event_date=time[:10],
        event_id=event.event_id,
        statement_id=event.statement_id,
        entity_metadata=metadata if kind else None,
    )
