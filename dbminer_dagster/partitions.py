"""The one daily partitions definition, and how it maps to windows."""

from datetime import date

import dagster as dg

from dbminer_dagster.settings import Settings
from dbminer_dagster.windows import Window


def daily_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """UTC days from the start date to the newest day that has rested for the lag."""
    # An offset of 0 ends with yesterday, which is a lag of one day.
    return dg.DailyPartitionsDefinition(
        start_date=settings.start_date.isoformat(),
        timezone="UTC",
        end_offset=1 - settings.lag_days,
    )


def trailing(days: int) -> dg.TimeWindowPartitionMapping:
    """A day to the `days` days of which it is the last; fewer at the start date."""
    return dg.TimeWindowPartitionMapping(start_offset=1 - days)


def run_window(context: dg.AssetExecutionContext | dg.OutputContext | dg.InputContext) -> Window:
    """The days of a run, for an asset, an output or an input."""
    if isinstance(context, dg.AssetExecutionContext):
        window = context.partition_time_window
    else:
        window = context.asset_partitions_time_window
    return Window(window.start.date(), window.end.date())


def day_key(day: date) -> str:
    """The partition key of a day."""
    return day.isoformat()
