"""Query history over REST: each statement of a day exactly once, whatever the pages look like."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbminer_dagster.databricks.connection import Connection
from dbminer_dagster.databricks.pace import Pace
from dbminer_dagster.databricks.rest_calls import RestCalls
from dbminer_dagster.errors import (
    CutOffError,
    DayNotCoveredError,
    WorkspaceError,
)
from dbminer_dagster.resources.extractor import Extraction
from dbminer_dagster.resources.rest_api import query_history as resource
from dbminer_dagster.resources.rest_api.query_history import read_query_history
from dbminer_dagster.rest_api import query_history, slices, statement_pages
from dbminer_dagster.rest_api.query_history import covered_days, journal_of, read_day
from dbminer_dagster.rest_api.slices import Slice, SliceThreads
from dbminer_dagster.rest_api.stages import StoppedError
from dbminer_dagster.rest_api.statement_pages import Page, Statement
from dbminer_dagster.settings import load_settings
from dbminer_dagster.spool import open_spool
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.api_error import refused
from dbminer_dagster_tests.offline_files import Row, api_row, system_row
from dbminer_dagster_tests.query_history_in_memory import HistoryInMemory, Killed
from dbminer_dagster_tests.warehouse import HISTORY, sign_in

NOW = datetime.now(UTC)
DAY = NOW.date() - timedelta(days=3)
MIDNIGHT = datetime.combine(DAY, time(), UTC)
START_MS = int(MIDNIGHT.timestamp() * 1000)
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
COMPUTE = {"type": "WAREHOUSE", "warehouse_id": "w-1"}
PATH = "/api/2.0/sql/history/queries"


class Silent:
    """Progress that nobody looks at."""

    def update(self, done: int, total: int, what: str) -> None:
        """See `Progress.update`."""


class Interrupting:
    """Progress that ends the reading once so many slices are read."""

    def __init__(self, after: int) -> None:
        self.after = after

    def update(self, done: int, total: int, what: str) -> None:  # noqa: ARG002
        """See `Progress.update`."""
        if done >= self.after:
            raise Killed


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends requests faster than a workspace would bear."""
    monkeypatch.setattr(query_history, "REQUESTS_PER_SECOND", 10_000.0)


@pytest.fixture
def emulator(databricks_emulator: Emulator, no_databricks: pytest.MonkeyPatch) -> Emulator:
    """A workspace that the miner signs in to."""
    databricks_emulator.workspace.workspace_id = "17"
    sign_in(databricks_emulator, no_databricks)
    return databricks_emulator


@pytest.fixture
def calls(emulator: Emulator) -> RestCalls:  # noqa: ARG001
    """Calls on the emulated workspace."""
    return RestCalls(Connection.from_settings(load_settings()))


def read(calls: RestCalls, folder: Path, day: date = DAY, progress: Any = None) -> list[Row]:
    """The statements of a day."""
    with read_day(calls, folder, day, progress or Silent(), now=NOW) as statements:
        rows = [json.loads(line) for line in statements.lines()]
        assert statements.row_count == len(rows)
        return rows


def ids(rows: Sequence[Row]) -> list[str]:
    """What the rows are called."""
    return [row["query_id"] for row in rows]


def at(offset_ms: int) -> str:
    """A moment of the day, as the system table writes it."""
    return (MIDNIGHT + timedelta(milliseconds=offset_ms)).isoformat()


def load(emulator: Emulator, *offsets_ms: int) -> list[str]:
    """Loads a statement for each moment; their ids in the order of the day."""
    rows = [
        system_row(f"s-{number:03}", start_time=at(offset), compute=COMPUTE)
        for number, offset in enumerate(sorted(offsets_ms))
    ]
    emulator.load_rows(HISTORY, rows)
    return [row["statement_id"] for row in rows]


def asked(emulator: Emulator) -> list[dict[str, str]]:
    """The parameters of the requests for history that were answered well."""
    return [dict(one.query) for one in emulator.requests if one.path == PATH and one.status == 200]


def repeated(requests: Sequence[dict[str, Any]]) -> list[str]:
    """Requests that were sent more than once."""
    sent = Counter(json.dumps(request, sort_keys=True) for request in requests)
    return [request for request, times in sent.items() if times > 1]


moments = st.one_of(
    st.sampled_from([-1, 0, HOUR_MS - 1, HOUR_MS, DAY_MS - 1, DAY_MS]),
    st.integers(-5, DAY_MS + 5),
    st.integers(5 * HOUR_MS, 5 * HOUR_MS + 30),
)


