"""What Unity Catalog lists: catalogs, schemas, and tables, page by page as they come."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dbminer_dagster.databricks.pace import Pace
from dbminer_dagster.databricks.rest_calls import RestCalls
from dbminer_dagster.errors import WorkspaceError
from dbminer_dagster.mining.filters import glob_pattern
from dbminer_dagster.rest_api.outcomes import outcome_of

PAGES_PER_SECOND = 20.0
"""Databricks documents no limit for listings."""
INFORMATION_SCHEMA = "information_schema"

Listed = dict[str, Any]
Entry = TypeVar("Entry")


def listing_pace() -> Pace:
    """The pace of listing calls."""
    return Pace(PAGES_PER_SECOND)


@dataclass(frozen=True, slots=True)
class Listing:
    """Listing calls; safe to use from any thread.

    The summaries of a whole catalog would take fewer calls, but they leave out what the caller may
    only browse, which is enough for lineage. Pages may be empty and yet name a next one. What the
    caller may not even browse is left out by the workspace, without a word.
    """

    calls: RestCalls
    pace: Pace = field(default_factory=listing_pace)

    def catalogs(self, excluded: Sequence[str]) -> Iterator[str]:
        """The names of the catalogs that none of the globs excludes."""
        is_excluded = re.compile(glob_pattern(excluded)).match if excluded else None
        query = {"include_browse": True}
        for page in self._pages("list the catalogs", "catalogs", query, "catalogs"):
            for catalog in page:
                if not (is_excluded and is_excluded(catalog["name"])):
                    yield catalog["name"]

    def schemas(self, catalog: str) -> Iterator[str]:
        """The names of the schemas of a catalog, but for `information_schema`."""
        query = {"catalog_name": catalog, "include_browse": True}
        for page in self._pages(f"list the schemas of {catalog}", "schemas", query, "schemas"):
            yield from (each["name"] for each in page if each["name"] != INFORMATION_SCHEMA)

    def tables(self, catalog: str, schema: str, *, columns: bool) -> Iterator[list[Listed]]:
        """Pages of the tables of a schema, as the API shows them.

        Args:
            catalog: Name of the catalog.
            schema: Name of the schema.
            columns: Whether their columns are told.
        """
        query = {
            "catalog_name": catalog,
            "schema_name": schema,
            "include_browse": True,
            "omit_columns": not columns,
            "omit_properties": True,
            "omit_username": True,
        }
        yield from self._pages(f"list the tables of {catalog}.{schema}", "tables", query, "tables")

    def tables_of(self, catalogs: Sequence[str], skipped: list[str]) -> Iterator[list[Listed]]:
        """Pages of all tables of catalogs with their columns; schemas come in a fixed order.

        Args:
            catalogs: Names of the catalogs.
            skipped: Is given the names of what is gone or may not be listed, with the reason.

        Raises:
            WorkspaceError: A call failed for another reason.
        """
        for catalog in catalogs:
            for schema in sorted(_unless_refused(self.schemas(catalog), catalog, skipped)):
                pages = self.tables(catalog, schema, columns=True)
                yield from _unless_refused(pages, f"{catalog}.{schema}", skipped)

    def _pages(self, what: str, path: str, query: Listed, key: str) -> Iterator[list[Listed]]:
        tokens: set[str] = set()
        while True:
            body = self.calls.get(what, f"/api/2.1/unity-catalog/{path}", query, self.pace)
            yield body.get(key) or []
            token = body.get("next_page_token")
            if not token:
                return
            if token in tokens:
                raise WorkspaceError(
                    f"Cannot {what} at {self.calls.connection.host}: the workspace names a page "
                    "again that was read already, so the list would never end.",
                    "Run again; if it stays so, tell the support of Databricks.",
                )
            tokens.add(token)
            query = {**query, "page_token": token}


def _unless_refused(listed: Iterator[Entry], name: str, skipped: list[str]) -> Iterator[Entry]:
    try:
        yield from listed
    except WorkspaceError as error:
        skipped.append(f"{name} ({outcome_of(error)})")
