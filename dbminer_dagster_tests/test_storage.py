"""Result tables: whole days are replaced, in one commit, and nothing gets lost."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from dbminer_dagster.errors import (
    DbminerError,
    LocationError,
    RowCountError,
    SchemaMismatchError,
    StorageError,
)
from dbminer_dagster.schemas import DAY, Column, Table
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.s3_server import S3Server

TABLE = Table(
    name="visits",
    description="A table for tests.",
    columns=(Column("who", pl.String(), "Who."), Column("n", pl.Int64(), "How often."), DAY),
    key=("who",),
)
FIRST = date(2026, 1, 1)
WEEK = Window(FIRST, FIRST + timedelta(days=7))


def day(number: int) -> date:
    return date(2026, 1, number)


def visits(*found: tuple[str | None, int | None, date | None]) -> pl.LazyFrame:
    return pl.LazyFrame(found, schema=TABLE.schema, orient="row")


def rows(*found: tuple[str | None, int | None, date | None]) -> DayFrame:
    return DayFrame(visits(*found), row_count=len(found))


def stored(storage: DeltaStorage, window: Window = WEEK) -> list[tuple]:
    return sorted(storage.scan(TABLE, window).collect().rows())


@pytest.fixture
def local(tmp_path: Path) -> DeltaStorage:
    """Tables in a folder that does not exist yet, under a name that a URL would spell otherwise."""
    return DeltaStorage(str(tmp_path / "tables of ünits #1"))


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, local: DeltaStorage) -> Iterator[DeltaStorage]:
    """Tables in a folder, and in S3."""
    if request.param == "folder":
        yield local
        return
    server: S3Server = request.getfixturevalue("s3_server")
    yield DeltaStorage(request.getfixturevalue("s3_prefix"), server.region, server.endpoint_url)


def test_exactly_the_days_of_the_run_are_replaced(storage: DeltaStorage) -> None:
    """A commit replaces the days of its window, empty ones too, and no other."""
    storage.check_writable()
    storage.replace_days(
        TABLE, WEEK, rows(("a", 1, day(1)), ("b", 2, day(2)), ("c", 3, day(3)), ("d", 4, day(4)))
    )
    commit = storage.replace_days(TABLE, Window(day(2), day(4)), rows(("new", 9, day(3))))

    assert stored(storage) == [("a", 1, day(1)), ("d", 4, day(4)), ("new", 9, day(3))]
    assert commit.rows_by_day == {day(2): 0, day(3): 1}
    assert commit.uri == storage.table_uri("visits")
    assert storage.row_counts(TABLE, WEEK) == {day(1): 1, day(3): 1, day(4): 1}


def test_maintenance_keeps_rows_and_notes(storage: DeltaStorage) -> None:
    """Compaction leaves fewer files, the same rows, and the notes of mined days."""
    for attempt in range(3):
        for number in (1, 2):
            storage.replace_days(
                TABLE, Window.of_day(day(number)), rows(("a", attempt, day(number)))
            )
    storage.replace_days(TABLE, Window.of_day(day(3)), rows())
    for number in range(4):
        storage.append("cache", pl.DataFrame({"n": [number]}))
    before, mined = stored(storage), storage.mined_at(TABLE, day(1))

    assert storage.maintain("visits") is not None
    cache = storage.maintain("cache")

    assert cache is not None
    assert (cache["files_added"], cache["files_removed"]) == (1, 4)
    assert stored(storage) == before
    assert storage.days_present(TABLE, WEEK) == {day(1), day(2), day(3)}
    assert storage.mined_at(TABLE, day(1)) == mined
    cached = storage.scan_whole("cache", pl.Schema({"n": pl.Int64})).collect()
    assert sorted(cached["n"]) == [0, 1, 2, 3]
    assert storage.replace_days(TABLE, Window.of_day(day(2)), rows()).rows_by_day == {day(2): 0}


def test_a_table_that_is_not_there_is_empty(storage: DeltaStorage) -> None:
    """A table without a first run has no rows, no days, and nothing to maintain."""
    assert storage.scan(TABLE, WEEK).collect_schema() == TABLE.schema
    assert stored(storage) == []
    assert storage.scan_whole("visits", TABLE.schema).collect().is_empty()
    assert storage.days_present(TABLE, WEEK) == frozenset()
    assert storage.mined_at(TABLE, FIRST) is None
    assert storage.row_counts(TABLE, WEEK) == {}
    assert storage.newest_day(TABLE) is None
    assert storage.maintain("visits") is None


def test_a_repeated_run_changes_nothing(local: DeltaStorage) -> None:
    """The same run twice leaves the same rows."""
    for _ in range(2):
        local.replace_days(TABLE, WEEK, rows(("a", 1, day(1)), (None, None, day(2))))

    assert local.scan(TABLE, WEEK).collect().sort("day").rows() == [
        ("a", 1, day(1)),
        (None, None, day(2)),
    ]


def test_an_empty_day_is_mined_and_an_absent_one_is_not(local: DeltaStorage) -> None:
    """A day without rows counts as mined; a day that the source does not cover does not."""
    before = datetime.now(UTC).replace(microsecond=0)
    given = rows(("a", 1, day(1)))

    window = Window(day(1), day(4))
    local.replace_days(TABLE, window, DayFrame(given.frame, frozenset({day(3)}), 1))

    assert local.days_present(TABLE, WEEK) == {day(1), day(2)}
    assert local.mined_at(TABLE, day(3)) is None
    mined = local.mined_at(TABLE, day(2))
    assert mined is not None
    assert before <= mined <= datetime.now(UTC)


def test_a_day_that_becomes_absent_stays(local: DeltaStorage) -> None:
    """A day that a later run does not cover any more keeps its rows and its note."""
    local.replace_days(TABLE, Window.of_day(day(1)), rows(("a", 1, day(1))))
    again = DayFrame(visits(("b", 2, day(2))), frozenset({day(1)}), 1)

    commit = local.replace_days(TABLE, Window(day(1), day(3)), again)

    assert commit.rows_by_day == {day(2): 1}
    assert stored(local) == [("a", 1, day(1)), ("b", 2, day(2))]
    assert local.days_present(TABLE, WEEK) == {day(1), day(2)}


def test_only_absent_days_change_nothing(local: DeltaStorage) -> None:
    """A run of which no day is covered commits nothing."""
    first = local.replace_days(TABLE, Window.of_day(day(1)), rows(("a", 1, day(1))))
    nothing = DayFrame(visits(), frozenset({day(1)}), 0)

    assert local.replace_days(TABLE, Window.of_day(day(1)), nothing).version == first.version
    assert stored(local) == [("a", 1, day(1))]


def test_an_absent_day_may_have_rows(local: DeltaStorage) -> None:
    """Rows of an absent day, such as scores of the days before it, are stored and not noted."""
    given = DayFrame(visits(("a", 1, day(1))), frozenset({day(1)}), 1)

    local.replace_days(TABLE, Window.of_day(day(1)), given)

    assert stored(local) == [("a", 1, day(1))]
    assert local.days_present(TABLE, WEEK) == frozenset()


def test_a_frame_of_other_columns_is_refused(local: DeltaStorage) -> None:
    """A wrong column or type is named with both types, and nothing is created."""
    frame = visits().with_columns(pl.col("n").cast(pl.String)).drop("who")

    with pytest.raises(SchemaMismatchError, match=r"'who' is missing; .*String, wanted Int64"):
        local.replace_days(TABLE, WEEK, DayFrame(frame))
    assert not Path(local.uri).exists()


@pytest.mark.parametrize(
    ("outside", "named"),
    [(day(2), "2026-01-02"), (date(2025, 12, 31), "2025-12-31"), (None, "None")],
)
def test_rows_of_other_days_are_never_written(
    outside: date | None, named: str, local: DeltaStorage
) -> None:
    """A frame with a row outside of the window is refused by day, without showing the row."""
    window = Window.of_day(day(1))
    local.replace_days(TABLE, window, rows(("old", 1, day(1))))

    with pytest.raises(
        RowCountError, match=rf"a run for 2026-01-01 .* of the day {named}"
    ) as caught:
        local.replace_days(TABLE, window, rows(("new", 1, day(1)), ("private", 2, outside)))

    assert "private" not in str(caught.value)
    assert local.scan_whole("visits", TABLE.schema).collect().rows() == [("old", 1, day(1))]


def test_lost_rows_are_an_error(local: DeltaStorage) -> None:
    """Fewer rows stored than were read is an error that tells both numbers."""
    given = DayFrame(visits(("a", 1, day(1))), row_count=2)

    with pytest.raises(RowCountError, match=r"2 rows were read for 2026-01-01 and 1 arrived"):
        local.replace_days(TABLE, Window.of_day(day(1)), given)


def test_a_failing_frame_leaves_the_last_good_version(local: DeltaStorage) -> None:
    """A frame that fails half way changes neither rows nor notes."""
    local.replace_days(TABLE, WEEK, rows(("a", 1, day(1))))
    failing = visits(("b", 1, day(1))).with_columns(
        pl.col("who").cast(pl.Int64, strict=True).cast(pl.String)
    )
    with pytest.raises(StorageError, match=r"Nothing was changed"):
        local.replace_days(TABLE, WEEK, DayFrame(failing))

    assert stored(local) == [("a", 1, day(1))]


def test_several_frames_arrive_in_one_commit(storage: DeltaStorage) -> None:
    """Frames of a run are written by themselves, and replace its days together."""
    storage.replace_days(TABLE, WEEK, rows(("old", 0, day(3))))
    frames = [visits((f"w{n}", n, day(1 + n % 2))) for n in range(5)]

    commit = storage.replace_days(TABLE, WEEK, DayFrame([*frames, visits()], row_count=5))

    assert stored(storage) == [(f"w{n}", n, day(1 + n % 2)) for n in range(5)]
    assert {day: count for day, count in commit.rows_by_day.items() if count} == {
        day(1): 3,
        day(2): 2,
    }
    assert storage.replace_days(TABLE, WEEK, DayFrame([])).rows_by_day == dict.fromkeys(WEEK, 0)
    assert stored(storage) == []


@pytest.mark.parametrize("fault", ["fails", "lost"])
def test_one_bad_frame_of_several_changes_nothing(local: DeltaStorage, fault: str) -> None:
    """If one frame fails or lacks rows, none of the others is in the table."""
    local.replace_days(TABLE, WEEK, rows(("old", 1, day(1))))
    bad = visits(("bad", 1, day(1)))
    frames = {
        "fails": [bad, bad.with_columns(pl.col("who").cast(pl.Int64).cast(pl.String)), bad],
        "lost": [bad, bad],
    }

    with pytest.raises(DbminerError):
        local.replace_days(TABLE, WEEK, DayFrame(frames[fault], row_count=3))

    assert stored(local) == [("old", 1, day(1))]


def test_slices_hold_the_rows_of_the_days(storage: DeltaStorage) -> None:
    """Slices have at most so many rows each, and together the rows that a scan has."""
    given = [(f"w{n}", n, day(1 + n % 3)) for n in range(20)]
    storage.replace_days(TABLE, WEEK, rows(*given))
    days = Window(day(1), day(3))

    slices = [frame.collect() for frame in storage.slices(TABLE, days, 3)]

    assert {frame.height for frame in slices} == {1, 3}
    assert all(frame.schema == TABLE.schema for frame in slices)
    assert sorted(pl.concat(slices).rows()) == stored(storage, days)
    assert storage.slices(TABLE, Window(day(6), day(7)), 3) == []


def test_parallel_runs_of_different_days_lose_nothing(local: DeltaStorage) -> None:
    """Runs of different days at the same moment, even of a new table, all arrive."""

    def run(number: int) -> int:
        given = rows((f"w{number}", number, day(number)))
        commit = local.replace_days(TABLE, Window.of_day(day(number)), given)
        return commit.rows_by_day[day(number)]

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(run, range(1, 7))) == [1] * 6

    assert stored(local) == [(f"w{number}", number, day(number)) for number in range(1, 7)]
    assert local.days_present(TABLE, WEEK) == {day(number) for number in range(1, 7)}


def test_parallel_runs_of_one_day_leave_one_of_them(local: DeltaStorage) -> None:
    """Runs of the same day at the same moment leave the rows of one, never a mixture."""
    local.replace_days(TABLE, WEEK, rows())

    def run(number: int) -> None:
        given = [(f"w{number}", n, day(1)) for n in range(5)]
        local.replace_days(TABLE, Window.of_day(day(1)), rows(*given))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))

    left = stored(local)
    assert len(left) == 5
    assert len({who for who, _, _ in left}) == 1


def test_scan_opens_only_the_files_of_its_days(local: DeltaStorage) -> None:
    """The plan of a scan names only files of the days that were asked for."""
    local.replace_days(TABLE, WEEK, rows(*((f"w{n}", n, day(n)) for n in range(1, 8))))

    plan = local.scan(TABLE, Window(day(2), day(4))).explain()

    assert [number for number in range(1, 8) if f"day=2026-01-0{number}" in plan] in ([2, 3], [2])
    assert stored(local, Window(day(2), day(4))) == [("w2", 2, day(2)), ("w3", 3, day(3))]


def test_newest_day_is_the_last_mined_one(local: DeltaStorage) -> None:
    """Empty days that were mined after the last one with rows count; a gap ends them."""
    local.replace_days(TABLE, Window(day(1), day(6)), rows(("a", 1, day(2)), ("b", 1, day(3))))
    local.replace_days(TABLE, Window.of_day(day(7)), rows())

    assert local.newest_day(TABLE) == day(5)


def test_a_compaction_at_the_same_moment_brings_nothing_back(
    local: DeltaStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that are merged between the opening of a table and the commit are replaced as well."""
    uri = local.table_uri(TABLE.name)
    local.replace_days(TABLE, WEEK, rows(("a", 1, day(1))))
    pl.DataFrame([("b", 2, day(1))], schema=TABLE.schema, orient="row").write_delta(
        uri, mode="append"
    )
    opened, merged = DeltaStorage._require, list[int]()  # noqa: SLF001

    def open_then_compact(storage: DeltaStorage, name: str) -> DeltaTable:
        delta = opened(storage, name)
        if not merged:
            merged.append(DeltaTable(uri).optimize.compact()["numFilesRemoved"])
        return delta

    monkeypatch.setattr(DeltaStorage, "_require", open_then_compact)
    local.replace_days(TABLE, Window.of_day(day(1)), rows(("new", 3, day(1))))

    assert merged == [2]
    assert stored(local) == [("new", 3, day(1))]


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_folder_that_cannot_be_made_has_its_message(below: str, tmp_path: Path) -> None:
    """Where a file stands in the way, the message names the setting and what to do."""
    (tmp_path / "file").touch()
    storage = DeltaStorage(f"{tmp_path}/file{below}")

    with pytest.raises(StorageError, match=r"DBMINER_STORAGE_URI=.*/file.* cannot be written"):
        storage.check_writable()
    with pytest.raises(StorageError, match=r"'visits' at .* could not be"):
        storage.replace_days(TABLE, WEEK, rows())


