"""The statements that load tables, each with the edges that it makes."""

# ruff: noqa: S608 - these texts go to files and are never run

from collections.abc import Sequence

from sample_generator.model import Edge, Statement, Table
from sample_generator.sql import Scope

LANDING = "s3://larkfell-landing"


def load(target: Table, *, sources: Sequence[Table] = (), how: str = "") -> Statement:
    """The statement that loads `target` in its usual way, or in the way asked for."""
    return LOADS[how or target.load](target, list(sources) or list(target.sources))


def landing_path(table: Table) -> str:
    """Where the files of a raw table arrive."""
    return f"{LANDING}/{table.name.removesuffix('_raw')}"


def _selection(target: Table, scope: Scope, *, add: bool) -> tuple[str, tuple[Edge, ...]]:
    """The select list that fills `target` from its sources, and the edges it makes."""
    items, edges = [], []
    for name in target.columns:
        source = scope.find(name)
        if source is None:
            filler = "current_timestamp()" if name == "updated_at" else "CAST(NULL AS STRING)"
            items.append(f"{filler} AS {name}")
            continue
        named = scope.column(source, name)
        summed = add and name in target.measures
        items.append(f"sum({named}) AS {name}" if summed else f"{named} AS {name}")
        edges.append(Edge(source.table, name, name))
    return ",\n  ".join(items), tuple(edges)


def _query(
    target: Table, sources: list[Table], *, add: bool = False, where: str = ""
) -> tuple[str, Scope, tuple[Edge, ...]]:
    """A whole `SELECT` for `target`."""
    scope = Scope(sources, alias="s")
    items, edges = _selection(target, scope, add=add)
    text = f"SELECT\n  {items}\n{scope.from_clause()}"
    if where:
        source = scope.sources[0]
        text += f"\nWHERE {scope.column(source, where)} >= DATE'<<day>>'"
    if add:
        text += "\nGROUP BY ALL"
    return text, scope, edges


def _replace(target: Table, sources: list[Table]) -> Statement:
    """A dbt model: the whole table anew."""
    add = target.name.endswith(("_daily", "_weekly"))
    text, scope, edges = _query(target, sources, add=add)
    node = f"model.larkfell.{target.name}"
    text = (
        f'/* {{"app": "dbt", "target_name": "prod", "node_id": "{node}"}} */\n'
        f"create or replace table {target.sql_name}\nusing delta\nas\n{text}"
    )
    return Statement(text, "REPLACE", scope.reads, target, edges, lineage=True)


def _create(target: Table, sources: list[Table]) -> Statement:
    """A plain `CREATE TABLE … AS SELECT`."""
    text, scope, edges = _query(target, sources)
    text = f"CREATE TABLE {target.sql_name} AS\n{text}"
    return Statement(text, "CREATE", scope.reads, target, edges, lineage=True)


def _view(target: Table, sources: list[Table]) -> Statement:
    """A view, created anew each week."""
    text, scope, edges = _query(target, sources)
    text = f"CREATE OR REPLACE VIEW {target.sql_name} AS\n{text}"
    return Statement(text, "CREATE", scope.reads, target, edges, lineage=True)


def _insert(target: Table, sources: list[Table]) -> Statement:
    """Append the newest rows."""
    text, scope, edges = _query(target, sources, where=next(iter(sources[0].dates), ""))
    text = f"INSERT INTO {target.sql_name} ({', '.join(target.columns)})\n{text}"
    return Statement(text, "INSERT", scope.reads, target, edges, lineage=True)


def _overwrite(target: Table, sources: list[Table]) -> Statement:
    """Replace the rows and keep the table."""
    text, scope, edges = _query(target, sources)
    text = f"INSERT OVERWRITE TABLE {target.sql_name}\n{text}"
    return Statement(text, "INSERT", scope.reads, target, edges, lineage=True)


def _merge(target: Table, sources: list[Table], clause: str = "MERGE INTO") -> Statement:
    """Upsert by the first key."""
    scope = Scope(sources[:1], alias="src")
    source = scope.sources[0]
    key = target.keys[0]
    columns = [c for c in target.columns if c in source.table.columns]
    pairs = [f"tgt.{c} = {scope.column(source, c)}" for c in columns]
    values = ", ".join(scope.column(source, c) for c in columns)
    text = (
        f"{clause} {target.sql_name} AS tgt\nUSING {source.table.sql_name} AS {source.alias}\n"
        f"ON tgt.{key} = {scope.column(source, key)}\n"
        f"WHEN MATCHED THEN UPDATE SET {', '.join(pairs[1:])}\n"
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(columns)})\n  VALUES ({values})"
    )
    edges = tuple(Edge(source.table, c, c) for c in columns)
    return Statement(text, "MERGE", scope.reads, target, edges, lineage=True)


def _merge_evolving(target: Table, sources: list[Table]) -> Statement:
    """Valid on Databricks, and too new for many parsers."""
    return _merge(target, sources, "MERGE WITH SCHEMA EVOLUTION INTO")


def _replace_where(target: Table, sources: list[Table]) -> Statement:
    """Replace the rows that a condition selects."""
    text, scope, edges = _query(target, sources)
    where = f"{target.dates[0]} >= DATE'<<day>>'"
    text = f"INSERT INTO {target.sql_name} REPLACE WHERE {where}\n{text}"
    return Statement(text, "INSERT", scope.reads, target, edges, lineage=True)


def _replace_on(target: Table, sources: list[Table]) -> Statement:
    """Replace the rows that match the new ones: valid, and too new for many parsers."""
    text, scope, edges = _query(target, sources)
    on = f"t.{target.dates[0]} <=> n.{target.dates[0]}"
    text = f"INSERT INTO {target.sql_name} AS t REPLACE ON {on}\n(\n{text}\n) AS n"
    return Statement(text, "INSERT", scope.reads, target, edges, lineage=True)


def _copy(target: Table, _: list[Table]) -> Statement:
    """Load the day's files from cloud storage."""
    path = f"{landing_path(target)}/"
    text = (
        f"COPY INTO {target.sql_name}\nFROM '{path}'\nFILEFORMAT = PARQUET\n"
        "PATTERN = '<<day>>/*.parquet'\nCOPY_OPTIONS ('mergeSchema' = 'true')"
    )
    return Statement(text, "COPY", {}, target, path=path, lineage=True)


LOADS = {
    "replace": _replace,
    "weekly": _replace,
    "regional": _replace,
    "story": _replace,
    "create": _create,
    "view": _view,
    "insert": _insert,
    "monthly": _insert,
    "overwrite": _overwrite,
    "merge": _merge,
    "merge_evolving": _merge_evolving,
    "replace_where": _replace_where,
    "replace_on": _replace_on,
    "copy": _copy,
}
