"""The `dbminer` command: what it prints, and its exit status."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner
from sample_generator import generate

from dbminer_dagster.cli import main
from dbminer_dagster_tests.pipeline import FIRST_DAY, JOB
from dbminer_dagster_tests.test_definitions import clean_environment

DAY = str(FIRST_DAY)
DAYS = ["mine", "--from", DAY, "--to", DAY]


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a small company over three days."""
    folder = tmp_path_factory.mktemp("offline")
    generate(folder, first_day=FIRST_DAY, days=3, statements_per_day=20, seed=5)
    return folder


@pytest.fixture(scope="module")
def mined(offline: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of a storage into which the command mined two days."""
    settings = settings_for(offline, tmp_path_factory.mktemp("storage"))
    last = str(FIRST_DAY + timedelta(days=1))
    found = dbminer("mine", "--from", DAY, "--to", last, settings=settings)
    assert found.returncode == 0, found.stderr
    return settings


def settings_for(offline: Path, storage: Path, **changes: str) -> dict[str, str]:
    return {
        "DBMINER_LINEAGE_METHOD": "offline",
        "DBMINER_OFFLINE_URI": str(offline),
        "DBMINER_STORAGE_URI": str(storage),
        "DBMINER_START_DATE": DAY,
        "NO_COLOR": "1",
        "COLUMNS": "80",
    } | changes


def dbminer(*arguments: str, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The command as its users run it, in a process of its own."""
    return subprocess.run(
        [Path(sys.executable).with_name("dbminer"), *arguments],
        env=clean_environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """A runner in this process, for uses that end before any work."""
    for name in os.environ.keys() - clean_environment().keys():
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return CliRunner(env={"DBMINER_START_DATE": DAY})


def test_mining_is_recorded_in_the_instance(offline: Path, tmp_path: Path) -> None:
    """With DAGSTER_HOME the run and the days that it mined show in that instance."""
    home = tmp_path / "home"
    home.mkdir()
    settings = settings_for(offline, tmp_path / "storage", DAGSTER_HOME=str(home))

    found = dbminer(*DAYS, settings=settings)

    assert found.returncode == 0, found.stderr
    with dg.DagsterInstance.from_config(str(home)) as instance:
        (run,) = instance.get_runs()
        scored = instance.get_materialized_partitions(dg.AssetKey("popularity_scores"))
    assert (run.job_name, run.status) == (JOB, dg.DagsterRunStatus.SUCCESS)
    assert scored == {DAY}


def test_progress_is_short_lines_on_standard_error(offline: Path, tmp_path: Path) -> None:
    """A run says what it does line by line on standard error, and nothing of Dagster's own."""
    found = dbminer(*DAYS, settings=settings_for(offline, tmp_path))

    assert found.returncode == 0
    assert found.stdout == ""
    lines = found.stderr.splitlines()
    assert any(f"usage              Attributing the statements of {DAY}." in line for line in lines)
    assert [line for line in lines if "Warning" in line or "Execution of step" in line] == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"DBMINER_OFFLINE_URI": "/no/such/folder"}, "The folder /no/such/folder does not exist"),
        ({"DBMINER_STORAGE_URI": "{file}/x"}, "cannot be written (Not a directory): give"),
        ({"DBMINER_LINEAGE_METHOD": "rest_api"}, "Set DATABRICKS_HOST to its URL"),
    ],
    ids=["no folder", "storage not writable", "no host"],
)
def test_work_that_fails_says_why_once(
    wrong: dict[str, str], said: str, offline: Path, tmp_path: Path
) -> None:
    """Work that fails exits 1 with the cause and the repair, without a traceback."""
    file = tmp_path / "file"
    file.touch()
    changes = {name: value.format(file=file) for name, value in wrong.items()}

    found = dbminer(*DAYS, settings=settings_for(offline, tmp_path / "storage", **changes))

    assert found.returncode == 1
    assert_reads_well(found.stderr)
    steps = ("preflight_lineage: ", "raw_lineage: ")
    assert any(line.startswith(steps) for line in found.stderr.splitlines())
    assert said in found.stderr


def assert_reads_well(stderr: str) -> None:
    assert "Traceback" not in stderr
    assert "dagster._core" not in stderr
    assert "Dependencies for step" not in stderr


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    """A line that is no JSON fails the run with its file and number."""
    for folder in ("extracted-lineage", "extracted-query-history"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "result-0.json").write_text('{"statement_id": "cut')

    found = dbminer(*DAYS, settings=settings_for(tmp_path, tmp_path / "storage"))

    assert found.returncode == 1
    assert_reads_well(found.stderr)
    assert "extracted-query-history/result-0.json, line 1" in found.stderr


def test_a_failing_commit_reads_like_any_failure(offline: Path, tmp_path: Path) -> None:
    """What the IO manager meets, such as a table of other columns, is said as plainly."""
    pl.DataFrame({"day": ["x"]}).write_delta(tmp_path / "filtered_queries")

    found = dbminer(*DAYS, settings=settings_for(offline, tmp_path))

    assert found.returncode == 1
    assert_reads_well(found.stderr)
    assert "filtered_queries: " in found.stderr


