"""What a look at an offline location finds, and what it leaves for the next one."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbminer_dagster.errors import SourceError
from dbminer_dagster.resources.offline import LINEAGE_FOLDER, QUERY_HISTORY_FOLDER, part_days
from dbminer_dagster.resources.offline.arrivals import Budget, Cursor, Look
from dbminer_dagster.resources.offline.files import LocalLocation
from dbminer_dagster.resources.offline.manifest import (
    MANIFEST_NAME,
    ExtractionEntry,
    Manifest,
    PartEntry,
)
from dbminer_dagster.sensors import due
from dbminer_dagster.settings import load_settings
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.offline_files import (
    api_row,
    column_row,
    epoch_ms,
    lineage_row,
    ndjson,
    read_history,
    read_lineage,
    system_row,
    write_history,
    write_lineage,
)

DAYS = [date(2026, 1, 5) + timedelta(days=offset) for offset in range(8)]
YEARS = Window(date(2024, 1, 1), date(2027, 1, 1))
UNLIMITED_S = 3600.0


@dataclass(frozen=True)
class Watched(LocalLocation):
    """A folder that notes which parts are opened."""

    opened: list[str] = field(default_factory=list)

    @contextmanager
    def open(self, folder: str, part: str) -> Iterator[BinaryIO]:
        """See `Location.open`."""
        self.opened.append(part)
        with LocalLocation.open(self, folder, part) as stream:
            yield stream


def look_at(root: Path, cursor: Cursor, **budget: int) -> tuple[Look, list[str]]:
    """A look at the query history, and the parts that it read."""
    location = Watched(root)
    look = Look(location, 0, cursor, Budget(**budget, seconds=UNLIMITED_S))
    look.at(QUERY_HISTORY_FOLDER)
    return look, [part for part in location.opened if part != MANIFEST_NAME]


def statements(*days: date) -> bytes:
    return ndjson(
        *(api_row(f"{day}", query_start_time_ms=epoch_ms(f"{day}T12:00:00")) for day in days)
    )


def part(number: int, content: bytes, *days: date) -> PartEntry:
    sha256 = hashlib.sha256(content).hexdigest()
    return PartEntry(f"result-{number}.json", len(days), len(content), sha256, list(days))


def write_manifest(root: Path, *parts: PartEntry, extractions: int = 0) -> None:
    entries = [
        ExtractionEntry("17", DAYS[0], DAYS[-1], datetime(2026, 2, 1, tzinfo=UTC), [])
    ] * extractions
    manifest = Manifest(parts=list(parts), extractions=entries)
    (root / QUERY_HISTORY_FOLDER).mkdir(exist_ok=True, parents=True)
    (root / QUERY_HISTORY_FOLDER / MANIFEST_NAME).write_bytes(manifest.encoded())


@given(
    arrivals=st.lists(
        st.tuples(
            st.lists(
                st.tuples(st.integers(0, 5), st.sets(st.sampled_from(DAYS), max_size=3)), max_size=4
            ),
            st.integers(1, 3),
        ),
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_each_version_asks_for_its_days_once(
    arrivals: list[tuple[list[tuple[int, set[date]]], int]],
) -> None:
    """However files arrive and whatever a tick may read, each version's days are requested once.

    They are requested in the first tick that leaves nothing unread, by a run key of their own.
    """
    wanted = load_settings(start_date=DAYS[0], query_history_method="offline")
    today = DAYS[-1] + timedelta(days=30)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / QUERY_HISTORY_FOLDER).mkdir()
        cursor, clock, current, owed = Cursor(), 0, {}, set()
        read_versions, run_keys = [], []
        for writes, files in [*arrivals, *[([], 1)] * 32]:
            for number, days in writes:
                clock += 1
                # Parts are numbered without a gap.
                name = f"result-{min(number, len(current))}.json"
                path = root / QUERY_HISTORY_FOLDER / name
                path.write_bytes(statements(*sorted(days)))
                os.utime(path, (clock, clock))
                current[name] = (clock, days)
            look, opened = look_at(root, Cursor.parse(cursor.text), files=files)
            cursor = look.cursor
            assert len(opened) <= files
            read_versions += [(name, current[name][0]) for name in opened]
            owed = owed.union(*(current[name][1] for name in opened))
            found = due(wanted, cursor, today) if look.is_complete else []
            run_keys += [request.run_key for request in found]
            if look.is_complete:
                assert days_of(found) == sorted(owed)
                owed = set()

    assert len(read_versions) == len(set(read_versions))
    assert {*read_versions} >= {(name, version) for name, (version, _) in current.items()}
    assert not owed
    assert len(run_keys) == len(set(run_keys))


def days_of(requests: list) -> list[date]:
    """The days of all runs, in their order."""
    days = []
    for request in requests:
        first, last = (
            date.fromisoformat(request.tags[f"dagster/asset_partition_range_{end}"])
            for end in ("start", "end")
        )
        days += Window(first, last + timedelta(days=1))
    return sorted(days)


def test_a_look_stops_when_its_bytes_are_used_up(tmp_path: Path) -> None:
    """The part that uses them up is the last one; the next look goes on behind it."""
    write_history(tmp_path, *(statements(day) for day in DAYS[:3]))

    first, read_first = look_at(tmp_path, Cursor(), content_bytes=len(statements(DAYS[0])) + 1)
    second, read_second = look_at(tmp_path, first.cursor)

    assert read_first == ["result-0.json", "result-1.json"]
    assert (first.unread, first.is_complete) == (1, False)
    assert read_second == ["result-2.json"]
    assert second.is_complete


def test_a_look_stops_when_its_time_is_over(tmp_path: Path) -> None:
    """A tick that ran out of time begins no further part."""
    write_history(tmp_path, statements(DAYS[0]))
    look = Look(LocalLocation(tmp_path), 0, Cursor(), Budget(seconds=0))

    look.at(QUERY_HISTORY_FOLDER)

    assert look.unread == 1


def test_a_manifest_tells_the_days(tmp_path: Path) -> None:
    """No part is opened where the manifest names its days."""
    contents = [statements(DAYS[0]), statements(DAYS[1], DAYS[4])]
    write_history(tmp_path, *contents)
    write_manifest(tmp_path, part(0, contents[0], DAYS[0]), part(1, contents[1], DAYS[1], DAYS[4]))

    look, opened = look_at(tmp_path, Cursor())

    assert opened == []
    assert look.is_complete
    assert look.cursor.days == {DAYS[0], DAYS[1], DAYS[4]}
    covered = look.cursor.folders[QUERY_HISTORY_FOLDER]
    assert [day for day in DAYS if covered.covers(day)] == [DAYS[0], DAYS[1], DAYS[4]]


def test_a_manifest_tells_what_is_covered(tmp_path: Path) -> None:
    """Quiet days of an extraction are covered and found though no part holds them, once."""
    content = statements(DAYS[2])
    write_history(tmp_path, content)
    write_manifest(tmp_path, part(0, content, DAYS[2]), extractions=1)

    look, _ = look_at(tmp_path, Cursor())

    assert look.cursor.days == {*DAYS}
    assert look.cursor.folders[QUERY_HISTORY_FOLDER].covered == (DAYS[0], DAYS[-1])
    look.cursor.days.clear()
    assert look_at(tmp_path, look.cursor)[0].cursor.days == set()


def test_a_day_that_is_emptied_is_found(tmp_path: Path) -> None:
    """An extraction that finds no statement where an earlier one did concerns its day."""
    content = statements(DAYS[0])
    write_history(tmp_path, content)
    entry = ExtractionEntry("17", DAYS[0], DAYS[0], datetime(2026, 2, 1, tzinfo=UTC), [])
    path = tmp_path / QUERY_HISTORY_FOLDER / MANIFEST_NAME
    full = Manifest().with_extraction(
        msgspec.structs.replace(entry, parts=["result-0.json"]), [part(0, content, DAYS[0])]
    )
    path.write_bytes(full.encoded())
    first, _ = look_at(tmp_path, Cursor())
    first.cursor.days.clear()

    later = msgspec.structs.replace(entry, extracted_at=datetime(2026, 2, 2, tzinfo=UTC))
    path.write_bytes(full.with_extraction(later, []).encoded())
    second, _ = look_at(tmp_path, first.cursor)

    assert second.cursor.days == {DAYS[0]}


def test_a_manifest_ends_a_fault(tmp_path: Path) -> None:
    """It tells the days of a part that could not be looked through without it."""
    content = statements(DAYS[0]) + b"nonsense\n"
    write_history(tmp_path, content)
    first, _ = look_at(tmp_path, Cursor())
    write_manifest(tmp_path, part(0, content, DAYS[0]))
    second, _ = look_at(tmp_path, first.cursor)

    assert (first.is_complete, second.is_complete) == (False, True)
    assert second.cursor.days == {DAYS[0]}


@pytest.mark.parametrize("content", [None, b"half"], ids=["missing", "half there"])
def test_an_upload_under_way_waits(tmp_path: Path, content: bytes | None) -> None:
    """Until every part of the manifest is there in its size, nothing of the folder counts."""
    whole = [statements(DAYS[0]), statements(DAYS[1])]
    write_history(tmp_path, whole[0])
    path = tmp_path / QUERY_HISTORY_FOLDER / "result-1.json"
    if content is not None:
        path.write_bytes(content)
    write_manifest(tmp_path, part(0, whole[0], DAYS[0]), part(1, whole[1], DAYS[1]))

    under_way, _ = look_at(tmp_path, Cursor())
    waiting, found = under_way.waiting, set(under_way.cursor.days)
    path.write_bytes(whole[1])
    done, _ = look_at(tmp_path, under_way.cursor)

    assert len(waiting) == 1
    assert "result-1.json" in waiting[0]
    assert found == set()
    assert done.cursor.days == {DAYS[0], DAYS[1]}


def test_files_that_a_manifest_does_not_name_do_not_count(tmp_path: Path) -> None:
    """They are not read by a run either."""
    content = statements(DAYS[0])
    write_history(tmp_path, content, statements(DAYS[1]))
    write_manifest(tmp_path, part(0, content, DAYS[0]))

    look, opened = look_at(tmp_path, Cursor())

    assert opened == []
    assert look.cursor.days == {DAYS[0]}


def test_a_manifest_that_comes_last_makes_nothing_new(tmp_path: Path) -> None:
    """Parts that were looked through before their manifest came are not requested again."""
    content = statements(DAYS[0])
    write_history(tmp_path, content)
    before, _ = look_at(tmp_path, Cursor())
    before.cursor.days.clear()

    write_manifest(tmp_path, part(0, content, DAYS[0]))
    after, _ = look_at(tmp_path, before.cursor)

    assert after.cursor.days == set()


def test_a_part_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    """The cursor holds no more parts than the folder."""
    write_history(tmp_path, statements(DAYS[0]), statements(DAYS[1]))
    look, _ = look_at(tmp_path, Cursor())
    (tmp_path / QUERY_HISTORY_FOLDER / "result-1.json").unlink()

    look, _ = look_at(tmp_path, look.cursor)

    assert list(look.cursor.folders[QUERY_HISTORY_FOLDER].versions) == ["result-0.json"]


def test_a_part_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    """Rights may change without a new version; the other parts are taken meanwhile."""
    write_history(tmp_path, statements(DAYS[0]))
    closed = tmp_path / QUERY_HISTORY_FOLDER / "result-1.json"
    closed.mkdir()

    first, _ = look_at(tmp_path, Cursor())
    second, opened = look_at(tmp_path, first.cursor)

    assert len(first.faults) == len(second.faults) == 1
    assert "result-1.json cannot be opened" in second.faults[0]
    assert opened == ["result-1.json"]
    assert not second.is_complete
    assert second.cursor.days == {DAYS[0]}


def test_a_part_that_is_too_large_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that no tick could look through is a fault with its remedy, and not tried again."""
    monkeypatch.setitem(
        part_days.MOST_CONTENT_BYTES, QUERY_HISTORY_FOLDER, len(statements(DAYS[0]))
    )
    write_history(tmp_path, statements(DAYS[0]), statements(DAYS[0], DAYS[1]))

    look, _ = look_at(tmp_path, Cursor())

    assert look.cursor.days == {DAYS[0]}
    assert "Cut it into smaller parts" in look.passed_over[0]
    assert look.is_complete
    assert look_at(tmp_path, look.cursor)[1] == []


