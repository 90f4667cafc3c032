"""Tables as Unity Catalog lists them over REST, to rows of `known_tables`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
from msgspec import Struct

from dbminer_dagster.mining.names import table_name
from dbminer_dagster.resources.offline.decoding import check_time
from dbminer_dagster.schemas import KNOWN_TABLES

ROW_SCHEMA = pl.Schema(
    {name: dtype for name, dtype in KNOWN_TABLES.schema.items() if name != "day"}
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ListedColumn(Struct):
    """A column of a table."""

    name: str


class ListedTable(Struct):
    """An entry of `GET /api/2.1/unity-catalog/tables`, with the time that our extractor adds."""

    catalog_name: str
    schema_name: str
    name: str
    table_type: str | None = None
    storage_location: str | None = None
    updated_at: int | None = None
    columns: list[ListedColumn] | None = None
    extracted_at: datetime | None = None


_DECODER = msgspec.json.Decoder(ListedTable, strict=False)


def decode(content: bytes) -> ListedTable:
    """Decodes one object.

    Raises:
        ValueError: It is no such table; with what is wrong.
    """
    table = _DECODER.decode(content)
    check_time(table.extracted_at)
    return table


def known_fields() -> frozenset[str]:
    """The fields that are read."""
    return frozenset(ListedTable.__struct_fields__)


def rows(tables: Sequence[ListedTable], read_at: datetime, method: str) -> pl.DataFrame:
    """Rows of `known_tables`, all but their day.

    Args:
        tables: As they were listed.
        read_at: When, for those that do not say it themselves; in UTC.
        method: The extraction method.
    """
    return pl.DataFrame(
        [
            {
                "table_name": table_name([table.catalog_name, table.schema_name, table.name]),
                "table_type": table.table_type,
                "storage_path": table.storage_location,
                "columns": [column.name.lower() for column in table.columns or ()],
                "last_altered": _time(table.updated_at),
                "read_at": table.extracted_at or read_at,
                "extraction_method": method,
            }
            for table in tables
        ],
        schema=ROW_SCHEMA,
        orient="row",
    )


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else _EPOCH + timedelta(milliseconds=milliseconds)
