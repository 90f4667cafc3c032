"""The statements that count as use, as they are stored: with template and estimated cost."""

from collections.abc import Sequence
from functools import partial

import narwhals as nw
import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.costs import with_estimated_cost
from dbminer_dagster.mining.filters import with_drop_reason
from dbminer_dagster.mining.templates import with_query_hash
from dbminer_dagster.schemas import FILTERED_QUERIES


def dropped_statements(
    engine: Engine, statements: nw.LazyFrame, excluded_users: Sequence[str]
) -> pl.DataFrame:
    """How many rows of each day each rule drops.

    Args:
        engine: Runs the steps.
        statements: Rows of `raw_query_history`.
        excluded_users: As of `with_drop_reason`.

    Returns:
        Columns `day`, `drop_reason`, null for the rows that count, and `rows`.
    """
    judged = with_drop_reason(statements, excluded_users)
    counted = judged.group_by("day", "drop_reason").agg(rows=nw.len().cast(nw.Int64))
    return engine.collect(counted)


def filtered_statements(
    engine: Engine, statements: nw.LazyFrame, excluded_users: Sequence[str], hours: pl.DataFrame
) -> nw.LazyFrame:
    """The rows of `filtered_queries`.

    Args:
        engine: Runs the steps.
        statements: Rows of `raw_query_history`.
        excluded_users: As of `with_drop_reason`.
        hours: What the statements share, as `shared_hours` gives it.
    """
    judged = with_drop_reason(statements, excluded_users)
    kept = judged.filter(nw.col("drop_reason").is_null()).drop("drop_reason")
    complete = partial(_completed, hours=hours)
    return engine.map_batches(kept, complete, FILTERED_QUERIES.schema)


def _completed(statements: pl.DataFrame, hours: pl.DataFrame) -> pl.DataFrame:
    with_cost = with_estimated_cost(statements, hours)
    # Texts of one template stand together, which halves their size in a file.
    rows = with_query_hash(with_cost).sort("query_hash")
    return rows.select(FILTERED_QUERIES.schema.names())
