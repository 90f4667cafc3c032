"""One table of a source: the statements that count, bound and read its rows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from dbminer_dagster.databricks.system_tables import SystemTable
from dbminer_dagster.resources.system_tables.columns import FoundColumns
from dbminer_dagster.schemas import Table
from dbminer_dagster.windows import Window

SOURCE_ROWS = "source_rows"
"""Column of what is read: how many rows of the source a row stands for."""


@dataclass(frozen=True, slots=True)
class Source:
    """How the rows of one raw table are read.

    Attributes:
        raw: The raw table.
        table: Where its rows come from.
        time_column: Column whose time decides the day.
        date_column: Column of that day, if the source is partitioned by it.
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
        """Gives the `first` and the `last` day, or time, of all rows."""
        column = f"t.`{self.date_column or self.time_column}`"
        return (
            f"{self._comment('bounds')}SELECT min({column}) AS first_known, "
            f"max({column}) AS last_known\nFROM {self.table.quoted} AS t"
        )

    def read_statement(self, found: FoundColumns) -> str:
        """Gives the rows of the bound window, as `rows` takes them."""
        return self._comment("rows") + self.statement(found, self._condition)

    def parameters(self, window: Window) -> dict[str, date | datetime]:
        """What binds a window to the statements: half-open, in UTC."""
        times = {"start_time": window.start_time, "end_time": window.end_time}
        dates = {"start_date": window.start, "end_date": window.end} if self.date_column else {}
        return {**times, **dates}

    @property
    def _day(self) -> str:
        if self.date_column:
            return f"t.`{self.date_column}`"
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
