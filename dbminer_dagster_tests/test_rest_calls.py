"""Calls of an extraction: they outlive what passes, wait as they are told, and keep a budget."""

import threading
from collections.abc import Callable

import pytest

from dbminer_dagster.databricks.connection import Connection
from dbminer_dagster.databricks.network import PatientClock
from dbminer_dagster.databricks.pace import Pace
from dbminer_dagster.databricks.rest_calls import ATTEMPTS, RestCalls
from dbminer_dagster.errors import (
    AccessDeniedError,
    RequestBudgetError,
    SignInError,
    WorkspaceError,
    WorkspaceUnreachableError,
)
from dbminer_dagster.settings import load_settings
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.api_error import refused
from dbminer_dagster_tests.databricks_emulator.faults import Fault, FaultKind

PATH = "/api/2.0/sql/history/queries"
Connect = Callable[..., RestCalls]


@pytest.fixture
def connect(databricks_emulator: Emulator, no_databricks: pytest.MonkeyPatch) -> Connect:
    """Makes calls on the emulated workspace, by a way to sign in and with a budget."""

    def connect_with(way: str = "pat", max_requests: int | None = None) -> RestCalls:
        for name, value in databricks_emulator.environment(way).items():  # pyright: ignore[reportArgumentType]
            no_databricks.setenv(name, value)
        return RestCalls(Connection.from_settings(load_settings()), max_requests)

    return connect_with


@pytest.fixture
def pace() -> Pace:
    """A pace that does not hold anything up by itself."""
    return Pace(1000)


def ask(calls: RestCalls, pace: Pace, **options: bool) -> object:
    """A call that any workspace answers."""
    return calls.get("read query history", PATH, {"max_results": 5}, pace, **options)


def statuses(emulator: Emulator) -> list[int]:
    """How the calls were answered; 0 where the connection was dropped."""
    return [request.status for request in emulator.requests if request.path == PATH]


@pytest.mark.parametrize(
    ("kind", "retry_after_s"),
    [
        ("429", 0),
        ("429", 1),
        ("429", None),
        ("503", 0),
        ("dropped_before_answer", None),
        ("dropped_in_answer", None),
    ],
)
def test_what_passes_is_outlived(
    kind: FaultKind,
    retry_after_s: int | None,
    databricks_emulator: Emulator,
    connect: Connect,
    pace: Pace,
) -> None:
    """A call that is refused for the time being or broken off is made again, at a lower rate."""
    databricks_emulator.faults.add(Fault(kind, PATH, retry_after_s=retry_after_s))

    assert ask(connect(), pace) == {"res": [], "has_next_page": False}
    assert len(statuses(databricks_emulator)) == 2
    assert (pace.sent, pace.refused) == (2, 1)


def test_all_threads_wait_when_one_is_refused(
    databricks_emulator: Emulator, connect: Connect
) -> None:
    """What the server asks of one caller goes for all callers of the same pace."""
    paused: list[float] = []
    pace, calls = Pace(1000, sleep=paused.append), connect()
    databricks_emulator.faults.add(Fault("429", PATH, retry_after_s=20))

    ask(calls, pace)
    assert max(paused) > 19


def test_a_pause_is_never_longer_than_half_a_minute(
    databricks_emulator: Emulator, connect: Connect
) -> None:
    """A `Retry-After` of hours does not stop an extraction for hours."""
    paused: list[float] = []
    databricks_emulator.faults.add(Fault("429", PATH, retry_after_s=7200))

    ask(connect(), Pace(1000, sleep=paused.append))
    assert 0 < max(paused) <= PatientClock.LONGEST_PAUSE_S


def test_paces_are_apart(databricks_emulator: Emulator, connect: Connect, pace: Pace) -> None:
    """A refusal of one kind of request does not slow down another."""
    calls, other = connect(), Pace(1000)
    ask(calls, other)
    databricks_emulator.faults.add(Fault("429", PATH, retry_after_s=0))
    ask(calls, pace)
    assert (pace.refused, other.refused) == (1, 0)


