"""How far the ticks of the schedule lie apart."""

from datetime import UTC, date, datetime
from functools import cache
from itertools import pairwise

import dagster as dg

from dbminer_dagster.settings import Settings

PROBED = (date(2024, 1, 1), datetime(2026, 1, 1, tzinfo=UTC))
"""Two years, one of them a leap year."""
LONGEST_PERIOD_DAYS = 366


def period_days(settings: Settings) -> int:
    """The most days that become minable between two ticks: one at least, for days are mined."""
    # At which time of a day it ticks makes no difference to days.
    days = settings.cron_schedule.split()[2:]
    return _longest_gap_days(" ".join(["0", "0", *days]))


@cache
def _longest_gap_days(cron_line: str) -> int:
    ticks = dg.TimeWindowPartitionsDefinition(
        start=str(PROBED[0]), fmt="%Y-%m-%d", cron_schedule=cron_line, timezone="UTC"
    )
    days = [date.fromisoformat(key) for key in ticks.get_partition_keys(current_time=PROBED[1])]
    gaps = [(later - earlier).days for earlier, later in pairwise(days)]
    return min(max(gaps, default=LONGEST_PERIOD_DAYS), LONGEST_PERIOD_DAYS)
