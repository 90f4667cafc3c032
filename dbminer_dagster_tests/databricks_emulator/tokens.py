"""Tokens that the emulator gave out, and the check of the one that comes with a request."""

import base64
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.message import Message

from dbminer_dagster_tests.databricks_emulator.api_error import refused
from dbminer_dagster_tests.databricks_emulator.workspace import ALL_APIS, Principal, Workspace

DATABRICKS_RESOURCE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"
MANAGEMENT_RESOURCES = frozenset(
    {"https://management.core.windows.net/", "https://management.azure.com/"}
)


@dataclass(frozen=True, slots=True)
class Session:
    """Who sends a request, and for what its token is good."""

    principal: Principal
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Refuses what the scopes of the token do not cover.

        Raises:
            ApiError: The scope is missing.
        """
        if not self.scopes & {scope, ALL_APIS}:
            message = f"Provided OAuth token does not have required scopes: {scope}"
            raise refused(403, 403, message)


@dataclass(frozen=True, slots=True)
class _Token:
    session: Session
    resource: str
    expires_at: float


class Tokens:
    """Issues tokens and recognises them. Safe to use from any thread."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._issued: dict[str, _Token] = {}

    def expire(self) -> None:
        """Lets all tokens expire that were issued; personal access tokens stay good."""
        self._issued = {
            text: replace(token, expires_at=0.0) for text, token in self._issued.items()
        }

    def issue_oauth(self, principal: Principal, scopes: frozenset[str]) -> str:
        """A token of Databricks: a JSON Web Token, from which SQL clients read when it expires."""
        now = time.time()
        claims = {
            "iss": f"{self._workspace.host}/oidc",
            "sub": principal.name,
            "scope": " ".join(sorted(scopes)),
            "iat": int(now),
            "exp": now + self._workspace.token_lifetime_s,
        }
        text = f"{_segment({'alg': 'RS256', 'typ': 'JWT'})}.{_segment(claims)}.{_unguessable()}"
        return self._keep(text, Session(principal, scopes), DATABRICKS_RESOURCE)

    def issue_entra(self, principal: Principal, resource: str) -> str:
        """A token of Entra.

        It is opaque, other than the real one: the SQL connector would exchange a token of another
        issuer over TLS, whatever the scheme of the workspace.
        """
        session = Session(principal, frozenset({ALL_APIS}))
        return self._keep(_unguessable(), session, resource)

    def session_of(self, headers: "Message[str, str]") -> Session:
        """Who sends a request with these headers.

        Raises:
            ApiError: Nobody, or nobody whom the workspace lets in.
        """
        scheme, _, text = headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not text:
            message = "Credential was not sent or was of an unsupported type for this API."
            raise refused(401, 401, message)
        user = self._workspace.user
        if secrets.compare_digest(text.encode(), user.secret.encode()):
            return Session(user, self._workspace.scopes_of(user))
        token = self._issued.get(text)
        if token is None or token.resource != DATABRICKS_RESOURCE:
            raise refused(403, 403, "Invalid access token.")
        in_azure = token.session.principal.tenant_id is not None
        if token.expires_at <= time.monotonic():
            raise (
                refused(401, 401, "Token is expired")
                if in_azure
                else refused(403, 403, "Invalid Token")
            )
        if in_azure and not self._workspace.azure_member:
            self._admit_by_azure_role(headers)
        return token.session

    def _admit_by_azure_role(self, headers: "Message[str, str]") -> None:
        """Lets in who is no member but may manage the Azure resource of the workspace."""
        management = self._issued.get(headers.get("X-Databricks-Azure-SP-Management-Token", ""))
        resource_id = headers.get("X-Databricks-Azure-Workspace-Resource-Id")
        if (
            management is None
            or management.resource not in MANAGEMENT_RESOURCES
            or management.expires_at <= time.monotonic()
            or resource_id != self._workspace.azure_resource_id
        ):
            raise refused(403, 403, "User not authorized.")

    def _keep(self, text: str, session: Session, resource: str) -> str:
        expires_at = time.monotonic() + self._workspace.token_lifetime_s
        self._issued[text] = _Token(session, resource, expires_at)
        return text


def _segment(content: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def _unguessable() -> str:
    return secrets.token_urlsafe(48)
