"""Progress: few lines, and an estimate that follows the slowest kind of work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbminer_dagster.rest_api.progress import ProgressLines, spelled


class Clock:
    """A time that tests set."""

    now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A time that stands still until the test moves it."""
    return Clock()


def test_lines_keep_their_distance(clock: Clock) -> None:
    """However many updates come, a line appears only when the time since the last is over."""
    lines: list[str] = []
    progress = ProgressLines(lines.append, seconds_between=10, clock=clock)
    for step in range(301):
        clock.now = 100 + step / 10
        progress.update(step, 600, "tables")

    assert lines == [
        "100 of 600 tables; about 50 s left",
        "200 of 600 tables; about 40 s left",
        "300 of 600 tables; about 30 s left",
    ]


def test_the_slowest_work_tells_what_is_left(clock: Clock) -> None:
    """Kinds of work go on side by side: the estimate is that of the one that takes longest."""
    lines: list[str] = []
    progress = ProgressLines(lines.append, seconds_between=10, clock=clock)
    progress.update(0, 1000, "tables")
    progress.update(0, 700, "columns")
    clock.now += 10
    progress.update(500, 1000, "tables")
    progress.update(100, 7300, "columns")
    clock.now += 10
    progress.update(100, 7300, "columns")

    assert lines[0] == "500 of 1,000 tables, 0 of 700 columns"
    assert lines[1] == "500 of 1,000 tables, 100 of 7,300 columns; about 24 min left"


def test_what_was_done_before_is_no_speed(clock: Clock) -> None:
    """A resumed extraction is estimated by what this run has done."""
    progress = ProgressLines(lambda _: None, clock=clock)
    progress.update(900, 1000, "tables")
    assert progress.seconds_left() is None
    clock.now += 10
    progress.update(910, 1000, "tables")
    assert progress.seconds_left() == pytest.approx(90)


@given(
    steps=st.lists(st.integers(0, 50), min_size=1, max_size=20),
    seconds=st.floats(0.1, 100),
)
def test_a_steady_speed_is_estimated_exactly(steps: list[int], seconds: float) -> None:
    """At one per second, what is left takes as many seconds as there are things left."""
    clock = Clock()
    progress = ProgressLines(lambda _: None, clock=clock)
    total = sum(steps)
    progress.update(0, total, "tables")
    done = 0
    for step in steps:
        done += step
        clock.now += step * seconds
        progress.update(done, total, "tables")
        left = progress.seconds_left()
        assert left == pytest.approx((total - done) * seconds) or (left is None and not done)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (61, "1 min"), (3599, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    """A duration is told in the largest unit that fits."""
    assert spelled(seconds) == text
