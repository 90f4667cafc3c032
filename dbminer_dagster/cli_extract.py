"""`dbminer extract`: the command and its options."""

import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from dbminer_dagster.errors import DbminerError, SettingsError
from dbminer_dagster.extraction import DEFAULT_PART_BYTES
from dbminer_dagster.settings import load_settings

if TYPE_CHECKING:
    from dbminer_dagster.extraction.reporting import Reporter

DAY = click.DateTime(formats=["%Y-%m-%d"])
LARGEST_PART_BYTES = 4 * 10**9
"""S3 takes 5 GB in one request."""


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


class _Size(click.ParamType):
    """Bytes, such as `64MB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType.convert`."""
        match = re.fullmatch(r"([0-9]+) ?((?:[KMG]?B)?)", str(value).upper())
        size_bytes = int(match[1]) * _UNITS[match[2]] if match else 0
        if not 0 < size_bytes <= LARGEST_PART_BYTES:
            self.fail(f"{value!r} is no size from 1 B to 4 GB, such as 64MB.", param, ctx)
        return size_bytes


@click.command()
@click.option("--lineage", is_flag=True, help="Extract lineage; both if neither is given.")
@click.option("--query-history", is_flag=True, help="Extract query history.")
@click.option(
    "--columns/--no-columns", default=True, show_default=True, help="Column lineage as well."
)
@click.option(
    "--since", type=DAY, help="First day (UTC), as 2026-01-31; by default --until.", metavar="DAY"
)
@click.option(
    "--until", type=DAY, help="Last day, included; by default the newest minable.", metavar="DAY"
)
@click.option(
    "--out", metavar="URI", help="Folder or s3://bucket/prefix; by default DBMINER_OFFLINE_URI."
)
@click.option(
    "--part-size",
    type=_Size(),
    default=DEFAULT_PART_BYTES,
    show_default=f"{DEFAULT_PART_BYTES // 10**6}MB",
    help="Uncompressed, of a file.",
)
@click.option(
    "--gzip/--no-gzip", "is_gzip", default=True, show_default=True, help="Compress the files."
)
@click.option("--resume", is_flag=True, help="Go on with the same extraction that was cut off.")
@click.option("--restart", is_flag=True, help="Forget what it has read, and begin anew.")
def extract(
    *,
    lineage: bool,
    query_history: bool,
    columns: bool,
    since: datetime | None,
    until: datetime | None,
    out: str | None,
    part_size: int,
    is_gzip: bool,
    resume: bool,
    restart: bool,
) -> None:
    """Write offline files from a workspace, for a miner that cannot reach it.

    Reads query history of the days from --since to --until, and lineage as it is now, over the
    REST API; writes extracted-lineage/ and extracted-query-history/, each with result-N.json.gz
    and a manifest that the offline method verifies. The days of lineage only tell the miner which
    days its edges concern.

    Nothing that was answered is lost when the command is cut off: run it again with --resume.

    Exit status: 0 all is written, 1 the work failed, 2 wrong use.
    """
    if resume and restart:
        raise click.UsageError("--resume and --restart exclude each other.")
    # Databricks' clients take seconds to import; `--help` does not need them.
    from dbminer_dagster.databricks.connection import Connection
    from dbminer_dagster.extraction.plan import Wanted
    from dbminer_dagster.extraction.run import Start
    from dbminer_dagster.extraction.run import extract as do_extract

    wanted = Wanted(
        lineage=lineage,
        query_history=query_history,
        columns=columns,
        since=since and since.date(),
        until=until and until.date(),
        out=out,
        part_bytes=part_size,
        is_gzip=is_gzip,
    )
    start = Start.RESUME if resume else Start.RESTART if restart else Start.REFUSE
    try:
        settings = load_settings()
        connection = Connection.from_settings(settings)
        plan = wanted.plan(settings, connection.host, datetime.now(UTC))
        summary = do_extract(plan, settings, connection, start, _reporter())
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
    except DbminerError as error:
        click.echo(str(error), err=True)
        click.echo("To go on from where it ended, run the same with --resume.", err=True)
        sys.exit(1)
    for line in summary.lines():
        click.echo(line)
    click.echo(f"Written to {plan.out}")


def _reporter() -> "Reporter":
    from rich.console import Console

    from dbminer_dagster.extraction.reporting import LineReporter, TerminalReporter

    console = Console(stderr=True)
    if console.is_terminal:
        return TerminalReporter(console)
    return LineReporter(lambda line: click.echo(line, err=True))
