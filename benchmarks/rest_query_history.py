"""Reads a generated day over the Query History API: `make bench`, or this file with `--help`.

The workspace is the emulator, in a process of its own: the real client and HTTP, no network. The
same day is then read by the methods of Databricks' SDK, page after page, into nothing.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from measuring import Cost, in_fresh_process
from report import machine, markdown_table
from warehouse_rows import generated
from warehouse_server import NOW, served
from workspace import DAY, Size, Workspace

HEADER = ("who reads", "statements", "s", "statements/s", "ratio", "CPU s", "peak MB")
PAGE_ROWS = 999
PAGE_SECONDS = (0.0, 0.4)
"""What a page takes beyond the emulator's own work."""


def main() -> None:
    """Reads the command line, measures, prints, and writes where that is wanted."""
    options = _options()
    files = generated(options.work_dir / "warehouse", options.statements, lineage_rows=0)
    workspace = Workspace(options.work_dir, Size(options.statements, 0, 0, 0), window_days=1)
    rows: list[list[str]] = []
    for page_s in PAGE_SECONDS:
        workspace.clear()
        shutil.rmtree(_journals(workspace), ignore_errors=True)
        with served(files, page_s) as server:
            os.environ.update(server.environment)
            ours = in_fresh_process(prepared_read, workspace)
            plain = in_fresh_process(prepared_pages, DAY)
        rows += _rows(page_s, ours, plain)
    workspace.clear()
    report = _as_markdown(rows, options.statements)
    print(report)
    if options.write:
        options.write.write_text(report + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Reads a generated day over the REST API.")
    parser.add_argument("--statements", type=int, default=300_000)
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path(tempfile.gettempdir()) / "dbminer-benchmark",
        help="generated files stay here",
    )
    parser.add_argument("--write", type=Path, help="a Markdown file for the results")
    return parser.parse_args()


def prepared_read(workspace: Workspace) -> Callable[[], int]:
    """What is returned reads the day into its Delta table, and counts its statements."""
    from dbminer_dagster.databricks.connection import Connection
    from dbminer_dagster.databricks.rest_calls import RestCalls
    from dbminer_dagster.resources.rest_api.query_history import read_query_history
    from dbminer_dagster.schemas import RAW_QUERY_HISTORY
    from dbminer_dagster.spool import open_spool
    from dbminer_dagster.storage import DayFrame
    from dbminer_dagster.windows import Window

    calls = RestCalls(Connection.from_settings(workspace.settings("rest_api")))
    window = Window.of_day(DAY)

    def read() -> int:
        with open_spool() as spool:
            found = read_query_history(calls, window, spool, _journals(workspace), NOW)
            rows = DayFrame(found.frame, row_count=found.row_count)
            workspace.storage.replace_days(RAW_QUERY_HISTORY, window, rows)
        print(found.counts, file=sys.stderr)
        return found.row_count

    return read


def prepared_pages(day: date) -> Callable[[], int]:
    """What is returned asks for one page after the other, and counts their statements."""
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.sql import QueryFilter, TimeRange

    from dbminer_dagster.windows import Window

    client = WorkspaceClient()
    window = Window.of_day(day)
    last_instant = window.end_time - timedelta(milliseconds=1)
    first_ms, last_ms = (
        round(time.timestamp() * 1000) for time in (window.start_time, last_instant)
    )
    of_day = QueryFilter(query_start_time_range=TimeRange(last_ms, first_ms))

    def read() -> int:
        page = client.query_history.list(
            filter_by=of_day, include_metrics=True, max_results=PAGE_ROWS
        )
        statements = len(page.res or ())
        while page.has_next_page:
            page = client.query_history.list(
                include_metrics=True, max_results=PAGE_ROWS, page_token=page.next_page_token
            )
            statements += len(page.res or ())
        return statements

    return read


def _journals(workspace: Workspace) -> Path:
    return workspace.folder / "journals"


def _rows(page_s: float, ours: tuple[int, Cost], plain: tuple[int, Cost]) -> list[list[str]]:
    plain_speed = plain[0] / plain[1].seconds
    return [
        [
            f"{name}; a page in {page_s} s more",
            f"{statements:,}",
            f"{cost.seconds:,.1f}",
            f"{statements / cost.seconds:,.0f}",
            f"{statements / cost.seconds / plain_speed:.2f}",
            f"{cost.cpu_seconds:,.1f}",
            f"{cost.peak_mb:,.0f}",
        ]
        for name, (statements, cost) in (
            ("dbminer, into a Delta table", ours),
            ("`query_history.list`, page after page", plain),
        )
    ]


def _as_markdown(rows: list[list[str]], generated_rows: int) -> str:
    return "\n\n".join(
        (
            "# Benchmark of query history over REST",
            "Written by `make bench`; do not edit.",
            f"One generated day of {generated_rows:,} statements with texts of 900 characters. The "
            "workspace is the emulator on the same machine; its own work is part of the seconds, "
            "not of the memory. A workspace and a network take longer for a page than it does: the "
            "day is read without and with such a delay.",
            f"Machine: {machine()}",
            "The ratio compares statements per second with a plain client in the same run, which "
            "asks for one page after the other and keeps nothing. dbminer journals every page, so "
            "that it can be killed at any time, decodes, writes a Delta table and checks it; it "
            "sends at most ten requests a second.",
            markdown_table(HEADER, rows),
        )
    )


if __name__ == "__main__":
    main()
