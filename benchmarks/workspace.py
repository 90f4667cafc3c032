"""What the benchmark works on: generated files, the result tables, and a window of days."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from dbminer_dagster.schemas import DAILY_USAGE, QUERY_REFERENCES, TABLES
from dbminer_dagster.settings import Settings, load_settings
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window

DAY = date(2026, 1, 5)
TEXT_LENGTH = 1_700
"""Gives texts of about 1 KB on average."""
PART_ROWS = 50_000
USER_STEP = 37
GENERATOR = Path(__file__).parents[1] / "examples" / "generate_sample_workspace.py"
MEASURES = (
    "statement_count",
    "total_duration_ms",
    "total_task_duration_ms",
    "read_bytes",
    "max_duration_ms",
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is generated, and whether queries repeat."""

    statements: int
    templates: int
    users: int
    tables: int
    unique_texts: bool = False


@dataclass(frozen=True, slots=True)
class Workspace:
    """One day of generated files, and the tables that are mined from them."""

    folder: Path
    size: Size
    window_days: int

    @property
    def files(self) -> Path:
        """The offline files; their name tells what is in them, so that they can be kept."""
        size = self.size
        return self.folder / (
            f"files-{size.statements}-{size.templates}-{size.users}-{size.tables}"
            f"{'-unique' * size.unique_texts}"
        )

    @property
    def storage(self) -> DeltaStorage:
        """The result tables."""
        return DeltaStorage(str(self.folder / "tables"))

    def settings(self, method: str = "offline") -> Settings:
        """The settings of a run that reads both sources by this method."""
        return load_settings(
            lineage_method=method,
            query_history_method=method,
            offline_uri=str(self.files),
            storage_uri=self.storage.uri,
            start_date=DAY - timedelta(days=self.window_days),
            popularity_window_days=self.window_days,
        )

    def row_count(self, *tables: str, days: int = 1) -> int:
        """Rows of these tables, on so many days up to the generated one."""
        window = Window.trailing(DAY, days)
        return sum(sum(self.storage.row_counts(TABLES[name], window).values()) for name in tables)

    def clear(self) -> None:
        """Deletes the result tables."""
        shutil.rmtree(self.storage.uri, ignore_errors=True)


def generated(workspace: Workspace) -> dict[str, int]:
    """Generates the files unless they are there; what they hold, as the generator counted it."""
    summary = workspace.files / "summary.txt"
    if not summary.exists():
        size = workspace.size
        options = {
            "--out": workspace.files,
            "--days": 1,
            "--first-day": DAY,
            "--statements-per-day": size.statements,
            "--templates": size.templates,
            "--users": size.users,
            "--tables": size.tables,
            "--text-length": TEXT_LENGTH,
            "--part-rows": PART_ROWS,
        }
        command = [sys.executable, GENERATOR, *(word for pair in options.items() for word in pair)]
        command += ["--unique-texts"] * size.unique_texts
        done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
        summary.write_text(done.stdout)
    counted = map(str.split, summary.read_text().splitlines())
    return {name: int(count.replace(",", "")) for name, count in counted}


def window_filler(workspace: Workspace) -> Callable[[], int]:
    """Prepares the days before the mined one: the same statements, by other users.

    On each day the users change places, so that no pair of reference and user comes twice: the
    window holds as many pairs as so many statements can have. What each of them used is shuffled.
    """
    mined = Window.of_day(DAY)
    usage = workspace.storage.scan(DAILY_USAGE, mined).collect()
    references = workspace.storage.scan(QUERY_REFERENCES, mined).collect()

    def fill() -> int:
        for back in range(1, workspace.window_days):
            day = DAY - timedelta(days=back)
            for table, rows in (
                (DAILY_USAGE, _usage_before(usage, back)),
                (QUERY_REFERENCES, references.with_columns(day=pl.lit(day))),
            ):
                frame = DayFrame(rows.lazy(), row_count=rows.height)
                workspace.storage.replace_days(table, Window.of_day(day), frame)
        return workspace.row_count(DAILY_USAGE.name, days=workspace.window_days)

    return fill


def _usage_before(usage: pl.DataFrame, back: int) -> pl.DataFrame:
    """A day's usage as that of another day, so many days before."""
    users = usage["user_name"].unique().sort()
    places = (pl.int_range(users.len(), eager=True) + back * USER_STEP) % users.len()
    earlier = timedelta(days=back)
    shuffled = usage.select(pl.struct(MEASURES).shuffle(seed=back).alias("measures"))
    return (
        usage.drop(MEASURES)
        .with_columns(
            shuffled["measures"],
            pl.col("user_name").replace_strict(users, users.gather(places)),
            pl.col("last_used_at") - earlier,
            day=pl.lit(DAY - earlier),
        )
        .unnest("measures")
        .select(usage.columns)
    )
