"""Half-open windows of UTC days."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import narwhals as nw
import polars as pl


@dataclass(frozen=True, slots=True)
class Window:
    """The UTC days from `start` up to, and without, `end`."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"window ends on {self.end}, which is not after {self.start}")

    @classmethod
    def of_day(cls, day: date) -> "Window":
        """The window of one day."""
        return cls(day, day + timedelta(days=1))

    @classmethod
    def trailing(cls, last_day: date, days: int) -> "Window":
        """The window of `days` days of which `last_day` is the last."""
        return cls(last_day - timedelta(days=days - 1), last_day + timedelta(days=1))

    @classmethod
    def spanning(cls, windows: "Sequence[Window]") -> "Window":
        """The days from the first of some windows, which follow each other, to the last."""
        return cls(windows[0].start, windows[-1].end)

    @property
    def days(self) -> int:
        """How many days it holds."""
        return (self.end - self.start).days

    @property
    def last_day(self) -> date:
        """Its last day."""
        return self.end - timedelta(days=1)

    @property
    def start_time(self) -> datetime:
        """Its first instant."""
        return datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC)

    @property
    def end_time(self) -> datetime:
        """The first instant after it."""
        return datetime(self.end.year, self.end.month, self.end.day, tzinfo=UTC)

    def __iter__(self) -> Iterator[date]:
        return (self.start + timedelta(days=offset) for offset in range(self.days))

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end

    def __str__(self) -> str:
        return f"{self.start}" if self.days == 1 else f"{self.start} to {self.last_day}"

    def extended_back(self, days: int) -> "Window":
        """The same window, begun `days` days earlier."""
        return Window(self.start - timedelta(days=days), self.end)

    def chunks(self, days: int) -> "Iterator[Window]":
        """The same days in windows of `days` days, the last one of which may be shorter."""
        for offset in range(0, self.days, days):
            start = self.start + timedelta(days=offset)
            yield Window(start, min(start + timedelta(days=days), self.end))

    def holds(self, column: str = "day") -> pl.Expr:
        """Whether the day in `column` lies in the window."""
        return pl.col(column).is_between(pl.lit(self.start), pl.lit(self.end), closed="left")


def of_days(rows: nw.LazyFrame, window: Window) -> nw.LazyFrame:
    """The rows of the days in the window, on any engine."""
    day = nw.col("day")
    return rows.filter(day >= nw.lit(window.start), day < nw.lit(window.end))


def split_by_rows(window: Window, counted: Mapping[date, int], most_rows: int) -> Iterator[Window]:
    """The window in as few parts as a limit of rows allows, of at least a day.

    Args:
        window: The days.
        counted: Rows of each day; parts without any are left out.
        most_rows: Rows of a part, unless a single day has more.
    """
    start, rows = window.start, 0
    for day in window:
        of_day = counted.get(day, 0)
        if rows and of_day and rows + of_day > most_rows:
            yield Window(start, day)
            start, rows = day, 0
        rows += of_day
    if rows:
        yield Window(start, window.end)
