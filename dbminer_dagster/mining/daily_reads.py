"""How often each table was read on each day of a window, by the uses that a score counts."""

from collections.abc import Collection

import narwhals as nw
import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.uses import links, scored
from dbminer_dagster.mining.window_usage import WindowUsage, reference_totals, window_usages
from dbminer_dagster.windows import Window

READS_SCHEMA = pl.Schema({"day": pl.Date, "table_name": pl.String, "read_count": pl.Int64})


def table_reads_by_day(
    engine: Engine,
    usage: nw.LazyFrame,
    references: nw.LazyFrame,
    window: Window,
    uses: Collection[str],
) -> pl.DataFrame:
    """The reads of each table on each day; over the days they add up to those of its score.

    Args:
        engine: Runs the steps.
        usage: Rows of `daily_usage`, of the window.
        references: Rows of `query_references`, of the same.
        window: The days.
        uses: Of `settings.USES`, those that are reads.

    Returns:
        `day`, `table_name`, `read_count`; no row for a table on a day without a read.
    """
    days = [
        _of_day(engine, used, uses) for used in window_usages(engine, usage, references, window, 1)
    ]
    return pl.concat([pl.DataFrame(schema=READS_SCHEMA), *days])


def _of_day(engine: Engine, used: WindowUsage, uses: Collection[str]) -> pl.DataFrame:
    statements, cached = pl.col("statement_count"), pl.col("cached_statement_count")
    reads = pl.col("of_all") * statements + pl.col("of_cached") * cached
    return (
        scored(links(used.references, "table"), uses)
        .join(reference_totals(engine, used), on="reference")
        .group_by(table_name="asset")
        .agg(read_count=reads.sum())
        .filter(pl.col("read_count") > 0)
        .select(pl.lit(used.window.last_day).alias("day"), "table_name", "read_count")
    )
