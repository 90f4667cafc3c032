"""Windows: half-open, in UTC, whole days."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbminer_dagster.windows import Window

DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))
LENGTHS = st.integers(1, 400)


@given(DAYS, LENGTHS)
def test_a_window_holds_its_days_and_no_other(start: date, length: int) -> None:
    """A window holds its first day and not its end, and lists its days in order."""
    window = Window(start, start + timedelta(days=length))

    assert list(window) == [start + timedelta(days=n) for n in range(length)]
    assert window.days == length
    assert window.last_day in window
    assert window.end not in window
    assert start - timedelta(days=1) not in window


@given(DAYS, LENGTHS)
def test_trailing_window_ends_with_its_day(last_day: date, length: int) -> None:
    """A trailing window counts its last day in."""
    window = Window.trailing(last_day, length)

    assert (window.last_day, window.days) == (last_day, length)


@given(DAYS, LENGTHS, DAYS)
def test_the_expression_agrees_with_python(start: date, length: int, day: date) -> None:
    """The filter on frames holds exactly the days that the window holds."""
    window = Window(start, start + timedelta(days=length))
    near = [day, start, window.last_day, window.end, start - timedelta(days=1)]

    held = pl.DataFrame({"day": near}).filter(window.holds())["day"].to_list()

    assert held == [each for each in near if each in window]


def test_times_are_utc_midnights() -> None:
    """A window runs from midnight to midnight, in UTC."""
    window = Window(date(2026, 1, 5), date(2026, 1, 7))

    assert window.start_time == datetime(2026, 1, 5, tzinfo=UTC)
    assert window.end_time == datetime(2026, 1, 7, tzinfo=UTC)


def test_extension_only_moves_the_start() -> None:
    """A window extended back ends where it ended."""
    window = Window.of_day(date(2026, 1, 5)).extended_back(2)

    assert window == Window(date(2026, 1, 3), date(2026, 1, 6))


@pytest.mark.parametrize("length", [0, -1])
def test_a_window_is_not_empty(length: int) -> None:
    """A window that ends where it begins, or earlier, is refused."""
    with pytest.raises(ValueError, match="is not after"):
        Window(date(2026, 1, 5), date(2026, 1, 5) + timedelta(days=length))


def test_text_names_the_days() -> None:
    """A window reads as its first and last day, or as its only one."""
    assert str(Window.of_day(date(2026, 1, 5))) == "2026-01-05"
    assert str(Window.trailing(date(2026, 1, 5), 2)) == "2026-01-04 to 2026-01-05"
