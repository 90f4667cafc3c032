"""The tables and columns of the metastore, as Unity Catalog lists them over REST.

The lists show what the principal may at least browse, and leave out the rest without a word.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
import polars as pl
from databricks.sdk import errors as sdk

from dbminer_dagster.databricks.rest_calls import RestCalls
from dbminer_dagster.errors import AccessDeniedError, WorkspaceError
from dbminer_dagster.resources.extractor import Inventory
from dbminer_dagster.resources.offline.listed_tables import ROW_SCHEMA, ListedTable, rows
from dbminer_dagster.rest_api.tables import Listing
from dbminer_dagster.schemas import KNOWN_TABLES
from dbminer_dagster.settings import ExtractionMethod
from dbminer_dagster.spool import Spool


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
    for page in listing.tables_of(catalogs, skipped):
        tables = msgspec.convert(page, list[ListedTable], strict=False)
        spool.write("listed", rows(tables, read_at, ExtractionMethod.REST_API.value))
    # Pages may overlap, and each is a call of its own.
    listed = spool.scan("listed", ROW_SCHEMA)
    once = listed.unique("table_name", keep="first", maintain_order=True)
    spool.write(KNOWN_TABLES.name, once)
    found = spool.scan(KNOWN_TABLES.name, ROW_SCHEMA)
    row_count = found.select(pl.len()).collect(engine="streaming").item()
    return Inventory(found, row_count, notes=tuple(_notes(row_count, skipped)))


def _notes(row_count: int, skipped: list[str]) -> Iterator[str]:
    if skipped:
        yield f"Not listed, since they are gone or may not be listed: {', '.join(skipped)}."
    if not row_count:
        yield (
            "Unity Catalog lists no table: grant the principal BROWSE on the catalogs to have "
            "names and paths resolved by it."
        )
