"""Posts JSON to a webhook, whose address is a secret."""

import email.utils
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import Message
from typing import Any

from pydantic import SecretStr

from dbminer_dagster.errors import AlertError

ATTEMPTS = 3
FIRST_WAIT_S = 1.0
"""Doubled for each further attempt."""
LONGEST_WAIT_S = 8.0
TIMEOUT_S = 8.0
"""Three attempts and their waits end before Dagster gives up a tick, after 60 seconds."""
VARIABLE = "DBMINER_ALERT_WEBHOOK_URL"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook that has moved would get the alert, or its address, somewhere else."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def post(url: SecretStr, payload: Mapping[str, Any]) -> None:
    """Posts, and posts again for a while where the webhook cannot take it at the moment.

    Args:
        url: Of the webhook.
        payload: Becomes JSON.

    Raises:
        AlertError: The webhook did not take it; says why, and never the address.
    """
    wait_s = FIRST_WAIT_S
    for attempt in range(1, ATTEMPTS + 1):
        refusal = _refusal(url, payload)
        if refusal is None:
            return
        asked_s = refusal.wait_s or 0.0
        if refusal.is_lasting or attempt == ATTEMPTS or asked_s > LONGEST_WAIT_S:
            raise refusal
        time.sleep(max(wait_s, asked_s))
        wait_s *= 2


def _refusal(url: SecretStr, payload: Mapping[str, Any]) -> AlertError | None:
    """Why the webhook did not take it; None if it did."""
    try:
        # The settings allow no other scheme than these of HTTP.
        request = urllib.request.Request(  # noqa: S310
            url.get_secret_value(),
            json.dumps(payload).encode(),
            {"Content-Type": "application/json"},
        )
        with _OPENER.open(request, timeout=TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        error.close()
        why, may_pass = f"it answered {error.code}", _may_pass(error.code)
        wait_s = _asked_wait_s(error.headers)
    except (OSError, http.client.HTTPException, ValueError) as error:
        # In own words: those of the error may name the address.
        why, may_pass, wait_s = f"it {_of_connection(error)}", True, None
    remedy = "Make it reachable from here" if may_pass else "Make a new one and set the variable"
    return AlertError(
        f"The webhook of {VARIABLE} did not take the alert: {why}. {remedy}; the alert is posted "
        "again with the next tick.",
        is_lasting=not may_pass,
        wait_s=wait_s,
    )


def _may_pass(status: int) -> bool:
    return (
        status == http.HTTPStatus.TOO_MANY_REQUESTS
        or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
    )


def _of_connection(error: Exception) -> str:
    match getattr(error, "reason", error):
        case ssl.SSLCertVerificationError():
            return "shows a certificate that is not trusted"
        case TimeoutError():
            return f"did not answer within {TIMEOUT_S:g} seconds"
        case ConnectionRefusedError():
            return "refused the connection"
        case http.client.HTTPException():
            return "did not answer as HTTP wants"
        case _:
            return "cannot be reached"


def _asked_wait_s(headers: Message) -> float | None:
    """Seconds by the header `Retry-After`, which holds seconds or a time."""
    text = headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (at - datetime.now(UTC)).total_seconds()) if at.tzinfo else None
