"""The engine of one machine: batches, and what is asked of them."""

import narwhals as nw
import polars as pl
import pytest

from dbminer_dagster.engines.polars import BATCH_ROWS, PolarsEngine

ENGINE = PolarsEngine()
ROWS = 2 * BATCH_ROWS + 1


def doubled(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("number", double=2 * pl.col("number"))


@pytest.fixture(name="mapped")
def _mapped() -> nw.LazyFrame:
    frame = ENGINE.frame(pl.DataFrame({"number": range(ROWS)}))
    schema = pl.Schema({"number": pl.Int64, "double": pl.Int64})
    return ENGINE.map_batches(frame, doubled, schema)


def test_every_row_of_every_batch_is_mapped(mapped: nw.LazyFrame) -> None:
    """A function of batches gives its rows for all of them, each once."""
    assert sorted(ENGINE.collect(mapped)["double"]) == list(range(0, 2 * ROWS, 2))


def test_what_follows_a_mapping_is_asked_of_it(mapped: nw.LazyFrame) -> None:
    """Columns, conditions and limits behind the function hold as for any frame."""
    wanted = mapped.filter(nw.col("number") >= ROWS - 5).select("double")

    assert sorted(ENGINE.collect(wanted)["double"]) == list(range(2 * ROWS - 10, 2 * ROWS, 2))
    assert ENGINE.collect(mapped.head(3)).height == 3
    assert ENGINE.collect(wanted.head(2)).height == 2


def test_rows_that_are_not_found_stay() -> None:
    """A look-up adds the columns of the table to all rows, null where the key is not found."""
    rows = ENGINE.frame(pl.DataFrame({"key": [1, 2, None, 1], "row": range(4)}))
    table = ENGINE.frame(pl.DataFrame({"key": [1, 3], "name": ["one", "three"]}))

    found = ENGINE.collect(ENGINE.look_up(rows, table, ["key"])).sort("row")

    assert found.rows() == [(1, 0, "one"), (2, 1, None), (None, 2, None), (1, 3, "one")]
