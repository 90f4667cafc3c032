"""The neighbours of every table and column, prepared as the lineage API gives them."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import duckdb
import msgspec

from dbminer_dagster_tests.databricks_emulator.name_resolution import physical

Parts = tuple[str, str, str]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TABLE_LINEAGE = physical("system", "access", "table_lineage")
COLUMN_LINEAGE = physical("system", "access", "column_lineage")
_ENTITIES = (
    ("notebookInfos", "notebook_id", "notebook_id", "NOTEBOOK"),
    ("jobInfos", "job_id", "job_info.job_id", "JOB"),
    ("pipelineInfos", "pipeline_id", "dlt_pipeline_info.dlt_pipeline_id", "PIPELINE"),
    ("dashboardV3Infos", "dashboard_id", "dashboard_id", "DASHBOARD_V3"),
    ("dashboardInfos", "dashboard_id", "legacy_dashboard_id", "DBSQL_DASHBOARD"),
    ("queryInfos", "query_id", "sql_query_id", "DBSQL_QUERY"),
    ("alertInfos", "alert_id", "alert_id", "ALERT"),
    ("genieSpaceInfos", "genie_space_id", "genie_space_id", "GENIE_SPACE"),
)
"""Member of an item, its key, and where a row tells of it: in its metadata or as its own entity."""
_NUMBERS = frozenset({"notebook_id", "job_id"})
_TYPES = {"VIEW": "PERSISTED_VIEW"}
"""Types that this API calls by another name than the system tables."""


class End(NamedTuple):
    """One end of an edge: a table, a file, or nothing."""

    catalog: str | None
    schema: str | None
    name: str | None
    path: str | None

    @property
    def parts(self) -> Parts | None:
        """The name of a table."""
        if self.catalog is None or self.schema is None or self.name is None:
            return None
        return self.catalog, self.schema, self.name


class Entry(NamedTuple):
    """A neighbour.

    Attributes:
        parts: The name of its table; None when it is no table, which anyone may see.
        plain: JSON without the entities; empty when it consists of entities alone.
        full: JSON with the entities.
    """

    parts: Parts | None
    plain: bytes
    full: bytes


class Sides(NamedTuple):
    """The neighbours of a table or column, the newest first."""

    upstream: list[Entry]
    downstream: list[Entry]


class LineageIndex(NamedTuple):
    """All lineage.

    Attributes:
        tables: By the key of a table.
        columns: By the key of a table and the lower-cased name of a column.
        good_until_us: Epoch microseconds of the next event to come; None when there is none.
    """

    tables: dict[str, Sides]
    columns: dict[tuple[str, str], Sides]
    good_until_us: int | None


def key_of(name: str) -> str:
    """The key of a table: names differ by more than case."""
    return name.lower()


def build_index(cursor: duckdb.DuckDBPyConnection, now_us: int) -> LineageIndex:
    """Reads the lineage of all events until now, in epoch microseconds."""
    later = cursor.execute(
        f"SELECT min(t) FROM (SELECT epoch_us(event_time) AS t FROM {TABLE_LINEAGE} UNION ALL "
        f"SELECT epoch_us(event_time) FROM {COLUMN_LINEAGE}) WHERE t > {now_us}"
    ).fetchall()
    return LineageIndex(_tables(cursor, now_us), _columns(cursor, now_us), later[0][0])


class _Item:
    """A neighbour of a table while it is put together, its events from old to new."""

    __slots__ = ("entities", "info")

    def __init__(self) -> None:
        self.info: dict[str, Any] = {}
        self.entities: dict[tuple[str, Any, Any], dict[str, Any]] = {}


def _tables(cursor: duckdb.DuckDBPyConnection, now_us: int) -> dict[str, Sides]:
    ids = ", ".join(
        f"coalesce(entity_metadata.{path}, CASE entity_type WHEN '{kind}' THEN entity_id END) "
        f"AS entity_{number}"
        for number, (_, _, path, kind) in enumerate(_ENTITIES)
    )
    cursor.execute(
        f"SELECT {end_columns('source')}, {end_columns('target')}, workspace_id, {ids}, "
        "arg_max(entity_metadata.dlt_pipeline_info.dlt_update_id, event_time), "
        "arg_max(source_type, event_time), arg_max(target_type, event_time), "
        f"max(epoch_us(event_time)) AS newest FROM {TABLE_LINEAGE} "
        f"WHERE epoch_us(event_time) <= {now_us} "
        f"GROUP BY ALL ORDER BY newest, {_numbered(9 + len(_ENTITIES))}"
    )
    upstream: defaultdict[Parts, dict[End, _Item]] = defaultdict(dict)
    downstream: defaultdict[Parts, dict[End, _Item]] = defaultdict(dict)
    for row in rows_of(cursor):
        source, target = End(*row[:4]), End(*row[4:8])
        entities, (*_, source_type, target_type, newest) = row[8:], row
        if target.parts:
            _add(upstream[target.parts], source, source_type, newest, entities)
        if source.parts:
            _add(downstream[source.parts], target, target_type, newest, entities)
    return {
        key_of(".".join(parts)): Sides(
            list(_entries(upstream.get(parts, {}))), list(_entries(downstream.get(parts, {})))
        )
        for parts in upstream.keys() | downstream.keys()
    }


def end_columns(side: str) -> str:
    """The four columns of an end; the path is that of a file, not where a table is stored."""
    names = [
        f"coalesce({side}_table_{part}, split_part({side}_table_full_name, '.', {number}))"
        for number, part in enumerate(("catalog", "schema", "name"), start=1)
    ]
    columns = [f"nullif({name}, '') AS {side}_{n}" for n, name in enumerate(names)]
    no_table = f"coalesce({side}_table_name, {side}_table_full_name) IS NULL"
    return ", ".join([*columns, f"CASE WHEN {no_table} THEN {side}_path END AS {side}_file"])


def _numbered(count: int) -> str:
    """The first columns by their numbers, to sort by."""
    return ", ".join(str(number) for number in range(1, count + 1))


def rows_of(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    """The rows of a result, without holding all at once."""
    while rows := cursor.fetchmany(50_000):
        yield from rows


def _add(
    items: dict[End, _Item], end: End, kind: str | None, newest: int, entities: tuple[Any, ...]
) -> None:
    """Adds what a group of events tells of a neighbour, which is now the newest one."""
    item = items[end] = items.pop(end, None) or _Item()
    time = _time_text(newest)
    if end.parts:
        item.info = {"tableInfo": _table_info(end.parts, kind, time)}
    elif end.path:
        item.info = {"fileInfo": _file_info(end.path, time)}
    workspace_id, *ids = entities[: len(_ENTITIES) + 1]
    update_id = entities[len(_ENTITIES) + 1]
    for (member, key, _, _), entity_id in zip(_ENTITIES, ids, strict=True):
        if entity_id is not None:
            info = {
                "workspace_id": _number(workspace_id),
                key: _number(entity_id) if key in _NUMBERS else entity_id,
                **({"update_id": update_id} if member == "pipelineInfos" else {}),
                "lineage_timestamp": time,
            }
            identity = (member, entity_id, workspace_id)
            item.entities[identity] = {n: v for n, v in info.items() if v is not None}


def _entries(items: dict[End, _Item]) -> Iterator[Entry]:
    """The neighbours, the newest first; an entity without a neighbour is an item of its own."""
    for end, item in reversed(items.items()):
        if not item.info:
            for (member, _, _), info in item.entities.items():
                yield Entry(None, b"", msgspec.json.encode({member: [info]}))
            continue
        full = dict(item.info)
        for (member, _, _), info in item.entities.items():
            full.setdefault(member, []).append(info)
        yield Entry(end.parts, msgspec.json.encode(item.info), msgspec.json.encode(full))


def _columns(cursor: duckdb.DuckDBPyConnection, now_us: int) -> dict[tuple[str, str], Sides]:
    cursor.execute(
        f"SELECT {end_columns('source')}, source_column_name, "
        f"{end_columns('target')}, target_column_name, "
        "arg_max(source_type, event_time), arg_max(target_type, event_time), "
        "arg_max(workspace_id, event_time), "
        f"max(epoch_us(event_time)) AS newest FROM {COLUMN_LINEAGE} "
        "WHERE source_column_name IS NOT NULL AND target_column_name IS NOT NULL "
        f"AND epoch_us(event_time) <= {now_us} GROUP BY ALL ORDER BY newest DESC, {_numbered(10)}"
    )
    found: defaultdict[tuple[str, str], Sides] = defaultdict(lambda: Sides([], []))
    for row in rows_of(cursor):
        source, target = End(*row[:4]).parts, End(*row[5:9]).parts
        source_column, target_column = row[4], row[9]
        source_type, target_type, workspace_id, newest = row[10:]
        if source and target:
            told = (_number(workspace_id), _time_text(newest))
            entry = _column_entry(source, source_column, source_type, *told)
            found[key_of(".".join(target)), key_of(target_column)].upstream.append(entry)
            entry = _column_entry(target, target_column, target_type, *told)
            found[key_of(".".join(source)), key_of(source_column)].downstream.append(entry)
    return dict(found)


def _column_entry(
    parts: Parts, column: str, kind: str | None, workspace_id: int | str | None, time: str
) -> Entry:
    catalog, schema, name = parts
    info = {
        "name": column,
        "catalog_name": catalog,
        "schema_name": schema,
        "table_name": name,
        "table_type": _TYPES.get(kind, kind) if kind else None,
        "workspace_id": workspace_id,
        "lineage_timestamp": time,
        "has_permission": True,
    }
    content = msgspec.json.encode({name: value for name, value in info.items() if value})
    return Entry(parts, content, content)


def _table_info(parts: Parts, kind: str | None, time: str) -> dict[str, Any]:
    catalog, schema, name = parts
    return {
        "name": name,
        "catalog_name": catalog,
        "schema_name": schema,
        "table_type": _TYPES.get(kind, kind) if kind else "TABLE",
        "lineage_timestamp": time,
        "has_permission": True,
    }


def _file_info(path: str, time: str) -> dict[str, Any]:
    return {
        "path": path,
        "has_permission": True,
        "securable_name": "larkfell_landing",
        "securable_type": "EXTERNAL_LOCATION",
        "storage_location": path,
        "lineage_timestamp": time,
    }


def _time_text(epoch_us: int) -> str:
    """UTC without saying so, and with as many decimals as need be, at least one."""
    time = _EPOCH + timedelta(microseconds=epoch_us)
    return f"{time:%Y-%m-%d %H:%M:%S}.{f'{time.microsecond:06d}'.rstrip('0') or '0'}"


def _number(value: str | None) -> int | str | None:
    """Ids that are texts in system tables are numbers here, if they are ones at all."""
    return int(value) if value and value.isascii() and value.isdigit() else value
