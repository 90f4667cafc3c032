"""Attribution by lineage: the rows that carry the id of the statement, or of its cache origin."""

from collections.abc import Sequence

import polars as pl

from dbminer_dagster.mining.reference_sets import (
    COLUMNS_READ,
    TABLES_READ,
    TABLES_WRITTEN,
    collect_sets,
    uses,
)

STATEMENT = ("workspace_id", "statement_id")


def sets_by_lineage(
    statements: pl.DataFrame,
    table_lineage: pl.LazyFrame,
    column_lineage: pl.LazyFrame,
    excluded_catalogs: Sequence[str] = (),
) -> pl.DataFrame:
    """The set of each statement that lineage tells of.

    Rows with `direct_access = false` are what a view reads, not what the text names: they are no
    evidence. Column lineage may lack that flag; then table lineage of the statement tells.

    Args:
        statements: `statement_id`, `cache_origin_statement_id` of the statements of interest.
        table_lineage: Rows of `raw_table_lineage`.
        column_lineage: Rows of `raw_column_lineage`.
        excluded_catalogs: Globs; references into them are left out.

    Returns:
        `workspace_id`, `statement_id` and the columns of `collect_sets`.
    """
    origins = statements["cache_origin_statement_id"].drop_nulls()
    wanted = pl.concat([statements["statement_id"], origins]).unique()
    tables = _of_statements(table_lineage, wanted)
    columns = _of_statements(column_lineage, wanted)
    direct = pl.col("direct_access").fill_null(value=True)
    key = [*STATEMENT, "source_name"]
    indirect = (
        tables.filter(pl.col("source_name").is_not_null())
        .group_by(key)
        .agg(is_direct=direct.any())
        .filter(~pl.col("is_direct"))
    )
    tables = tables.filter(direct)
    columns = columns.filter(direct, pl.col("source_name").is_not_null()).join(
        indirect, on=key, how="anti", nulls_equal=True
    )
    used = [
        uses(tables, STATEMENT, TABLES_READ, "source_name"),
        uses(tables, STATEMENT, TABLES_WRITTEN, "target_name"),
        uses(columns, STATEMENT, TABLES_READ, "source_name"),
        uses(columns, STATEMENT, COLUMNS_READ, "source_name", "source_column"),
        uses(columns, STATEMENT, TABLES_WRITTEN, "target_name"),
    ]
    return collect_sets(pl.concat(used), STATEMENT, excluded_catalogs)


def _of_statements(lineage: pl.LazyFrame, statement_ids: pl.Series) -> pl.LazyFrame:
    present = lineage.collect_schema()
    names = [name for name in ("source_name", "target_name", "source_column") if name in present]
    return (
        lineage.join(statement_ids.to_frame("statement_id").lazy(), on="statement_id", how="semi")
        .select(*STATEMENT, "direct_access", *(pl.col(name).str.to_lowercase() for name in names))
        .unique()
    )


def with_lineage(statements: pl.DataFrame, sets: pl.DataFrame) -> pl.DataFrame:
    """Adds `set_key` and `excluded_references` to statements, null where lineage tells nothing.

    A statement's own lineage counts; else that of the statement whose cached result it was given.
    """
    found = sets.select(*STATEMENT, "set_key", "excluded_references")
    added = ("set_key", "excluded_references")
    return (
        statements.join(found, on=STATEMENT, how="left", nulls_equal=True)
        .with_columns(
            origin=pl.when(pl.col("set_key").is_null()).then("cache_origin_statement_id")
        )
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
