"""Many GET calls on a workspace: paced, repeated where that may help, and within a budget."""

import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from databricks.sdk import WorkspaceClient
from databricks.sdk.core import DatabricksError

from dbminer_dagster.databricks.connection import Connection
from dbminer_dagster.databricks.network import PatientClock
from dbminer_dagster.databricks.pace import Pace
from dbminer_dagster.databricks.rest_errors import RAISED_BY_SDK, explain_rest
from dbminer_dagster.errors import RequestBudgetError, SignInError, WorkspaceError

RETRY_BUDGET_S = 600.0
"""For all attempts at one call: hours of work must not end with the first busy minutes."""

ATTEMPTS = 3
"""At a call that the SDK does not repeat: its answer broke off, the workspace stumbled over it, or
the token was refused before its time."""
BROKEN_PAUSE_S = 1.0


class _PacedClock(PatientClock):
    """Lets all threads that share a pace wait, where the SDK would let one wait before a retry."""

    def __init__(self) -> None:
        self.of_thread = threading.local()

    def sleep(self, seconds: float) -> None:
        pace: Pace = self.of_thread.pace
        pace.slow_down(min(seconds, self.LONGEST_PAUSE_S))
        pace.wait()


class RestCalls:
    """Calls of one extraction; safe to use from any thread.

    Attributes:
        connection: To the workspace.
        max_requests: How many calls of a `get` with `counts=True` may be made, repeated attempts
            at one aside; no limit when None.
        sent: How many of them were made.
    """

    def __init__(self, connection: Connection, max_requests: int | None = None) -> None:
        self.connection = connection
        self.max_requests = max_requests
        self.sent = 0
        self._clock = _PacedClock()
        self._lock = threading.Lock()
        self._client: WorkspaceClient | None = None

    def get(
        self, what: str, path: str, query: Mapping[str, Any], pace: Pace, *, counts: bool = False
    ) -> dict[str, Any]:
        """The body of the answer, as it came.

        Args:
            what: What is tried, such as `ask for the lineage of main.a.t`.
            path: Of the call, from `/api` on.
            query: Its parameters; a list repeats its key.
            pace: Of this kind of call.
            counts: Whether the call counts against the budget.

        Raises:
            WorkspaceError: The call failed for good; with the workspace's `error_code`.
            RequestBudgetError: The budget is used up.
        """
        self._spend(counts=counts)
        self._clock.of_thread.pace = pace
        attempts_left = ATTEMPTS
        while True:
            attempts_left -= 1
            try:
                return self._do(what, path, query, pace)
            except WorkspaceError as error:
                is_given_up = isinstance(error.__cause__, TimeoutError)  # by the SDK, after long
                if not attempts_left or not error.retryable or is_given_up:
                    raise
                if isinstance(error, SignInError):
                    with self._lock:
                        self._client = None  # the token was refused before its time
                else:
                    pace.slow_down(BROKEN_PAUSE_S)

    @cached_property
    def workspace_id(self) -> str:
        """The id of the workspace.

        Raises:
            WorkspaceError: It does not say.
        """
        with self.connection.calling("ask for the id of the workspace") as client:
            return str(client.get_workspace_id())

    def _do(self, what: str, path: str, query: Mapping[str, Any], pace: Pace) -> dict[str, Any]:
        pace.wait()
        try:
            body = self._signed_in().api_client.do("GET", path, query=dict(query))
        except RAISED_BY_SDK as error:
            raise explain_rest(error, self.connection, what) from error
        if not isinstance(body, dict):
            raise explain_rest(
                DatabricksError("the answer is no JSON object"), self.connection, what
            )
        return body

    def _signed_in(self) -> WorkspaceClient:
        with self._lock:
            if self._client is None:
                self._client = self.connection.new_client(self._clock, RETRY_BUDGET_S)
            return self._client

    def _spend(self, *, counts: bool) -> None:
        if not counts:
            return
        with self._lock:
            if self.sent == self.max_requests:
                raise RequestBudgetError(
                    f"The {self.sent:,} requests that DBMINER_REST_MAX_REQUESTS allows are used "
                    "up. Run again for the same days to go on from here: what was read is kept "
                    "for two days."
                )
            self.sent += 1
