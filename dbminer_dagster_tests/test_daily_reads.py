"""Reads of tables by day, which add up to those of the scores."""

from datetime import timedelta
from itertools import combinations
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sample_generator import generate

from dbminer_dagster.engines.polars import PolarsEngine
from dbminer_dagster.mining.daily_reads import table_reads_by_day
from dbminer_dagster.mining.popularity import popularity_of
from dbminer_dagster.mining.window_usage import reference_totals, window_usages
from dbminer_dagster.schemas import DAILY_USAGE, QUERY_REFERENCES
from dbminer_dagster.settings import USES
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline

WINDOW = Window(FIRST_DAY, FIRST_DAY + timedelta(days=4))
SCORED = [uses for number in (1, 2, 5) for uses in combinations(USES, number)]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> DeltaStorage:
    """The tables of a few mined days."""
    folder: Path = tmp_path_factory.mktemp("reads")
    generate(folder / "files", first_day=FIRST_DAY, days=4, statements_per_day=200, seed=7)
    pipeline = Pipeline(str(folder / "files"), str(folder / "tables"))
    pipeline.mined(WINDOW)
    return DeltaStorage(pipeline.storage)


@pytest.mark.parametrize("uses", SCORED, ids="+".join)
def test_days_add_up_to_the_score(uses: tuple[str, ...], storage: DeltaStorage) -> None:
    """Whatever counts as a read, the reads of a table on its days are the reads of its score."""
    engine = PolarsEngine()
    usage = engine.scan(storage, DAILY_USAGE, WINDOW)
    references = engine.scan(storage, QUERY_REFERENCES, WINDOW)
    run = Window.of_day(WINDOW.last_day)
    types = pl.LazyFrame(schema={"table_name": pl.String, "table_type": pl.String})
    scores = pl.DataFrame()
    for used in window_usages(engine, usage, references, run, WINDOW.days):
        totals = reference_totals(engine, used)
        scores = pl.concat(
            rows.select("table_name", "read_count")
            for rows in popularity_of(engine, "table", used, totals, uses, types, WINDOW.days)
        )

    reads = table_reads_by_day(engine, usage, references, WINDOW, uses)

    assert set(reads["day"].unique()) <= set(WINDOW)
    assert (reads["read_count"] > 0).all()
    assert reads.height > 0
    summed = reads.group_by("table_name").agg(pl.col("read_count").sum())
    assert_frame_equal(summed, scores, check_row_order=False)


def test_a_window_without_usage_has_no_reads() -> None:
    """Nothing mined gives no row, in the same columns."""
    engine = PolarsEngine()
    usage, references = (
        engine.frame(pl.DataFrame(schema=t.schema)) for t in (DAILY_USAGE, QUERY_REFERENCES)
    )

    found = table_reads_by_day(engine, usage, references, WINDOW, ("select",))

    assert found.columns == ["day", "table_name", "read_count"]
    assert found.is_empty()
