"""What Unity Catalog lists: every page is read, none twice, and nothing that is excluded."""

from collections.abc import Callable

import pytest

from dbminer_dagster.databricks.connection import Connection
from dbminer_dagster.databricks.pace import Pace
from dbminer_dagster.databricks.rest_calls import RestCalls
from dbminer_dagster.errors import WorkspaceError
from dbminer_dagster.rest_api.tables import Listing
from dbminer_dagster.settings import load_settings
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.routes import Body, Call, route
from dbminer_dagster_tests.databricks_emulator.workspace import Column, Table

ROOT = "/api/2.1/unity-catalog"


@pytest.fixture
def emulator(databricks_emulator: Emulator, no_databricks: pytest.MonkeyPatch) -> Emulator:
    """A workspace that the miner signs in to, with pages of two rows."""
    for name, value in databricks_emulator.environment("pat").items():
        no_databricks.setenv(name, value)
    databricks_emulator.workspace.page_size = 2
    return databricks_emulator


@pytest.fixture
def listing(emulator: Emulator) -> Listing:  # noqa: ARG001
    """Listings of the workspace."""
    return Listing(RestCalls(Connection.from_settings(load_settings())), Pace(1000))


def add(emulator: Emulator, *names: str) -> None:
    """Adds tables with two columns."""
    for name in names:
        columns = (Column("a"), Column("b"))
        emulator.workspace.add_table(Table(*name.split("."), columns=columns))


def answered(emulator: Emulator, path: str) -> int:
    """How many calls of a listing were answered."""
    return sum(request.path == f"{ROOT}/{path}" for request in emulator.requests)


def replace_answers(emulator: Emulator, path: str, answer: Callable[[Call], Body]) -> None:
    """Has a listing answered otherwise."""
    server = emulator._server  # noqa: SLF001
    server.routes = (route("GET", f"{ROOT}/{path}", "unity-catalog", answer), *server.routes)


def test_every_page_is_read(emulator: Emulator, listing: Listing) -> None:
    """Lists of any length are followed to their end."""
    add(emulator, *(f"main.s.t{number}" for number in range(5)))

    pages = list(listing.tables("main", "s", columns=False))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert {table["name"] for page in pages for table in page} == {f"t{n}" for n in range(5)}


def test_an_empty_page_is_not_the_end(emulator: Emulator, listing: Listing) -> None:
    """A page whose rows the caller may not see is followed by the next."""
    add(emulator, *(f"main.s.t{number}" for number in range(5)))
    user = emulator.workspace.user
    emulator.workspace.revoke_everything(user)
    for privilege, kind, name in (
        ("USE CATALOG", "CATALOG", "main"),
        ("USE SCHEMA", "SCHEMA", "main.s"),
        ("SELECT", "TABLE", "main.s.t4"),
    ):
        emulator.workspace.grant(privilege, kind, name, to=user)

    assert [len(page) for page in listing.tables("main", "s", columns=False)] == [0, 0, 1]


def test_columns_are_told_when_wanted(emulator: Emulator, listing: Listing) -> None:
    """Columns cost answers many times as long, so they come only where they are asked for."""
    add(emulator, "main.s.t")

    ((with_columns,),) = listing.tables("main", "s", columns=True)
    assert [column["name"] for column in with_columns["columns"]] == ["a", "b"]
    ((without,),) = listing.tables("main", "s", columns=False)
    assert "columns" not in without


def test_excluded_catalogs_are_left_out(emulator: Emulator, listing: Listing) -> None:
    """Globs exclude catalogs in any case; without globs none is excluded."""
    add(emulator, "main.s.t", "Dev_a.s.t", "samples.s.t")

    assert list(listing.catalogs(["SAMPLES", "dev_*", "system"])) == ["main"]
    assert list(listing.catalogs([])) == ["system", "main", "Dev_a", "samples"]


def test_information_schema_is_left_out(emulator: Emulator, listing: Listing) -> None:
    """The views of `information_schema` are no tables of anyone."""
    add(emulator, "main.information_schema.tables", "main.s.t", "main.information_schema2.t")

    assert list(listing.schemas("main")) == ["s", "information_schema2"]


def test_what_may_be_browsed_is_listed(emulator: Emulator, listing: Listing) -> None:
    """BROWSE on a catalog is enough to have its schemas and tables listed."""
    add(emulator, "main.s.t")
    user = emulator.workspace.user
    emulator.workspace.revoke_everything(user)
    emulator.workspace.grant("BROWSE", "CATALOG", "main", to=user)

    assert list(listing.catalogs([])) == ["main"]
    assert list(listing.schemas("main")) == ["s"]
    ((table,),) = listing.tables("main", "s", columns=False)
    assert table["name"] == "t"


@pytest.mark.parametrize("tokens", [["a", "a"], ["a", "b", "c", "a"]], ids=["same", "circle"])
def test_a_list_that_begins_again_is_an_error(
    tokens: list[str], emulator: Emulator, listing: Listing
) -> None:
    """A page that names a page that was read already would never end; it is told which list."""
    left = iter(tokens)
    replace_answers(emulator, "catalogs", lambda _: {"next_page_token": next(left)})

    with pytest.raises(WorkspaceError, match=r"Cannot list the catalogs .* never end"):
        list(listing.catalogs([]))
    assert answered(emulator, "catalogs") == len(tokens)
