"""REST calls of probes, which wait less long than a run, and what their refusals mean."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dbminer_dagster.errors import WorkspaceError
from dbminer_dagster.preflight.model import Answer, Source, Status
from dbminer_dagster.preflight.workspace import WorkspaceSession

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

RETRY_BUDGET_S = 20.0
"""For all attempts at one call; a probe has a minute."""

_APIS = {Source.LINEAGE: "lineage API", Source.QUERY_HISTORY: "Query History API"}


@contextmanager
def probing(session: WorkspaceSession, what: str) -> Iterator["WorkspaceClient"]:
    """Gives a client, and turns the errors of its calls into ours.

    Args:
        session: In which the probe asks.
        what: What is tried, such as `list the catalogs`.

    Raises:
        WorkspaceError: A call failed; with the workspace's `error_code`.
    """
    from dbminer_dagster.databricks.rest_errors import RAISED_BY_SDK, explain_rest  # slow to import

    connection = session.connection
    try:
        yield connection.new_client(retry_budget_s=RETRY_BUDGET_S)
    except RAISED_BY_SDK as error:
        raise explain_rest(error, connection, what) from error


def get(client: "WorkspaceClient", path: str, query: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object that a call is answered with; empty if it is none."""
    body = client.api_client.do("GET", path, query=dict(query))
    return body if isinstance(body, dict) else {}


def unavailable_answer(
    error: WorkspaceError, session: WorkspaceSession, source: Source
) -> Answer | None:
    """What an error says of an API as a whole; None if it is about something else.

    Args:
        error: As raised in `probing`.
        session: In which it came up.
        source: Whose API was asked.
    """
    api, host = _APIS[source], session.connection.host
    instead = f"set DBMINER_{source.value.upper()}_METHOD=system_table, which needs no such API."
    if error.error_code == "ENDPOINT_NOT_FOUND":
        return Answer(
            f"{host} has no {api}: {error.what}",
            Status.FAILED,
            f"Check that DATABRICKS_HOST is a workspace; if it is, {instead}",
        )
    if error.error_code == "FEATURE_DISABLED":
        return Answer(
            f"The {api} is switched off at {host}: {error.what}",
            Status.FAILED,
            f"Let an account admin switch it on, or {instead}",
        )
    if _is_unavailable(error):
        return Answer(
            f"The {api} is not available at {host} (HTTP 503): {error.what}",
            Status.FAILED,
            "Ask again in some minutes. If it stays so, it is not offered in this region: "
            f"{instead}",
        )
    return None


def _is_unavailable(error: WorkspaceError) -> bool:
    from databricks.sdk.errors import TemporarilyUnavailable  # slow to import

    cause = error.__cause__
    # The time for retries is used up; this was the last answer.
    last = cause.__cause__ if isinstance(cause, TimeoutError) else cause
    return isinstance(last, TemporarilyUnavailable)
