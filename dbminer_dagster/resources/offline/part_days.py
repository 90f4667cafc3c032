"""The days that a part holds, found in what it holds."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import BinaryIO, TypeVar

from dbminer_dagster.errors import UnreadableFileError
from dbminer_dagster.resources.offline import (
    LINEAGE_FOLDER,
    QUERY_HISTORY_FOLDER,
    lineage_objects,
    query_history,
)
from dbminer_dagster.resources.offline.decoding import UNDECODABLE
from dbminer_dagster.resources.offline.lines import BadLines, page_rows, read_objects
from dbminer_dagster.resources.offline.rest_lineage import Answers, RestEvents

MOST_CONTENT_BYTES = {LINEAGE_FOLDER: 256 * 1024**2, QUERY_HISTORY_FOLDER: 2 * 1024**3}
"""Of one part: what can be decoded in half a minute, and a sensor has a whole one."""

MOST_SECONDS = 30.0
"""For one part, where it is read more slowly than that."""

_EPOCH = date(1970, 1, 1)
_DAY_MS = 24 * 3600 * 1000

Row = TypeVar("Row")


class TooLargeError(UnreadableFileError):
    """A part that a run can read, but a sensor cannot look through in its time."""


def days_of_part(
    folder: str, part: str, stream: BinaryIO, max_bad_lines: int
) -> tuple[set[date], int]:
    """The UTC days of the statements or lineage events of a part, and the bytes of its objects.

    Args:
        folder: The folder of lineage or of the query history.
        part: Its name.
        stream: What it holds.
        max_bad_lines: Bad lines that are tolerated.

    Raises:
        TooLargeError: It takes too long to look through the part.
        SourceError: The part cannot be read to its end, or has too many bad lines.
    """
    content = _Content(f"{folder}/{part}", BadLines(max_bad_lines), MOST_CONTENT_BYTES[folder])
    days = _DAYS_OF[folder](content, stream)
    content.bad_lines.require_few()
    return days, content.size_bytes


class _Content:
    """The objects of a part, and how much of them was read."""

    def __init__(self, file: str, bad_lines: BadLines, most_bytes: int) -> None:
        self.file = file
        self.bad_lines = bad_lines
        self.size_bytes = 0
        self._most_bytes = most_bytes
        self._ends_at = time.monotonic() + MOST_SECONDS

    def rows(self, stream: BinaryIO, decode: Callable[[bytes], Row]) -> Iterator[Row]:
        """The rows, those of API pages too."""
        for place, value in read_objects(self.file, stream, self.bad_lines):
            self._count(value)
            try:
                yield decode(value)
            except UNDECODABLE as error:
                pages = page_rows(value)
                if pages is None:
                    self.bad_lines.add(self.file, place, str(error))
                for row in pages or ():
                    yield from self._of_page(place, row, decode)

    def _of_page(self, place: str, row: bytes, decode: Callable[[bytes], Row]) -> Iterator[Row]:
        try:
            yield decode(row)
        except UNDECODABLE as error:
            self.bad_lines.add(self.file, place, str(error))

    def _count(self, value: bytes) -> None:
        self.size_bytes += len(value)
        if self.size_bytes > self._most_bytes or time.monotonic() > self._ends_at:
            raise TooLargeError(
                f"{self.file} holds too much to look for its days in one tick: no more than "
                f"{self._most_bytes:,} bytes of objects, and {MOST_SECONDS:.0f} s of reading. Cut "
                "it into smaller parts, or mine its days with dbminer mine."
            )


def _statement_days(content: _Content, stream: BinaryIO) -> set[date]:
    """Days alone are taken, without a frame of all columns, which is 15 times faster."""
    numbers, days = set(), set()
    for row in content.rows(stream, query_history.decode):
        if isinstance(row, query_history.ApiRow):
            numbers.add(row.query_start_time_ms // _DAY_MS)
        else:
            days.add(_utc_day(row.start_time))
    return days | {_EPOCH + timedelta(days=number) for number in numbers}


def _event_days(content: _Content, stream: BinaryIO) -> set[date]:
    days: set[date] = set()
    rest = RestEvents()
    for item in content.rows(stream, lineage_objects.decode):
        if isinstance(item, Answers):
            days |= rest.days(item)
        else:
            days.add(_utc_day(item.event_time))
    return days


def _utc_day(moment: datetime) -> date:
    """Times without an offset are UTC."""
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).date()


_DAYS_OF: dict[str, Callable[[_Content, BinaryIO], set[date]]] = {
    LINEAGE_FOLDER: _event_days,
    QUERY_HISTORY_FOLDER: _statement_days,
}
