"""Probes, what they find, and the verdict on a source."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from threading import Thread

from dbminer_dagster.settings import ExtractionMethod


class Source(StrEnum):
    """What is read; each by its own method."""

    LINEAGE = "lineage"
    QUERY_HISTORY = "query_history"


class Stage(IntEnum):
    """What a probe is about; stages run in this order."""

    REACHABILITY = 1
    AUTHENTICATION = 2
    AUTHORISATION = 3
    ADVICE = 4


class Status(StrEnum):
    """How a probe ended."""

    PASSED = "passed"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Verdict(StrEnum):
    """Whether a source can be mined; `partial` means that only advice is left."""

    READY = "ready"
    PARTIAL = "partial"
    NOT_READY = "not ready"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe got back.

    Attributes:
        text: What came back, in one or two sentences.
        status: How the probe ended.
        remedy: The one action that repairs it; empty when it passed.
        statements: SQL that belongs to the remedy, to be run as it stands, without semicolons.
        is_wrong_setting: The cause is a setting, not the source.
    """

    text: str
    status: Status = Status.PASSED
    remedy: str = ""
    statements: tuple[str, ...] = ()
    is_wrong_setting: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """One question, asked once and reported for every source that has it in its plan.

    Attributes:
        name: Name of the check.
        stage: What it is about.
        tries: What it does, for people.
        ask: Asks; may raise any error, which the runner turns into an answer.
        needs: The probes that must not have failed before.
        budget_seconds: Time after which it is given up.
        abandon: Frees what the thread of a probe that was given up still holds.
    """

    name: str
    stage: Stage
    tries: str
    ask: Callable[[], Answer]
    needs: "tuple[Probe, ...]" = ()
    budget_seconds: float = 60
    abandon: Callable[[Thread], None] = lambda _: None

    @property
    def is_advisory(self) -> bool:
        """Whether a run may go on without it."""
        return self.stage is Stage.ADVICE


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """A probe and its answer.

    Attributes:
        probe: The probe.
        answer: What it got back.
        duration_ms: How long that took.
        blocker: What failed before, so that this was not asked.
    """

    probe: Probe
    answer: Answer
    duration_ms: int = 0
    blocker: "Finding | None" = None

    @property
    def status(self) -> Status:
        """How the probe ended."""
        return self.answer.status

    @property
    def remedy(self) -> str:
        """The remedy with its statements, one a line."""
        lines = [self.answer.remedy, *(f"{sql};" for sql in self.answer.statements)]
        return "\n".join(filter(None, lines))

    @property
    def summary(self) -> str:
        """What came back and what repairs it."""
        return f"{self.answer.text} {self.remedy}".strip()


@dataclass(frozen=True, slots=True)
class SourceReport:
    """The findings on one source, in the order in which they were made."""

    method: ExtractionMethod
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """Whether the source can be mined."""
        return verdict(finding.status for finding in self.findings)


def verdict(statuses: Iterable[Status]) -> Verdict:
    """`not ready` if anything failed, `ready` if everything passed, else `partial`."""
    found = set(statuses)
    if Status.FAILED in found:
        return Verdict.NOT_READY
    return Verdict.READY if found <= {Status.PASSED} else Verdict.PARTIAL
