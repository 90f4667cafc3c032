"""What an error says of the one object that was asked for."""

from enum import StrEnum

from databricks.sdk import errors as sdk

from dbminer_dagster.errors import AccessDeniedError, WorkspaceError

CONCERNS_ALL = frozenset({"ENDPOINT_NOT_FOUND", "FEATURE_DISABLED", "METASTORE_DOES_NOT_EXIST"})
"""Codes that say that the API is not there, and nothing of the object that was asked for."""


class Outcome(StrEnum):
    """What became of a request about one object."""

    ANSWERED = "answered"
    DENIED = "denied"
    GONE = "gone"


def outcome_of(error: WorkspaceError) -> Outcome:
    """`DENIED` or `GONE`: objects are deleted while they are listed, and have their own grants.

    Raises:
        WorkspaceError: The same error; it concerns more than that object.
    """
    if error.error_code not in CONCERNS_ALL:
        if isinstance(error, AccessDeniedError):
            return Outcome.DENIED
        if isinstance(error.__cause__, sdk.NotFound):
            return Outcome.GONE
    raise error
