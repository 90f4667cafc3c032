"""Popularity of tables and columns over a window of days.

`popularity_score = user_count x ln(read_count)`. What is a read stands in `uses`; by default a
finished SELECT that uses the asset. A statement counts once for each asset, however often its text
names it. Assets that nobody read in the window have no row.

Figures are worked out for each group of assets that the same references use.
"""

from collections.abc import Collection, Iterator

import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.mining import query_lists as queries
from dbminer_dagster.mining.query_lists import known_cost, link_totals, query_lists
from dbminer_dagster.mining.user_lists import COST, user_lists
from dbminer_dagster.mining.uses import groups, links, scored, use_counts
from dbminer_dagster.mining.window_usage import WindowUsage
from dbminer_dagster.schemas import POPULARITY_SCORES
from dbminer_dagster.windows import Window

LEVELS = ("Least popular", "Less popular", "Popular", "Most popular")
RANK_DECIMALS = 9
"""Scores that differ by less than the last bits of a logarithm rank alike on every engine."""
ROWS_AT_A_TIME = 4_000
USER_FIGURES = (
    "group",
    "user_count",
    pl.col("recent_users").list.first().struct["user_name"].alias("last_read_by"),
)


def popularity_of(
    engine: Engine,
    asset_type: str,
    used: WindowUsage,
    totals: pl.DataFrame,
    uses: Collection[str],
    table_types: pl.LazyFrame,
    days_present: int,
) -> Iterator[pl.DataFrame]:
    """Rows of `popularity_scores` for the last day of the window, of one asset type.

    They come some at a time, since the texts in their lists are long.

    Args:
        engine: Runs the steps.
        asset_type: `table` or `column`.
        used: The window.
        totals: See `reference_totals`.
        uses: Of `settings.USES`, those that are reads.
        table_types: `table_name`, `table_type`.
        days_present: Days of the window that have been mined.
    """
    found = links(used.references, asset_type)
    of_asset, members = groups(scored(found, uses))
    of_link = link_totals(engine, used, members)
    users = user_lists(engine, used, members, of_link.select("link", "user_count"))
    templates = query_lists(engine, used, members, of_link).collect()
    sums = _sums(members, of_link).join(users.lazy().select(USER_FIGURES), on="group")
    written = writes(totals, used.references)
    figures = (
        with_score(of_asset.lazy().join(sums, on="group"))
        .join(use_counts(found, totals), on="asset", how="left")
        .join(written if asset_type == "table" else written.head(0), on="asset", how="left")
        .with_columns(pl.col("write_count").fill_null(0), **_asset_names(asset_type))
        .join(table_types, on="table_name", how="left")
        .with_columns(**_of_window(used.window, days_present), asset_type=pl.lit(asset_type))
        # Columns of one table share their templates, whose texts then take little room in a file.
        .sort("asset")
        .collect()
    )
    for rows in figures.iter_slices(ROWS_AT_A_TIME):
        listed = rows.join(users.drop("user_count"), on="group")
        listed = listed.join(templates, on="group", how="left")
        no_query = [pl.col(name).fill_null([]) for name in queries.ORDERS]
        yield listed.with_columns(no_query).select(POPULARITY_SCORES.schema.names())


def _of_window(window: Window, days_present: int) -> dict[str, pl.Expr]:
    return {
        "window_start": pl.lit(window.start),
        "window_end": pl.lit(window.last_day),
        "days_present": pl.lit(days_present, pl.Int32),
        "days_wanted": pl.lit(window.days, pl.Int32),
        "day": pl.lit(window.last_day),
    }


def _sums(members: pl.DataFrame, of_link: pl.DataFrame) -> pl.LazyFrame:
    """The reads of each `group`, and what they cost."""
    return (
        members.lazy()
        .join(of_link.lazy(), on="link")
        .group_by("group")
        .agg(
            pl.col("read_count", "costed_count", *COST).sum(),
            last_read_at=pl.col("last_used_at").max(),
        )
        .with_columns(estimated_cost_micro_usd=known_cost())
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
        .select("statement_count", "last_used_at", asset="tables_written")
        .explode("asset")
        .drop_nulls("asset")
        .group_by("asset")
        .agg(
            write_count=pl.col("statement_count").sum(),
            last_written_at=pl.col("last_used_at").max(),
        )
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
