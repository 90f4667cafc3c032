"""The pace of requests: never faster than it is set, slower after refusals, and back again."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbminer_dagster.databricks.pace import LOWEST_SHARE, RECOVERY_SECONDS, SLOWED, Pace

rates = st.floats(0.5, 500)


class FakeTime:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        """The present time, in seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Lets time pass."""
        assert seconds >= 0
        self.now += seconds

    def pace(self, per_second: float) -> Pace:
        """A pace that lives in this time."""
        return Pace(per_second, clock=self.clock, sleep=self.sleep)


def rate(time: FakeTime, pace: Pace) -> float:
    """The rate of the present moment, by the time between two requests."""
    pace.wait()
    start = time.now
    pace.wait()
    return 1 / (time.now - start)


steps = st.lists(
    st.tuples(
        st.sampled_from(["wait", "wait", "wait", "refused", "pause"]),
        st.floats(0, 3, allow_subnormal=False),
    ),
    max_size=200,
)


@given(per_second=rates, steps=steps)
def test_a_second_never_holds_more_requests_than_the_rate(
    per_second: float, steps: list[tuple[str, float]]
) -> None:
    """Whatever happens in between, any stretch of time holds at most its share, and one."""
    time = FakeTime()
    pace = time.pace(per_second)
    sent: list[float] = []
    for kind, seconds in steps:
        match kind:
            case "wait":
                pace.wait()
                sent.append(time.now)
            case "refused":
                pace.slow_down(seconds)
            case _:
                time.sleep(seconds)
    assert pace.sent == len(sent)
    for number, start in enumerate(sent):
        in_second = [moment for moment in sent[number:] if moment < start + 1 - 1e-6]
        assert len(in_second) <= per_second + 1


@given(per_second=rates)
def test_without_refusals_the_set_rate_is_reached(per_second: float) -> None:
    """Requests that are ready leave at exactly the set rate."""
    time = FakeTime()
    pace = time.pace(per_second)
    for _ in range(101):
        pace.wait()
    assert time.now == pytest.approx(100 / per_second)


@given(per_second=rates, after_s=st.floats(0, 60), refusals=st.integers(1, 5))
def test_nothing_is_sent_before_the_time_that_a_refusal_names(
    per_second: float, after_s: float, refusals: int
) -> None:
    """After a refusal everybody waits for as long as the server asked."""
    time = FakeTime()
    pace = time.pace(per_second)
    for _ in range(refusals):
        pace.slow_down(after_s)
    pace.wait()
    assert time.now >= after_s
    assert pace.refused == refusals


def test_a_refusal_takes_the_turns_of_those_who_wait() -> None:
    """A request that was to be sent next waits as well when another is refused meanwhile."""
    time = FakeTime()
    refusals = [10.0]

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if time.now and refusals:
            pace.slow_down(refusals.pop())

    pace = Pace(1, clock=time.clock, sleep=sleep)
    pace.wait()
    pace.wait()
    assert time.now >= 1 + 10
    assert pace.sent == 2


def test_refusals_lower_the_rate_and_time_raises_it() -> None:
    """The rate falls by a fifth with a refusal, and is whole again when none follows."""
    time = FakeTime()
    pace = time.pace(50)
    pace.slow_down(2)
    time.sleep(2)
    assert rate(time, pace) == pytest.approx(50 * SLOWED)
    time.sleep(2 + RECOVERY_SECONDS * (1 - SLOWED) / 2 - time.now)
    assert rate(time, pace) == pytest.approx(50 * (1 + SLOWED) / 2)
    time.sleep(RECOVERY_SECONDS)
    assert rate(time, pace) == pytest.approx(50)


def test_requests_that_are_refused_together_count_as_one_refusal() -> None:
    """Those that were under way at once lower the rate once."""
    time = FakeTime()
    pace = time.pace(50)
    for _ in range(20):
        pace.slow_down(1)
    time.sleep(1)
    assert rate(time, pace) == pytest.approx(50 * SLOWED)
    assert pace.refused == 20


def test_the_rate_never_falls_to_nothing() -> None:
    """However often the server refuses, requests go on being tried."""
    time = FakeTime()
    pace = time.pace(50)
    for _ in range(200):
        pace.slow_down(0.1)
        time.sleep(0.1)
    assert rate(time, pace) >= 50 * LOWEST_SHARE


def test_threads_share_the_turns() -> None:
    """Threads that wait at once get a turn each, and none is counted twice."""
    pace = Pace(10_000)
    threads = [threading.Thread(target=lambda: [pace.wait() for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pace.sent == 8 * 50
