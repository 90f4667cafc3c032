"""What every extraction method has to keep; a method joins by a `Source` in `SOURCES`."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
import time_machine

from dbminer_dagster.errors import DayNotCoveredError
from dbminer_dagster.resources.databricks import DatabricksResource
from dbminer_dagster.resources.extractor import Extractor
from dbminer_dagster.resources.offline.extractor import OfflineExtractor
from dbminer_dagster.resources.rest_api import RestApiExtractor
from dbminer_dagster.schemas import RAW_QUERY_HISTORY, TABLES
from dbminer_dagster.settings import ExtractionMethod, load_settings
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.offline_files import (
    Read,
    Row,
    column_row,
    history_of,
    lineage_of,
    lineage_row,
    ndjson,
    system_row,
    write_history,
    write_lineage,
)
from dbminer_dagster_tests.warehouse import ask_faster, load, sign_in

FIRST, LAST = date(2026, 1, 5), date(2026, 1, 7)
MIDNIGHTS = {
    "first_instant": "2026-01-05T00:00:00Z",
    "last_instant": "2026-01-05T23:59:59.999Z",
    "next_first_instant": "2026-01-06T00:00:00Z",
}
DAYS_HELD = {"last": "2026-01-07T12:00:00Z", **MIDNIGHTS}
NOW = datetime(2026, 1, 9, 12, tzinfo=UTC)
"""For the methods that read what there is at the moment."""
Days = tuple[date, date]


class Source(Protocol):
    """A place that holds the given rows of the system tables, however it gives them.

    Attributes:
        method: The extraction method.
        history_covered: First and last day that it knows statements of, once it holds `DAYS_HELD`.
        lineage_covered: The same for lineage.
        workspaces: Those of which it knows statements.
    """

    method: ExtractionMethod
    history_covered: Days = FIRST, LAST
    lineage_covered: Days = FIRST, LAST
    workspaces: frozenset[str] = frozenset({"17", "18"})

    def extractor(self, history: Sequence[Row], lineage: Sequence[Row]) -> Extractor:
        """An extractor over exactly these rows."""
        ...


class OfflineSource(Source):
    """The rows as offline files."""

    method = ExtractionMethod.OFFLINE

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def extractor(self, history: Sequence[Row], lineage: Sequence[Row]) -> Extractor:
        """Writes two parts of each kind."""
        write_history(self.folder, ndjson(*history[::2]), ndjson(*history[1::2]))
        write_lineage(self.folder, ndjson(*lineage[::2]), ndjson(*lineage[1::2]))
        return OfflineExtractor(uri=str(self.folder))


class SystemTableSource(Source):
    """The rows as system tables of an emulated workspace."""

    method = ExtractionMethod.SYSTEM_TABLE

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    def extractor(self, history: Sequence[Row], lineage: Sequence[Row]) -> Extractor:
        """Loads them into the tables."""
        return load(self.emulator, history, lineage)


class RestApiSource(Source):
    """The rows as an emulated workspace answers of them over REST."""

    method = ExtractionMethod.REST_API
    # Query history goes back 30 days; a snapshot of lineage knows all days before its own.
    history_covered = date(2025, 12, 11), NOW.date()
    lineage_covered = FIRST, NOW.date() - timedelta(days=1)
    workspaces = frozenset({"17"})

    def __init__(self, emulator: Emulator, work_folder: Path) -> None:
        self.emulator = emulator
        self.work_folder = work_folder
        emulator.workspace.workspace_id = "17"

    def extractor(self, history: Sequence[Row], lineage: Sequence[Row]) -> Extractor:
        """Loads them into the system tables, and the tables that lineage names into the catalog."""
        warehouse = {"type": "WAREHOUSE", "warehouse_id": "8c1f"}  # REST knows no others
        load(self.emulator, [{"compute": warehouse, **row} for row in history], lineage)
        self.emulator.add_tables_of_lineage()
        settings = load_settings(work_folder=str(self.work_folder))
        return RestApiExtractor.of(settings, DatabricksResource.of(settings))


@pytest.fixture
def january() -> Iterator[None]:
    """The day on which the rows of this suite are read."""
    with time_machine.travel(NOW):
        yield


@pytest.fixture
def emulator(databricks_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """A workspace that the miner signs in to."""
    sign_in(databricks_emulator, monkeypatch)
    return databricks_emulator


def _offline(request: pytest.FixtureRequest) -> OfflineSource:
    return OfflineSource(request.getfixturevalue("tmp_path"))


def _system_table(request: pytest.FixtureRequest) -> SystemTableSource:
    return SystemTableSource(request.getfixturevalue("emulator"))


def _rest_api(request: pytest.FixtureRequest) -> RestApiSource:
    request.getfixturevalue("january")
    ask_faster(request.getfixturevalue("monkeypatch"))
    return RestApiSource(request.getfixturevalue("emulator"), request.getfixturevalue("tmp_path"))


SOURCES: dict[ExtractionMethod, Callable[[pytest.FixtureRequest], Source]] = {
    ExtractionMethod.OFFLINE: _offline,
    ExtractionMethod.SYSTEM_TABLE: _system_table,
    ExtractionMethod.REST_API: _rest_api,
}


@pytest.fixture(params=SOURCES.values(), ids=list(SOURCES))
def source(request: pytest.FixtureRequest) -> Source:
    """A source of each extraction method."""
    return request.param(request)


@pytest.fixture
def extractor(source: Source) -> Extractor:
    """A source with rows at the midnights of 5 January and at noon of the 7th."""
    history = [system_row(name, start_time=time) for name, time in DAYS_HELD.items()]
    lineage = [
        row(event_time=time, record_id=f"{name}-{row.__name__}", target_table_full_name=into(name))
        for name, time in DAYS_HELD.items()
        for row in (lineage_row, column_row)
    ]
    return source.extractor(history, lineage)


def into(name: str) -> str:
    """A target of its own: REST knows only when an edge was last seen."""
    return f"main.a.{name}"


def found_of(extractor: Extractor, window: Window) -> list[set[str]]:
    """The names of the statements and of the edges that each raw table has rows of."""
    lineage = [set(found.column("target_name")) for found in lineage_of(extractor, window).values()]
    return [set(map(into, history_of(extractor, window).column("statement_id"))), *lineage]


def reads(source: Source) -> list[tuple[Callable[[Extractor, Window], Read], Days]]:
    """How statements and lineage are read, and what the source covers of each."""
    return [
        (history_of, source.history_covered),
        (lambda *given: lineage_of(*given)["raw_table_lineage"], source.lineage_covered),
    ]


@pytest.mark.parametrize(
    ("window", "held"),
    [
        (Window.of_day(FIRST), {"first_instant", "last_instant"}),
        (Window(FIRST, LAST), set(MIDNIGHTS)),
        (Window(date(2026, 1, 6), date(2026, 1, 8)), {"next_first_instant", "last"}),
        (Window(FIRST, date(2026, 1, 9)), set(DAYS_HELD)),
    ],
    ids=["first_day", "two_days", "last_two_days", "beyond_the_last"],
)
def test_the_window_is_half_open(window: Window, held: set[str], extractor: Extractor) -> None:
    """Exactly the rows from the first midnight up to, and without, the last come out."""
    assert found_of(extractor, window) == [set(map(into, held))] * 3


def test_the_day_is_that_of_the_time(extractor: Extractor) -> None:
    """The day of a row is the UTC day of its start, or of its event."""
    window = Window(FIRST, date(2026, 1, 8))

    statements = history_of(extractor, window).rows
    assert statements["day"].equals(statements["start_time"].dt.date().rename("day"))
    for found in lineage_of(extractor, window).values():
        assert found.rows["day"].equals(found.rows["first_event_time"].dt.date().rename("day"))


def test_rows_have_the_raw_schema(extractor: Extractor, source: Source) -> None:
    """Every row has all columns of its raw table with their types, and the method."""
    window = Window(FIRST, date(2026, 1, 8))
    found = {RAW_QUERY_HISTORY.name: history_of(extractor, window), **lineage_of(extractor, window)}

    assert extractor.method == source.method
    for name, read in found.items():
        assert read.rows.schema == TABLES[name].schema
        assert set(read.column("extraction_method")) == {source.method.value}
        assert read.extraction.row_count == read.rows.height > 0


def test_reading_again_gives_the_same(extractor: Extractor) -> None:
    """The same window read twice gives identical rows."""
    window = Window(FIRST, LAST)

    assert history_of(extractor, window).rows.equals(history_of(extractor, window).rows)
    again = lineage_of(extractor, window)
    for name, found in lineage_of(extractor, window).items():
        assert found.rows.equals(again[name].rows)


def test_a_day_without_rows_is_not_absent(source: Source) -> None:
    """A day between days with rows is empty; a day beyond what the source covers is absent."""
    times = ("2026-01-05T12:00:00Z", "2026-01-07T12:00:00Z")
    extractor = source.extractor(
        [system_row(time, start_time=time) for time in times],
        [
            row(event_time=time, target_table_full_name=into(f"t{number}"))
            for number, time in enumerate(times)
            for row in (lineage_row, column_row)
        ],
    )
    empty, beyond = Window.of_day(date(2026, 1, 6)), Window(LAST, date(2026, 1, 9))

    for read, (_, last) in reads(source):
        assert read(extractor, empty).rows.is_empty()
        assert read(extractor, empty).extraction.absent_days(empty) == frozenset()
        assert read(extractor, beyond).extraction.absent_days(beyond) == {
            day for day in beyond if day > last
        }


@pytest.mark.parametrize("side", ["before", "after"])
def test_an_uncovered_window_fails(side: str, extractor: Extractor, source: Source) -> None:
    """A window of which no day is covered is an error that says what the source holds."""
    for read, (first, last) in reads(source):
        day = first - timedelta(days=1) if side == "before" else last + timedelta(days=1)

        with pytest.raises(DayNotCoveredError, match=f"the source holds {first} to {last}"):
            read(extractor, Window.of_day(day))


def test_the_latest_update_wins(source: Source) -> None:
    """A statement comes out once for each workspace, as it was updated last."""
    versions = [
        system_row(update_time=f"2026-01-05T13:00:0{second}Z", read_rows=second)
        for second in (1, 3, 2)
    ]
    extractor = source.extractor(
        [*versions, system_row(workspace_id="18", read_rows=9)], [lineage_row()]
    )
    found = history_of(extractor, Window.of_day(FIRST))

    assert found.rows.select(RAW_QUERY_HISTORY.key).is_unique().all()
    latest = dict(zip(found.column("workspace_id"), found.column("read_rows"), strict=True))
    known = {"17": 3, "18": 9}
    assert latest == {workspace: known[workspace] for workspace in source.workspaces}
