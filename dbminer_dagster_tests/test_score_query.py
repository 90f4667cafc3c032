"""The query of the README that recomputes scores."""

import re
from datetime import date, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from sample_generator import generate

from dbminer_dagster.windows import Window
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline

README = (Path(__file__).parent.parent / "README.md").read_text()
TABLES = ("daily_usage", "query_references", "popularity_scores")
LAST_DAY = FIRST_DAY + timedelta(days=3)
STATED_DAY = re.compile(r"DATE '\d{4}-\d\d-\d\d'")


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A few mined days."""
    folder = tmp_path_factory.mktemp("scores")
    generate(folder / "files", first_day=FIRST_DAY, days=4, statements_per_day=120, seed=9)
    pipeline = Pipeline(str(folder / "files"), str(folder / "tables"), popularity_window_days=3)
    return pipeline.mined(Window(FIRST_DAY, LAST_DAY + timedelta(days=1)))


def published_query(day: date) -> str:
    """The SQL in the section of the README, for another day."""
    section = README.partition("### Recompute a score\n")[2]
    found = re.search(r"```sql\n(.*?)```", section, re.DOTALL)
    assert found is not None
    query, replaced = STATED_DAY.subn(f"DATE '{day}'", found[1])
    assert replaced == 1
    return query


def test_the_published_query_finds_the_stored_scores(mined: Pipeline) -> None:
    """The README's query gives score, percentile and level of every table, to the last digit."""
    with duckdb.connect() as database:
        for name in TABLES:
            database.register(name, mined.table(name).to_arrow())
        found = database.sql(published_query(LAST_DAY)).pl()

    stored = mined.table("popularity_scores").filter(day=LAST_DAY, asset_type="table")
    assert found.height == stored.height > 10
    assert found["popularity_score"].n_unique() > 5
    for name in ("score", "percentile", "level"):
        was = found["percentile" if name == "percentile" else f"popularity_{name}"]
        assert was.cast(pl.Float64).to_list() == found[f"recomputed_{name}"].to_list()
