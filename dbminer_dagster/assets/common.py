"""What all assets share: their metadata, and how a run reports on its days."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from html import escape
from typing import Any

import dagster as dg
import polars as pl

from dbminer_dagster.partitions import daily_partitions, day_key
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import Table
from dbminer_dagster.settings import Settings
from dbminer_dagster.windows import Window

OWNERS = ["team:data-platform"]


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
        **_described(table, group, note),
        **arguments,
    )


def table_assets(
    tables: Sequence[Table], group: str, settings: Settings, note: str = "", **arguments: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """The same for one computation that makes several tables."""
    subset = arguments.get("can_subset", False)
    return dg.multi_asset(
        outs={
            table.name: dg.AssetOut(is_required=not subset, **_described(table, group, note))
            for table in tables
        },
        partitions_def=daily_partitions(settings),
        backfill_policy=dg.BackfillPolicy.single_run(),
        **arguments,
    )


def _described(table: Table, group: str, note: str) -> dict[str, Any]:
    return {
        "description": f"{table.description} {note}".strip(),
        "group_name": group,
        "kinds": {"databricks", "polars", "deltalake"},
        "owners": OWNERS,
        "metadata": {
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": table.name,
        },
    }


def column_schema(table: Table) -> dg.TableSchema:
    """The columns as the UI shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name, type=_short_type(column.dtype), description=column.description
            )
            for column in table.columns
        ]
    )


def _short_type(dtype: object) -> str:
    """The type without its fields and units, which would push the description off the page."""
    if isinstance(dtype, pl.List):
        return f"List({_short_type(dtype.inner)})"
    return "Datetime (UTC)" if isinstance(dtype, pl.Datetime) else str(dtype).partition("(")[0]


def report_days(
    context: dg.AssetExecutionContext,
    by_day: Mapping[date, Mapping[str, Any]],
    table: Table,
) -> None:
    """Notes the figures of each day on its partition, where the UI plots them.

    A count that only some days have is 0 on the others: the page of a day would otherwise show
    what the run says under that name.
    """
    names = dict.fromkeys(name for figures in by_day.values() for name in figures)
    for day, figures in by_day.items():
        context.add_asset_metadata(
            {name: figures.get(name, 0) for name in names},
            asset_key=dg.AssetKey(table.name),
            partition_key=day_key(day),
        )


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
    """Rows as a Markdown table that the asset's page shows in place."""
    if not rows:
        return dg.MetadataValue.md("(none)")
    header = list(rows[0])
    lines = [header, ["---"] * len(header), *([row[name] for name in header] for row in rows)]
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines))


def _cell(value: object) -> str:
    match value:
        case bool():
            text = str(value).lower()
        case int():
            text = f"{value:,}"
        case float():
            text = f"{value:.2f}"
        case datetime():
            text = f"{value:%Y-%m-%d %H:%M}"
        case None:
            text = ""
        case _:
            text = escape(" ".join(str(value).split()), quote=False)
    return text.replace("\\", "\\\\").replace("|", "\\|")


def absent_days(storage: StorageResource, table: Table, window: Window) -> frozenset[date]:
    """The days of the window that have not been mined into a table."""
    return frozenset(window) - storage.tables.days_present(table, window)
