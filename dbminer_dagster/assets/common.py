"""What all assets share: their metadata, and how a run reports on its days."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from html import escape
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from dbminer_dagster.assets.guides import GUIDES
from dbminer_dagster.partitions import daily_partitions
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import Column, Table
from dbminer_dagster.settings import Settings
from dbminer_dagster.windows import Window

BAR_CHARACTERS = 6
LABEL_CHARACTERS = 18
IN_PLACE_WIDTH = 36
CELL_GAP = 2
ON_CLICK_LENGTH = 1_000
"""Dagster shows shorter Markdown in place, and this on a click."""

_PERSONAL = {"statement_text": "holds_query_texts", "user_name": "holds_user_names"}
"""Tags of tables with such a column, or with lists that have it; they are not for everybody."""


def table_asset(
    table: Table, group: str, settings: Settings, note: str = "", **arguments: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """The decorator of an asset that is a result table: its name, its description, its days.

    Args:
        table: The table.
        group: Of the asset.
        settings: Say which days there are.
        note: Follows the description of the table.
        **arguments: As of `dg.asset`.
    """
    return dg.asset(
        name=table.name,
        partitions_def=daily_partitions(settings),
        backfill_policy=dg.BackfillPolicy.single_run(),
        **_described(table, group, settings, note),
        **arguments,
    )


def table_assets(
    tables: Sequence[Table], group: str, settings: Settings, note: str = "", **arguments: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """The same for one computation that makes several tables."""
    subset = arguments.get("can_subset", False)
    return dg.multi_asset(
        outs={
            table.name: dg.AssetOut(
                is_required=not subset, **_described(table, group, settings, note)
            )
            for table in tables
        },
        partitions_def=daily_partitions(settings),
        backfill_policy=dg.BackfillPolicy.single_run(),
        **arguments,
    )


def _described(table: Table, group: str, settings: Settings, note: str) -> dict[str, Any]:
    return {
        "description": "\n\n".join(
            filter(None, [table.description, str(GUIDES[table.name]), note])
        ),
        "group_name": group,
        "kinds": {"databricks", "polars", "deltalake"},
        "owners": list(settings.owners),
        "tags": {tag: "" for name, tag in _PERSONAL.items() if name in str(table.schema)},
        "metadata": {
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": table.name,
            "dagster/uri": _uri(settings, table),
        },
    }


def _uri(settings: Settings, table: Table) -> str:
    """Where the table will lie; whether the location is a good one, the first run tells."""
    root = settings.storage_uri
    return f"{root.rstrip('/') if '://' in root else Path(root).absolute()}/{table.name}"


def column_schema(table: Table) -> dg.TableSchema:
    """The columns as the UI shows them."""
    key = [f"unique on a day: {', '.join(table.key)}"] if table.key else []
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name, type=_short_type(column.dtype), description=_meaning(column)
            )
            for column in table.columns
        ],
        constraints=dg.TableConstraints(other=key),
    )


def _meaning(column: Column) -> str:
    """What a column means; of a list of rows also their fields, which its type does not show."""
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else None
    if not isinstance(inner, pl.Struct):
        return column.description
    return f"{column.description} Fields: {', '.join(f'`{name}`' for name in inner.to_schema())}."


def _short_type(dtype: object) -> str:
    """The type without its fields and units, which would push the description off the page."""
    if isinstance(dtype, pl.List):
        return f"List({_short_type(dtype.inner)})"
    return "Datetime (UTC)" if isinstance(dtype, pl.Datetime) else str(dtype).partition("(")[0]


def of_run(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for a whole run, under names that no day uses: each day's page shows it too."""
    return {f"run_{name}": value for name, value in metadata.items()}


def total(by_day: Mapping[date, Mapping[str, float]]) -> dict[str, float]:
    """The sums over the days."""
    sums: Counter[str] = Counter()
    for figures in by_day.values():
        sums.update(figures)
    return dict(sums)


def markdown_table(rows: list[dict[str, Any]]) -> dg.MarkdownMetadataValue:
    """Rows as a Markdown table: a narrow one shows in place, a wide one on a click.

    In place it would be cut, and with it all other values of the page.
    """
    if not rows:
        return dg.MetadataValue.md("(none)")
    header = list(rows[0])
    cells = [[_cell(row[name]) for name in header] for row in rows]
    lines = [header, ["---"] * len(header), *([_escaped(cell) for cell in line] for line in cells)]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    if sum(widths) + CELL_GAP * len(widths) > IN_PLACE_WIDTH:
        text = text.ljust(ON_CLICK_LENGTH)
    return dg.MetadataValue.md(text)


def inline_code(value: object) -> str:
    """A name within a line of Markdown, whatever is in it."""
    text = " ".join(str(value).split())
    quotes = re.findall("`+", text)
    # Code ends with as many back-quotes as it begins with.
    fence, space = "`" * (max(map(len, quotes), default=0) + 1), " " if quotes else ""
    return f"{fence}{space}{text}{space}{fence}"


def bars_table(rows: Sequence[tuple[str, float, str]], header: str) -> dg.MarkdownMetadataValue:
    """Labels with their values and bars of text, which has the colour of the theme.

    Args:
        rows: Label, what the bar is long by, and what is written beside it.
        header: Of the labels.
    """
    highest = max((size for _, size, _ in rows), default=0) or 1
    return markdown_table(
        [
            {
                header: f"{label[: LABEL_CHARACTERS - 1]}…"
                if len(label) > LABEL_CHARACTERS
                else label,
                "": shown,
                " ": "█" * round(size / highest * BAR_CHARACTERS),
            }
            for label, size, shown in rows
        ]
    )


def _cell(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.2f}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
        case None:
            return ""
        case _:
            return " ".join(str(value).split())


def _escaped(cell: str) -> str:
    return escape(cell, quote=False).replace("\\", "\\\\").replace("|", "\\|")


def absent_days(storage: StorageResource, table: Table, window: Window) -> frozenset[date]:
    """The days of the window that have not been mined into a table."""
    return frozenset(window) - storage.tables.days_present(table, window)
