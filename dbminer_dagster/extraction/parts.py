"""Lines to the content of one part: a file of its own, cut at a size, and what it holds."""

import gzip
import hashlib
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import BinaryIO, cast

from dbminer_dagster.resources.offline import lineage_objects
from dbminer_dagster.resources.offline.manifest import PartEntry
from dbminer_dagster.resources.offline.rest_lineage import Answers, RestEvents
from dbminer_dagster.windows import Window

COMPRESSION_LEVEL = 6
EMPTY_GZIP = gzip.compress(b"", mtime=0)

DaysOf = Callable[[bytes], AbstractSet[date]]
"""The UTC days of the rows or edges of a line."""


def part_name(number: int, *, is_gzip: bool) -> str:
    """The name of the part of this number."""
    return f"result-{number}.json" + (".gz" if is_gzip else "")


def empty_content(name: str) -> bytes:
    """What a part of this name holds when it has no row."""
    return EMPTY_GZIP if name.endswith(".gz") else b""


def write_part(
    path: Path, name: str, lines: Iterator[bytes], *, limit_bytes: int, days_of: DaysOf
) -> PartEntry:
    """Takes lines until the limit is reached, and writes them to `path`; the last may exceed it.

    The same lines give the same bytes, so that a part that was cut off is replaced by its like.

    Args:
        path: The new file.
        name: The name that the part will have; tells whether it is compressed.
        lines: JSON objects without a line end; what is left of them belongs to the next part.
        limit_bytes: Of uncompressed lines.
        days_of: Tells the days of a line.

    Raises:
        OSError: The file cannot be written.
    """
    rows = size_bytes = 0
    days: set[date] = set()
    with ExitStack() as stack:
        file = stack.enter_context(path.open("wb"))
        plain = stack.enter_context(_compressed(file)) if name.endswith(".gz") else file
        while size_bytes < limit_bytes and (line := next(lines, None)) is not None:
            plain.write(line + b"\n")
            rows += 1
            size_bytes += len(line) + 1
            days |= days_of(line)
    return PartEntry(name, rows, path.stat().st_size, _sha256(path), sorted(days))


def lineage_days(window: Window) -> DaysOf:
    """The days of the window on which edges of REST answers were last seen."""
    events = RestEvents()

    def days_of(line: bytes) -> set[date]:
        answers = lineage_objects.decode(line)
        days = events.days(answers) if isinstance(answers, Answers) else set()
        return {day for day in days if day in window}

    return days_of


def _compressed(file: BinaryIO) -> BinaryIO:
    # Without name and time, which would make the same lines differ.
    stream = gzip.GzipFile("", "wb", COMPRESSION_LEVEL, fileobj=file, mtime=0)
    return cast(BinaryIO, stream)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
