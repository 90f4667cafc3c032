"""Runs the emulator by hand: `python -m dbminer_dagster_tests.databricks_emulator`."""

import argparse
import shlex
import signal
import sys
from datetime import date
from pathlib import Path
from typing import get_args

from dbminer_dagster_tests.databricks_emulator.emulator import AuthType, Emulator, run_emulator
from dbminer_dagster_tests.databricks_emulator.rate_limits import RateLimits, RequestKind
from dbminer_dagster_tests.databricks_emulator.warehouse import WarehouseState


def main() -> None:
    """Runs a workspace in the foreground until it is interrupted."""
    options = _parser().parse_args()
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with run_emulator(options.port) as emulator:
        emulator.workspace.warehouse.state = options.warehouse_state
        for principal in emulator.workspace.principals:
            for grant in options.revoke:
                emulator.workspace.run_sql_as_admin(f"REVOKE {grant} FROM `{principal.name}`")
        if options.files:
            emulator.load_files(options.files, options.shift_to)
            emulator.add_tables_of_lineage()
            emulator.adopt_workspace_id()
        _limit(emulator.rate_limits, options)
        sys.stdout.write(_instructions(emulator))
        sys.stdout.flush()
        signal.sigwait(ends)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dbminer_dagster_tests.databricks_emulator",
        description="Runs a Databricks workspace on loopback.",
    )
    parser.add_argument("--port", type=int, default=0, help="where it listens; any free port if 0")
    parser.add_argument(
        "--files",
        type=Path,
        help="offline files with rows of system tables; the workspace takes over their tables "
        "and, for REST, the id under which most of their statements ran",
    )
    parser.add_argument(
        "--shift-to",
        type=date.fromisoformat,
        metavar="DAY",
        help="moves all times of the files by whole days, so that their newest day is this one; "
        "REST knows statements of the last 30 days only",
    )
    parser.add_argument(
        "--warehouse-state", choices=get_args(WarehouseState), default="RUNNING", help="at first"
    )
    parser.add_argument(
        "--revoke",
        action="append",
        default=[],
        metavar="GRANT",
        help='privileges that nobody has, such as "SELECT ON SCHEMA system.access"',
    )
    for kind in get_args(RequestKind):
        parser.add_argument(
            f"--{kind.replace('_', '-')}-per-second",
            type=float,
            metavar="N",
            help="requests over it are refused with a 429; no limit by default",
        )
    parser.add_argument(
        "--most-parallel", type=int, metavar="N", help="REST requests at once; as above"
    )
    return parser


def _limit(limits: RateLimits, options: argparse.Namespace) -> None:
    for kind in get_args(RequestKind):
        setattr(limits, kind, getattr(options, f"{kind}_per_second"))
    limits.most_parallel = options.most_parallel


def _instructions(emulator: Emulator) -> str:
    """The variables to export, for each of the ways to sign in."""
    lines: list[str] = []
    for auth_type in get_args(AuthType):
        variables = emulator.environment(auth_type).items()
        lines += [f"# {auth_type}", *(f"export {k}={shlex.quote(v)}" for k, v in variables), ""]
    return "\n".join([*lines, "# Ctrl-C ends it.", ""])


if __name__ == "__main__":
    main()
