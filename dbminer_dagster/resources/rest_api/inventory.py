"""The tables and columns of the metastore, as Unity Catalog lists them over REST.

The lists show what the principal may at least browse, and leave out the rest without a word.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import polars as pl
from databricks.sdk import errors as sdk

from dbminer_dagster.databricks.rest_calls import RestCalls
from dbminer_dagster.errors import AccessDeniedError, WorkspaceError
from dbminer_dagster.mining.names import table_name
from dbminer_dagster.resources.extractor import Inventory
from dbminer_dagster.rest_api.outcomes import outcome_of
from dbminer_dagster.rest_api.tables import Listed, Listing
from dbminer_dagster.schemas import KNOWN_TABLES
from dbminer_dagster.settings import ExtractionMethod
from dbminer_dagster.spool import Spool

_SCHEMA = pl.Schema({name: dtype for name, dtype in KNOWN_TABLES.schema.items() if name != "day"})
_T = TypeVar("_T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_inventory_over_rest(
    calls: RestCalls, excluded_catalogs: Sequence[str], read_at: datetime, spool: Spool
) -> Inventory:
    """See `Extractor.inventory`.

    Args:
        calls: To the workspace.
        excluded_catalogs: Globs; what lies in them is not listed, and neither is the
            `information_schema` of any catalog.
        read_at: Now, in UTC.
        spool: Takes the rows.

    Raises:
        WorkspaceError: A call failed for another cause than a refusal.
    """
    listing = Listing(calls)
    skipped: list[str] = []
    try:
        catalogs = list(listing.catalogs(excluded_catalogs))
    except WorkspaceError as error:
        is_refusal = isinstance(error, AccessDeniedError)
        if not is_refusal and not isinstance(error.__cause__, sdk.NotFound):
            raise
        note = f"The catalogs could not be listed. {error}"
        return Inventory.without_rows(note, is_readable=False)
    for page in _pages(listing, catalogs, skipped):
        spool.write("listed", _rows(page, read_at))
    # Pages may overlap, and each is a call of its own.
    listed = spool.scan("listed", _SCHEMA).unique("table_name", keep="first", maintain_order=True)
    spool.write(KNOWN_TABLES.name, listed)
    rows = spool.scan(KNOWN_TABLES.name, _SCHEMA)
    row_count = rows.select(pl.len()).collect(engine="streaming").item()
    return Inventory(rows, row_count, notes=tuple(_notes(row_count, skipped)))


def _pages(listing: Listing, catalogs: Sequence[str], skipped: list[str]) -> Iterator[list[Listed]]:
    """Pages of all tables; what cannot be listed is noted in `skipped`."""
    for catalog in catalogs:
        for schema in _unless_refused(listing.schemas(catalog), catalog, skipped):
            pages = listing.tables(catalog, schema, columns=True)
            yield from _unless_refused(pages, f"{catalog}.{schema}", skipped)


def _unless_refused(listed: Iterator[_T], name: str, skipped: list[str]) -> Iterator[_T]:
    try:
        yield from listed
    except WorkspaceError as error:
        skipped.append(f"{name} ({outcome_of(error)})")


def _rows(page: list[Listed], read_at: datetime) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "table_name": table_name(
                    [table["catalog_name"], table["schema_name"], table["name"]]
                ),
                "table_type": table.get("table_type"),
                "storage_path": table.get("storage_location"),
                "columns": [column["name"].lower() for column in table.get("columns") or []],
                "last_altered": _time(table.get("updated_at")),
                "read_at": read_at,
                "extraction_method": ExtractionMethod.REST_API.value,
            }
            for table in page
        ],
        schema=_SCHEMA,
        orient="row",
    )


def _time(milliseconds: int | str | None) -> datetime | None:
    return None if milliseconds is None else _EPOCH + timedelta(milliseconds=int(milliseconds))


def _notes(row_count: int, skipped: list[str]) -> Iterator[str]:
    if skipped:
        yield f"Not listed, since they are gone or may not be listed: {', '.join(skipped)}."
    if not row_count:
        yield (
            "Unity Catalog lists no table: grant the principal BROWSE on the catalogs to have "
            "names and paths resolved by it."
        )
