"""Attribution by lineage: the rows that carry the id of the statement, or of its cache origin."""

from collections.abc import Sequence
from dataclasses import dataclass

import narwhals as nw
import polars as pl

from dbminer_dagster.engines import HASH_BITS, Engine
from dbminer_dagster.mining.paths import with_tables
from dbminer_dagster.mining.reference_sets import (
    COLUMNS_READ,
    TABLES_READ,
    TABLES_READ_INDIRECTLY,
    TABLES_WRITTEN,
    collect_sets,
    uses,
)

STATEMENT = ["workspace_id", "statement_id"]
NAMES = ("source_name", "source_column", "target_name")
ENDS = [f"{end}_{part}" for end in ("source", "target") for part in ("path", "type")]
KEY = "statement_key"
KEY_BITS = 63
"""A day of ten million statements takes one for another once in a thousand centuries."""
_ORIGIN = ["workspace_id", "cache_origin_statement_id"]
_ORIGIN_KEY = "origin_key"
_SHAPE = ["shape", "shape_2", "row_count"]
TOLD = ["set_hash", "excluded_references"]


@dataclass(frozen=True, slots=True)
class DayLineage:
    """Raw lineage of a day and the one before it: a cached result has the lineage of its origin.

    Attributes:
        tables: Rows of `raw_table_lineage`.
        columns: Rows of `raw_column_lineage`.
        tables_at_paths: The tables that lie at paths, see `paths.tables_at`.
    """

    tables: nw.LazyFrame
    columns: nw.LazyFrame
    tables_at_paths: pl.DataFrame


@dataclass(frozen=True, slots=True)
class LineageSets:
    """What lineage tells of statements.

    Attributes:
        sets: See `collect_sets`, each with a `set_number` of its own; a set may stand there more
            than once.
        statements: `KEY` and `set_number` of each statement that lineage tells of.
    """

    sets: pl.DataFrame
    statements: nw.LazyFrame


def sets_by_lineage(
    engine: Engine, lineage: DayLineage, excluded_catalogs: Sequence[str] = ()
) -> LineageSets:
    """The set of each statement that lineage tells of.

    Rows with `direct_access = false` are what a view reads, not what the text names: by
    themselves they are no evidence. Column lineage may lack that flag; then table lineage of the
    statement tells.

    Most statements share their rows with many others: sets are only collected for one of each.

    Args:
        engine: Runs the frames.
        lineage: The rows.
        excluded_catalogs: Globs; references into them are left out.
    """
    shapes = _shapes(engine, lineage)
    examples = engine.collect(shapes.group_by(_SHAPE).agg(nw.col(KEY).min()))
    tables, columns = (
        _rows_of(engine, rows, examples, lineage.tables_at_paths)
        for rows in (lineage.tables, lineage.columns)
    )
    sets = _collected(tables, columns, excluded_catalogs)
    numbered = sets.with_columns(set_number=pl.struct(TOLD).rank("dense").cast(pl.Int64))
    set_of_shape = examples.join(numbered, on=KEY).select(*_SHAPE, "set_number")
    found = shapes.join(engine.frame(set_of_shape), on=_SHAPE, how="inner")
    return LineageSets(
        numbered.drop(KEY).unique("set_number"),
        engine.keep(found.select(KEY, "set_number")),
    )


def with_workspace(
    statements: nw.LazyFrame, table_lineage: nw.LazyFrame, told_by: str = "statement_id"
) -> nw.LazyFrame:
    """Fills the workspace of statements that came without one, as raw API pages do.

    Statement ids are unique beyond a workspace, so lineage of the same statement tells it.

    Args:
        statements: `workspace_id` and the id, among others.
        table_lineage: Rows of `raw_table_lineage`.
        told_by: The column of the id: the statement's own, or that of its cache origin.
    """
    ids = statements.filter(nw.col("workspace_id").is_null()).select(statement_id=told_by)
    told = (
        table_lineage.join(ids, on="statement_id", how="semi")
        .group_by(nw.col("statement_id").alias(told_by))
        .agg(nw.col("workspace_id").max().alias("told_workspace"))
    )
    return (
        statements.join(told, on=told_by, how="left")
        .with_columns(workspace_id=nw.coalesce("workspace_id", "told_workspace"))
        .drop("told_workspace")
    )


def with_lineage(engine: Engine, statements: nw.LazyFrame, found: nw.LazyFrame) -> nw.LazyFrame:
    """Adds `set_number` to statements, null where lineage tells nothing.

    A statement's own lineage counts; else that of the statement whose cached result it was given.

    Args:
        engine: Runs the frames.
        statements: The statements.
        found: See `LineageSets.statements`.
    """
    named = _with_workspace_name(statements)
    keyed = _with_key(engine, _with_key(engine, named, STATEMENT, KEY), _ORIGIN, _ORIGIN_KEY)
    by_itself = engine.look_up(keyed, found, [KEY])
    origins = found.rename({KEY: _ORIGIN_KEY, "set_number": "origin_set"})
    return (
        engine.look_up(by_itself, origins, [_ORIGIN_KEY])
        .with_columns(set_number=nw.coalesce("set_number", "origin_set"))
        .drop(KEY, _ORIGIN_KEY, "origin_set")
    )


