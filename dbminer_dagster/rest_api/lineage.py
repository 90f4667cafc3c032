"""Lineage over REST: a snapshot of the lineage of all tables, as the lines of offline files.

Stages work side by side: schemas are listed by catalog, and tables by schema; each table is asked
for its lineage; the columns of schemas that hold tables with lineage are listed; the columns of
those tables are asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dbminer_dagster.databricks.pace import Pace
from dbminer_dagster.databricks.rest_calls import RestCalls
from dbminer_dagster.errors import AccessDeniedError, RequestBudgetError
from dbminer_dagster.rest_api.journal import discard, journal_path, open_journal
from dbminer_dagster.rest_api.lineage_journal import (
    CATALOGS,
    COLUMNS,
    SCHEMA,
    SCHEMAS_WITH_COLUMNS,
    SCHEMAS_WITH_TABLES,
    TABLES,
    LineageJournal,
)
from dbminer_dagster.rest_api.lineage_requests import LineageRequests
from dbminer_dagster.rest_api.progress import Progress
from dbminer_dagster.rest_api.stages import Stage, Stages, WorkList
from dbminer_dagster.rest_api.tables import PAGES_PER_SECOND, Listing

MOST_REQUESTS_AT_ONCE = 20
"""Databricks refuses more from one caller."""
HEADROOM = 0.95
"""Of a rate is used: requests that were held up on their way arrive together with later ones."""
COLUMN_THREADS = 5
LISTING_THREADS = 1
MOST_NAMES = 5
"""Of what failed; the counts tell of all."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a second that are sent at most.

    Databricks documents none; these are what others found to be accepted.
    """

    tables: float = 50.0
    columns: float = 10.0


@dataclass(frozen=True, slots=True)
class LineageAnswers:
    """All that the workspace answered, in its open journal.

    Attributes:
        extracted_at: When the extraction began, in UTC: its answers are a snapshot of then, or of
            a little later.
        counts: Tables and columns by what became of them.
        failed: First names of those that the workspace stumbled over.
        requests: Requests that were sent since it was opened.
        refused: How many of these the workspace refused for the time being.
    """

    extracted_at: datetime
    counts: Mapping[str, int]
    failed: Sequence[str]
    requests: int
    refused: int
    _journal: LineageJournal

    def lines(self) -> Iterator[bytes]:
        """The tables with lineage by name; JSON objects without an end of line."""
        return self._journal.lines()

    def discard(self) -> None:
        """Deletes the journal; once the block that opened it has been left."""
        discard(self._journal.journal.path)


def journal_of(
    calls: RestCalls, folder: Path, excluded_catalogs: Sequence[str], *, with_columns: bool
) -> Path:
    """Where the journal of an extraction lies; whoever may see other tables has another.

    Args:
        calls: To the workspace.
        folder: Of the journals.
        excluded_catalogs: Globs.
        with_columns: Whether columns are asked too.

    Raises:
        WorkspaceError: The workspace does not say who is signed in.
    """
    identity = {
        "host": calls.connection.host,
        "principal": calls.connection.signed_in(),
        "excluded_catalogs": sorted(excluded_catalogs),
        "with_columns": with_columns,
    }
    return journal_path(folder, "lineage", identity)


@contextmanager
def read_lineage(
    calls: RestCalls,
    folder: Path,
    *,
    excluded_catalogs: Sequence[str],
    with_columns: bool,
    progress: Progress,
    rates: Rates | None = None,
    begun_since: datetime | None = None,
) -> Iterator[LineageAnswers]:
    """Asks the lineage of all tables that the caller sees; goes on with what is in the journal.

    Args:
        calls: To the workspace.
        folder: Of all journals.
        excluded_catalogs: Globs; what lies in them is neither listed nor asked.
        with_columns: Whether the columns of tables with lineage are asked too.
        progress: Is told of `tables` and `columns`.
        rates: Requests a second.
        begun_since: What was begun before is not gone on with, as it knows too little.

    Raises:
        RequestBudgetError: The budget of `calls` is used up; the next call goes on.
        AccessDeniedError: The caller sees no table, or not the lineage of any.
        WorkspaceError: A request failed for good, for another reason than its own table.
        LocationError: The journal cannot be used.
    """
    path = journal_of(calls, folder, excluded_catalogs, with_columns=with_columns)
    with open_journal(path, SCHEMA, begun_since=begun_since) as opened:
        journal = LineageJournal(opened)
        reading = _Reading(calls, journal, progress, rates or Rates())
        reading.read(excluded_catalogs, with_columns=with_columns)
        counts = journal.counts(with_columns=with_columns)
        not_told = sum(counts[f"tables_{reason}"] for reason in ("denied", "gone", "failed"))
        # To be shown nothing must not look like a workspace without lineage.
        is_told = counts["tables_asked"] > not_told
        if is_told:
            failed = journal.failed(MOST_NAMES)
            yield LineageAnswers(
                opened.begun_at, counts, failed, reading.requests, reading.refused, _journal=journal
            )
    if not is_told:
        discard(path)  # once it is granted, all of them are to be asked again
        raise _nothing_told(calls, counts)


def _nothing_told(calls: RestCalls, counts: Mapping[str, int]) -> AccessDeniedError:
    principal, host = calls.connection.principal, calls.connection.host
    if asked := counts["tables_asked"]:
        what = f"{principal} may not see the lineage of any of the {asked:,} tables at {host}."
    else:
        what = f"{principal} sees no table at {host}, excluded catalogs aside."
    return AccessDeniedError(what, "Let a metastore admin grant it BROWSE on the catalogs.")


class _Reading:
    """The stages of one run, and the paces at which they ask."""

    def __init__(
        self, calls: RestCalls, journal: LineageJournal, progress: Progress, rates: Rates
    ) -> None:
        self._calls, self._journal, self._progress = calls, journal, progress
        self._stages = Stages(self._report)
        self._paces = [
            Pace(rate * HEADROOM, sleep=self._stages.pause)
            for rate in (PAGES_PER_SECOND, rates.tables, rates.columns)
        ]

    @property
    def requests(self) -> int:
        """Requests that were sent, repeated ones too."""
        return sum(pace.sent for pace in self._paces)

    @property
    def refused(self) -> int:
        """Those of them that the workspace refused for now."""
        return sum(pace.refused for pace in self._paces)

    def read(self, excluded_catalogs: Sequence[str], *, with_columns: bool) -> None:
        """Reads what is not read yet."""
        of_listings, of_tables, of_columns = self._paces
        requests = LineageRequests(
            self._calls,
            Listing(self._calls, of_listings),
            self._journal,
            of_tables,
            of_columns,
            with_columns,
        )
        requests.begin(excluded_catalogs)
        try:
            self._stages.run(*self._planned(requests, with_columns=with_columns))
        except RequestBudgetError as error:
            done, known = self._journal.how_far()["tables"]
            raise RequestBudgetError(f"{error} {done:,} of {known:,} tables are done.") from error
        requests.end()
        self._report()

    def _planned(self, requests: LineageRequests, *, with_columns: bool) -> list[Stage]:
        catalogs, schemas, tables, of_columns, columns = (
            WorkList(self._journal.journal, query)
            for query in (CATALOGS, SCHEMAS_WITH_TABLES, TABLES, SCHEMAS_WITH_COLUMNS, COLUMNS)
        )
        listings = [
            Stage(catalogs, requests.list_catalog, LISTING_THREADS, (schemas, tables)),
            Stage(schemas, requests.list_tables, LISTING_THREADS, (tables,)),
        ]
        if not with_columns:
            threads = MOST_REQUESTS_AT_ONCE - 2 * LISTING_THREADS
            return [*listings, Stage(tables, requests.ask_table, threads)]
        threads = MOST_REQUESTS_AT_ONCE - 3 * LISTING_THREADS - COLUMN_THREADS
        return [
            *listings,
            Stage(tables, requests.ask_table, threads, (of_columns, columns)),
            Stage(of_columns, requests.list_columns, LISTING_THREADS, (columns,)),
            Stage(columns, requests.ask_column, COLUMN_THREADS),
        ]

    def _report(self) -> None:
        far = self._journal.how_far()
        tables_done, tables = far["tables"]
        columns_done, columns = far["columns"]
        self._progress.update(tables_done, tables, "tables")
        if columns:
            # The tables that are not asked yet will have about as many columns to ask.
            expected = columns * tables // max(tables_done, 1)
            self._progress.update(columns_done, expected, "columns")
