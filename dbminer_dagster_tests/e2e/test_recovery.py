"""What a deployment does without a person: hosts that are lost, and a database that grows."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from dbminer_dagster.assets.day_writer import CHUNK_DAYS
from dbminer_dagster.automation import range_tags
from dbminer_dagster.schemas import POPULARITY_SCORES
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.faults import Fault
from dbminer_dagster_tests.e2e.deployment import DEPLOY, Deployment
from dbminer_dagster_tests.e2e.graphql import FINISHED, Run, wait_until
from dbminer_dagster_tests.e2e.postgres import Postgres

pytestmark = pytest.mark.e2e

JOB = "mine_lineage_and_popularity"
RUN_S = 90
LONG_RUN_S = 240
HOST_LOSS_S = 150


def launch(deployment: Deployment, first: date, last: date, **tags: str) -> str:
    """Puts one run over some days into the queue; its id."""
    return deployment.graphql.launch(
        JOB, range_tags(Window(first, last + timedelta(days=1))) | tags
    )


def retry_of(deployment: Deployment, run_id: str) -> Run | None:
    """The finished run that Dagster launched in place of another."""
    tag = {"key": "dagster/parent_run_id", "value": run_id}
    return next(iter(deployment.graphql.runs(tags=[tag], statuses=list(FINISHED))), None)


def test_a_lost_host_loses_no_day(
    deployment: Deployment, workspace: Emulator, storage: Path, first_day: date
) -> None:
    """A run whose code server and worker died together fails by its age, and is run again."""
    day = first_day + timedelta(days=4)
    workspace.faults.add(Fault("slow", "FetchResults", delay_s=5))
    run_id = launch(deployment, day, day)
    wait_until(
        lambda: deployment.graphql.run(run_id).status == "STARTED", RUN_S, f"the start of {run_id}"
    )

    deployment.kill("code-server")
    assert deployment.graphql.run(run_id).status == "STARTED"
    workspace.faults.clear()
    deployment.start("code-server")

    found = wait_until(lambda: retry_of(deployment, run_id), HOST_LOSS_S, f"a retry of {run_id}")
    assert (found.status, found.days) == ("SUCCESS", (day.isoformat(), day.isoformat()))
    assert deployment.graphql.run(run_id).status == "FAILURE"
    scored = DeltaStorage(str(storage)).days_present(POPULARITY_SCORES, Window.of_day(day))
    assert scored == {day}


def test_a_killed_worker_goes_on_behind_stored_days(
    deployment: Deployment, workspace: Emulator, storage: Path, first_day: date
) -> None:
    """A long run whose worker died is run again, but for the days that it had stored."""
    # Without the newest minable day, which the schedule is to find.
    days = Window(first_day, first_day + timedelta(days=CHUNK_DAYS + 1))
    stored = Window(first_day, first_day + timedelta(days=CHUNK_DAYS))
    workspace.faults.add(Fault("slow", "FetchResults", delay_s=2))
    run_id = launch(deployment, days.start, days.last_day, **{"dagster/max_runtime": "300"})

    def said(run: str, what: str) -> list[str]:
        return [line for line in deployment.graphql.messages(run) if f"{what} {stored}" in line]

    wait_until(lambda: said(run_id, ": stored"), LONG_RUN_S, f"a commit of {run_id}")
    deployment.kill_run_workers()
    workspace.faults.clear()

    found = wait_until(lambda: retry_of(deployment, run_id), LONG_RUN_S, f"a retry of {run_id}")
    assert found.status == "SUCCESS"
    assert said(found.run_id, "an earlier attempt of this run has stored")
    assert DeltaStorage(str(storage)).days_present(POPULARITY_SCORES, days) == frozenset(days)


def test_the_purge_leaves_what_pages_show(
    deployment: Deployment, postgres: Postgres, first_day: date
) -> None:
    """Deleting old events takes away messages of runs, and no day, check or run."""
    day = first_day + timedelta(days=5)
    run_id = launch(deployment, day, day)
    wait_until(
        lambda: deployment.graphql.run(run_id).status in FINISHED, RUN_S, f"the end of {run_id}"
    )

    def shown() -> list[object]:
        graphql = deployment.graphql
        return [graphql.materialised("daily_usage"), graphql.checks("daily_usage"), graphql.runs()]

    count = f"SELECT count(*) FROM event_logs WHERE run_id = '{run_id}'"
    ((events,),), before = postgres.sql(count), shown()
    purge = str(DEPLOY / "purge_event_log.sql")
    postgres.run("psql", "-Xq", "--set", "keep_days=0", "--file", purge)

    ((left,),) = postgres.sql(count)
    assert 0 < int(left) < int(events)
    assert shown() == before
