"""OAuth tokens of service principals, and the headers that carry them.

The Databricks SDK has the same, but asks without a timeout and without a second attempt, and knows
Entra only behind the domains of Azure. So these stand in for its own, in the place that it offers
(`Config(credentials_strategy=…)`); when a token is renewed is still up to the SDK.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
from databricks.sdk import azure
from databricks.sdk.config import Config
from databricks.sdk.environments import (
    ARM_DATABRICKS_RESOURCE_ID,
    ENVIRONMENTS,
    AzureEnvironment,
    Cloud,
    get_environment_for_hostname,
)
from databricks.sdk.oauth import Refreshable, Token

from dbminer_dagster.databricks.addresses import is_loopback, is_private
from dbminer_dagster.databricks.credentials import Credentials
from dbminer_dagster.databricks.network import ask
from dbminer_dagster.databricks.sign_in_errors import token_refused
from dbminer_dagster.errors import SignInError

Headers = Callable[[], dict[str, str]]
_EXPIRES_IN_S = 3600


class ClientCredentials(Refreshable):
    """A token for a client id and secret, renewed before it expires."""

    def __init__(
        self,
        credentials: Credentials,
        url: str,
        form: Mapping[str, str],
        auth: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(disable_async=False)
        self._credentials = credentials
        self._url = url
        self._reached = False
        self._options: dict[str, Any] = {"data": {"grant_type": "client_credentials", **form}}
        if auth is not None:
            self._options["auth"] = auth

    def refresh(self) -> Token:
        """Asks for a new token.

        Raises:
            SignInError: The endpoint gives none.
            WorkspaceUnreachableError: The endpoint does not answer.
        """
        response = ask("POST", self._url, reached=self._reached, **self._options)
        self._reached = True
        answer = _json(response)
        if "access_token" not in answer:
            error = str(answer.get("error") or f"HTTP {response.status_code}")
            description = str(answer.get("error_description") or "")
            raise token_refused(self._credentials, self._url, error, description)
        lifetime = timedelta(seconds=int(answer.get("expires_in", _EXPIRES_IN_S)))
        return Token(answer["access_token"], "Bearer", expiry=datetime.now(UTC) + lifetime)


def databricks_headers(credentials: Credentials, config: Config) -> Headers:
    """The headers of a service principal of Databricks.

    Raises:
        SignInError: The workspace names an endpoint to which no secret may be sent.
    """
    secret = credentials.secret.get_secret_value()
    source = ClientCredentials(
        credentials,
        _token_endpoint(credentials, config),
        {"scope": "all-apis"},
        auth=(credentials.client_id, secret),
    )
    return lambda: {"Authorization": f"Bearer {source.token().access_token}"}


def _token_endpoint(credentials: Credentials, config: Config) -> str:
    """Where the workspace gives out tokens, as it says itself, or else its documented place."""
    url = f"{config.host}/oidc/v1/token"
    if config.discovery_url:
        url = str(_json(ask("GET", config.discovery_url)).get("token_endpoint") or url)
    if not is_private(url):
        raise token_refused(credentials, url, "no https", "the secret would travel unencrypted")
    return url


def azure_headers(credentials: Credentials, config: Config) -> Headers:
    """The headers of an Azure service principal.

    With the resource id of the workspace they let in a principal that is no member of it, but may
    manage it in Azure.

    Raises:
        SignInError: The workspace is none of Azure.
    """
    entra = _azure_environment(credentials, str(config.host))
    token_url = f"{entra.active_directory_endpoint}{credentials.tenant_id}/oauth2/token"

    def source(resource: str) -> ClientCredentials:
        secret = credentials.secret.get_secret_value()
        form = {"client_id": credentials.client_id, "client_secret": secret, "resource": resource}
        return ClientCredentials(credentials, token_url, form)

    application = get_environment_for_hostname(config.hostname).azure_application_id
    workspace_token = source(application or ARM_DATABRICKS_RESOURCE_ID)
    management_token = source(entra.service_management_endpoint)

    def headers() -> dict[str, str]:
        found = {"Authorization": f"Bearer {workspace_token.token().access_token}"}
        if config.azure_workspace_resource_id:
            azure.add_workspace_id_header(config, found)
            azure.add_sp_management_token(management_token, found)
        return found

    return headers


def _azure_environment(credentials: Credentials, host: str) -> AzureEnvironment:
    """Where Entra is: known by the domain, or else by where the workspace sends people to."""
    known = get_environment_for_hostname(urlsplit(host).hostname)
    if known.cloud is Cloud.AZURE and known.azure_environment is not None:
        return known.azure_environment
    location = ask("GET", f"{host}/aad/auth").headers.get("Location", "")
    target = urlsplit(location)
    endpoint = f"{target.scheme}://{target.netloc}/"
    for environment in ENVIRONMENTS.values():
        if endpoint == environment.active_directory_endpoint:
            return environment
    public = ENVIRONMENTS["PUBLIC"]
    if endpoint == f"{host}/" and is_loopback(target):
        return replace(public, active_directory_endpoint=endpoint)
    raise _not_azure(credentials, host, endpoint if location else None)


def _not_azure(credentials: Credentials, host: str, endpoint: str | None) -> SignInError:
    sends = f"sends people to {endpoint}, which is not Entra" if endpoint else "does not use Entra"
    way = credentials.auth_type.value
    return SignInError(
        f"Cannot sign in at {host} ({way}): it {sends}.",
        "Set DATABRICKS_HOST to the workspace's own URL, https://adb-….azuredatabricks.net.",
    )


def _json(response: requests.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except requests.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
