"""REST answers to raw lineage."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from dbminer_dagster.errors import BadLinesError
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.offline_files import (
    DAY,
    Read,
    lineage_row,
    ndjson,
    read_lineage,
    write_lineage,
)

TIME = "2026-01-05 12:00:00.0"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def table(name: str, **changes: object) -> dict[str, Any]:
    return {
        "name": name,
        "catalog_name": "main",
        "schema_name": "a",
        "table_type": "TABLE",
        "lineage_timestamp": TIME,
        "has_permission": True,
        **changes,
    }


def column(name: str, of: str = "s", **changes: object) -> dict[str, Any]:
    return {**table(of), "table_name": of, **changes, "name": name}


def answer(
    *upstreams: object, downstreams: tuple = (), columns: dict | None = None, **fields: object
) -> dict[str, Any]:
    return {
        "table_name": "main.a.t",
        "table_lineage": {"upstreams": upstreams, "downstreams": downstreams},
        "columns": columns or {},
        "workspace_id": 17,
        **fields,
    }


def read_both(root: Path, *answers: object, window: Window | None = None) -> tuple[Read, Read]:
    write_lineage(root, ndjson(*answers))
    found = read_lineage(root, window)
    return found["raw_table_lineage"], found["raw_column_lineage"]


def edges(found: Read) -> list[tuple]:
    return sorted(found.rows.select("source_name", "target_name").rows(), key=str)


def test_neighbours_become_edges(tmp_path: Path) -> None:
    """Upstreams point at the table, the table points at its downstreams."""
    given = answer({"tableInfo": table("s")}, downstreams=({"tableInfo": table("u")},))

    tables, columns = read_both(tmp_path, given)

    assert edges(tables) == [("main.a.s", "main.a.t"), ("main.a.t", "main.a.u")]
    assert tables.rows.select("first_event_time", "day", "workspace_id").row(0) == (
        NOON,
        date(2026, 1, 5),
        "17",
    )
    assert tables.column("statement_id") == tables.column("created_by") == [None, None]
    assert columns.rows.is_empty()


def test_columns_become_edges(tmp_path: Path) -> None:
    """Column answers pair the asked column with its neighbours, in the right direction."""
    lineage = {"y": {"upstream_cols": [column("x")], "downstream_cols": [column("z", of="u")]}}

    _, columns = read_both(tmp_path, answer(columns=lineage))

    names = ("source_name", "source_column", "target_name", "target_column")
    assert sorted(columns.rows.select(names).rows()) == [
        ("main.a.s", "x", "main.a.t", "y"),
        ("main.a.t", "y", "main.a.u", "z"),
    ]


def test_each_entity_of_an_item_gets_the_edge(tmp_path: Path) -> None:
    """An edge is told once for each entity of its item, with the entity's own workspace."""
    item = {
        "tableInfo": table("s"),
        "jobInfos": [{"workspace_id": 18, "job_id": 826773052447903123}],
        "notebookInfos": [{"notebook_id": 2}],
    }
    tables, _ = read_both(tmp_path, answer(item))

    assert sorted(tables.rows.select("entity_type", "entity_id", "workspace_id").rows()) == [
        ("JOB", "826773052447903123", "18"),
        ("NOTEBOOK", "2", "17"),
    ]


@pytest.mark.parametrize("as_list", [False, True])
def test_files_are_ends_without_a_name(as_list: bool, tmp_path: Path) -> None:
    """A file stands alone or in a list, and is an end with a path."""
    file = {"path": "s3://x/y", "lineage_timestamp": TIME, "has_permission": True}

    tables, _ = read_both(tmp_path, answer({"fileInfo": [file] if as_list else file}))

    ends = ("source_name", "source_type", "source_path", "target_name")
    assert tables.rows.select(ends).rows() == [(None, "PATH", "s3://x/y", "main.a.t")]


def test_an_entity_alone_reads_or_writes(tmp_path: Path) -> None:
    """An item of entities alone is an end without a name: a notebook that only reads."""
    reader = {"notebookInfos": [{"notebook_id": 1, "lineage_timestamp": TIME}]}

    tables, _ = read_both(tmp_path, answer(reader, downstreams=(reader,)))

    assert edges(tables) == [("main.a.t", None), (None, "main.a.t")]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    """Masked neighbours, unknown kinds and missing times are counted by reason, not guessed."""
    given = answer(
        {"tableInfo": {"has_permission": False}},
        {"tableInfo": table("s", has_permission=False)},
        {"fileInfo": {"has_permission": False}},
        {"holographInfo": {"name": "x"}},
        {"holographInfo": {"name": "y"}, "tableInfo": table("s", lineage_timestamp=None)},
        {},
        columns={
            "y": {
                "upstream_cols": [
                    {"has_permission": False},
                    column("x", lineage_timestamp="soon"),
                    column("x"),
                ]
            }
        },
    )
    tables, columns = read_both(tmp_path, given)

    counts = tables.extraction.counts
    assert (counts["masked"], counts["other_kind:holographInfo"]) == (3, 2)
    assert counts["without_timestamp"] == 1
    assert tables.rows.is_empty()
    assert (columns.extraction.counts["masked"], columns.rows.height) == (1, 1)
    assert columns.extraction.counts["without_timestamp"] == 1


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-05", datetime(2026, 1, 5, tzinfo=UTC)),
        ("2026-01-05 12:00:00", NOON),
        ("2026-01-05T13:00:00+01:00", NOON),
        ("2026-01-05T12:00:00Z", NOON),
    ],
)
def test_timestamps(text: str, time: datetime, tmp_path: Path) -> None:
    """A time without an offset is UTC, a date alone is its midnight."""
    tables, _ = read_both(tmp_path, answer({"tableInfo": table("s", lineage_timestamp=text)}))

    assert tables.column("first_event_time") == [time]


