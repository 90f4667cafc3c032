"""`dbminer extract` against an emulated workspace: what it writes, and that nothing stops it."""

import gzip
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from sample_generator import generate

from dbminer_dagster.cli import main
from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.extraction.reporting import TerminalReporter
from dbminer_dagster.resources.databricks import DatabricksResource
from dbminer_dagster.resources.offline import (
    LINEAGE_FOLDER,
    QUERY_HISTORY_FOLDER,
    TABLES_FOLDER,
)
from dbminer_dagster.resources.offline.extractor import OfflineExtractor
from dbminer_dagster.resources.offline.files import Location, locate
from dbminer_dagster.resources.offline.manifest import list_parts
from dbminer_dagster.resources.rest_api import RestApiExtractor
from dbminer_dagster.rest_api import query_history
from dbminer_dagster.settings import load_settings
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.command_nursery import Nursery, run_nursery
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.records import Request
from dbminer_dagster_tests.offline_files import (
    Row,
    column_row,
    history_of,
    lineage_of,
    lineage_row,
    system_row,
)
from dbminer_dagster_tests.s3_server import S3Server
from dbminer_dagster_tests.test_definitions import clean_environment
from dbminer_dagster_tests.warehouse import load, sign_in

FIRST = datetime.now(UTC).date() - timedelta(days=5)
SECOND = FIRST + timedelta(days=1)
WINDOW = Window(FIRST, SECOND + timedelta(days=1))
DAYS = ["--since", str(FIRST), "--until", str(SECOND)]
TABLES = 40
PARTS = ["--part-size", "5KB"]
FOLDERS = (LINEAGE_FOLDER, QUERY_HISTORY_FOLDER, TABLES_FOLDER)
HISTORY_PATH = "/api/2.0/sql/history/queries"
RANGE_START = "filter_by.query_start_time_range.start_time_ms"
Asked = tuple[str, ...]


def edge(number: int, **columns: str) -> Row:
    """An edge from each table to the next."""
    ends = {"source": f"t{number}", "target": f"t{number + 1}"}
    names = {
        f"{end}_table_{part}": value
        for end, name in ends.items()
        for part, value in {
            "catalog": "main", "schema": "a", "name": name, "full_name": f"main.a.{name}",
        }.items()
    }  # fmt: skip
    row = column_row if columns else lineage_row
    time_of = f"{FIRST if number % 2 else SECOND}T12:00:00Z"
    types = {"source_type": "TABLE", "target_type": "TABLE"}
    return row(**names, **types, **columns, event_time=time_of, record_id=f"r-{number}")


def fill(emulator: Emulator) -> None:
    """A chain of tables, and statements in every hour of two days."""
    emulator.workspace.workspace_id = "17"
    edges = [edge(number) for number in range(TABLES - 1)]
    columns = {"source_column_name": "x", "target_column_name": "x"}
    edges += [edge(number, **columns) for number in range(TABLES - 1)]
    statements = [
        system_row(
            f"s-{day}-{hour}-{number}",
            start_time=f"{day}T{hour:02}:{number:02}:00Z",
            statement_text=f"select {number} from main.a.t{hour}",
            compute={"type": "WAREHOUSE", "warehouse_id": "w-1"},
        )
        for day in WINDOW
        for hour in range(24)
        for number in range(3)
    ]
    load(emulator, statements, edges)
    emulator.add_tables_of_lineage()


@pytest.fixture
def workspace(databricks_emulator: Emulator, no_databricks: pytest.MonkeyPatch) -> Emulator:
    """A filled workspace that the environment names; requests need not be slow."""
    sign_in(databricks_emulator, no_databricks)
    for kind in ("TABLES", "COLUMNS"):
        no_databricks.setenv(f"DBMINER_REST_{kind}_PER_SECOND", "1000")
    no_databricks.setattr(query_history, "REQUESTS_PER_SECOND", 1000.0)
    fill(databricks_emulator)
    return databricks_emulator


