"""The probe of the SQL warehouse."""

from dbminer_dagster.errors import SettingsError
from dbminer_dagster.preflight.model import Answer, Probe, Stage
from dbminer_dagster.preflight.workspace import WorkspaceSession


def warehouse_probe(session: WorkspaceSession, needs: tuple[Probe, ...]) -> Probe:
    """The probe; it starts a warehouse that is stopped, and waits until it runs.

    Args:
        session: In which the statement runs.
        needs: What must not have failed before.
    """
    named = session.settings.warehouse_id or "DBMINER_WAREHOUSE_ID, which is not set"
    return Probe(
        "warehouse_usable",
        Stage.AUTHORISATION,
        f"Ask for the state of SQL warehouse {named} and run SELECT 1.",
        lambda: _usable(session),
        needs=needs,
        budget_seconds=session.wait_seconds,
        abandon=session.abandon,
    )


def _usable(session: WorkspaceSession) -> Answer:
    warehouse_id = session.settings.warehouse_id
    if warehouse_id is None:
        raise SettingsError(
            "No SQL warehouse is named. Set DBMINER_WAREHOUSE_ID to the id of one; its page in "
            "the workspace shows it behind the name."
        )
    state = _state(session, warehouse_id)
    session.warehouse.rows("SELECT 1 AS one")
    if state in {None, "RUNNING"}:
        return Answer(f"SQL warehouse {warehouse_id} is running and answers.")
    return Answer(
        f"SQL warehouse {warehouse_id} was {state}, started and answers. Each run will start it "
        "again when it has stopped."
    )


def _state(session: WorkspaceSession, warehouse_id: str) -> str | None:
    """The state before the statement; None when the statement has to tell what is wrong."""
    from databricks.sdk.errors.base import DatabricksError  # slow to import

    with session.connection.calling("look at the SQL warehouse") as client:
        try:
            state = client.warehouses.get(warehouse_id).state
        except DatabricksError:
            return None
    return state.value if state else None
