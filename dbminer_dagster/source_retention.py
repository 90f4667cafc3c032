"""How far back the sources know anything."""

from datetime import date, datetime, timedelta

from dbminer_dagster.settings import ExtractionMethod, Settings

SYSTEM_TABLE_DAYS = 365


def oldest_day(settings: Settings, now: datetime) -> date | None:
    """The first day of which every source that is mined still knows all; None if none is known.

    Offline files know what they know, and a lineage snapshot knows each edge that it still has.
    """
    history = settings.query_history_extraction_method if settings.calculate_popularity else None
    oldest = []
    if ExtractionMethod.SYSTEM_TABLE in {settings.lineage_method, history}:
        oldest.append(now.date() - timedelta(days=SYSTEM_TABLE_DAYS - 1))
    if history is ExtractionMethod.REST_API:
        oldest.append(oldest_statements(now))
    return max(oldest, default=None)


def oldest_statements(now: datetime) -> date:
    """The first day of which the Query History API still knows all statements."""
    # Databricks' clients take seconds to import, and definitions must load without.
    from dbminer_dagster.rest_api.query_history import covered_days

    return covered_days(now)[0]
