"""What SQL warehouses cost in each hour, from `system.billing`.

Usage is told in records of about an hour for each warehouse and SKU. One that was wrong is told
again with the opposite sign (a retraction) and once more as it should be (a restatement), so that
the sum is right at any time.
"""

from datetime import date, datetime
from typing import TYPE_CHECKING

import polars as pl

from dbminer_dagster.databricks.system_tables import Places, SystemTable, billing_usage, list_prices
from dbminer_dagster.errors import AccessDeniedError
from dbminer_dagster.preflight.grants import needs_of
from dbminer_dagster.resources.extractor import Costs
from dbminer_dagster.resources.system_tables.source import DATE_SLACK
from dbminer_dagster.resources.system_tables.whole_result import ALL_ROWS, Refusal, WholeResult
from dbminer_dagster.schemas import UTC_TIME, WAREHOUSE_COSTS
from dbminer_dagster.settings import ExtractionMethod
from dbminer_dagster.spool import Spool
from dbminer_dagster.windows import Window

if TYPE_CHECKING:
    from dbminer_dagster.databricks.connection import Connection

_USAGE = "billing_usage"
USAGE_SCHEMA = pl.Schema(
    {
        **dict.fromkeys(("workspace_id", "warehouse_id"), pl.String),
        **dict.fromkeys(("start_time", "end_time"), UTC_TIME),
        **dict.fromkeys(("micro_dbus", "list_cost_micro_usd", "unpriced_records"), pl.Int64),
    }
)
_WAREHOUSE = ["workspace_id", "warehouse_id"]
_USED = (
    "u.workspace_id, u.warehouse_id, u.cloud, u.sku_name, u.usage_unit, u.start_time, u.end_time"
)


def read_costs(
    places: Places, connection: "Connection", warehouse_id: str, window: Window, spool: Spool
) -> Costs:
    """See `Extractor.costs`.

    Args:
        places: Where the system tables or their clones are.
        connection: To the workspace.
        warehouse_id: The SQL warehouse that runs the statement.
        window: The wanted days.
        spool: Takes the rows.

    Raises:
        CutOffError: The result held fewer rows than it says itself.
        WorkspaceError: The statement failed for another cause than a refusal.
    """
    tables = billing_usage(places), list_prices(places)
    source = " and ".join(table.full_name for table in tables)
    result = WholeResult(source, _USAGE, _statement(*tables), _parameters(window), USAGE_SCHEMA)
    if refusal := result.read(connection, warehouse_id, spool):
        note = f"{source} could not be read. {_repaired(refusal, tables, connection.principal)}"
        return Costs.unknown(note, is_refused=True)
    usage = spool.scan(_USAGE, USAGE_SCHEMA)
    spool.write(WAREHOUSE_COSTS.name, by_hour(usage, window))
    rows = spool.scan(WAREHOUSE_COSTS.name, WAREHOUSE_COSTS.schema)
    row_count = rows.select(pl.len()).collect(engine="streaming").item()
    return Costs(rows, row_count, _unpriced_records(usage, window))


