"""Lineage over REST: asked once for everything that has it, whatever comes in between."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dbminer_dagster.databricks.connection import Connection
from dbminer_dagster.databricks.rest_calls import RestCalls
from dbminer_dagster.errors import (
    AccessDeniedError,
    RequestBudgetError,
    WorkspaceError,
    WorkspaceUnreachableError,
)
from dbminer_dagster.rest_api.lineage import LineageAnswers, Rates, journal_of, read_lineage
from dbminer_dagster.settings import load_settings
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.api_error import Answer, refused
from dbminer_dagster_tests.databricks_emulator.routes import Body, Call, find_route, route
from dbminer_dagster_tests.databricks_emulator.workspace import Column, Table
from dbminer_dagster_tests.offline_files import column_row, lineage_row
from dbminer_dagster_tests.warehouse import COLUMN_LINEAGE, TABLE_LINEAGE

TABLE_PATH, COLUMN_PATH = (
    f"/api/2.0/lineage-tracking/{kind}-lineage" for kind in ("table", "column")
)
CATALOG_ROOT = "/api/2.1/unity-catalog"
FAST = Rates(2000, 2000)


@dataclass
class NoProgress:
    """Remembers what it is told."""

    told: dict[str, tuple[int, int]]

    def update(self, done: int, total: int, what: str) -> None:
        """See `Progress.update`."""
        self.told[what] = (done, total)


@dataclass
class Miner:
    """Reads the lineage of an emulated workspace."""

    emulator: Emulator
    folder: Path

    def calls(self, max_requests: int | None = None) -> RestCalls:
        """Calls on the workspace."""
        return RestCalls(Connection.from_settings(load_settings()), max_requests)

    @contextmanager
    def read(
        self,
        *,
        max_requests: int | None = None,
        excluded: Sequence[str] = ("system",),
        with_columns: bool = True,
        progress: Any = None,
        rates: Rates = FAST,
    ) -> Iterator[LineageAnswers]:
        """An extraction."""
        with read_lineage(
            self.calls(max_requests),
            self.folder,
            excluded_catalogs=excluded,
            with_columns=with_columns,
            progress=progress or NoProgress({}),
            rates=rates,
        ) as answers:
            yield answers

    def lines(self, **options: Any) -> list[dict[str, Any]]:
        """What an extraction gives, all but its time."""
        with self.read(**options) as answers:
            found = [json.loads(line) for line in answers.lines()]
        assert {line.pop("extracted_at") for line in found} == (
            {f"{answers.extracted_at:%Y-%m-%dT%H:%M:%S.%fZ}"} if found else set()
        )
        return found

    def counts(self, **options: Any) -> dict[str, int]:
        """What an extraction counts, all but zeros."""
        with self.read(**options) as answers:
            return {name: count for name, count in answers.counts.items() if count}

    def asked(self) -> Counter[tuple[str, ...]]:
        """How often each table or column was answered."""
        return Counter(
            tuple(
                request.query[key] for key in ("table_name", "column_name") if key in request.query
            )
            for request in self.emulator.requests
            if request.path in (TABLE_PATH, COLUMN_PATH) and request.status
        )

    def listed(self) -> Counter[tuple[str, ...]]:
        """How often each page of a list was answered."""
        return Counter(
            (request.path.removeprefix(f"{CATALOG_ROOT}/"), *request.query.values())
            for request in self.emulator.requests
            if request.path.startswith(CATALOG_ROOT)
        )


@pytest.fixture
def miner(
    databricks_emulator: Emulator, no_databricks: pytest.MonkeyPatch, tmp_path: Path
) -> Miner:
    """Signed in to a workspace without tables."""
    for name, value in databricks_emulator.environment("pat").items():
        no_databricks.setenv(name, value)
    return Miner(databricks_emulator, tmp_path / "work")


def add_tables(miner: Miner, *parts: tuple[str, str, str], columns: str = "xy") -> None:
    """Adds tables with columns of one letter each."""
    for each in parts:
        table = Table(*each, columns=tuple(Column(name) for name in columns))
        miner.emulator.workspace.add_table(table)


def add_edges(miner: Miner, *edges: tuple[str, str], columns: bool = True) -> None:
    """Adds edges between tables of `main.a`, and from their column `x` to `y`."""
    ends = [
        {
            "source_table_full_name": f"main.a.{source}",
            "target_table_full_name": f"main.a.{target}",
            "record_id": f"{source}-{target}",
        }
        for source, target in edges
    ]
    miner.emulator.load_rows(TABLE_LINEAGE, [lineage_row(**each) for each in ends])
    if columns:
        miner.emulator.load_rows(COLUMN_LINEAGE, [column_row(**each) for each in ends])


def before_answers(miner: Miner, path: str, step: Callable[[Call], object]) -> None:
    """Has something done before each answer of a path; what it raises is answered instead."""
    server = miner.emulator._server  # noqa: SLF001
    usual, _ = find_route(server.routes, "GET", path)

    def answer(call: Call) -> Body | Answer:
        step(call)
        return usual.answer(call)

    server.routes = (route("GET", path, usual.scope, answer), *server.routes)


@pytest.fixture
def chain_of_tables(miner: Miner) -> Miner:
    """Tables t0 to t29 of which the first ten form a chain, in two catalogs and three schemas."""
    add_tables(miner, *(("main", "a", f"t{number}") for number in range(20)))
    add_tables(miner, *(("main", "b", f"t{number}") for number in range(20, 25)))
    add_tables(miner, *(("other", "c", f"t{number}") for number in range(25, 30)))
    add_edges(miner, *((f"t{number}", f"t{number + 1}") for number in range(9)))
    return miner


def test_each_table_with_lineage_is_a_line(miner: Miner) -> None:
    """A line holds the bodies of a table and of its columns as they came; without any, none."""
    add_tables(miner, ("main", "a", "s"), ("main", "a", "t"), ("main", "a", "alone"))
    add_edges(miner, ("s", "t"))

    source, target = miner.lines()
    assert [source["table_name"], target["table_name"]] == ["main.a.s", "main.a.t"]
    assert source["workspace_id"] == miner.emulator.workspace.workspace_id
    assert source["table_lineage"]["downstreams"][0]["tableInfo"]["name"] == "t"
    assert target["table_lineage"]["upstreams"][0]["tableInfo"]["name"] == "s"
    assert list(source["columns"]) == ["x"]
    assert source["columns"]["x"]["downstream_cols"][0]["name"] == "y"
    assert target["columns"]["y"]["upstream_cols"][0]["name"] == "x"
    assert miner.counts() == {
        "tables_asked": 3,
        "tables_without_lineage": 1,
        "columns_asked": 4,
        "columns_without_lineage": 2,
    }


def test_every_item_is_kept_as_it_came(miner: Miner) -> None:
    """Kinds and fields that dbminer does not know, and ids of 19 digits, are not lost."""
    add_tables(miner, ("main", "a", "t"))
    items: list[dict[str, Any]] = [
        {"modelInfo": {"model_name": "m", "later": [1.5, None, "ü"]}},
        {"tableInfo": {"has_permission": False}},
        {"notebookInfos": [{"workspace_id": 1, "notebook_id": 4126839075512048123}]},
    ]
    for item in items:
        miner.emulator.lineage.add_item("main.a.t", "upstreams", item)

    (line,) = miner.lines()
    assert line["table_lineage"] == {"upstreams": items}


def test_only_columns_of_tables_with_lineage_are_asked(chain_of_tables: Miner) -> None:
    """One request for each table, one for each column of those with lineage, and few to list."""
    with chain_of_tables.read() as answers:
        pass

    tables = [("main", "a"), ("main", "b"), ("other", "c")]
    schema_of = [tables[0]] * 20 + [tables[1]] * 5 + [tables[2]] * 5
    wanted = {(".".join((*schema_of[number], f"t{number}")),) for number in range(30)}
    wanted |= {(f"main.a.t{number}", name) for number in range(10) for name in "xy"}
    assert chain_of_tables.asked() == dict.fromkeys(wanted, 1)
    assert Counter(path for path, *_ in chain_of_tables.listed().elements()) == {
        "catalogs": 1,
        "schemas": 2,
        "tables": 3 + 1,
    }
    assert answers.requests == 50 + 7


def test_columns_are_asked_only_when_wanted(chain_of_tables: Miner) -> None:
    """Without columns, neither they nor their names are asked for."""
    lines = chain_of_tables.lines(with_columns=False)

    assert [line["columns"] for line in lines] == [{}] * 10
    assert not any(len(key) > 1 for key in chain_of_tables.asked())
    assert all("false" not in values for _, *values in chain_of_tables.listed())


def test_lines_come_by_name(chain_of_tables: Miner) -> None:
    """Lines are sorted by the name of their table, whichever was answered first."""
    names = [line["table_name"] for line in chain_of_tables.lines()]

    assert names == sorted(f"main.a.t{number}" for number in range(10))


def test_excluded_catalogs_are_not_asked(chain_of_tables: Miner) -> None:
    """What lies in an excluded catalog is neither listed nor asked."""
    assert chain_of_tables.counts(excluded=["OTHER", "sys*"])["tables_asked"] == 25
    assert not any("other" in values for _, *values in chain_of_tables.listed())


def test_names_with_dots_are_asked_and_spelled_apart(miner: Miner) -> None:
    """The request has the bare join of the parts; the line says which part holds the dot."""
    parts = [("main", "a.b", "c"), ("main", "a", "b"), ("main", "d", "e`f")]
    add_tables(miner, *parts)
    for each in parts:
        item = {"fileInfo": {"path": "s3://lake/f", "lineage_timestamp": "2026-01-05 12:00:00.0"}}
        miner.emulator.lineage.add_item(".".join(each), "upstreams", item)

    names = [line["table_name"] for line in miner.lines(with_columns=False)]
    assert names == ["main.`a.b`.c", "main.a.b", "main.d.`e``f`"]
    assert set(miner.asked()) == {(".".join(each),) for each in parts}


def test_tables_that_may_only_be_browsed_are_asked(chain_of_tables: Miner) -> None:
    """BROWSE is all that lineage needs, also beside tables that may be read."""
    workspace = chain_of_tables.emulator.workspace
    workspace.revoke_everything(workspace.user)
    for privilege, kind, name in (
        ("BROWSE", "CATALOG", "main"),
        ("USE CATALOG", "CATALOG", "main"),
        ("USE SCHEMA", "SCHEMA", "main.a"),
        ("SELECT", "TABLE", "main.a.t0"),
    ):
        workspace.grant(privilege, kind, name, to=workspace.user)

    assert chain_of_tables.counts()["tables_asked"] == 25


def test_deleted_and_denied_tables_are_counted(chain_of_tables: Miner) -> None:
    """A table that is gone since it was listed, or denied, ends nothing but its own request."""
    chain_of_tables.emulator.lineage.deleted_tables = {"main.a.t3", "main.b.t20"}

    def deny(call: Call) -> None:
        if call.query["table_name"] == "main.b.t21":
            raise refused(403, "PERMISSION_DENIED", "User does not have BROWSE on Table 'x'.")

    before_answers(chain_of_tables, TABLE_PATH, deny)

    counts = chain_of_tables.counts()
    assert (counts["tables_gone"], counts["tables_denied"]) == (2, 1)
    assert counts["tables_asked"] == 30


def test_nothing_but_denied_tables_is_an_error(chain_of_tables: Miner) -> None:
    """A principal who may see no lineage at all must not look like an empty workspace."""
    denied = refused(403, "PERMISSION_DENIED", "User does not have BROWSE on Table 'x'.")
    chain_of_tables.emulator.lineage.refusal = denied

    with (
        pytest.raises(AccessDeniedError, match=r"any of the 30 tables .* BROWSE on the catalogs"),
        chain_of_tables.read(),
    ):
        pass
    chain_of_tables.emulator.lineage.refusal = None
    assert "tables_denied" not in chain_of_tables.counts()


def test_nothing_but_tables_that_are_gone_is_an_error(chain_of_tables: Miner) -> None:
    """A workspace that finds none of its tables shows nothing; once it does, they are asked."""
    gone = refused(404, "RESOURCE_DOES_NOT_EXIST", "Table does not exist.")
    chain_of_tables.emulator.lineage.refusal = gone

    with (
        pytest.raises(AccessDeniedError, match=r"any of the 30 tables .* BROWSE on the catalogs"),
        chain_of_tables.read(),
    ):
        pass
    chain_of_tables.emulator.lineage.refusal = None
    assert "tables_gone" not in chain_of_tables.counts()


def test_to_see_no_table_is_an_error(chain_of_tables: Miner) -> None:
    """A principal who sees no table is told the grant, which then helps at once."""
    workspace = chain_of_tables.emulator.workspace
    workspace.revoke_everything(workspace.user)

    with (
        pytest.raises(AccessDeniedError, match=r"sees no table at .* BROWSE on the catalogs"),
        chain_of_tables.read(),
    ):
        pass
    workspace.grant("BROWSE", "CATALOG", "main", to=workspace.user)
    workspace.grant("USE CATALOG", "CATALOG", "main", to=workspace.user)
    assert chain_of_tables.counts()["tables_asked"] == 25


@pytest.mark.parametrize("path", ["schemas", "tables"])
def test_to_be_refused_every_list_is_an_error(path: str, chain_of_tables: Miner) -> None:
    """That no catalog, or no schema, may be listed is no workspace without tables."""

    def deny(_: Call) -> None:
        raise refused(403, "PERMISSION_DENIED", "User does not have BROWSE on 'x'.")

    before_answers(chain_of_tables, f"{CATALOG_ROOT}/{path}", deny)
    with pytest.raises(AccessDeniedError, match="sees no table"), chain_of_tables.read():
        pass
    assert not list(chain_of_tables.folder.iterdir())


@pytest.mark.parametrize(
    ("status", "error_code", "expected", "most_asked"),
    [
        (404, "ENDPOINT_NOT_FOUND", WorkspaceUnreachableError, 20),
        (404, "FEATURE_DISABLED", WorkspaceUnreachableError, 20),
        (403, "FEATURE_DISABLED", AccessDeniedError, 20),
        (400, "METASTORE_DOES_NOT_EXIST", WorkspaceError, 20),
        (400, "INVALID_PARAMETER_VALUE", WorkspaceError, 20 + 20),
    ],
)
def test_an_error_of_the_api_ends_the_extraction(
    status: int,
    error_code: str,
    expected: type[WorkspaceError],
    most_asked: int,
    chain_of_tables: Miner,
) -> None:
    """What does not concern one table alone is an error, not a table without lineage."""
    add_tables(chain_of_tables, *(("main", "d", f"u{number}") for number in range(30)))
    chain_of_tables.emulator.lineage.refusal = refused(status, error_code, "Not here.")

    with pytest.raises(expected, match="Not here"), chain_of_tables.read():
        pass
    assert sum(chain_of_tables.asked().values()) <= most_asked
    chain_of_tables.emulator.lineage.refusal = None
    assert "tables_failed" not in chain_of_tables.counts()


@pytest.mark.parametrize("kind", ["tables", "columns"])
def test_nothing_but_failures_is_an_error(kind: str, chain_of_tables: Miner) -> None:
    """Also when they are few: nobody knows of anything that works."""
    path = {"tables": TABLE_PATH, "columns": COLUMN_PATH}[kind]

    def fail(call: Call) -> None:
        if "main" in call.query["table_name"]:
            raise refused(400, "INVALID_PARAMETER_VALUE", "Not here.")

    before_answers(chain_of_tables, path, fail)
    excluded = ["system", "other"]
    with pytest.raises(WorkspaceError, match="Not here"), chain_of_tables.read(excluded=excluded):
        pass


@pytest.mark.parametrize(
    ("status", "error_code"), [(400, "INVALID_PARAMETER_VALUE"), (500, "INTERNAL_ERROR")]
)
def test_what_the_workspace_stumbles_over_is_counted_and_named(
    status: int, error_code: str, chain_of_tables: Miner
) -> None:
    """A table or column that always fails does not keep the others from being read."""

    def fail(call: Call) -> None:
        if (call.query["table_name"], call.query.get("column_name")) in broken:
            raise refused(status, error_code, "It stumbles.")

    broken = {("main.a.t15", None), ("main.a.t3", "x")}
    for path in (TABLE_PATH, COLUMN_PATH):
        before_answers(chain_of_tables, path, fail)

    with chain_of_tables.read() as answers:
        assert answers.failed == ["main.a.t15", "main.a.t3.x"]
        assert (answers.counts["tables_failed"], answers.counts["columns_failed"]) == (1, 1)
        assert (answers.counts["tables_asked"], answers.counts["columns_asked"]) == (30, 20)
        assert len(list(answers.lines())) == 10


def test_the_last_failures_are_kept(chain_of_tables: Miner) -> None:
    """What fails when all else is answered is asked no more, and the progress is complete."""
    with pytest.raises(RequestBudgetError), chain_of_tables.read(max_requests=48):
        pass
    before_answers(chain_of_tables, COLUMN_PATH, _stumble)
    before_answers(chain_of_tables, TABLE_PATH, _stumble)
    progress = NoProgress({})

    with chain_of_tables.read(progress=progress) as answers:
        assert len(answers.failed) == 2
    assert progress.told == {"tables": (30, 30), "columns": (20, 20)}
    with chain_of_tables.read(max_requests=1) as answers:
        assert (len(answers.failed), answers.requests) == (2, 0)


def _stumble(_: Call) -> None:
    raise refused(400, "INVALID_PARAMETER_VALUE", "It stumbles.")


@pytest.mark.parametrize("budget", [1, 7, 40])
def test_a_cut_off_extraction_is_gone_on_with(budget: int, chain_of_tables: Miner) -> None:
    """Runs with a budget, one after the other, ask for nothing twice and give the same lines."""
    runs = 0
    while True:
        runs += 1
        try:
            found = chain_of_tables.lines(max_requests=budget)
            break
        except RequestBudgetError as error:
            assert f"{budget:,} requests" in str(error)  # noqa: PT017
            assert "tables are done" in str(error)  # noqa: PT017

    assert runs == -(-50 // budget)
    assert set(chain_of_tables.asked().values()) == {1}
    assert max(chain_of_tables.listed().values()) == 1
    undisturbed = Miner(chain_of_tables.emulator, chain_of_tables.folder / "other")
    assert undisturbed.lines() == found


def test_an_extraction_has_one_time(chain_of_tables: Miner) -> None:
    """The snapshot of a resumed extraction is that of its beginning."""
    with pytest.raises(RequestBudgetError), chain_of_tables.read(max_requests=5):
        pass
    with chain_of_tables.read() as answers:
        begun_at = answers.extracted_at
    with chain_of_tables.read() as answers:
        assert answers.extracted_at == begun_at
    answers.discard()
    with chain_of_tables.read() as answers:
        assert answers.extracted_at > begun_at


def test_the_journal_stays_until_it_is_discarded(chain_of_tables: Miner) -> None:
    """What was read may be read again without a request, until its reader has it elsewhere."""
    path = journal_of(
        chain_of_tables.calls(), chain_of_tables.folder, ["system"], with_columns=True
    )
    assert not path.exists()
    lines = chain_of_tables.lines()
    assert path.exists()
    asked = chain_of_tables.asked()
    with chain_of_tables.read() as answers:
        assert len(list(answers.lines())) == len(lines)
        assert answers.requests == 0
    assert chain_of_tables.asked() == asked

    answers.discard()
    assert not path.exists()


def test_faults_on_the_way_change_nothing(chain_of_tables: Miner) -> None:
    """Refusals and broken connections are outlived, and what comes out is the same."""
    expected = chain_of_tables.lines()
    chain_of_tables.emulator.faults.at_random(
        0.1, seed=7, kinds=("429", "dropped_before_answer"), operations=("/api/*",)
    )
    again = Miner(chain_of_tables.emulator, chain_of_tables.folder / "again")

    assert again.lines() == expected


def test_columns_are_asked_while_tables_still_are(chain_of_tables: Miner) -> None:
    """No stage waits for the one before it to end."""
    chain_of_tables.lines(rates=Rates(20, 1000))

    paths = [request.path for request in chain_of_tables.emulator.requests]
    last_table = len(paths) - paths[::-1].index(TABLE_PATH)
    assert paths.index(COLUMN_PATH) < last_table


def test_few_requests_are_under_way_at_once(chain_of_tables: Miner) -> None:
    """Databricks refuses more than 20 at once, so no more are sent."""
    add_tables(chain_of_tables, *(("main", "d", f"u{number}") for number in range(100)))
    limits = chain_of_tables.emulator.rate_limits
    limits.most_parallel = 20
    for path in (TABLE_PATH, COLUMN_PATH):
        before_answers(chain_of_tables, path, lambda _: time.sleep(0.1))

    chain_of_tables.lines()
    assert limits.refused["parallel"] == 0
    assert 10 < limits.most_parallel_requests <= 20


def test_the_set_rates_are_not_refused(miner: Miner) -> None:
    """A workspace with such limits refuses less than one request in a hundred."""
    add_tables(miner, *(("main", "a", f"t{number}") for number in range(300)))
    add_edges(miner, *((f"t{number}", f"t{number + 1}") for number in range(49)))
    limits = miner.emulator.rate_limits
    limits.table_lineage, limits.column_lineage = 110, 55

    with miner.read(rates=Rates(100, 50)) as answers:
        assert answers.refused <= 4
        assert answers.counts["tables_asked"] + answers.counts["columns_asked"] == 400
    assert set(miner.asked().values()) <= {1, 2}


def test_an_interrupt_ends_at_once(chain_of_tables: Miner) -> None:
    """After an interrupt no request is sent, no thread is left, and the next run goes on."""

    class Interrupting:
        def update(self, done: int, total: int, what: str) -> None:  # noqa: ARG002
            if done >= 3:
                raise KeyboardInterrupt

    before = set(threading.enumerate())
    with (
        pytest.raises(KeyboardInterrupt),
        chain_of_tables.read(progress=Interrupting(), rates=Rates(4, 4)),
    ):
        pass
    asked = chain_of_tables.asked()
    assert 3 <= sum(asked.values()) < 30
    left = set(threading.enumerate()) - before
    assert not any("ThreadPool" in thread.name for thread in left)

    chain_of_tables.lines()
    assert set(chain_of_tables.asked().values()) == {1}


def test_progress_ends_with_all_done(chain_of_tables: Miner) -> None:
    """At the end all tables and columns are done, also those of a run before."""
    with pytest.raises(RequestBudgetError), chain_of_tables.read(max_requests=5):
        pass
    progress = NoProgress({})
    chain_of_tables.lines(progress=progress)

    assert progress.told == {"tables": (30, 30), "columns": (20, 20)}


def test_tables_whose_columns_nobody_tells_are_counted(miner: Miner) -> None:
    """Lineage of columns that are not listed cannot be asked for, and that is said."""
    add_tables(miner, ("main", "a", "s"), ("main", "a", "t"), columns="")
    add_edges(miner, ("s", "t"))

    assert miner.counts() == {"tables_asked": 2, "tables_without_columns": 2}
