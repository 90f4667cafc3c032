"""Which tables there are, read or not, and which feed which: for what nobody read."""

from collections.abc import Sequence

import polars as pl

from dbminer_dagster.mining.inventory import lineage_type
from dbminer_dagster.mining.resolution import in_catalogs

PATH = "PATH"


def table_edges(lineage: pl.LazyFrame) -> pl.DataFrame:
    """The active edges from table to table.

    Args:
        lineage: Rows of `table_lineage` of one day.

    Returns:
        `source_name`, `source_type`, `target_name`, `target_type`.
    """
    return (
        lineage.filter(
            pl.col("status") == "active",
            *(pl.col(f"{end}_type").ne_missing(PATH) for end in ("source", "target")),
        )
        .select("source_name", "source_type", "target_name", "target_type")
        .collect()
    )


def known_tables(
    inventory: pl.LazyFrame, edges: pl.DataFrame, excluded_catalogs: Sequence[str]
) -> pl.DataFrame:
    """Every table that the source lists or that an active edge names.

    Args:
        inventory: Rows of the table `known_tables` of one day.
        edges: See `table_edges`.
        excluded_catalogs: Globs of catalogs whose tables are left out.

    Returns:
        `table_name`, `table_type` in the words of lineage.
    """
    listed = inventory.select("table_name", table_type=lineage_type(pl.col("table_type")))
    named = [
        edges.select(table_name=f"{end}_name", table_type=f"{end}_type")
        for end in ("source", "target")
    ]
    # The inventory knows best; of what edges say, one is taken by name.
    ranked = [
        frame.with_columns(rank=rank) for rank, frame in enumerate([listed.collect(), *named])
    ]
    return (
        pl.concat(ranked)
        .filter(~in_catalogs(pl.col("table_name"), excluded_catalogs))
        .sort("table_name", "rank", "table_type", nulls_last=True)
        .unique("table_name", keep="first", maintain_order=True)
        .drop("rank")
    )
