"""The offline extractor: bad lines, unknown fields, coverage, and one reading of each file."""

import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from dbminer_dagster.errors import BadLinesError, DayNotCoveredError, UnreadableFileError
from dbminer_dagster.resources.offline import TABLES_FOLDER
from dbminer_dagster.resources.offline.extractor import OfflineExtractor
from dbminer_dagster.resources.offline.files import LocalLocation
from dbminer_dagster.schemas import RAW_COLUMN_LINEAGE, RAW_QUERY_HISTORY
from dbminer_dagster.spool import open_spool
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.offline_files import (
    DAY,
    Row,
    api_row,
    history_of,
    lineage_of,
    lineage_row,
    ndjson,
    read_history,
    read_lineage,
    system_row,
    write_history,
    write_lineage,
    write_parts,
)

BAD_LINES = {
    "malformed": b'{"query_id" "x"}',
    "cut_off": ndjson(api_row()).strip()[:-9],
    "array": b"[1, 2]",
    "scalar": b"17",
    "text": b'"query_id"',
    "null": b"null",
    "missing_key": b'{"query_id": "x"}',
    "no_key": b"{}",
    "wrong_type": ndjson(api_row(query_text=["select 1"])).strip(),
    "invalid_utf_8": ndjson(api_row(query_text="%")).strip().replace(b"%", b"\xff"),
    "lone_surrogate": ndjson(api_row(query_text="%")).strip().replace(b"%", b"\\ud800"),
    "deep": b'{"deep": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "number_out_of_range": ndjson(api_row(rows_produced=10**40)).strip(),
    "very_long_number": b'{"query_id": ' + b"9" * 9000 + b"}",
    "not_a_number": b'{"query_id": "x", "query_start_time_ms": NaN}',
    "time_out_of_range": ndjson(api_row(query_start_time_ms=10**18)).strip(),
    "time_before_1970": ndjson(api_row(query_start_time_ms=-1)).strip(),
    "day_out_of_range": ndjson(system_row(start_time="9999-12-31T23:59:59-12:00")).strip(),
    "day_before_all": ndjson(system_row(end_time="0001-01-01T00:00:00+12:00")).strip(),
    "trailing_bytes": ndjson(api_row()).strip() + b" {}",
    "zero_byte": b"\x00",
}
EVERY_BAD_LINE = pytest.mark.parametrize("bad", BAD_LINES.values(), ids=BAD_LINES.keys())


@EVERY_BAD_LINE
def test_a_bad_line_fails_with_its_place(bad: bytes, tmp_path: Path) -> None:
    """A bad line fails the extraction with file, line and reason, and without its content."""
    write_history(tmp_path, ndjson(api_row("a")), ndjson(api_row("b")) + b"\n" + bad)

    with pytest.raises(BadLinesError, match=r"1 bad lines, 0 allowed") as caught:
        read_history(tmp_path)

    assert "extracted-query-history/result-1.json, line 3: " in str(caught.value)
    assert len(str(caught.value)) < 500


@EVERY_BAD_LINE
def test_within_the_limit_good_lines_survive(bad: bytes, tmp_path: Path) -> None:
    """As many bad lines as allowed are noted and counted, and all others are read."""
    good = [api_row(f"s-{number}") for number in range(3)]
    write_history(tmp_path, ndjson(good[0]) + bad + b"\n" + ndjson(*good[1:]))

    found = read_history(tmp_path, max_bad_lines=1)

    assert found.column("statement_id") == ["s-0", "s-1", "s-2"]
    assert found.extraction.counts["bad_lines"] == 1
    assert found.extraction.counts["objects_read"] == 4
    (note,) = found.extraction.notes["bad_lines"]
    assert note.startswith("extracted-query-history/result-0.json, line 2: ")
    assert len(note) > len("extracted-query-history/result-0.json, line 2: ")


def test_a_bad_row_of_a_page_is_named(tmp_path: Path) -> None:
    """A bad row inside of a page has the line of the page and its own number."""
    write_history(tmp_path, ndjson({"res": [api_row(), {"query_id": 5}], "has_next_page": False}))

    with pytest.raises(BadLinesError, match=r"line 1, row 2: .*\$\.query_id"):
        read_history(tmp_path)
    assert read_history(tmp_path, max_bad_lines=1).extraction.row_count == 1


