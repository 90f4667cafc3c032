"""The lineage API over the rows of `system.access.table_lineage` and `column_lineage`."""

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from dbminer_dagster_tests.databricks_emulator.api_error import Answer, ApiError, refused
from dbminer_dagster_tests.databricks_emulator.engine import Engine
from dbminer_dagster_tests.databricks_emulator.lineage_index import (
    Entry,
    LineageIndex,
    Parts,
    Sides,
    build_index,
    key_of,
)
from dbminer_dagster_tests.databricks_emulator.routes import Call, Route, route
from dbminer_dagster_tests.databricks_emulator.workspace import Table, Workspace

Side = Literal["upstreams", "downstreams", "upstream_cols", "downstream_cols"]
_ROOT = "/api/2.0/lineage-tracking"
_NOTHING = Sides([], [])
_MASKED_TABLE = b'{"tableInfo":{"has_permission":false}}'
_MASKED_COLUMN = b'{"has_permission":false}'
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LineageApi:
    """Answers `table-lineage` and `column-lineage`: one hop, over all workspaces.

    Attributes:
        refusal: What every request is answered with while it is set.
        deleted_tables: Full names of tables that lists still show but that are no longer there.
    """

    def __init__(self, workspace: Workspace, engine: Engine) -> None:
        self.refusal: ApiError | None = None
        self.deleted_tables: set[str] = set()
        self._workspace, self._engine = workspace, engine
        self._added: defaultdict[tuple[str, str, Side], list[bytes]] = defaultdict(list)
        self._index = LineageIndex({}, {}, None)
        self._changes, self._built_us = -1, 0
        self._lock = threading.Lock()

    @property
    def routes(self) -> tuple[Route, ...]:
        """What it answers."""
        return (
            route("GET", f"{_ROOT}/table-lineage", "unity-catalog", self._table_lineage),
            route("GET", f"{_ROOT}/column-lineage", "unity-catalog", self._column_lineage),
        )

    def add_item(
        self, table_name: str, side: Side, item: Mapping[str, object], column_name: str = ""
    ) -> None:
        """Adds to what is answered for a table, or for a column of it.

        Args:
            table_name: Catalog, schema and table, joined by dots.
            side: The member of the answer.
            item: Any JSON object, whatever its kind.
            column_name: For the sides of columns.
        """
        key = (key_of(table_name), key_of(column_name), side)
        self._added[key].append(msgspec.json.encode(item))

    def _table_lineage(self, call: Call) -> Answer:
        key = self._asked(call)
        sides = self._current().tables.get(key, _NOTHING)
        return _answer(
            {
                "upstreams": [
                    *_items(call, sides.upstream),
                    *self._added.get((key, "", "upstreams"), ()),
                ],
                "downstreams": [
                    *_items(call, sides.downstream),
                    *self._added.get((key, "", "downstreams"), ()),
                ],
            }
        )

    def _column_lineage(self, call: Call) -> Answer:
        key = self._asked(call), key_of(_given(call, "column_name"))
        sides = self._current().columns.get(key, _NOTHING)
        return _answer(
            {
                "upstream_cols": [
                    *_items(call, sides.upstream, masked=_MASKED_COLUMN),
                    *self._added.get((*key, "upstream_cols"), ()),
                ],
                "downstream_cols": [
                    *_items(call, sides.downstream, masked=_MASKED_COLUMN),
                    *self._added.get((*key, "downstream_cols"), ()),
                ],
            }
        )

    def _asked(self, call: Call) -> str:
        """The key of the table that is asked about.

        Raises:
            ApiError: It is not there, or the caller may not even browse it.
        """
        if self.refusal:
            raise self.refusal
        name = _given(call, "table_name")
        table = _find_table(self._workspace, name)
        if table is None or name in self.deleted_tables:
            raise refused(404, "TABLE_DOES_NOT_EXIST", f"Table '{name}' does not exist.")
        if not _may_see(call, (table.catalog, table.schema, table.name)):
            message = f"User does not have BROWSE or SELECT on Table '{name}'."
            raise refused(403, "PERMISSION_DENIED", message)
        return key_of(name)

    def _current(self) -> LineageIndex:
        """The lineage until now: built anew when the data has changed or an event has come."""
        now_us = (self._workspace.clock() - _EPOCH) // timedelta(microseconds=1)
        changes = self._engine.changes
        with self._lock:
            until_us = self._index.good_until_us
            if changes != self._changes or not self._built_us <= now_us < (until_us or now_us + 1):
                with closing(self._engine.cursor()) as cursor:
                    self._index = build_index(cursor, now_us)
                self._changes, self._built_us = changes, now_us
            return self._index


def _given(call: Call, name: str) -> str:
    if value := call.query.get(name):
        return value
    raise refused(400, "INVALID_PARAMETER_VALUE", f"Missing required field: {name}")


def _find_table(workspace: Workspace, name: str) -> Table | None:
    """The table of a name whose parts are joined without quotes, so that dots tell little."""
    key = key_of(name)
    match key.split("."):
        case [catalog, schema, table]:
            return workspace.tables.get((catalog, schema, table))
        case _:
            tables = workspace.tables.items()
            return next((table for parts, table in tables if ".".join(parts) == key), None)


def _may_see(call: Call, parts: Parts) -> bool:
    workspace, principal = call.workspace, call.principal
    if workspace.holds(principal, "BROWSE", *parts):
        return True
    return workspace.missing_privilege(principal, *parts) is None


def _items(call: Call, entries: Iterable[Entry], masked: bytes = _MASKED_TABLE) -> Iterator[bytes]:
    """The neighbours; of those that the caller may not see, nothing but that they exist."""
    with_entities = call.query.get("include_entity_lineage") == "true"
    for entry in entries:
        if entry.parts and not _may_see(call, entry.parts):
            yield masked
        elif content := entry.full if with_entities else entry.plain:
            yield content


def _answer(members: Mapping[str, Sequence[bytes]]) -> Answer:
    """Prepared JSON put together; a member without items is left out."""
    found = ((name, b",".join(items)) for name, items in members.items())
    return Answer(
        content=b"{%b}" % b",".join(b'"%b":[%b]' % (n.encode(), i) for n, i in found if i)
    )
