"""Two backfills at the same time, on one Dagster instance and one storage folder."""

import random
import subprocess
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal
from sample_generator import generate

from dbminer_dagster.schemas import TABLES
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.pipeline import (
    FIRST_DAY,
    Pipeline,
    assert_same_tables,
    mine_command,
    mining_environment,
)

LATEST_START_S = 3.0


def days(first: int, end: int) -> Window:
    """Days of the files, by their numbers."""
    return Window(FIRST_DAY + timedelta(days=first), FIRST_DAY + timedelta(days=end))


ALL = days(0, 12)
OF_ONE_DAY = ("raw_query_history", "raw_table_lineage", "raw_column_lineage", "filtered_queries")
"""Tables of which a day is made from that day alone."""


@dataclass(frozen=True)
class Company:
    """A company mined as one range.

    Attributes:
        whole: Its tables.
        home: The Dagster instance of its run, which others go on using.
    """

    whole: Pipeline
    home: Path


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A small company, mined as one range."""
    files, home, storage = map(tmp_path_factory.mktemp, ("files", "home", "whole"))
    generate(files, first_day=FIRST_DAY, days=ALL.days, statements_per_day=60, seed=11)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}")
    company = Company(Pipeline(str(files), str(storage)), home)
    assert start(company, storage, ALL).wait() == 0
    return company


def start(company: Company, storage: Path, window: Window) -> subprocess.Popen[bytes]:
    """Mines the days of the window in a process of its own."""
    environment = mining_environment(company.whole, storage) | {"DAGSTER_HOME": str(company.home)}
    return subprocess.Popen(
        mine_command(window),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("first", "second", "seed"),
    [
        pytest.param(days(0, 6), days(6, 12), 1, id="disjoint"),
        pytest.param(days(5, 12), days(0, 8), 2, id="overlapping, later days first"),
    ],
)
def test_two_backfills_at_once_lose_nothing(
    first: Window, second: Window, seed: int, company: Company, tmp_path: Path
) -> None:
    """Each day is in each table, as one run has it once the windows hold all days.

    A score or an edge of a later day is made from the days before it that are mined by then. So
    the tables of single days, and all tables of the days that no later backfill held, are right at
    once; the others after the later days ran once more.
    """
    running = [start(company, tmp_path, first)]
    time.sleep(random.Random(seed).uniform(0, LATEST_START_S))
    running.append(start(company, tmp_path, second))
    assert [process.wait() for process in running] == [0, 0]
    both, storage = Pipeline(company.whole.offline, str(tmp_path)), DeltaStorage(str(tmp_path))
    earlier, later = sorted([first, second], key=lambda window: window.start)
    alone = Window(earlier.start, later.start)

    for name, table in TABLES.items():
        assert storage.days_present(table, ALL) == set(ALL), name
        right = ALL if name in OF_ONE_DAY else alone
        assert_frame_equal(
            company.whole.table(name).filter(right.holds()),
            both.table(name).filter(right.holds()),
            check_row_order=False,
            check_exact=True,
        )
    assert_same_tables(company.whole, both.mined(later))


def test_the_same_backfill_twice_at_once_gives_the_tables_of_one(
    company: Company, tmp_path: Path
) -> None:
    """Two runs over the same days write the same rows, in whatever order they commit."""
    running = [start(company, tmp_path, ALL)]
    time.sleep(random.Random(5).uniform(0, LATEST_START_S))
    running.append(start(company, tmp_path, ALL))

    assert [process.wait() for process in running] == [0, 0]
    assert_same_tables(company.whole, Pipeline(company.whole.offline, str(tmp_path)))