def test_a_token_that_ends_early_is_replaced(
    databricks_emulator: Emulator, connect: Connect, pace: Pace
) -> None:
    """A service principal signs in anew when its token is refused, and the call is answered."""
    calls = connect("oauth-m2m")
    ask(calls, pace)
    databricks_emulator.faults.add(Fault("expired_token", PATH))

    ask(calls, pace)
    assert statuses(databricks_emulator) == [200, 403, 200]


def test_an_error_of_the_workspace_is_tried_again(
    databricks_emulator: Emulator, connect: Connect, pace: Pace
) -> None:
    """A call over which the workspace stumbles is made thrice, and then fails."""
    databricks_emulator.history.refusal = refused(500, "INTERNAL_ERROR", "Something broke.")
    with pytest.raises(WorkspaceUnreachableError, match="Something broke"):
        ask(connect(), pace)
    assert statuses(databricks_emulator) == [500] * ATTEMPTS


def test_a_wrong_token_fails_at_once(
    databricks_emulator: Emulator, no_databricks: pytest.MonkeyPatch, connect: Connect, pace: Pace
) -> None:
    """A personal access token that is refused is not tried again."""
    connect()
    no_databricks.setenv("DATABRICKS_TOKEN", "dapi-wrong")
    calls = RestCalls(Connection.from_settings(load_settings()))
    with pytest.raises(SignInError) as raised:
        ask(calls, pace)
    assert "dapi-wrong" not in str(raised.value)
    assert len(statuses(databricks_emulator)) == 1


def test_an_error_carries_the_code_of_the_workspace(
    databricks_emulator: Emulator, connect: Connect, pace: Pace
) -> None:
    """What the workspace calls its error is kept, so that callers can tell errors apart."""
    databricks_emulator.history.refusal = refused(403, "FEATURE_DISABLED", "Not here.")
    with pytest.raises(AccessDeniedError) as raised:
        ask(connect(), pace)
    assert raised.value.error_code == "FEATURE_DISABLED"


def test_an_error_says_what_was_tried(
    databricks_emulator: Emulator, connect: Connect, pace: Pace
) -> None:
    """The message names the action, the workspace and its answer."""
    databricks_emulator.history.refusal = refused(400, "INVALID_PARAMETER_VALUE", "No such thing.")
    with pytest.raises(WorkspaceError) as raised:
        ask(connect(), pace)
    expected = f"Cannot read query history at {databricks_emulator.host}: No such thing."
    assert str(raised.value).startswith(expected)


def test_the_budget_is_kept(databricks_emulator: Emulator, connect: Connect, pace: Pace) -> None:
    """Exactly so many calls that count are made, however many threads make them."""
    calls = connect(max_requests=10)
    refused_calls: list[str] = []

    def ask_often() -> None:
        for _ in range(5):
            try:
                ask(calls, pace, counts=True)
            except RequestBudgetError as error:
                refused_calls.append(str(error))

    threads = [threading.Thread(target=ask_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls.sent == len(statuses(databricks_emulator)) == 10
    assert len(refused_calls) == 10
    assert "DBMINER_REST_MAX_REQUESTS" in refused_calls[0]


def test_calls_that_do_not_count_need_no_budget(connect: Connect, pace: Pace) -> None:
    """Listings and history go on when the budget is used up."""
    calls = connect(max_requests=0)
    ask(calls, pace)
    assert calls.sent == 0


def test_the_workspace_is_asked_for_its_id_once(
    databricks_emulator: Emulator, connect: Connect
) -> None:
    """The id of the workspace does not change."""
    calls = connect()
    assert calls.workspace_id == databricks_emulator.workspace.workspace_id
    asked = len(databricks_emulator.requests)
    assert calls.workspace_id
    assert len(databricks_emulator.requests) == asked
