"""Who read an asset: how many users, and the lists of them."""

from collections.abc import Iterator

import narwhals as nw
import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.window_usage import WindowUsage, split_key
from dbminer_dagster.schemas import USER_COST, USER_USE, UTC_TIME

TOP_USERS = 10
COST = ("estimated_cost_micro_usd", "total_task_duration_ms", "read_bytes")
"""What tells the dearer of two; a cost that nobody knows comes last."""
ORDERS = {"top_users": ("read_count",), "recent_users": ("last_read_at",), "costly_users": COST}
ROWS = {"top_users": USER_USE, "recent_users": USER_USE, "costly_users": USER_COST}
USER_FIGURES = {
    "user": pl.Int64,
    "read_count": pl.Int64,
    "last_read_at": UTC_TIME,
    **dict.fromkeys(COST, pl.Int64),
}
FIELDS = {
    name: ["user", *(field for field in row.to_schema() if field != "user_name")]
    for name, row in ROWS.items()
}
LIST_SCHEMA = pl.Schema(
    {
        "group": pl.Int64,
        "user_count": pl.Int64,
        **{
            name: pl.List(pl.Struct({field: USER_FIGURES[field] for field in fields}))
            for name, fields in FIELDS.items()
        },
    }
)


def counted(links: nw.LazyFrame, used: WindowUsage) -> nw.LazyFrame:
    """The use of links by user, with `read_count`; none without a read that counts.

    Args:
        links: `reference`, `of_all` and `of_cached`, see `uses.scored`.
        used: The window.
    """
    count = (
        nw.col("of_all") * nw.col("statement_count")
        + nw.col("of_cached") * nw.col("cached_statement_count")
    )  # fmt: skip
    return (
        links.join(used.pairs, on="reference", how="inner")
        .with_columns(count.alias("read_count"))
        .filter(nw.col("read_count") > 0)
    )


def user_lists(
    engine: Engine, used: WindowUsage, members: pl.DataFrame, sizes: pl.DataFrame
) -> pl.DataFrame:
    """`user_count` and the lists of users of each `group`.

    Args:
        engine: Runs the steps.
        used: The window.
        members: The links of each `group`, see `uses.groups`.
        sizes: `link` and `user_count`.
    """
    parts = [
        engine.collect(
            engine.map_groups(_by_user(engine, used, part), ["group"], first_users, LIST_SCHEMA)
        )
        for part in _portions(members, sizes, engine.rows_at_a_time)
    ]
    found = pl.concat([pl.DataFrame(schema=LIST_SCHEMA), *parts])
    return found.with_columns(_named(name, used.users) for name in ROWS)


def first_users(rows: pl.DataFrame) -> pl.DataFrame:
    """The lists of whole groups, with users' numbers, which sort as their names do.

    Args:
        rows: `group`, `costed_count` and `USER_FIGURES`.
    """
    cost = pl.when(pl.col("costed_count") > 0).then("estimated_cost_micro_usd")
    return (
        rows.with_columns(estimated_cost_micro_usd=cost)
        .group_by("group")
        .agg(
            pl.len().cast(pl.Int64).alias("user_count"),
            *(
                first(pl.struct(FIELDS[name]), TOP_USERS, order, "user").alias(name)
                for name, order in ORDERS.items()
            ),
        )
    )


def first(rows: pl.Expr, count: int, order: tuple[str, ...], tie: str) -> pl.Expr:
    """The first rows of a group, the highest first."""
    descending = [True] * len(order)
    return rows.sort_by(*order, tie, descending=[*descending, False], nulls_last=True).head(count)


def _by_user(engine: Engine, used: WindowUsage, members: pl.DataFrame) -> nw.LazyFrame:
    """The use of each `group` by each `user`."""
    user_count = len(used.users)
    key = nw.col("group") * user_count + nw.col("user")
    sums = (
        counted(engine.frame(members.drop("link")), used)
        .with_columns(key.alias("key"))
        .group_by("key")
        .agg(
            nw.col("read_count", "costed_count", *COST).sum(),
            nw.col("last_used_at").max().alias("last_read_at"),
        )
    )
    return split_key(sums, "key", "group", "user", user_count)


def _portions(members: pl.DataFrame, sizes: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    """Whole groups, so many at a time that their use by user has about so many rows."""
    of_group = members.join(sizes, on="link").group_by("group").agg(pl.col("user_count").sum())
    portion = (pl.col("user_count").cum_sum() - 1) // rows
    numbered = of_group.sort("group").select("group", portion=portion)
    for _, portion_groups in numbered.group_by("portion"):
        yield members.join(portion_groups, on="group", how="semi")


def _named(name: str, users: pl.Series) -> pl.Expr:
    """A list with the names of its users."""
    row = pl.element().struct
    numbers = pl.int_range(len(users), eager=True)
    user_name = row["user"].replace_strict(numbers, users, return_dtype=pl.String)
    rest = [row[field] for field in FIELDS[name] if field != "user"]
    return (
        pl.col(name)
        .list.eval(pl.struct(user_name.alias("user_name"), *rest))
        .cast(pl.List(ROWS[name]))
    )