def test_lost_files_of_a_table_read_like_any_failure(mined: dict[str, str], tmp_path: Path) -> None:
    """A frame that fails when it is evaluated late is said as plainly."""
    storage = shutil.copytree(mined["DBMINER_STORAGE_URI"], tmp_path / "storage")
    for part in storage.glob(f"raw_query_history/day={DAY}/*.parquet"):
        part.unlink()
    settings = mined | {"DBMINER_STORAGE_URI": str(storage)}
    second = str(FIRST_DAY + timedelta(days=1))

    found = dbminer("mine", "--from", second, "--to", second, settings=settings)

    assert found.returncode == 1
    assert_reads_well(found.stderr)
    assert "table_rebuilds: Rows could not be read or written" in found.stderr


def test_a_dagster_home_that_is_none_is_wrong_use(offline: Path, tmp_path: Path) -> None:
    """A DAGSTER_HOME that does not exist exits 2 and names the variable."""
    home = str(tmp_path / "nowhere")

    found = dbminer(*DAYS, settings=settings_for(offline, tmp_path, DAGSTER_HOME=home))

    assert found.returncode == 2
    assert_reads_well(found.stderr)
    assert f"DAGSTER_HOME={home} cannot be used" in found.stderr


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ("2026-01-32", DAY, "Invalid value for '--from'"),
        ("05.01.2026", DAY, "Invalid value for '--from'"),
        ("2026-01-07", "2026-01-06", "--to 2026-01-06 lies before --from 2026-01-07."),
        ("2026-01-04", "2026-01-06", "--from 2026-01-04 lies before DBMINER_START_DATE=2026-01-05"),
        (DAY, "2999-01-01", "--to 2999-01-01 is too new: with DBMINER_LAG_DAYS=2"),
    ],
)
def test_days_that_cannot_be_mined_are_wrong_use(
    run_here: CliRunner, first: str, last: str, said: str
) -> None:
    """Days that are no dates, in the wrong order or out of reach exit 2 and say which."""
    found = run_here.invoke(main, ["mine", "--from", first, "--to", last])

    assert found.exit_code == 2
    assert said in found.stderr


def test_the_newest_minable_day_is_the_limit(run_here: CliRunner) -> None:
    """The first day that is too new is the one after the newest minable day, in UTC."""
    newest = datetime.now(UTC).date() - timedelta(days=2)
    too_new = str(newest + timedelta(days=1))

    found = run_here.invoke(main, ["mine", "--from", too_new, "--to", too_new])

    assert found.exit_code == 2
    assert f"the newest day that may be mined is {newest}." in " ".join(found.stderr.split())


@pytest.mark.parametrize("command", [DAYS, ["report"]])
def test_a_wrong_setting_is_wrong_use(run_here: CliRunner, command: list[str]) -> None:
    """A wrong value of a setting exits 2 and names the variable, for every command."""
    found = run_here.invoke(main, command, env={"DBMINER_LAG_DAYS": "8"})

    assert found.exit_code == 2
    assert "DBMINER_LAG_DAYS: '8' is not allowed" in found.stderr


@pytest.mark.parametrize("command", [[], ["mine"], ["report"]])
def test_help_explains_each_command(run_here: CliRunner, command: list[str]) -> None:
    """`--help` works everywhere, without any setting."""
    found = run_here.invoke(main, [*command, "--help"])

    assert found.exit_code == 0
    assert "Usage:" in found.stdout
    assert found.stderr == ""


def test_the_report_shows_the_most_popular_tables(mined: dict[str, str]) -> None:
    """The report of a mined day has its tables by score, and what surrounds the first."""
    scores = (
        pl.read_delta(f"{mined['DBMINER_STORAGE_URI']}/popularity_scores")
        .filter(pl.col("asset_type") == "table", pl.col("day") == FIRST_DAY)
        .sort("popularity_score", "table_name", descending=[True, False])
    )

    found = dbminer("report", "--day", DAY, "--limit", "3", settings=mined)

    first = scores["table_name"][0]
    assert found.returncode == 0
    assert f"Most popular tables, {scores['window_start'][0]} to {DAY}" in found.stdout
    header, row, *_ = [
        words for line in found.stdout.splitlines() if len(words := line.split()) == 6
    ]
    assert header == ["table", "score", "reads", "users", "writes", "level"]
    assert row[0] == first
    for title in ("Most used columns of", "Direct upstreams of", "Direct downstreams of"):
        assert f"{title} {first}" in found.stdout


def test_a_report_without_scores_says_what_to_do(run_here: CliRunner, tmp_path: Path) -> None:
    """Where nothing is mined the report exits 1 and names the command that mines."""
    settings = {"DBMINER_STORAGE_URI": str(tmp_path / "empty")}

    found = run_here.invoke(main, ["report"], env=settings)

    assert found.exit_code == 1
    assert found.stderr == (
        f"{tmp_path}/empty/popularity_scores holds no scores yet: run dbminer mine.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--day", "2026-03-01"], 1, "No table was scored on 2026-03-01: mine that day"),
        (["--limit", "0"], 2, "Invalid value for '--limit'"),
        (["--day", "yesterday"], 2, "Invalid value for '--day'"),
    ],
)
def test_a_report_that_cannot_be_says_why(
    mined: dict[str, str], run_here: CliRunner, arguments: list[str], status: int, said: str
) -> None:
    """A day that is not scored exits 1; a value that is none exits 2."""
    found = run_here.invoke(main, ["report", *arguments], env=mined)

    assert found.exit_code == status
    assert said in found.stderr
