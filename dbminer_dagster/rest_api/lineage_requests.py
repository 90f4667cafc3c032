"""The requests of a lineage extraction: each asks one thing, and keeps the answer."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from dbminer_dagster.databricks.pace import Pace
from dbminer_dagster.databricks.rest_calls import RestCalls
from dbminer_dagster.errors import WorkspaceError
from dbminer_dagster.rest_api.lineage_journal import LineageJournal
from dbminer_dagster.rest_api.outcomes import Failures, Outcome, may_concern_one, outcome_of
from dbminer_dagster.rest_api.tables import Listing

LINEAGE_PATH = "/api/2.0/lineage-tracking"

_log = logging.getLogger(__name__)

Row = tuple[Any, ...]
Answer = tuple[Outcome, bytes | None]


@dataclass(frozen=True, slots=True)
class LineageRequests:
    """What the stages do; their methods say whether they found something more to do.

    What was deleted since it was listed, what the caller may not see, and what the workspace
    stumbles over while it tells of others, ends with its own outcome; any other error is raised.
    """

    calls: RestCalls
    listing: Listing
    journal: LineageJournal
    table_pace: Pace
    column_pace: Pace
    with_columns: bool
    failed_tables: Failures[Sequence[str]] = field(default_factory=Failures)
    failed_columns: Failures[Sequence[str]] = field(default_factory=Failures)

    def begin(self, excluded_catalogs: Sequence[str]) -> None:
        """Finds out where to begin, or to go on."""
        if self.journal.workspace_id is None:
            self.journal.keep_workspace(self.calls.workspace_id)
        if not self.journal.has_catalogs:
            self.journal.add_catalogs(self.listing.catalogs(excluded_catalogs))
        self.journal.find_columns()

    def list_catalog(self, row: Row) -> bool:
        """Lists the schemas of a catalog, whose tables are to be listed."""
        number, catalog = row
        try:
            schemas = self.listing.schemas(catalog)
            self.journal.add_schemas("tables", ((catalog, name) for name in schemas))
        except WorkspaceError as error:
            self.journal.skip("catalogs", [catalog], outcome_of(error))
        self.journal.finish_catalog(number)
        return True

    def list_tables(self, row: Row) -> bool:
        """Lists the tables of a schema."""
        number, catalog, schema = row
        try:
            for page in self.listing.tables(catalog, schema, columns=False):
                self.journal.add_tables((catalog, schema, table["name"]) for table in page)
        except WorkspaceError as error:
            self.journal.skip("schemas", [catalog, schema], outcome_of(error))
        self.journal.finish_schema(number)
        return True

    def ask_table(self, row: Row) -> bool:
        """Asks for the lineage of a table."""
        _, *table = row
        name = ".".join(table)
        query = {"table_name": name, "include_entity_lineage": True}
        try:
            outcome, body = self._ask(name, "table-lineage", query, self.table_pace)
        except WorkspaceError as error:
            _hold(self.failed_tables, table, error)
            return False
        wants_columns = self.with_columns and body is not None
        if wants_columns:
            # First: a table whose answer is kept is not asked again.
            self.journal.add_schemas("columns", [(table[0], table[1])])
        self.journal.keep_table(table, outcome, body)
        self._keep_failed_tables()
        return wants_columns

    def list_columns(self, row: Row) -> bool:
        """Lists the columns of all tables of a schema."""
        number, catalog, schema = row
        try:
            for page in self.listing.tables(catalog, schema, columns=True):
                self.journal.keep_columns(
                    (
                        (catalog, schema, table["name"]),
                        [column["name"] for column in table.get("columns") or []],
                    )
                    for table in page
                )
        except WorkspaceError as error:
            self.journal.skip("schemas", [catalog, schema], outcome_of(error))
        self.journal.finish_schema(number)
        return True

    def ask_column(self, row: Row) -> bool:
        """Asks for the lineage of a column."""
        _, *table, column = row
        name = ".".join(table)
        query = {"table_name": name, "column_name": column}
        try:
            answer = self._ask(f"{name}.{column}", "column-lineage", query, self.column_pace)
        except WorkspaceError as error:
            _hold(self.failed_columns, [*table, column], error)
            return False
        self.journal.keep_column(table, column, *answer)
        self._keep_failed_columns()
        return False

    def end(self) -> None:
        """Keeps what failed last, once nothing is left to be asked.

        Raises:
            WorkspaceError: All tables failed, or all columns.
        """
        far = self.journal.how_far()
        for kind, failures in (("tables", self.failed_tables), ("columns", self.failed_columns)):
            answered, _ = far[kind]
            if not answered:
                failures.require_none()
        self._keep_failed_tables()
        self._keep_failed_columns()

    def _keep_failed_tables(self) -> None:
        for table in self.failed_tables.release():
            self.journal.keep_table(table, Outcome.FAILED, None)

    def _keep_failed_columns(self) -> None:
        for *table, column in self.failed_columns.release():
            self.journal.keep_column(table, column, Outcome.FAILED, None)

    def _ask(self, name: str, path: str, query: dict[str, Any], pace: Pace) -> Answer:
        """The outcome, and the body if it tells of any lineage."""
        what = f"ask for the lineage of {name}"
        try:
            body = self.calls.get(what, f"{LINEAGE_PATH}/{path}", query, pace, counts=True)
        except WorkspaceError as error:
            return outcome_of(error), None
        return Outcome.ANSWERED, msgspec.json.encode(body) if any(body.values()) else None


def _hold(failures: Failures[Sequence[str]], parts: Sequence[str], error: WorkspaceError) -> None:
    if not may_concern_one(error):
        raise error
    failures.hold(parts, error)
    _log.warning("%s Others are asked meanwhile.", error)
