"""The endpoints that give out tokens: Databricks' OAuth and Entra's version 1.

As in Databricks' "Authorize service principal access with OAuth" and as the Databricks SDK calls
them; the errors of Entra as in its "Microsoft Entra authentication and authorization error codes".
"""

import base64
import binascii
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from urllib.parse import parse_qsl

from dbminer_dagster_tests.databricks_emulator.api_error import Answer, ApiError, json_answer
from dbminer_dagster_tests.databricks_emulator.tokens import (
    DATABRICKS_RESOURCE,
    MANAGEMENT_RESOURCES,
    Tokens,
)
from dbminer_dagster_tests.databricks_emulator.workspace import ALL_APIS, SCOPES, Workspace

_ENTRA_PATH = re.compile(r"/([^/]+)/oauth2/token")


@dataclass(frozen=True, slots=True)
class SignIn:
    """Answers what is asked before there is a token."""

    workspace: Workspace
    tokens: Tokens

    def answer(
        self, method: str, path: str, headers: "Message[str, str]", body: bytes
    ) -> Answer | None:
        """The answer to a request of signing in, None when it is something else.

        Raises:
            ApiError: The credentials are wrong.
        """
        match method, path:
            case "GET", "/.well-known/databricks-config":
                return self._host_metadata()
            case "GET", "/oidc/.well-known/oauth-authorization-server":
                return self._oauth_server()
            case "POST", "/oidc/v1/token":
                return self._oauth_token(headers.get("Authorization", ""), _form(body))
            case "GET", "/aad/auth":
                return self._entra_login()
            case "POST", _ if tenant := _ENTRA_PATH.fullmatch(path):
                return self._entra_token(tenant[1], _form(body))
        return None

    def _host_metadata(self) -> Answer:
        return json_answer(
            {
                "oidc_endpoint": f"{self.workspace.host}/oidc",
                "account_id": self.workspace.account_id,
                "workspace_id": self.workspace.workspace_id,
            }
        )

    def _oauth_server(self) -> Answer:
        issuer = f"{self.workspace.host}/oidc"
        return json_answer(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/v1/authorize",
                "token_endpoint": f"{issuer}/v1/token",
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            }
        )

    def _oauth_token(self, authorization: str, form: Mapping[str, str]) -> Answer:
        """A token for the service principal in the Basic header, with the scopes asked for."""
        principal = self.workspace.service_principal
        if form.get("grant_type") != "client_credentials":
            raise _oauth_error(400, "unsupported_grant_type", "Unsupported grant type")
        if _basic(authorization) != (principal.name, principal.secret):
            raise _oauth_error(401, "invalid_client", "Client authentication failed")
        scopes = frozenset(form.get("scope", "").split())
        if not scopes or not scopes <= SCOPES:
            raise _oauth_error(400, "invalid_scope", "Missing or unknown scope")
        assigned = self.workspace.scopes_of(principal)
        if ALL_APIS not in assigned and not scopes <= assigned:
            names = " ".join(sorted(scopes - assigned))
            raise _oauth_error(400, "access_denied", f"Scopes '{names}' are not assigned")
        token = self.tokens.issue_oauth(principal, scopes)
        return self._token_answer(token, {"scope": " ".join(sorted(scopes))})

    def _entra_login(self) -> Answer:
        """The redirect to the login page, which tells the tenant of the workspace."""
        tenant = self.workspace.azure_service_principal.tenant_id
        location = f"{self.workspace.host}/{tenant}/oauth2/authorize?resource={DATABRICKS_RESOURCE}"
        return Answer(302, headers={"Location": location})

    def _entra_token(self, tenant: str, form: Mapping[str, str]) -> Answer:
        """A token of Entra for the resource in the form."""
        principal = self.workspace.azure_service_principal
        client_id, resource = form.get("client_id", ""), form.get("resource", "")
        if tenant != principal.tenant_id:
            raise _entra_error("invalid_request", 90002, f"Tenant '{tenant}' {_NO_TENANT}")
        if client_id != principal.name:
            text = f"Application with identifier '{client_id}' {_NO_APPLICATION}"
            raise _entra_error("unauthorized_client", 700016, text)
        if form.get("client_secret") != principal.secret:
            text = f"Invalid client secret provided. {_WRONG_SECRET} '{client_id}'."
            raise _entra_error("invalid_client", 7000215, text, status=401)
        if resource not in {DATABRICKS_RESOURCE, *MANAGEMENT_RESOURCES}:
            text = f"The resource principal named {resource} {_NO_APPLICATION}"
            raise _entra_error("invalid_resource", 500011, text)
        token = self.tokens.issue_entra(principal, resource)
        return self._token_answer(token, {"resource": resource})

    def _token_answer(self, token: str, details: Mapping[str, str]) -> Answer:
        lifetime_s = int(self.workspace.token_lifetime_s)
        common = {"access_token": token, "token_type": "Bearer", "expires_in": lifetime_s}
        return json_answer({**common, **details})


_NO_TENANT = (
    "not found. Check to make sure you have the correct tenant ID and are signing into the correct "
    "cloud. Check with your subscription administrator, this may happen if there are no active "
    "subscriptions for the tenant."
)
_NO_APPLICATION = (
    "was not found in the directory 'Larkfell'. This can happen if the application has not been "
    "installed by the administrator of the tenant or consented to by any user in the tenant. You "
    "may have sent your authentication request to the wrong tenant."
)
_WRONG_SECRET = (
    "Ensure the secret being sent in the request is the client secret value, not the client secret "
    "ID, for a secret added to app"
)


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode()))


def _basic(authorization: str) -> tuple[str, str]:
    """Name and password of a Basic header, empty when there is none that is well formed."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        name, _, password = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return (name, password) if scheme == "Basic" else ("", "")


def _oauth_error(status: int, error: str, description: str) -> ApiError:
    return ApiError(status, {"error": error, "error_description": description})


def _entra_error(error: str, number: int, text: str, *, status: int = 400) -> ApiError:
    now = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
    trace_id = "6d0f5c3a-2b71-4f0e-8e94-0b7a1c5d3e00"
    return ApiError(
        status,
        {
            "error": error,
            "error_description": f"AADSTS{number}: {text} Trace ID: {trace_id} Timestamp: {now}",
            "error_codes": [number],
            "timestamp": now,
            "trace_id": trace_id,
            "error_uri": f"https://login.microsoftonline.com/error?code={number}",
        },
    )
