"""The report on the terminal, from tables that a test wrote."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from dbminer_dagster.errors import StorageError
from dbminer_dagster.report import LISTED_NEIGHBOURS, print_report
from dbminer_dagster.schemas import POPULARITY_SCORES, TABLE_LINEAGE, Table
from dbminer_dagster.settings import Settings, load_settings
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window

DAY = date(2026, 2, 3)
NOW = datetime(2026, 2, 3, 9, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an empty storage, and a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return load_settings(storage_uri=str(tmp_path))


def store(settings: Settings, table: Table, rows: list[dict[str, object]]) -> None:
    frame = pl.LazyFrame(rows, schema_overrides={name: table.schema[name] for name in rows[0]})
    missing = [
        pl.lit(None, dtype).alias(name)
        for name, dtype in table.schema.items()
        if name not in rows[0]
    ]
    frame = frame.with_columns(missing)
    DeltaStorage(settings.storage_uri).replace_days(table, Window.of_day(DAY), DayFrame(frame))


def score(name: str, value: float, column: str | None = None) -> dict[str, object]:
    return {
        "asset_type": "column" if column else "table",
        "table_name": name,
        "column_name": column,
        "popularity_score": value,
        "popularity_label": "Most popular",
        "read_count": 12_345,
        "write_count": 7,
        "user_count": 3,
        "window_start": date(2026, 1, 5),
        "days_present": 28,
        "days_wanted": 30,
        "day": DAY,
    }


def dear(text: str | None, micro_usd: int | None) -> dict[str, object]:
    return {
        "query_hash": "q",
        "statement_text": text,
        "read_count": 7,
        "total_task_duration_ms": 5_400_000,
        "read_bytes": 1,
        "estimated_cost_micro_usd": micro_usd,
    }


def edge(source: str, target: str, status: str = "active") -> dict[str, object]:
    return {"source_name": source, "target_name": target, "status": status, "day": DAY}


def test_tables_stand_by_score_and_then_by_name(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list is in the order of the scores, ties by name, and no longer than asked for."""
    store(settings, POPULARITY_SCORES, [score("c.s.b", 5), score("c.s.a", 5), score("c.s.z", 9),
                                        score("c.s.y", 1), score("c.s.z", 4, "id")])  # fmt: skip

    print_report(settings, None, 3)

    shown = capsys.readouterr().out
    assert "Most popular tables, 2026-01-05 to 2026-02-03 (28 of 30 days present)" in shown
    assert [line.split()[0] for line in shown.splitlines() if line.strip().startswith("c.s.")] == [
        "c.s.z", "c.s.a", "c.s.b",
    ]  # fmt: skip
    assert "9.0" in shown
    assert "12,345" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_queries_show_what_they_cost(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """A query shows its cost, or its task time where no cost is known, and its text on one line."""
    queries = [dear("SELECT *\n  FROM [c.s.top]" + " x" * 99, 12_345_678), dear(None, None)]
    store(settings, POPULARITY_SCORES, [score("c.s.top", 5) | {"costly_queries": queries}])

    print_report(settings, None, 3)

    lines = capsys.readouterr().out.splitlines()
    shown = lines[lines.index("Dearest queries of c.s.top") + 1 :][:2]
    assert [line.split(maxsplit=3)[:3] for line in shown] == [
        ["$12.35", "7", "reads"],
        ["1.50", "h", "7"],
    ]
    assert "SELECT * FROM [c.s.top] x x" in shown[0]
    assert "(text unknown)" in shown[1]
    assert max(map(len, shown)) <= 80


def test_only_active_edges_surround_the_first_table(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """What feeds and what follows from the first table are its active edges alone."""
    store(settings, POPULARITY_SCORES, [score("c.s.top", 5)])
    store(settings, TABLE_LINEAGE, [
        edge("c.s.up", "c.s.top"), edge("c.s.old", "c.s.top", "superseded"),
        edge("c.s.top", "c.s.down"), edge("c.s.else", "c.s.where"),
    ])  # fmt: skip

    print_report(settings, DAY, 10)

    _, _, surroundings = capsys.readouterr().out.partition("Direct upstreams of c.s.top")
    assert surroundings.split() == ["c.s.up", "Direct", "downstreams", "of", "c.s.top", "c.s.down"]


def test_many_neighbours_are_cut_and_none_is_said(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """A long list says how many it leaves out, an empty one that there is no edge."""
    store(settings, POPULARITY_SCORES, [score("c.s.top", 5)])
    fed = [edge("c.s.top", f"c.s.t{number:02}") for number in range(LISTED_NEIGHBOURS + 4)]
    store(settings, TABLE_LINEAGE, fed)

    print_report(settings, DAY, 10)

    shown = capsys.readouterr().out
    assert "  and 4 more" in shown
    assert "(no active edge)" in shown


def test_names_are_no_markup(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """A name with square brackets is printed as it is."""
    store(settings, POPULARITY_SCORES, [score("c.s.`[bold]x[/]`", 5)])
    store(settings, TABLE_LINEAGE, [edge("c.s.`[red]y[/red]`", "c.s.`[bold]x[/]`")])

    print_report(settings, DAY, 10)

    shown = capsys.readouterr().out
    assert "c.s.`[bold]x[/]` " in shown
    assert "Direct upstreams of c.s.`[bold]x[/]`" in shown
    assert "c.s.`[red]y[/red]`" in shown


def test_a_day_without_tables_is_an_error(settings: Settings) -> None:
    """Where no table was scored the report says so instead of printing an empty table."""
    with pytest.raises(StorageError, match="holds no scores yet: run dbminer mine"):
        print_report(settings, None, 10)
    store(settings, POPULARITY_SCORES, [score("c.s.t", 4, "only_a_column")])
    with pytest.raises(StorageError, match="No table was scored on 2026-02-03"):
        print_report(settings, DAY, 10)
