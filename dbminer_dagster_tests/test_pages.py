"""What the pages of the assets show of the newest day."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from dbminer_dagster.assets.lineage_page import LISTED_HUBS, lineage_page
from dbminer_dagster.assets.popularity_page import movers
from dbminer_dagster.assets.raw_page import LISTED_KINDS, raw_page
from dbminer_dagster.schemas import RAW_QUERY_HISTORY, RAW_TABLE_LINEAGE, TABLE_LINEAGE, Table
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window

DAY = date(2026, 3, 5)
RUN = Window.trailing(DAY, 2)


def edges(*rows: tuple[str, str], status: str = "active", day: date = DAY) -> pl.DataFrame:
    """Rows of `table_lineage`."""
    found = [
        {"source_name": s, "target_name": t, "status": status, "day": day,
         "reason": None if status == "active" else "target rebuilt at noon"}
        for s, t in rows
    ]  # fmt: skip
    return pl.DataFrame(found, schema=TABLE_LINEAGE.schema)


def cells(metadata: Any) -> list[list[str]]:
    """The rows of a Markdown table without its header."""
    lines = str(metadata.value).strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def stored(tmp_path: Path, table: Table, window: Window, rows: pl.DataFrame) -> DeltaStorage:
    """A storage with these rows of a table; columns that are not given are empty."""
    storage = DeltaStorage(str(tmp_path))
    storage.replace_days(table, window, DayFrame(rows.match_to_schema(
        table.schema, missing_columns="insert"
    ).lazy()))  # fmt: skip
    return storage


def page_of(tmp_path: Path, *frames: pl.DataFrame) -> dict[str, Any]:
    storage = stored(tmp_path, TABLE_LINEAGE, RUN, pl.concat(frames))
    return lineage_page(storage, TABLE_LINEAGE, DAY)


def test_hubs_are_active_edges_to_different_tables(tmp_path: Path) -> None:
    """Hubs stand by their number of neighbours, ties by name; ended edges do not count."""
    active = edges(("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("b", "z"), ("c", "x"))
    page = page_of(tmp_path, active, edges(("c", "y"), ("c", "z"), status="superseded"))

    assert cells(page["biggest_sources"]) == [["b", "3"], ["a", "2"], ["c", "1"]]
    assert cells(page["biggest_targets"]) == [["x", "3"], ["y", "2"], ["z", "1"]]
    assert cells(page["edges_by_status"]) == [
        ["active", "", "6"],
        ["superseded", "target rebuilt", "2"],
    ]


def test_hubs_show_in_place(tmp_path: Path) -> None:
    """Long names are cut at their start and many hubs at their number, so that the list shows."""
    long = [(f"catalog_of_great_length.schema.source_{n:03}", "t") for n in range(50)]
    page = page_of(tmp_path, edges(*long))

    assert len(page["biggest_sources"].value) < 1_000
    assert len(cells(page["biggest_sources"])) == LISTED_HUBS
    assert cells(page["biggest_sources"])[0] == ["…" + long[0][0][-24:], "1"]


def test_edges_that_ended_are_gone(tmp_path: Path) -> None:
    """An edge that is active no more counts as gone, one that is active again as new."""
    yesterday = DAY - timedelta(days=1)
    page = page_of(
        tmp_path,
        edges(("a", "b"), ("n", "m")),
        edges(("c", "d"), status="expired"),
        edges(("a", "b"), ("c", "d"), day=yesterday),
        edges(("n", "m"), status="superseded", day=yesterday),
    )

    assert page["changes"].value == "- **1 new**: `n` → `m`\n- **1 gone**: `c` → `d`"


def test_rows_are_counted_by_kind(tmp_path: Path) -> None:
    """The most frequent values stand first, ties by name, nulls as none, the rest in one line."""
    types = ["SELECT"] * 5 + ["MERGE"] * 2 + ["INSERT"] * 2 + [None]
    types += [f"T{n:02}" for n in range(LISTED_KINDS)]
    rows = pl.DataFrame({"statement_type": types}, schema_overrides={"statement_type": pl.String})
    rows = rows.with_columns(status=pl.lit("FINISHED"), day=pl.lit(DAY))
    storage = stored(tmp_path, RAW_QUERY_HISTORY, Window.of_day(DAY), rows)

    page = raw_page(storage, RAW_QUERY_HISTORY, DAY)

    found = [(kind, int(count)) for kind, count, _ in cells(page["statement_types"])]
    assert found[:4] == [("SELECT", 5), ("INSERT", 2), ("MERGE", 2), ("T00", 1)]
    assert found[-1] == ("4 others", 4)
    assert sum(count for _, count in found) == len(types)
    assert cells(page["client_applications"])[0][:2] == ["none", str(len(types))]


def test_lineage_rows_are_counted_by_their_ends(tmp_path: Path) -> None:
    """An end that is missing is told as none."""
    rows = pl.DataFrame(
        {"source_type": ["TABLE", "TABLE", "PATH"], "target_type": [None, None, "TABLE"],
         "entity_type": ["JOB", "JOB", None], "day": [DAY] * 3}
    )  # fmt: skip
    page = raw_page(
        stored(tmp_path, RAW_TABLE_LINEAGE, Window.of_day(DAY), rows), RAW_TABLE_LINEAGE, DAY
    )

    assert [row[:2] for row in cells(page["ends"])] == [
        ["TABLE → none", "2"],
        ["PATH → TABLE", "1"],
    ]
    assert [row[:2] for row in cells(page["causes"])] == [["JOB", "2"], ["none", "1"]]


def test_movers_are_those_whose_rank_changed_most() -> None:
    """A rise is positive; new tables and those that kept their rank are not listed."""
    newest = pl.LazyFrame({"table_name": list("abcn"), "popularity_score": [1.0, 5.0, 9.0, 0.5]})
    before = pl.LazyFrame({"table_name": list("abcg"), "popularity_score": [9.0, 5.0, 1.0, 0.1]})

    assert movers(newest, before) == [
        {"table": "a", "rank": 3, "change": "-2"},
        {"table": "c", "rank": 1, "change": "+2"},
    ]
    assert movers(newest, None) == []