def run(*arguments: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(main, ["extract", *DAYS, *PARTS, *arguments])


def fine(*arguments: str) -> Result:
    found = run(*arguments)
    assert found.exit_code == 0, found.output
    return found


def lines_of(location: Location, folder: str) -> list[dict[str, Any]]:
    """All objects of a folder, each part verified."""
    listing, found = list_parts(location, folder), []
    assert not listing.unlisted
    for part in listing.parts:
        with location.open(folder, part) as stream:
            listing.verify(part, part, stream)
            content = stream.read()
        text = gzip.decompress(content) if part.endswith(".gz") else content
        found += [json.loads(line) for line in text.splitlines()]
    return found


def here(folder: Path | str) -> Location:
    return locate(str(folder), region=None, endpoint_url=None)


def test_everything_is_written_once(workspace: Emulator, tmp_path: Path) -> None:
    """Statements of the days and lineage of all tables are there once, in order."""
    found = fine("--out", str(tmp_path / "out"))

    statements = lines_of(here(tmp_path / "out"), QUERY_HISTORY_FOLDER)
    starts = [(row["query_start_time_ms"], row["query_id"]) for row in statements]
    assert starts == sorted(starts)
    assert len({row["query_id"] for row in statements}) == len(statements) == 2 * 24 * 3
    tables = lines_of(here(tmp_path / "out"), LINEAGE_FOLDER)
    assert [row["table_name"] for row in tables] == sorted(f"main.a.t{n}" for n in range(TABLES))
    assert all(row["columns"]["x"] for row in tables)
    assert {row["workspace_id"] for row in (*tables, *statements)} == {"17"}
    assert len({row["extracted_at"] for row in tables}) == 1
    assert f"Query history of {FIRST}: 72 rows in " in found.stdout
    assert f"Lineage, edges of {WINDOW}: {TABLES} rows in " in found.stdout
    assert re.search(r"^\d+ requests$", found.stdout, re.MULTILINE)
    assert not workspace.rate_limits.refused


def test_the_manifest_tells_of_days_and_counts(workspace: Emulator, tmp_path: Path) -> None:
    """A part of query history has one day, and one of lineage those of its edges in the window."""
    asked = workspace.workspace.workspace_id
    fine("--out", str(tmp_path))

    history = list_parts(here(tmp_path), QUERY_HISTORY_FOLDER).manifest
    lineage = list_parts(here(tmp_path), LINEAGE_FOLDER).manifest
    assert history is not None
    assert lineage is not None
    assert {day for part in history.parts for day in part.days} == {FIRST, SECOND}
    assert all(len(part.days) == 1 for part in history.parts)
    assert len(history.parts) > 2
    assert lineage.days() == [FIRST, SECOND]
    assert [(e.since, e.until, e.counts["rows"]) for e in history.extractions] == [
        (FIRST, FIRST, 72),
        (SECOND, SECOND, 72),
    ]
    assert [(e.workspace_id, e.since, e.until) for e in lineage.extractions] == [
        (asked, FIRST, SECOND)
    ]


@pytest.mark.parametrize("kind", ["lineage", "query-history"])
def test_one_kind_leaves_the_other_alone(kind: str, workspace: Emulator, tmp_path: Path) -> None:
    """With one of the two options nothing of the other kind is asked or written."""
    folder = LINEAGE_FOLDER if kind == "lineage" else QUERY_HISTORY_FOLDER
    fine(f"--{kind}", "--out", str(tmp_path / "out"))

    folders = {folder, TABLES_FOLDER} if kind == "lineage" else {folder}
    assert {path.name for path in (tmp_path / "out").iterdir()} == folders
    asked_history = any(request.path == HISTORY_PATH for request in workspace.requests)
    assert asked_history is (kind == "query-history")


def test_columns_are_left_out_when_not_wanted(workspace: Emulator, tmp_path: Path) -> None:
    """`--no-columns` asks for no column, and `--no-gzip` writes plain lines."""
    fine("--lineage", "--no-columns", "--no-gzip", "--out", str(tmp_path))

    assert not any("column-lineage" in request.path for request in workspace.requests)
    tables = lines_of(here(tmp_path), LINEAGE_FOLDER)
    assert len(tables) == TABLES
    assert not any(row.get("columns") for row in tables)
    names = {path.suffix for path in (tmp_path / LINEAGE_FOLDER).iterdir()}
    assert names == {".json"}


def test_extracting_again_replaces(workspace: Emulator, tmp_path: Path) -> None:
    """The same days again are there once, and new statements of them with the old ones."""
    fine("--out", str(tmp_path))
    late = system_row(
        "s-late",
        start_time=f"{FIRST}T23:59:59Z",
        compute={"type": "WAREHOUSE", "warehouse_id": "w-1"},
    )
    load(workspace, [late])
    fine("--out", str(tmp_path))

    statements = [row["query_id"] for row in lines_of(here(tmp_path), QUERY_HISTORY_FOLDER)]
    assert len(statements) == len(set(statements)) == 2 * 24 * 3 + 1
    assert "s-late" in statements
    assert len(lines_of(here(tmp_path), LINEAGE_FOLDER)) == TABLES


@pytest.mark.parametrize("change", ["columns", "catalogs"])
def test_other_options_do_not_replace(
    change: str, workspace: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lineage of the same days that was read by other options stays, and the same goes on."""
    wanted = ["--lineage", "--out", str(tmp_path)]
    fine(*wanted)
    before = lines_of(here(tmp_path), LINEAGE_FOLDER)
    asked = len(asked_of(workspace.requests))
    if change == "catalogs":
        monkeypatch.setenv("DBMINER_EXCLUDED_CATALOGS", "other")
    changed = [*wanted, *(["--no-columns"] if change == "columns" else [])]

    # The second time there is nothing to go on with either.
    for found in (run(*changed), run(*changed)):
        assert found.exit_code == 2, found.output
        said = " ".join(found.stderr.split())
        assert "with columns (excluded catalogs: __databricks_internal, hive" in said
        assert "or into another --out" in said
    assert len(asked_of(workspace.requests)) == asked
    assert lines_of(here(tmp_path), LINEAGE_FOLDER) == before
    monkeypatch.delenv("DBMINER_EXCLUDED_CATALOGS", raising=False)
    fine(*wanted)


def test_wrong_use_has_status_2(workspace: Emulator, tmp_path: Path) -> None:
    """Options that exclude each other, wrong days and sizes, and no destination are wrong use."""
    out = ["--out", str(tmp_path)]
    for arguments, reason in (
        ([*out, "--resume", "--restart"], "exclude each other"),
        ([*out, "--until", str(date.max)], "newest day that may be mined"),
        ([*out, "--part-size", "0"], "no size"),
        ([*out, "--part-size", "5GB"], "no size"),
        (["--lineage"], "--out or DBMINER_OFFLINE_URI"),
    ):
        found = run(*arguments)
        assert found.exit_code == 2, found.output
        assert reason in " ".join(found.stderr.split())
    assert not workspace.requests


def test_a_workspace_that_refuses_has_status_1(
    workspace: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure is told in words without the secret, with how to go on."""
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-wrong-secret")
    found = run("--out", str(tmp_path))

    assert found.exit_code == 1
    assert "dapi-wrong-secret" not in found.output
    assert "run the same with --resume" in found.stderr
    assert "Traceback" not in found.output
    assert workspace.requests


def test_a_cut_off_extraction_asks_what_to_do(
    workspace: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command again says how far it got and both ways on; each of them works."""
    monkeypatch.setenv("DBMINER_REST_MAX_REQUESTS", "15")
    out = ["--out", str(tmp_path)]
    assert run(*out).exit_code == 1
    monkeypatch.delenv("DBMINER_REST_MAX_REQUESTS")

    refused = run(*out)
    assert refused.exit_code == 2
    text = " ".join(refused.stderr.split())
    assert f"was cut off (Lineage, edges of {WINDOW}" in text
    assert "--resume" in text
    assert "--restart" in text
    asked = len(asked_of(workspace.requests))
    assert fine("--resume", *out)
    assert len(asked_of(workspace.requests)) - asked <= 2 * TABLES - 15
    assert len(lines_of(here(tmp_path), LINEAGE_FOLDER)) == TABLES
    assert fine(*out)


def test_restart_asks_everything_again(
    workspace: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--restart` forgets what was read; `--resume` without anything to go on with just starts."""
    out = ["--lineage", "--out", str(tmp_path)]
    monkeypatch.setenv("DBMINER_REST_MAX_REQUESTS", "15")
    assert run("--resume", *out).exit_code == 1
    monkeypatch.delenv("DBMINER_REST_MAX_REQUESTS")
    before = len(asked_of(workspace.requests))
    fine("--restart", *out)

    assert len(asked_of(workspace.requests)) - before == 2 * TABLES
    assert not [path for path in Path("dbminer_work").iterdir() if path.is_dir()]


def test_the_job_does_the_same(workspace: Emulator, tmp_path: Path) -> None:
    """The job writes what the command writes, and shows it as metadata."""
    fine("--out", str(tmp_path / "command"))
    settings = {"since": str(FIRST), "until": str(SECOND), "out": str(tmp_path / "job")}
    job = build_definitions(load_settings()).resolve_job_def("extract_offline_files")
    result = job.execute_in_process(
        run_config={"ops": {"write_offline_files": {"config": settings}}}
    )

    for folder in FOLDERS:
        rows = [lines_of(here(tmp_path / name), folder) for name in ("command", "job")]
        for row in (*rows[0], *rows[1]):
            row.pop("extracted_at", None)
        assert rows[0] == rows[1]
    (event,) = result.get_step_success_events()[:1]
    outputs = [e.step_output_data for e in result.all_events if e.is_successful_output]
    assert event
    assert outputs[0].metadata["rows"].value == 2 * 24 * 3 + 2 * TABLES
    assert workspace.requests


def test_the_job_fails_in_words(workspace: Emulator, tmp_path: Path) -> None:
    """A wrong day fails the run with what is allowed."""
    job = build_definitions(load_settings()).resolve_job_def("extract_offline_files")
    settings = {"since": "yesterday", "out": str(tmp_path)}
    result = job.execute_in_process(
        run_config={"ops": {"write_offline_files": {"config": settings}}}, raise_on_error=False
    )

    assert not result.success
    failure = result.failure_data_for_node("write_offline_files")
    assert failure is not None
    assert "'yesterday' is not a day" in str(failure.error)
    assert not workspace.requests


def test_a_round_trip_gives_the_tables_of_the_rest_method(
    databricks_emulator: Emulator,
    no_databricks: pytest.MonkeyPatch,
    tmp_path: Path,
    s3_prefix: str,
    s3_server: S3Server,
) -> None:
    """What is extracted to S3 and read from there equals what the REST method reads at once."""
    sign_in(databricks_emulator, no_databricks)
    for kind in ("TABLES", "COLUMNS"):
        no_databricks.setenv(f"DBMINER_REST_{kind}_PER_SECOND", "1000")
    no_databricks.setattr(query_history, "REQUESTS_PER_SECOND", 1000.0)
    no_databricks.setenv("DBMINER_S3_ENDPOINT_URL", s3_server.endpoint_url)
    no_databricks.setenv("DBMINER_S3_REGION", s3_server.region)
    generate(
        tmp_path / "sample",
        first_day=FIRST,
        days=2,
        statements_per_day=40,
        seed=3,
        system_rows_only=True,
    )
    databricks_emulator.load_files(tmp_path / "sample")
    databricks_emulator.add_tables_of_lineage()
    databricks_emulator.adopt_workspace_id()
    fine("--part-size", "200KB", "--out", s3_prefix)
    settings = load_settings()
    over_rest = RestApiExtractor.of(settings, DatabricksResource.of(settings))
    offline = OfflineExtractor(
        uri=s3_prefix, s3_region=s3_server.region, s3_endpoint_url=s3_server.endpoint_url
    )

    pairs = {"raw_query_history": (history_of(over_rest, WINDOW), history_of(offline, WINDOW))}
    from_rest, from_files = lineage_of(over_rest, WINDOW), lineage_of(offline, WINDOW)
    pairs |= {name: (found, from_files[name]) for name, found in from_rest.items()}
    assert len(pairs) == 3
    for at_once, by_files in pairs.values():
        method = pl.lit("-").alias("extraction_method")
        assert at_once.rows.height > 0
        assert at_once.rows.with_columns(method).equals(by_files.rows.with_columns(method))


def asked_of(requests: list[Request]) -> list[Asked]:
    """What lineage and first pages of query history were asked for, as journals name it."""
    found: list[Asked] = []
    for request in requests:
        query = request.query
        if request.path.endswith("/table-lineage"):
            found.append((query["table_name"],))
        elif request.path.endswith("/column-lineage"):
            found.append((query["table_name"], query["column_name"]))
        elif request.path == HISTORY_PATH and RANGE_START in query:
            found.append(("slice", str(int(query[RANGE_START]) + 1)))
    return found


def kept_in(work_folder: Path) -> set[Asked]:
    """What the journals hold, read from copies, as a kill has left them."""
    found: set[Asked] = set()
    with tempfile.TemporaryDirectory() as copies:
        for path in work_folder.glob("extract-*/*.sqlite*"):
            shutil.copy(path, copies)
        for path in Path(copies).glob("*.sqlite"):
            with closing(sqlite3.connect(path)) as journal:
                tables = {name for (name,) in journal.execute("SELECT name FROM sqlite_master")}
                for table, kept in (
                    ("table_answers", "SELECT table_name FROM table_answers"),
                    ("column_answers", "SELECT table_name, name FROM column_answers"),
                    ("slices", "SELECT 'slice', CAST(start_ms AS TEXT) FROM slices WHERE is_read"),
                ):
                    if table in tables:
                        found |= {tuple(row) for row in journal.execute(kept)}
    return found


def snapshot(location: Location) -> dict[str, object]:
    """All files of a destination, without the time of the extraction and what follows from it."""
    found: dict[str, object] = {}
    for folder in FOLDERS:
        for name in location.files(folder):
            with location.open(folder, name) as stream:
                content = stream.read()
            text = gzip.decompress(content) if name.endswith(".gz") else content
            timeless = re.sub(rb'"extracted_at": ?"[^"]*"', b"", text)
            if folder != QUERY_HISTORY_FOLDER and name == "manifest.json":
                timeless = re.sub(rb'"(sha256|size_bytes)": ?[^\n]*', b"", timeless)
            found[f"{folder}/{name}"] = timeless
    return found


def kill_and_resume(
    nursery: Nursery,
    emulator: Emulator,
    work_folder: Path,
    out: str,
    *,
    days: Sequence[str] = DAYS,
    kills: int,
    seed: int,
) -> None:
    """Kills the command after some answers, or a little later, and goes on, again and again."""
    dice, finished = random.Random(seed), set()
    command = ["extract", *days, *PARTS, "--out", out, "--resume"]
    for _ in range(kills):
        begun = len(emulator.requests)
        process_id, answers = nursery.start(*command), dice.randint(1, 9)
        while len(asked_of(emulator.requests[begun:])) < answers:
            time.sleep(0.002)
        time.sleep(dice.choice([0, 0, dice.uniform(0, 0.1)]))
        os.kill(process_id, signal.SIGKILL)
        assert nursery.wait() == -signal.SIGKILL, nursery.output.read_text()
        assert finished.isdisjoint(asked_of(emulator.requests[begun:]))
        finished |= kept_in(work_folder)
    begun = len(emulator.requests)
    nursery.start(*command)
    assert nursery.wait() == 0, nursery.output.read_text()
    assert finished.isdisjoint(asked_of(emulator.requests[begun:]))
    assert len(finished) > kills


def settings_of(emulator: Emulator, work_folder: Path, **more: str) -> Mapping[str, str]:
    """The environment of a command that is slow enough to be killed."""
    rates = {"DBMINER_REST_TABLES_PER_SECOND": "50", "DBMINER_REST_COLUMNS_PER_SECOND": "50"}
    return clean_environment(
        **emulator.environment("pat"), **rates, DBMINER_WORK_FOLDER=str(work_folder), **more
    )


def test_killed_twenty_times_it_writes_the_same_files(
    databricks_emulator: Emulator, no_databricks: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Killed at random moments and resumed, it ends with the files of an undisturbed extraction.

    What a journal held at the moment of a kill is never asked for again.
    """
    sign_in(databricks_emulator, no_databricks)
    fill(databricks_emulator)
    work = tmp_path / "work"
    with run_nursery(tmp_path, settings_of(databricks_emulator, work)) as nursery:
        nursery.start("extract", *DAYS, *PARTS, "--out", str(tmp_path / "undisturbed"))
        assert nursery.wait() == 0, nursery.output.read_text()
        out = str(tmp_path / "killed")
        kill_and_resume(nursery, databricks_emulator, work, out, kills=20, seed=11)

    assert snapshot(here(tmp_path / "killed")) == snapshot(here(tmp_path / "undisturbed"))


def test_killed_while_it_writes_to_s3_it_ends_the_same(
    databricks_emulator: Emulator,
    no_databricks: pytest.MonkeyPatch,
    tmp_path: Path,
    s3_prefix: str,
    s3_server: S3Server,
) -> None:
    """The same holds for S3, killed some times."""
    sign_in(databricks_emulator, no_databricks)
    fill(databricks_emulator)
    days = ["--until", str(FIRST)]
    work, store = tmp_path / "work", {"DBMINER_S3_ENDPOINT_URL": s3_server.endpoint_url}
    environment = settings_of(
        databricks_emulator, work, DBMINER_S3_REGION=s3_server.region, **store
    )
    with run_nursery(tmp_path, environment) as nursery:
        nursery.start("extract", *days, *PARTS, "--out", str(tmp_path / "undisturbed"))
        assert nursery.wait() == 0, nursery.output.read_text()
        kill_and_resume(nursery, databricks_emulator, work, s3_prefix, days=days, kills=5, seed=7)

    there = locate(s3_prefix, region=s3_server.region, endpoint_url=s3_server.endpoint_url)
    assert snapshot(there) == snapshot(here(tmp_path / "undisturbed"))


def test_progress_in_a_log_is_lines(workspace: Emulator, tmp_path: Path) -> None:
    """Without a terminal the command, as its users run it, prints plain lines and a summary."""
    found = subprocess.run(
        [Path(sys.executable).with_name("dbminer"), "extract", "--lineage", *DAYS, "--out", "out"],
        env=settings_of(workspace, tmp_path / "work"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 0, found.stderr
    assert found.stderr.splitlines()[0] == f"Lineage, edges of {WINDOW}: begins"
    assert "\x1b" not in found.stderr
    assert found.stdout.endswith("Written to out\n")


def test_progress_on_a_terminal_is_a_bar() -> None:
    """On a terminal each kind of work has a bar with its count, and titles stay as they are."""
    screen = StringIO()
    reporter = TerminalReporter(Console(file=screen, force_terminal=True, width=100))
    with reporter.stage("Lineage of [main]") as progress:
        progress.update(3, 40, "tables")
        progress.update(1, 7, "columns")
        progress.update(40, 40, "tables")

    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert "Lineage of [main]" in shown
    assert re.search(r"tables .*40/40", shown)
    assert re.search(r"columns .*1/7", shown)
