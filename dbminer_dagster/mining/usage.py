"""A day's attributed statements to `query_references` and `daily_usage`."""

from datetime import date

import narwhals as nw
import polars as pl

from dbminer_dagster.mining.attribution import Attribution
from dbminer_dagster.mining.reference_sets import SEPARATOR
from dbminer_dagster.mining.templates import text_hash
from dbminer_dagster.schemas import DAILY_USAGE, QUERY_REFERENCES

ATTRIBUTION_ORDER = ("lineage", "parsed", "scanned")
REFERENCE = ["query_hash", "operation", "set_key"]


def references(attributed: Attribution, texts: pl.LazyFrame, day: date) -> pl.DataFrame:
    """The day's `query_references`, and `set_key` to find them by.

    Where statements of one reference were attributed in different ways, the best one is named.
    """
    distinct = (
        attributed.statements.lazy()
        .filter(pl.col("attribution").is_not_null())
        .group_by(REFERENCE)
        .agg(
            attribution=pl.col("attribution")
            .replace_strict(ATTRIBUTION_ORDER, range(len(ATTRIBUTION_ORDER)))
            .min()
        )
        .with_columns(
            pl.col("attribution").replace_strict(
                range(len(ATTRIBUTION_ORDER)), ATTRIBUTION_ORDER, return_dtype=pl.String
            )
        )
        .join(attributed.sets.lazy(), on="set_key")
        .join(texts, on="query_hash", how="left")
        .collect()
    )
    hashes = [
        text_hash((SEPARATOR * 3).join([query_hash or "", operation, set_key]))
        for query_hash, operation, set_key in distinct.select(REFERENCE).iter_rows()
    ]
    return distinct.with_columns(
        pl.Series("reference_hash", hashes, pl.String), day=pl.lit(day)
    ).select(*QUERY_REFERENCES.schema.names(), "set_key")


def daily_usage(statements: nw.LazyFrame) -> nw.LazyFrame:
    """How often and at what cost each user used each reference.

    Args:
        statements: `reference_hash`, `user_name`, `statement_id`, `start_time`, `day`, and the
            durations and bytes of `filtered_queries`.
    """
    key = ["reference_hash", "user_name", "day"]
    totals = statements.group_by(key).agg(
        nw.len().cast(nw.Int64).alias("statement_count"),
        *(
            nw.col(name).fill_null(0).sum().alias(name)
            for name in ("total_duration_ms", "total_task_duration_ms", "read_bytes")
        ),
        nw.col("total_duration_ms").fill_null(0).max().alias("max_duration_ms"),
        nw.col("start_time").max().alias("last_used_at"),
    )
    last = (
        statements.join(totals.select(*key, "last_used_at"), on=key, how="inner")
        .filter(nw.col("start_time") == nw.col("last_used_at"))
        .group_by(key)
        .agg(nw.col("statement_id").max().alias("last_statement_id"))
    )
    return totals.join(last, on=key, how="inner")


def usage_of_day(
    attributed: Attribution, texts: pl.LazyFrame, day: date
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The day's `query_references` and `daily_usage`.

    Args:
        attributed: The day's statements.
        texts: `query_hash` and `statement_text`: one example of each template.
        day: The day.
    """
    found = references(attributed, texts, day)
    statements = (
        attributed.statements.lazy()
        .filter(pl.col("attribution").is_not_null())
        .with_columns(user_name=pl.coalesce("user_name", "user_id", pl.lit("unknown")))
        .join(found.lazy().select("reference_hash", *REFERENCE), on=REFERENCE, nulls_equal=True)
    )
    usage = daily_usage(nw.from_native(statements)).to_native().select(DAILY_USAGE.schema.names())
    return found.select(QUERY_REFERENCES.schema.names()), usage.collect(engine="streaming")
