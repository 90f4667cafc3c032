"""The references of a window: the newest row of each, with a number in place of its hash."""

import narwhals as nw
import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.schemas import STRINGS
from dbminer_dagster.windows import Window

TEXT_LIMIT_CHARACTERS = 2_000
"""Texts in query lists are cut to this; the whole example stands in `query_references`."""
DESCRIBED = pl.Schema(
    {
        "reference_hash": pl.String,
        "query_hash": pl.String,
        "operation": pl.String,
        "tables_read": STRINGS,
        "columns_read": STRINGS,
        "tables_written": STRINGS,
        "tables_read_indirectly": STRINGS,
        "statement_text": pl.String,
        "day": pl.Date,
    }
)
REFERENCE_SCHEMA = pl.Schema({**DESCRIBED, "reference": pl.Int64})


def newest_rows(engine: Engine, references: nw.LazyFrame) -> pl.DataFrame:
    """The newest row of each reference, see `DESCRIBED`.

    The hash of a reference covers all that it names, so one row serves for all days.

    Args:
        engine: Runs the steps.
        references: Rows of `query_references`, of some days.
    """
    newest = engine.collect(references.group_by("reference_hash").agg(nw.col("day").max()))
    text = nw.col("statement_text").str.head(TEXT_LIMIT_CHARACTERS).alias("statement_text")
    described = references.select(DESCRIBED.names()).with_columns(text)
    # A day at a time, since texts are long and most references are still in use on the last day.
    rows = [
        engine.collect(described.filter(nw.col("day") == nw.lit(day))).join(
            newest, on=["reference_hash", "day"], how="semi"
        )
        for day in newest["day"].unique().sort()
    ]
    return pl.concat([pl.DataFrame(schema=DESCRIBED), *rows])


def slid(seen: pl.DataFrame, rows: pl.DataFrame, window: Window) -> pl.DataFrame:
    """The references of a window, from those of an earlier one.

    Args:
        seen: The references of the earlier window, see `REFERENCE_SCHEMA`.
        rows: The newest rows of the days that came since, see `DESCRIBED`.
        window: The window.

    Returns:
        As `seen`. A reference of both windows keeps its number; those that left may leave theirs
        to others.
    """
    known = rows.join(seen.select("reference_hash", "reference"), on="reference_hash", how="left")
    highest = seen.select(pl.col("reference").max().fill_null(-1)).item()
    fresh = highest + pl.col("reference").is_null().cum_sum().cast(pl.Int64)
    numbered = known.with_columns(pl.coalesce("reference", fresh))
    older = seen.join(rows, on="reference_hash", how="anti").filter(window.holds())
    return pl.concat([older, numbered.select(REFERENCE_SCHEMA.names())])
