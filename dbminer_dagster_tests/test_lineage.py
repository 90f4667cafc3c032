"""Raw lineage to edges, and whether they still hold at the end of a day."""

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from dbminer_dagster.mining.lineage import edges, history_days, known_tables, with_row_kind
from dbminer_dagster.schemas import COLUMN_LINEAGE, RAW_TABLE_LINEAGE, TABLE_LINEAGE
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.frames import at, column_lineage, lineage, rebuilds

LAST_DAY = date(2026, 3, 31)
WINDOW = Window.trailing(LAST_DAY, 30)
MOMENT = timedelta(microseconds=1)
NOON = at(12, LAST_DAY)
Row = dict[str, Any]


def event(source: str | None, target: str | None, when: datetime = NOON, **more: Any) -> Row:
    return {"source_name": source, "target_name": target, "at": when} | more


def rebuilt(table: str, when: datetime, statement: str = "r") -> Row:
    return {"table_name": table, "rebuilt_at": when, "statement_id": statement}


def table_edges(*events: Row, rebuilt_by: tuple[Row, ...] = ()) -> list[Row]:
    found = edges(TABLE_LINEAGE, lineage(*events).lazy(), rebuilds(*rebuilt_by).lazy(), WINDOW)
    assert found.collect_schema() == TABLE_LINEAGE.schema
    return found.sort("source_name", "target_name").collect().to_dicts()


def only_edge(*events: Row, rebuilt_by: tuple[Row, ...] = ()) -> Row:
    (edge,) = table_edges(*events, rebuilt_by=rebuilt_by)
    return edge


@pytest.mark.parametrize(
    ("seen", "status"),
    [
        (WINDOW.end_time - MOMENT, "active"),
        (WINDOW.start_time, "active"),
        (WINDOW.start_time - MOMENT, "expired"),
    ],
)
def test_edge_expires_with_the_window(seen: datetime, status: str) -> None:
    """An edge seen at the first instant of the window is active, a moment earlier expired."""
    edge = only_edge(event("a.b.s", "a.b.t", seen))
    assert edge["status"] == status
    reason = "not seen since 2026-03-01; the lineage window begins on 2026-03-02"
    assert edge["reason"] == (reason if status == "expired" else None)


def test_expired_edge_is_reported_for_one_more_window() -> None:
    """The days that edges are made of are two windows, so an expired edge stays for one."""
    assert history_days(30) == 60
    assert history_days(1) == 2


@pytest.mark.parametrize(
    ("after", "status"),
    [(-MOMENT, "active"), (timedelta(), "active"), (MOMENT, "superseded")],
)
def test_later_rebuild_supersedes(after: timedelta, status: str) -> None:
    """A rebuild supersedes what was last seen before it, not what was seen at that instant."""
    edge = only_edge(event("a.b.s", "a.b.t"), rebuilt_by=(rebuilt("a.b.t", NOON + after),))
    assert edge["status"] == status


def test_reason_names_the_rebuild() -> None:
    """A superseded edge says when its target was rebuilt, and by which statement."""
    edge = only_edge(
        event("a.b.s", "A.B.T", at(1, LAST_DAY)), rebuilt_by=(rebuilt("a.b.t", NOON, "r7"),)
    )
    assert edge["reason"] == "target rebuilt at 2026-03-31T12:00:00Z by statement r7"


def test_rebuild_of_another_table_changes_nothing() -> None:
    """Neither a rebuild of the source nor one of another table ends an edge."""
    others = (rebuilt("a.b.s", NOON + MOMENT), rebuilt("a.b.other", NOON + MOMENT))
    assert only_edge(event("a.b.s", "a.b.t"), rebuilt_by=others)["status"] == "active"


def test_edges_of_the_rebuild_itself_stay() -> None:
    """The rebuild's own edge is active even where its event is older than its start."""
    own = event("a.b.new", "a.b.t", NOON - timedelta(seconds=5), statement_id="r")
    foreign = event("a.b.old", "a.b.t", NOON - MOMENT, statement_id="r", workspace_id="w2")
    found = table_edges(own, foreign, rebuilt_by=(rebuilt("a.b.t", NOON),))
    assert [edge["status"] for edge in found] == ["active", "superseded"]


