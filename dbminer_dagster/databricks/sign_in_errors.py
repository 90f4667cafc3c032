"""What refused credentials mean, for each way to sign in, and the one action that repairs it.

Texts of the workspace as clients report them; codes of Entra from "Microsoft Entra authentication
and authorization error codes".
"""

import re
from http import HTTPStatus

from dbminer_dagster.databricks.credentials import Credentials
from dbminer_dagster.errors import SignInError
from dbminer_dagster.settings import AuthType

Meaning = tuple[str, str]  # what is wrong, and what to do about it

_SCOPES = re.compile(r"required scopes?:? *([\w.:, -]*)", re.IGNORECASE)
_UNASSIGNED_SCOPES = re.compile(r"[Ss]copes? .+ (?:is|are) not assigned")
_EXPIRED = re.compile(r"expired|expiring", re.IGNORECASE)
_INVALID = re.compile(r"invalid (?:access )?token", re.IGNORECASE)
_NOT_ADMITTED = re.compile(
    r"credential was not sent|^user not authorized$|unauthenticated|authentication", re.IGNORECASE
)
_ENTRA_CODE = re.compile(r"AADSTS(\d+)")
_WRONG_TENANT = (
    "the tenant does not exist",
    "Set ARM_TENANT_ID to the directory (tenant) id of the app registration.",
)
_ENTRA_MEANINGS: dict[str, Meaning] = {
    "7000215": (
        "the client secret is wrong",
        "Set ARM_CLIENT_SECRET to the value (not the id) of a secret of this app registration.",
    ),
    "7000222": (
        "the client secret has expired",
        "Create a new secret for the app registration and set ARM_CLIENT_SECRET to its value.",
    ),
    "700016": (
        "the tenant does not know the application",
        "Set ARM_CLIENT_ID to the application (client) id of an app registration in ARM_TENANT_ID.",
    ),
    "90002": _WRONG_TENANT,
    "900023": _WRONG_TENANT,
    "500011": (
        "the tenant does not know Azure Databricks",
        "Set ARM_TENANT_ID to the tenant to which the workspace belongs.",
    ),
}
_OTHER_TOKEN = {
    AuthType.PAT: "Set DATABRICKS_TOKEN to a token that was made in this workspace.",
    AuthType.OAUTH_M2M: (
        "Check that DATABRICKS_HOST is a workspace to which this service principal is assigned."
    ),
    AuthType.AZURE_CLIENT_SECRET: (
        "Add the service principal to the workspace; or let it manage the workspace in Azure and "
        "set DATABRICKS_AZURE_RESOURCE_ID to the resource id of it."
    ),
}
_NEW_TOKEN = {
    AuthType.PAT: "Create a new token in the workspace and set DATABRICKS_TOKEN to it.",
    AuthType.OAUTH_M2M: "Run again: a new token is asked for.",
    AuthType.AZURE_CLIENT_SECRET: "Run again: a new token is asked for.",
}
_WIDER_TOKEN = {
    AuthType.PAT: "Create a token with the scope {scopes}, or all-apis, and set DATABRICKS_TOKEN.",
    AuthType.OAUTH_M2M: (
        "Create an OAuth secret with the scope all-apis for the service principal and set "
        "DATABRICKS_CLIENT_SECRET."
    ),
    AuthType.AZURE_CLIENT_SECRET: (
        "Let an admin allow the scope {scopes} to the service principal."
    ),
}


def is_about_sign_in(status: int | None, text: str) -> bool:
    """Whether an answer refuses the credentials, and not what was asked with them."""
    texts = (_EXPIRED, _INVALID, _SCOPES, _NOT_ADMITTED)
    return status == HTTPStatus.UNAUTHORIZED or (
        status == HTTPStatus.FORBIDDEN and any(pattern.search(text) for pattern in texts)
    )


def credentials_refused(credentials: Credentials, host: str, text: str) -> SignInError:
    """The workspace refused a token.

    Args:
        credentials: With which it was asked.
        host: URL of the workspace.
        text: What it answered.
    """
    way = credentials.auth_type
    is_pat = way is AuthType.PAT
    who = "the personal access token" if is_pat else f"the token of {_principal(credentials)}"
    if scopes := _SCOPES.search(text):
        names = scopes[1].strip(" .") or "that it asks for"
        remedy = _WIDER_TOKEN[way].format(scopes=names)
        return _error(way, host, (f"{who} lacks the scope {names}", remedy))
    if _EXPIRED.search(text) or (_INVALID.search(text) and not is_pat):
        # OAuth tokens are renewed in time; this one was revoked, or the clocks differ.
        return _error(way, host, (f"{who} has expired", _NEW_TOKEN[way]), retryable=not is_pat)
    answered = f" ({text})" if text else ""
    return _error(way, host, (f"{who} is not accepted{answered}", _OTHER_TOKEN[way]))


def token_refused(credentials: Credentials, url: str, error: str, description: str) -> SignInError:
    """A token endpoint gave no token.

    Args:
        credentials: With which it was asked.
        url: The endpoint.
        error: OAuth's error code, such as `invalid_client`, or the HTTP status.
        description: The text that came with it.
    """
    way = credentials.auth_type
    if way is AuthType.AZURE_CLIENT_SECRET:
        return _error(way, url, _entra_meaning(credentials, error, description))
    if error == "invalid_scope" or _UNASSIGNED_SCOPES.search(description):
        reason = f"the secret of {_principal(credentials)} lacks the scope all-apis"
        return _error(way, url, (reason, _WIDER_TOKEN[way]))
    if error in {"invalid_client", "unauthorized_client"}:
        return _error(
            way,
            url,
            (
                f"the client id {credentials.client_id} or its secret is wrong or has expired",
                "Set DATABRICKS_CLIENT_ID to the application id of a service principal of this "
                "workspace and DATABRICKS_CLIENT_SECRET to an OAuth secret of it (secrets of "
                "Entra do not count).",
            ),
        )
    answered = f"the answer was {error}: {description}".strip(" :.")
    return _error(way, url, (answered, "Check that DATABRICKS_HOST is the URL of a workspace."))


def _entra_meaning(credentials: Credentials, error: str, description: str) -> Meaning:
    number = _ENTRA_CODE.search(description)
    text = f"Entra answered {error}: {description}".split(" Trace ID:")[0].strip(" :.")
    look_up = "Look the code up at https://login.microsoftonline.com/error."
    reason, remedy = _ENTRA_MEANINGS.get(number[1] if number else "", (text, look_up))
    if number and number[1] in _ENTRA_MEANINGS:
        who = f"tenant {credentials.tenant_id}, application {credentials.client_id}"
        reason = f"{reason} ({number[0]}; {who})"
    return reason, remedy


def _principal(credentials: Credentials) -> str:
    return f"the service principal {credentials.client_id}"


def _error(way: AuthType, where: str, meaning: Meaning, *, retryable: bool = False) -> SignInError:
    reason, remedy = meaning
    what = f"Cannot sign in at {where} ({way.value}): {reason}."
    return SignInError(what, remedy, retryable=retryable)