def test_a_part_that_takes_too_long_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few bytes it has, a part may not use up the time of a tick."""
    monkeypatch.setattr(part_days, "MOST_SECONDS", -1.0)
    write_history(tmp_path, statements(DAYS[0]))

    look, _ = look_at(tmp_path, Cursor())

    assert look.cursor.days == set()
    assert "Cut it into smaller parts" in look.passed_over[0]


@pytest.mark.parametrize("text", ["{", '{"days": 7}', "2026-01-05"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    """A cursor that somebody typed is not guessed at."""
    with pytest.raises(SourceError, match="Reset it"):
        Cursor.parse(text)


STATEMENTS = [
    api_row("a", query_start_time_ms=epoch_ms("2026-01-05T23:59:59")),
    api_row("b", query_start_time_ms=str(epoch_ms("2026-01-07T00:00:00"))),
    {"res": [api_row("c", query_start_time_ms=epoch_ms("2026-01-09T00:00:00"))]},
    system_row("d", start_time="2026-01-11T23:30:00"),
    system_row("e", start_time="2026-01-13T23:30:00-01:00"),
    system_row("f", start_time="2026-01-17T00:30:00+01:00"),
]
ANSWERS = {
    "table_name": "main.a.t",
    "table_lineage": {
        "upstreams": [
            {
                "tableInfo": {
                    "name": "s",
                    "catalog_name": "main",
                    "schema_name": "a",
                    "lineage_timestamp": "2026-01-17 23:59:59.9",
                }
            },
            {"tableInfo": {"has_permission": False, "lineage_timestamp": "2026-01-18 00:00:00"}},
        ],
        "downstreams": [{"notebookInfos": [{"notebook_id": 1, "lineage_timestamp": "2026-01-19"}]}],
    },
    "columns": {
        "c": {
            "upstream_cols": [
                {
                    "name": "d",
                    "catalog_name": "main",
                    "schema_name": "a",
                    "table_name": "s",
                    "lineage_timestamp": "2026-01-21 00:00:00.0",
                }
            ]
        }
    },
    "extracted_at": "2026-01-23T00:00:00Z",
}
EVENTS = [
    lineage_row(event_time="2026-01-05T23:59:59.999Z"),
    column_row(event_time="2026-01-07T23:30:00-01:00"),
    lineage_row(event_time="2026-01-09 00:00:00"),
    ANSWERS,
]


def test_the_days_of_statements_are_those_that_are_mined(tmp_path: Path) -> None:
    """Whatever their shape, statements count to the day to which a run counts them."""
    content = ndjson(*STATEMENTS)
    write_history(tmp_path, content)
    mined = set(read_history(tmp_path, YEARS).column("day"))

    with LocalLocation(tmp_path).open(QUERY_HISTORY_FOLDER, "result-0.json") as stream:
        days, size_bytes = part_days.days_of_part(QUERY_HISTORY_FOLDER, "result-0.json", stream, 0)

    assert days == mined
    assert len(days) == len(STATEMENTS)
    assert size_bytes == len(content) - len(STATEMENTS)  # without the ends of lines


def test_the_days_of_lineage_are_those_that_are_mined(tmp_path: Path) -> None:
    """System rows and REST answers count to the day to which a run counts them."""
    last = dict(ANSWERS, table_name="main.a.u", columns={})
    last["table_lineage"] = {
        "upstreams": [{"fileInfo": {"path": "s3://f", "lineage_timestamp": "2026-01-25"}}]
    }
    rows = [*EVENTS, dict(ANSWERS, table_name="main.a.v"), last]
    write_lineage(tmp_path, ndjson(*rows))
    mined = {day for read in read_lineage(tmp_path, YEARS).values() for day in read.column("day")}

    with LocalLocation(tmp_path).open(LINEAGE_FOLDER, "result-0.json") as stream:
        days, _ = part_days.days_of_part(LINEAGE_FOLDER, "result-0.json", stream, 0)

    assert days == mined
    assert len(days) == 7
