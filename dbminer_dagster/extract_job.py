"""The job that does the work of `dbminer extract`."""

from datetime import UTC, date, datetime
from typing import Any

import dagster as dg

from dbminer_dagster.errors import SettingsError
from dbminer_dagster.failures import user_errors
from dbminer_dagster.run_outcomes import FIRST_DAY, LAST_DAY
from dbminer_dagster.settings import load_settings
from dbminer_dagster.windows import Window


class ExtractConfig(dg.Config):
    """What is extracted, as the options of the command say it.

    Attributes:
        lineage: Extract lineage; both kinds where neither is chosen.
        query_history: Extract query history.
        columns: Column lineage belongs to lineage.
        since: First day (UTC), as 2026-01-31; by default `until`.
        until: Last day, included; by default the newest minable day.
        out: Folder or `s3://bucket/prefix`; by default `DBMINER_OFFLINE_URI`.
    """

    lineage: bool = False
    query_history: bool = False
    columns: bool = True
    since: str | None = None
    until: str | None = None
    out: str | None = None


@dg.op(
    description="Writes offline files from the workspace; goes on with an extraction of the same "
    "that was cut off."
)
def write_offline_files(context: dg.OpExecutionContext, config: ExtractConfig) -> None:
    """Does what `dbminer extract --resume` does."""
    # Databricks' clients take seconds to import, and definitions must load without.
    from dbminer_dagster.databricks.connection import Connection
    from dbminer_dagster.extraction.plan import Wanted
    from dbminer_dagster.extraction.reporting import LineReporter
    from dbminer_dagster.extraction.run import Start, extract

    with user_errors():
        wanted = Wanted(
            lineage=config.lineage,
            query_history=config.query_history,
            columns=config.columns,
            since=_day("since", config.since),
            until=_day("until", config.until),
            out=config.out,
        )
        settings = load_settings()
        connection = Connection.from_settings(settings)
        plan = wanted.plan(settings, connection.host, datetime.now(UTC))
        reporter = LineReporter(context.log.info)
        summary = extract(plan, settings, connection, Start.RESUME, reporter)
    context.add_output_metadata(
        {
            "out": plan.out,
            "days": str(plan.window),
            "parts": sum(written.parts for written in summary.written),
            "rows": sum(written.rows for written in summary.written),
            "requests": summary.requests,
            "summary": dg.MetadataValue.md("\n".join(f"- {line}" for line in summary.lines())),
        }
    )


@dg.job(description="Writes offline files from a workspace, for a miner that cannot reach it.")
def extract_offline_files() -> None:
    """The job of that name."""
    write_offline_files()


def extraction_of(days: Window) -> dict[str, Any]:
    """The arguments of a run request that extracts these days."""
    first, last = str(days.start), str(days.last_day)
    config = {"since": first, "until": last}
    return {
        "run_config": {"ops": {"write_offline_files": {"config": config}}},
        "tags": {FIRST_DAY: first, LAST_DAY: last},
    }


def _day(name: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{name}: {text!r} is not a day, such as 2026-01-31.") from None
