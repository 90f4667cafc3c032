"""What statements cost: each its share of what its warehouse cost in the hours it ran in.

The task time of a statement is spread evenly over the time it ran, and a warehouse's cost of an
hour is shared by the task time that lies in it; see `docs/decisions/cost-estimate.md`. All numbers
are whole ones, so that neither the order of rows, nor batches, nor the engine changes a result.
"""

from collections.abc import Mapping
from datetime import date

import narwhals as nw
import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.schemas import WAREHOUSE_COSTS

_HOUR_KEY = ("workspace_id", "warehouse_id", "hour")
_TASK_TIMES = pl.Schema(
    {**{name: WAREHOUSE_COSTS.schema[name] for name in _HOUR_KEY}, "task_time_us": pl.Int64}
)
_TIMED_COLUMNS = (
    *("workspace_id", "warehouse_id", "start_time", "end_time"),
    *("total_task_duration_ms", "execution_duration_ms"),
)
_HOUR = pl.duration(hours=1)


def shared_hours(engine: Engine, statements: nw.LazyFrame, costs: nw.LazyFrame) -> pl.DataFrame:
    """The hours whose cost is known, and the task time that shares it.

    Args:
        engine: Runs the steps.
        statements: All rows of `raw_query_history` of some days: whatever failed or does not
            count as use took its part of the warehouse as well.
        costs: The rows of `warehouse_costs` of the same days.

    Returns:
        At most 24 rows for each warehouse and day: `workspace_id`, `warehouse_id`, `day`, `hour`
        (its start), `list_cost_micro_usd`, and `all_task_time_us`, the task time of all statements
        in the hour, in microseconds.
    """
    known = costs.filter(~nw.col("list_cost_micro_usd").is_null())
    hours = engine.collect(known.select(*_HOUR_KEY, "day", "list_cost_micro_usd"))
    if hours.is_empty():  # so that who knows no cost does not pay for it
        return hours.with_columns(all_task_time_us=pl.lit(0, pl.Int64))
    task_times = engine.collect(
        engine.map_batches(statements.select(*_TIMED_COLUMNS), task_time_by_hour, _TASK_TIMES)
        .group_by(*_HOUR_KEY)
        .agg(all_task_time_us=nw.col("task_time_us").sum())
    )
    shared = hours.join(task_times, on=_HOUR_KEY, how="left")
    return shared.with_columns(pl.col("all_task_time_us").fill_null(0))


def task_time_by_hour(statements: pl.DataFrame) -> pl.DataFrame:
    """The task time that lies in each hour of a warehouse, of a batch of statements."""
    return (
        _spread(statements.lazy())
        .group_by(_HOUR_KEY)
        .agg(pl.col("task_time_us").sum())
        .collect()
        .match_to_schema(_TASK_TIMES)
    )


def with_estimated_cost(statements: pl.DataFrame, hours: pl.DataFrame) -> pl.DataFrame:
    """Adds `estimated_cost_micro_usd`, null where no cost is known of the hours a statement ran in.

    Every row is computed by itself: the rows may be those that count, or a batch of them.

    Example:
        A warehouse cost 6 dollars from 10:00 to 11:00 and 2 dollars from 11:00 to 12:00. A ran
        from 10:10 to 10:20 with 30 s of task time; B from 10:40 to 11:20 with 60 s, of which 30 s
        lie in either hour. So A and B share the first hour evenly, and B has the second alone:
        A cost 3 dollars, B 3 + 2 = 5 dollars.

    Args:
        statements: Rows of `raw_query_history`, or of a table with its columns.
        hours: As `shared_hours` gives them for all statements of these days.
    """
    if hours.is_empty():
        return statements.with_columns(estimated_cost_micro_usd=pl.lit(None, pl.Int64))
    cost_nano_usd = pl.col("list_cost_micro_usd").cast(pl.Int128) * 1000
    all_task_time_us = pl.max_horizontal("all_task_time_us", 1)
    share_nano_usd = cost_nano_usd * pl.col("task_time_us") // all_task_time_us
    estimates = (
        _spread(statements.lazy())
        .join(hours.lazy(), on=_HOUR_KEY)
        .group_by("row")
        .agg(estimated_cost_micro_usd=((share_nano_usd.sum() + 500) // 1000).cast(pl.Int64))
    )
    numbered = statements.lazy().with_row_index("row")
    return (
        numbered.join(estimates, on="row", how="left", maintain_order="left").drop("row").collect()
    )


def allocation(hours: pl.DataFrame) -> Mapping[date, Mapping[str, int]]:
    """What of each day's cost statements share, and what not: hours in which none had task time.

    Args:
        hours: As `shared_hours` gives them.

    Returns:
        For each day of `hours`: `allocated_cost_micro_usd` and `unallocated_cost_micro_usd`.
    """
    cost, is_shared = pl.col("list_cost_micro_usd"), pl.col("all_task_time_us") > 0
    by_day = hours.group_by("day", maintain_order=True).agg(
        allocated_cost_micro_usd=cost.filter(is_shared).sum(),
        unallocated_cost_micro_usd=cost.filter(~is_shared).sum(),
    )
    return {figures.pop("day"): figures for figures in by_day.to_dicts()}


def _spread(statements: pl.LazyFrame) -> pl.LazyFrame:
    """A row for each hour of its day that a statement ran in, with the task time in that hour.

    Columns: `row`, the place of the statement, `workspace_id`, `warehouse_id`, `hour` and
    `task_time_us`. A statement without an end, or that ended before it began, ran in the hour it
    began in.
    """
    start, end, hour = pl.col("start_time"), pl.col("end_time"), pl.col("hour")
    # What needed no task, such as an answer from metadata, still kept the warehouse busy.
    times = [pl.col("total_task_duration_ms"), pl.col("execution_duration_ms")]
    task_time_ms = pl.coalesce(*(pl.when(time > 0).then(time) for time in times), 0)
    timed = statements.with_row_index("row").select(
        *("row", "workspace_id", "warehouse_id", "start_time"),
        end_time=pl.max_horizontal(start, end),
        hour=start.dt.truncate("1h"),
        task_time_us=task_time_ms * 1000,
    )
    in_one_hour = end <= hour + _HOUR
    midnight = start.dt.truncate("1d") + pl.duration(days=1)
    hours = pl.datetime_ranges(hour, pl.min_horizontal(end, midnight), "1h", closed="left")
    inside = pl.min_horizontal(end, hour + _HOUR) - pl.max_horizontal(start, hour)
    part = (
        pl.col("task_time_us").cast(pl.Int128) * _microseconds(inside) // _microseconds(end - start)
    )
    # Nearly all statements end in the hour they began in, and need no look at other hours.
    several = timed.filter(~in_one_hour).with_columns(hour=hours).explode("hour")
    parts = [timed.filter(in_one_hour), several.with_columns(task_time_us=part.cast(pl.Int64))]
    return pl.concat(parts).select("row", *_HOUR_KEY, "task_time_us")


def _microseconds(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_microseconds().cast(pl.Int128)
