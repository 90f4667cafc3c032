"""Missing privileges: which one, and the statement that grants it."""

import re

from dbminer_dagster.databricks.system_tables import quoted
from dbminer_dagster.errors import AccessDeniedError

_LACKS = re.compile(
    r"does not have (?P<privilege>[A-Z][A-Z_ ]*?) on (?P<type>[A-Za-z_ ]+?) '(?P<name>[^']+)'"
)
# Of a view, such as one that clones a system table. The wording is from memory and from reports of
# users, not from Databricks' documentation.
_OWNER_LACKS = re.compile(r"owner of one of the underlying resources", re.IGNORECASE)
_PART = re.compile(r"`((?:[^`]|``)+)`|([^.`]+)")


def names_what_is_missing(text: str) -> bool:
    """Whether an answer tells of a privilege on data, whatever else it mentions."""
    return bool(_LACKS.search(text) or _OWNER_LACKS.search(text))


def access_denied(text: str, principal: str, host: str) -> AccessDeniedError:
    """What Unity Catalog refused, and the grant that repairs it.

    Args:
        text: The answer, such as `User does not have USE SCHEMA on Schema 'system.access'.`
        principal: Who asked: a user name, or the application id of a service principal.
        host: URL of the workspace.
    """
    if _OWNER_LACKS.search(text):
        return _owner_denied(text, principal, host)
    lacks = _LACKS.search(text)
    if lacks is None:
        reason = " ".join(text.split()).rstrip(".")
        what = f"{principal} was denied at {host}: {reason}."
        return AccessDeniedError(what, "Let an admin of the workspace give it the permission.")
    privilege, kind = _missing(lacks)
    parts = [match[1] or match[2] for match in _PART.finditer(lacks["name"])]
    securable = quoted(*(part.replace("``", "`") for part in parts))
    grant = f"GRANT {privilege} ON {kind.upper()} {securable} TO {quoted(principal)}"
    error = AccessDeniedError(
        f"{principal} does not have {privilege} on {kind} {lacks['name']} at {host}.",
        f"Let its owner or a metastore admin run: {grant}",
    )
    error.privilege, error.securable = privilege, lacks["name"].replace("`", "")
    return error


def _owner_denied(text: str, principal: str, host: str) -> AccessDeniedError:
    """What a view reads, its owner must be allowed to read; a grant to who asked does not help."""
    lacks = _LACKS.search(text)
    missing = "{} on {} {}".format(*_missing(lacks), lacks["name"]) if lacks else "a privilege"
    return AccessDeniedError(
        f"The owner of a view that {principal} reads at {host} does not have {missing}.",
        "Let a metastore admin grant it to the owner of the view, or give the view an owner who "
        "has it.",
    )


def _missing(lacks: re.Match[str]) -> tuple[str, str]:
    """The privilege and the type of the securable, such as `USE SCHEMA` and `schema`."""
    return lacks["privilege"].replace("_", " "), lacks["type"].lower()
