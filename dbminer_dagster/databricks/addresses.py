"""Addresses of workspaces, as people copy them, and where credentials may travel."""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from dbminer_dagster.errors import SettingsError

_EXAMPLE = "Set it to the URL of the workspace, such as https://adb-123.4.azuredatabricks.net."


def workspace_url(text: str) -> str:
    """The URL of a workspace, without path and query, as `https://host` or `https://host:port`.

    Args:
        text: A host name, or a URL as copied from a browser.

    Raises:
        SettingsError: It is no URL, or would send credentials unencrypted over a network.
    """
    text = text.strip()
    try:
        url = urlsplit(text if "://" in text else f"https://{text}")
        port = url.port
    except ValueError:
        raise SettingsError(f"DATABRICKS_HOST: {text!r} is no URL. {_EXAMPLE}") from None
    if url.scheme not in {"https", "http"} or not url.hostname or " " in url.netloc:
        raise SettingsError(f"DATABRICKS_HOST: {text!r} is no URL. {_EXAMPLE}")
    if url.username is not None:  # not shown: what stands there may be a password
        raise SettingsError(f"DATABRICKS_HOST holds a user name before the host. {_EXAMPLE}")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    shown_port = "" if port in {None, 443 if url.scheme == "https" else 80} else f":{port}"
    normal = f"{url.scheme}://{host}{shown_port}"
    if not is_private(normal):
        raise SettingsError(
            f"DATABRICKS_HOST: {normal} would send the credentials unencrypted. Use https://"
        )
    return normal


def is_private(url: str) -> bool:
    """Whether nobody on a network can read what is sent there: https, or this machine."""
    return urlsplit(url).scheme == "https" or is_loopback(urlsplit(url))


def is_loopback(url: SplitResult) -> bool:
    """Whether a URL names this machine."""
    if url.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.hostname or "").is_loopback
    except ValueError:
        return False
