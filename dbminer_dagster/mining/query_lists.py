"""Through which templates an asset was read."""

import narwhals as nw
import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.user_lists import COST, counted, first
from dbminer_dagster.mining.window_usage import SUMS, WindowUsage
from dbminer_dagster.schemas import QUERY_COST, QUERY_USE

TOP_QUERIES = 5
ORDERS = {
    "popular_queries": ("read_count",),
    "slow_queries": ("mean_duration_ms",),
    "expensive_queries": ("total_task_duration_ms",),
    "costly_queries": COST,
}
ROWS = dict.fromkeys(ORDERS, QUERY_USE) | {"costly_queries": QUERY_COST}


def link_totals(engine: Engine, used: WindowUsage, members: pl.DataFrame) -> pl.DataFrame:
    """The sums of each `link` over its users, how many they are, and its last use.

    Args:
        engine: Runs the steps.
        used: The window.
        members: The links of each group, see `uses.groups`.
    """
    links = members.drop("group").unique("link")
    return engine.collect(
        counted(engine.frame(links), used)
        .group_by("link")
        .agg(
            nw.col("read_count", *SUMS).sum(),
            nw.col("last_used_at").max(),
            nw.len().cast(nw.Int64).alias("user_count"),
        )
    )


def query_lists(
    engine: Engine, used: WindowUsage, members: pl.DataFrame, totals: pl.DataFrame
) -> pl.LazyFrame:
    """The lists of templates of each `group`.

    Statements whose text nobody may see have no template and stand in no list. A mean is that of
    all statements of the template, cached ones included.

    Args:
        engine: Runs the steps.
        used: The window.
        members: The links of each group, see `uses.groups`.
        totals: See `link_totals`.
    """
    hashes = used.references.select("reference", "query_hash").drop_nulls()
    of_group = members.join(hashes, on="reference").join(totals, on="link")
    key = ["group", "query_hash"]
    summed = of_group.lazy().group_by(key).agg(
        pl.col("read_count", "user_count", *SUMS).sum(), last_run_at=pl.col("last_used_at").max()
    )  # fmt: skip
    exact = _exact_users(engine, used, of_group).lazy()
    return (
        summed.join(exact, on=key, how="left")
        .join(example_texts(used.references).lazy(), on="query_hash", how="left")
        .with_columns(
            user_count=pl.coalesce("exact_count", "user_count"),
            mean_duration_ms=pl.col("total_duration_ms") / pl.col("statement_count"),
            estimated_cost_micro_usd=known_cost(),
        )
        .group_by("group")
        .agg(
            first(pl.struct(list(ROWS[name].to_schema())), TOP_QUERIES, order, "query_hash")
            .alias(name)
            for name, order in ORDERS.items()
        )
    )  # fmt: skip


def known_cost() -> pl.Expr:
    """The summed cost; null if none of its parts was known."""
    return pl.when(pl.col("costed_count") > 0).then("estimated_cost_micro_usd")


def example_texts(references: pl.DataFrame) -> pl.DataFrame:
    """The text that stands for each template in the lists: the least one of its newest day."""
    newest = pl.col("day") == pl.col("day").max()
    return (
        references.drop_nulls(["query_hash", "statement_text"])
        .group_by("query_hash")
        .agg(pl.col("statement_text").filter(newest).min())
    )


def _exact_users(engine: Engine, used: WindowUsage, of_group: pl.DataFrame) -> pl.DataFrame:
    """`exact_count`: a user of several links of one template is one user."""
    key = ["group", "query_hash"]
    shared = of_group.filter(pl.len().over(key) > 1)
    numbers = shared.select(key).unique().with_row_index("number")
    numbers = numbers.with_columns(pl.col("number").cast(pl.Int64))
    links = shared.join(numbers, on=key).select("number", "reference", "of_all", "of_cached")
    counts = engine.collect(
        counted(engine.frame(links), used)
        .group_by("number")
        .agg(nw.col("user").n_unique().cast(nw.Int64).alias("exact_count"))
    )
    return numbers.join(counts, on="number").drop("number")
