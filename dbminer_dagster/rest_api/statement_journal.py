"""The journal of a day of query history: each statement once, and how far each slice is read."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

from dbminer_dagster.rest_api.journal import Journal
from dbminer_dagster.rest_api.slices import Slice
from dbminer_dagster.rest_api.statement_pages import Statement

SCHEMA = """
CREATE TABLE IF NOT EXISTS slices (
    start_ms INTEGER, end_ms INTEGER, token TEXT, page_count INTEGER, row_count INTEGER,
    oldest_ms INTEGER, is_newest_first INTEGER, is_read INTEGER, PRIMARY KEY (start_ms, end_ms));
CREATE TABLE IF NOT EXISTS statements (
    statement_id TEXT PRIMARY KEY, start_ms INTEGER, end_ms INTEGER, is_final INTEGER, body BLOB);
CREATE INDEX IF NOT EXISTS in_order ON statements (start_ms, statement_id)
"""
_KEEP_SLICE = "INSERT OR REPLACE INTO slices VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
# Of two versions the final one stays, or that which ended last; between equals nothing tells, and
# what is chosen must not depend on which came first.
_KEEP_STATEMENT = """
INSERT INTO statements (statement_id, start_ms, end_ms, is_final, body) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (statement_id) DO UPDATE SET
    start_ms = excluded.start_ms, end_ms = excluded.end_ms, is_final = excluded.is_final,
    body = excluded.body
WHERE (excluded.is_final, excluded.end_ms, excluded.body) > (is_final, end_ms, body)
"""


@dataclass(frozen=True, slots=True)
class StatementJournal:
    """What has been read of a day; safe to use from any thread.

    Attributes:
        journal: With the tables of `SCHEMA`.
    """

    journal: Journal

    def keep(self, statements: Sequence[Statement], *slices: Slice) -> None:
        """Keeps statements and how far the slices are read with them, all or nothing."""
        with self.journal.transaction() as database:
            database.executemany(_KEEP_STATEMENT, map(astuple, statements))
            database.executemany(_KEEP_SLICE, map(astuple, slices))

    def slices(self, *, is_read: bool) -> list[Slice]:
        """The slices that are read, or those that are not, by time."""
        rows = self.journal.rows(
            "SELECT * FROM slices WHERE is_read = ? ORDER BY start_ms, end_ms", is_read
        )
        return [
            Slice(*values, is_newest_first=bool(newest_first), is_read=bool(read))
            for *values, newest_first, read in rows
        ]

    def not_final_ids(self) -> list[str]:
        """The ids of statements that were not final when they were read last."""
        rows = self.journal.rows(
            "SELECT statement_id FROM statements WHERE NOT is_final ORDER BY statement_id"
        )
        return [statement_id for (statement_id,) in rows]

    def bodies(self) -> Iterator[bytes]:
        """The statements by start time, then by id."""
        rows = self.journal.rows("SELECT body FROM statements ORDER BY start_ms, statement_id")
        return (body for (body,) in rows)

    @property
    def row_count(self) -> int:
        """How many statements are kept."""
        return self.journal.value("SELECT count(*) FROM statements")

    @property
    def rows_answered(self) -> int:
        """How many came in slices, each time that one came."""
        return self.journal.value("SELECT coalesce(sum(row_count), 0) FROM slices")

    @property
    def not_final(self) -> int:
        """How many of the statements were not final when they were read last."""
        return self.journal.value("SELECT count(*) FROM statements WHERE NOT is_final")
