"""The statements of one UTC day over the Query History API, each once, as JSON lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from databricks.sdk.errors import BadRequest

from dbminer_dagster.databricks.pace import Pace
from dbminer_dagster.databricks.rest_calls import RestCalls
from dbminer_dagster.errors import DayNotCoveredError, WorkspaceError
from dbminer_dagster.rest_api.journal import discard, journal_path, open_journal
from dbminer_dagster.rest_api.progress import Progress
from dbminer_dagster.rest_api.slices import Slice, SliceThreads
from dbminer_dagster.rest_api.statement_journal import SCHEMA, StatementJournal
from dbminer_dagster.rest_api.statement_pages import StatementPages
from dbminer_dagster.windows import Window

HORIZON = timedelta(days=30)
"""How far back the API knows statements, and the longest stretch that it may be asked for."""
REQUESTS_PER_SECOND = 10.0
"""Databricks documents no limit. Ten pages hold ten thousand statements, about as many as one
process can take in."""
SLICE_MS = 3_600_000
"""An hour is quickly read again, and few workspaces have many pages of it."""
IDS_PER_REQUEST = 50
"""Ids travel in the URL, of which proxies let 4 to 8 kB pass."""


def covered_days(now: datetime) -> tuple[date, date]:
    """The first day of which the API knows all statements, and today."""
    return (now - HORIZON).date() + timedelta(days=1), now.date()


def journal_of(calls: RestCalls, folder: Path, day: date) -> Path:
    """Where the journal of a day lies; another principal may see other statements.

    Raises:
        WorkspaceError: The workspace does not say who is signed in.
    """
    connection = calls.connection
    identity = {"host": connection.host, "principal": connection.signed_in(), "day": day}
    return journal_path(folder, f"query-history-{day}", identity)


@dataclass(frozen=True, slots=True)
class DayStatements:
    """All statements that started on a day, in its open journal.

    Attributes:
        row_count: How many they are.
        rows_answered: How many came, each time that one came.
        not_final: How many still ran, or were not complete, when they were read last.
        requests: Requests that were sent for them since they were opened.
        refused: How many of these the workspace refused for the time being.
    """

    row_count: int
    rows_answered: int
    not_final: int
    requests: int
    refused: int
    _journal: StatementJournal

    def lines(self) -> Iterator[bytes]:
        """The statements by start time, then by id; JSON objects without an end of line."""
        return self._journal.bodies()

    def discard(self) -> None:
        """Deletes the journal; once the block that opened it has been left."""
        discard(self._journal.journal.path)


@contextmanager
def read_day(
    calls: RestCalls, folder: Path, day: date, progress: Progress, *, now: datetime
) -> Iterator[DayStatements]:
    """Reads a day to its end, or goes on with one that was cut off.

    Args:
        calls: On the workspace.
        folder: Of the journals.
        day: The UTC day on which the statements started; it has to be over.
        progress: Is told of slices.
        now: The present time.

    Raises:
        DayNotCoveredError: The API does not know the whole day.
        WorkspaceError: A call failed for good. What was read is kept in the journal.
        LocationError: The journal cannot be used.
    """
    _require_covered(day, now)
    with open_journal(journal_of(calls, folder, day), SCHEMA) as opened:
        journal, threads = StatementJournal(opened), SliceThreads()
        pace = Pace(REQUESTS_PER_SECOND, sleep=threads.pause)
        pages = StatementPages(calls, pace, calls.workspace_id)
        reading = _Reading(day, journal, pages, threads)
        reading.read_slices(progress)
        reading.ask_again()
        yield DayStatements(
            row_count=journal.row_count,
            rows_answered=journal.rows_answered,
            not_final=journal.not_final,
            requests=pace.sent,
            refused=pace.refused,
            _journal=journal,
        )


def _require_covered(day: date, now: datetime) -> None:
    first, today = covered_days(now)
    if day < first:
        raise DayNotCoveredError(
            f"No query history of {day} over the REST API: Databricks keeps {HORIZON.days} days "
            f"of it there, and {first} is the first whole one. Read older days with "
            "DBMINER_QUERY_HISTORY_METHOD=system_table, or from offline files."
        )
    if day >= today:
        raise DayNotCoveredError(
            f"No query history of {day} yet: in UTC that day is not over. Read days up to "
            f"{today - timedelta(days=1)}."
        )


@dataclass(frozen=True, slots=True)
class _Reading:
    day: date
    journal: StatementJournal
    pages: StatementPages
    threads: SliceThreads

    def read_slices(self, progress: Progress) -> None:
        """Reads what is not read yet; a fresh journal begins with a slice for each hour."""
        read, unread = (self.journal.slices(is_read=is_read) for is_read in (True, False))
        if not read and not unread:
            window = Window.of_day(self.day)
            unread = Slice.of(_ms(window.start_time), _ms(window.end_time), SLICE_MS)
            self.journal.keep([], *unread)

        def report(left: int) -> None:
            done = len(self.journal.slices(is_read=True))
            progress.update(done, done + left, f"slices of query history of {self.day}")

        report(len(unread))
        self.threads.read(unread, self._read, report)

    def _read(self, one: Slice, *, is_anew: bool = False) -> list[Slice]:
        # Whether bounds are included is not documented: a millisecond more, and no row is missed.
        asked = _between(one.start_ms - 1, one.end_ms)
        try:
            for page in self.pages.read(f"query history of {self.day}", asked, one.token):
                statements, one = one.own(page), one.after(page)
                halves = one.halves()
                if halves:
                    one = one.ended()
                self.journal.keep(statements, one, *halves)
                if halves:
                    return halves
        except WorkspaceError as error:
            # The workspace may forget a token at any time. Once: it may refuse every one, too.
            if is_anew or one.token is None or not isinstance(error.__cause__, BadRequest):
                raise
            one = one.anew()
            self.journal.keep([], one)
            return self._read(one, is_anew=True)
        return []

    def ask_again(self) -> None:
        """Asks once more for the statements that are not final, those of before a kill too."""
        window = Window.of_day(self.day)
        day = _between(_ms(window.start_time) - 1, _ms(window.end_time))
        ids = self.journal.not_final_ids()
        for start in range(0, len(ids), IDS_PER_REQUEST):
            asked = ids[start : start + IDS_PER_REQUEST]
            filters = {**day, "filter_by.statement_ids": asked}
            found = self.pages.read(f"unfinished statements of {self.day}", filters)
            self.journal.keep([one for page in found for one in page.statements])


def _between(start_ms: int, end_ms: int) -> dict[str, object]:
    range_name = "filter_by.query_start_time_range"
    return {f"{range_name}.start_time_ms": start_ms, f"{range_name}.end_time_ms": end_ms}


def _ms(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
