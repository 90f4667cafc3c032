"""The port that every extraction method implements."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import ClassVar, Self

import dagster as dg
import polars as pl

from dbminer_dagster.errors import DayNotCoveredError
from dbminer_dagster.schemas import KNOWN_TABLES, WAREHOUSE_COSTS, Table, empty
from dbminer_dagster.settings import ExtractionMethod
from dbminer_dagster.spool import Spool
from dbminer_dagster.windows import Window


@dataclass(frozen=True, slots=True)
class Extraction:
    """Rows of whole days, in the columns of a raw table, and how they came about.

    Attributes:
        frame: The rows; lazy, over parts on local disk.
        row_count: How many they are.
        covered: First and last day that the source knows anything of; None if it is empty.
        counts: What was read and what was left out, by reason.
        notes: Facts for the asset's metadata, such as bad lines and unknown fields.
        missing: Days between the first and the last of which the source knows nothing.
    """

    frame: pl.LazyFrame
    row_count: int
    covered: tuple[date, date] | None
    counts: dict[str, int] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    missing: frozenset[date] = frozenset()

    def absent_days(self, window: Window) -> frozenset[date]:
        """The days of the window of which the source knows nothing."""
        if self.covered is None:
            return frozenset(window)
        first, last = self.covered
        return frozenset(day for day in window if not first <= day <= last or day in self.missing)

    def require_coverage(self, window: Window, what: str, remedy: str) -> frozenset[date]:
        """The absent days, if at least one day of the window is covered.

        Raises:
            DayNotCoveredError: The source covers no day of the window.
        """
        absent = self.absent_days(window)
        if len(absent) < window.days:
            return absent
        held = f"{self.covered[0]} to {self.covered[1]}" if self.covered else "no row at all"
        if self.missing:
            held += f", but for {len(self.missing)} days in between"
        raise DayNotCoveredError(f"No {what} for {window}: the source holds {held}. {remedy}")


@dataclass(frozen=True, slots=True)
class Inventory:
    """The tables that a source has at one moment.

    Attributes:
        frame: Rows of `known_tables`, all but their day; lazy, over parts on local disk.
        row_count: How many they are.
        is_readable: False where the source did not let itself be read.
        notes: Facts for the asset's metadata, such as why there is no row.
    """

    frame: pl.LazyFrame
    row_count: int
    is_readable: bool = True
    notes: tuple[str, ...] = ()

    @classmethod
    def without_rows(cls, note: str, *, is_readable: bool) -> Self:
        """An inventory of no table, and why."""
        return cls(empty(KNOWN_TABLES).drop("day"), 0, is_readable, (note,))


@dataclass(frozen=True, slots=True)
class Costs:
    """What SQL warehouses cost, where the source tells it.

    Attributes:
        frame: Rows of `warehouse_costs`; lazy, over parts on local disk.
        row_count: How many they are.
        unpriced_records: Usage records of each day that no list price is known for.
        is_known: False where the source tells no cost at all; then there is no row.
        is_refused: It would, but did not let itself be read.
        note: Why no cost is known; empty if it is.
    """

    frame: pl.LazyFrame
    row_count: int
    unpriced_records: Mapping[date, int] = field(default_factory=dict)
    is_known: bool = True
    is_refused: bool = False
    note: str = ""

    @classmethod
    def unknown(cls, note: str, *, is_refused: bool) -> Self:
        """No cost, and why."""
        return cls(empty(WAREHOUSE_COSTS), 0, is_known=False, is_refused=is_refused, note=note)


class Extractor(dg.ConfigurableResource, ABC):
    """Reads lineage and query history from one kind of source.

    Attributes:
        reads_query_history_by_days: Whether some days cost the source less than all, so that a
            long run can ask for them one after the other.
        reads_lineage_by_days: The same of lineage.
    """

    reads_query_history_by_days: ClassVar[bool]
    reads_lineage_by_days: ClassVar[bool]

    @property
    @abstractmethod
    def method(self) -> ExtractionMethod:
        """The extraction method, as written into every row."""

    @abstractmethod
    def query_history(self, window: Window, spool: Spool) -> Extraction:
        """Statements that started in the window, as rows of `raw_query_history`.

        Raises:
            SourceError: The source cannot be read, or does not cover the window.
        """

    @abstractmethod
    def lineage(
        self, window: Window, spool: Spool, tables: Collection[Table]
    ) -> dict[str, Extraction]:
        """Lineage events of the window, as rows of the wanted raw lineage tables, by name.

        Raises:
            SourceError: The source cannot be read, or does not cover the window.
        """

    def inventory(self, read_at: datetime, spool: Spool) -> Inventory:  # noqa: ARG002
        """The tables and columns that the source has now; none where it keeps no list of them.

        Args:
            read_at: Now, in UTC, as written into every row.
            spool: Takes the rows.

        Raises:
            SourceError: The source cannot be reached. One that refuses gives no row, and a note.
        """
        return Inventory.without_rows(
            f"The extraction method {self.method.value} gives no inventory: names and paths are "
            "resolved by the tables that lineage names.",
            is_readable=True,
        )

    def costs(self, window: Window, spool: Spool) -> Costs:  # noqa: ARG002
        """What SQL warehouses cost in each hour of the window, where the source tells it.

        Raises:
            SourceError: The source cannot be reached. One that refuses gives no row, and a note.
        """
        return Costs.unknown(
            f"The extraction method {self.method.value} tells no cost: it is read from "
            "`system.billing`, with DBMINER_QUERY_HISTORY_METHOD=system_table.",
            is_refused=False,
        )