def test_last_of_two_rebuilds_counts() -> None:
    """A table rebuilt twice in a day has the edges of the second rebuild only."""
    first, second = NOON, NOON + timedelta(hours=1)
    found = table_edges(
        event("a.b.x", "a.b.t", first, statement_id="r1"),
        event("a.b.y", "a.b.t", second - MOMENT, statement_id="r2"),
        rebuilt_by=(rebuilt("a.b.t", second, "r2"), rebuilt("a.b.t", first, "r1")),
    )
    assert {edge["source_name"]: edge["status"] for edge in found} == {
        "a.b.x": "superseded",
        "a.b.y": "active",
    }


def test_insert_after_the_rebuild_is_active() -> None:
    """An edge seen again after the rebuild holds, whenever it was seen first."""
    edge = only_edge(
        event("a.b.s", "a.b.t", NOON - timedelta(days=3)),
        event("a.b.s", "a.b.t", NOON + timedelta(hours=1)),
        rebuilt_by=(rebuilt("a.b.t", NOON),),
    )
    assert edge["status"] == "active"
    assert edge["first_seen"] == NOON - timedelta(days=3)
    assert edge["last_seen"] == NOON + timedelta(hours=1)


def test_expiry_comes_before_rebuilds() -> None:
    """An edge that is both expired and superseded is expired."""
    old = WINDOW.start_time - timedelta(days=2)
    edge = only_edge(event("a.b.s", "a.b.t", old), rebuilt_by=(rebuilt("a.b.t", NOON),))
    assert edge["status"] == "expired"


def test_rows_that_are_no_edges_are_told_apart() -> None:
    """Read-only, write-only and self rows are no edges; every row has exactly one kind."""
    rows = (
        event("a.b.s", "a.b.t"),
        event("A.B.S", "a.b.s"),
        event("a.b.s", None),
        event(None, "a.b.t"),
        event(None, None),
        event(None, None, source_path="s3://b/x/", target_path="s3://b/x"),
    )
    kinds = with_row_kind(lineage(*rows).lazy()).collect()["row_kind"].to_list()
    assert kinds == [
        "edge_rows", "self_rows", "read_only_rows", "write_only_rows", "write_only_rows",
        "self_rows",
    ]  # fmt: skip
    assert len(table_edges(*rows)) == 1


def test_names_differ_by_case_only() -> None:
    """Spellings that differ in case are one edge, and their events add up."""
    edge = only_edge(event("A.B.S", "a.b.t", event_count=2), event("a.b.s", "A.b.T", event_count=3))
    assert (edge["source_name"], edge["target_name"], edge["event_count"]) == (
        "a.b.s", "a.b.t", 5,
    )  # fmt: skip


def test_ends_that_are_paths() -> None:
    """An end without a name is its path, as spelled but for a slash at its end."""
    edge = only_edge(
        event(None, "a.b.t", source_path="s3://Bucket/X/", target_type="TABLE"),
        event(None, "a.b.t", source_path="s3://Bucket/X", source_type="TABLE"),
    )
    assert (edge["source_name"], edge["source_type"]) == ("s3://Bucket/X", "PATH")
    assert edge["target_type"] == "TABLE"


def test_types_and_statement_come_from_the_newest_event() -> None:
    """The newest event gives types and statement; one that lacks them leaves the older ones."""
    edge = only_edge(
        event("a.b.s", "a.b.t", NOON, source_type="VIEW", statement_id="s2"),
        event("a.b.s", "a.b.t", NOON - MOMENT, source_type="TABLE", target_type="TABLE"),
        event("a.b.s", "a.b.t", NOON + MOMENT, statement_id=None),
    )
    assert (edge["source_type"], edge["target_type"]) == ("VIEW", "TABLE")
    assert edge["last_statement_id"] == "s2"


def test_entities_newest_first() -> None:
    """Entities are listed once each, newest first, ties by name; events without one add none."""
    job = {"entity_type": "JOB", "entity_id": "2"}
    edge = only_edge(
        event("a.b.s", "a.b.t", NOON - MOMENT, **job),
        event("a.b.s", "a.b.t", NOON, entity_type="NOTEBOOK", entity_id="1"),
        event("a.b.s", "a.b.t", NOON, entity_type="DBSQL", entity_id="9"),
        event("a.b.s", "a.b.t", NOON - timedelta(days=1), **job),
        event("a.b.s", "a.b.t", NOON),
    )
    found = [(entity["entity_type"], entity["last_seen"]) for entity in edge["entities"]]
    assert found == [("DBSQL", NOON), ("NOTEBOOK", NOON), ("JOB", NOON - MOMENT)]
    assert only_edge(event("a.b.s", "a.b.t"))["entities"] == []