def test_a_probe_leaves_nothing(local: DeltaStorage) -> None:
    """The probe for writing makes the folder and leaves it empty."""
    local.check_writable()

    assert list(Path(local.uri).iterdir()) == []


def test_read_only_keys_have_their_message(
    s3_server: S3Server, s3_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that may only read do read, and are refused by name of the missing right."""
    storage = DeltaStorage(s3_prefix, s3_server.region, s3_server.endpoint_url)
    storage.replace_days(TABLE, WEEK, rows(("a", 1, day(1))))
    for name, value in s3_server.reader.environment.items():
        monkeypatch.setenv(name, value)

    assert stored(storage) == [("a", 1, day(1))]
    for write in (
        storage.check_writable,
        lambda: storage.replace_days(TABLE, WEEK, rows()),
        lambda: storage.append("visits", visits(("b", 1, day(1))).collect()),
        lambda: storage.maintain("visits"),
    ):
        with pytest.raises(DbminerError, match=r"access was denied.*Allow s3:PutObject") as caught:
            write()
        assert isinstance(caught.value, LocationError)
        assert s3_server.reader.secret_key not in str(caught.value)
    assert s3_server.reader.secret_key not in f"{storage!r} {storage.options()!r}"


def test_a_table_of_an_older_release_gets_the_new_columns(local: DeltaStorage) -> None:
    """Columns that were added since are added to the stored table; old days have nulls there."""
    older = Table(TABLE.name, TABLE.description, (TABLE.columns[0], TABLE.columns[-1]), TABLE.key)
    kept = [name for name in TABLE.schema.names() if name in older.schema]
    local.replace_days(
        older, Window.of_day(day(1)), DayFrame(visits(("old", 1, day(1))).select(kept))
    )

    local.replace_days(TABLE, Window.of_day(day(2)), rows(("new", 2, day(2))))

    found = local.scan(TABLE, WEEK).collect()
    assert found.schema == TABLE.schema
    slices = pl.concat(local.slices(TABLE, WEEK, 1)).collect()
    assert slices.sort("day").equals(found.sort("day"))
    assert dict(found.select("day", TABLE.columns[1].name).iter_rows()) == {day(1): None, day(2): 2}


def test_a_table_of_other_columns_is_left_alone(local: DeltaStorage) -> None:
    """A Delta table that is not ours is named with the column that differs, and not written."""
    foreign = pl.DataFrame({"day": ["x"]})
    foreign.write_delta(local.table_uri(TABLE.name))

    with pytest.raises(SchemaMismatchError, match="'day' has type"):
        local.replace_days(TABLE, Window.of_day(day(1)), rows(("new", 1, day(1))))
    with pytest.raises(SchemaMismatchError, match="not partitioned by day"):
        local.row_counts(TABLE, Window.of_day(day(1)))

    assert local.scan_whole(TABLE.name, foreign.schema).collect().equals(foreign)


def test_a_commit_knows_its_version(local: DeltaStorage) -> None:
    """The version that a commit reports is the one that holds its rows."""
    for number in (1, 2):
        commit = local.replace_days(TABLE, WEEK, rows(("a", number, day(1))))
        delta = DeltaTable(commit.uri)
        assert commit.version == delta.version()
        assert commit.rows_by_day[day(1)] == 1
