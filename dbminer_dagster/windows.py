"""Half-open windows of UTC days."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

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

    def holds(self, column: str = "day") -> pl.Expr:
        """Whether the day in `column` lies in the window."""
        return pl.col(column).is_between(pl.lit(self.start), pl.lit(self.end), closed="left")
