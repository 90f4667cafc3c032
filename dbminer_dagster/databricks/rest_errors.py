"""What errors of the Databricks SDK mean, and the one action that repairs each."""

from typing import TYPE_CHECKING

import requests
from databricks.sdk import errors as sdk
from databricks.sdk.core import DatabricksError

from dbminer_dagster.databricks.access_errors import access_denied
from dbminer_dagster.databricks.network import unreachable
from dbminer_dagster.databricks.sign_in_errors import credentials_refused, is_about_sign_in
from dbminer_dagster.errors import WorkspaceError, WorkspaceUnreachableError

if TYPE_CHECKING:
    from dbminer_dagster.databricks.connection import Connection

RAISED_BY_SDK = (DatabricksError, requests.RequestException, TimeoutError)
"""What calls of the SDK raise, beside `ValueError` for wrong arguments."""
_BUSY = (
    sdk.TooManyRequests,
    sdk.InternalError,
    sdk.TemporarilyUnavailable,
    sdk.DeadlineExceeded,
)
_NETWORK_REFUSED = ("PRIVATE_LINK_VALIDATION_ERROR", "blocked by Databricks IP ACL")


def explain_rest(error: Exception, connection: "Connection", what: str) -> WorkspaceError:
    """Says what an error of a REST call means.

    Args:
        error: As the SDK raises it.
        connection: On which it came up.
        what: What was tried, such as `list the schemas of system`.
    """
    if isinstance(error, TimeoutError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # the time for retries is used up; this was the last one
    if not isinstance(error, DatabricksError):
        return unreachable(connection.host, error)
    explained = _explain(error, connection, what)
    explained.error_code = error.error_code
    return explained


def _explain(error: DatabricksError, connection: "Connection", what: str) -> WorkspaceError:
    text = _text(error)
    if isinstance(error, sdk.Unauthenticated | sdk.PermissionDenied):
        return _explain_refusal(error, connection, text)
    said = f"Cannot {what} at {connection.host}: {text}."
    if isinstance(error, _BUSY):
        return WorkspaceUnreachableError(said, "Try again later.", retryable=True)
    if isinstance(error, sdk.NotFound):
        return WorkspaceUnreachableError(
            said, "Check that DATABRICKS_HOST is the URL of a workspace of Databricks."
        )
    return WorkspaceError(said, "Look the error up in the documentation of Databricks' REST API.")


def _explain_refusal(error: DatabricksError, connection: "Connection", text: str) -> WorkspaceError:
    if any(mark in f"{error.error_code} {text}" for mark in _NETWORK_REFUSED):
        return WorkspaceUnreachableError(
            f"{connection.host} does not let this network in: {text}.",
            "Run where the workspace may be reached, or let its admin allow this network.",
        )
    status = 401 if isinstance(error, sdk.Unauthenticated) else 403
    if is_about_sign_in(status, text):
        return credentials_refused(connection.credentials, connection.host, text)
    return access_denied(text, connection.principal, connection.host)


def _text(error: DatabricksError) -> str:
    """The answer alone; to some the SDK adds its whole configuration."""
    text = " ".join(str(error).split())
    for addition in (" Config: ", " Env: ", " Request log:"):
        text = text.split(addition)[0]
    return text.rstrip(". ") or type(error).__name__
