"""Stores what a source tells of the days of a run, and keeps an account of it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import dagster as dg

from dbminer_dagster.assets.day_writer import DayWriter, chunks_left
from dbminer_dagster.assets.raw_page import raw_page
from dbminer_dagster.errors import DayNotCoveredError, RowCountError
from dbminer_dagster.resources.extractor import Extraction
from dbminer_dagster.schemas import Table, empty
from dbminer_dagster.spool import Spool, open_spool
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window

Read = Callable[[Window, Spool], Mapping[str, Extraction]]
"""Reads the days of a window: what was found, by the name of the table."""


def store_days(
    context: dg.AssetExecutionContext,
    storage: DeltaStorage,
    tables: Sequence[Table],
    read: Read,
    *,
    by_days: bool,
) -> Iterator[dg.MaterializeResult]:
    """Reads the days of the run that are left, and stores them chunk by chunk.

    Args:
        context: Of the asset.
        storage: Takes the rows.
        tables: The raw tables that are read.
        read: Reads some days.
        by_days: Whether some days cost the source less than all; else they are read at once.

    Raises:
        DayNotCoveredError: The source covers no day of the run.
        SourceError: It cannot be read.
    """
    writers = {table.name: RawWriter(DayWriter.of(context, storage, table)) for table in tables}
    chunks = chunks_left([writer.days for writer in writers.values()])
    for window in chunks if by_days else [Window.spanning(chunks)]:
        with open_spool() as spool:
            try:
                found = read(window, spool)
            except DayNotCoveredError as error:
                for writer in writers.values():
                    writer.leave_out(window, error)
            else:
                for name, extraction in found.items():
                    writers[name].store(window, extraction)
    for writer in writers.values():
        yield writer.result()


@dataclass
class RawWriter:
    """What a run reads of one raw table.

    Attributes:
        days: Stores the days.
        counts: Rows by what became of them.
        notes: Facts for the asset's metadata.
        covered: First and last day of the run that the source knows anything of.
        left_out: Windows that the source does not know, and what it said.
    """

    days: DayWriter
    counts: Counter[str] = field(default_factory=Counter)
    notes: dict[str, list[str]] = field(default_factory=dict)
    covered: tuple[date, date] | None = None
    left_out: list[tuple[Window, DayNotCoveredError]] = field(default_factory=list)

    def leave_out(self, window: Window, error: DayNotCoveredError) -> None:
        """Notes that the source knows no day of the window; nothing is stored before it knows one.

        So a run fails as a whole where no day is known at all.
        """
        self.left_out.append((window, error))

    def store(self, window: Window, extraction: Extraction) -> None:
        """Stores the days of a window, chunk by chunk.

        Raises:
            RowCountError: Rows are missing, or lie outside of the window.
        """
        self._store_left_out()
        table, absent = self.days.table, extraction.absent_days(window)
        rows = dict(extraction.frame.group_by("day").len().collect().iter_rows())
        if sum(rows.get(day, 0) for day in window) != extraction.row_count:
            raise RowCountError(
                f"Table {table.name!r} was not written: {extraction.row_count} rows were read for "
                f"{window}, but the rows by day are {rows}. Report it as a bug."
            )
        for day in sorted(absent):
            self.days.context.log.warning(
                f"{table.name}: the source does not cover {day}; it stays missing."
            )
        for days in self.days.within(window):
            of_days = extraction.frame.filter(days.holds())
            count = sum(rows.get(day, 0) for day in days)
            figures = {
                day: {"rows": rows.get(day, 0), "covered": day not in absent} for day in days
            }
            self.days.store(days, DayFrame(of_days, absent & frozenset(days), count), figures)
        self._account(extraction)

    def result(self) -> dg.MaterializeResult:
        """What the run says of the table.

        Raises:
            DayNotCoveredError: The source covers no day of the run.
        """
        if self.left_out and not self.days.commits and not self.days.finished:
            raise self.left_out[0][1]
        self._store_left_out()
        notes = {
            name: dg.MetadataValue.md("\n".join(f"- {line}" for line in lines))
            for name, lines in self.notes.items()
        }
        covered = " to ".join(map(str, self.covered)) if self.covered else "nothing"
        page = raw_page(self.days.storage, self.days.table, self.days.run.last_day)
        return self.days.result({**self.counts, **notes, "source_covers": covered}, page)

    def _store_left_out(self) -> None:
        for window, error in self.left_out:
            self.days.context.log.warning(f"{self.days.table.name}: {error} The run goes on.")
            self.notes.setdefault("not_covered", []).append(str(error))
            nothing = DayFrame(empty(self.days.table), frozenset(window), 0)
            for days in self.days.within(window):
                figures = {day: {"rows": 0, "covered": False} for day in days}
                self.days.store(days, nothing, figures)
        self.left_out.clear()

    def _account(self, extraction: Extraction) -> None:
        self.counts.update(extraction.counts)
        for name, lines in extraction.notes.items():
            known = self.notes.setdefault(name, [])
            known += [line for line in lines if line not in known]
        if extraction.covered:
            days = (*extraction.covered, *(self.covered or ()))
            self.covered = (min(days), max(days))
