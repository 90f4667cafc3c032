"""A folder that extractions write to: whole extractions, whatever moment a kill strikes."""

import gzip
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbminer_dagster.errors import LocationError, SettingsError
from dbminer_dagster.extraction.destinations import (
    Destination,
    LocalDestination,
    destination,
    writing,
)
from dbminer_dagster.extraction.folder import OfflineFolder
from dbminer_dagster.extraction.parts import lineage_days, write_part
from dbminer_dagster.extraction.plan import Plan, Wanted
from dbminer_dagster.extraction.work import Work, open_work
from dbminer_dagster.resources.offline import QUERY_HISTORY_FOLDER
from dbminer_dagster.resources.offline.files import FileState, LocalLocation
from dbminer_dagster.resources.offline.manifest import ExtractionEntry, list_parts
from dbminer_dagster.settings import load_settings
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.offline_files import DAY, api_row, ndjson, write_history
from dbminer_dagster_tests.s3_server import Identity, S3Server

NEXT_DAY = DAY + timedelta(days=1)
BEGUN_AT = datetime(2026, 1, 9, tzinfo=UTC)
LINES_A_PART = 3

Lines = Sequence[bytes]


class KilledError(BaseException):
    """What a test throws where a process could end."""


class MortalDestination:
    """A destination whose process ends before one of its actions.

    Args:
        inner: Does the actions.
        lives: How many actions it lives for.
    """

    def __init__(self, inner: Destination, lives: int) -> None:
        self.inner, self.lives = inner, lives
        self.location = inner.location

    def _live(self) -> Destination:
        self.lives -= 1
        if self.lives < 0:
            raise KilledError
        return self.inner

    def files(self, folder: str) -> dict[str, FileState]:
        """See `Destination.files`."""
        return self._live().files(folder)

    def staged(self, folder: str, name: str) -> Path:
        """See `Destination.staged`."""
        return self._live().staged(folder, name)

    def publish(self, folder: str, name: str, staged: Path) -> None:
        """See `Destination.publish`."""
        self._live().publish(folder, name, staged)

    def remove(self, folder: str, name: str) -> None:
        """See `Destination.remove`."""
        self._live().remove(folder, name)


def numbered(prefix: str, count: int) -> list[bytes]:
    return [json.dumps({"id": f"{prefix}-{number}"}).encode() for number in range(count)]


@contextmanager
def working(root: Path) -> Iterator[Work]:
    plan = Plan(
        host="http://127.0.0.1:1",
        out=str(root / "out"),
        lineage=False,
        query_history=True,
        columns=False,
        window=Window(DAY, NEXT_DAY),
        excluded_catalogs=(),
    )
    with open_work(root / "work", plan) as work:
        yield work


def extract(
    root: Path,
    days: Mapping[date, Lines],
    *,
    begun_at: datetime = BEGUN_AT,
    lives: int = 10**9,
    is_gzip: bool = True,
) -> int:
    """Writes each day, or goes on with that; gives the actions that were left of `lives`."""
    place = MortalDestination(LocalDestination(LocalLocation(root / "out")), lives)
    with working(root) as work:
        folder = OfflineFolder.open(
            place, QUERY_HISTORY_FOLDER, work, part_bytes=LINES_A_PART * 16, is_gzip=is_gzip
        )
        for day, lines in days.items():
            entry = ExtractionEntry("17", day, day, begun_at, [])
            if not folder.written(entry):
                folder.add(entry, iter(lines), lambda _, day=day: {day})
    return place.lives


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in (root / "out" / QUERY_HISTORY_FOLDER).iterdir()
    }


def read(root: Path) -> list[str]:
    """What a reader that goes by the manifest finds, each part verified."""
    location = LocalLocation(root / "out")
    if not (root / "out" / QUERY_HISTORY_FOLDER).exists():
        return []
    if "manifest.json" not in location.files(QUERY_HISTORY_FOLDER):
        return []
    listing, found = list_parts(location, QUERY_HISTORY_FOLDER), []
    for part in listing.parts:
        with location.open(QUERY_HISTORY_FOLDER, part) as stream:
            listing.verify(part, part, stream)
            content = stream.read()
        text = gzip.decompress(content) if part.endswith(".gz") else content
        found += [json.loads(line)["id"] for line in text.splitlines()]
    return sorted(found)


def ids(*days: Lines) -> list[str]:
    return sorted(json.loads(line)["id"] for lines in days for line in lines)


OLD, OLD_NEXT = numbered("old", 10), numbered("next", 4)
NEW, NEW_NEXT = numbered("new", 5), numbered("late", 7)


