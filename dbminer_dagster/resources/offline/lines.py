"""JSON objects out of offline files, one at a time, whatever their wrapping.

A file holds one object a line, or an array of objects, or an API page: an object with a `res`
array. Text is UTF-8, with or without a byte-order mark; `.gz` is gzip.
"""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import ijson
import msgspec

from dbminer_dagster.errors import BadLinesError, UnreadableFileError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LINE_LIMIT_BYTES = 64 * 1024 * 1024
LISTED_BAD_LINES = 20


class _Page(msgspec.Struct):
    """A page as the Query History API gives it."""

    res: list[msgspec.Raw] | None = None
    has_next_page: bool | None = None


_PAGE = msgspec.json.Decoder(_Page)


@dataclass
class BadLines:
    """What could not be understood, up to a limit.

    Args:
        limit: Bad lines that are tolerated.
    """

    limit: int
    total: int = 0
    listed: list[str] = field(default_factory=list)

    def add(self, file: str, line: int, reason: str) -> None:
        """Notes a bad line; gives up when far more than allowed have been found."""
        self.total += 1
        if len(self.listed) < LISTED_BAD_LINES:
            self.listed.append(f"{file}, line {line}: {reason}")
        if self.total > self.limit + LISTED_BAD_LINES:
            self.require_few()

    def require_few(self) -> None:
        """Raises a `BadLinesError` if there are more than allowed."""
        if self.total > self.limit:
            lines = "\n".join(f"  {line}" for line in self.listed)
            raise BadLinesError(
                f"{self.total} bad lines, {self.limit} allowed; nothing was committed:\n{lines}\n"
                "Repair or remove these lines, or raise DBMINER_OFFLINE_MAX_BAD_LINES."
            )


def read_objects(file: str, stream: BinaryIO, bad_lines: BadLines) -> Iterator[tuple[int, bytes]]:
    """The JSON objects of one file, each with its line (in an array: its position), from 1.

    The objects are not checked beyond what it takes to find where they end.

    Raises:
        UnreadableFileError: The file breaks off, or is neither lines, array nor page.
    """
    opened: BinaryIO = gzip.open(stream, "rb") if file.endswith(".gz") else stream  # type: ignore[assignment]
    line = 0
    try:
        for line, content in _objects(file, opened, bad_lines):  # noqa: B007 - named in errors
            yield line, content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableFileError(
            f"{file} breaks off after line {line}: {error}. It is cut or damaged; copy it again."
        ) from error
    except ijson.JSONError as error:
        raise UnreadableFileError(
            f"{file} stops being JSON after object {line}: {error}. Export it again."
        ) from error


def _objects(file: str, stream: BinaryIO, bad_lines: BadLines) -> Iterator[tuple[int, bytes]]:
    numbered = _lines(file, stream, bad_lines)
    first = next(numbered, None)
    if first is None:
        return
    _, content = first
    if content.startswith(b"["):
        yield from _array(stream, "item")
    elif content.endswith((b"[", b"{")):
        yield from _pretty_printed(stream)
    else:
        yield from _expanded(first)
        for line in numbered:
            yield from _expanded(line)


def _lines(file: str, stream: BinaryIO, bad_lines: BadLines) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that are not blank; those too long to be held are bad."""
    number = 0
    while content := stream.readline(LINE_LIMIT_BYTES):
        number += 1
        if len(content) == LINE_LIMIT_BYTES and not content.endswith(b"\n"):
            bad_lines.add(file, number, f"longer than {LINE_LIMIT_BYTES} bytes")
            while content and not content.endswith(b"\n"):
                content = stream.readline(LINE_LIMIT_BYTES)
            continue
        if number == 1:
            content = content.removeprefix(BYTE_ORDER_MARK)
        if content := content.strip():
            yield number, content


def _expanded(line: tuple[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """The line itself, or the rows of the API page that it holds."""
    number, content = line
    if b'"res"' in content or b'"has_next_page"' in content:
        try:
            page = _PAGE.decode(content)
        except msgspec.DecodeError:
            page = _Page()
        if page.res is not None or page.has_next_page is not None:
            yield from ((number, bytes(row)) for row in page.res or ())
            return
    yield line


def _array(stream: BinaryIO, path: str) -> Iterator[tuple[int, bytes]]:
    """The objects of the array at `path`, without holding the array."""
    stream.seek(0)
    if stream.read(len(BYTE_ORDER_MARK)) != BYTE_ORDER_MARK:
        stream.seek(0)
    for position, value in enumerate(ijson.items(stream, path, use_float=True), start=1):
        yield position, msgspec.json.encode(value)


def _pretty_printed(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """An API page over many lines, or else one object over many lines."""
    rows = _array(stream, "res.item")
    if (first := next(rows, None)) is not None:
        yield first
        yield from rows
    else:
        yield from (line for whole in _array(stream, "") for line in _expanded(whole))
