"""Runs the emulator by hand: `python -m dbminer_dagster_tests.databricks_emulator`."""

import argparse
import shlex
import signal
import sys
from pathlib import Path
from typing import get_args

from dbminer_dagster_tests.databricks_emulator.emulator import AuthType, Emulator, run_emulator
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
            emulator.load_files(options.files)
        sys.stdout.write(_instructions(emulator))
        sys.stdout.flush()
        signal.sigwait(ends)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dbminer_dagster_tests.databricks_emulator",
        description="Runs a Databricks workspace on loopback.",
    )
    parser.add_argument("--port", type=int, default=0, help="where it listens; any free port if 0")
    parser.add_argument("--files", type=Path, help="offline files that fill its system tables")
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
    return parser


def _instructions(emulator: Emulator) -> str:
    """The variables to export, for each of the ways to sign in."""
    lines: list[str] = []
    for auth_type in get_args(AuthType):
        variables = emulator.environment(auth_type).items()
        lines += [f"# {auth_type}", *(f"export {k}={shlex.quote(v)}" for k, v in variables), ""]
    return "\n".join([*lines, "# Ctrl-C ends it.", ""])


if __name__ == "__main__":
    main()
