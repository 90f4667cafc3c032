"""The statement that gives a raw lineage table, grouped in the warehouse.

Its rules are those of `resources.offline.lineage`, which gives the same rows for files.
"""

from collections.abc import Iterable

import polars as pl

from dbminer_dagster.databricks.system_tables import Places, column_lineage, table_lineage
from dbminer_dagster.resources.lineage_rows import (
    END,
    ENTITY_KEYS,
    NAMES_OF_AN_EVENT,
    TOLD_OF_THE_OTHER_END,
    combination,
)
from dbminer_dagster.resources.system_tables.columns import FoundColumns
from dbminer_dagster.resources.system_tables.source import SOURCE_ROWS, Source
from dbminer_dagster.schemas import RAW_COLUMN_LINEAGE, Table

_LEAVES = {kind: f"entity_metadata.{path}" for kind, path in ENTITY_KEYS.items()}


def lineage_source(raw: Table, places: Places, method: str) -> Source:
    """How a raw lineage table is read."""
    of_columns = raw.name == RAW_COLUMN_LINEAGE.name
    return Source(
        raw=raw,
        table=column_lineage(places) if of_columns else table_lineage(places),
        time_column="event_time",
        date_column="event_date",
        leaves=tuple(_LEAVES.values()),
        statement=lambda found, condition: _statement(raw, found, condition),
        rows=lambda batch: batch.with_columns(extraction_method=pl.lit(method)),
    )


def _statement(raw: Table, found: FoundColumns, condition: str) -> str:
    columns = combination(raw)
    identity = [name for name in columns if name not in TOLD_OF_THE_OTHER_END]
    keys = [f"s.{name}" for name in (*identity, "event_time", "record_id")]
    # Two tellings of one event are one, else all columns tell events apart.
    is_named = f"coalesce({', '.join(f's.{name}' for name in NAMES_OF_AN_EVENT)}) IS NOT NULL"
    ends = [f"coalesce(s.{end}_name, s.{end}_path)" for end in END]
    told = [f"CASE WHEN {is_named} THEN s.{name} END" for name in TOLD_OF_THE_OTHER_END]
    return f"""\
WITH spelled AS (
  SELECT
    {_listed(f"{sql} AS {name}" for name, sql in _spelled(raw, found).items())}
  FROM {found.table.quoted} AS t
  WHERE {condition}
),
events AS (
  SELECT
    {_listed([*keys, *(f"max(s.{name}) AS {name}" for name in TOLD_OF_THE_OTHER_END)])},
    count(*) AS row_count
  FROM spelled AS s
  GROUP BY
    {_listed([*keys, *ends, *told])}
)
SELECT
    {_listed(f"e.{name}" for name in columns)},
    count(*) AS event_count,
    min(e.event_time) AS first_event_time,
    max(e.event_time) AS last_event_time,
    CAST(sum(e.row_count) AS BIGINT) AS {SOURCE_ROWS}
FROM events AS e
GROUP BY
    {_listed(f"e.{name}" for name in columns)}"""  # noqa: S608 - names are quoted, values bound


def _listed(parts: Iterable[str], separator: str = ",") -> str:
    return f"{separator}\n    ".join(parts)


def _spelled(raw: Table, found: FoundColumns) -> dict[str, str]:
    """The columns of raw lineage, the time and the record, each as an expression."""
    columns = {
        "day": f"CAST({found.sql('event_time')} AS DATE)",
        "event_time": found.sql("event_time"),
        "record_id": found.sql("record_id"),
        "entity_type": _entity_type(found),
        "entity_id": _entity_id(found),
        "direct_access": found.sql("direct_access", "BOOLEAN"),
    }
    for end in END:
        columns[f"{end}_name"] = _full_name(found, f"{end}_table")
        columns[f"{end}_column"] = found.sql(f"{end}_column_name")
    wanted = {*combination(raw), "event_time", "record_id"}
    plain = {name: found.sql(name) for name in combination(raw) if name not in columns}
    return {name: sql for name, sql in (plain | columns).items() if name in wanted}


def _entity_type(found: FoundColumns) -> str:
    """The row's own, else that of the first entity that the metadata names."""
    cases = _listed(
        (f"WHEN {found.sql(leaf)} IS NOT NULL THEN '{kind}'" for kind, leaf in _LEAVES.items()),
        separator="",
    )
    return f"coalesce({found.sql('entity_type')}, CASE\n    {cases}\n    END)"


def _entity_id(found: FoundColumns) -> str:
    leaves = _listed(found.sql(leaf) for leaf in _LEAVES.values())
    return (
        f"CASE\n    WHEN {found.sql('entity_type')} IS NOT NULL "
        f"OR {found.sql('entity_metadata')} IS NULL THEN {found.sql('entity_id')}\n    "
        f"ELSE coalesce(\n    {leaves})\n    END"
    )


def _full_name(found: FoundColumns, end: str) -> str:
    """The name as the source spells it; parts that hold dots are quoted, so that they split."""
    parts = (_quoted(found.sql(f"{end}_{part}")) for part in ("catalog", "schema", "name"))
    joined = _listed(parts, separator=" || '.' ||")
    whole = _without_needless_quotes(found.sql(f"{end}_full_name"))
    return f"coalesce(\n    {joined},\n    {whole})"


def _quoted(part: str) -> str:
    return (
        f"CASE WHEN {part} LIKE '%.%' OR {part} LIKE '%`%' "
        f"THEN '`' || replace({part}, '`', '``') || '`' ELSE {part} END"
    )


def _without_needless_quotes(name: str) -> str:
    """One table must not have two spellings."""
    # By pieces, for want of a way to name a group that more than one engine understands.
    pieces = f"regexp_extract_all({name}, '(`[^`]*`|[^`]+|`)', 1)"
    plain = "CASE WHEN p LIKE '`%`' AND p NOT LIKE '%.%' THEN replace(p, '`', '') ELSE p END"
    return (
        f"CASE WHEN {name} LIKE '%`%' AND {name} NOT LIKE '%``%'\n    "
        f"THEN array_join(transform({pieces}, p -> {plain}), '')\n    ELSE {name} END"
    )
