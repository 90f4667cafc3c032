"""What Dagster's records tell of runs: their days, and what went wrong in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg

from dbminer_dagster.windows import Window

RANGE_START, RANGE_END = (
    "dagster/asset_partition_range_start",
    "dagster/asset_partition_range_end",
)
ONE_DAY = "dagster/partition"
FIRST_DAY, LAST_DAY = "dbminer/first_day", "dbminer/last_day"
"""The days of a run without partitions."""
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
ENDED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
TEXT_LINES = 5
TEXT_CHARACTERS = 600
_MODULE_OF_CLASS = re.compile(r"^(?:\w+\.)+(?=\w+: )")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that went wrong in a run.

    Attributes:
        where: A step, or a check; empty if it was the run as a whole.
        text: The first lines of what was said. It may hold anything: see `redaction`.
    """

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


def days_of(run: dg.DagsterRun) -> Window | None:
    """The days of a run; None if it has none."""
    for first, last in ((RANGE_START, RANGE_END), (ONE_DAY, ONE_DAY), (FIRST_DAY, LAST_DAY)):
        if first in run.tags and last in run.tags:
            days = (date.fromisoformat(run.tags[name]) for name in (first, last))
            return Window(next(days), next(days) + timedelta(days=1))
    return None


def unfinished_run(instance: dg.DagsterInstance, job_name: str) -> dg.DagsterRun | None:
    """A run of the job that has not ended yet."""
    wanted = dg.RunsFilter(job_name=job_name, statuses=UNFINISHED)
    return next(iter(instance.get_runs(wanted, limit=1)), None)


def last_failed_run(instance: dg.DagsterInstance, job_name: str) -> dg.DagsterRun | None:
    """The last run of the job that has ended, if it failed."""
    ended = instance.get_runs(dg.RunsFilter(job_name=job_name, statuses=ENDED), limit=1)
    return ended[0] if ended and ended[0].status is dg.DagsterRunStatus.FAILURE else None


def faults(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Fault]:
    """The steps that failed, else the checks of severity ERROR, else why the run failed."""
    for found in (_step_faults, _check_faults, _run_faults):
        if told := list(found(instance, run)):
            return told
    return []


def _events(
    instance: dg.DagsterInstance, run: dg.DagsterRun, of_type: dg.DagsterEventType
) -> Iterator[dg.DagsterEvent]:
    for record in instance.get_records_for_run(run.run_id, of_type=of_type).records:
        event = record.event_log_entry.dagster_event
        if event is not None:
            yield event


def _step_faults(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[Fault]:
    for event in _events(instance, run, dg.DagsterEventType.STEP_FAILURE):
        data = event.step_failure_data
        told = data.user_failure_data and data.user_failure_data.description
        yield Fault(event.step_key or "", _first_lines(told or _said(data.error)))


def _check_faults(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[Fault]:
    for event in _events(instance, run, dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        found = event.asset_check_evaluation_data
        if not found.passed and found.severity is dg.AssetCheckSeverity.ERROR:
            where = f"check {found.check_name} of {found.asset_key.to_user_string()}"
            yield Fault(where, _first_lines(found.description or "It did not pass."))


def _run_faults(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[Fault]:
    for event in _events(instance, run, dg.DagsterEventType.RUN_FAILURE):
        data = event.job_failure_data
        yield Fault("", _first_lines(_said(data.error) or event.message or "It failed."))


def _said(error: object) -> str:
    """What user code said: Dagster wraps it into an error of its own."""
    inner = getattr(error, "cause", None) or error
    return _MODULE_OF_CLASS.sub("", getattr(inner, "message", "").strip())


def _first_lines(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    shown = "\n".join(lines[:TEXT_LINES])[:TEXT_CHARACTERS]
    return shown if shown == "\n".join(lines) else f"{shown} …"
