"""Probes that every method on a workspace has, and the session that all of them share."""

from functools import cached_property
from threading import Lock, Thread, current_thread
from typing import TYPE_CHECKING

from dbminer_dagster.preflight.model import Answer, Probe, Stage, Status
from dbminer_dagster.settings import Settings

if TYPE_CHECKING:
    from dbminer_dagster.databricks.connection import Connection
    from dbminer_dagster.databricks.warehouse import Warehouse


class WorkspaceSession:
    """One connection and one SQL session for all probes; made when the first one needs them.

    Attributes:
        settings: What it is made from.
        wait_seconds: How long a probe may wait for the warehouse.
    """

    def __init__(self, settings: Settings, wait_seconds: float) -> None:
        self.settings = settings
        self.wait_seconds = wait_seconds
        self._warehouse: Warehouse | None = None
        self._given_up: set[Thread] = set()
        self._lock = Lock()

    @cached_property
    def connection(self) -> "Connection":
        """The connection that the settings describe.

        Raises:
            SettingsError: See `Connection.from_settings`.
        """
        from dbminer_dagster.databricks.connection import Connection  # slow to import

        return Connection.from_settings(self.settings)

    @cached_property
    def metastore_id(self) -> str:
        """The metastore of the workspace; empty when there is none.

        Raises:
            WorkspaceError: The workspace does not say.
        """
        from databricks.sdk.errors import NotFound  # slow to import

        with self.connection.calling("ask for the metastore") as client:
            try:
                return client.metastores.summary().metastore_id or ""
            except NotFound:
                return ""

    @property
    def warehouse(self) -> "Warehouse":
        """The session on the SQL warehouse that the settings name.

        Raises:
            RuntimeError: The probe that asks was given up; the session belongs to those after it.
        """
        connection = self.connection
        with self._lock:
            if current_thread() in self._given_up:
                raise RuntimeError("The probe was given up.")
            if self._warehouse is None:
                self._warehouse = connection.warehouse(self.settings.warehouse_id or "")
            return self._warehouse

    def close(self) -> None:
        """Closes the SQL session, which ends what still runs in it."""
        with self._lock:
            warehouse, self._warehouse = self._warehouse, None
        if warehouse is not None:
            warehouse.close()

    def abandon(self, asking: Thread) -> None:
        """Closes the session of a thread that was given up, without waiting; the next one is new.

        The thread may just be opening it, so that it is closed once more when the thread is over.
        """
        with self._lock:
            self._given_up.add(asking)
            warehouse, self._warehouse = self._warehouse, None
        if warehouse is None:
            return

        def close() -> None:
            warehouse.close()
            asking.join()
            warehouse.close()

        Thread(target=close, daemon=True).start()


def workspace_probes(session: WorkspaceSession) -> tuple[Probe, ...]:
    """The probes in the order in which each needs those before it."""
    host = session.settings.databricks_host or "DATABRICKS_HOST, which is not set"
    reachable = Probe(
        "workspace_reachable",
        Stage.REACHABILITY,
        f"Connect to {host}.",
        lambda: _reachable(session),
    )
    accepted = Probe(
        "credentials_accepted",
        Stage.AUTHENTICATION,
        "Sign in and ask who is signed in (GET /api/2.0/preview/scim/v2/Me).",
        lambda: _accepted(session),
        needs=(reachable,),
    )
    enabled = Probe(
        "unity_catalog_enabled",
        Stage.AUTHORISATION,
        "Ask for the metastore (GET /api/2.1/unity-catalog/metastore_summary).",
        lambda: _enabled(session),
        needs=(accepted,),
    )
    return reachable, accepted, enabled


def _reachable(session: WorkspaceSession) -> Answer:
    """Without the credentials, which are the next probe's matter."""
    from dbminer_dagster.databricks.addresses import workspace_url
    from dbminer_dagster.databricks.network import ask  # slow to import

    given = session.settings.databricks_host
    host = workspace_url(given) if given else session.connection.host
    ask("GET", f"{host}/.well-known/databricks-config")
    return Answer(f"{host} answers.")


def _accepted(session: WorkspaceSession) -> Answer:
    principal = session.connection.signed_in()
    return Answer(f"Signed in as {principal} by {session.connection.auth_type.value}.")


def _enabled(session: WorkspaceSession) -> Answer:
    if session.metastore_id:
        return Answer(f"The workspace has the metastore {session.metastore_id}.")
    return Answer(
        f"{session.connection.host} has no metastore, so no Unity Catalog.",
        Status.FAILED,
        "Let an account admin assign a metastore to the workspace, or set DATABRICKS_HOST to a "
        "workspace that has one.",
    )