def test_a_bad_line_commits_nothing(tmp_path: Path) -> None:
    """A failed extraction leaves the last good version of the day."""
    storage = DeltaStorage(str(tmp_path / "tables"))
    window = Window.of_day(DAY)

    def mine() -> None:
        with open_spool() as spool:
            found = OfflineExtractor(uri=str(tmp_path)).query_history(window, spool)
            rows = DayFrame(found.frame, found.absent_days(window), found.row_count)
            storage.replace_days(RAW_QUERY_HISTORY, window, rows)

    write_history(tmp_path, ndjson(api_row("good")))
    mine()
    write_history(tmp_path, ndjson(api_row("new"), {"bad": 1}))

    with pytest.raises(BadLinesError):
        mine()
    assert storage.scan(RAW_QUERY_HISTORY, window).collect()["statement_id"].to_list() == ["good"]


def test_a_damaged_part_fails_whatever_is_allowed(tmp_path: Path) -> None:
    """A part that breaks off is no bad line: it fails although bad lines are allowed."""
    write_history(tmp_path, ndjson(*(api_row(f"s-{n}") for n in range(500))), compress=True)
    part = tmp_path / "extracted-query-history" / "result-0.json.gz"
    part.write_bytes(part.read_bytes()[:-20])

    with pytest.raises(UnreadableFileError, match=r"result-0.json.gz breaks off after line"):
        read_history(tmp_path, max_bad_lines=1000)


@pytest.mark.parametrize(
    "content",
    [
        ndjson(api_row("a"), api_row("b", colour="red")),
        json.dumps([api_row("a", colour="red"), api_row("b")], indent=1).encode(),
        ndjson({"res": [api_row("a", colour="red"), api_row("b")]}),
    ],
    ids=["lines", "array", "page"],
)
def test_an_unknown_field_is_noted(content: bytes, tmp_path: Path) -> None:
    """A field that we do not know is ignored, and named in the notes."""
    write_history(tmp_path, content)

    found = read_history(tmp_path)

    assert found.rows.height == 2
    assert found.extraction.notes == {"unknown_fields": ["colour"]}


def test_empty_files_cover_nothing(tmp_path: Path) -> None:
    """An empty file beside others is fine; where all are empty, no day is covered."""
    write_history(tmp_path, b"", ndjson(api_row()), b"\n")
    assert read_history(tmp_path).rows.height == 1

    write_history(tmp_path, b"", b"[]", b"\n")
    with pytest.raises(DayNotCoveredError, match="the source holds no row at all"):
        read_history(tmp_path)


def test_rows_of_other_days_are_counted(tmp_path: Path) -> None:
    """Rows of days that were not asked for are counted and widen what is covered."""
    write_history(
        tmp_path, ndjson(api_row(), system_row("later", start_time="2026-01-09 00:00:00"))
    )

    found = read_history(tmp_path)

    assert found.extraction.counts["rows_of_other_days"] == 1
    assert found.extraction.covered == (DAY, date(2026, 1, 9))


def test_every_part_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many days a run has, each part is opened exactly once."""
    days = [f"2026-01-{day:02}T12:00:00Z" for day in range(1, 31)]
    write_history(tmp_path, *(ndjson(system_row(day, start_time=day)) for day in days))
    write_lineage(tmp_path, *(ndjson(lineage_row(event_time=day)) for day in days))
    opened: Counter[str] = Counter()
    original = LocalLocation.open

    def counted(self: LocalLocation, folder: str, part: str):  # noqa: ANN202
        opened[f"{folder}/{part}"] += 1
        return original(self, folder, part)

    monkeypatch.setattr(LocalLocation, "open", counted)
    extractor, window = OfflineExtractor(uri=str(tmp_path)), Window.trailing(date(2026, 1, 30), 30)

    assert history_of(extractor, window).rows["day"].n_unique() == 30
    assert lineage_of(extractor, window)["raw_table_lineage"].rows["day"].n_unique() == 30
    assert len(opened) == 60
    assert set(opened.values()) == {1}


def test_batches_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that arrive in many batches are the same rows, repeated statements merged across."""
    versions = [
        system_row(f"s-{n % 40}", update_time=f"2026-01-05T12:00:{n // 10:02}Z") for n in range(100)
    ]
    write_history(tmp_path, ndjson(*versions))
    write_lineage(tmp_path, ndjson(*(lineage_row(record_id=f"r-{n % 40}") for n in range(100))))
    whole, edges = read_history(tmp_path), read_lineage(tmp_path)
    monkeypatch.setattr("dbminer_dagster.resources.offline.reading.BATCH_ROWS", 7)

    pieces = read_history(tmp_path)

    assert whole.rows.height == 40
    assert whole.rows.equals(pieces.rows)
    assert whole.extraction.counts == pieces.extraction.counts
    for name, found in read_lineage(tmp_path).items():
        assert found.rows.equals(edges[name].rows)