@pytest.mark.parametrize("is_gzip", [True, False], ids=["gzip", "plain"])
def test_a_kill_at_any_moment_loses_and_doubles_nothing(*, is_gzip: bool, tmp_path: Path) -> None:
    """Killed at each action and gone on with, the folder is that of an undisturbed extraction.

    At the moment of each kill a reader finds every day as it was before or as it is after.
    """
    before, after = tmp_path / "before", tmp_path / "after"
    extract(before, {DAY: OLD, NEXT_DAY: OLD_NEXT}, is_gzip=is_gzip)
    shutil.copytree(before, after)
    again, later = {DAY: NEW, NEXT_DAY: NEW_NEXT}, BEGUN_AT + timedelta(days=1)
    actions = 1000 - extract(after, again, begun_at=later, lives=1000, is_gzip=is_gzip)
    expected = contents(after)

    for lives in range(actions):
        root = tmp_path / f"killed-{lives}"
        shutil.copytree(before, root)
        with pytest.raises(KilledError):
            extract(root, again, begun_at=later, lives=lives, is_gzip=is_gzip)
        assert read(root) in (ids(OLD, OLD_NEXT), ids(NEW, OLD_NEXT), ids(NEW, NEW_NEXT))
        extract(root, again, begun_at=later, is_gzip=is_gzip)
        assert contents(root) == expected
    assert read(after) == ids(NEW, NEW_NEXT)


@settings(deadline=None)  # disks are slow at times
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 60)), max_size=5))
def test_any_extractions_killed_anywhere_end_whole(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[bool, int, int]]
) -> None:
    """Whatever is extracted anew and killed, once it ends each day has its last statements."""
    root, last = tmp_path_factory.mktemp("any"), {}
    for number, (is_next, count, lives) in enumerate(history):
        day = NEXT_DAY if is_next else DAY
        begun_at = BEGUN_AT + timedelta(hours=number)
        lines = numbered(f"{number}", count)
        try:
            extract(root, {day: lines}, begun_at=begun_at, lives=lives, is_gzip=bool(count % 2))
        except KilledError:
            assert read(root) in (ids(*last.values()), ids(*{**last, day: lines}.values()))
            extract(root, {day: lines}, begun_at=begun_at)
        last[day] = lines

        assert read(root) == ids(*last.values())
        names = [name for name in contents(root) if name.startswith("result-")]
        numbers = sorted(int(name.split("-")[1].split(".")[0]) for name in names)
        assert numbers == list(range(len(names)))


def test_superseded_parts_are_empty_and_used_again(tmp_path: Path) -> None:
    """What is replaced has no content left, and its names are the first to be taken again."""
    extract(tmp_path, {DAY: OLD})
    extract(tmp_path, {DAY: NEW}, begun_at=BEGUN_AT + timedelta(days=1))
    sizes = {
        name: len(gzip.decompress(found))
        for name, found in contents(tmp_path).items()
        if name.endswith(".gz")
    }
    assert [sizes[f"result-{number}.json.gz"] for number in range(6)] == [0, 0, 0, 0, 48, 32]

    extract(tmp_path, {NEXT_DAY: OLD_NEXT})

    assert len(contents(tmp_path)) == 7
    assert read(tmp_path) == ids(NEW, OLD_NEXT)


def test_files_of_others_are_not_touched(tmp_path: Path) -> None:
    """Result files that no manifest names are refused by name before anything is written."""
    write_history(tmp_path / "out", ndjson(api_row()))
    before = contents(tmp_path)

    with pytest.raises(LocationError, match=r"does not name \(result-0.json\).*another --out"):
        extract(tmp_path, {DAY: NEW})

    assert contents(tmp_path) == before


def test_one_extraction_at_a_time_writes_to_a_place(tmp_path: Path) -> None:
    """A second process is refused while the first one has the place, and not afterwards."""
    with (
        working(tmp_path),
        pytest.raises(LocationError, match=r"Another extraction into .* is at work"),
        working(tmp_path),
    ):
        pass
    with working(tmp_path):
        pass


def test_a_place_that_cannot_be_written_is_found_out_at_once(tmp_path: Path) -> None:
    """A destination below a file fails by name, with what to do, before a line is read."""
    (tmp_path / "out").write_text("a file")

    with pytest.raises(LocationError, match=r"out/extracted-query-history cannot be written"):
        extract(tmp_path, {DAY: NEW})


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    """No space is told from no permission."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no device that is always full")

    with (
        pytest.raises(LocationError, match=r"No space left on device.*Free some space"),
        writing(tmp_path),
    ):
        full.write_bytes(b"x" * 10_000)


def test_a_full_work_folder_says_so(tmp_path: Path) -> None:
    """A work folder that cannot be made is named, with its setting."""
    (tmp_path / "work").write_text("a file")

    with pytest.raises(LocationError, match="Set DBMINER_WORK_FOLDER"), working(tmp_path):
        pass


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ("reader", r"access was denied .* Allow s3:PutObject and s3:DeleteObject on"),
        ("forger", "secret key does not belong"),
    ],
)
def test_s3_that_cannot_be_written_is_found_out_at_once(
    who: str,
    reason: str,
    tmp_path: Path,
    s3_prefix: str,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keys that may not write, and wrong ones, fail before a line is read; no secret is shown."""
    forger = Identity("forger", s3_server.admin.access_key, "wrong-secret-1234", ())
    identity = forger if who == "forger" else s3_server.reader
    for name, value in identity.environment.items():
        monkeypatch.setenv(name, value)
    store = load_settings(s3_region=s3_server.region, s3_endpoint_url=s3_server.endpoint_url)
    place = destination(s3_prefix, store, tmp_path / "staging")

    with working(tmp_path) as work, pytest.raises(LocationError, match=reason) as caught:
        OfflineFolder.open(place, QUERY_HISTORY_FOLDER, work, part_bytes=100, is_gzip=True)

    assert identity.secret_key not in str(caught.value)


