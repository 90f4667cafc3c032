"""Popularity of tables and columns over a window of days.

`popularity_score = user_count x ln(read_count)`. A read is a finished SELECT that uses the asset;
a statement counts once for each asset, however often its text names it. Assets that nobody read
in the window have no row.
"""

from functools import reduce

import polars as pl

from dbminer_dagster.schemas import POPULARITY_SCORES, QUERY_USE, USER_USE
from dbminer_dagster.windows import Window

TOP_USERS = 10
TOP_QUERIES = 5
LEVELS = ("Least popular", "Less popular", "Popular", "Most popular")
TEXT_LIMIT_CHARACTERS = 2_000
"""Texts in query lists are cut to this; the whole example stands in `query_references`."""
RANK_DECIMALS = 9
"""Scores that differ by less than the last bits of a logarithm rank alike on every engine."""

QUERY_LISTS = {
    "popular_queries": "read_count",
    "slow_queries": "mean_duration_ms",
    "expensive_queries": "total_task_duration_ms",
}
LISTS = {"table": "tables_read", "column": "columns_read"}


def window_usage(usage: pl.LazyFrame, references: pl.LazyFrame) -> pl.LazyFrame:
    """Daily rows of the window to one row for each reference and user, with the references.

    The hash of a reference covers all that it names, so any day's row of it serves.
    """
    summed = usage.group_by("reference_hash", "user_name").agg(
        use_count=pl.col("statement_count").sum(),
        total_duration_ms=pl.col("total_duration_ms").sum(),
        total_task_duration_ms=pl.col("total_task_duration_ms").sum(),
        last_used_at=pl.col("last_used_at").max(),
    )
    distinct = references.select(
        "reference_hash", "query_hash", "operation", "tables_read", "columns_read", "tables_written"
    ).unique("reference_hash")
    return summed.join(distinct, on="reference_hash")


def reads(used: pl.LazyFrame, asset_type: str) -> pl.LazyFrame:
    """One row for each asset, reference and user that read it: `asset` and the sums."""
    return (
        used.filter(pl.col("operation") == "read")
        .select(
            "reference_hash",
            "query_hash",
            "user_name",
            "use_count",
            "total_duration_ms",
            "total_task_duration_ms",
            "last_used_at",
            asset=LISTS[asset_type],
        )
        .explode("asset")
        .drop_nulls("asset")
    )


def scores(read: pl.LazyFrame) -> pl.LazyFrame:
    """Score, percentile and level of each asset.

    `percentile = (r - 1) / (n - 1)` with r the average rank, ascending, among the n assets; 0 if
    there is only one.
    """
    rank = pl.col("popularity_score").round(RANK_DECIMALS).rank("average")
    others = pl.len() - 1
    percentile = pl.when(others > 0).then((rank - 1) / others).otherwise(0.0)
    quarter = (pl.col("percentile") * len(LEVELS)).floor().clip(0, len(LEVELS) - 1)
    return (
        read.group_by("asset")
        .agg(
            read_count=pl.col("use_count").sum(),
            user_count=pl.col("user_name").n_unique().cast(pl.Int64),
            last_read_at=pl.col("last_used_at").max(),
        )
        .with_columns(popularity_score=pl.col("user_count") * pl.col("read_count").log())
        .with_columns(percentile=percentile)
        .with_columns(popularity_level=quarter.cast(pl.Int8) + 1)
        .with_columns(
            popularity_label=pl.col("popularity_level").replace_strict(
                range(1, len(LEVELS) + 1), LEVELS, return_dtype=pl.String
            )
        )
    )


def user_lists(read: pl.LazyFrame) -> pl.LazyFrame:
    """`top_users`, `recent_users` and `last_read_by` of each asset; ties go by name."""
    by_user = read.group_by("asset", "user_name").agg(
        read_count=pl.col("use_count").sum(), last_read_at=pl.col("last_used_at").max()
    )
    user = pl.struct(list(USER_USE.to_schema()))
    return by_user.group_by("asset").agg(
        top_users=_first(user, TOP_USERS, "read_count"),
        recent_users=_first(user, TOP_USERS, "last_read_at"),
        last_read_by=pl.col("user_name")
        .sort_by("last_read_at", "user_name", descending=[True, False])
        .first(),
    )


def _first(rows: pl.Expr, count: int, column: str, tie: str = "user_name") -> pl.Expr:
    return rows.sort_by(column, tie, descending=[True, False]).head(count)


def query_lists(read: pl.LazyFrame, texts: pl.LazyFrame) -> pl.LazyFrame:
    """`popular_queries`, `slow_queries` and `expensive_queries` of each asset.

    Statements whose text nobody may see have no template and stand in no list.
    """
    by_query = (
        read.filter(pl.col("query_hash").is_not_null())
        .group_by("asset", "query_hash")
        .agg(
            read_count=pl.col("use_count").sum(),
            user_count=pl.col("user_name").n_unique().cast(pl.Int64),
            duration=pl.col("total_duration_ms").sum(),
            total_task_duration_ms=pl.col("total_task_duration_ms").sum(),
            last_run_at=pl.col("last_used_at").max(),
        )
        .with_columns(mean_duration_ms=pl.col("duration") / pl.col("read_count"))
    )
    return reduce(
        lambda left, right: left.join(right, on="asset"),
        (_query_list(by_query, texts, name, column) for name, column in QUERY_LISTS.items()),
    )


def _query_list(
    by_query: pl.LazyFrame, texts: pl.LazyFrame, name: str, column: str
) -> pl.LazyFrame:
    """The first queries of each asset by one column; texts join last, when few rows are left."""
    order = {"by": [column, "query_hash"], "descending": [True, False]}
    return (
        by_query.group_by("asset")
        .agg(pl.all().sort_by(**order).head(TOP_QUERIES))
        .explode(pl.all().exclude("asset"))
        .join(texts, on="query_hash", how="left")
        .group_by("asset")
        .agg(pl.struct(list(QUERY_USE.to_schema())).sort_by(**order).alias(name))
    )


def writes(used: pl.LazyFrame) -> pl.LazyFrame:
    """Writes of each table in the window."""
    return (
        used.filter(pl.col("operation") == "write")
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
    used: pl.LazyFrame,
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
    read = reads(used, asset_type)
    written = writes(used) if asset_type == "table" else writes(used).head(0)
    names = _asset_names(asset_type)
    return (
        scores(read)
        .join(user_lists(read), on="asset", how="left")
        .join(query_lists(read, texts), on="asset", how="left")
        .join(written, on="asset", how="left")
        .with_columns(**names)
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
