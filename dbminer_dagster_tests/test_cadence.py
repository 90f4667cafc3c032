"""How many days a tick of the schedule finds new at most."""

import pytest

from dbminer_dagster.cadence import period_days
from dbminer_dagster.settings import load_settings


@pytest.mark.parametrize(
    ("schedule", "days"),
    [
        ("hourly", 1),
        ("daily", 1),
        ("weekly", 7),
        ("monthly", 31),
        ("*/5 * * * *", 1),
        ("15 4,20 * * 1-5", 3),
        ("0 6 */3 * *", 3),
        ("0 0 1 1 *", 366),
        ("0 0 29 2 *", 366),
    ],
)
def test_the_longest_gap_counts(schedule: str, days: int) -> None:
    """A weekday schedule has its weekend; what ticks more often than daily finds one day."""
    assert period_days(load_settings(schedule=schedule)) == days
