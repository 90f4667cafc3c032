"""Asset checks on the result tables."""

import dagster as dg

from dbminer_dagster.settings import Settings


def quality_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """All checks for these settings."""
    del settings
    return []
