"""The one place for host, sign-in and clients of a Databricks workspace."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from databricks.sdk import WorkspaceClient
from databricks.sdk.clock import Clock

from dbminer_dagster.databricks.addresses import workspace_url
from dbminer_dagster.databricks.credentials import Credentials
from dbminer_dagster.databricks.network import RETRY_BUDGET_S, ask
from dbminer_dagster.databricks.rest_errors import RAISED_BY_SDK, explain_rest
from dbminer_dagster.databricks.sign_in import sign_in
from dbminer_dagster.errors import DbminerError, SettingsError, SignInError
from dbminer_dagster.settings import AuthType, Settings

if TYPE_CHECKING:
    from dbminer_dagster.databricks.warehouse import Warehouse

_log = logging.getLogger(__name__)
_UNKNOWN_PRINCIPAL = "<principal>"


class Connection:
    """A workspace and the credentials for it. Nothing is asked of it before something is needed.

    Attributes:
        host: `https://…`, without path and trailing slash.
        credentials: Of the one way to sign in that the settings give.
    """

    def __init__(self, host: str, credentials: Credentials) -> None:
        self.host = host
        self.credentials = credentials
        self._reached = False

    @classmethod
    def from_settings(cls, settings: Settings) -> "Connection":
        """The connection that the settings describe.

        Raises:
            SettingsError: The host or credentials are missing, ambiguous, or would travel
                unencrypted.
        """
        if settings.databricks_host is None:
            raise SettingsError(
                "The workspace is not known. Set DATABRICKS_HOST to its URL, such as "
                "https://adb-123.4.azuredatabricks.net."
            )
        return cls(workspace_url(settings.databricks_host), Credentials.from_settings(settings))

    def __repr__(self) -> str:
        return f"Connection({self.host!r}, {self.auth_type.value!r})"

    @property
    def auth_type(self) -> AuthType:
        """The way to sign in."""
        return self.credentials.auth_type

    def require_reachable(self) -> None:
        """Asks the host for something that needs no sign-in.

        Raises:
            WorkspaceUnreachableError: It does not answer, in less than half a minute; worth
                another attempt if it has answered before.
        """
        ask("GET", f"{self.host}/.well-known/databricks-config", reached=self._reached)
        self._reached = True

    def client(self) -> WorkspaceClient:
        """The client for REST calls, made once; map its errors with `calling`.

        Raises:
            WorkspaceUnreachableError: The host or the endpoint for tokens does not answer.
            SignInError: No token could be had. A personal access token is not tried here.
        """
        return self._client

    def new_client(
        self, clock: Clock | None = None, retry_budget_s: float = RETRY_BUDGET_S
    ) -> WorkspaceClient:
        """Another client, with its own way to wait.

        Args:
            clock: With which it waits before it tries again.
            retry_budget_s: For all attempts at one call.

        Raises:
            WorkspaceUnreachableError: As of `client`.
            SignInError: As of `client`.
        """
        self.require_reachable()  # the SDK would wait long, and then go on without an answer
        config = sign_in(self.host, self.credentials, clock, retry_budget_s)
        config.authenticate()
        return WorkspaceClient(config=config)

    @cached_property
    def _client(self) -> WorkspaceClient:
        return self.new_client()

    @contextmanager
    def calling(self, what: str) -> Iterator[WorkspaceClient]:
        """Gives the client, and turns the errors of its calls into ours.

        Args:
            what: What is tried, such as `list the schemas of system`.

        Raises:
            WorkspaceError: The call failed; the class tells why.
        """
        try:
            yield self.client()
        except RAISED_BY_SDK as error:
            explained = explain_rest(error, self, what)
            self.forget_refused_token(explained)
            raise explained from error

    def forget_refused_token(self, error: DbminerError) -> None:
        """Lets the next attempt sign in anew after a token was refused before its time."""
        if isinstance(error, SignInError) and error.retryable:
            self.__dict__.pop("_client", None)

    @property
    def principal(self) -> str:
        """Who is signed in, as grants name it: a user name, or an application id.

        Asked for once, and only for messages: an error while asking gives a placeholder.
        """
        try:
            return self.signed_in()
        except DbminerError as error:
            _log.debug("The principal is not known: %s", error)
            return self.credentials.client_id or _UNKNOWN_PRINCIPAL

    def signed_in(self) -> str:
        """Who is signed in, as grants name it, once the workspace has accepted the credentials.

        Raises:
            WorkspaceUnreachableError: The workspace does not answer.
            SignInError: It does not accept the credentials.
        """
        return self._signed_in

    @cached_property
    def _signed_in(self) -> str:
        with self.calling("ask who is signed in") as client:
            name = client.current_user.me().user_name
        if not name:
            raise SignInError(
                f"Cannot sign in at {self.host}: it does not say as whom.",
                "Check that DATABRICKS_HOST is the URL of a workspace of Databricks.",
            )
        return name

    def warehouse(self, warehouse_id: str) -> "Warehouse":
        """A session on a SQL warehouse, for a `with` block; opened with its first statement."""
        # The SQL connector takes seconds to import, and the REST method does without.
        from dbminer_dagster.databricks.warehouse import Warehouse

        return Warehouse(self, warehouse_id)
