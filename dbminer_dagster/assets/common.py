"""What all assets share: their metadata, and how a run reports on its days."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any

import dagster as dg

from dbminer_dagster.errors import DbminerError
from dbminer_dagster.partitions import day_key
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import Table
from dbminer_dagster.windows import Window

OWNERS = ["team:data-platform"]
KINDS = {"databricks", "polars", "deltalake"}
BACKFILL = dg.BackfillPolicy.single_run()


def table_arguments(table: Table, group: str) -> dict[str, Any]:
    """The arguments that describe the asset of a table, for `asset` or `AssetOut`."""
    return {
        "description": table.description,
        "group_name": group,
        "kinds": KINDS,
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
                column.name,
                type=str(column.dtype),
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.name not in table.key),
            )
            for column in table.columns
        ]
    )


@contextmanager
def user_errors() -> Iterator[None]:
    """Shows our own errors as what they say, without a traceback and without a retry."""
    try:
        yield
    except DbminerError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None


def report_days(
    context: dg.AssetExecutionContext,
    by_day: Mapping[date, Mapping[str, Any]],
    table: Table,
) -> None:
    """Notes the figures of each day on its partition, where the UI plots them."""
    for day, figures in by_day.items():
        context.add_asset_metadata(
            dict(figures), asset_key=dg.AssetKey(table.name), partition_key=day_key(day)
        )


def markdown_table(rows: list[dict[str, Any]]) -> dg.MarkdownMetadataValue:
    """Rows as a Markdown table that the asset's page shows in place."""
    if not rows:
        return dg.MetadataValue.md("(none)")
    header = list(rows[0])
    lines = [header, ["---"] * len(header), *([row[name] for name in header] for row in rows)]
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines))


def _cell(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) else f"{value:.2f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def absent_days(storage: StorageResource, table: Table, window: Window) -> frozenset[date]:
    """The days of the window that have not been mined into a table."""
    return frozenset(window) - storage.tables.days_present(table, window)
