"""The popularity report, from the asset's page to the queries of a table."""

import re
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Page, expect

from dbminer_dagster_tests.e2e.deployment import Deployment
from dbminer_dagster_tests.e2e.graphql import FINISHED, wait_until

pytestmark = pytest.mark.e2e

RUN_S = 90
SHOWN_MS = 30_000


@pytest.fixture(scope="module")
def reported_day(deployment: Deployment, first_day: date) -> date:
    """A day that is mined, with its report."""
    day = first_day + timedelta(days=6)
    tags = {f"dagster/asset_partition_range_{end}": day.isoformat() for end in ("start", "end")}
    run_id = deployment.graphql.launch("mine_lineage_and_popularity", tags)
    wait_until(
        lambda: deployment.graphql.run(run_id).status in FINISHED, RUN_S, f"the end of {run_id}"
    )
    assert deployment.graphql.run(run_id).status == "SUCCESS"
    return day


def most_popular(storage: Path, day: date) -> dict[str, object]:
    """The row of the most popular table of a day."""
    scores = pl.read_delta(str(storage / "popularity_scores")).filter(
        pl.col("day") == day, pl.col("column_name").is_null()
    )
    order = ("popularity_score", "table_name")
    return scores.sort(*order, descending=(True, False)).row(0, named=True)


def test_the_report_opens_from_its_asset(page: Page, storage: Path, reported_day: date) -> None:
    """The page of the asset links to the report, in which tables are found with their users."""
    table = most_popular(storage, reported_day)
    page.goto(f"/assets/popularity_report?view=partitions&partition={reported_day}")
    with page.expect_popup(timeout=SHOWN_MS) as opened:
        page.locator(f"a[href$='popularity-{reported_day}.html']").first.click()
    report = opened.value

    expect(report).to_have_title(f"Popularity of tables on {reported_day}")
    table_name = str(table["table_name"])
    report.get_by_label("Search").fill(table_name)
    name = report.get_by_role("button", name=re.compile(f"{re.escape(table_name)}$"))
    expect(name).to_be_visible()
    name.click()
    (user, *_) = table["top_users"]  # type: ignore[misc]
    expect(report.locator("tr.opened")).to_contain_text(user["user_name"])


def test_the_report_asks_for_nothing(page: Page, storage: Path, reported_day: date) -> None:
    """The file alone, opened from a folder, shows its tables and requests nothing else."""
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    address = (storage / "reports" / f"popularity-{reported_day}.html").as_uri()

    page.goto(address)

    name = str(most_popular(storage, reported_day)["table_name"])
    expect(page.locator("#tables tbody tr").first).to_contain_text(name)
    assert requests == [address]
