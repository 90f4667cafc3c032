"""Popularity of tables and columns over a window of days.

`popularity_score = user_count x ln(read_count)`. A read is a finished SELECT that uses the asset;
a statement counts once for each asset, however often its text names it. Assets that nobody read
in the window have no row.

Figures are worked out for each group of assets that the same references read, see `window_usage`.
"""

from collections.abc import Iterator

import polars as pl

from dbminer_dagster.mining.window_usage import WindowUsage, groups, reference_totals
from dbminer_dagster.schemas import POPULARITY_SCORES, QUERY_USE, USER_USE
from dbminer_dagster.windows import Window

TOP_USERS = 10
TOP_QUERIES = 5
LEVELS = ("Least popular", "Less popular", "Popular", "Most popular")
TEXT_LIMIT_CHARACTERS = 2_000
"""Texts in query lists are cut to this; the whole example stands in `query_references`."""
RANK_DECIMALS = 9
"""Scores that differ by less than the last bits of a logarithm rank alike on every engine."""
ROWS_AT_A_TIME = 8_000_000
"""Rows of group, reference and user that are in memory at once."""

QUERY_LISTS = {
    "popular_queries": "read_count",
    "slow_queries": "mean_duration_ms",
    "expensive_queries": "total_task_duration_ms",
}


def reads(members: pl.DataFrame, totals: pl.DataFrame, pairs: pl.LazyFrame) -> pl.DataFrame:
    """Reads, users and user lists of each group; ties go by name.

    Args:
        members: `group` and `reference`, see `groups`.
        totals: See `reference_totals`.
        pairs: See `WindowUsage`.
    """
    parts = []
    for part in _portions(members, totals):
        by_user = (
            part.lazy()
            .join(pairs, on="reference")
            .group_by("group", "user_name")
            .agg(read_count=pl.col("use_count").sum(), last_read_at=pl.col("last_used_at").max())
        )
        row = pl.struct(list(USER_USE.to_schema()))
        found = by_user.group_by("group").agg(
            pl.col("read_count").sum(),
            pl.col("last_read_at").max(),
            user_count=pl.len().cast(pl.Int64),
            top_users=_first(row, TOP_USERS, "read_count", "user_name"),
            recent_users=_first(row, TOP_USERS, "last_read_at", "user_name"),
        )
        parts.append(found.collect(engine="streaming"))
    lists = ("top_users", "recent_users")
    return (
        pl.concat(parts)
        .with_columns(pl.col(name).cast(pl.List(USER_USE)) for name in lists)
        .with_columns(last_read_by=pl.col("recent_users").list.first().struct["user_name"])
    )


def _first(rows: pl.Expr, count: int, column: str, tie: str) -> pl.Expr:
    return rows.sort_by(column, tie, descending=[True, False]).head(count)