@given(
    offsets=st.lists(moments, max_size=60),
    is_newest_first=st.booleans(),
    page_rows=st.integers(1, 5),
    overlap_rows=st.integers(0, 3),
    empty_page_every=st.sampled_from([0, 2, 3]),
    are_bounds_included=st.booleans(),
    last_page=st.sampled_from(["ends", "no_flag", "repeats_token", "begins_again"]),
    kills=st.lists(st.integers(0, 30), max_size=4),
)
@settings(deadline=None, max_examples=100)
def test_any_pages_and_kills_give_each_statement_of_the_day_once(
    offsets: list[int], is_newest_first: bool, kills: list[int], **pages: Any
) -> None:
    """However pages are cut, repeated, ended and broken off, the day is whole, and in order."""
    rows = [
        api_row(f"s-{number:03}", query_start_time_ms=START_MS + offset, is_final=True)
        for number, offset in enumerate(offsets)
    ]
    if is_newest_first:
        rows.sort(key=lambda row: -row["query_start_time_ms"])
    history = HistoryInMemory(rows, kills=[*kills], **pages)
    of_day = [row for row in rows if 0 <= row["query_start_time_ms"] - START_MS < DAY_MS]
    of_day.sort(key=lambda row: (row["query_start_time_ms"], row["query_id"]))

    with tempfile.TemporaryDirectory() as folder:
        while True:
            try:
                found = read(history.as_calls(), Path(folder))
            except Killed:
                continue
            break
    assert ids(found) == ids(of_day)
    if history.last_page != "begins_again":  # of which tokens were used only its process knows
        assert repeated(history.asked) == []


@given(
    starts=st.lists(st.integers(0, 1000), min_size=1, max_size=30),
    page_count=st.integers(1, slices.LARGE_PAGES + 2),
    is_newest_first=st.booleans(),
)
def test_a_slice_is_split_only_where_its_rest_is_known(
    starts: list[int], page_count: int, is_newest_first: bool
) -> None:
    """Halves hold the rest and the oldest millisecond; unordered or unmoved slices have none."""
    if is_newest_first:
        starts.sort(reverse=True)
    page = Page([Statement(str(n), start, 0, True, b"") for n, start in enumerate(starts)], "more")
    one = Slice(0, 1001, page_count=page_count - 1).after(page)
    halves = one.halves()

    oldest = starts[-1]
    in_order = starts == sorted(starts, reverse=True)
    expected = page_count >= slices.LARGE_PAGES and in_order and 0 < oldest < 1000
    assert bool(halves) == expected
    if halves:
        early, late = halves
        assert (early.start_ms, early.end_ms, late.end_ms) == (0, late.start_ms, oldest + 1)
        assert early.start_ms < early.end_ms < late.end_ms


def test_an_interrupt_wakes_those_who_wait() -> None:
    """When one slice fails, the others do not wait for their next request."""
    threads, waits = SliceThreads(), threading.Event()
    woken: list[int] = []

    def read_one(one: Slice) -> list[Slice]:
        if not one.start_ms:
            waits.wait()
            raise Killed
        waits.set()
        try:
            threads.pause(3600)
        except StoppedError:
            woken.append(one.start_ms)
            raise
        return []

    with pytest.raises(Killed):
        threads.read(Slice.of(0, 2, 1), read_one, lambda _: None)
    assert woken == [1]


COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from dbminer_dagster.cli import main
main(prog_name="dbminer")
"""
COMMAND_IN_A_STEP = """
import dagster as dg
from dbminer_dagster.cli import main
with dg.raise_execution_interrupts():
    main(prog_name="dbminer", standalone_mode=False)
