"""Numbered parts of NDJSON, gzip-compressed so that the same rows give the same bytes."""

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Self

LEVEL = 9


class PartWriter:
    """Writes lines into `result-0`, `result-1`, … of a folder; the first part stays plain.

    Args:
        folder: Made if it is missing; result files of an earlier run are removed.
        part_rows: Lines in each compressed part.
        plain_rows: Lines in the plain first part.
    """

    def __init__(self, folder: Path, *, part_rows: int, plain_rows: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("result-*.json*"):
            old.unlink()
        self._folder = folder
        self._limits = (plain_rows, part_rows)
        self._raw: BinaryIO | None = None
        self._stream: BinaryIO | gzip.GzipFile | None = None
        self._room = 0
        self.parts = 0
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_part()

    @property
    def part(self) -> int:
        """Number of the part that takes the next line."""
        return self.parts - 1 if self._room else self.parts

    def write(self, lines: Iterable[bytes]) -> None:
        """Append lines that belong together; they stay in one part."""
        for line in lines:
            stream = self._stream or self._open()
            stream.write(line)
            self._room -= 1
            self.rows += 1
        if self._room <= 0:
            self.close_part()

    def close_part(self) -> None:
        """End the current part, so that the next line begins another."""
        for stream in {id(s): s for s in (self._stream, self._raw) if s}.values():
            stream.close()
        self._stream = self._raw = None
        self._room = 0

    def _open(self) -> BinaryIO | gzip.GzipFile:
        plain = self.parts == 0
        name = f"result-{self.parts}.json" + ("" if plain else ".gz")
        self._raw = (self._folder / name).open("wb")
        self._stream = self._raw
        if not plain:
            self._stream = gzip.GzipFile("", "wb", LEVEL, self._raw, mtime=0)
        self._room = self._limits[0 if plain else 1]
        self.parts += 1
        return self._stream
