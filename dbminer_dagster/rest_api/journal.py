"""Keeps what an extraction has been answered, so that it goes on after any kind of end.

A journal is a SQLite file: what was added is there after a kill, and nothing is there by half. It
lives as long as its extraction; one that was begun two days ago is out of date.
"""

import hashlib
import json
import logging
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dbminer_dagster.errors import LocationError

KEPT_FOR = timedelta(hours=48)
"""From its beginning. The longest extractions take more than a day."""

_log = logging.getLogger(__name__)
_BEGUN = "CREATE TABLE IF NOT EXISTS begun (at TEXT NOT NULL)"
_BATCH_ROWS = 500


@dataclass(frozen=True, slots=True)
class Journal:
    """An open journal; safe to use from any thread.

    Attributes:
        path: Its file.
        begun_at: When its extraction began, in UTC.
    """

    path: Path
    begun_at: datetime
    _database: sqlite3.Connection
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, statement: str, *rows: Sequence[Any]) -> None:
        """Runs a statement for each row; all of them are kept, or none."""
        with self.transaction() as database:
            database.executemany(statement, rows)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Lets several statements be kept together, or none of them."""
        with self._lock:
            self._database.execute("BEGIN")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # a full disk has ended it
                    self._database.execute("ROLLBACK")
                raise

    def rows(self, statement: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, fetched in batches; others may add while they are read."""
        with self._lock:
            cursor = self._database.execute(statement, values)
        while True:
            with self._lock:
                batch = cursor.fetchmany(_BATCH_ROWS)
            if not batch:
                return
            yield from batch

    def value(self, statement: str, *values: Any) -> Any:
        """The first value of a query; None if it has no row."""
        return next((row[0] for row in self.rows(statement, *values)), None)


def journal_path(folder: Path, kind: str, identity: Mapping[str, object]) -> Path:
    """Where the journal of an extraction lies.

    Args:
        folder: Of all journals.
        kind: What is read, for people who look into the folder.
        identity: What tells this extraction from others, such as the host.
    """
    text = json.dumps(identity, sort_keys=True, default=str)
    return folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.sqlite"


def discard(path: Path) -> None:
    """Deletes a journal, if it is there."""
    for file in _files(path):
        file.unlink(missing_ok=True)


@contextmanager
def open_journal(
    path: Path, schema: str, *, begun_since: datetime | None = None
) -> Iterator[Journal]:
    """Opens a journal, for this process alone; one that is out of date or damaged begins anew.

    Args:
        path: Its file.
        schema: Statements that make its tables where they are missing.
        begun_since: One that was begun before is out of date too.

    Raises:
        LocationError: The folder cannot be written, or another process has the journal open.
    """
    oldest = datetime.now(UTC) - KEPT_FOR
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database, begun_at = _opened(path, schema, max(oldest, begun_since or oldest))
    except (OSError, sqlite3.OperationalError) as error:
        raise _unusable(path, error) from error
    with closing(database):
        try:
            yield Journal(path, begun_at, database)
        except sqlite3.OperationalError as error:
            raise _unusable(path, error) from error
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CORRUPT:
                raise
            discard(path)
            raise LocationError(
                f"{path} was damaged and has been deleted. Run again to begin anew."
            ) from error


def _opened(path: Path, schema: str, oldest: datetime) -> tuple[sqlite3.Connection, datetime]:
    try:
        database, begun_at = _connect(path, schema)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        _log.warning("%s is damaged: reading begins anew.", path)
    else:
        if begun_at >= oldest:
            return database, begun_at
        database.close()
        _log.warning("%s was begun at %s, too long ago: reading begins anew.", path, begun_at)
    discard(path)
    return _connect(path, schema)


def _connect(path: Path, schema: str) -> tuple[sqlite3.Connection, datetime]:
    database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        # Exclusive: two that go on with the same extraction would ask everything twice.
        database.executescript(
            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "
            f"BEGIN IMMEDIATE; {_BEGUN}; {schema}; COMMIT"
        )
        now = datetime.now(UTC).isoformat()
        database.execute(
            "INSERT INTO begun SELECT ? WHERE NOT EXISTS (SELECT 1 FROM begun)", (now,)
        )
        (begun_at,) = database.execute("SELECT at FROM begun").fetchone()
    except BaseException:
        database.close()
        raise
    return database, datetime.fromisoformat(begun_at)


def _files(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]


def _unusable(path: Path, error: Exception) -> LocationError:
    if "locked" in str(error):
        return LocationError(
            f"Another process reads the same into {path}. Wait until it has ended, or end it."
        )
    return LocationError(
        f"{path} cannot be used ({error}). Set DBMINER_WORK_FOLDER to a local folder with room "
        "that the user who runs dbminer may write."
    )
