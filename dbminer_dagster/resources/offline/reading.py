"""One pass over all parts of a folder: objects in batches, and an account of what was met."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TypeVar

import dagster as dg
import msgspec
import polars as pl

from dbminer_dagster.resources.offline import QUERY_HISTORY_FOLDER
from dbminer_dagster.resources.offline.decoding import UNDECODABLE
from dbminer_dagster.resources.offline.files import Location
from dbminer_dagster.resources.offline.lines import BadLines, page_rows, read_objects
from dbminer_dagster.resources.offline.manifest import Listing, list_parts
from dbminer_dagster.windows import Window

BATCH_ROWS = 10_000
BATCH_BYTES = 8 * 1024 * 1024
FIELDS_SEEN_IN = 100
"""Objects of each part whose fields are compared with the known ones; all would take too long."""

Row = TypeVar("Row")


@dataclass
class Reading:
    """What one pass has met so far.

    Attributes:
        bad_lines: What could not be understood.
        counts: Rows by what became of them.
        unknown_fields: Fields of the first objects of a part that dbminer does not know.
        covered: First and last day of all rows, those outside of the window too.
        extracted: All days that were extracted, where a manifest tells; for query history alone, as
            a lineage snapshot knows all days up to its own.
        unlisted_files: Result files that were not read, since the manifest does not name them.
    """

    bad_lines: BadLines
    counts: Counter = field(default_factory=Counter)
    unknown_fields: set[str] = field(default_factory=set)
    covered: tuple[date, date] | None = None
    extracted: frozenset[date] | None = None
    unlisted_files: list[str] = field(default_factory=list)

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
        size = rows_read = 0
        listing = self._listed(location, folder)
        for part in listing.parts:
            file = f"{folder}/{part}"
            unseen = FIELDS_SEEN_IN
            with location.open(folder, part) as stream:
                listing.verify(file, part, stream)
                for place, content in read_objects(file, stream, self.bad_lines):
                    if unseen:
                        unseen -= 1
                        self.unknown_fields |= _fields(content) - known_fields
                    try:
                        batch.append(decode(content))
                    except UNDECODABLE as error:
                        batch += self._of_page(file, place, content, decode, error)
                    size += len(content)
                    if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
                        rows_read += len(batch)
                        yield batch
                        batch, size = [], 0
            dg.get_dagster_logger().info(f"{file}: read; {rows_read + len(batch):,} rows so far")
        self.counts["objects_read"] = rows_read + len(batch) + self.bad_lines.total
        self.counts["bad_lines"] = self.bad_lines.total
        if batch:
            yield batch
        self.bad_lines.require_few()

    def _listed(self, location: Location, folder: str) -> Listing:
        listing = list_parts(location, folder)
        self.unlisted_files += [f"{folder}/{name}" for name in listing.unlisted]
        if listing.manifest is None:
            return listing
        for extraction in listing.manifest.extractions:
            # Days on which nothing happened have no row, and yet they were extracted.
            self.cover(extraction.since, extraction.until)
        if folder == QUERY_HISTORY_FOLDER:
            self.extracted = listing.manifest.extracted_days()
        return listing

    def _of_page(
        self,
        file: str,
        place: str,
        content: bytes,
        decode: Callable[[bytes], Row],
        error: Exception,
    ) -> Iterator[Row]:
        """The rows of what is an API page and no row, or else a bad line."""
        rows = page_rows(content)
        if rows is None:
            self.bad_lines.add(file, place, str(error))
            return
        for number, row in enumerate(rows, start=1):
            try:
                yield decode(row)
            except UNDECODABLE as row_error:
                self.bad_lines.add(file, f"{place}, row {number}", str(row_error))

    def cover(self, first: date | None, last: date | None) -> None:
        """Widens the covered days."""
        days = [day for day in (first, last, *(self.covered or ())) if day is not None]
        if days:
            self.covered = (min(days), max(days))

    @property
    def missing(self) -> frozenset[date]:
        """The days between the first and the last that were not extracted."""
        if self.extracted is None or self.covered is None:
            return frozenset()
        first, last = self.covered
        return frozenset(Window(first, last + timedelta(days=1))) - self.extracted

    def within(
        self, window: Window, frame: pl.LazyFrame, known_until: date | None = None
    ) -> pl.DataFrame:
        """The rows of the window; the others only widen what is covered.

        Args:
            window: The days.
            frame: Rows with a `day`.
            known_until: Of a snapshot, the last day that it knows whole; later rows widen nothing.
        """
        rows = frame.collect()
        day = pl.col("day") if known_until is None else pl.col("day").clip(upper_bound=known_until)
        self.cover(*rows.select(first=day.min(), last=day.max()).row(0))
        inside = rows.filter(window.holds())
        self.counts["rows_of_other_days"] += rows.height - inside.height
        return inside

    def notes(self) -> dict[str, list[str]]:
        """What a user should look at."""
        notes = {
            "bad_lines": self.bad_lines.listed,
            "unknown_fields": sorted(self.unknown_fields),
            "unlisted_files": self.unlisted_files,
        }
        return {name: listed for name, listed in notes.items() if listed}


def _fields(content: bytes) -> set[str]:
    """The fields of an object, or of the first row of a page."""
    try:
        rows = page_rows(content)
        value = msgspec.json.decode(rows[0] if rows else content)
    except UNDECODABLE:
        return set()
    return set(value) if isinstance(value, dict) and rows != [] else set()
