"""The summary of a run tells which days changed, and shows the last days."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbminer_dagster.assets.run_summary import (
    CHARTED_DAYS,
    RowsByDay,
    changed_rows,
    run_summary,
    summary_window,
)
from dbminer_dagster.windows import Window

D0 = date(2026, 3, 1)
DAYS = [D0 + timedelta(days=n) for n in range(5)]
RUN = Window(DAYS[1], DAYS[4])
NOTHING = RowsByDay({}, frozenset())


def rows(counts: dict[int, int]) -> RowsByDay:
    """Days by their number; a day with 0 rows is mined and empty."""
    found = {DAYS[n]: count for n, count in counts.items()}
    return RowsByDay({day: count for day, count in found.items() if count}, frozenset(found))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (NOTHING, rows({1: 5, 2: 0, 3: 7}), "3 new; +12 rows."),
        (
            rows({0: 4, 1: 5, 2: 6, 3: 7}),
            rows({0: 4, 1: 5, 2: 9, 3: 7}),
            "1 changed, 2 as before; +3 rows.",
        ),
        (
            rows({1: 5}),
            rows({1: 0, 2: 2}),
            "1 new, 1 changed, 1 not covered by the source; -3 rows.",
        ),
        (NOTHING, NOTHING, "3 not covered by the source; +0 rows."),
    ],
    ids=["first", "again", "fewer", "nothing"],
)
def test_days_are_told_apart(before: RowsByDay, after: RowsByDay, words: str) -> None:
    """Each day of the run is new, changed, as before, or missing; empty days are mined days."""
    lines = (run_summary(RUN, before, after).value or "").splitlines()

    assert [line.strip() for line in lines[:2]] == [f"**{RUN}**:", words]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (rows({2: 100, 3: 90}), "2026-03-04: 90 rows, -10 (-10.0%) to the day before."),
        (rows({2: 0, 3: 90}), "2026-03-04: 90 rows, +90 to the day before."),
        (rows({3: 90}), "2026-03-04: 90 rows; the day before has not been mined."),
        (rows({2: 1}), "2026-03-04 has not been mined."),
    ],
    ids=["fewer", "from none", "unknown", "missing"],
)
def test_the_last_day_is_compared(after: RowsByDay, words: str) -> None:
    """The last day of a run stands beside the day before it, where that is known."""
    assert (run_summary(RUN, NOTHING, after).value or "").splitlines()[2] == words


counts = st.dictionaries(st.integers(0, 4), st.integers(0, 10**9))


@given(counts, counts)
def test_changes_add_up(before: dict[int, int], after: dict[int, int]) -> None:
    """Rows before plus changes are rows after, of every day that is mined after the run."""
    changes = changed_rows(RUN, rows(before), rows(after))

    assert changes == {
        DAYS[n]: count - before.get(n, 0) for n, count in after.items() if DAYS[n] in RUN
    }


@given(counts, counts)
def test_a_summary_shows_in_place(before: dict[int, int], after: dict[int, int]) -> None:
    """Whatever the counts, it is shorter than what Dagster hides behind a click."""
    assert len(run_summary(RUN, rows(before), rows(after)).value or "") < 1_000


def test_the_window_holds_run_and_chart() -> None:
    """A short run still charts thirty days; a long one is told of as a whole."""
    assert summary_window(RUN) == Window.trailing(RUN.last_day, CHARTED_DAYS)
    long_run = Window(D0 - timedelta(days=90), DAYS[4])
    assert summary_window(long_run) == long_run
