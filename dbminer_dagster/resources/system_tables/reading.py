"""Reads a source into a spool: counted before, in chunks of days, each of them whole or again."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, TypeVar

import dagster as dg
import polars as pl

from dbminer_dagster.errors import CutOffError
from dbminer_dagster.resources.system_tables.attempts import attempts
from dbminer_dagster.resources.system_tables.columns import FoundColumns
from dbminer_dagster.resources.system_tables.source import SOURCE_ROWS, Source
from dbminer_dagster.spool import Spool
from dbminer_dagster.windows import Window, split_by_rows

if TYPE_CHECKING:
    from dbminer_dagster.databricks.connection import Connection
    from dbminer_dagster.databricks.warehouse import Warehouse

CHUNK_ROWS = 5_000_000
"""Rows of the source that one statement may read, unless a single day has more."""
PART_BYTES = 16 * 2**20
PROGRESS_SECONDS = 5
REMEDY = (
    "Run the day again; if it stays so, look for a row limit on the warehouse, or a view that is "
    "being rebuilt."
)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class SourceRead:
    """What is known of a window once it has been read.

    Attributes:
        counted: Rows that the source had on each day, counted before.
        rows_read: Rows of the source that the results stand for.
        lacking: Optional columns that the source does not have.
    """

    counted: Counter[date]
    rows_read: int
    lacking: list[str]


@dataclass(frozen=True, slots=True)
class SourceReader:
    """Reads one source.

    Attributes:
        connection: To the workspace.
        warehouse_id: The SQL warehouse that runs the statements.
        source: What is read.
        spool: Takes the rows, under the name of the raw table.
    """

    connection: "Connection"
    warehouse_id: str
    source: Source
    spool: Spool

    def read(self, window: Window) -> SourceRead:
        """Spools the rows of the window, in the columns of the raw table.

        Raises:
            MissingColumnsError: The source lacks columns that mining needs.
            CutOffError: A result for a single day held fewer rows than were counted, or rows were
                counted of days that were not asked for.
            SourceError: The workspace cannot give what was asked.
        """
        found, counted = self._attempts(
            lambda warehouse: (self._columns(warehouse), self._count(warehouse, window))
        )
        parts = list(split_by_rows(window, counted, CHUNK_ROWS))
        self._log.info(
            f"{self._name}: {counted.total():,} rows for {window}, to be read "
            f"in {len(parts):,} statements"
        )
        rows_read = sum(self._read(chunk, found, counted) for chunk in parts)
        if rows_read < counted.total():
            raise CutOffError(
                f"{self._name}: {rows_read:,} rows were read of {window}, but the source had "
                f"counted {counted.total():,}. {REMEDY}"
            )
        return SourceRead(
            counted=counted, rows_read=rows_read, lacking=found.lacking(self.source.leaves)
        )

    def bounds(self) -> tuple[date, date] | None:
        """First and last day of the whole source; None if it is empty. Dear on a large one."""
        statement = self.source.bounds_statement()
        self._log.debug(statement)
        (bounds,) = self._attempts(lambda warehouse: warehouse.rows(statement))
        first, last = bounds["first_known"], bounds["last_known"]
        return None if first is None else (first, last)

    def has_rows(self, window: Window, *, before: bool) -> bool:
        """Whether any row of the source lies before the window, or else after it."""
        statement, binding = self.source.outside_statement(window, before=before)
        self._log.debug(statement)
        return bool(self._attempts(lambda warehouse: warehouse.rows(statement, binding)))

    @property
    def _name(self) -> str:
        return self.source.table.full_name

    @property
    def _log(self) -> logging.Logger:
        return dg.get_dagster_logger()

    def _attempts(self, work: "Callable[[Warehouse], Result]") -> Result:
        return attempts(self.connection, self.warehouse_id, self._name, work)

    def _columns(self, warehouse: "Warehouse") -> FoundColumns:
        statement = self.source.columns_statement()
        self._log.debug(statement)
        nothing = pl.concat(warehouse.batches(statement))
        return FoundColumns(self.source.table, nothing.schema)

    def _count(self, warehouse: "Warehouse", window: Window) -> Counter[date]:
        statement = self.source.counts_statement()
        self._log.debug(statement)
        rows = warehouse.rows(statement, self.source.parameters(window))
        counted = Counter({row["day"]: row["row_count"] for row in rows})
        if strays := counted.keys() - set(window):
            raise CutOffError(
                f"{self._name}: {window} was asked for, but rows were counted of "
                f"{', '.join(sorted(map(str, strays)))}. Let `{self.source.time_column}` be a "
                "TIMESTAMP, as in the system table."
            )
        return counted

    def _read(self, window: Window, found: FoundColumns, counted: Counter[date]) -> int:
        """Spools a chunk; one that was cut off in halves. Returns the rows that were read."""
        try:
            return self._attempts(lambda warehouse: self._spool(warehouse, window, found, counted))
        except CutOffError:
            if window.days == 1:
                raise
        self._log.warning(f"{self._name}: the result for {window} was cut off. Reading its halves.")
        parts = [
            part for half in _halves(window) for part in split_by_rows(half, counted, CHUNK_ROWS)
        ]
        return sum(self._read(part, found, counted) for part in parts)

    def _spool(
        self, warehouse: "Warehouse", window: Window, found: FoundColumns, counted: Counter[date]
    ) -> int:
        name, schema = self.source.raw.name, self.source.raw.schema
        statement = self.source.read_statement(found)
        self._log.debug(statement)
        read: Counter[date] = Counter()
        told = time.monotonic()
        batches = warehouse.batches(statement, self.source.parameters(window))
        with self.spool.all_or_nothing(name), closing(batches):
            for batch in _parts(batches):
                rows = self.source.rows(batch)
                by_day = rows.group_by("day").agg(pl.col(SOURCE_ROWS).sum())
                read.update(dict(by_day.iter_rows()))
                self.spool.write(
                    name, rows.select(pl.col(column).cast(schema[column]) for column in schema)
                )
                if time.monotonic() - told >= PROGRESS_SECONDS:
                    told = time.monotonic()
                    self._log.info(f"{self._name}: {read.total():,} rows read of {window} so far")
            self._require_all(window, counted, read)
        return read.total()

    def _require_all(self, window: Window, counted: Counter[date], read: Counter[date]) -> None:
        for day in window:
            if read[day] < counted[day]:
                raise CutOffError(
                    f"{self._name}: the result for {window} held {read[day]:,} rows of {day}, "
                    f"but the source had counted {counted[day]:,}. {REMEDY}"
                )


def _parts(batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The batches in parts of at most about `PART_BYTES`: texts of statements may be long."""
    for batch in batches:
        parts = 1 + int(batch.estimated_size()) // PART_BYTES
        yield from batch.iter_slices(max(1, batch.height // parts))


def _halves(window: Window) -> tuple[Window, Window]:
    middle = window.start + (window.end - window.start) // 2
    return Window(window.start, middle), Window(middle, window.end)
