"""One pass over all parts of a folder: objects in batches, and an account of what was met."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

import dagster as dg
import msgspec
import polars as pl

from dbminer_dagster.resources.offline.files import Location
from dbminer_dagster.resources.offline.lines import BadLines, read_objects
from dbminer_dagster.windows import Window

BATCH_ROWS = 50_000
BATCH_BYTES = 64 * 1024 * 1024

Row = TypeVar("Row")


@dataclass
class Reading:
    """What one pass has met so far.

    Attributes:
        bad_lines: What could not be understood.
        counts: Rows by what became of them.
        unknown_fields: Fields of the first object of a part that dbminer does not know.
        covered: First and last day of all rows, those outside of the window too.
    """

    bad_lines: BadLines
    counts: Counter = field(default_factory=Counter)
    unknown_fields: set[str] = field(default_factory=set)
    covered: tuple[date, date] | None = None

    def batches(
        self,
        location: Location,
        folder: str,
        decode: Callable[[bytes], Row],
        known_fields: frozenset[str],
    ) -> Iterator[list[Row]]:
        """Every object of the folder once, decoded; the bad ones are noted.

        Raises:
            SourceError: The folder or a file cannot be read, or too many lines are bad.
        """
        batch: list[Row] = []
        size = 0
        for part in location.parts(folder):
            file = f"{folder}/{part}"
            read_before = self.counts["objects_read"]
            with location.open(folder, part) as stream:
                for line, content in read_objects(file, stream, self.bad_lines):
                    if self.counts["objects_read"] == read_before:
                        self.unknown_fields |= _fields(content) - known_fields
                    self.counts["objects_read"] += 1
                    try:
                        batch.append(decode(content))
                    except (msgspec.DecodeError, ValueError, RecursionError) as error:
                        self.bad_lines.add(file, line, str(error))
                    size += len(content)
                    if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
                        yield batch
                        batch, size = [], 0
            read = self.counts["objects_read"] - read_before
            dg.get_dagster_logger().info(f"{file}: {read:,} objects")
        if batch:
            yield batch
        self.counts["bad_lines"] = self.bad_lines.total
        self.bad_lines.require_few()

    def cover(self, first: date | None, last: date | None) -> None:
        """Widens the covered days."""
        days = [day for day in (first, last, *(self.covered or ())) if day is not None]
        if days:
            self.covered = (min(days), max(days))

    def within(self, window: Window, frame: pl.LazyFrame) -> pl.DataFrame:
        """The rows of the window; the others only widen what is covered."""
        rows = frame.collect()
        self.cover(*rows.select(first=pl.col("day").min(), last=pl.col("day").max()).row(0))
        inside = rows.filter(window.holds())
        self.counts["rows_of_other_days"] += rows.height - inside.height
        return inside

    def notes(self) -> dict[str, list[str]]:
        """What a user should look at."""
        notes = {"bad_lines": self.bad_lines.listed, "unknown_fields": sorted(self.unknown_fields)}
        return {name: listed for name, listed in notes.items() if listed}


def _fields(content: bytes) -> set[str]:
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return set()
    return set(value) if isinstance(value, dict) else set()
