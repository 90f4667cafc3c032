"""What the newest day of a run has that the day before it had not."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl

from dbminer_dagster.assets.changes import (
    LISTED_NAMES,
    NAME_CHARACTERS,
    changed_names,
    day_before,
)
from dbminer_dagster.schemas import TABLE_REBUILDS
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window

DAY = date(2026, 3, 5)
D1, D2, D3 = (DAY - timedelta(days=n) for n in (2, 1, 0))


def names(*tables: str) -> pl.LazyFrame:
    return pl.LazyFrame({"name": tables}, schema={"name": pl.String})


def rebuilds(*days: date) -> pl.LazyFrame:
    """One rebuild a day."""
    rows = [{"table_name": f"c.s.t{day.day}", "day": day} for day in days]
    return pl.LazyFrame(rows, schema=TABLE_REBUILDS.schema)


def test_new_and_gone_names_are_counted() -> None:
    """Both directions are told, with the names as code, sorted."""
    text = changed_names(DAY, names("c", "b", "a"), names("c", "d"), "name").value

    assert text == "- **2 new**: `a`, `b`\n- **1 gone**: `d`"


def test_no_change_is_told() -> None:
    """Days that hold the same say so."""
    assert changed_names(DAY, names("a"), names("a"), "name").value == "- **0 new**\n- **0 gone**"


def test_edges_show_both_ends() -> None:
    """An edge is its two ends; one without a name, such as a path, is compared as well."""
    newest = pl.LazyFrame({"source": ["a", None], "target": ["b", "c"]})
    before = pl.LazyFrame(
        {"source": [None, "x"], "target": ["c", "y"]}, schema=newest.collect_schema()
    )
    text = changed_names(DAY, newest, before, "source", "target").value

    assert text == "- **1 new**: `a` → `b`\n- **1 gone**: `x` → `y`"


def test_edges_of_columns_show_tables_and_columns() -> None:
    """Each end is a table with its column; a long one keeps its end."""
    columns = ("source", "source_column", "target", "target_column")
    rows = [("c.s.t", "a", "catalog.of_great_length.and_more.table", "b")]
    newest = pl.LazyFrame(rows, schema=columns, orient="row")
    text = changed_names(DAY, newest, newest.head(0), *columns).value or ""

    cut = "…" + "catalog.of_great_length.and_more.table.b"[-(NAME_CHARACTERS - 1) :]
    assert text.splitlines()[0] == f"- **1 new**: `c.s.t.a` → `{cut}`"


def test_many_names_are_cut() -> None:
    """The first few are listed, and how many follow."""
    newest = names(*(f"t{number:04}" for number in range(1_000 + LISTED_NAMES)))
    text = changed_names(DAY, newest, names(), "name").value or ""

    assert text.splitlines()[0].endswith(f"`t{LISTED_NAMES - 1:04}`, 1,000 more")


def test_an_unknown_day_before_is_no_change() -> None:
    """Nothing is called new where nothing is known of the day before."""
    assert "has not been mined" in (changed_names(DAY, names("a"), None, "name").value or "")


def test_an_unmined_day_before_is_unknown(tmp_path: Path) -> None:
    """The day before a day is read as stored; one that has not been mined is unknown."""
    storage = DeltaStorage(str(tmp_path))
    stored = Window(D1, D3)
    storage.replace_days(TABLE_REBUILDS, stored, DayFrame(rebuilds(*stored)))

    found = day_before(storage, TABLE_REBUILDS, D3)

    assert found is not None
    assert found.collect()["day"].to_list() == [D2]
    assert day_before(storage, TABLE_REBUILDS, D1) is None
