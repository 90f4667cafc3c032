"""What the pages of the raw assets show of the last day: what its rows are."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from dbminer_dagster.assets.common import bars_table
from dbminer_dagster.schemas import RAW_QUERY_HISTORY, Table
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window

KINDS: dict[str, dict[str, tuple[str, ...]]] = {
    RAW_QUERY_HISTORY.name: {
        "statement_types": ("statement_type",),
        "statuses": ("status",),
        "client_applications": ("client_application",),
    },
}
"""Columns by whose values the rows of a table are counted, by the name of what they give."""
LINEAGE_KINDS = {
    "ends": ("source_type", "target_type"),
    "causes": ("entity_type",),
}
LISTED_KINDS = 10


def raw_page(storage: DeltaStorage, table: Table, day: date) -> dict[str, dg.MetadataValue]:
    """Metadata of a stored day.

    Args:
        storage: Holds the table.
        table: One of the raw tables.
        day: The day.
    """
    rows = storage.scan(table, Window.of_day(day))
    kinds: dict[str, Any] = KINDS.get(table.name, LINEAGE_KINDS)
    return {name: _counted(rows, name, columns) for name, columns in kinds.items()}


def _counted(rows: pl.LazyFrame, name: str, columns: tuple[str, ...]) -> dg.MetadataValue:
    """Rows by the values of some columns, the most frequent first; the rest in one line."""
    label = pl.concat_str([pl.col(column).fill_null("none") for column in columns], separator=" → ")
    found = (
        rows.group_by(label.alias("label"))
        .len("rows")
        .sort("rows", "label", descending=[True, False])
        .collect(engine="streaming")
    )
    shown = [(label, rows, f"{rows:,}") for label, rows in found.head(LISTED_KINDS).iter_rows()]
    if rest := int(found[LISTED_KINDS:]["rows"].sum()):
        shown.append((f"{found.height - LISTED_KINDS} others", rest, f"{rest:,}"))
    return bars_table(shown, name)
