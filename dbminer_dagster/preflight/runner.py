"""Runs probes in order, within their time, and skips what cannot be asked any more."""

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from threading import Event, Thread

from dbminer_dagster.errors import DbminerError, SettingsError, WorkspaceError
from dbminer_dagster.preflight.model import Answer, Finding, Probe, Status

WAITS_SECONDS = (1, 5)
"""Before a probe asks again what a bad network kept from it."""


def run_probes(probes: Iterable[Probe]) -> Iterator[Finding]:
    """One finding for each probe, by stage.

    A probe that needs one which failed or was itself skipped is skipped. No probe raises.
    """
    found: dict[Probe, Finding] = {}
    for probe in sorted(dict.fromkeys(probes), key=lambda probe: probe.stage):
        blocker = _blocker(probe, found)
        found[probe] = _skipped(probe, blocker) if blocker else _asked(probe)
        yield found[probe]


def with_needs(probes: Iterable[Probe]) -> Iterator[Probe]:
    """The probes, each after those which it needs."""
    for probe in probes:
        yield from with_needs(probe.needs)
        yield probe


def _blocker(probe: Probe, found: Mapping[Probe, Finding]) -> Finding | None:
    """What failed of that which the probe needs, directly or not."""
    for needed in map(found.__getitem__, probe.needs):
        if needed.status is Status.FAILED:
            return needed
        if needed.blocker is not None:
            return needed.blocker
    return None


def _skipped(probe: Probe, blocker: Finding) -> Finding:
    text = f"Not asked, because {blocker.probe.name} failed."
    return Finding(probe, Answer(text, Status.SKIPPED), blocker=blocker)


def _asked(probe: Probe) -> Finding:
    start = time.monotonic()
    asked: Future[Answer] = Future()
    given_up = Event()
    # A thread, since neither client can be told when to give up; a daemon, so that one which
    # hangs does not keep the process alive.
    arguments = (probe, asked, given_up)
    asking = Thread(target=_ask, args=arguments, name=probe.name, daemon=True)
    asking.start()
    try:
        answer = asked.result(probe.budget_seconds)
    except TimeoutError:
        given_up.set()
        probe.abandon(asking)
        answer = _failed(
            probe,
            f"No answer within {probe.budget_seconds:.0f} seconds.",
            "Ask again in some minutes: a warehouse may still be starting or be busy.",
        )
    return Finding(probe, answer, round((time.monotonic() - start) * 1000))


def _ask(probe: Probe, asked: "Future[Answer]", given_up: Event) -> None:
    try:
        answer = _persistent(probe, given_up)
    except WorkspaceError as error:
        answer = _failed(probe, error.what, error.remedy)
    except DbminerError as error:
        what, remedy = _split(str(error))
        is_setting = isinstance(error, SettingsError)
        answer = _failed(probe, what, remedy, is_wrong_setting=is_setting)
    except Exception as error:  # a preflight says what is wrong, whatever it is
        text = f"Unexpected {type(error).__name__}: {error}"
        answer = _failed(probe, text, "Please report it with this text.")
    asked.set_result(answer)


def _persistent(probe: Probe, given_up: Event) -> Answer:
    for wait_seconds in WAITS_SECONDS:
        try:
            return probe.ask()
        except WorkspaceError as error:
            if not error.retryable or given_up.wait(wait_seconds):
                raise
    return probe.ask()


def _split(message: str) -> tuple[str, str]:
    """What failed, and the remedy with which each message of ours ends."""
    for end in (". ", ": "):
        what, separator, remedy = message.rpartition(end)
        if separator:
            return f"{what}.", remedy[0].upper() + remedy[1:]
    return message, ""


def _failed(probe: Probe, text: str, remedy: str, *, is_wrong_setting: bool = False) -> Answer:
    """Advice never stops a run, so it only warns."""
    status = Status.WARNING if probe.is_advisory else Status.FAILED
    return Answer(text, status, remedy, is_wrong_setting=is_wrong_setting)
