"""The tables that are known on a day: from the source's inventory, and from lineage.

The inventory is a snapshot, and shows no more than its reader may see. Lineage remembers the
tables that were used, those that are gone included. A day without an inventory has lineage alone.
"""

import polars as pl

from dbminer_dagster.mining.lineage import tables_of
from dbminer_dagster.windows import Window

_TABLE_TYPES = (
    *("BASE TABLE", "MANAGED", "EXTERNAL", "FOREIGN"),
    *("MANAGED_SHALLOW_CLONE", "EXTERNAL_SHALLOW_CLONE"),
)
"""What `information_schema.tables` tells apart and lineage calls TABLE."""


def lineage_type(table_type: pl.Expr) -> pl.Expr:
    """A type of the inventory in the word that lineage has for it."""
    return table_type.replace(dict.fromkeys(_TABLE_TYPES, "TABLE"))


def of_day(inventory: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """The inventory of the last day of the window."""
    return inventory.filter(Window.of_day(window.last_day).holds())


def known_names(from_lineage: pl.DataFrame, inventory: pl.LazyFrame, window: Window) -> pl.Series:
    """The full names of all tables known on the last day of the window.

    Args:
        from_lineage: See `lineage.day_tables`.
        inventory: Rows of `known_tables`.
        window: The lineage window.
    """
    listed = of_day(inventory, window).select("table_name").collect()["table_name"]
    return pl.concat([tables_of(from_lineage, window), listed]).unique()


def table_types(
    from_lineage: pl.DataFrame, inventory: pl.LazyFrame, window: Window
) -> pl.LazyFrame:
    """`table_name` and `table_type`: the inventory's, else the newest that lineage tells.

    Args:
        from_lineage: See `lineage.known_tables`.
        inventory: Rows of `known_tables`.
        window: The lineage window.
    """
    listed = (
        of_day(inventory, window)
        .select("table_name", table_type=lineage_type(pl.col("table_type")))
        .drop_nulls()
    )
    remembered = (
        from_lineage.lazy()
        .filter(window.holds())
        .drop_nulls("table_type")
        .sort("day")
        .group_by("table_name")
        .agg(pl.col("table_type").last())
    )
    return pl.concat([listed, remembered.join(listed, on="table_name", how="anti")])
