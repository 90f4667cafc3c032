"""The workspace emulator in a process of its own."""

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from warehouse_rows import WORKSPACE_ID

NOW = datetime(2026, 1, 9, 12, tzinfo=UTC)
"""The workspace's present: of query history REST gives the last 30 days alone."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that somebody ran, with the values bound to its markers."""

    text: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Served:
    """A running warehouse.

    Attributes:
        environment: Variables by which the miner reaches it.
        statements: Gives the statements with many rows, since it was asked last.
    """

    environment: Mapping[str, str]
    statements: Callable[[], list[Statement]]


@contextmanager
def served(files: Mapping[str, Path], page_s: float = 0) -> Iterator[Served]:
    """Runs a workspace over files.

    Args:
        files: Parquet files, by the name of their table.
        page_s: How long a page of query history takes beyond the emulator's own work.
    """
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    process = context.Process(target=_serve, args=(far, files, page_s), daemon=True)
    process.start()

    def statements() -> list[Statement]:
        near.send("statements")
        return near.recv()

    try:
        yield Served(near.recv(), statements)
    finally:
        near.send("stop")
        process.join()


def _serve(pipe: Pipe, files: Mapping[str, Path], page_s: float) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from dbminer_dagster_tests.databricks_emulator import run_emulator
    from dbminer_dagster_tests.databricks_emulator.faults import Fault

    with run_emulator() as emulator:
        emulator.workspace.workspace_id = WORKSPACE_ID
        emulator.workspace.clock = lambda: NOW
        if page_s:
            history = "/api/2.0/sql/history/queries"
            emulator.faults.add(Fault("slow", history, times=sys.maxsize, delay_s=page_s))
        for name, path in files.items():
            emulator.load_parquet(name, str(path))
        pipe.send(
            {
                **emulator.environment("pat"),
                "DBMINER_LINEAGE_METHOD": "system_table",
                "DBMINER_START_DATE": "2026-01-01",
            }
        )
        told = 0
        while pipe.recv() == "statements":
            since = emulator.statements[told:]
            told += len(since)
            pipe.send(
                [
                    Statement(record.text, dict(record.parameters))
                    for record in since
                    if record.rows_sent > MANY_ROWS
                ]
            )


MANY_ROWS = 1000
"""More than a count by day or a probe ever has."""
