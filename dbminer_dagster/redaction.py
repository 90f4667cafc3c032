"""Takes what looks like a credential out of a text that leaves the process."""

import os
import re
from collections.abc import Iterable

from pydantic import SecretStr

from dbminer_dagster.databricks.signed_links import without_signatures
from dbminer_dagster.settings import Settings

MASK = "[redacted]"
SHORTEST_SECRET = 6
"""Shorter values stand in too many words."""
_SECRET_NAME = re.compile(r"(?i)token|secret|passw|credential|_key\b|webhook")
_PATTERNS = (
    re.compile(r"\bd(?:api|ose|kea)[0-9a-f]{16,}(?:-\d+)?"),  # tokens of Databricks
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"),  # keys of AWS
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"),  # JSON web tokens
    re.compile(r"(?i)(?<=\bbearer )[\w.~+/=-]{6,}|(?<=\bbasic )[\w+/=]{8,}"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),  # user and password of a URL
    re.compile(r"(?<=://hooks\.)[\w.]+/[^\s\"'<>)]+"),
    re.compile(
        r"(?i)(?:(?:token|secret|passw(?:or)?d|pwd|api_?key|access_?key|signature)\w*"
        r"[\"']?(?:=|[\"']\s*:)\s*[\"']?)([^\s\"'&,;)]{4,})"
    ),
)


def known_secrets(settings: Settings) -> frozenset[str]:
    """The secrets of the settings, and those that variables of this process hold by their name."""
    values = [
        value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)
    ]  # fmt: skip
    values += [value for name, value in os.environ.items() if _SECRET_NAME.search(name)]
    return frozenset(value for value in values if len(value) >= SHORTEST_SECRET)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets, and without what has the form of one.

    Args:
        text: What is to be shown.
        secrets: Values that are known to be secret.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = without_signatures(text)
    for pattern in _PATTERNS:
        text = pattern.sub(_masked, text)
    return text


def _masked(match: re.Match[str]) -> str:
    """The value is the group, else all of it."""
    secret = match[match.lastindex or 0]
    return match[0].removesuffix(secret) + MASK
