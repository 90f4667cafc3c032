"""Rows of the lineage system tables to raw lineage."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbminer_dagster.mining.names import name_parts
from dbminer_dagster.resources.offline import lineage
from dbminer_dagster.schemas import RAW_COLUMN_LINEAGE, RAW_TABLE_LINEAGE
from dbminer_dagster_tests.offline_files import (
    Read,
    column_row,
    lineage_row,
    ndjson,
    read_lineage,
    write_lineage,
)

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def read_tables(root: Path, *rows: object) -> Read:
    write_lineage(root, ndjson(*rows))
    return read_lineage(root)["raw_table_lineage"]


def test_rows_fill_every_column(tmp_path: Path) -> None:
    """Each field of a lineage row lands in its column; ids become texts."""
    row = {
        "workspace_id": 7405618923410267123,
        "entity_type": "JOB",
        "entity_id": 12,
        "statement_id": "s-1",
        "source_type": "TABLE",
        "source_table_full_name": "main.a.s",
        "source_path": "s3://x",
        "target_type": "VIEW",
        "target_table_full_name": "main.a.t",
        "target_path": "s3://y",
        "created_by": "ana@x.com",
        "direct_access": False,
        "event_time": "2026-01-05T12:00:00.000Z",
        "event_date": "2026-01-05",
        "record_id": "r-1",
    }
    assert read_tables(tmp_path, row).rows.to_dicts() == [
        {
            "workspace_id": "7405618923410267123",
            "entity_type": "JOB",
            "entity_id": "12",
            "statement_id": "s-1",
            "source_type": "TABLE",
            "source_name": "main.a.s",
            "source_path": "s3://x",
            "target_type": "VIEW",
            "target_name": "main.a.t",
            "target_path": "s3://y",
            "created_by": "ana@x.com",
            "direct_access": False,
            "event_count": 1,
            "first_event_time": NOON,
            "last_event_time": NOON,
            "extraction_method": "offline",
            "day": date(2026, 1, 5),
        }
    ]


def test_column_rows_are_told_by_their_key(tmp_path: Path) -> None:
    """A row with `source_column_name`, even null, belongs to column lineage and to nothing else."""
    rows = [lineage_row(), column_row(), column_row(source_column_name=None, record_id="r-2")]
    write_lineage(tmp_path, ndjson(*rows))

    found = read_lineage(tmp_path)

    assert found["raw_table_lineage"].rows.height == 1
    pairs = found["raw_column_lineage"].rows.select("source_column", "target_column").rows()
    assert sorted(pairs, key=str) == [("x", "y"), (None, "y")]


@pytest.mark.parametrize("column", ["table_name", "table_lineage", "res", "event_time"])
def test_a_column_name_does_not_decide_the_shape(column: str, tmp_path: Path) -> None:
    """A column that is called like a key of a REST answer stays a column."""
    write_lineage(tmp_path, ndjson(column_row(source_column_name=column)))

    assert read_lineage(tmp_path)["raw_column_lineage"].column("source_column") == [column]


@pytest.mark.parametrize(
    ("end", "name"),
    [
        ({"full_name": "main.a.s"}, "main.a.s"),
        ({"full_name": "x.y.z", "catalog": "main", "schema": "a", "name": "S"}, "main.a.S"),
        ({"full_name": "x", "catalog": "main", "schema": "a.b", "name": "s"}, "main.`a.b`.s"),
        ({"full_name": None, "catalog": "m`n", "schema": "a", "name": "s"}, "`m``n`.a.s"),
        ({"full_name": "main.a.s", "catalog": "main", "schema": None, "name": "s"}, "main.a.s"),
        ({"full_name": None}, None),
        ({"full_name": "../../etc"}, "../../etc"),
        ({"full_name": "a\nb"}, "a\nb"),
    ],
)
def test_names_are_built_from_parts(end: dict, name: str | None, tmp_path: Path) -> None:
    """A name is built from its parts, odd ones back-quoted, or else taken as a whole."""
    row = lineage_row(**{f"source_table_{part}": value for part, value in end.items()})

    assert read_tables(tmp_path, row).column("source_name") == [name]


@given(st.lists(st.text(min_size=1), min_size=3, max_size=3))
@settings(max_examples=40, deadline=None)
def test_names_split_into_their_parts(parts: list[str]) -> None:
    """Whatever the parts hold, the name splits into them again."""
    names = ("source_table_catalog", "source_table_schema", "source_table_name")
    columns = {name: [part] for name, part in zip(names, parts, strict=True)}
    plain = [part for part in parts if part == part.strip() and "\n" not in part]

    (name,) = lineage.named({**columns, "event_time": [NOON]}).collect()["source_name"]

    if plain == parts:
        assert list(name_parts(name)) == parts


def test_exports_that_overlap_count_once(tmp_path: Path) -> None:
    """A record in two files counts once; other records of the same edge add up."""
    later = lineage_row(record_id="r-2", event_time="2026-01-05T18:00:00Z")
    write_lineage(tmp_path, ndjson(lineage_row(), later), ndjson(later, lineage_row()))

    found = read_lineage(tmp_path)["raw_table_lineage"]

    assert found.column("event_count") == [2]
    assert found.column("first_event_time") == [NOON]
    assert found.column("last_event_time") == [NOON.replace(hour=18)]
    assert found.extraction.counts["rows_of_these_days"] == 4


def test_rows_without_a_record_id_collapse(tmp_path: Path) -> None:
    """The same event without a record id counts once, another moment is another event."""
    same = lineage_row(record_id=None)
    other = lineage_row(record_id=None, event_time="2026-01-05T12:00:01Z")

    assert read_tables(tmp_path, same, same, other).column("event_count") == [2]


def test_combinations_stay_apart(tmp_path: Path) -> None:
    """Events that differ in entity, statement, user or access are rows of their own."""
    changes = ({}, {"statement_id": "s"}, {"created_by": "a"}, {"direct_access": True})
    rows = [lineage_row(record_id=f"r-{n}", **change) for n, change in enumerate(changes)]

    assert read_tables(tmp_path, *rows).column("event_count") == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("metadata", "entity"),
    [
        ({"notebook_id": 11, "job_info": {"job_id": 12}}, ("NOTEBOOK", "11")),
        ({"job_info": {"job_id": 12}}, ("JOB", "12")),
        ({"dlt_pipeline_info": {"dlt_pipeline_id": "p"}}, ("PIPELINE", "p")),
        ({"dashboard_id": "d"}, ("DASHBOARD_V3", "d")),
        ({"legacy_dashboard_id": "l"}, ("DBSQL_DASHBOARD", "l")),
        ({"sql_query_id": "q"}, ("DBSQL_QUERY", "q")),
        ({"genie_space_id": "g"}, ("GENIE_SPACE", "g")),
        ({"alert_id": "a"}, ("ALERT", "a")),
        ({"job_info": {}}, (None, None)),
        (None, (None, None)),
    ],
)
def test_metadata_names_the_entity(metadata: dict | None, entity: tuple, tmp_path: Path) -> None:
    """Where a row names no entity, the first of its metadata stands for it."""
    found = read_tables(tmp_path, lineage_row(entity_metadata=metadata))

    assert found.rows.select("entity_type", "entity_id").rows() == [entity]


def test_the_row_names_the_entity_before_its_metadata(tmp_path: Path) -> None:
    """The entity of the row itself wins over its metadata."""
    row = lineage_row(entity_type="JOB", entity_id="1", entity_metadata={"notebook_id": 2})

    assert read_tables(tmp_path, row).column("entity_id") == ["1"]


@pytest.mark.parametrize("table", [RAW_TABLE_LINEAGE, RAW_COLUMN_LINEAGE], ids=lambda t: t.name)
def test_no_event_gives_no_row(table) -> None:  # noqa: ANN001
    """Without events there is an empty frame of the right schema."""
    frame = lineage.raw_lineage(table, pl.LazyFrame(schema=lineage.EVENT_SCHEMA), "offline")

    assert frame.collect_schema() == table.schema
    assert frame.collect().is_empty()


def test_needless_quotes_make_no_second_table(tmp_path: Path) -> None:
    """A full name with back-quotes that it does not need is the name without them."""
    quoted = lineage_row(source_table_full_name="`my-cat`.s.`a.b`")
    assert read_tables(tmp_path, quoted).rows["source_name"].to_list() == ["my-cat.s.`a.b`"]


def test_a_column_row_may_leave_its_null_source_out(tmp_path: Path) -> None:
    """A row that names a target column is column lineage, even if a null was not written."""
    write_lineage(
        tmp_path, ndjson({"event_time": "2026-01-05T12:00:00Z", "target_column_name": "x"})
    )

    found = read_lineage(tmp_path)

    assert found["raw_column_lineage"].rows["target_column"].to_list() == ["x"]
    assert found["raw_table_lineage"].rows.is_empty()