"""


@pytest.mark.parametrize(
    ("script", "ends", "last_line"),
    [
        (COMMAND, signal.SIGINT, "Aborted!"),
        (COMMAND_IN_A_STEP, signal.SIGINT, "dagster._core.errors.DagsterExecutionInterruptedError"),
        (
            COMMAND_IN_A_STEP,
            signal.SIGTERM,
            "dagster._core.errors.DagsterExecutionInterruptedError",
        ),
    ],
    ids=["command_sigint", "step_sigint", "step_sigterm"],
)
def test_a_signal_ends_a_reading_that_waits(
    script: str, ends: signal.Signals, last_line: str, emulator: Emulator, tmp_path: Path
) -> None:
    """Ctrl-C, and what Dagster ends a step with, end a reading that the workspace keeps waiting."""
    emulator.history.refusal = refused(429, "REQUEST_LIMIT_EXCEEDED", "Later.")
    days = ["--since", str(DAY), "--until", str(DAY)]
    arguments = ["extract", "--query-history", *days, "--out", str(tmp_path / "files")]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "DBMINER_WORK_FOLDER": str(tmp_path / "work")},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            # The second refusal comes a while after all slices were handed out.
            while [one.status for one in emulator.requests if one.path == PATH].count(429) < 2:
                assert process.poll() is None
                threading.Event().wait(0.01)
            process.send_signal(ends)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, errors.splitlines()[-1]) == (1, last_line)


@pytest.mark.parametrize(
    "quirk",
    [
        {},
        {"empty_page_every": 2},
        {"last_page": "repeats_token"},
        {"last_page": "repeats_token_without_flag"},
        {"overlap_rows": 1},
    ],
    ids=["none", "empty_pages", "repeated_token", "token_without_flag", "overlap"],
)
def test_pages_of_a_workspace_are_read_to_their_end(
    quirk: dict[str, Any],
    emulator: Emulator,
    calls: RestCalls,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Empty pages, overlaps and tokens without end neither lose, repeat nor loop."""
    monkeypatch.setattr(statement_pages, "PAGE_ROWS", 3)
    loaded = load(emulator, *range(0, DAY_MS, DAY_MS // 60), *range(7 * HOUR_MS, 7 * HOUR_MS + 40))
    for name, value in quirk.items():
        setattr(emulator.history, name, value)

    assert ids(read(calls, tmp_path)) == loaded


def test_filters_are_sent_for_the_first_page_alone(
    emulator: Emulator, calls: RestCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages after the first are asked for by token, size and metrics, and nothing else."""
    monkeypatch.setattr(statement_pages, "PAGE_ROWS", 2)
    load(emulator, *range(5))
    read(calls, tmp_path)

    later = [set(one) for one in asked(emulator) if "page_token" in one]
    assert later == [{"page_token", "max_results", "include_metrics"}] * 2


def test_a_large_slice_is_split(
    emulator: Emulator, calls: RestCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ten pages the rest of an hour is read in halves, side by side."""
    monkeypatch.setattr(statement_pages, "PAGE_ROWS", 2)
    loaded = load(emulator, *range(0, HOUR_MS, HOUR_MS // 50))

    assert ids(read(calls, tmp_path)) == loaded
    ranges = [one for one in asked(emulator) if "page_token" not in one]
    assert len(ranges) == 24 + 2
    assert len(asked(emulator)) <= 23 + 10 + 2 * 8


def test_rows_are_kept_as_they_came(emulator: Emulator, calls: RestCalls, tmp_path: Path) -> None:
    """Every field of the answer stays, metrics and 19-digit ids too; the workspace is added."""
    user_id = "7234567890123456789"
    row = system_row(
        start_time=at(5),
        compute=COMPUTE,
        executed_by_user_id=user_id,
        statement_text="select 'ä€😀'",
        read_rows=3,
    )
    emulator.load_rows(HISTORY, [row])

    [found] = read(calls, tmp_path)
    body = calls.get("read", PATH, {"include_metrics": True}, Pace(1))
    [raw] = body["res"]
    assert found == {**raw, "workspace_id": "17"}
    assert found["user_id"] == int(user_id)
    assert found["metrics"]


def test_statements_that_are_not_final_are_asked_for_again(
    emulator: Emulator, calls: RestCalls, tmp_path: Path
) -> None:
    """What became final in the meantime is taken over; the others are kept and counted."""
    ends, goes_on, _ = load(emulator, 1, 2, 3)
    emulator.history.running.update({ends: 1, goes_on: None})

    with read_day(calls, tmp_path, DAY, Silent(), now=NOW) as statements:
        rows = {row["query_id"]: row for row in map(json.loads, statements.lines())}
        assert statements.not_final == 1
    assert [row["is_final"] for row in rows.values()] == [True, False, True]
    assert len([one for one in asked(emulator) if "filter_by.statement_ids" in one]) == 1


def test_a_statement_that_ends_between_two_readings_is_final(
    emulator: Emulator, calls: RestCalls, tmp_path: Path
) -> None:
    """A day that is taken up again asks for its unfinished statements, and for nothing else."""
    [statement_id] = load(emulator, 1)
    emulator.history.running[statement_id] = None
    assert [row["status"] for row in read(calls, tmp_path)] == ["RUNNING"]
    before = len(asked(emulator))

    emulator.history.running.clear()
    [found] = read(calls, tmp_path)
    assert (found["status"], found["is_final"]) == ("FINISHED", True)
    assert [one["filter_by.statement_ids"] for one in asked(emulator)[before:]] == [statement_id]


def test_a_row_that_does_not_say_is_final_unless_it_runs(tmp_path: Path) -> None:
    """Without `is_final` the status tells."""
    rows = [
        api_row(status, query_start_time_ms=START_MS, status=status)
        for status in ("FAILED", "FINISHED", "RUNNING", "SOMETHING_NEW")
    ]
    history = HistoryInMemory(rows)
    with read_day(history.as_calls(), tmp_path, DAY, Silent(), now=NOW) as statements:
        assert statements.not_final == 1


def test_what_was_read_is_not_asked_again(
    emulator: Emulator, calls: RestCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading that is cut off again and again sends each request once."""
    monkeypatch.setattr(statement_pages, "PAGE_ROWS", 3)
    loaded = load(emulator, *range(0, DAY_MS, DAY_MS // 200))
    for after in range(1, 22, 4):
        with pytest.raises(Killed):
            read(calls, tmp_path, progress=Interrupting(after))

    assert ids(read(calls, tmp_path)) == loaded
    assert repeated(asked(emulator)) == []


def test_a_forgotten_token_begins_its_slice_anew(
    emulator: Emulator, calls: RestCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the workspace refuses a token that was kept, its slice is read from its beginning."""
    monkeypatch.setattr(statement_pages, "PAGE_ROWS", 2)
    loaded = load(emulator, *range(0, HOUR_MS, HOUR_MS // 15))
    with pytest.raises(Killed):
        read(calls, tmp_path, progress=Interrupting(10))
    with sqlite3.connect(journal_of(calls, tmp_path, DAY)) as journal:
        journal.execute(
            "UPDATE slices SET token = 'forgotten', is_read = 0 WHERE start_ms = ?", [START_MS]
        )
    journal.close()

    assert ids(read(calls, tmp_path)) == loaded


def test_a_token_forgotten_while_it_is_read_begins_its_slice_anew(
    emulator: Emulator, calls: RestCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the workspace refuses a token that it has just given, the day is read all the same."""
    monkeypatch.setattr(statement_pages, "PAGE_ROWS", 2)
    loaded = load(emulator, *range(5))
    emulator.history.forgets_tokens = 1

    assert ids(read(calls, tmp_path)) == loaded
    assert emulator.history.forgets_tokens == 0


def test_a_workspace_that_refuses_every_token_fails(
    emulator: Emulator, calls: RestCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slice begins anew once; the second refused token is an error that tells the day."""
    monkeypatch.setattr(statement_pages, "PAGE_ROWS", 2)
    load(emulator, *range(5))
    emulator.history.forgets_tokens = 1000

    with pytest.raises(WorkspaceError, match=rf"Cannot read query history of {DAY} .*token is inv"):
        read(calls, tmp_path)
    assert emulator.history.forgets_tokens == 1000 - 2


def test_a_refusal_that_is_no_token_fails(
    emulator: Emulator, calls: RestCalls, tmp_path: Path
) -> None:
    """A refused first page is an error that says what was tried; the journal stays."""
    emulator.history.refusal = refused(400, "INVALID_PARAMETER_VALUE", "No such filter.")
    with pytest.raises(WorkspaceError, match=rf"Cannot read query history of {DAY} .*No such filt"):
        read(calls, tmp_path)
    assert journal_of(calls, tmp_path, DAY).exists()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"res": {}}, "Expected `array | null`, got `object`"),
        ({"has_next_page": True}, "more pages, but no token for them"),
        ({"res": [{"query_id": "a"}]}, "missing required field `query_start_time_ms`"),
    ],
    ids=["no_rows", "no_token", "no_start"],
)
def test_an_answer_that_is_no_page_fails(
    answer: Row, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that cannot be understood is an error, not an empty page."""
    monkeypatch.setattr(HistoryInMemory, "_page", lambda *_: answer)
    with pytest.raises(WorkspaceError, match="the answer holds") as raised:
        read(HistoryInMemory([]).as_calls(), tmp_path)
    assert reason in str(raised.value)


def test_half_a_character_is_replaced(tmp_path: Path) -> None:
    """A text that was cut inside of a character is kept up to there."""
    row = api_row(query_start_time_ms=START_MS, query_text="select '\ud83d")
    [found] = read(HistoryInMemory([row]).as_calls(), tmp_path)
    assert found["query_text"] == "select '?"


@pytest.mark.parametrize("days", [-31, -400], ids=["just_beyond", "long_ago"])
def test_days_beyond_the_horizon_are_refused(days: int, tmp_path: Path) -> None:
    """A day of which not all is kept is an error that names what keeps longer."""
    history = HistoryInMemory([])
    with pytest.raises(DayNotCoveredError, match=r"keeps 30 days.*METHOD=system_table"):
        read(history.as_calls(), tmp_path, NOW.date() + timedelta(days=days))
    assert history.asked == []


@pytest.mark.parametrize("days", [0, 1], ids=["today", "tomorrow"])
def test_a_day_that_is_not_over_is_refused(days: int, tmp_path: Path) -> None:
    """A day that still goes on would be read by half."""
    history = HistoryInMemory([])
    with pytest.raises(DayNotCoveredError, match="that day is not over"):
        read(history.as_calls(), tmp_path, NOW.date() + timedelta(days=days))
    assert history.asked == []


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_covered_days_lie_wholly_within_the_horizon(now: datetime) -> None:
    """The first covered day began less than 30 days ago, and the one before it earlier."""
    first, last = covered_days(now)
    began = datetime.combine(first, time(), UTC)
    assert timedelta(days=29) <= now - began < timedelta(days=30)
    assert last == now.date()


def test_principals_have_journals_of_their_own(
    emulator: Emulator, calls: RestCalls, tmp_path: Path, no_databricks: pytest.MonkeyPatch
) -> None:
    """What one principal was shown is never taken for what another one sees."""
    no_databricks.delenv("DATABRICKS_TOKEN")
    for name, value in emulator.environment("oauth-m2m").items():
        no_databricks.setenv(name, value)
    other = RestCalls(Connection.from_settings(load_settings()))

    assert journal_of(other, tmp_path, DAY) != journal_of(calls, tmp_path, DAY)


def extract(
    calls: RestCalls, folder: Path, window: Window | None = None
) -> Iterator[tuple[Extraction, list[str]]]:
    """An extraction, and the ids of its statements."""
    with open_spool() as spool:
        found = read_query_history(calls, window or Window.of_day(DAY), spool, folder, NOW)
        yield found, found.frame.collect()["statement_id"].to_list()


def test_extraction_counts_what_it_met(
    emulator: Emulator, calls: RestCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeated, unfinished and refused things are counted, and a journal does not stay."""
    monkeypatch.setattr(statement_pages, "PAGE_ROWS", 3)
    loaded = load(emulator, *range(8))
    emulator.history.overlap_rows = 1
    emulator.history.running[loaded[0]] = None

    [(found, statement_ids)] = extract(calls, tmp_path)
    assert statement_ids == loaded
    assert found.row_count == len(loaded)
    assert found.covered == covered_days(NOW)
    assert found.counts == {
        "objects_read": 11,
        "rows_of_these_days": 8,
        "rows_merged": 3,
        "rows_of_other_days": 0,
        "rows_not_final": 1,
        "requests": 28,
        "requests_refused": 0,
    }
    assert "1 statements still ran" in found.notes["not_final"][0]
    assert list(tmp_path.glob("query-history*")) == []


def test_days_that_the_api_forgot_are_absent(
    emulator: Emulator, calls: RestCalls, tmp_path: Path
) -> None:
    """Of a window that begins too early the later days are read, the others said to be absent."""
    first, _ = covered_days(NOW)
    load(emulator, 0)
    window = Window(first - timedelta(days=2), first + timedelta(days=1))

    [(found, _)] = extract(calls, tmp_path, window)
    assert found.absent_days(window) == {first - timedelta(days=2), first - timedelta(days=1)}
    with pytest.raises(DayNotCoveredError, match="Databricks keeps 30 days"):
        next(extract(calls, tmp_path, Window.of_day(first - timedelta(days=1))))


def test_lost_rows_are_an_error(
    emulator: Emulator, calls: RestCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer rows than statements that were read fail, and the journal stays for another try."""
    load(emulator, 1, 2)
    frames = resource.frames
    monkeypatch.setattr(
        resource, "frames", lambda *given: (frame.head(1) for frame in frames(*given))
    )
    with pytest.raises(CutOffError, match=r"2 statements were read .* 1 of them became rows"):
        next(extract(calls, tmp_path))
    assert journal_of(calls, tmp_path, DAY).exists()


def test_a_statement_that_cannot_be_a_row_is_named(tmp_path: Path) -> None:
    """A field of a wrong type is an error that names the statement and a way around it."""
    row = api_row("s-9", query_start_time_ms=START_MS, statement_type=7)
    with pytest.raises(WorkspaceError, match=r"statement s-9 cannot be understood: .*MAX_BAD_LINE"):
        next(extract(HistoryInMemory([row]).as_calls(), tmp_path))