def test_only_wanted_lineage_is_given(tmp_path: Path) -> None:
    """Lineage gives the tables that were asked for, and no other."""
    write_lineage(tmp_path, ndjson(lineage_row()))
    extractor = OfflineExtractor(uri=str(tmp_path))

    found = lineage_of(extractor, Window.of_day(DAY), [RAW_COLUMN_LINEAGE])

    assert list(found) == ["raw_column_lineage"]
    assert found["raw_column_lineage"].rows.is_empty()


def test_hostile_values_stay_values(tmp_path: Path) -> None:
    """Paths, line breaks and very long texts in ids and names are kept as they are."""
    values = ["../../etc/passwd", "a\nb", "x" * 100_000, "%00", "'; drop table t; --"]
    write_history(tmp_path, ndjson(*(api_row(value, user_name=value) for value in values)))

    found = read_history(tmp_path)

    assert sorted(found.column("user_name")) == sorted(values)
    assert found.column("statement_id") == found.column("user_name")


def listed(name: str, extracted_at: str, **more: object) -> Row:
    """An entry of the list of tables, as `dbminer extract` writes it."""
    parts = {"catalog_name": "Main", "schema_name": "a.b", "name": name}
    return {**parts, "extracted_at": extracted_at, "comment": "of no use", **more}


def test_the_newest_list_of_tables_counts(tmp_path: Path) -> None:
    """A table of an older extraction is gone; one that stands on two pages is there once."""
    first, second = "2026-01-05T12:00:00Z", "2026-01-06T12:00:00Z"
    table = listed(
        "t",
        second,
        table_type="VIEW",
        storage_location="s3://lake/t",
        updated_at=1_767_614_400_000,
        columns=[{"name": "X", "type_text": "int"}, {"name": "y"}],
    )
    parts = [ndjson(listed("t", first), listed("gone", first)), ndjson(table, table)]
    write_parts(tmp_path, TABLES_FOLDER, *parts)

    with open_spool() as spool:
        extractor = OfflineExtractor(uri=str(tmp_path))
        inventory = extractor.inventory(datetime(2026, 1, 9, tzinfo=UTC), spool)
        rows = inventory.frame.collect().to_dicts()
    assert inventory.is_readable
    assert inventory.row_count == 1
    assert rows == [
        {
            "table_name": "main.`a.b`.t",
            "table_type": "VIEW",
            "storage_path": "s3://lake/t",
            "columns": ["x", "y"],
            "last_altered": datetime(2026, 1, 5, 12, tzinfo=UTC),
            "read_at": datetime(2026, 1, 6, 12, tzinfo=UTC),
            "extraction_method": "offline",
        }
    ]


def test_a_bad_line_in_the_list_of_tables_is_an_error(tmp_path: Path) -> None:
    """A name must not look unique because the line of its namesake could not be read."""
    write_parts(tmp_path, TABLES_FOLDER, ndjson({"name": "t"}))

    with open_spool() as spool, pytest.raises(BadLinesError, match=r"result-0\.json, line 1"):
        OfflineExtractor(uri=str(tmp_path)).inventory(datetime(2026, 1, 9, tzinfo=UTC), spool)


def test_spool_is_gone_in_the_end() -> None:
    """A spool keeps frames apart by name, and leaves nothing behind."""
    with open_spool() as spool:
        spool.write("a", pl.DataFrame({"x": [1]}))
        spool.write("a", pl.DataFrame({"x": [2]}))
        schema = pl.Schema({"x": pl.Int64})

        assert spool.scan("a", schema).collect()["x"].to_list() == [1, 2]
        assert spool.scan("b", schema).collect().is_empty()
    assert not spool.folder.exists()
