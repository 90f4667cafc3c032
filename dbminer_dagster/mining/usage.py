"""Statements to uses, to `query_references` and `daily_usage`.

A *use* is what the statements that agree in all but their measures add up to. Uses add up again,
so that they can be summed within batches, within portions of a day, and over all of it.
"""

from collections.abc import Iterator, Sequence
from datetime import date

import narwhals as nw
import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.reference_sets import SEPARATOR
from dbminer_dagster.mining.templates import text_hash
from dbminer_dagster.schemas import DAILY_USAGE, QUERY_REFERENCES

SUMS = (
    "statement_count",
    "total_duration_ms",
    "total_task_duration_ms",
    "read_bytes",
    "cached_statement_count",
    "estimated_cost_micro_usd",
    "known_cost_count",
)
MAXIMA = ("max_duration_ms", "last_use")
MEASURES = pl.Schema(
    dict.fromkeys(SUMS, pl.Int64) | {"max_duration_ms": pl.Int64, "last_use": pl.String}
)
"""What adds up; `last_use` is the start of the last statement, and its id."""
MEASURED = (
    "statement_id",
    "user_id",
    "user_name",
    "start_time",
    "total_duration_ms",
    "total_task_duration_ms",
    "read_bytes",
    "from_result_cache",
    "estimated_cost_micro_usd",
)
"""Columns of `filtered_queries` that tell the measures of a statement and who caused them."""
NAMED_ROW = 2
"""A use, with its names and ids, takes the room of so many rows of numbers."""
TIME_DIGITS = 19
REFERENCE = ["query_hash", "operation", "set_hash"]


def with_measures(statements: pl.DataFrame) -> pl.DataFrame:
    """Each statement as a use: `MEASURES`, and `user_name` without nulls.

    Args:
        statements: `MEASURED`, among others.
    """
    cost = pl.col("estimated_cost_micro_usd")
    started = pl.col("start_time").dt.epoch("us").cast(pl.String).str.zfill(TIME_DIGITS)
    return statements.with_columns(
        pl.col("total_duration_ms", "total_task_duration_ms", "read_bytes").fill_null(0),
        user_name=pl.coalesce("user_name", "user_id", pl.lit("unknown")),
        statement_count=pl.lit(1, pl.Int64),
        max_duration_ms=pl.col("total_duration_ms").fill_null(0),
        cached_statement_count=pl.col("from_result_cache").fill_null(value=False).cast(pl.Int64),
        estimated_cost_micro_usd=cost.fill_null(0),
        known_cost_count=cost.is_not_null().cast(pl.Int64),
        # Text that sorts as time and then id do, since engines have no common argmax.
        last_use=started + pl.col("statement_id"),
    )


def added_up(uses: nw.LazyFrame, key: Sequence[str]) -> nw.LazyFrame:
    """Uses that agree in the key as one.

    Args:
        uses: The key and `MEASURES`.
        key: Columns.
    """
    return uses.group_by(list(key)).agg(
        *(nw.col(name).sum().alias(name) for name in SUMS),
        *(nw.col(name).max().alias(name) for name in MAXIMA),
    )


def references(engine: Engine, uses: nw.LazyFrame, sets: pl.DataFrame, day: date) -> pl.DataFrame:
    """The day's `query_references` but for their texts, and `set_hash` to find them by.

    Where statements of one reference were attributed in different ways, the best one is named.

    Args:
        engine: Runs the frames.
        uses: `REFERENCE`, and `attribution`.
        sets: See `collect_sets`; distinct.
        day: The day.

    Returns:
        Also `use_count`: the rows of `uses` that each stands for.
    """
    # Lineage, parsed, scanned: by the alphabet the best comes first.
    best = uses.group_by(REFERENCE).agg(
        nw.col("attribution").min(), nw.len().cast(nw.Int64).alias("use_count")
    )
    distinct = engine.collect(best).join(sets, on="set_hash")
    keys = distinct.select(pl.col("query_hash").fill_null(""), "operation", "set_key")
    hashes = [text_hash((SEPARATOR * 3).join(key)) for key in keys.iter_rows()]
    named = distinct.with_columns(pl.Series("reference_hash", hashes, pl.String), day=pl.lit(day))
    names = (name for name in QUERY_REFERENCES.schema if name != "statement_text")
    return named.select(*names, "set_hash", "use_count")


def daily_usage(
    engine: Engine, uses: nw.LazyFrame, found: pl.DataFrame, day: date
) -> Iterator[pl.DataFrame]:
    """How often and at what cost each user used each reference, some references at a time.

    Args:
        engine: Runs the frames.
        uses: `REFERENCE`, `user_name` and `MEASURES`.
        found: See `references`.
        day: The day.
    """
    named = uses.with_columns(nw.col("query_hash").fill_null(""))
    part = (pl.col("use_count").cum_sum() - 1) // (engine.rows_at_a_time // NAMED_ROW)
    for _, of_part in found.sort("reference_hash").group_by(part.alias("part")):
        numbers = of_part.with_row_index("reference").cast({"reference": pl.Int64})
        key = numbers.select("reference", pl.col("query_hash").fill_null(""), *REFERENCE[1:])
        numbered = engine.look_up(named, engine.frame(key), REFERENCE)
        users = numbered.filter(~nw.col("reference").is_null())
        sums = engine.collect(added_up(users, ["reference", "user_name"]))
        yield _shaped(sums.join(numbers.select("reference", "reference_hash"), on="reference"), day)


def _shaped(users: pl.DataFrame, day: date) -> pl.DataFrame:
    """Sums as rows of `daily_usage`."""
    last = pl.col("last_use")
    is_known = pl.col("known_cost_count") > 0
    return users.with_columns(
        day=pl.lit(day),
        estimated_cost_micro_usd=pl.when(is_known).then("estimated_cost_micro_usd"),
        last_used_at=last.str.head(TIME_DIGITS).cast(pl.Int64).cast(pl.Datetime("us", "UTC")),
        last_statement_id=last.str.slice(TIME_DIGITS),
    ).select(DAILY_USAGE.schema.names())
