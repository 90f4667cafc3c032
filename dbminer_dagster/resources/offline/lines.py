"""JSON objects out of offline files, one at a time, whatever their wrapping.

A file holds one object a line, or arrays of objects, or objects spread over many lines; any of
these objects may be an API page, see `page_rows`. Text is UTF-8, with or without a byte-order
mark; `.gz` is gzip.
"""

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import msgspec

from dbminer_dagster.errors import BadLinesError, UnreadableFileError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP_MAGIC = b"\x1f\x8b"
LINE_LIMIT_BYTES = 64 * 1024 * 1024
LISTED_BAD_LINES = 20
_CHUNK_BYTES = 1024 * 1024
_HEAD_BYTES = 4096

# An array, or a first line that only opens an object or the rows of a page.
_SPREAD = re.compile(rb'\[|\{[ \t]*("res"[ \t]*:[ \t]*\[[ \t]*\{?[ \t]*)?\r?\n')
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
# What cuts values apart. A lone quote is a string whose end has not been read yet.
_SIGN = re.compile(_STRING + rb'|[][{},"]', re.DOTALL)
# The same inside of a value, where commas do not cut: many strings at once, which is faster.
_INNER_SIGN = re.compile(rb"(?:" + _STRING + rb'[^][{}"]*)+|[][{}"]', re.DOTALL)


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

    def add(self, file: str, place: str, reason: str) -> None:
        """Notes a bad line; gives up when far more than allowed have been found."""
        self.total += 1
        if len(self.listed) < LISTED_BAD_LINES:
            self.listed.append(f"{file}, {place}: {reason}")
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


def read_objects(file: str, stream: BinaryIO, bad_lines: BadLines) -> Iterator[tuple[str, bytes]]:
    """The JSON values of one file, each with its place, such as `line 3`.

    The values are not checked beyond what it takes to find where they end.

    Raises:
        UnreadableFileError: The file breaks off, or is not what its name says.
    """
    place = "line 0"
    try:
        for place, content in _values(file, _plain(file, stream), bad_lines):
            yield place, content
    except (EOFError, OSError, zlib.error) as error:
        raise UnreadableFileError(
            f"{file} breaks off after {place}: {error}. It is cut or damaged; copy it again."
        ) from error


def page_rows(content: bytes) -> list[bytes] | None:
    """The rows of an API page; None if the value is no page."""
    try:
        page = _PAGE.decode(content)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if page.res is None and page.has_next_page is None:
        return None
    return [bytes(row) for row in page.res or ()]


def _plain(file: str, stream: BinaryIO) -> BinaryIO:
    """The stream without its compression."""
    is_gzip = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    stream.seek(0)
    if is_gzip != file.endswith(".gz"):
        found, name = ("", "must") if is_gzip else ("not ", "must not")
        raise UnreadableFileError(
            f"{file} cannot be read from line 1 on: it is {found}gzip, so its name {name} end in "
            ".gz. Rename it, or copy it again."
        )
    # A buffer of its own: reading lines straight from a GzipFile is half as fast.
    return io.BufferedReader(gzip.GzipFile(fileobj=stream), _CHUNK_BYTES) if is_gzip else stream


def _values(file: str, stream: BinaryIO, bad_lines: BadLines) -> Iterator[tuple[str, bytes]]:
    head = stream.read(_HEAD_BYTES)
    stream.seek(len(BYTE_ORDER_MARK) if head.startswith(BYTE_ORDER_MARK) else 0)
    if _SPREAD.match(head.removeprefix(BYTE_ORDER_MARK).lstrip()):
        return _Spread(stream).values()
    return _lines(file, stream, bad_lines)


def _lines(file: str, stream: BinaryIO, bad_lines: BadLines) -> Iterator[tuple[str, bytes]]:
    """Lines that are not blank; those too long to be held are bad."""
    number = 0
    while content := stream.readline(LINE_LIMIT_BYTES + 1):
        number += 1
        if len(content) > LINE_LIMIT_BYTES and not content.endswith(b"\n"):
            bad_lines.add(file, f"line {number}", f"longer than {LINE_LIMIT_BYTES} bytes")
            while content and not content.endswith(b"\n"):
                content = stream.readline(LINE_LIMIT_BYTES)
        elif content := content.strip():
            yield f"line {number}", content


@dataclass
class _Spread:
    """Cuts a stream into values that do not keep to lines; arrays are opened up.

    Every byte ends up in some value, but for the brackets and commas of the outermost arrays.
    """

    stream: BinaryIO
    text: bytes = b""
    start: int = 0  # of the value that is being read
    at: int = 0  # where the next sign is looked for
    line: int = 1
    count: int = 0
    level: int = 0
    in_array: bool = False

    def values(self) -> Iterator[tuple[str, bytes]]:
        """The values, each with its place.

        Raises:
            EOFError: The last value is not closed, or one is too long to be held.
        """
        while self._read():
            while (match := self._sign()) and match[0] != b'"':
                self.at = match.end()
                if (end := self._end(match)) is not None:
                    yield from self._cut(end)
            self.at = match.start() if match else len(self.text)
        if self.level:
            raise EOFError("the last object or array is not closed")
        yield from self._cut(len(self.text))

    def _sign(self) -> re.Match[bytes] | None:
        is_inside = self.level > self.in_array
        return (_INNER_SIGN if is_inside else _SIGN).search(self.text, self.at)

    def _read(self) -> bool:
        held = len(self.text) - self.start
        if held > LINE_LIMIT_BYTES:
            raise EOFError(f"object {self.count + 1} is longer than {LINE_LIMIT_BYTES} bytes")
        chunk = self.stream.read(max(_CHUNK_BYTES, held))
        self.text, self.at, self.start = self.text[self.start :] + chunk, self.at - self.start, 0
        return bool(chunk)

    def _end(self, match: re.Match[bytes]) -> int | None:
        """Where the value ends that this sign closes, if it closes one."""
        sign = match[0]
        if sign in {b"[", b"{"}:
            self.level += 1
            if self.level == 1:
                self.in_array = sign == b"["
                return match.start() if self.in_array else None
        elif sign in {b"]", b"}"}:
            self.level = max(self.level - 1, 0)
            if self.level == 0:
                return match.start() if self.in_array else match.end()
        elif sign == b"," and self.in_array and self.level == 1:
            return match.start()
        return None

    def _cut(self, end: int) -> Iterator[tuple[str, bytes]]:
        piece = self.text[self.start : end]
        blank = len(piece) - len(piece.lstrip())
        if value := piece.strip():
            self.count += 1
            line = self.line + piece.count(b"\n", 0, blank)
            yield f"line {line}, object {self.count}", value
        self.line += self.text.count(b"\n", self.start, max(self.at, end))
        self.start = max(self.at, end)
