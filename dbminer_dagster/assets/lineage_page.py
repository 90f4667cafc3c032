"""What the pages of the edges show of the last day: statuses, hubs, and what changed."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from dbminer_dagster.assets.changes import changed_names, day_before
from dbminer_dagster.assets.common import markdown_table
from dbminer_dagster.charts import as_markdown, bar_chart, shortened
from dbminer_dagster.schemas import Table
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window

LISTED_HUBS = 10
CHARTED_HUBS = 15
NAME_CHARACTERS = 25


def lineage_page(storage: DeltaStorage, table: Table, day: date) -> dict[str, Any]:
    """Metadata of a stored day.

    Args:
        storage: Holds the table.
        table: `TABLE_LINEAGE` or `COLUMN_LINEAGE`.
        day: The day.
    """
    newest = storage.scan(table, Window.of_day(day))
    before = day_before(storage, table, day)
    active = _active(newest)
    active_before = None if before is None else _active(before)
    sources, targets = _hubs(active, "source", "target"), _hubs(active, "target", "source")
    return {
        "changes": changed_names(day, active, active_before, *table.key),
        "edges_by_status": markdown_table(_by_status(newest)),
        "biggest_sources": _listed(sources),
        "biggest_targets": _listed(targets),
        "sources_chart": _chart(sources, f"Tables that feed most tables on {day}"),
        "targets_chart": _chart(targets, f"Tables that are fed by most tables on {day}"),
    }


def _active(edges: pl.LazyFrame) -> pl.LazyFrame:
    return edges.filter(pl.col("status") == "active")


def _by_status(edges: pl.LazyFrame) -> list[dict[str, Any]]:
    """Edges by status, and by the first words of the reason."""
    why = pl.col("reason").str.extract(r"^(\w+ \w+)")
    counted = edges.group_by("status", why=why).len("edges")
    return counted.sort("edges", "status", descending=[True, False]).collect().to_dicts()


def _hubs(edges: pl.LazyFrame, end: str, other: str) -> pl.DataFrame:
    """Tables with the number of different tables at the other end."""
    return (
        edges.drop_nulls(f"{end}_name")
        .group_by(f"{end}_name")
        .agg(pl.col(f"{other}_name").n_unique().alias(f"{other}s"))
        .sort(f"{other}s", f"{end}_name", descending=[True, False])
        .head(CHARTED_HUBS)
        .collect(engine="streaming")
    )


def _listed(hubs: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """The first hubs, with names so short that they show in place; their chart has whole ones."""
    rows = hubs.head(LISTED_HUBS).iter_rows()
    return markdown_table(
        [{"table": shortened(name, NAME_CHARACTERS), hubs.columns[1]: n} for name, n in rows]
    )


def _chart(hubs: pl.DataFrame, title: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(as_markdown(bar_chart(list(hubs.iter_rows()), title), title))
