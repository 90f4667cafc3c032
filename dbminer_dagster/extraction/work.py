"""What is kept of extractions into one place until they have ended, to go on with after a kill."""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dbminer_dagster.errors import LocationError
from dbminer_dagster.extraction.plan import Plan

_SCHEMA = """
CREATE TABLE IF NOT EXISTS extraction (
    identity TEXT PRIMARY KEY, begun_at TEXT NOT NULL, workspace_id TEXT, progress TEXT
);
CREATE TABLE IF NOT EXISTS pending (folder TEXT, name TEXT, PRIMARY KEY (folder, name));
"""


@dataclass(frozen=True, slots=True)
class Work:
    """The extractions into one place that have not ended; one process at a time may have it.

    Attributes:
        folder: Holds the journals of the extraction that is wanted.
        identity: Of that extraction.
    """

    folder: Path
    identity: str
    _database: sqlite3.Connection

    @property
    def progress(self) -> str | None:
        """How far the extraction got; None if there is none to go on with."""
        found = self._database.execute(
            "SELECT progress FROM extraction WHERE identity = ?", (self.identity,)
        ).fetchone()
        return found and (found[0] or "just begun")

    def begin(self) -> datetime:
        """When the extraction began: now, unless there is one to go on with."""
        now = datetime.now(UTC).isoformat()
        self._database.execute(
            "INSERT OR IGNORE INTO extraction (identity, begun_at) VALUES (?, ?)",
            (self.identity, now),
        )
        begun_at, *_ = self._database.execute(
            "SELECT begun_at FROM extraction WHERE identity = ?", (self.identity,)
        ).fetchone()
        return datetime.fromisoformat(begun_at)

    def note_progress(self, progress: str) -> None:
        """Keeps how far the extraction got."""
        self._database.execute(
            "UPDATE extraction SET progress = ? WHERE identity = ?", (progress, self.identity)
        )

    @property
    def workspace_id(self) -> str | None:
        """The workspace, once it has told its id."""
        found = self._database.execute(
            "SELECT workspace_id FROM extraction WHERE identity = ?", (self.identity,)
        ).fetchone()
        return found and found[0]

    def note_workspace_id(self, workspace_id: str) -> None:
        """Keeps the id, so that it is asked for once."""
        self._database.execute(
            "UPDATE extraction SET workspace_id = ? WHERE identity = ?",
            (workspace_id, self.identity),
        )

    def pending(self, folder: str) -> set[str]:
        """Parts that may be there without being in the manifest; they may be replaced."""
        found = self._database.execute("SELECT name FROM pending WHERE folder = ?", (folder,))
        return {name for (name,) in found}

    def note_pending(self, folder: str, name: str) -> None:
        """To be called before such a part is published."""
        self._database.execute("INSERT OR IGNORE INTO pending VALUES (?, ?)", (folder, name))

    def settle(self, folder: str) -> None:
        """To be called when every part of the folder is in the manifest, or removed."""
        self._database.execute("DELETE FROM pending WHERE folder = ?", (folder,))

    def forget(self) -> None:
        """Ends the extraction: it has written everything, or is to begin anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._database.execute("DELETE FROM extraction WHERE identity = ?", (self.identity,))


@contextmanager
def open_work(work_folder: Path, plan: Plan) -> Iterator[Work]:
    """Opens what is kept for the place that the plan writes to, for this process alone.

    Raises:
        LocationError: The folder cannot be written, or another extraction into the same place is
            at work.
    """
    place = plan.out if plan.out.startswith("s3://") else str(Path(plan.out).resolve())
    identity = json.dumps({**plan.identity(), "out": place}, sort_keys=True)
    path = work_folder / f"extract-{_short(place)}.sqlite"
    try:
        work_folder.mkdir(parents=True, exist_ok=True)
        database = _opened(path)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, plan, error) from error
    with closing(database):
        try:
            yield Work(work_folder / f"extract-{_short(identity)}", identity, database)
        except sqlite3.Error as error:
            raise _unusable(path, plan, error) from error


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        # Exclusive: two that write the same manifest would lose each other's parts.
        database.executescript(f"PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; {_SCHEMA} COMMIT")
    except BaseException:
        database.close()
        raise
    return database


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _unusable(path: Path, plan: Plan, error: Exception) -> LocationError:
    if "locked" in str(error):
        return LocationError(
            f"Another extraction into {plan.out} is at work. Wait until it has ended, or end it."
        )
    return LocationError(
        f"{path} cannot be used ({error}). Set DBMINER_WORK_FOLDER to a local folder with room "
        "that the user who runs dbminer may write."
    )
