"""The month: a tick each simulated morning, its run, and what happens to it."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as dt_time
from enum import StrEnum

from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.e2e.deployment import Deployment
from dbminer_dagster_tests.e2e.graphql import FINISHED, Run, wait_until

LAG_DAYS = 2
MORNING = dt_time(6)
SUNDAY = 6
RUN_S = 600
MOST_MORE_TICKS = 5
LATEST_KILL_S = 4.0
WILL_RETRY = "dagster/will_retry"


class Blow(StrEnum):
    """What happens to the run of a tick."""

    NONE = ""
    WORKER_KILLED = "worker killed"
    HOST_LOST = "host lost"


@dataclass(frozen=True, slots=True)
class Tick:
    """What came of a tick.

    Attributes:
        at: Its simulated time.
        requested: Days of the run that it asked for, or why it asked for none.
        blow: What happened to the run.
        seconds: What all of it took.
        runs: How the run ended, and the runs in its place.
        reasons: What the failures say of which the cause is not known.
    """

    at: datetime
    requested: str
    blow: Blow
    seconds: float
    runs: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Month:
    """A deployment over a workspace whose clock the ticks move.

    Attributes:
        first_day: The first day that is mined.
        days: How many are.
        blows: What happens to the run of a tick, by its number.
        dice: Says how long after its start a worker is killed.
    """

    deployment: Deployment
    workspace: Emulator
    first_day: date
    days: int
    blows: dict[int, Blow]
    dice: random.Random

    def ticks(self) -> Iterator[Tick]:
        """One tick each morning, and more on the last day while its run fails."""
        for number in range(self.days):
            now = self._morning(number)
            if now.weekday() == SUNDAY:
                self._tick("maintenance_schedule", now, Blow.NONE)
            yield self._tick("mining_schedule", now, self.blows.get(number, Blow.NONE))
        for hours in range(1, MOST_MORE_TICKS + 1):
            later = self._morning(self.days - 1) + timedelta(hours=hours)
            tick = self._tick("mining_schedule", later, Blow.NONE)
            yield tick
            if not tick.runs:
                return

    def _morning(self, number: int) -> datetime:
        """When the day of this number has become minable."""
        day = self.first_day + timedelta(days=number + LAG_DAYS)
        return datetime.combine(day, MORNING, UTC)

    def _tick(self, schedule: str, now: datetime, blow: Blow) -> Tick:
        """Lets the code server evaluate a schedule at a time, and runs what it asks for."""
        begun = time.monotonic()
        self.workspace.workspace.clock = lambda: now
        graphql = self.deployment.graphql
        requests, reason = graphql.evaluate_schedule(schedule, now.timestamp())
        if not requests:
            return Tick(now, reason, Blow.NONE, time.monotonic() - begun)
        (request,) = requests
        run_id = graphql.launch(request.job_name, request.tags)
        if blow is not Blow.NONE:
            self._strike(run_id, blow)
        chain = wait_until(lambda: self._settled(run_id), RUN_S, f"the end of run {run_id}")
        first, last = chain[0].days
        days, seconds = f"{first} to {last}", time.monotonic() - begun
        unplanned = chain if blow is Blow.NONE else chain[1:]
        reasons = [
            reason
            for run in unplanned
            if run.status == "FAILURE"
            for reason in graphql.why_failed(run.run_id)
        ]
        return Tick(now, days, blow, seconds, [run.status for run in chain], reasons)

    def _strike(self, run_id: str, blow: Blow) -> None:
        graphql = self.deployment.graphql
        wait_until(lambda: graphql.run(run_id).status != "QUEUED", RUN_S, "a place in the queue")
        wait_until(lambda: graphql.run(run_id).status != "STARTING", RUN_S, "the start of a run")
        time.sleep(self.dice.uniform(0, LATEST_KILL_S))
        if blow is Blow.WORKER_KILLED:
            self.deployment.kill_run_workers()
        else:
            self.deployment.kill("code-server")
            self.deployment.start("code-server")

    def _settled(self, run_id: str) -> list[Run] | None:
        """The run and those that Dagster launched in its place, once no more will come."""
        chain = [self.deployment.graphql.run(run_id)]
        # Whether Dagster tries a failed run again, it notes a moment after the failure.
        while chain[-1].status == "FAILURE" and chain[-1].tags.get(WILL_RETRY) != "false":
            tag = {"key": "dagster/parent_run_id", "value": chain[-1].run_id}
            retries = self.deployment.graphql.runs(tags=[tag])
            if not retries:
                return None
            chain.append(retries[0])
        return chain if chain[-1].status in FINISHED else None
