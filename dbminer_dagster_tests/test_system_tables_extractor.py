"""The system-table extractor against a workspace on loopback."""

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sample_generator import generate

from dbminer_dagster.errors import (
    CutOffError,
    DayNotCoveredError,
    MissingColumnsError,
    SettingsError,
    StatementError,
)
from dbminer_dagster.resources.offline.extractor import OfflineExtractor
from dbminer_dagster.resources.system_tables import SystemTableExtractor, reading
from dbminer_dagster.resources.system_tables.reading import CHUNK_ROWS
from dbminer_dagster.resources.system_tables.source import Source
from dbminer_dagster.schemas import RAW_COLUMN_LINEAGE, RAW_QUERY_HISTORY, RAW_TABLE_LINEAGE
from dbminer_dagster.spool import Spool, open_spool
from dbminer_dagster.windows import Window, split_by_rows
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.faults import Fault, Faults
from dbminer_dagster_tests.offline_files import (
    DAY,
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
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline, assert_same_tables
from dbminer_dagster_tests.warehouse import (
    COLUMN_LINEAGE,
    HISTORY,
    TABLE_LINEAGE,
    extractor,
    load,
    sign_in,
)

TODAY = Window.of_day(DAY)
WEEK = Window(DAY, date(2026, 1, 12))
TIMES = [f"2026-01-{day:02}T12:00:00Z" for day in range(5, 12)]


@pytest.fixture
def emulator(databricks_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """A workspace that the miner signs in to."""
    sign_in(databricks_emulator, monkeypatch)
    return databricks_emulator


def texts(emulator: Emulator) -> list[str]:
    return [statement.text for statement in emulator.statements]


def assert_same_rows(expected: Read, found: Read) -> None:
    assert expected.rows.height > 0
    assert_frame_equal(
        expected.rows.drop("extraction_method"), found.rows.drop("extraction_method")
    )
    assert found.extraction.counts["rows_read"] == found.extraction.counts["source_rows"]
    assert found.extraction.counts["rows_merged"] == expected.extraction.counts["rows_merged"]


def mixed_lineage(dice: random.Random) -> Row:
    """A row like many others but for a few fields, so that combinations and events recur."""

    def end(side: str) -> Row:
        spelled = dice.choice(
            [
                {"full_name": "main.a.s", "catalog": "main", "schema": "a", "name": "s"},
                {"full_name": "m.a.b", "catalog": "m", "schema": "a.b", "name": "ü ẞ"},
                {"full_name": "x.y", "catalog": "x`y", "schema": "s", "name": "``"},
                {"full_name": "`my-cat`.s.`a.b`", "catalog": None},
                {"full_name": "my-cat.s.`a.b`", "schema": None},
                {"full_name": "`a``b`.`c`.d"},
                {"full_name": "a`b.`c"},
                {"full_name": ""},
                {},
            ]
        )
        names = {f"{side}_table_{part}": value for part, value in spelled.items()}
        path, kind = dice.choice([None, "s3://x"]), dice.choice([None, "TABLE", "VIEW"])
        return {**names, f"{side}_path": path, f"{side}_type": kind}

    job = {"job_id": "12"}
    return {
        **end("source"),
        **end("target"),
        "workspace_id": "17",
        "event_time": dice.choice(["2026-01-05T12:00:00Z", "2026-01-05T12:00:00.000001Z"]),
        "entity_type": dice.choice([None, None, "JOB"]),
        "entity_id": dice.choice([None, "1"]),
        "entity_metadata": dice.choice(
            [None, {"job_info": None}, {"notebook_id": "11", "job_info": job}, {"job_info": job}]
        ),
        "record_id": dice.choice([None, None, "r-1"]),
        "statement_id": dice.choice([None, None, "s-1"]),
        "created_by": dice.choice([None, None, "ana@x.com"]),
        "direct_access": dice.choice([None, True, False]),
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_lineage_is_as_from_files(seed: int, emulator: Emulator, tmp_path: Path) -> None:
    """Names, entities, tellings from both ends and repetitions come out as from offline files."""
    dice = random.Random(seed)
    rows = [mixed_lineage(dice) for _ in range(3000)]
    rows += [
        {**mixed_lineage(dice), "source_column_name": "x", "target_column_name": dice.choice("yz")}
        for _ in range(1000)
    ]
    rows += dice.sample(rows, 500)
    write_lineage(tmp_path, ndjson(*rows))

    expected = lineage_of(OfflineExtractor(uri=str(tmp_path)), TODAY)
    found = lineage_of(load(emulator, lineage=rows), TODAY)

    for name, read in found.items():
        assert_same_rows(expected[name], read)
        assert read.extraction.counts["rows_merged"] > 0


def test_query_history_is_as_from_files(emulator: Emulator, tmp_path: Path) -> None:
    """Texts, tags, structs and versions of statements come out as from offline files."""
    dice = random.Random(3)
    rows = [
        system_row(
            f"s-{dice.randrange(700)}",
            workspace_id=dice.choice(["17", "18"]),
            statement_text=dice.choice(["select 1", " <Redacted>\n", " \t", "", None]),
            query_tags=dice.choice([None, {}, {"b": "2", "a": 'ü"\\'}, {"x": None}]),
            update_time=dice.choice([None, "2026-01-05T13:00:00Z", "2026-01-05T14:00:00.5Z"]),
            end_time=dice.choice([None, "2026-01-05T13:00:00Z"]),
            compute=dice.choice([None, {"type": "WAREHOUSE", "warehouse_id": "w"}]),
            query_source=dice.choice([None, {"job_info": {"job_id": "1"}, "notebook_id": "2"}]),
            read_rows=dice.choice([None, 2**63 - 1, 0]),
            from_result_cache=dice.choice([None, True]),
        )
        for _ in range(2000)
    ]
    write_history(tmp_path, ndjson(*rows))

    expected = history_of(OfflineExtractor(uri=str(tmp_path)), TODAY)
    found = history_of(load(emulator, rows), TODAY)

    assert_same_rows(expected, found)
    assert found.extraction.counts["rows_merged"] > 0


def test_the_pipeline_gives_the_same_tables(emulator: Emulator, tmp_path: Path) -> None:
    """A workspace mined from files and from system tables gives identical result tables."""
    folder = tmp_path / "files"
    generate(
        folder, first_day=FIRST_DAY, days=3, statements_per_day=400, seed=3, system_rows_only=True
    )
    emulator.load_files(folder)
    window = Window(FIRST_DAY, date(2026, 1, 8))

    offline = Pipeline(str(folder), str(tmp_path / "offline")).mined(window)
    system = Pipeline(str(folder), str(tmp_path / "system"), lineage_method="system_table")

    assert_same_tables(offline, system.mined(window), "extraction_method")


def test_microseconds_before_midnight_count(emulator: Emulator) -> None:
    """The last microsecond of a day is in, the next midnight is out."""
    times = {
        "before": "2026-01-04T23:59:59.999999Z",
        "first": "2026-01-05T00:00:00Z",
        "last": "2026-01-05T23:59:59.999999Z",
        "after": "2026-01-06T00:00:00Z",
    }
    method = load(
        emulator,
        [system_row(name, start_time=time) for name, time in times.items()],
        [lineage_row(statement_id=name, event_time=time) for name, time in times.items()],
    )
    inside = ["first", "last"]

    assert history_of(method, TODAY).column("statement_id") == inside
    assert lineage_of(method, TODAY)["raw_table_lineage"].column("statement_id") == inside


def test_the_date_of_an_event_may_be_a_timestamp(emulator: Emulator) -> None:
    """A clone that gives `event_date` as a TIMESTAMP is read as the system table is."""
    load(emulator, lineage=[lineage_row(record_id=f"r-{n}") for n in range(3)])
    emulator.create_view(
        "gov.clones.table_lineage",
        "SELECT * EXCEPT (event_date), date_trunc('DAY', event_time) AS event_date "
        f"FROM {TABLE_LINEAGE}",
    )
    method = extractor(lineage_catalog="gov", lineage_schema="clones")

    found = lineage_of(method, TODAY, [RAW_TABLE_LINEAGE])["raw_table_lineage"]

    assert found.column("day") == [DAY]
    assert found.extraction.counts["rows_read"] == 3


def test_the_time_of_an_event_decides_its_day(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event whose `event_date` is a neighbour of its day is on its day, however it is mined."""
    monkeypatch.setattr(reading, "CHUNK_ROWS", 2)
    dated = {
        "2026-01-05T23:59:59Z": "2026-01-06",
        "2026-01-06T00:00:00Z": "2026-01-05",
        "2026-01-06T10:00:00Z": "2026-01-06",
        "2026-01-06T23:00:00Z": "2026-01-07",
    }
    rows = [
        lineage_row(statement_id=time, event_time=time, event_date=day)
        for time, day in dated.items()
    ]
    method = load(emulator, lineage=rows)
    expected = {(time, date.fromisoformat(time[:10])) for time in dated}

    def mined(window: Window) -> set[tuple]:
        found = lineage_of(method, window, [RAW_TABLE_LINEAGE])["raw_table_lineage"]
        return set(found.rows.select("statement_id", "day").iter_rows())

    days = Window(DAY, date(2026, 1, 7))
    assert mined(days) == expected
    assert set.union(*(mined(Window.of_day(day)) for day in days)) == expected


def test_rows_of_days_that_were_not_asked_for_fail(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count of anything but a day of the window is an error, for its rows would not be read."""
    monkeypatch.setattr(Source, "_day", "date_trunc('DAY', t.start_time)")

    with pytest.raises(CutOffError, match=r"2026-01-05 was asked for.*2026-01-05 00:00:00.*Let `s"):
        history_of(load(emulator, [system_row()]), TODAY)


def test_fewer_rows_than_counted_fail(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that brings fewer rows in all than were counted is an error, whatever was left out."""
    monkeypatch.setattr(reading, "split_by_rows", lambda *_: [])

    with pytest.raises(CutOffError, match=r"0 rows were read of 2026-01-05.*counted 1\."):
        history_of(load(emulator, [system_row()]), TODAY)


def test_a_statement_without_id_is_one(emulator: Emulator) -> None:
    """Statements whose id is missing are all kept, for nothing tells that they are the same."""
    rows = [system_row() | {"statement_id": None, "read_rows": n} for n in range(3)]

    found = history_of(load(emulator, [*rows, system_row(), system_row()]), TODAY)

    assert found.rows["statement_id"].null_count() == 3
    assert found.rows.height == 4


def test_the_latest_version_of_all_days_counts(emulator: Emulator) -> None:
    """A statement whose versions start on two days comes out once, as it was updated last."""
    rows = [
        system_row(start_time=time, update_time=update)
        for time, update in zip(
            TIMES[:2], ("2026-01-08T12:00:00Z", "2026-01-07T12:00:00Z"), strict=True
        )
    ]

    assert history_of(load(emulator, rows), WEEK).column("day") == [DAY]


def test_lineage_may_be_cloned_alone(emulator: Emulator) -> None:
    """With a cloned catalog for lineage, its views are read, and the system's query history."""
    load(emulator, [system_row()], [lineage_row(), column_row()])
    for name in ("table_lineage", "column_lineage"):
        emulator.create_view(f"gov.clones.{name}", f"SELECT * FROM system.access.{name}")
    emulator.workspace.revoke("SELECT", "SCHEMA", "system.access", to=emulator.workspace.user.name)
    method = extractor(lineage_catalog="gov", lineage_schema="clones")

    assert all(read.rows.height == 1 for read in lineage_of(method, TODAY).values())
    assert history_of(method, TODAY).rows.height == 1
    assert any("`gov`.`clones`.`table_lineage`" in text for text in texts(emulator))


def test_query_history_may_be_cloned_alone(emulator: Emulator) -> None:
    """With a cloned catalog for query history, its view `query_history` is read."""
    load(emulator, [system_row()], [lineage_row()])
    emulator.create_view("gov.clones.query_history", "SELECT * FROM system.query.history")
    method = extractor(query_history_catalog="gov", query_history_schema="clones")

    assert history_of(method, TODAY).rows.height == 1
    assert all("`gov`.`clones`.`query_history`" in text for text in texts(emulator))
    assert lineage_of(method, TODAY)["raw_table_lineage"].rows.height == 1


@pytest.mark.parametrize("catalog", ["a` x", "x`; DROP TABLE y; --", "ü/*", "'1'"])
def test_no_name_breaks_out_of_its_quotes(catalog: str, emulator: Emulator) -> None:
    """A catalog with any name is read, whatever SQL the name looks like."""
    load(emulator, [system_row()])
    emulator.create_view(f"{catalog}.c`s.query_history", "SELECT * FROM system.query.history")

    method = extractor(query_history_catalog=catalog, query_history_schema="c`s")

    assert history_of(method, TODAY).rows.height == 1


def test_values_are_bound(emulator: Emulator) -> None:
    """No day stands in the text of a statement; all are bound."""
    method = load(emulator, [system_row()], [lineage_row(), column_row()])
    history_of(method, TODAY)
    lineage_of(method, TODAY)

    assert not any("2026" in text for text in texts(emulator))
    bound = [statement.parameters for statement in emulator.statements if statement.parameters]
    assert {"start_time", "end_time", "start_date", "end_date"} <= set(bound[-1])


def test_every_statement_is_marked_as_ours(emulator: Emulator) -> None:
    """Each statement carries the query tag by which the miner leaves its own statements out."""
    history_of(load(emulator, [system_row()]), TODAY)

    assert emulator.statements
    assert {tags["application"] for s in emulator.statements for tags in [s.query_tags]} == {
        "dbminer"
    }


def test_a_missing_optional_column_is_noted(emulator: Emulator) -> None:
    """An optional column that the source lacks is null in all rows, and the run says so."""
    emulator.drop_columns(COLUMN_LINEAGE, "direct_access", "entity_metadata")
    emulator.drop_columns(HISTORY, "query_source", "update_time", "read_rows", "query_tags")
    method = load(emulator, [system_row()], [column_row()])

    lineage = lineage_of(method, TODAY, [RAW_COLUMN_LINEAGE])["raw_column_lineage"]
    history = history_of(method, TODAY)

    assert lineage.column("direct_access") == [None]
    assert lineage.extraction.notes["missing_columns"] == [
        "system.access.column_lineage has no `direct_access`",
        "system.access.column_lineage has no `entity_metadata`",
    ]
    assert history.rows.select("update_time", "read_rows", "job_id", "query_tags").row(0) == (
        (None,) * 4
    )
    assert len(history.extraction.notes["missing_columns"]) == 4


def test_a_missing_required_column_is_refused(emulator: Emulator) -> None:
    """A source without a column that mining needs is an error that names column and table."""
    method = load(emulator, [system_row()])
    emulator.drop_columns(HISTORY, "start_time", "executed_by")

    with pytest.raises(MissingColumnsError, match=r"system\.query\.history.*executed_by, start_ti"):
        history_of(method, TODAY)


def test_added_columns_are_ignored(emulator: Emulator) -> None:
    """Columns that dbminer does not know, of any type, change nothing and are not read."""
    method = load(emulator, [system_row()])
    emulator.add_column(HISTORY, "brand_new", "STRUCT<a: MAP<STRING, ARRAY<INT>>>")

    found = history_of(method, TODAY)

    assert found.rows.height == 1
    assert found.extraction.notes == {}
    assert not any("brand_new" in text for text in texts(emulator))


def test_a_full_window_is_read_by_one_statement(emulator: Emulator) -> None:
    """Days that all have rows cost three statements: columns, counts and one for all rows."""
    method = load(emulator, [system_row(time, start_time=time) for time in TIMES])

    found = history_of(method, WEEK)

    assert found.rows.height == len(TIMES)
    assert found.extraction.covered == (WEEK.start, WEEK.last_day)
    assert len(emulator.statements) == 3


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        ([CHUNK_ROWS // 3] * 7, [3, 3, 1]),
        ([CHUNK_ROWS + 1] * 2 + [0] * 5, [1, 6]),
        ([1] * 7, [7]),
        ([0] * 7, []),
    ],
)
def test_days_share_a_statement_up_to_a_limit(counted: list[int], expected: list[int]) -> None:
    """A window is cut into as few statements as the limit of rows allows; empty days cost none."""
    by_day = dict(zip(WEEK, counted, strict=True))

    parts = list(split_by_rows(WEEK, by_day, CHUNK_ROWS))

    assert [part.days for part in parts] == expected
    if parts:
        assert parts[0].start == WEEK.start
        assert parts[-1].end == WEEK.end


def test_a_result_that_is_cut_off_is_read_in_parts(emulator: Emulator) -> None:
    """Where a result lacks counted rows, its days are read again by halves, and none is lost."""
    rows = [system_row(f"{time} {n}", start_time=time) for time in TIMES for n in range(20)]
    method = load(emulator, rows)
    emulator.results.row_cut = 45

    found = history_of(method, WEEK)

    assert found.rows.height == len(rows)
    assert found.extraction.counts["rows_read"] == len(rows)


def test_a_day_that_stays_cut_off_fails(emulator: Emulator) -> None:
    """A single day that lacks counted rows is an error with table, day and both numbers."""
    rows = [lineage_row(record_id=f"r-{n}", statement_id=f"s-{n}") for n in range(20)]
    method = load(emulator, lineage=rows)
    emulator.results.row_cut = 7

    message = r"system\.access\.table_lineage.* 7 rows of 2026-01-05.* 20\..*Run the day again"
    with pytest.raises(CutOffError, match=message):
        lineage_of(method, TODAY, [RAW_TABLE_LINEAGE])


def big_history(emulator: Emulator, folder: Path, rows: int = 120_000) -> SystemTableExtractor:
    """A day with so many statements that their result takes many answers."""
    start = datetime(2026, 1, 5, tzinfo=UTC)
    number = pl.int_range(rows, dtype=pl.Int64)
    pl.select(
        workspace_id=pl.lit("17"),
        statement_id=pl.format("s-{}", number),
        start_time=pl.lit(start) + pl.duration(microseconds=number),
        execution_status=pl.lit("FINISHED"),
        statement_text=pl.format("select {} from main.a.t where x = 'abcdef'", number),
        statement_type=pl.lit("SELECT"),
    ).write_parquet(folder / "history.parquet")
    emulator.load_parquet(HISTORY, str(folder / "history.parquet"))
    return extractor()


@dataclass
class BreakingSpool(Spool):
    """Has the connection break once, in the middle of the rows after the second part."""

    faults: Faults = field(kw_only=True)
    parts: int = 0

    def write(self, name: str, frame: pl.DataFrame | pl.LazyFrame) -> None:
        """See `Spool.write`."""
        super().write(name, frame)
        self.parts += 1
        if self.parts == 2:
            self.faults.add(Fault("dropped_in_answer", "FetchResults"))


def test_an_attempt_that_breaks_leaves_no_rows(emulator: Emulator, tmp_path: Path) -> None:
    """When the connection breaks half way, all is read again and no row comes twice."""
    method = big_history(emulator, tmp_path)
    emulator.results.links_above_bytes = 2**40
    spool = BreakingSpool(tmp_path, faults=emulator.faults)

    extraction = method.query_history(TODAY, spool)

    assert sum("rows of" in text for text in texts(emulator)) == 2
    assert extraction.row_count == 120_000
    assert extraction.counts["rows_read"] == 120_000


@pytest.mark.parametrize(
    "fault",
    [Fault("503", "ExecuteStatement"), Fault("expired_link", "/cloud-fetch/")],
    ids=lambda fault: fault.kind,
)
def test_a_fault_leaves_the_rows_as_they_are(
    fault: Fault, emulator: Emulator, tmp_path: Path
) -> None:
    """A warehouse that is busy for a while, or a link that has expired, changes no row."""
    method = big_history(emulator, tmp_path)
    emulator.faults.add(fault)

    found = history_of(method, TODAY)

    assert found.rows["statement_id"].n_unique() == found.rows.height == 120_000
    assert found.extraction.counts["rows_merged"] == 0


def test_a_statement_that_is_cancelled_leaves_no_rows(emulator: Emulator, tmp_path: Path) -> None:
    """Where somebody cancels the statement, the run fails and keeps none of its rows."""
    method = big_history(emulator, tmp_path)
    emulator.faults.add(Fault("statement_canceled", "*rows of*"))

    with open_spool() as spool:
        with pytest.raises(StatementError, match="cancelled"):
            method.query_history(TODAY, spool)

        assert spool.scan("raw_query_history", RAW_QUERY_HISTORY.schema).collect().is_empty()


def test_a_consumer_that_stops_cancels_the_statement(emulator: Emulator, tmp_path: Path) -> None:
    """When the rows cannot be taken, the statement does not go on in the warehouse."""
    method = big_history(emulator, tmp_path)

    with pytest.raises(OSError, match="File exists"), open_spool() as spool:  # noqa: PT012
        (spool.folder / "raw_query_history").write_text("no folder")
        method.query_history(TODAY, spool)

    assert emulator.statements[-1].state in {"CANCELED", "CLOSED"}
    assert emulator.statements[-1].rows_sent < 120_000


@pytest.mark.parametrize(
    ("window", "covered"),
    [
        (Window.of_day(date(2026, 1, 6)), [6, 6]),
        (Window(date(2026, 1, 4), date(2026, 1, 7)), [5, 6]),
        (Window(date(2026, 1, 6), date(2026, 1, 10)), [6, 8]),
        (Window(date(2026, 1, 4), date(2026, 1, 10)), [5, 8]),
        (Window(date(2026, 1, 5), date(2026, 1, 9)), [5, 8]),
    ],
    ids=str,
)
def test_an_empty_day_costs_no_scan(window: Window, covered: list[int], emulator: Emulator) -> None:
    """Whether an empty day is covered is told by any one row beyond it, not by all rows."""
    times = ("2026-01-05T12:00:00Z", "2026-01-08T12:00:00Z")
    # The days of tables and of columns count together, whatever `event_date` says of midnight.
    method = load(
        emulator,
        [system_row(time, start_time=time) for time in times],
        [
            lineage_row(event_time=times[0], event_date="2026-01-06"),
            column_row(event_time=times[1], event_date="2026-01-07"),
        ],
    )
    expected = tuple(date(2026, 1, day) for day in covered)

    assert history_of(method, window).extraction.covered == expected
    for found in lineage_of(method, window).values():
        assert found.extraction.covered == expected
    assert not any("bounds of" in text for text in texts(emulator))


def test_older_days_than_kept_are_refused(emulator: Emulator) -> None:
    """Days before the first row are an error that tells how long system tables keep rows."""
    method = load(emulator, lineage=[lineage_row()])

    with pytest.raises(DayNotCoveredError, match=r"holds 2026-01-05 to 2026-01-05.*365 days"):
        lineage_of(method, Window.of_day(date(2025, 1, 1)))


def test_an_empty_source_is_refused(emulator: Emulator) -> None:
    """A source without any row covers no day."""
    with pytest.raises(DayNotCoveredError, match=r"system\.query\.history.*no row at all"):
        history_of(load(emulator), TODAY)


def test_only_the_wanted_tables_are_read(emulator: Emulator) -> None:
    """A run for one lineage table asks nothing of the other."""
    method = load(emulator, lineage=[lineage_row(), column_row()])

    found = lineage_of(method, TODAY, [RAW_TABLE_LINEAGE])

    assert list(found) == ["raw_table_lineage"]
    assert not any("column_lineage" in text for text in texts(emulator))


def test_without_a_warehouse_nothing_is_read(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a SQL warehouse the setting that is missing is named."""
    load(emulator, [system_row()])
    monkeypatch.delenv("DBMINER_WAREHOUSE_ID")

    with pytest.raises(SettingsError, match="DBMINER_WAREHOUSE_ID"):
        history_of(extractor(), TODAY)
