"""What the statements of a window were, and which of them cost most, of all users and assets."""

from datetime import date

import narwhals as nw
import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.query_lists import known_cost
from dbminer_dagster.mining.user_lists import COST
from dbminer_dagster.mining.window_usage import WindowUsage
from dbminer_dagster.windows import Window

FIGURES = ("statement_count", "costed_count", *COST)


def use_totals(totals: pl.DataFrame, references: pl.DataFrame) -> dict[str, int]:
    """Statements by use, and their sums; each counts in as many uses as it has.

    Args:
        totals: See `reference_totals`.
        references: Those of the window.

    Returns:
        Figures by name. The cost is 0 where none is known.
    """
    operation, statements = pl.col("operation"), pl.col("statement_count")
    cached = pl.col("cached_statement_count")
    reads_tables = pl.col("tables_read").list.len() > 0
    is_select = operation == "read"
    is_indirect = is_select & (pl.col("tables_read_indirectly").list.len() > 0)
    found = totals.join(references, on="reference").select(
        select_statements=(statements - cached).filter(is_select).sum(),
        cached_statements=cached.filter(is_select).sum(),
        pipeline_statements=statements.filter(operation == "write", reads_tables).sum(),
        indirect_statements=statements.filter(is_indirect).sum(),
        cluster_events=statements.filter(operation == "cluster", reads_tables).sum(),
        task_duration_ms=pl.col("total_task_duration_ms").sum(),
        bytes_read=pl.col("read_bytes").sum(),
        estimated_cost_micro_usd=pl.col("estimated_cost_micro_usd").sum(),
    )
    return found.row(0, named=True)


def costly_templates(totals: pl.DataFrame, references: pl.DataFrame, count: int) -> pl.DataFrame:
    """The templates whose statements, reads and writes, cost most.

    Args:
        totals: See `reference_totals`.
        references: Those of the window.
        count: Rows wanted.

    Returns:
        `query_hash`, `statement_text`, `statement_count` and the measures of cost.
    """
    sums = (
        totals.join(references, on="reference")
        .drop_nulls("query_hash")
        .group_by("query_hash")
        .agg(pl.col("statement_text").min(), pl.col(FIGURES).sum())
    )
    return costliest(sums, "query_hash", count)


def costly_users(engine: Engine, used: WindowUsage, count: int) -> pl.DataFrame:
    """The users whose statements, reads and writes, cost most.

    Args:
        engine: Runs the steps.
        used: The window.
        count: Rows wanted.

    Returns:
        `user_name`, `statement_count` and the measures of cost.
    """
    sums = engine.collect(used.pairs.group_by("user").agg(nw.col(*FIGURES).sum()))
    named = sums.select(pl.lit(used.users).gather(pl.col("user")).alias("user_name"), *FIGURES)
    return costliest(named, "user_name", count)


def top_readers(engine: Engine, used: WindowUsage, count: int) -> list[tuple[str, int]]:
    """The users who ran most SELECTs, with how many.

    Args:
        engine: Runs the steps.
        used: The window.
        count: Users wanted.
    """
    selects = used.references.filter(pl.col("operation") == "read").select("reference")
    sums = engine.collect(
        used.pairs.join(engine.frame(selects), on="reference", how="inner")
        .group_by("user")
        .agg(nw.col("statement_count").sum())
    )
    # Numbers of users sort as their names do.
    first = sums.sort("statement_count", "user", descending=[True, False]).head(count)
    return [(used.users[user], statements) for user, statements in first.iter_rows()]


def costliest(sums: pl.DataFrame, name: str, count: int) -> pl.DataFrame:
    """The first rows by cost where known, then task time, bytes and name.

    Args:
        sums: `name`, the measures of cost, and `costed_count` unless an unknown cost is null.
        name: The column that breaks ties.
        count: Rows wanted.
    """
    if "costed_count" in sums.columns:
        sums = sums.with_columns(estimated_cost_micro_usd=known_cost()).drop("costed_count")
    return sums.sort(*COST, name, descending=[True, True, True, False], nulls_last=True).head(count)


def reads_by_day(
    engine: Engine, usage: nw.LazyFrame, references: nw.LazyFrame, window: Window
) -> list[tuple[date, int]]:
    """SELECTs of each day of the window that has some.

    Args:
        engine: Runs the steps.
        usage: Rows of `daily_usage`.
        references: Rows of `query_references`.
        window: The days.
    """
    day = nw.col("day")
    in_window = (day >= nw.lit(window.start)) & (day < nw.lit(window.end))
    reads = references.filter(in_window & (nw.col("operation") == "read"))
    counted = (
        usage.filter(in_window)
        .join(reads.select("day", "reference_hash"), on=["day", "reference_hash"], how="inner")
        .group_by("day")
        .agg(nw.col("statement_count").sum())
    )
    return list(engine.collect(counted).sort("day").iter_rows())
