"""A workspace with many tables, and limits of requests, in a process of its own."""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbminer_dagster_tests.databricks_emulator import Emulator

CATALOG = "main"
TABLES_A_SCHEMA = 200
COLUMNS = ("a", "b", "c", "d")
EVENT_TIME = datetime(2026, 1, 5, 12, tzinfo=UTC)
ONE_LIST_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Metastore:
    """How many tables there are, and what the workspace takes.

    Attributes:
        tables: All tables.
        columns: Columns of those that have lineage.
        tables_per_second: Table-lineage requests that are answered.
        columns_per_second: Column-lineage requests that are answered.
        answer_s: How long each of them takes beyond the emulator's own work.
    """

    tables: int
    columns: int
    tables_per_second: float
    columns_per_second: float
    answer_s: float

    @property
    def seconds(self) -> float:
        """Nobody can have asked for all of it earlier."""
        return max(self.tables / self.tables_per_second, self.columns / self.columns_per_second)

    def parts(self, number: int) -> tuple[str, str, str]:
        """The name of a table."""
        return CATALOG, f"s{number // TABLES_A_SCHEMA}", f"t{number}"


@dataclass(frozen=True, slots=True)
class Requests:
    """Lineage requests, by what became of them."""

    accepted: int
    refused: int


@dataclass(frozen=True, slots=True)
class Served:
    """A running workspace.

    Attributes:
        environment: Variables by which clients reach it.
        requests: Gives the requests since it was asked last.
    """

    environment: Mapping[str, str]
    requests: Callable[[], Requests]


@contextmanager
def served(metastore: Metastore) -> Iterator[Served]:
    """Runs a workspace with this metastore."""
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    process = context.Process(target=_serve, args=(far, metastore), daemon=True)
    process.start()

    def requests() -> Requests:
        near.send("requests")
        return near.recv()

    try:
        yield Served(near.recv(), requests)
    finally:
        near.send("stop")
        process.join()


def _serve(pipe: Pipe, metastore: Metastore) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from dbminer_dagster_tests.databricks_emulator import run_emulator

    with run_emulator() as emulator:
        _fill(emulator, metastore)
        limits = emulator.rate_limits
        limits.table_lineage = metastore.tables_per_second
        limits.column_lineage = metastore.columns_per_second
        limits.most_parallel = 20
        _delay_answers(emulator, metastore.answer_s)
        pipe.send(emulator.environment("pat"))
        while pipe.recv() == "requests":
            lineage = ("table_lineage", "column_lineage")
            accepted = sum(limits.accepted[kind] for kind in lineage)
            refused = sum(limits.refused[kind] for kind in (*lineage, "parallel"))
            limits.accepted.clear()
            limits.refused.clear()
            pipe.send(Requests(accepted, refused))


def _fill(emulator: "Emulator", metastore: Metastore) -> None:
    """Adds the tables; those with lineage lie evenly among them, each fed by the one before."""
    from dbminer_dagster_tests.databricks_emulator.workspace import Column, Table

    columns = tuple(Column(name) for name in COLUMNS)
    for number in range(metastore.tables):
        emulator.workspace.add_table(Table(*metastore.parts(number), columns=columns))
    emulator.workspace.page_size = ONE_LIST_PAGE
    with_lineage = metastore.columns // len(COLUMNS)
    numbers = [at * metastore.tables // with_lineage for at in range(with_lineage)]
    edges = [
        _edge(metastore.parts(source), metastore.parts(target))
        for source, target in pairwise(numbers)
    ]
    emulator.load_rows("system.access.table_lineage", edges)
    of_columns = [
        {**edge, "source_column_name": name, "target_column_name": name}
        for edge in edges
        for name in COLUMNS
    ]
    emulator.load_rows("system.access.column_lineage", of_columns)


def _edge(source: tuple[str, str, str], target: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "workspace_id": "4126839075512048",
        "event_time": EVENT_TIME,
        "source_table_full_name": ".".join(source),
        "target_table_full_name": ".".join(target),
        "source_type": "TABLE",
        "target_type": "TABLE",
        "record_id": f"{source[-1]}-{target[-1]}",
    }


def _delay_answers(emulator: "Emulator", seconds: float) -> None:
    server = emulator._server  # noqa: SLF001
    routes = []
    for each in server.routes:

        def answer(call: Any, usual: Callable[[Any], Any] = each.answer) -> Any:
            time.sleep(seconds)
            return usual(call)

        routes.append(each._replace(answer=answer) if "lineage" in each.path.pattern else each)
    server.routes = tuple(routes)
