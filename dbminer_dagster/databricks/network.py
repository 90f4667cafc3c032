"""Requests outside of the API, how long anything may take, and what broken connections mean."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3.exceptions as urllib3_errors
from databricks.sdk.clock import RealClock
from databricks.sdk.retries import retried

from dbminer_dagster.errors import WorkspaceUnreachableError

ANSWER_TIMEOUT_S = 60.0
"""For one REST call; some, such as the lineage of a much used table, take long."""
RETRY_BUDGET_S = 120.0
"""For all attempts at one REST call that meets 429, 503 or a broken connection."""
_TIMEOUTS_S = (5.0, 10.0)  # to connect and to answer, while signing in
_BUDGET_S = 20.0
_ATTEMPTS = 3
_BUSY = frozenset({429, 500, 502, 503, 504})


class PatientClock(RealClock):
    """A clock for the SDK's retries, which would follow a `Retry-After` of any length."""

    LONGEST_PAUSE_S = 30.0

    def sleep(self, seconds: float) -> None:
        """Waits, but not longer than half a minute."""
        super().sleep(min(seconds, self.LONGEST_PAUSE_S))


class BusyError(Exception):
    """A server asks to come back later."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(f"it is overloaded or out of order (HTTP {response.status_code})")
        after = response.headers.get("Retry-After", "")
        self.retry_after_secs = int(after) if after.isdigit() else 1  # read by the SDK's `retried`


def ask(method: str, url: str, *, reached: bool = False, **options: Any) -> requests.Response:
    """One request while signing in, repeated while the server is busy or breaks the connection.

    Args:
        method: Of HTTP.
        url: What is asked.
        reached: Whether its host has answered before.
        **options: As of `requests.request`. Redirects are not followed.

    Raises:
        WorkspaceUnreachableError: There was no answer in some 20 seconds.
    """
    options.setdefault("auth", _without_netrc)

    @retried(
        is_retryable=_is_transient,
        timeout=timedelta(seconds=_BUDGET_S),
        max_attempts=_ATTEMPTS,
        clock=PatientClock(),
    )
    def attempt() -> requests.Response:
        response = requests.request(
            method, url, timeout=_TIMEOUTS_S, allow_redirects=False, **options
        )
        if response.status_code in _BUSY:
            raise BusyError(response)
        return response

    try:
        return attempt()
    except (requests.RequestException, RuntimeError, TimeoutError) as error:
        raise unreachable(url, error, reached=reached) from error


def _without_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps requests from sending what ~/.netrc holds for the host."""
    return request


def _is_transient(error: BaseException) -> str | None:
    broken = isinstance(error, requests.RequestException)
    certificate = isinstance(error, requests.exceptions.SSLError)
    return "broken connection" if broken and not certificate else None


def unreachable(
    url: str, error: BaseException, *, reached: bool = True
) -> WorkspaceUnreachableError:
    """Says what a broken connection means, and what repairs it.

    Worth another attempt is what broke on the way, and a host that cannot be reached any more; one
    that never answered is more likely a wrong setting, and a certificate does not change.

    Args:
        url: What was asked.
        error: How that ended.
        reached: Whether the host has answered before.
    """
    host = urlsplit(url).netloc
    for cause in _causes(error):
        for kinds, reason, remedy in _MEANINGS:
            if isinstance(cause, kinds):
                return WorkspaceUnreachableError(
                    f"{host} cannot be reached: {reason}.",
                    remedy,
                    retryable=reached and kinds is not _CERTIFICATE,
                )
        if isinstance(cause, BusyError):
            return WorkspaceUnreachableError(
                f"{host} does not serve: {cause}.", "Try again later.", retryable=True
            )
    return WorkspaceUnreachableError(
        f"The connection to {host} broke.",
        "Run again; check the network and the proxy when it happens often.",
        retryable=True,
    )


_CHECK_HOST = "Check DATABRICKS_HOST, the network, the proxy (HTTPS_PROXY) and its NO_PROXY."
_CERTIFICATE = (requests.exceptions.SSLError, urllib3_errors.SSLError)
_MEANINGS: tuple[tuple[tuple[type[BaseException], ...], str, str], ...] = (
    (
        _CERTIFICATE,
        "it does not show a certificate that is trusted",
        "Name the authority's file in REQUESTS_CA_BUNDLE and in SSL_CERT_FILE.",
    ),
    (
        (requests.exceptions.ProxyError, urllib3_errors.ProxyError),
        "the proxy refuses or does not answer",
        "Set HTTPS_PROXY to a proxy that reaches it, or name it in NO_PROXY.",
    ),
    ((urllib3_errors.NameResolutionError,), "the name is not known", _CHECK_HOST),
    (
        (requests.exceptions.ReadTimeout, urllib3_errors.ReadTimeoutError),
        "it does not answer in time",
        _CHECK_HOST,
    ),
    (
        (
            requests.exceptions.ConnectTimeout,
            urllib3_errors.ConnectTimeoutError,
            urllib3_errors.NewConnectionError,
        ),
        "it accepts no connection",
        _CHECK_HOST,
    ),
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it wraps in the manner of requests, urllib3 and Python."""
    todo, seen = [error], set[int]()
    while todo:
        cause = todo.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        wrapped = (getattr(cause, "reason", None), *cause.args, cause.__cause__, cause.__context__)
        todo += [inner for inner in wrapped if isinstance(inner, BaseException)]