def _with_key(
    engine: Engine, rows: nw.LazyFrame, columns: Sequence[str], name: str
) -> nw.LazyFrame:
    """Adds a number for an id, since numbers take less room, and less time to join."""
    hashed = engine.with_row_hash(rows, columns, [name, "low"])
    low = 2 ** (KEY_BITS - HASH_BITS)
    return hashed.with_columns((nw.col(name) * low + nw.col("low") % low).alias(name)).drop("low")


def _with_workspace_name(rows: nw.LazyFrame) -> nw.LazyFrame:
    """No workspace is called by the empty name, and joins find it, unlike null."""
    return rows.with_columns(nw.col("workspace_id").fill_null(""))


def _of_statements(engine: Engine, rows: nw.LazyFrame) -> nw.LazyFrame:
    """The lineage of statements, with their `KEY`."""
    told = rows.filter(~nw.col("statement_id").is_null())
    return _with_key(engine, _with_workspace_name(told), STATEMENT, KEY)


def _shapes(engine: Engine, lineage: DayLineage) -> nw.LazyFrame:
    """Each statement that has lineage, and sums that tell its rows from other rows.

    Returns:
        `KEY` and `_SHAPE`.
    """
    with_paths = lineage.tables_at_paths.height > 0
    hashed = nw.concat(
        [
            _hashed(engine, rows.with_columns(kind=nw.lit(kind)), with_paths=with_paths)
            for kind, rows in enumerate((lineage.tables, lineage.columns))
        ]
    )
    # As a rule a statement that has lineage has table lineage, and more than one row of it.
    rows = engine.collect(lineage.tables.select(nw.len())).item()
    passes = rows // engine.rows_at_a_time + 1
    part = nw.col(KEY) % passes
    return nw.concat(
        [engine.keep(_summed(hashed.filter(part == number))) for number in range(passes)]
    )


def _hashed(engine: Engine, rows: nw.LazyFrame, *, with_paths: bool) -> nw.LazyFrame:
    """`KEY` of each row, and hashes of what it tells."""
    told = [name for name in ("direct_access", *NAMES, "kind") if name in _names(rows)]
    paths = [_path_of_nameless(end) for end in ("source", "target") if with_paths]
    wanted = _of_statements(engine, rows).select(KEY, *told, *paths)
    told_by = [name for name in _names(wanted) if name != KEY]
    return engine.with_row_hash(wanted, told_by, _SHAPE[:2]).select(KEY, *_SHAPE[:2])


def _names(rows: nw.LazyFrame) -> list[str]:
    return rows.collect_schema().names()


def _summed(hashed: nw.LazyFrame) -> nw.LazyFrame:
    return hashed.group_by(KEY).agg(
        *(nw.col(name).sum().alias(name) for name in _SHAPE[:2]),
        nw.len().cast(nw.Int64).alias(_SHAPE[2]),
    )


def _path_of_nameless(end: str) -> nw.Expr:
    path = f"{end}_path"
    return nw.when(nw.col(f"{end}_name").is_null()).then(nw.col(path)).alias(path)


def _rows_of(
    engine: Engine, rows: nw.LazyFrame, examples: pl.DataFrame, tables_at_paths: pl.DataFrame
) -> pl.LazyFrame:
    """The lineage of the example statements, with the tables that lie at its paths."""
    names = [name for name in NAMES if name in _names(rows)]
    told = (
        _of_statements(engine, rows)
        .join(engine.frame(examples.select(KEY)), on=KEY, how="inner")
        .select(KEY, "direct_access", *names, *ENDS)
    )
    return with_tables(engine.collect(told).lazy(), tables_at_paths)


def _collected(
    tables: pl.LazyFrame, columns: pl.LazyFrame, excluded_catalogs: Sequence[str]
) -> pl.DataFrame:
    """The set of each statement that has rows of its own, and not just those of a view."""
    tables, columns = _lower_case(tables), _lower_case(columns)
    direct = pl.col("direct_access").fill_null(value=True)
    key = [KEY, "source_name"]
    by_view = tables.group_by(key).agg(is_direct=direct.any()).filter(~pl.col("is_direct"))
    tables_used = tables.filter(direct)
    columns_used = (
        columns.filter(direct).drop_nulls("source_name").join(by_view, on=key, how="anti")
    )
    read = [rows.select(key).drop_nulls() for rows in (tables_used, columns_used)]
    reached = [rows.filter(~direct).select(key).drop_nulls() for rows in (tables, columns)]
    indirect = (
        pl.concat(reached)
        .join(pl.concat(read), on=key, how="anti")
        .join(pl.concat([tables_used, columns_used], how="diagonal"), on=KEY, how="semi")
    )
    return collect_sets(
        pl.concat(
            [
                uses(tables_used, [KEY], TABLES_READ, "source_name"),
                uses(tables_used, [KEY], TABLES_WRITTEN, "target_name"),
                uses(columns_used, [KEY], TABLES_READ, "source_name"),
                uses(columns_used, [KEY], COLUMNS_READ, "source_name", "source_column"),
                uses(columns_used, [KEY], TABLES_WRITTEN, "target_name"),
                uses(indirect, [KEY], TABLES_READ_INDIRECTLY, "source_name"),
            ]
        ),
        [KEY],
        excluded_catalogs,
    )


def _lower_case(rows: pl.LazyFrame) -> pl.LazyFrame:
    present = rows.collect_schema()
    names = [name for name in NAMES if name in present]
    return rows.select(KEY, "direct_access", pl.col(names).str.to_lowercase()).unique()