def _portions(members: pl.DataFrame, totals: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Whole groups, so many at a time that their reads by user fit into memory."""
    sizes = members.join(totals, on="reference").group_by("group").agg(pl.col("user_count").sum())
    portion = (pl.col("user_count").cum_sum() - 1) // ROWS_AT_A_TIME
    numbered = sizes.sort("group").select("group", portion=portion)
    for _, portion_groups in numbered.group_by("portion"):
        yield members.join(portion_groups, on="group", how="semi")
    if numbered.is_empty():
        yield members


def query_lists(
    members: pl.DataFrame, totals: pl.DataFrame, used: WindowUsage, texts: pl.LazyFrame
) -> pl.LazyFrame:
    """`popular_queries`, `slow_queries` and `expensive_queries` of each group.

    Statements whose text nobody may see have no template and stand in no list.
    """
    hashes = used.references.select("reference", "query_hash").drop_nulls()
    of_group = members.join(hashes, on="reference").join(totals, on="reference")
    key = ["group", "query_hash"]
    counted = of_group.lazy().group_by(key).agg(
        read_count=pl.col("use_count").sum(),
        user_count=pl.col("user_count").sum(),
        mean_duration_ms=pl.col("total_duration_ms").sum() / pl.col("use_count").sum(),
        total_task_duration_ms=pl.col("total_task_duration_ms").sum(),
        last_run_at=pl.col("last_used_at").max(),
    )  # fmt: skip
    # A user of several references of one template is one user.
    shared = of_group.filter(pl.len().over(key) > 1).select(*key, "reference")
    exact = (
        shared.lazy()
        .join(used.pairs, on="reference")
        .group_by(key)
        .agg(exact_count=pl.col("user_name").n_unique().cast(pl.Int64))
        .collect(engine="streaming")
    )
    row = pl.struct(list(QUERY_USE.to_schema()))
    return (
        counted.join(exact.lazy(), on=key, how="left")
        .with_columns(user_count=pl.coalesce("exact_count", "user_count"))
        .join(texts, on="query_hash", how="left")
        .group_by("group")
        .agg(
            _first(row, TOP_QUERIES, column, "query_hash").alias(name)
            for name, column in QUERY_LISTS.items()
        )
    )


def with_score(assets: pl.LazyFrame) -> pl.LazyFrame:
    """Adds score, percentile and level to assets with `read_count` and `user_count`.

    `percentile = (r - 1) / (n - 1)` with r the average rank, ascending, among the n assets; 0 if
    there is only one.
    """
    rank = pl.col("popularity_score").round(RANK_DECIMALS).rank("average")
    # A column, since Polars divides by a scalar with its reciprocal and loses the last bit.
    others = 0 * rank + pl.len() - 1
    percentile = pl.when(others > 0).then((rank - 1) / others).otherwise(0.0)
    quarter = (pl.col("percentile") * len(LEVELS)).floor().clip(0, len(LEVELS) - 1)
    return (
        assets.with_columns(popularity_score=pl.col("user_count") * pl.col("read_count").log())
        .with_columns(percentile=percentile)
        .with_columns(popularity_level=quarter.cast(pl.Int8) + 1)
        .with_columns(
            popularity_label=pl.col("popularity_level").replace_strict(
                range(1, len(LEVELS) + 1), LEVELS, return_dtype=pl.String
            )
        )
    )


def writes(totals: pl.DataFrame, references: pl.DataFrame) -> pl.LazyFrame:
    """Writes of each table in the window."""
    return (
        references.lazy()
        .filter(pl.col("operation") == "write")
        .join(totals.lazy(), on="reference")
        .select("use_count", "last_used_at", asset="tables_written")
        .explode("asset")
        .drop_nulls("asset")
        .group_by("asset")
        .agg(write_count=pl.col("use_count").sum(), last_written_at=pl.col("last_used_at").max())
    )


def example_texts(references: pl.LazyFrame) -> pl.LazyFrame:
    """The text that stands for each template in the lists: the least one, cut if it is long."""
    return (
        references.drop_nulls(["query_hash", "statement_text"])
        .group_by("query_hash")
        .agg(pl.col("statement_text").min().str.head(TEXT_LIMIT_CHARACTERS))
    )


def popularity_of(
    asset_type: str,
    used: WindowUsage,
    texts: pl.LazyFrame,
    table_types: pl.LazyFrame,
    window: Window,
    days_present: int,
) -> pl.LazyFrame:
    """Rows of `popularity_scores` for the last day of the window, of one asset type.

    Args:
        asset_type: `table` or `column`.
        used: See `window_usage`.
        texts: See `example_texts`.
        table_types: `table_name`, `table_type`.
        window: The popularity window.
        days_present: Days of it that have been mined.
    """
    totals = reference_totals(used.pairs)
    of_asset, members = groups(used.references, asset_type)
    written = writes(totals, used.references)
    return (
        with_score(of_asset.lazy().join(reads(members, totals, used.pairs).lazy(), on="group"))
        .join(query_lists(members, totals, used, texts), on="group", how="left")
        .join(written if asset_type == "table" else written.head(0), on="asset", how="left")
        .with_columns(**_asset_names(asset_type))
        .join(table_types, on="table_name", how="left")
        .with_columns(
            pl.col("write_count").fill_null(0),
            *(pl.col(name).fill_null([]) for name in QUERY_LISTS),
            asset_type=pl.lit(asset_type),
            window_start=pl.lit(window.start),
            window_end=pl.lit(window.last_day),
            days_present=pl.lit(days_present, pl.Int32),
            days_wanted=pl.lit(window.days, pl.Int32),
            day=pl.lit(window.last_day),
        )
        .select(POPULARITY_SCORES.schema.names())
    )


def _asset_names(asset_type: str) -> dict[str, pl.Expr]:
    """Splits `table.column` at its last dot that is not inside back-quotes."""
    asset = pl.col("asset")
    if asset_type == "table":
        return {"table_name": asset, "column_name": pl.lit(None, pl.String)}
    column = asset.str.extract(r"\.(`(?:[^`]|``)*`|[^.`]*)$")
    table_length = asset.str.len_chars() - column.str.len_chars() - 1
    unquoted = pl.when(column.str.starts_with("`")).then(
        column.str.head(-1).str.slice(1).str.replace_all("``", "`", literal=True)
    ).otherwise(column)  # fmt: skip
    return {"table_name": asset.str.slice(0, table_length), "column_name": unquoted}
