"""The use of a window: days summed, with numbers in place of hashes and names.

Everything but its name follows from the set of references that read an asset. Assets with the
same set, such as most columns of a table, form a group, and figures are worked out by group.
"""

from dataclasses import dataclass

import polars as pl

LISTS = {"table": "tables_read", "column": "columns_read"}


@dataclass(frozen=True, slots=True)
class WindowUsage:
    """What a window saw, with numbers in place of hashes and users' names.

    Attributes:
        pairs: Sums for each `reference` and `user_name`, an `Enum` that sorts by name.
        references: `reference`, its template, operation and lists.
    """

    pairs: pl.LazyFrame
    references: pl.DataFrame


def window_usage(usage: pl.LazyFrame, references: pl.LazyFrame) -> WindowUsage:
    """Daily rows of the window to one row for each reference and user.

    The hash of a reference covers all that it names, so any day's row of it serves.

    Args:
        usage: Rows of `daily_usage` of the window.
        references: Rows of `query_references` of the window.
    """
    used = ("query_hash", "operation", "tables_read", "columns_read", "tables_written")
    distinct = (
        references.select("reference_hash", *used)
        .unique("reference_hash")
        .collect(engine="streaming")
        .with_row_index("reference")
    )
    users = usage.select(pl.col("user_name").unique()).collect(engine="streaming")["user_name"]
    pairs = (
        usage.join(distinct.lazy().select("reference", "reference_hash"), on="reference_hash")
        .group_by("reference", pl.col("user_name").cast(pl.Enum(users.sort())))
        .agg(
            use_count=pl.col("statement_count").sum(),
            total_duration_ms=pl.col("total_duration_ms").sum(),
            total_task_duration_ms=pl.col("total_task_duration_ms").sum(),
            last_used_at=pl.col("last_used_at").max(),
        )
    )
    return WindowUsage(pairs, distinct.select("reference", *used))


def groups(references: pl.DataFrame, asset_type: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Each `asset` with its `group`, and each `group` with the `reference`s that read it."""
    assets = (
        references.lazy()
        .filter(pl.col("operation") == "read")
        .select("reference", asset=LISTS[asset_type])
        .explode("asset")
        .drop_nulls("asset")
        .group_by("asset")
        .agg(pl.col("reference").sort())
        .collect()
    )
    distinct = assets.select("reference").unique().with_row_index("group")
    of_asset = assets.join(distinct, on="reference").select("asset", "group")
    return of_asset, distinct.explode("reference")


def reference_totals(pairs: pl.LazyFrame) -> pl.DataFrame:
    """The sums of each reference over its users, and how many they are."""
    return (
        pairs.group_by("reference")
        .agg(
            pl.col("use_count", "total_duration_ms", "total_task_duration_ms").sum(),
            pl.col("last_used_at").max(),
            user_count=pl.len().cast(pl.Int64),
        )
        .collect(engine="streaming")
    )
