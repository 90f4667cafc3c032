"""The `dbminer` command. Exit status: 0 fine, 1 the work failed, 2 wrong use.

Dagster is imported inside the commands: worker processes import this module too, and must not
pay for it.
"""

import sys
from datetime import UTC, date, datetime

import click

from dbminer_dagster.cli_extract import DAY, extract
from dbminer_dagster.errors import DbminerError, SettingsError
from dbminer_dagster.preflight.model import Verdict
from dbminer_dagster.settings import Settings, load_settings
from dbminer_dagster.windows import Window


@click.group()
@click.version_option(package_name="dbminer")
def main() -> None:
    """Mines lineage, query history and popularity from Databricks."""


main.add_command(extract)


@main.command()
@click.option("--from", "first_day", type=DAY, required=True, help="First day, YYYY-MM-DD (UTC).")
@click.option("--to", "last_day", type=DAY, required=True, help="Last day, included.")
def mine(first_day: datetime, last_day: datetime) -> None:
    """Mine the days from --from to --to in this process, as one run of the Dagster instance."""
    settings = _settings()
    first, last = first_day.date(), last_day.date()
    _check_days(settings, first, last)
    from dbminer_dagster.run_in_process import mine as mine_in_process

    try:
        succeeded, faults = mine_in_process(settings, Window(first, Window.of_day(last).end))
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
    for fault in faults:
        click.echo(fault, err=True)
    if not succeeded:
        sys.exit(1)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings for programs.")
def preflight(*, as_json: bool) -> None:
    """Ask the sources what is missing before a run, and print what repairs it."""
    from dbminer_dagster.preflight import display
    from dbminer_dagster.preflight.plan import mined_sources
    from dbminer_dagster.preflight.plan import preflight as ask

    settings = _settings()
    reports = ask(settings, mined_sources(settings))
    if as_json:
        click.echo(display.as_json(reports))
    else:
        display.print_reports(reports)
    if display.has_wrong_setting(reports):
        sys.exit(2)
    if display.overall_verdict(reports) is Verdict.NOT_READY:
        sys.exit(1)


@main.command()
@click.option("--day", type=DAY, help="Scored day; by default the newest.")
@click.option(
    "--limit", type=click.IntRange(1), default=10, show_default=True, help="Tables to list."
)
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
