"""Columns whose table the text does not tell, by the columns that tables are known to have.

The innermost query that has a source with the column supplies it, as in SQL. A finished statement
is not ambiguous, so of several tables the one that has the column is meant, even where another's
columns are unknown. What this does not settle is unresolved, with a reason; nothing is guessed.
"""

from typing import NamedTuple

import polars as pl

_LEVEL = ["context_id", "candidate", "level"]
_COLUMN = ["context_id", "candidate"]


class ResolvedColumns(NamedTuple):
    """What became of candidates and stars.

    Attributes:
        found: `context_id`, `resolved` (the table), `column_name`; a pair may repeat.
        unresolved: `context_id`, `reason`, `name`: `unknown_column` (no table in sight has it)
            or `ambiguous_column` with the column, `star_of_unknown_columns` with the table.
    """

    found: pl.DataFrame
    unresolved: pl.DataFrame


def resolve_columns(
    contexts: pl.DataFrame, templates: pl.DataFrame, tables: pl.DataFrame, columns: pl.LazyFrame
) -> ResolvedColumns:
    """Finds the tables of candidate columns, and the columns of stars.

    Args:
        contexts: `context_id`, `query_hash`.
        templates: `query_hash`, `candidates`, `stars`; see `parse_cache.TEMPLATE_SCHEMA`.
        tables: `context_id`, `name`, `resolved`: what the names of tables read mean.
        columns: `table_name`, `columns`: of any tables; null or empty where unknown.
    """
    templates = templates.filter(
        pl.any_horizontal(pl.col("candidates", "stars").list.len().fill_null(0) > 0)
    )
    contexts = contexts.join(templates.select("query_hash"), on="query_hash", how="semi")
    tables = tables.join(contexts, on="context_id", how="semi").select(
        "context_id", table_name="name", resolved="resolved"
    )
    wanted = tables.lazy().select(table_name="resolved").unique()
    known = (
        columns.select("table_name", column_name="columns")
        .join(wanted, on="table_name", how="semi")
        .explode("column_name")
        .drop_nulls()
        .unique()
        .rename({"table_name": "resolved"})
        .collect()
    )
    found = [
        _candidates(contexts, templates, tables, known),
        _stars(contexts, templates, tables, known),
    ]
    return ResolvedColumns(*(pl.concat(frames) for frames in zip(*found, strict=True)))


def _candidates(
    contexts: pl.DataFrame, templates: pl.DataFrame, tables: pl.DataFrame, known: pl.DataFrame
) -> ResolvedColumns:
    levels = _levels(contexts, templates, tables, known)
    hit_count, unknown_count = pl.col("hits").list.len(), pl.col("unknown").list.len()
    may_be_table = hit_count + unknown_count > 0
    innermost = (
        levels.filter(may_be_table | pl.col("is_open"))
        .sort("level")
        .group_by(_COLUMN, maintain_order=True)
        .agg(
            pl.col("column_name", "hits", "unknown", "is_open", "is_shared").first(),
            is_last=pl.len() == 1,
            further_tables=may_be_table.slice(1).any(),
        )
    )
    is_hit = (hit_count == 1) | ((hit_count > 1) & pl.col("is_shared"))
    is_only_choice = (
        (hit_count == 0) & (unknown_count == 1) & ~pl.col("is_open") & pl.col("is_last")
    )
    settled = innermost.with_columns(
        resolved=pl.when(is_hit).then("hits").when(is_only_choice).then("unknown"),
        is_no_table=~may_be_table & ~pl.col("further_tables"),
    )
    ambiguous = settled.filter(pl.col("resolved").is_null(), ~pl.col("is_no_table"))
    nowhere = levels.join(settled, on=_COLUMN, how="anti").unique(_COLUMN)
    reasons = ((ambiguous, "ambiguous_column"), (nowhere, "unknown_column"))
    return ResolvedColumns(
        settled.select("context_id", "resolved", "column_name").explode("resolved").drop_nulls(),
        pl.concat(
            frame.select("context_id", reason=pl.lit(reason), name="column_name")
            for frame, reason in reasons
        ),
    )


def _levels(
    contexts: pl.DataFrame, templates: pl.DataFrame, tables: pl.DataFrame, known: pl.DataFrame
) -> pl.DataFrame:
    """For each level of a candidate: tables that have the column (`hits`), and tables that may."""
    levels = (
        templates.lazy()
        .select("query_hash", "candidates")
        .explode("candidates")
        .drop_nulls("candidates")
        .with_row_index("candidate")
        .unnest("candidates")
        .with_columns(level=pl.int_ranges(pl.col("levels").list.len()))
        .explode("levels", "level")
        .unnest("levels")
        .explode("tables", empty_as_null=True)
        .rename({"tables": "table_name"})
    )
    has_column = known.lazy().with_columns(has_column=pl.lit(value=True))
    is_known = known.lazy().select("resolved", is_known=pl.lit(value=True)).unique()
    table = pl.col("resolved")
    return (
        contexts.lazy()
        .join(levels, on="query_hash")
        .join(tables.lazy(), on=["context_id", "table_name"], how="left")
        .join(has_column, on=["resolved", "column_name"], how="left")
        .join(is_known, on="resolved", how="left")
        .group_by(*_LEVEL, "column_name", "is_shared")
        .agg(
            hits=table.filter("has_column").unique().sort(),
            unknown=table.filter(table.is_not_null(), pl.col("is_known").is_null()).unique(),
            # A name that means no known table, such as a temporary view's, may have any column.
            is_open=(
                pl.col("is_open") | (table.is_null() & pl.col("table_name").is_not_null())
            ).any(),
        )
        .collect()
    )


def _stars(
    contexts: pl.DataFrame, templates: pl.DataFrame, tables: pl.DataFrame, known: pl.DataFrame
) -> ResolvedColumns:
    stars = (
        templates.lazy()
        .select("query_hash", "stars")
        .explode("stars")
        .drop_nulls("stars")
        .with_row_index("star")
        .unnest("stars")
    )
    of_table = (
        contexts.lazy()
        .join(stars, on="query_hash")
        .join(tables.lazy(), on=["context_id", "table_name"])
        .drop_nulls("resolved")
        .join(known.lazy(), on="resolved", how="left")
        .filter(~pl.col("excluded").list.contains(pl.col("column_name")).fill_null(value=False))
    )
    is_joined = pl.col("shared_with").list.len() > 0
    other = (
        of_table.filter(is_joined)
        .explode("shared_with")
        .join(
            tables.lazy().rename({"table_name": "shared_with", "resolved": "other"}),
            on=["context_id", "shared_with"],
        )
        .drop_nulls("other")
    )
    shared = other.join(
        known.lazy().rename({"resolved": "other"}), on=["other", "column_name"], how="semi"
    )
    unknown_other = other.select(resolved="other", context_id="context_id").join(
        known.lazy(), on="resolved", how="anti"
    )
    pair = ["context_id", "resolved", "column_name"]
    found = pl.concat([of_table.filter(~is_joined).select(pair), shared.select(pair)])
    unknown = pl.concat(
        [
            of_table.filter(pl.col("column_name").is_null()).select("context_id", "resolved"),
            unknown_other.select("context_id", "resolved"),
        ]
    )
    return ResolvedColumns(
        found.drop_nulls("column_name").collect(),
        unknown.unique()
        .select("context_id", reason=pl.lit("star_of_unknown_columns"), name="resolved")
        .collect(),
    )