@pytest.mark.parametrize(
    "text", ["", "soon", 5, None, [], "9999-12-31T23:59:59-12:00", "0001-01-01"]
)
def test_a_time_that_is_none_is_counted(text: object, tmp_path: Path) -> None:
    """A timestamp that cannot be read is a reason to leave the edge out, and no failure."""
    item = {"tableInfo": table("s", lineage_timestamp=text)}

    tables, _ = read_both(tmp_path, answer(item, {"tableInfo": table("r")}))

    assert edges(tables) == [("main.a.r", "main.a.t")]
    assert tables.extraction.counts["without_timestamp"] == 1


def test_the_snapshot_widens_what_is_covered(tmp_path: Path) -> None:
    """A snapshot without a recent edge knows all days before its own, as days without edges."""
    given = answer({"tableInfo": table("s")}, extracted_at="2026-01-08T03:00:00+05:00")

    tables, _ = read_both(tmp_path, given, window=Window.trailing(date(2026, 1, 8), 4))

    assert tables.extraction.covered == (DAY, date(2026, 1, 6))


@pytest.mark.parametrize(
    ("extracted_at", "covered"),
    [
        ("2026-01-05T13:00:00Z", (date(2026, 1, 4), date(2026, 1, 4))),
        ("2026-01-06T13:00:00Z", (DAY, DAY)),
        (None, (DAY, DAY)),
    ],
    ids=["that_day", "the_next_day", "unknown"],
)
def test_the_day_of_a_snapshot_is_not_covered(
    extracted_at: str | None, covered: tuple[date, date], tmp_path: Path
) -> None:
    """An edge of a day that was not over does not cover it; without a time, edges are all."""
    given = answer({"tableInfo": table("s")}, extracted_at=extracted_at)

    tables, _ = read_both(tmp_path, given, window=Window.trailing(DAY, 2))

    assert tables.extraction.covered == covered


def test_a_row_of_the_day_of_a_snapshot_covers_it(tmp_path: Path) -> None:
    """Rows of system tables widen what is covered, whatever snapshot lies beside them."""
    given = answer({"tableInfo": table("s")}, extracted_at="2026-01-05T13:00:00Z")

    tables, _ = read_both(tmp_path, given, lineage_row())

    assert tables.extraction.covered == (date(2026, 1, 4), DAY)


def test_both_sides_of_an_edge_agree(tmp_path: Path) -> None:
    """An edge told by both of its tables, twice over, has the same names on both sides."""
    one = answer({"tableInfo": table("s")})
    other = {**answer(downstreams=({"tableInfo": table("t")},)), "table_name": "main.a.s"}

    tables, _ = read_both(tmp_path, one, other, one)

    assert set(edges(tables)) == {("main.a.s", "main.a.t")}
    assert set(tables.column("event_count")) == {1}


def test_answers_and_rows_mix(tmp_path: Path) -> None:
    """Answers and system rows may share a file; odd parts of names are back-quoted in both."""
    item = {"tableInfo": table("s", schema_name="a.b")}
    row = lineage_row(source_table_catalog="main", source_table_schema="a.b", source_table_name="s")
    tables, _ = read_both(tmp_path, answer(item), row)

    assert set(edges(tables)) == {("main.`a.b`.s", "main.a.t")}


@pytest.mark.parametrize(
    "changes",
    [{"table_lineage": []}, {"columns": {"y": 1}}, {"extracted_at": "9999-12-31T23:59:59-12:00"}],
)
def test_an_answer_of_a_wrong_type_is_a_bad_line(changes: dict, tmp_path: Path) -> None:
    """An answer whose parts have wrong types is a bad line."""
    with pytest.raises(BadLinesError, match="line 1"):
        read_both(tmp_path, {**answer({"tableInfo": table("s")}), **changes})


def test_an_empty_answer_is_fine(tmp_path: Path) -> None:
    """A table without neighbours gives no row."""
    empty = {"table_name": "main.a.t", "table_lineage": {}, "extracted_at": "2026-01-06T13:00:00Z"}

    tables, columns = read_both(tmp_path, empty)

    assert tables.rows.is_empty()
    assert columns.rows.is_empty()


def test_an_edge_told_from_both_ends_is_one_event(tmp_path: Path) -> None:
    """The answers of an edge's two tables tell one event, which then has both types."""
    upstream = answer(downstreams=({"tableInfo": table("t", table_type="VIEW")},)) | {
        "table_name": "main.a.s"
    }
    downstream = answer({"tableInfo": table("s")})

    tables, _ = read_both(tmp_path, upstream, downstream)

    kept = ("source_name", "source_type", "target_name", "target_type", "event_count")
    assert tables.rows.select(kept).rows() == [("main.a.s", "TABLE", "main.a.t", "VIEW", 1)]
