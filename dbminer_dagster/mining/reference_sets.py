"""Reference sets: what is read and written, as distinct tuples of sorted lists.

Statements point to sets by `set_hash`, so that lists are built and compared once for each distinct
set and never once for each statement.
"""

from collections.abc import Sequence

import polars as pl

from dbminer_dagster.mining.resolution import in_catalogs, quoted
from dbminer_dagster.mining.templates import text_hash
from dbminer_dagster.schemas import STRINGS

TABLES_READ, COLUMNS_READ, TABLES_WRITTEN, TABLES_READ_INDIRECTLY = KINDS = (
    "tables_read",
    "columns_read",
    "tables_written",
    "tables_read_indirectly",
)
SEPARATOR = "\x1e"


def uses(
    rows: pl.LazyFrame, key: Sequence[str], kind: str, table: str, column: str = ""
) -> pl.LazyFrame:
    """One row for each use: `key`, `kind`, `table`, `name`.

    A null table stays as a row: it tells that there is evidence, though of nothing used.

    Args:
        rows: Anything with `key`, and names in the columns called `table` and `column`.
        key: What the sets are collected by.
        kind: One of `KINDS`.
        table: Column that holds the table's name.
        column: Column that holds the column's name, for `columns_read`.
    """
    name = pl.col(table) + "." + quoted(pl.col(column)) if column else pl.col(table)
    return rows.select(*key, kind=pl.lit(kind), table=pl.col(table), name=name)


def collect_sets(used: pl.LazyFrame, key: Sequence[str], excluded: Sequence[str]) -> pl.DataFrame:
    """Uses to sets.

    Args:
        used: See `uses`.
        key: What the sets are collected by.
        excluded: Globs of catalogs; references into them are left out.

    Returns:
        One row for each key: the lists, `set_key` that spells them, `set_hash` of that, and
        `excluded_references`: how many tables were left out.
    """
    is_excluded, kind_of_use = pl.col("is_excluded"), pl.col("kind")
    lists = [
        pl.col("name").filter(kind_of_use == kind, ~is_excluded).drop_nulls().alias(kind)
        for kind in KINDS
    ]
    left_out = pl.col("table").filter(is_excluded).n_unique().cast(pl.Int64)
    *always, indirect = (pl.col(kind).list.join(SEPARATOR) for kind in KINDS)
    # Without indirect reads the key, and thus all hashes of it, are as in the first release.
    keys = [*always, pl.when(indirect != "").then(indirect)]
    sets = (
        used.unique()
        .with_columns(is_excluded=in_catalogs(pl.col("table"), excluded))
        # One sort for all: groups keep the order of their rows.
        .sort("name")
        .group_by(key)
        .agg(*lists, excluded_references=left_out)
        .with_columns(pl.col(kind).cast(STRINGS) for kind in KINDS)
        .with_columns(set_key=pl.concat_str(keys, separator=SEPARATOR * 2, ignore_nulls=True))
        .collect()
    )
    hashes = sets.select(pl.col("set_key").unique()).with_columns(
        set_hash=pl.col("set_key").map_elements(text_hash, return_dtype=pl.String)
    )
    return sets.join(hashes, on="set_key")
