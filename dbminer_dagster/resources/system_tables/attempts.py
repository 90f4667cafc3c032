"""Work on a warehouse that may be done again as a whole."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import dagster as dg

from dbminer_dagster.errors import WorkspaceError

if TYPE_CHECKING:
    from dbminer_dagster.databricks.connection import Connection
    from dbminer_dagster.databricks.warehouse import Warehouse

WAITS_SECONDS = (1, 5, 20)
"""Before each further attempt; the client has waited and tried by itself before that."""

Result = TypeVar("Result")


def attempts(
    connection: "Connection", warehouse_id: str, what: str, work: "Callable[[Warehouse], Result]"
) -> Result:
    """Does the work in a session of its own, and again in a fresh one where that may help.

    Args:
        connection: To the workspace.
        warehouse_id: The SQL warehouse.
        what: What is read, for the log.
        work: Leaves nothing behind when it fails.

    Raises:
        WorkspaceError: It failed for good.
    """
    for wait_seconds in WAITS_SECONDS:
        try:
            with connection.warehouse(warehouse_id) as warehouse:
                return work(warehouse)
        except WorkspaceError as error:
            if not error.retryable:
                raise
            dg.get_dagster_logger().warning(
                f"{what}: {error.what} Trying again in {wait_seconds} s."
            )
        time.sleep(wait_seconds)
    with connection.warehouse(warehouse_id) as warehouse:
        return work(warehouse)