@settings(deadline=None)  # disks are slow at times
@given(st.lists(st.binary(min_size=1, max_size=30), max_size=40), st.integers(1, 100))
def test_parts_are_cut_at_their_size(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], limit_bytes: int
) -> None:
    """Parts hold all lines in order; each but the last reaches the limit, by its last line."""
    path, rest, parts = tmp_path_factory.mktemp("cut") / "part", iter(lines), []
    while sum(rows for rows, _ in parts) < len(lines):
        entry = write_part(
            path, "result-0.json", rest, limit_bytes=limit_bytes, days_of=lambda _: {DAY}
        )
        parts.append((entry.rows, path.read_bytes()))

    assert b"".join(content for _, content in parts) == b"".join(line + b"\n" for line in lines)
    for rows, content in parts[:-1]:
        assert rows > 0
        assert len(content) >= limit_bytes


def test_the_same_lines_give_the_same_bytes(tmp_path: Path) -> None:
    """A compressed part holds neither its name nor the time of its making."""
    contents = []
    for name, stamp in (("a", 1_000_000_000), ("b", 2_000_000_000)):
        path = tmp_path / name
        write_part(path, "result-0.json.gz", iter(NEW), limit_bytes=10**6, days_of=lambda _: {DAY})
        os.utime(path, (stamp, stamp))
        contents.append(path.read_bytes())

    assert contents[0] == contents[1]
    assert gzip.decompress(contents[0]) == b"".join(line + b"\n" for line in NEW)


def test_days_of_lineage_are_those_of_its_visible_edges() -> None:
    """A day counts if an edge of the window was last seen on it in UTC, of tables or columns."""

    def seen(time: str, **more: object) -> dict[str, object]:
        return {
            "name": "s",
            "catalog_name": "main",
            "schema_name": "a",
            "lineage_timestamp": time,
            **more,
        }

    answers = {
        "table_name": "main.a.t",
        "table_lineage": {
            "upstreams": [
                {"tableInfo": seen("2026-01-05 12:00:00.0")},
                {"tableInfo": seen("2026-01-04 12:00:00.0")},
                {"tableInfo": seen("2026-01-07 12:00:00.0", has_permission=False)},
            ]
        },
        "columns": {
            "x": {"upstream_cols": [seen("2026-01-08T23:30:00-01:00", table_name="s", name="y")]}
        },
        "extracted_at": "2026-01-20T00:00:00Z",
    }
    window = Window(DAY, DAY + timedelta(days=30))

    assert lineage_days(window)(json.dumps(answers).encode()) == {DAY, date(2026, 1, 9)}


NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        (Wanted(), date(2026, 3, 29), date(2026, 3, 29)),
        (Wanted(until=date(2026, 3, 20)), date(2026, 3, 20), date(2026, 3, 20)),
        (Wanted(since=date(2026, 3, 20)), date(2026, 3, 20), date(2026, 3, 29)),
        (Wanted(since=date(2026, 3, 2)), date(2026, 3, 2), date(2026, 3, 29)),
        (Wanted(lineage=True, since=date(2026, 1, 1)), date(2026, 1, 1), date(2026, 3, 29)),
    ],
    ids=["neither", "until", "since", "oldest_history", "old_lineage"],
)
def test_days_default_to_the_newest_minable(wanted: Wanted, first: date, last: date) -> None:
    """Without --until the last day is the newest minable one; without --since it is one day."""
    plan = wanted.plan(load_settings(offline_uri="files"), "http://127.0.0.1:1", NOW)

    assert (plan.window.start, plan.window.last_day) == (first, last)
    assert plan.query_history is not wanted.lineage


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Wanted(until=date(2026, 3, 30)), "the newest day that may be mined is 2026-03-29"),
        (Wanted(since=date(2026, 3, 9), until=date(2026, 3, 8)), "after the last day"),
        (Wanted(since=date(2026, 3, 1)), "whole days from 2026-03-02 on.*--lineage alone"),
        (Wanted(out="gs://bucket"), "neither a folder nor s3"),
    ],
    ids=["too_new", "wrong_order", "beyond_the_horizon", "foreign_store"],
)
def test_days_that_cannot_be_extracted_are_refused(wanted: Wanted, reason: str) -> None:
    """What cannot be extracted is refused with what can."""
    with pytest.raises(SettingsError, match=reason):
        wanted.plan(load_settings(offline_uri="files"), "http://127.0.0.1:1", NOW)


def test_a_destination_is_needed() -> None:
    """Without a place to write to, the option and the setting are named."""
    with pytest.raises(SettingsError, match="--out or DBMINER_OFFLINE_URI"):
        Wanted().plan(load_settings(), "http://127.0.0.1:1", NOW)