def by_hour(usage: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Rows of `warehouse_costs`: each record spread evenly over the time that it tells of.

    Args:
        usage: Records with the columns of `USAGE_SCHEMA`.
        window: The days whose hours are wanted.
    """
    start, end = pl.col("start_time"), pl.col("end_time")
    hour = pl.col("hour")
    spread = (
        usage.with_columns(end_time=pl.max_horizontal(end, start + pl.duration(microseconds=1)))
        .with_columns(hour=pl.datetime_ranges(start.dt.truncate("1h"), end, "1h", closed="left"))
        .explode("hour")
        .with_columns(
            duration_us=_microseconds(end - start),
            from_us=_microseconds(pl.max_horizontal(start, hour) - start),
            to_us=_microseconds(pl.min_horizontal(end, hour + pl.duration(hours=1)) - start),
        )
        .filter(hour.is_between(window.start_time, window.end_time, closed="left"))
    )
    cost = pl.col("list_cost_micro_usd")
    return (
        spread.with_columns(_part("micro_dbus"), _part("list_cost_micro_usd"))
        .group_by(*_WAREHOUSE, "hour")
        .agg(
            dbus=pl.col("micro_dbus").sum() / 1_000_000,
            list_cost_micro_usd=pl.when(cost.count() > 0).then(cost.sum()),
        )
        .with_columns(
            extraction_method=pl.lit(ExtractionMethod.SYSTEM_TABLE.value), day=hour.dt.date()
        )
        .select(WAREHOUSE_COSTS.schema.names())
    )


def _part(amount: str) -> pl.Expr:
    """What of an amount lies in an hour: whole numbers whose sum over the hours is the amount."""
    whole = pl.col(amount).cast(pl.Int128)  # times microseconds
    until, before = (whole * pl.col(at) // pl.col("duration_us") for at in ("to_us", "from_us"))
    return (until - before).cast(pl.Int64).alias(amount)


def _microseconds(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_microseconds().cast(pl.Int128)


def _unpriced_records(usage: pl.LazyFrame, window: Window) -> dict[date, int]:
    """Usage records without a price by the day that they begin in, or else the first one."""
    day = pl.max_horizontal(pl.col("start_time").dt.date(), pl.lit(window.start))
    by_day = usage.group_by(day=day).agg(pl.col("unpriced_records").sum())
    return dict(by_day.collect().iter_rows())


def _parameters(window: Window) -> dict[str, date | datetime]:
    return {
        "start_time": window.start_time,
        "end_time": window.end_time,
        "start_date": window.start - DATE_SLACK,
        "end_date": window.end + DATE_SLACK,
    }


def _repaired(refusal: Refusal, tables: tuple[SystemTable, ...], principal: str) -> str:
    """The refusal with what repairs it; Unity Catalog tells of one missing privilege at a time."""
    if not isinstance(refusal, AccessDeniedError):
        return str(refusal)
    needs = dict.fromkeys(need for table in tables for need in needs_of(table))
    lines = "\n".join(f"{need.grant_line(principal)};" for need in needs)
    return (
        f"{refusal.what} A metastore admin, or the owner of the catalog, runs (lines that are "
        f"granted already do no harm):\n{lines}"
    )


def _statement(usage: SystemTable, prices: SystemTable) -> str:
    # Types are cast to where no engine has to round a product. Of prices that hold at the same
    # time the highest counts, so that none counts twice.
    return f"""\
/* dbminer: rows of {WAREHOUSE_COSTS.name} */
WITH usage_of_warehouses AS (
  SELECT
    t.`workspace_id` AS workspace_id,
    t.`usage_metadata`.`warehouse_id` AS warehouse_id,
    t.`cloud` AS cloud,
    t.`sku_name` AS sku_name,
    t.`usage_unit` AS usage_unit,
    t.`usage_start_time` AS start_time,
    t.`usage_end_time` AS end_time,
    CAST(t.`usage_quantity` AS DECIMAL(19,9)) AS quantity
  FROM {usage.quoted} AS t
  WHERE t.`usage_date` >= :start_date AND t.`usage_date` < :end_date
    AND t.`usage_start_time` < :end_time
    AND (t.`usage_end_time` > :start_time OR t.`usage_start_time` >= :start_time)
    AND t.`usage_metadata`.`warehouse_id` IS NOT NULL
),
used AS (
  SELECT {_USED}, CAST(sum(u.quantity) AS DECIMAL(19,9)) AS quantity, count(*) AS record_count
  FROM usage_of_warehouses AS u
  GROUP BY {_USED}
),
priced AS (
  SELECT
    {_USED}, u.quantity, u.record_count,
    max(CAST(p.`pricing`.`effective_list`.`default` AS DECIMAL(18,9))) AS price
  FROM used AS u
  LEFT JOIN {prices.quoted} AS p
    ON p.`sku_name` = u.sku_name AND p.`cloud` = u.cloud AND p.`usage_unit` = u.usage_unit
    AND p.`currency_code` = 'USD' AND p.`price_start_time` <= u.start_time
    AND (p.`price_end_time` IS NULL OR p.`price_end_time` > u.start_time)
  GROUP BY {_USED}, u.quantity, u.record_count
)
SELECT
  r.workspace_id, r.warehouse_id, r.start_time, r.end_time,
  CAST(round(1000000 * sum(CASE WHEN r.usage_unit = 'DBU' THEN r.quantity ELSE 0 END)) AS BIGINT)
    AS micro_dbus,
  CAST(round(1000000 * sum(r.quantity * r.price)) AS BIGINT) AS list_cost_micro_usd,
  CAST(sum(CASE WHEN r.price IS NULL AND r.quantity <> 0 THEN r.record_count ELSE 0 END) AS BIGINT)
    AS unpriced_records,
  count(*) OVER () AS {ALL_ROWS}
FROM priced AS r
GROUP BY r.workspace_id, r.warehouse_id, r.start_time, r.end_time"""  # noqa: S608 - names are quoted
