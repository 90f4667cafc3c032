"""Probes run in order, within their time, and what cannot be asked is skipped."""

import time
from collections.abc import Callable
from threading import Event, Thread

import pytest

from dbminer_dagster.errors import LocationError, SettingsError, StatementError
from dbminer_dagster.preflight import runner
from dbminer_dagster.preflight.model import Answer, Finding, Probe, Stage, Status, verdict
from dbminer_dagster.preflight.runner import run_probes, with_needs

FINE = Answer("fine")


def probe(
    name: str,
    *needs: Probe,
    ask: Callable[[], Answer] = lambda: FINE,
    stage: Stage = Stage.AUTHORISATION,
    **changes: float | Callable[[Thread], None],
) -> Probe:
    return Probe(name, stage, "try it", ask, needs=needs, **changes)  # pyright: ignore[reportArgumentType]


def raising(error: Exception) -> Callable[[], Answer]:
    def ask() -> Answer:
        raise error

    return ask


def only(found: list[Finding]) -> Finding:
    (finding,) = found
    return finding


def test_stages_come_in_order() -> None:
    """Reachability comes before authentication, authorisation and advice."""
    probes = [probe(stage.name, stage=stage) for stage in reversed(Stage)]

    found = [finding.probe.name for finding in run_probes(probes)]

    assert found == ["REACHABILITY", "AUTHENTICATION", "AUTHORISATION", "ADVICE"]


def test_each_probe_is_asked_once() -> None:
    """A probe that is there twice is asked once."""
    asked = []
    first = probe("first", ask=lambda: asked.append(1) or FINE)

    assert len(list(run_probes([first, first]))) == 1
    assert asked == [1]


@pytest.mark.parametrize(
    ("retryable", "failures", "asked", "status"),
    [
        (True, 2, 3, Status.PASSED),
        (True, 3, 3, Status.FAILED),
        (False, 1, 1, Status.FAILED),
    ],
)
def test_a_bad_network_is_asked_again(
    retryable: bool,
    failures: int,
    asked: int,
    status: Status,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A probe that failed for a cause that may pass is asked twice more, any other is not."""
    monkeypatch.setattr(runner, "WAITS_SECONDS", (0.01, 0.01))
    asks = []

    def ask() -> Answer:
        asks.append(1)
        if len(asks) <= failures:
            raise StatementError("The connection broke.", "Run again.", retryable=retryable)
        return FINE

    assert only(list(run_probes([probe("broken", ask=ask)]))).status is status
    assert len(asks) == asked


def test_a_failure_skips_what_depends_on_it() -> None:
    """What needs a failed probe, directly or not, is skipped and names it; the rest is asked."""
    failed = probe("failed", ask=lambda: Answer("no", Status.FAILED, "Do it."))
    child = probe("child", failed)
    grandchild = probe("grandchild", child)
    other = probe("other")

    found = {each.probe.name: each for each in run_probes([failed, child, grandchild, other])}

    assert found["other"].status is Status.PASSED
    for name in ("child", "grandchild"):
        assert found[name].status is Status.SKIPPED
        assert found[name].answer.text == "Not asked, because failed failed."
        assert found[name].blocker is found["failed"]


def test_a_warning_skips_nothing() -> None:
    """What only warns does not stop what depends on it."""
    warned = probe("warned", ask=lambda: Answer("hm", Status.WARNING, "Look."))

    assert [each.status for each in run_probes([warned, probe("child", warned)])] == [
        Status.WARNING,
        Status.PASSED,
    ]


def test_needs_come_before_what_needs_them() -> None:
    """A chosen probe brings along all that it needs."""
    first = probe("first")
    second = probe("second", first)

    assert list(with_needs([probe("third", second)]))[:2] == [first, second]


@pytest.mark.parametrize(
    ("error", "text", "remedy", "is_wrong_setting"),
    [
        (LocationError("It is gone. Bring it back."), "It is gone.", "Bring it back.", False),
        (LocationError("It is shut (no): open it."), "It is shut (no).", "Open it.", False),
        (SettingsError("X is not set. Set X."), "X is not set.", "Set X.", True),
    ],
)
def test_our_errors_are_findings(
    error: Exception, text: str, remedy: str, is_wrong_setting: bool
) -> None:
    """An error of ours fails the probe, with its last sentence as the remedy."""
    answer = only(list(run_probes([probe("x", ask=raising(error))]))).answer

    assert (answer.status, answer.text, answer.remedy) == (Status.FAILED, text, remedy)
    assert answer.is_wrong_setting is is_wrong_setting


@pytest.mark.parametrize(
    ("stage", "status"),
    [(Stage.AUTHORISATION, Status.FAILED), (Stage.ADVICE, Status.WARNING)],
)
def test_an_unexpected_error_is_a_finding(stage: Stage, status: Status) -> None:
    """Any other error becomes a finding too; advice only warns."""
    broken = probe("x", ask=raising(ZeroDivisionError("by zero")), stage=stage)

    finding = only(list(run_probes([broken])))

    assert finding.status is status
    assert finding.answer.text == "Unexpected ZeroDivisionError: by zero"
    assert finding.remedy


def test_a_slow_probe_is_given_up() -> None:
    """After its time a probe has failed, what it holds is freed, and the others go on."""
    done, abandoned = Event(), Event()

    def wait() -> Answer:
        done.wait(5)
        return FINE

    slow = probe("slow", ask=wait, budget_seconds=0.05, abandon=lambda _: abandoned.set())
    start = time.monotonic()

    slow_finding, other = run_probes([slow, probe("other")])

    done.set()
    assert time.monotonic() - start < 2
    assert slow_finding.status is Status.FAILED
    assert slow_finding.answer.text.startswith("No answer within")
    assert abandoned.is_set()
    assert other.status is Status.PASSED


def test_a_probe_that_was_given_up_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was given up ends with its next error, be it one that may pass."""
    monkeypatch.setattr(runner, "WAITS_SECONDS", (0.01, 0.01))
    asks, threads, freed = [], [], Event()

    def ask() -> Answer:
        asks.append(1)
        freed.wait(5)
        raise StatementError("The session is closed.", "Run again.", retryable=True)

    def abandon(asking: Thread) -> None:
        threads.append(asking)
        freed.set()

    (finding,) = run_probes([probe("slow", ask=ask, budget_seconds=0.05, abandon=abandon)])

    (asking,) = threads
    asking.join(5)
    assert finding.answer.text.startswith("No answer within")
    assert not asking.is_alive()
    assert asks == [1]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"passed"}, "ready"),
        (set(), "ready"),
        ({"passed", "warning"}, "partial"),
        ({"passed", "skipped"}, "partial"),
        ({"passed", "warning", "failed", "skipped"}, "not ready"),
        ({"failed"}, "not ready"),
    ],
)
def test_verdicts(found: set[str], expected: str) -> None:
    """Any failure is `not ready`, all passed is `ready`, anything between is `partial`."""
    assert verdict(map(Status, found)).value == expected
