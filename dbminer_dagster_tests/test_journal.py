"""The journal of an extraction: what was added survives any end, and nothing else does."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from stat import S_IRUSR, S_IXUSR

import pytest
import time_machine

from dbminer_dagster.errors import LocationError
from dbminer_dagster.rest_api.journal import (
    KEPT_FOR,
    discard,
    journal_path,
    open_journal,
)

SCHEMA = "CREATE TABLE IF NOT EXISTS kept (number INTEGER PRIMARY KEY, pair INTEGER)"
BEGUN_AT = datetime(2026, 1, 9, 12, tzinfo=UTC)
KEEP = "INSERT INTO kept VALUES (?, ?)"
WRITER = f"""
import sys
from pathlib import Path
from dbminer_dagster.rest_api.journal import open_journal
with open_journal(Path(sys.argv[1]), {SCHEMA!r}) as journal:
    number = journal.value("SELECT coalesce(max(number), 0) FROM kept")
    while True:
        journal.add({KEEP!r}, (number + 1, number + 2), (number + 2, number + 1))
        number += 2
        print(number, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal may lie, in a folder that does not exist yet."""
    return tmp_path / "work" / "journal.sqlite"


def numbers(path: Path) -> list[int]:
    """What a journal keeps."""
    with open_journal(path, SCHEMA) as journal:
        return [number for (number,) in journal.rows("SELECT number FROM kept ORDER BY number")]


def killed_writer(path: Path, lines: int) -> int:
    """Lets a process write until it has told of so many lines, and kills it.

    Returns:
        The last number that it told of.
    """
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout
        told = [writer.stdout.readline() for _ in range(lines)]
        os.kill(writer.pid, signal.SIGKILL)
        return int(told[-1])


def test_a_kill_loses_nothing_that_was_added(path: Path) -> None:
    """After each kill all that was told of is there, in whole additions, and it goes on."""
    for lines in (1, 40, 7):
        told = killed_writer(path, lines)
        kept = numbers(path)
        assert kept == list(range(1, len(kept) + 1))
        assert len(kept) >= told
        assert len(kept) % 2 == 0


def test_an_addition_is_whole_or_nothing(path: Path) -> None:
    """When one of several rows cannot be kept, none of them is."""
    with open_journal(path, SCHEMA) as journal:
        journal.add(KEEP, (1, 0))
        with pytest.raises(sqlite3.IntegrityError):
            journal.add(KEEP, (2, 0), (1, 0))
    assert numbers(path) == [1]


def test_a_transaction_is_whole_or_nothing(path: Path) -> None:
    """What several statements change is taken back when the block fails."""
    with open_journal(path, SCHEMA) as journal:
        with suppress(KeyboardInterrupt), journal.transaction() as database:
            database.execute(KEEP, (1, 0))
            raise KeyboardInterrupt
        journal.add(KEEP, (2, 0))
    assert numbers(path) == [2]


def test_rows_may_be_added_while_others_are_read(path: Path) -> None:
    """Reading in batches and adding do not disturb each other."""
    with open_journal(path, SCHEMA) as journal:
        journal.add(KEEP, *((number, 0) for number in range(1200)))
        read = []
        for (number,) in journal.rows("SELECT number FROM kept WHERE number < 1200"):
            journal.add(KEEP, (number + 10_000, 0))
            read.append(number)
    assert read == list(range(1200))


def test_the_beginning_stays_the_same(path: Path) -> None:
    """However often an extraction is gone on with, it began when it was first begun."""
    with open_journal(path, SCHEMA) as journal:
        begun_at = journal.begun_at
    with open_journal(path, SCHEMA) as journal:
        assert journal.begun_at == begun_at
    assert begun_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""], ids=["text", "empty"])
def test_a_damaged_journal_begins_anew(
    content: bytes, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is no journal is replaced, with a warning where it held something."""
    path.parent.mkdir()
    path.write_bytes(content)
    assert numbers(path) == []
    assert ("damaged: reading begins anew" in caplog.text) == bool(content)


def test_a_journal_with_a_damaged_page_begins_anew(path: Path) -> None:
    """Damage that shows itself only while the journal is read is no traceback."""
    with open_journal(path, SCHEMA) as journal:
        journal.add(KEEP, *((number, 0) for number in range(5000)))
    content = bytearray(path.read_bytes())
    content[-8192:] = b"\xff" * 8192
    path.write_bytes(content)
    with pytest.raises(LocationError, match=r"was damaged .* Run again"):
        numbers(path)
    assert numbers(path) == []


def test_an_old_journal_begins_anew(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was begun long ago no longer tells how things are, however often it is gone on with."""
    with time_machine.travel(BEGUN_AT, tick=False) as now, open_journal(path, SCHEMA) as journal:
        journal.add(KEEP, (1, 0))
        now.shift(KEPT_FOR)
        journal.add(KEEP, (2, 0))
    with time_machine.travel(BEGUN_AT + KEPT_FOR, tick=False):
        assert numbers(path) == [1, 2]
    with time_machine.travel(BEGUN_AT + KEPT_FOR + timedelta(minutes=1), tick=False):
        assert numbers(path) == []
    assert "too long ago: reading begins anew" in caplog.text


def test_a_journal_that_knows_too_little_begins_anew(path: Path) -> None:
    """Who needs what happened up to a moment does not go on with what was begun before."""
    with open_journal(path, SCHEMA) as journal:
        journal.add(KEEP, (1, 0))
    begun_at = journal.begun_at
    with open_journal(path, SCHEMA, begun_since=begun_at) as journal:
        assert journal.value("SELECT number FROM kept") == 1
    with open_journal(path, SCHEMA, begun_since=begun_at + timedelta(microseconds=1)) as journal:
        assert journal.value("SELECT number FROM kept") is None
        assert journal.begun_at > begun_at


def test_two_never_use_one_journal(path: Path) -> None:
    """A second reader is told that another one is at work."""
    with (
        open_journal(path, SCHEMA),
        pytest.raises(LocationError, match="Another process reads the same"),
    ):
        numbers(path)
    assert numbers(path) == []


@pytest.fixture
def unwritable(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nobody can make a file, whoever runs the test."""
    if os.geteuid() == 0:
        blocked = tmp_path / "file"
        blocked.touch()
        yield blocked
        return
    folder = tmp_path / "folder"
    folder.mkdir(mode=S_IRUSR | S_IXUSR)
    yield folder
    folder.chmod(0o700)


def test_an_unwritable_folder_is_an_error_with_a_remedy(unwritable: Path) -> None:
    """A journal that cannot be made says which setting to change."""
    with pytest.raises(LocationError, match="Set DBMINER_WORK_FOLDER"):
        numbers(unwritable / "journal.sqlite")


def test_a_discarded_journal_leaves_no_file(path: Path) -> None:
    """Nothing of it stays, also after a kill; and discarding twice is fine."""
    killed_writer(path, 3)
    discard(path)
    discard(path)
    assert list(path.parent.iterdir()) == []


def test_the_path_tells_extractions_apart(tmp_path: Path) -> None:
    """Another host or day gives another file; the order of what tells them apart does not."""
    one = journal_path(tmp_path, "history", {"host": "a", "day": 1})
    assert one == journal_path(tmp_path, "history", {"day": 1, "host": "a"})
    assert one.name.startswith("history-")
    others = [("history", {"host": "b", "day": 1}), ("lineage", {"host": "a", "day": 1})]
    assert one not in [journal_path(tmp_path, *other) for other in others]
