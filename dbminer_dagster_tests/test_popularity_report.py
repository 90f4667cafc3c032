"""The asset of the popularity report: which file it writes, and what its page tells."""

import json
import re
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from sample_generator import generate

from dbminer_dagster.automation import range_tags
from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.pipeline import FIRST_DAY, JOB, Pipeline, failures

DAYS = [FIRST_DAY + timedelta(days=n) for n in range(4)]
RUN = Window(DAYS[0], DAYS[3])
REPORT = dg.AssetKey("popularity_report")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Three mined days of a small company."""
    offline = tmp_path_factory.mktemp("offline")
    generate(offline, first_day=FIRST_DAY, days=3, statements_per_day=40, seed=8)
    return Pipeline(str(offline), str(tmp_path_factory.mktemp("storage"))).mined(RUN)


def reported(
    pipeline: Pipeline, window: Window, **overrides: object
) -> dict[date, dict[str, object]]:
    """Materialises the report alone, and gives its metadata by day."""
    settings = pipeline.settings.model_copy(update=overrides)
    job = build_definitions(settings).resolve_job_def(JOB)
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            instance=instance,
            tags=range_tags(window),
            asset_selection=[REPORT],
            raise_on_error=False,
        )
        assert result.success, failures(result)
        records = instance.fetch_materializations(REPORT, limit=10).records
    events = [record.asset_materialization for record in records]
    return {
        date.fromisoformat(event.partition or ""): {
            name: value.value for name, value in event.metadata.items()
        }
        for event in events
        if event
    }


def files(pipeline: Pipeline) -> dict[str, bytes]:
    folder = Path(pipeline.storage) / "reports"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_reports_its_newest_day(pipeline: Pipeline) -> None:
    """One file of the newest day, the same again under the lasting name, and no other."""
    found = files(pipeline)
    name = f"popularity-{RUN.last_day}.html"

    assert found.keys() >= {name, "popularity.html"}
    assert found["popularity.html"] == found[name]


def test_the_report_counts_as_the_scores_do(pipeline: Pipeline) -> None:
    """Names, reads and levels of the page are those of `popularity_scores`."""
    page = files(pipeline)["popularity.html"].decode()
    overview = json.loads(re.findall(r'id="overview">(.*?)</script>', page)[0])
    tables = [dict(zip(overview["fields"], row, strict=True)) for row in overview["tables"]]
    told = {t["name"]: (t["reads"], t["level"], sum(t["by_day"])) for t in tables if t["level"]}
    scores = pipeline.table("popularity_scores").filter(day=RUN.last_day, asset_type="table")

    assert told == {
        name: (reads, level, reads)
        for name, reads, level in scores.select(
            "table_name", "read_count", "popularity_level"
        ).iter_rows()
    }
    assert overview["days_present"] == 3
    assert overview["days"] == 10


def test_running_again_changes_no_byte(pipeline: Pipeline) -> None:
    """The same days give the same file."""
    before = files(pipeline)

    reported(pipeline, RUN)

    assert before.items() <= files(pipeline).items()


def test_an_older_day_leaves_the_newest_report(pipeline: Pipeline) -> None:
    """A backfill of an old day writes the report of that day, and `popularity.html` stays."""
    newest = files(pipeline)["popularity.html"]

    (found,) = reported(pipeline, Window.of_day(DAYS[1])).values()

    assert files(pipeline)["popularity.html"] == newest
    assert str(found["run_report"]).endswith(f"/reports/popularity-{DAYS[1]}.html")
    assert "run_newest_report" not in found


def test_the_page_of_the_asset_opens_the_report(pipeline: Pipeline) -> None:
    """Paths lead to the files; where the folder is served, there is a link to click."""
    plain = reported(pipeline, RUN)[RUN.last_day]
    served = reported(pipeline, RUN, reports_url="https://reports.example/dbminer")[RUN.last_day]

    assert Path(str(plain["run_report"])).is_file()
    assert Path(str(plain["run_newest_report"])).name == "popularity.html"
    assert "run_open_report" not in plain
    assert served["run_open_report"] == (
        f"https://reports.example/dbminer/popularity-{RUN.last_day}.html"
    )


def test_the_newest_day_carries_the_figures(pipeline: Pipeline) -> None:
    """Tables read and not read are plotted on the day that was reported, and on no other."""
    found = reported(pipeline, RUN)
    scores = pipeline.table("popularity_scores").filter(day=RUN.last_day, asset_type="table")
    newest = found[RUN.last_day]

    assert newest["tables_read"] == scores.height
    assert int(str(newest["tables_not_read"])) > 0
    assert newest["report_bytes"] == len(files(pipeline)["popularity.html"])
    assert [day for day in found if "tables_read" in found[day]] == [RUN.last_day]


def test_the_window_is_that_of_the_scores(pipeline: Pipeline) -> None:
    """Scores of a run that was asked for another window are reported over that window."""
    reported(pipeline, RUN, popularity_window_days=4)
    page = files(pipeline)["popularity.html"].decode()
    start = pipeline.table("popularity_scores").filter(day=RUN.last_day)["window_start"].min()

    assert isinstance(start, date)
    assert f'"first_day":"{start}","days":10,' in page


def test_days_without_scores_give_no_report(pipeline: Pipeline, tmp_path: Path) -> None:
    """Nothing is written where nothing was scored, and the page says so."""
    empty = Pipeline(pipeline.offline, str(tmp_path))

    (found,) = reported(empty, Window.of_day(DAYS[0])).values()

    assert found["run_report"] == "none: no day has scores"
    assert not (tmp_path / "reports").exists()


def test_a_run_over_many_days_reports_its_newest_scored_day(pipeline: Pipeline) -> None:
    """Days of the run that have no scores yet are passed over."""
    found = reported(pipeline, Window(DAYS[1], DAYS[3] + timedelta(days=2)))

    assert str(found[DAYS[3]]["run_report"]).endswith(f"popularity-{RUN.last_day}.html")
    assert pl.Series(list(found)).max() == DAYS[3] + timedelta(days=1)
