"""Attribution by lineage: the rows that carry the id of the statement, or of its cache origin."""

from collections.abc import Sequence
from dataclasses import dataclass

import narwhals as nw
import polars as pl

from dbminer_dagster.engines import Engine
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
_SHAPE = ["shape", "shape_2", "row_count"]
_FOUND = ["set_hash", "excluded_references"]


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
        sets: See `collect_sets`; a set may stand there more than once.
        statements: `workspace_id` (never null), `statement_id`, `set_hash` and
            `excluded_references` of each statement that lineage tells of.
    """

    sets: pl.DataFrame
    statements: nw.LazyFrame


def sets_by_lineage(
    engine: Engine,
    statements: nw.LazyFrame,
    lineage: DayLineage,
    excluded_catalogs: Sequence[str] = (),
) -> LineageSets:
    """The set of each statement that lineage tells of.

    Rows with `direct_access = false` are what a view reads, not what the text names: by
    themselves they are no evidence. Column lineage may lack that flag; then table lineage of the
    statement tells.

    Most statements share their rows with many others: sets are only collected for one of each.

    Args:
        engine: Runs the frames.
        statements: `workspace_id`, `statement_id`, `cache_origin_statement_id` of the statements
            of interest.
        lineage: The rows.
        excluded_catalogs: Globs; references into them are left out.
    """
    named = _with_workspace_name(statements)
    wanted = nw.concat(
        [
            named.select(STATEMENT),
            named.select("workspace_id", statement_id="cache_origin_statement_id"),
        ]
    ).filter(~nw.col("statement_id").is_null())
    shapes = engine.keep(_shapes(engine, wanted, lineage))
    of_shape = shapes.group_by(_SHAPE).agg(nw.col("statement").min().alias("statement"))
    examples = engine.collect(of_shape)
    tables, columns = (
        _rows_of(engine, rows, examples, lineage.tables_at_paths)
        for rows in (lineage.tables, lineage.columns)
    )
    sets = _collected(tables, columns, excluded_catalogs)
    set_of_shape = examples.join(sets, on="statement").select(*_SHAPE, *_FOUND)
    found = shapes.join(engine.frame(set_of_shape), on=_SHAPE, how="inner")
    return LineageSets(sets.drop("statement"), found.select(*STATEMENT, *_FOUND))


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


def with_lineage(statements: nw.LazyFrame, found: nw.LazyFrame) -> nw.LazyFrame:
    """Adds `set_hash` and `excluded_references` to statements, null where lineage tells nothing.

    A statement's own lineage counts; else that of the statement whose cached result it was given.

    Args:
        statements: The statements.
        found: See `LineageSets.statements`.
    """
    origin_names = {name: f"origin_{name}" for name in ("statement_id", *_FOUND)}
    has_none = nw.col("set_hash").is_null()
    return (
        _with_workspace_name(statements)
        .join(found, on=STATEMENT, how="left")
        .with_columns(
            origin_statement_id=nw.when(has_none).then(nw.col("cache_origin_statement_id"))
        )
        .join(found.rename(origin_names), on=["workspace_id", "origin_statement_id"], how="left")
        .with_columns(nw.coalesce(name, f"origin_{name}").alias(name) for name in _FOUND)
        .drop(list(origin_names.values()))
    )


def _with_workspace_name(rows: nw.LazyFrame) -> nw.LazyFrame:
    """No workspace is called by the empty name, and joins find it, unlike null."""
    return rows.with_columns(nw.col("workspace_id").fill_null(""))


def _shapes(engine: Engine, wanted: nw.LazyFrame, lineage: DayLineage) -> nw.LazyFrame:
    """Each wanted statement that has lineage, and sums that tell its rows from other rows.

    Returns:
        `STATEMENT`, `_SHAPE`, and `statement`, one text that identifies it.
    """
    with_paths = lineage.tables_at_paths.height > 0
    parts = []
    for number, rows in enumerate((lineage.tables, lineage.columns)):
        of_wanted = _with_workspace_name(rows).join(wanted, on=STATEMENT, how="semi")
        names = [name for name in NAMES if name in rows.collect_schema().names()]
        told = of_wanted.select(
            *STATEMENT,
            "direct_access",
            *names,
            *(_path_of_nameless(end) for end in ("source", "target") if with_paths),
            kind=nw.lit(number),
        )
        told_by = [name for name in told.collect_schema().names() if name not in STATEMENT]
        hashed = engine.with_row_hash(told, told_by, _SHAPE[:2])
        parts.append(hashed.select(*STATEMENT, *_SHAPE[:2]))
    statement = nw.concat_str("workspace_id", nw.lit("\x1f"), "statement_id")
    return (
        nw.concat(parts)
        .group_by(STATEMENT)
        .agg(
            *(nw.col(name).sum().alias(name) for name in _SHAPE[:2]),
            nw.len().cast(nw.Int64).alias(_SHAPE[2]),
        )
        .with_columns(statement=statement)
    )


def _path_of_nameless(end: str) -> nw.Expr:
    path = f"{end}_path"
    return nw.when(nw.col(f"{end}_name").is_null()).then(nw.col(path)).alias(path)


def _rows_of(
    engine: Engine, rows: nw.LazyFrame, examples: pl.DataFrame, tables_at_paths: pl.DataFrame
) -> pl.LazyFrame:
    """The lineage of the example statements, with the tables that lie at its paths."""
    wanted = examples.select(
        "statement",
        pl.col("statement").str.splitn("\x1f", 2).struct.rename_fields(STATEMENT).alias("key"),
    ).unnest("key")
    names = [name for name in NAMES if name in rows.collect_schema().names()]
    told = (
        _with_workspace_name(rows)
        .join(engine.frame(wanted), on=STATEMENT, how="inner")
        .select("statement", "direct_access", *names, *ENDS)
    )
    return with_tables(engine.collect(told).lazy(), tables_at_paths)


def _collected(
    tables: pl.LazyFrame, columns: pl.LazyFrame, excluded_catalogs: Sequence[str]
) -> pl.DataFrame:
    """The set of each statement that has rows of its own, and not just those of a view."""
    tables, columns = _lower_case(tables), _lower_case(columns)
    direct = pl.col("direct_access").fill_null(value=True)
    key = ["statement", "source_name"]
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
        .join(pl.concat([tables_used, columns_used], how="diagonal"), on="statement", how="semi")
    )
    return collect_sets(
        pl.concat(
            [
                uses(tables_used, ["statement"], TABLES_READ, "source_name"),
                uses(tables_used, ["statement"], TABLES_WRITTEN, "target_name"),
                uses(columns_used, ["statement"], TABLES_READ, "source_name"),
                uses(columns_used, ["statement"], COLUMNS_READ, "source_name", "source_column"),
                uses(columns_used, ["statement"], TABLES_WRITTEN, "target_name"),
                uses(indirect, ["statement"], TABLES_READ_INDIRECTLY, "source_name"),
            ]
        ),
        ["statement"],
        excluded_catalogs,
    )


def _lower_case(rows: pl.LazyFrame) -> pl.LazyFrame:
    present = rows.collect_schema()
    names = [name for name in NAMES if name in present]
    return rows.select("statement", "direct_access", pl.col(names).str.to_lowercase()).unique()
