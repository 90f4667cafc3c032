"""Reads a generated day through a SQL warehouse: `make bench`, or this file with `--help`.

The warehouse is the workspace emulator, in a process of its own: the real client and its protocol,
no network. Every result is then read again, by the very statements that dbminer ran, with a plain
`fetchall_arrow`.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measuring import Cost, in_fresh_process
from report import machine, markdown_table
from stages import RAW_LINEAGE, RAW_STAGES, Stage, prepared_run
from warehouse_rows import generated
from warehouse_server import Statement, served
from workspace import Size, Workspace

WHOLE_DAY = Stage("both, in one process", ("raw_query_history", *RAW_LINEAGE))
HEADER = ("what is read, and how", "rows", "s", "rows/s", "ratio", "CPU s", "peak MB")


def main() -> None:
    """Reads the command line, measures, prints, and writes where that is wanted."""
    options = _options()
    files = generated(options.work_dir / "warehouse", options.statements, options.lineage_rows)
    workspace = Workspace(options.work_dir, Size(options.statements, 0, 0, 0), window_days=1)
    with served(files) as warehouse:
        os.environ.update(warehouse.environment)
        measured = [
            _Compared(stage.name, *_measured(workspace, stage, warehouse.statements))
            for stage in (*RAW_STAGES, WHOLE_DAY)
        ]
    report = _as_markdown(measured, options)
    print(report)
    if options.write:
        options.write.write_text(report + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Reads a generated day of system tables.")
    parser.add_argument("--statements", type=int, default=1_000_000)
    parser.add_argument("--lineage-rows", type=int, default=5_000_000, help="tables and columns")
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path(tempfile.gettempdir()) / "dbminer-benchmark",
        help="generated files stay here",
    )
    parser.add_argument("--write", type=Path, help="a Markdown file for the results")
    return parser.parse_args()


@dataclass(frozen=True, slots=True)
class _Compared:
    """One result read by dbminer, into its tables, and by the client alone, into memory."""

    name: str
    rows: int
    dbminer: Cost
    plain: Cost

    @property
    def cells(self) -> list[list[str]]:
        """Two rows of the report."""
        pair = (("dbminer, into Delta tables", self.dbminer), ("`fetchall_arrow`", self.plain))
        return [
            [
                f"{self.name}: {way}",
                f"{self.rows:,}",
                f"{cost.seconds:,.1f}",
                f"{self.rows / cost.seconds:,.0f}",
                f"{self.plain.seconds / cost.seconds:.2f}",
                f"{cost.cpu_seconds:,.1f}",
                f"{cost.peak_mb:,.0f}",
            ]
            for way, cost in pair
        ]


def _measured(
    workspace: Workspace, stage: Stage, statements_since: Callable[[], list[Statement]]
) -> tuple[int, Cost, Cost]:
    workspace.clear()
    statements_since()
    _, cost = in_fresh_process(prepared_run, workspace, stage, "system_table")
    read = statements_since()
    workspace.clear()
    rows, plain = in_fresh_process(prepared_fetch, read)
    print(f"{stage.name}: {cost.seconds:.1f} s, {cost.peak_mb:,.0f} MB", file=sys.stderr)
    return rows, cost, plain


def prepared_fetch(statements: list[Statement]) -> Callable[[], int]:
    """What is returned reads all results whole, one after the other, and counts their rows."""
    from databricks import sql

    host = os.environ["DATABRICKS_HOST"]
    path = f"/sql/1.0/warehouses/{os.environ['DBMINER_WAREHOUSE_ID']}"

    def fetch() -> int:
        rows = 0
        with sql.connect(
            server_hostname="127.0.0.1",
            http_path=path,
            _connection_uri=host + path,
            access_token=os.environ["DATABRICKS_TOKEN"],
            enable_telemetry=False,
        ) as connection:
            for statement in statements:
                with connection.cursor() as cursor:
                    cursor.execute(statement.text, dict(statement.parameters))
                    rows += cursor.fetchall_arrow().num_rows
        return rows

    return fetch


def _as_markdown(measured: list[_Compared], options: argparse.Namespace) -> str:
    return "\n\n".join(
        (
            "# Benchmark of system tables",
            "Written by `make bench`; do not edit.",
            f"One generated day: {options.statements:,} statements with texts of 900 characters, "
            f"{options.lineage_rows:,} lineage rows of which four in five are distinct. The "
            "warehouse is the emulator on the same machine; its own work is part of the seconds, "
            "not of the memory.",
            f"Machine: {machine()}",
            "The ratio compares rows per second with a plain `fetchall_arrow` of the same "
            "statements in the same run, which writes nothing, checks nothing and holds all rows "
            "in memory. dbminer counts the source, streams, writes Delta tables and checks them.",
            markdown_table(HEADER, [cells for one in measured for cells in one.cells]),
        )
    )


if __name__ == "__main__":
    main()
