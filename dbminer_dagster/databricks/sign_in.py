"""From credentials to the configuration with which both clients work, SDK and SQL connector."""

from collections.abc import Callable
from importlib.metadata import version

from databricks.sdk.clock import Clock
from databricks.sdk.config import Config
from databricks.sdk.credentials_provider import CredentialsStrategy

from dbminer_dagster.databricks.credentials import Credentials
from dbminer_dagster.databricks.network import (
    ANSWER_TIMEOUT_S,
    RETRY_BUDGET_S,
    PatientClock,
)
from dbminer_dagster.databricks.tokens import Headers, azure_headers, databricks_headers
from dbminer_dagster.settings import AuthType

PRODUCT = "dbminer"


class _SignIn(CredentialsStrategy):
    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def auth_type(self) -> str:
        return self._credentials.auth_type.value

    def __call__(self, cfg: Config) -> Headers:
        match self._credentials.auth_type:
            case AuthType.PAT:
                token = self._credentials.secret.get_secret_value()
                return lambda: {"Authorization": f"Bearer {token}"}
            case AuthType.OAUTH_M2M:
                return databricks_headers(self._credentials, cfg)
            case AuthType.AZURE_CLIENT_SECRET:
                return azure_headers(self._credentials, cfg)


def sign_in(
    host: str,
    credentials: Credentials,
    clock: Clock | None = None,
    retry_budget_s: float = RETRY_BUDGET_S,
) -> Config:
    """The configuration of the SDK for one workspace and one way to sign in.

    Nothing of it comes from the environment or from `~/.databrickscfg`, from which the SDK would
    fill each field that it is not given.

    Args:
        host: URL of the workspace, which is known to answer.
        credentials: Of the way.
        clock: With which the client waits before it tries again; by default patiently.
        retry_budget_s: For all attempts at one call.

    Raises:
        SignInError: No token could be had.
        WorkspaceUnreachableError: An endpoint for tokens does not answer.
    """
    given = {
        "host": host,
        "auth_type": credentials.auth_type.value,
        "http_timeout_seconds": ANSWER_TIMEOUT_S,
        "retry_timeout_seconds": retry_budget_s,
        "azure_workspace_resource_id": credentials.resource_id or "",
    }
    return Config(
        credentials_strategy=_SignIn(credentials),
        clock=clock or PatientClock(),
        product=PRODUCT,
        product_version=version("dbminer"),
        **{**_blank_fields(), **given},
    )


def _blank_fields() -> dict[str, object]:
    """An empty value for each field that the SDK would look up in the environment."""
    fields = [attribute for attribute in Config.attributes() if attribute.env]
    return {field.name: _blank(field.transform) for field in fields}


def _blank(transform: Callable[[object], object]) -> object:
    return 0 if transform in {int, float, bool} else ""
