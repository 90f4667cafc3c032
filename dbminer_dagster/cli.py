"""The `dbminer` command. Exit status: 0 fine, 1 the work failed, 2 wrong use.

Dagster is imported inside the commands: worker processes import this module too, and must not
pay for it.
"""

import os
import sys
from datetime import UTC, date, datetime

import click

from dbminer_dagster.errors import DbminerError
from dbminer_dagster.settings import Settings, load_settings
from dbminer_dagster.windows import Window

DAY = click.DateTime(formats=["%Y-%m-%d"])
RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@click.group()
@click.version_option(package_name="dbminer")
def main() -> None:
    """Mines lineage, query history and popularity from Databricks."""


@main.command()
@click.option("--from", "first_day", type=DAY, required=True, help="First day, YYYY-MM-DD (UTC).")
@click.option("--to", "last_day", type=DAY, required=True, help="Last day, included.")
def mine(first_day: datetime, last_day: datetime) -> None:
    """Mine the days from --from to --to in this process, as one run of the Dagster instance."""
    settings = _settings()
    first, last = first_day.date(), last_day.date()
    _check_days(settings, first, last)
    if not _mined(settings, Window(first, Window.of_day(last).end)):
        sys.exit(1)


@main.command()
@click.option("--day", type=DAY, help="Scored day; by default the newest.")
@click.option("--limit", default=10, show_default=True, help="Tables to list.")
def report(day: datetime | None, limit: int) -> None:
    """Print the most popular tables, and what is used of, feeds and follows from the first."""
    from dbminer_dagster.report import print_report

    settings = _settings()
    try:
        print_report(settings, day.date() if day else None, limit)
    except DbminerError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


def _settings() -> Settings:
    try:
        return load_settings()
    except DbminerError as error:
        raise click.UsageError(str(error)) from None


def _check_days(settings: Settings, first: date, last: date) -> None:
    newest = settings.newest_minable_day(datetime.now(UTC).date())
    if last < first:
        raise click.UsageError(f"--to {last} lies before --from {first}.")
    if first < settings.start_date:
        raise click.UsageError(
            f"--from {first} lies before DBMINER_START_DATE={settings.start_date}; set it earlier."
        )
    if last > newest:
        raise click.UsageError(
            f"--to {last} is too new: with DBMINER_LAG_DAYS={settings.lag_days} the newest day "
            f"that may be mined is {newest}."
        )


def _mined(settings: Settings, window: Window) -> bool:
    import dagster as dg

    from dbminer_dagster.definitions import build_definitions
    from dbminer_dagster.progress import progress_logger

    name = "mine_lineage_and_popularity" if settings.calculate_popularity else "mine_lineage"
    definitions = build_definitions(settings, loggers={"console": progress_logger})
    home = "DAGSTER_HOME" in os.environ
    with dg.DagsterInstance.get() if home else dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def(name).execute_in_process(
            instance=instance,
            tags=dict(zip(RANGE_TAGS, (str(window.start), str(window.last_day)), strict=True)),
            run_config={"loggers": {"console": {}}},
            raise_on_error=False,
        )
    for failure in result.get_step_failure_events():
        error = failure.step_failure_data.error
        click.echo(f"{failure.step_key}: {error.message.strip() if error else ''}", err=True)
    return result.success
