"""What errors of the SQL connector mean, and the one action that repairs each.

Error conditions and SQLSTATEs as in Databricks' "Error conditions".
"""

import re
from typing import TYPE_CHECKING

from databricks.sql import exc
from urllib3.exceptions import HTTPError

from dbminer_dagster.databricks.access_errors import access_denied, names_what_is_missing
from dbminer_dagster.databricks.network import unreachable
from dbminer_dagster.databricks.sign_in_errors import credentials_refused, is_about_sign_in
from dbminer_dagster.databricks.signed_links import without_signatures
from dbminer_dagster.databricks.warehouse_errors import warehouse_unusable
from dbminer_dagster.errors import (
    NOT_FOUND,
    DbminerError,
    StatementError,
    WorkspaceUnreachableError,
)

if TYPE_CHECKING:
    from dbminer_dagster.databricks.connection import Connection

_ERROR_CLASS = re.compile(r"\[([A-Z][A-Z0-9_]*(?:\.[A-Z0-9_]+)*)\]")
_SQL_STATE = re.compile(r"SQLSTATE:? *[0-9A-Z]{5}")
_DENIAL = re.compile(r"INSUFFICIENT_PERMISSIONS|PERMISSION_DENIED|SQLSTATE:? *42501")
_ABOUT_WAREHOUSE = re.compile(r"\bSQL (?:warehouse|endpoint)", re.IGNORECASE)
_LOST = re.compile(
    r"link has expired|unexpectedly closed|have been skipped|Invalid (?:Session|Operation)Handle"
)
_CANCELED = re.compile(r"CommandState\.CANCELLED|OPERATION_CANCELED")
_MORE = re.compile(r"\n\s*(?:at [\w.$]+\(|== SQL|If you |To tolerate )|Verify the spelling")
_TOO_MANY = re.compile(r"too many (\d{3}) error responses")
_FORBIDDEN = 403
_LONGEST_TEXT = 600
_CORRECT_THE_NAME = (
    "Let an account admin enable the system schema, or correct DBMINER_LINEAGE_CATALOG, "
    "DBMINER_LINEAGE_SCHEMA, DBMINER_QUERY_HISTORY_CATALOG and DBMINER_QUERY_HISTORY_SCHEMA."
)
_REMEDIES = dict.fromkeys(NOT_FOUND, _CORRECT_THE_NAME) | {
    "UNRESOLVED_COLUMN": "Let the view have the columns of the system table that it clones.",
    "UC_NOT_ENABLED": "Set DBMINER_WAREHOUSE_ID to a warehouse in a workspace with Unity Catalog.",
    "OPERATION_CANCELED": "Find out in the query history who cancelled it, and run again.",
}


def explain_sql(error: Exception, connection: "Connection", warehouse_id: str) -> DbminerError:
    """Says what an error of the SQL connector means.

    Args:
        error: As the connector, or a library below it, raises it.
        connection: On which it came up.
        warehouse_id: The warehouse that was asked.
    """
    ours = next((arg for arg in error.args if isinstance(arg, DbminerError)), None)
    if ours is not None:  # the connector asked us for a token, and wrapped why there is none
        return ours
    if isinstance(error, exc.RequestError | HTTPError | OSError):
        return _explain_request(error, connection, warehouse_id)
    text = str(error)
    if _DENIAL.search(text):
        shown = _shown(text)
        if _ABOUT_WAREHOUSE.search(shown) and not names_what_is_missing(shown):
            return warehouse_unusable(connection, warehouse_id, shown, denied=True)
        return access_denied(shown, connection.principal, connection.host)
    return _statement_error(text, warehouse_id)


def _explain_request(error: Exception, connection: "Connection", warehouse_id: str) -> DbminerError:
    """The meaning of a request that got no answer in the SQL protocol."""
    context = getattr(error, "context", {})
    if isinstance(error, exc.RequestError) and "method" not in context:
        return _lost_result(f"its files cannot be downloaded: {_shown(str(error))}", warehouse_id)
    too_many = _TOO_MANY.search(str(error))
    status = int(too_many[1]) if too_many else context.get("http-code")
    text = str(context.get("error-message") or "").strip(" :.")
    if is_about_sign_in(status, text):
        return credentials_refused(connection.credentials, connection.host, text)
    if status in {403, 404, 503}:
        said = text or f"HTTP {status}"
        return warehouse_unusable(connection, warehouse_id, said, denied=status == _FORBIDDEN)
    if status in {429, 500, 502, 504}:
        return WorkspaceUnreachableError(
            f"{connection.host} does not serve SQL warehouse {warehouse_id} (HTTP {status}).",
            "Try again later.",
            retryable=True,
        )
    return unreachable(connection.host, error)


def _statement_error(text: str, warehouse_id: str) -> StatementError:
    """The meaning of a text that the warehouse, or the connector itself, gave."""
    if _LOST.search(text):
        return _lost_result(_shown(text), warehouse_id)
    found = _ERROR_CLASS.search(text)
    error_class = found[1] if found else None
    if _CANCELED.search(text):
        error_class, text = "OPERATION_CANCELED", "it was cancelled"
    condition = error_class.split(".")[0] if error_class else ""
    fallback = (
        f"Look up {condition} in Databricks' list of error conditions."
        if condition
        else "Look at the statement in the query history of the workspace."
    )
    error = StatementError(
        f"A statement failed on SQL warehouse {warehouse_id}: {_shown(text)}.",
        _REMEDIES.get(condition, fallback),
    )
    error.error_class = error_class
    return error


def _lost_result(reason: str, warehouse_id: str) -> StatementError:
    return StatementError(
        f"The result of a statement on SQL warehouse {warehouse_id} was lost: {reason}.",
        "Run again; if it stays so, let this machine reach the storage of the workspace.",
        retryable=True,
    )


def _shown(text: str) -> str:
    """One line of the text, without stack traces, general advice, statements and signed links."""
    text = _MORE.split(text)[0]
    text = " ".join(_SQL_STATE.sub("", without_signatures(text)).split())
    short = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    return short.rstrip(". ")
