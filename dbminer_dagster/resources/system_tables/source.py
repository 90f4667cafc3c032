"""One table of a source: the statements that count, bound and read its rows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from dbminer_dagster.databricks.system_tables import SystemTable
from dbminer_dagster.resources.system_tables.columns import FoundColumns
from dbminer_dagster.schemas import Table
from dbminer_dagster.windows import Window

Binding = dict[str, date | datetime]

DATE_SLACK = timedelta(days=1)
"""How far the day that a source tells of an event may lie from the day of its time."""

SOURCE_ROWS = "source_rows"
"""Column of what is read: how many rows of the source a row stands for."""


@dataclass(frozen=True, slots=True)
class Source:
    """How the rows of one raw table are read.

    Attributes:
        raw: The raw table.
        table: Where its rows come from.
        time_column: Column whose time decides the day.
        date_column: Column of about that day, if the source is partitioned by it; it only spares
            the source the reading of other days.
        leaves: The leaves of structs that are read, as `struct.leaf`.
        statement: The statement that reads, for the columns found and a condition.
        rows: A batch of its result in the columns of the raw table, types aside, and
            `SOURCE_ROWS`.
    """

    raw: Table
    table: SystemTable
    time_column: str
    date_column: str | None
    leaves: tuple[str, ...]
    statement: Callable[[FoundColumns, str], str]
    rows: Callable[[pl.DataFrame], pl.DataFrame]

    def columns_statement(self) -> str:
        """Gives no row, but all columns."""
        return f"{self._comment('columns')}SELECT * FROM {self.table.quoted} LIMIT 0"  # noqa: S608

    def counts_statement(self) -> str:
        """Gives `day` and `row_count` for each day of the bound window that has rows."""
        return (
            f"{self._comment('counts')}SELECT {self._day} AS day, count(*) AS row_count\n"
            f"FROM {self.table.quoted} AS t\nWHERE {self._condition}\nGROUP BY {self._day}"
        )

    def bounds_statement(self) -> str:
        """Gives the `first_known` and the `last_known` day of all rows."""
        return (
            f"{self._comment('bounds')}SELECT min({self._day}) AS first_known, "
            f"max({self._day}) AS last_known\nFROM {self.table.quoted} AS t"
        )

    def outside_statement(self, window: Window, *, before: bool) -> tuple[str, Binding]:
        """Gives one row if any lies before the window, or else after it; and what to bind."""
        sign, time, day = (
            ("<", window.start_time, window.start)
            if before
            else (">=", window.end_time, window.last_day)
        )
        condition = f"t.`{self.time_column}` {sign} :bound_time"
        binding: Binding = {"bound_time": time}
        if self.date_column:
            # A day of the window, which is `DATE_SLACK` wider than the days outside of it.
            condition += f" AND t.`{self.date_column}` {sign[0]}= :bound_date"
            binding["bound_date"] = day
        statement = (
            f"{self._comment('neighbours')}SELECT 1 AS found\n"
            f"FROM {self.table.quoted} AS t\nWHERE {condition}\nLIMIT 1"
        )
        return statement, binding

    def read_statement(self, found: FoundColumns) -> str:
        """Gives the rows of the bound window, as `rows` takes them."""
        return self._comment("rows") + self.statement(found, self._condition)

    def parameters(self, window: Window) -> Binding:
        """What binds a window to the statements: half-open, in UTC; dates `DATE_SLACK` wider."""
        binding: Binding = {"start_time": window.start_time, "end_time": window.end_time}
        if self.date_column:
            binding["start_date"] = window.start - DATE_SLACK
            binding["end_date"] = window.end + DATE_SLACK
        return binding

    @property
    def _day(self) -> str:
        # Sessions are in UTC.
        return f"CAST(t.`{self.time_column}` AS DATE)"

    @property
    def _condition(self) -> str:
        time = f"t.`{self.time_column}`"
        exact = f"{time} >= :start_time AND {time} < :end_time"
        if self.date_column is None:
            return exact
        day = f"t.`{self.date_column}`"
        return f"{day} >= :start_date AND {day} < :end_date AND {exact}"

    def _comment(self, what: str) -> str:
        """Tells the readers of the query history whose statement this is."""
        return f"/* dbminer: {what} of {self.raw.name} */\n"