def test_column_edges_follow_the_cut_off_of_their_table() -> None:
    """A rebuild of a table ends the column edges into it that were last seen before."""
    rows = column_lineage(
        event("a.b.s", "a.b.t", source_column="X", target_column="Y"),
        event("a.b.s", "a.b.t", source_column="x", target_column="y"),
        event("a.b.s", "a.b.t", NOON + MOMENT, source_column="z", target_column="y"),
        event("a.b.s", "a.b.t", source_column=None, target_column="y"),
        event("a.b.s", "a.b.t", source_column="x", target_column=None),
        event("a.b.s", None, source_column="x", target_column=None),
    ).lazy()
    found = edges(COLUMN_LINEAGE, rows, rebuilds(rebuilt("a.b.t", NOON + MOMENT)).lazy(), WINDOW)
    assert found.collect_schema() == COLUMN_LINEAGE.schema
    columns = ("source_column", "target_column", "status", "event_count")
    assert found.select(columns).sort(columns).collect().rows() == [
        ("x", "y", "superseded", 2),
        ("z", "y", "active", 1),
    ]
    kinds = with_row_kind(rows).collect()["row_kind"].value_counts().rows()
    assert dict(kinds) == {"edge_rows": 3, "no_column_rows": 2, "read_only_rows": 1}


def test_no_lineage_gives_no_edges() -> None:
    """An empty window has the columns and no row."""
    assert table_edges() == []


def test_known_tables_of_a_day() -> None:
    """Every named end is known by its lower-case name, with the type that the newest event has."""
    raw = lineage(
        event("A.B.S", "a.b.t", source_type="TABLE"),
        event("a.b.s", None, NOON + MOMENT, source_type="VIEW"),
        event("a.b.s", None, NOON + 2 * MOMENT),
        event(None, "a.b.u", source_path="s3://b/x", target_type="TABLE"),
    )
    found = known_tables(raw.lazy()).sort("table_name").collect()
    assert found.rows() == [
        (LAST_DAY, "a.b.s", "VIEW"),
        (LAST_DAY, "a.b.t", None),
        (LAST_DAY, "a.b.u", "TABLE"),
    ]


def test_a_million_rows_lose_no_edge() -> None:
    """Edges out are the distinct pairs in, in whatever order rows come, and no event is lost."""
    count, targets = 1_000_000, 50_000
    random = np.random.default_rng(7)
    numbers = {
        "source": random.integers(0, 300, count),
        "target": random.integers(0, targets, count),
    }
    names = {end: pl.Series([f"a.B.{end}{n}" for n in range(targets)]) for end in numbers}
    seconds = pl.Series(random.integers(0, WINDOW.days * 86_400, count))
    when = pl.lit(WINDOW.start_time) + pl.duration(seconds=pl.lit(seconds))
    raw = pl.LazyFrame(
        {f"{end}_name": names[end].gather(pl.Series(numbers[end])) for end in numbers}
    ).with_columns(
        workspace_id=pl.lit("w1"),
        statement_id=pl.lit("s") + pl.int_range(pl.len()).cast(pl.String),
        entity_type=pl.lit("JOB"),
        entity_id=pl.Series(random.integers(0, 50, count)).cast(pl.String),
        event_count=pl.lit(1, pl.Int64),
        first_event_time=when,
        last_event_time=when,
    )
    missing = [name for name in RAW_TABLE_LINEAGE.schema if name not in raw.collect_schema()]
    raw = raw.with_columns(
        pl.lit(None, RAW_TABLE_LINEAGE.schema[name]).alias(name) for name in missing
    )
    found = edges(TABLE_LINEAGE, raw, rebuilds().lazy(), WINDOW).collect(engine="streaming")
    assert found.height == np.unique(numbers["source"] * targets + numbers["target"]).size
    assert found.select("source_name", "target_name").is_unique().all()
    assert found["event_count"].sum() == count
    assert found["status"].unique().to_list() == ["active"]
