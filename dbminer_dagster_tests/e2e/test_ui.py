"""What people do in the UI, in a real browser over a real deployment."""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from dbminer_dagster.schemas import POPULARITY_SCORES
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.e2e.conftest import DAYS
from dbminer_dagster_tests.e2e.deployment import Deployment
from dbminer_dagster_tests.e2e.graphql import FINISHED, Run, wait_until

pytestmark = pytest.mark.e2e

RUN_S = 60
BACKFILL_S = 120
TICK_S = 90
FRESHNESS_S = 90
SHOWN_MS = 30_000
LINEAGE_CHECKS = "/assets/databricks_lineage?view=checks"
JOB_PAGE = "/locations/dbminer/jobs/mine_lineage_and_popularity"
PASSED = "SUCCEEDED"


def ended(deployment: Deployment, run: Run) -> Run:
    """The run once it has ended."""

    def found() -> Run | None:
        now = deployment.graphql.run(run.run_id)
        return now if now.status in FINISHED else None

    return wait_until(found, RUN_S, f"the end of run {run.run_id}")


def new_run(deployment: Deployment, known: list[Run]) -> Run:
    """The run that is there beside those already known."""
    ids = {run.run_id for run in known}

    def found() -> Run | None:
        return next((run for run in deployment.graphql.runs() if run.run_id not in ids), None)

    return wait_until(found, BACKFILL_S, "a new run")


def ticks_of(deployment: Deployment, schedule: str) -> list[dict[str, Any]]:
    """The newest ticks of a schedule, the newest first."""
    return deployment.graphql.schedule(schedule)["scheduleState"]["ticks"]


def scored_days(storage: Path, first_day: date) -> frozenset[date]:
    """The days that have been scored, those without a read, such as Sundays, included."""
    weeks = Window(first_day, first_day + timedelta(days=14))
    return DeltaStorage(str(storage)).days_present(POPULARITY_SCORES, weeks)


def choose_days(page: Page, place: str, days: str) -> Locator:
    """Opens the dialog that materialises all assets of a page, with these days chosen."""
    page.goto(place)
    page.get_by_role("button", name="Materialize all").click()
    dialog = page.get_by_role("dialog")
    chosen = dialog.locator("input[type=text]").first
    chosen.fill(days)
    chosen.press("Enter")
    return dialog


def test_preflight_passes_by_a_click(page: Page, deployment: Deployment) -> None:
    """*Execute all* on a source runs its checks, and each shows that it passed."""
    known = deployment.graphql.runs()
    page.goto(LINEAGE_CHECKS)

    page.get_by_role("button", name="Execute all").click()

    assert ended(deployment, new_run(deployment, known)).status == "SUCCESS"
    assert set(deployment.graphql.checks("databricks_lineage").values()) == {PASSED}
    expect(page.get_by_text("In Progress")).to_have_count(0, timeout=SHOWN_MS)
    expect(page.get_by_text("Passed")).to_be_visible(timeout=SHOWN_MS)


def test_preflight_shows_what_repairs_it(
    page: Page, deployment: Deployment, workspace: Emulator
) -> None:
    """A check that fails shows the GRANT line which repairs it on its own page."""
    privilege = ("SELECT", "SCHEMA", "system.access")
    user = workspace.workspace.user
    known = deployment.graphql.runs()
    workspace.workspace.revoke(*privilege, to=user)
    try:
        page.goto(f"{LINEAGE_CHECKS}&checkDetail=lineage_tables_readable")
        page.get_by_role("button", name="Execute all").click()
        ended(deployment, new_run(deployment, known))
    finally:
        workspace.workspace.grant(*privilege, to=user)

    grant = re.compile(r"GRANT SELECT ON .*system.*access.* TO .*miner@larkfell\.example")
    expect(page.get_by_text(grant).first).to_be_visible(timeout=SHOWN_MS)


def test_a_day_is_materialised(
    page: Page, deployment: Deployment, storage: Path, first_day: date
) -> None:
    """A day that is chosen in the dialog is mined by one run, and its page shows the day."""
    day = first_day
    known = deployment.graphql.runs()

    dialog = choose_days(page, "/asset-groups", day.isoformat())
    dialog.get_by_role("button", name="Launch 1 run").click()

    run = ended(deployment, new_run(deployment, known))
    assert (run.status, run.days) == ("SUCCESS", (day.isoformat(), day.isoformat()))
    assert day in scored_days(storage, first_day)
    page.goto(f"/assets/popularity_scores?view=partitions&partition={day}")
    expect(page.get_by_text("Materialized").first).to_be_visible(timeout=SHOWN_MS)


def test_a_mined_asset_is_shown_as_fresh(
    page: Page, deployment: Deployment, first_day: date
) -> None:
    """The daemon judges whether an asset is fresh, and its page shows that."""
    ends = ("start", "end")
    tags = {f"dagster/asset_partition_range_{end}": first_day.isoformat() for end in ends}
    run_id = deployment.graphql.launch("mine_lineage_and_popularity", tags)
    assert ended(deployment, deployment.graphql.run(run_id)).status == "SUCCESS"

    wait_until(
        lambda: deployment.graphql.freshness("popularity_scores") == "HEALTHY",
        FRESHNESS_S,
        "an evaluation of freshness",
    )
    page.goto("/assets/popularity_scores?view=overview")
    expect(page.get_by_text("Passing").first).to_be_visible(timeout=SHOWN_MS)
    expect(page.get_by_text("Not evaluated")).to_have_count(0)


def test_a_backfill_is_one_run(
    page: Page, deployment: Deployment, storage: Path, first_day: date
) -> None:
    """A range of days that is chosen on the page of the job is mined by one run."""
    days = [first_day + timedelta(days=ahead) for ahead in (1, 2, 3)]
    known = deployment.graphql.runs()
    dialog = choose_days(page, JOB_PAGE, f"[{days[0]}...{days[-1]}]")

    dialog.get_by_role("button", name="Launch backfill").click()

    run = ended(deployment, new_run(deployment, known))
    assert (run.status, run.days) == ("SUCCESS", (days[0].isoformat(), days[-1].isoformat()))
    backfill = run.tags["dagster/backfill"]
    assert deployment.graphql.runs(tags=[{"key": "dagster/backfill", "value": backfill}]) == [run]
    assert set(days) <= scored_days(storage, first_day)


def test_the_schedule_ticks(
    page: Page, deployment: Deployment, storage: Path, first_day: date
) -> None:
    """The schedule, once it is switched on, mines the newest minable day by itself."""
    name = "mining_schedule"
    page.goto(f"/locations/dbminer/schedules/{name}")

    page.locator("label:has(input[type=checkbox])").click()
    try:
        ticks = wait_until(
            lambda: [tick for tick in ticks_of(deployment, name) if tick["runIds"]],
            TICK_S,
            f"a tick of {name} that requests a run",
        )
    finally:
        deployment.graphql.stop_schedule(name)

    (run_id,) = ticks[0]["runIds"]
    assert ended(deployment, deployment.graphql.run(run_id)).status == "SUCCESS"
    assert first_day + timedelta(days=DAYS - 1) in scored_days(storage, first_day)
    expect(page.get_by_text(run_id[:8]).first).to_be_visible(timeout=SHOWN_MS)
