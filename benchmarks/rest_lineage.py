"""Asks a workspace for the lineage of all its tables: `make bench`, or this file with `--help`.

The workspace is the emulator, in a process of its own: the real client and HTTP, no network. It
refuses what goes over its limits. A plain client then asks the same workspace for one table after
the other.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measuring import Cost, in_fresh_process
from report import machine, markdown_table
from rest_lineage_server import CATALOG, Metastore, Requests, served

HEADER = (
    *("who asks", "tables", "columns", "s", "of the limits' floor", "tables/s"),
    *("requests a table", "refused", "CPU s", "peak MB"),
)
SMALLER = 10
"""The same once more with so many times fewer tables: memory must not follow their number."""


def main() -> None:
    """Reads the command line, measures, prints, and writes where that is wanted."""
    options = _options()
    rows: list[list[str]] = []
    for divisor in (SMALLER, 1):
        metastore = Metastore(
            options.tables // divisor,
            options.columns // divisor,
            options.tables_per_second,
            options.columns_per_second,
            options.answer_ms / 1000,
        )
        rows.append(_measured_dbminer(metastore))
    rows.append(_measured_plain(metastore, options.plain_tables))
    report = _as_markdown(rows, options)
    print(report)
    if options.write:
        options.write.write_text(report + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Reads the lineage of a workspace over REST.")
    parser.add_argument("--tables", type=int, default=20_000)
    parser.add_argument("--columns", type=int, default=6_000, help="of tables with lineage")
    parser.add_argument("--tables-per-second", type=float, default=300.0)
    parser.add_argument("--columns-per-second", type=float, default=100.0)
    parser.add_argument("--answer-ms", type=float, default=20.0, help="a workspace thinks so long")
    parser.add_argument("--plain-tables", type=int, default=1_000, help="for the plain client")
    parser.add_argument("--write", type=Path, help="a Markdown file for the results")
    return parser.parse_args()


def prepared_extraction(metastore: Metastore) -> Callable[[], int]:
    """What is returned reads all lineage into lines, and counts them."""
    from dbminer_dagster.databricks.connection import Connection
    from dbminer_dagster.databricks.rest_calls import RestCalls
    from dbminer_dagster.rest_api.lineage import Rates, read_lineage
    from dbminer_dagster.rest_api.progress import ProgressLines
    from dbminer_dagster.settings import load_settings

    calls = RestCalls(Connection.from_settings(load_settings()))
    rates = Rates(metastore.tables_per_second, metastore.columns_per_second)
    progress = ProgressLines(lambda line: print(line, file=sys.stderr))

    def read() -> int:
        with (
            tempfile.TemporaryDirectory(prefix="dbminer-") as folder,
            read_lineage(
                calls,
                Path(folder),
                excluded_catalogs=["system"],
                with_columns=True,
                progress=progress,
                rates=rates,
            ) as answers,
        ):
            return sum(1 for _ in answers.lines())

    return read


def prepared_loop(tables: int) -> Callable[[], int]:
    """What is returned asks for the lineage of some tables, one after the other."""
    from databricks.sdk import WorkspaceClient

    client = WorkspaceClient()

    def ask() -> int:
        found = 0
        for _, summary in zip(range(tables), client.tables.list_summaries(CATALOG), strict=False):
            body = client.api_client.do(
                "GET",
                "/api/2.0/lineage-tracking/table-lineage",
                query={"table_name": summary.full_name, "include_entity_lineage": True},
            )
            found += bool(body)
        return found

    return ask


def _measured_dbminer(metastore: Metastore) -> list[str]:
    with served(metastore) as workspace:
        os.environ.update(workspace.environment)
        _, cost = in_fresh_process(prepared_extraction, metastore)
        requests = workspace.requests()
    return [
        "dbminer",
        f"{metastore.tables:,}",
        f"{metastore.columns:,}",
        f"{cost.seconds:,.1f}",
        f"{cost.seconds / metastore.seconds:.2f}",
        *_cells(metastore.tables, requests, cost),
    ]


def _measured_plain(metastore: Metastore, tables: int) -> list[str]:
    with served(metastore) as workspace:
        os.environ.update(workspace.environment)
        _, cost = in_fresh_process(prepared_loop, tables)
        requests = workspace.requests()
    floor = tables / metastore.tables_per_second
    return [
        "plain client",
        f"{tables:,}",
        "0",
        f"{cost.seconds:,.1f}",
        f"{cost.seconds / floor:.2f}",
        *_cells(tables, requests, cost),
    ]


def _cells(tables: int, requests: Requests, cost: Cost) -> list[str]:
    sent = requests.accepted + requests.refused
    return [
        f"{tables / cost.seconds:,.0f}",
        f"{sent / tables:.2f}",
        f"{requests.refused / sent:.2%}",
        f"{cost.cpu_seconds:,.1f}",
        f"{cost.peak_mb:,.0f}",
    ]


def _as_markdown(rows: list[list[str]], options: argparse.Namespace) -> str:
    return "\n\n".join(
        (
            "# Benchmark of lineage over REST",
            "Written by `make bench`; do not edit.",
            f"A workspace that answers {options.tables_per_second:,.0f} table-lineage and "
            f"{options.columns_per_second:,.0f} column-lineage requests a second, each after "
            f"{options.answer_ms:,.0f} ms, at most 20 at once, and refuses all others. It is the "
            "emulator on the same machine; its own work is part of the seconds, not of the "
            "memory. Of every 13 tables one has lineage, and four columns.",
            f"Machine: {machine()}",
            "dbminer asks for all tables and for the columns of those with lineage at the same "
            "time, journals every answer, and writes the lines of an offline file. The plain "
            "client asks for one table after the other, for no column, and keeps nothing.",
            markdown_table(HEADER, rows),
        )
    )


if __name__ == "__main__":
    main()
