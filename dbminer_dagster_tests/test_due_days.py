"""Which days are due: everything new, what is missing between, and late days once more."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbminer_dagster.due_days import Progress, Rules, due
from dbminer_dagster.windows import Window

START = date(2026, 1, 1)
MINABLE = Window(START, START + timedelta(days=100))
NEWEST = MINABLE.last_day
RULES = Rules(period_days=7, late_days=2, reach_days=30)

days_of_history = st.frozensets(st.dates(START, NEWEST), max_size=100)


def day(number: int) -> date:
    """The day of this number; the newest minable one is number 99."""
    return START + timedelta(days=number)


def days(first: int, last: int) -> frozenset[date]:
    return frozenset(map(day, range(first, last + 1)))


def window(first: int) -> Window:
    """From this day to the newest one."""
    return Window(day(first), MINABLE.end)


def test_nothing_done_begins_with_one_period() -> None:
    """The first run asks for what one period makes minable, whatever is older."""
    assert due(Progress(MINABLE, frozenset()), RULES).window == window(93)


def test_new_days_come_with_the_late_ones() -> None:
    """All days since the last one, and the days before them that may have gained rows."""
    assert due(Progress(MINABLE, days(50, 95)), RULES).window == window(94)


def test_no_day_before_the_first_is_late() -> None:
    """Days before the first that is done were never asked for, and are not now."""
    assert due(Progress(MINABLE, days(95, 95)), RULES).window == window(95)


def test_nothing_new_has_its_reason() -> None:
    """When the newest day is done and none is missing, no run is due."""
    found = due(Progress(MINABLE, days(50, 99)), RULES)

    assert found.window is None
    assert found.reason == f"Nothing became minable: {NEWEST}, the newest minable day, is mined."
    assert found.notes == []


def test_the_reason_tells_what_was_done() -> None:
    """Days that are extracted are not said to be mined."""
    rules = Rules(1, late_days=0, reach_days=100, done_word="extracted")

    assert due(Progress(MINABLE, days(0, 99)), rules).reason.endswith("is extracted.")


def test_a_hole_is_due() -> None:
    """A day between that is missing is asked for with all days after it, whose windows hold it."""
    done = days(50, 99) - days(80, 80)

    assert due(Progress(MINABLE, done), RULES).window == window(80)


def test_an_old_hole_is_told_and_left() -> None:
    """A hole that no window of today holds is for a backfill."""
    found = due(Progress(MINABLE, days(40, 99) - days(50, 51)), RULES)

    assert found.window is None
    assert found.notes == [
        f"{day(50)}, {day(51)} are not mined, and too old for today's windows (30 days): launch a "
        "backfill if you want them."
    ]


def test_days_that_the_source_lost_are_told() -> None:
    """After a long stop, days that the source no longer has are named and not asked for."""
    found = due(Progress(MINABLE, days(10, 20), oldest=day(60)), RULES)

    assert found.window == window(60)
    (note,) = found.notes
    assert note.startswith(f"The source has nothing before {day(60)} any more")
    assert "(39 days)" in note


def test_the_first_run_asks_for_nothing_that_the_source_lost() -> None:
    """The first run is clipped too."""
    progress = Progress(MINABLE, frozenset(), oldest=day(97))

    assert due(progress, RULES).window == window(97)


def test_a_day_that_the_source_did_not_cover_waits_for_the_next_day() -> None:
    """A run has asked for it already, so that hourly ticks do not ask again and again."""
    found = due(Progress(MINABLE, days(50, 98), tried=days(50, 99)), RULES)

    assert found.window is None
    assert "the source did not cover it yet" in found.reason


def test_an_uncovered_day_is_read_again_as_a_late_day() -> None:
    """With the next new day a run asks for it once more."""
    progress = Progress(MINABLE, days(50, 97), tried=days(50, 98))

    assert due(progress, RULES).window == window(97)


def test_days_that_stay_uncovered_are_told_and_left() -> None:
    """Days that the source never covered do not make each run begin with them."""
    found = due(Progress(MINABLE, days(50, 98) - days(80, 80), tried=days(50, 98)), RULES)

    assert found.window == window(97)
    assert found.notes == [f"The source did not cover {day(80)}: launch a backfill once it does."]


def test_a_hole_that_cannot_be_filled_does_not_hold_up_new_days() -> None:
    """After a run that failed over a hole, new days come alone; then the hole has its turn."""
    progress = Progress(MINABLE, days(50, 98) - days(80, 80))

    assert due(progress, RULES, failed=window(80)).window == window(97)
    assert due(progress, RULES, failed=window(90)).window == window(80)
    assert due(progress, RULES).window == window(80)


def test_a_failed_hole_alone_is_tried_again() -> None:
    """Where no new day waits, nothing speaks against another attempt."""
    progress = Progress(MINABLE, days(50, 99) - days(80, 80))

    assert due(progress, RULES, failed=window(80)).window == window(80)


@pytest.mark.parametrize("late_days", [0, 1, 7])
@given(done=days_of_history, tried=days_of_history, oldest=st.none() | st.integers(0, 99))
def test_no_day_is_forgotten(
    late_days: int, done: frozenset[date], tried: frozenset[date], oldest: int | None
) -> None:
    """Each day since the first that is done is done, tried, asked for, or told of in a note."""
    askable = None if oldest is None else day(oldest)
    rules = Rules(7, late_days=late_days, reach_days=30)

    found = due(Progress(MINABLE, done, tried, askable), rules)

    if not done:
        return
    asked = frozenset(found.window or ())
    left = frozenset(Window(min(done), MINABLE.end)) - done - tried - asked
    assert bool(left) is any("are not mined" in note or "any more" in note for note in found.notes)
    assert not asked or min(asked) >= max(askable or START, min(done))
    assert not asked or max(asked) == NEWEST


@given(done=days_of_history.filter(bool), tried=days_of_history)
def test_a_run_that_succeeds_leaves_nothing_due(
    done: frozenset[date], tried: frozenset[date]
) -> None:
    """After the days that were asked for are done, the next tick of the day asks for nothing."""
    found = due(Progress(MINABLE, done, tried), RULES)
    after = Progress(MINABLE, done | frozenset(found.window or ()), tried)

    assert due(after, RULES).window is None


@given(done=days_of_history.filter(bool), covered=st.integers(0, 99))
def test_a_run_that_covers_a_part_leaves_nothing_due(done: frozenset[date], covered: int) -> None:
    """The same where the source covered some of the days only: they are not asked for at once."""
    found = due(Progress(MINABLE, done), RULES)
    asked = frozenset(found.window or ())
    mined = done | {each for each in asked if each <= day(covered)}

    assert due(Progress(MINABLE, mined, tried=asked), RULES).window is None
