"""Attribution by lineage: the rows that carry the id of the statement, or of its cache origin."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor

import polars as pl

from dbminer_dagster.mining.reference_sets import (
    COLUMNS_READ,
    TABLES_READ,
    TABLES_WRITTEN,
    collect_sets,
    uses,
)

STATEMENT = ("workspace_id", "statement_id")
NAMES = ("source_name", "source_column", "target_name")
_KEY = ["statement"]
_SHAPE = ["shape", "shape_2", "row_count"]
_HASH_BITS = 40
"""Sums of so many bits cannot overflow; two of them tell the rows of two statements apart."""


@dataclass(frozen=True, slots=True)
class LineageSets:
    """What lineage tells of a day's statements.

    Attributes:
        sets: See `collect_sets`; a set may stand there more than once.
        statements: `workspace_id`, `statement_id`, `set_key`, `excluded_references` of each
            statement that lineage tells of.
    """

    sets: pl.DataFrame
    statements: pl.DataFrame


def sets_by_lineage(
    statements: pl.DataFrame,
    table_lineage: pl.LazyFrame,
    column_lineage: pl.LazyFrame,
    excluded_catalogs: Sequence[str] = (),
) -> LineageSets:
    """The set of each statement that lineage tells of.

    Rows with `direct_access = false` are what a view reads, not what the text names: they are no
    evidence. Column lineage may lack that flag; then table lineage of the statement tells.

    Most statements share their rows with many others: sets are only collected for one of each.

    Args:
        statements: `workspace_id`, `statement_id`, `cache_origin_statement_id` of the statements
            of interest.
        table_lineage: Rows of `raw_table_lineage`.
        column_lineage: Rows of `raw_column_lineage`.
        excluded_catalogs: Globs; references into them are left out.
    """
    origins = statements.select("workspace_id", statement_id="cache_origin_statement_id")
    wanted = (
        pl.concat([statements.select(STATEMENT), origins])
        .drop_nulls("statement_id")
        .unique()
        .with_row_index(_KEY[0])
    )
    shapes = _shapes(wanted, table_lineage, column_lineage)
    examples = shapes.unique(_SHAPE)
    of_examples = wanted.join(examples, on=_KEY, how="semi")
    sets = _collected(
        _rows(of_examples, table_lineage), _rows(of_examples, column_lineage), excluded_catalogs
    )
    set_of_shape = examples.join(sets, on=_KEY).select(*_SHAPE, "set_key", "excluded_references")
    found = shapes.join(set_of_shape, on=_SHAPE).join(wanted, on=_KEY)
    return LineageSets(sets, found.select(*STATEMENT, "set_key", "excluded_references"))


def with_workspace(statements: pl.DataFrame, lineage: pl.LazyFrame) -> pl.DataFrame:
    """Fills the workspace of statements that came without one, as raw API pages do.

    Statement ids are unique beyond a workspace, so lineage of the same statement tells it.

    Args:
        statements: `workspace_id` and `statement_id` among others.
        lineage: Rows of raw lineage.
    """
    nameless = statements.filter(pl.col("workspace_id").is_null()).select("statement_id").unique()
    if nameless.is_empty():
        return statements
    told = (
        lineage.join(nameless.lazy(), on="statement_id", how="semi")
        .group_by("statement_id")
        .agg(told_workspace=pl.col("workspace_id").max())
        .collect()
    )
    return (
        statements.join(told, on="statement_id", how="left", maintain_order="left")
        .with_columns(pl.coalesce("workspace_id", "told_workspace"))
        .drop("told_workspace")
    )


def _rows(wanted: pl.DataFrame, lineage: pl.LazyFrame) -> pl.LazyFrame:
    """The lineage of the wanted statements, with their number."""
    present = lineage.collect_schema()
    return lineage.join(wanted.lazy(), on=STATEMENT, nulls_equal=True).select(
        *_KEY, "direct_access", *(name for name in NAMES if name in present)
    )


def _shapes(wanted: pl.DataFrame, *lineage: pl.LazyFrame) -> pl.DataFrame:
    """Each statement that has lineage, and two sums that tell its rows from other rows."""
    hashed = []
    for number, rows in enumerate(_rows(wanted, frame) for frame in lineage):
        columns = rows.collect_schema().names()[len(_KEY) :]
        hashes = (pl.col(name).hash(seed) for seed, name in enumerate(columns))
        hashed.append(rows.select(*_KEY, row=reduce(xor, hashes).hash(number)))
    shape, shape_2 = ((pl.col("row").hash(seed) % 2**_HASH_BITS).sum() for seed in (1, 2))
    return (
        pl.concat(hashed)
        .group_by(_KEY)
        .agg(shape=shape, shape_2=shape_2, row_count=pl.len())
        .collect(engine="streaming")
    )


def _collected(
    tables: pl.LazyFrame, columns: pl.LazyFrame, excluded_catalogs: Sequence[str]
) -> pl.DataFrame:
    tables, columns = _lower_case(tables), _lower_case(columns)
    direct = pl.col("direct_access").fill_null(value=True)
    key = [*_KEY, "source_name"]
    indirect = (
        tables.drop_nulls("source_name")
        .group_by(key)
        .agg(is_direct=direct.any())
        .filter(~pl.col("is_direct"))
    )
    tables = tables.filter(direct)
    columns = columns.filter(direct).drop_nulls("source_name").join(indirect, on=key, how="anti")
    used = [
        uses(tables, _KEY, TABLES_READ, "source_name"),
        uses(tables, _KEY, TABLES_WRITTEN, "target_name"),
        uses(columns, _KEY, TABLES_READ, "source_name"),
        uses(columns, _KEY, COLUMNS_READ, "source_name", "source_column"),
        uses(columns, _KEY, TABLES_WRITTEN, "target_name"),
    ]
    return collect_sets(pl.concat(used), _KEY, excluded_catalogs)


def _lower_case(rows: pl.LazyFrame) -> pl.LazyFrame:
    present = rows.collect_schema()
    return rows.with_columns(
        pl.col(name).str.to_lowercase() for name in NAMES if name in present
    ).unique()


def with_lineage(statements: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Adds `set_key` and `excluded_references` to statements, null where lineage tells nothing.

    A statement's own lineage counts; else that of the statement whose cached result it was given.

    Args:
        statements: The statements.
        found: See `LineageSets.statements`.
    """
    added = ("set_key", "excluded_references")
    return (
        statements.join(found, on=STATEMENT, how="left", nulls_equal=True)
        .with_columns(origin=pl.when(pl.col("set_key").is_null()).then("cache_origin_statement_id"))
        .join(
            found,
            left_on=["workspace_id", "origin"],
            right_on=STATEMENT,
            how="left",
            nulls_equal=True,
            suffix="_origin",
        )
        .with_columns(pl.coalesce(name, f"{name}_origin") for name in added)
        .drop("origin", *(f"{name}_origin" for name in added))
    )
