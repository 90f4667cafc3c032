"""What an error says of the one object that was asked for."""

import threading
from enum import StrEnum
from typing import Generic, TypeVar

from databricks.sdk import errors as sdk

from dbminer_dagster.errors import AccessDeniedError, WorkspaceError

CONCERNS_ALL = frozenset({"ENDPOINT_NOT_FOUND", "FEATURE_DISABLED", "METASTORE_DOES_NOT_EXIST"})
"""Codes that say that the API is not there, and nothing of the object that was asked for."""


MOST_FAILURES_IN_A_ROW = 20
"""After more of them, it is not the objects that are broken, but the API."""

Named = TypeVar("Named")


class Outcome(StrEnum):
    """What became of a request about one object."""

    ANSWERED = "answered"
    DENIED = "denied"
    GONE = "gone"
    FAILED = "failed"


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


def may_concern_one(error: WorkspaceError) -> bool:
    """Whether the workspace may stumble over that object alone: a bad request, or a fault in it."""
    stumbled = isinstance(error.__cause__, sdk.BadRequest | sdk.InternalError)
    return stumbled and error.error_code not in CONCERNS_ALL


class Failures(Generic[Named]):
    """Objects of one kind that failed, held until another one is answered; for any thread.

    Until then nobody knows whether the objects are broken or the API.
    """

    def __init__(self) -> None:
        self._held: list[tuple[Named, WorkspaceError]] = []
        self._lock = threading.Lock()

    def hold(self, named: Named, error: WorkspaceError) -> None:
        """Adds an object.

        Raises:
            WorkspaceError: The same error; too many failed in a row.
        """
        with self._lock:
            self._held.append((named, error))
            if len(self._held) > MOST_FAILURES_IN_A_ROW:
                raise error

    def release(self) -> list[Named]:
        """The objects, since the API works: they are held no longer."""
        with self._lock:
            released, self._held = self._held, []
        return [named for named, _ in released]

    def require_none(self) -> None:
        """For when nothing else was answered.

        Raises:
            WorkspaceError: The last error.
        """
        with self._lock:
            if self._held:
                raise self._held[-1][1]
