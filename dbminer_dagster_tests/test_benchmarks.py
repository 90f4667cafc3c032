"""The benchmark measures every stage on data that is really there; how fast is never asserted."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "benchmarks"
WINDOW_DAYS = 3
SIZE = {"statements": 2000, "templates": 300, "users": 60, "tables": 200, "sample": 50}
COUNTS = ("rows in", "s", "rows/s", "CPU s", "peak MB")


def tables_of(markdown: str) -> dict[str, dict[str, str]]:
    """The rows of all tables by their first cell: header to cell."""
    rows: dict[str, dict[str, str]] = {}
    header: list[str] = []
    for line in markdown.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            header = []
        elif not header:
            header = cells
        elif cells[0] != "---":
            rows[cells[0]] = dict(zip(header, cells, strict=True))
    return rows


def number(cell: str) -> float:
    return float(cell.replace(",", ""))


def printed_by(script: str, folder: Path, options: Mapping[str, object]) -> str:
    """What a benchmark prints, which is what it writes."""
    report = folder / "report.md"
    words = [
        word
        for name, value in {**options, "write": report}.items()
        for word in (f"--{name}", str(value))
    ]
    done = subprocess.run(
        [sys.executable, SCRIPTS / script, *words], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == report.read_text()
    return done.stdout


def test_every_stage_has_positive_figures_and_no_row_is_lost(tmp_path: Path) -> None:
    """Every stage reports positive figures, and hands on all rows that the next one counts."""
    printed = printed_by(
        "end_to_end.py", tmp_path, {**SIZE, "window-days": WINDOW_DAYS, "work-dir": tmp_path}
    )

    rows = tables_of(printed)
    stages = {name: row for name, row in rows.items() if "peak MB" in row}
    assert len(stages) == 11
    figures = [number(row[column]) for row in stages.values() for column in COUNTS]
    assert min(figures) > 0
    assert min(number(row["statements"]) for row in rows.values() if "way" in row) > 0

    count = {name: number(row["rows in"]) for name, row in stages.items()}
    day, window = "popularity over 1 day", f"popularity over {WINDOW_DAYS} days"
    assert count["usage, no template known"] == count["usage, all templates known"]
    assert count["usage, all templates known"] < count["filtered queries"]
    assert count["filtered queries"] == count["table rebuilds"]
    assert count["filtered queries"] == count["**first day, all of it**"]
    assert count["filtered queries"] <= count["raw query history"]
    assert count[window] == WINDOW_DAYS * count[day]
    assert number(stages["usage, no template known"]["biggest worker MB"]) > 0
    assert number(stages["usage, all templates known"]["biggest worker MB"]) == 0
    assert not (tmp_path / "tables").exists()


def test_a_warehouse_gives_both_ways_the_same_rows(tmp_path: Path) -> None:
    """Both ways read the same rows: all statements, and each distinct event."""
    size = {"statements": 3000, "lineage-rows": 10_000, "work-dir": tmp_path}

    rows = tables_of(printed_by("warehouse.py", tmp_path, size))

    read = {name: number(row["rows"]) for name, row in rows.items()}
    ways = ("dbminer, into Delta tables", "`fetchall_arrow`")
    for way in ways:
        assert read[f"raw query history: {way}"] == 3000
        assert read[f"raw lineage: {way}"] == 8000
        assert read[f"both, in one process: {way}"] == 11_000
    assert min(number(row[column]) for row in rows.values() for column in ("s", "peak MB")) > 0


def test_rest_lineage_is_asked_within_the_limits(tmp_path: Path) -> None:
    """A workspace with limits is asked for every table and every column of those with lineage."""
    size = {"tables": 130, "columns": 40, "plain-tables": 20, "answer-ms": 1}

    printed = printed_by("rest_lineage.py", tmp_path, size)

    lines = [line.strip("| ").split(" | ") for line in printed.splitlines() if "| 130 |" in line]
    assert [cells[:3] for cells in lines] == [["dbminer", "130", "40"]]
    assert number(lines[0][6]) == 1.31


def test_rest_query_history_gives_both_ways_the_same_rows(tmp_path: Path) -> None:
    """A plain client and dbminer read the same statements."""
    printed = printed_by(
        "rest_query_history.py", tmp_path, {"statements": 300, "work-dir": tmp_path}
    )

    counts = [row["statements"] for row in tables_of(printed).values() if "peak MB" in row]
    assert set(counts) == {"300"}


def test_windows_are_scored_by_all_ways(tmp_path: Path) -> None:
    """A range of days, and each of its days alone, score the assets of one day."""
    size = {"statements": 2000, "templates": 200, "users": 60, "tables": 100, "audience": 3}
    days = {"window-days": 3, "range-days": 6}

    rows = tables_of(printed_by("windows.py", tmp_path, size | days))

    assets = {name: number(row["assets"]) for name, row in rows.items()}
    both = assets["tables and columns"]
    assert assets["tables"] + assets["columns"] == both > assets["tables"] > 50
    assert assets["the same, range of 6 days"] == assets["each of 2 days from its 3 days"] == both
    assert assets["plain join of tables and users, without lists"] == assets["tables"]
    figures = ("s a day", "CPU s a day", "peak MB")
    assert min(number(row[name]) for row in rows.values() for name in figures) > 0
