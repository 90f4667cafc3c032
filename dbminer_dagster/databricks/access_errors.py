"""Missing privileges: which one, and the statement that grants it."""

import re

from dbminer_dagster.databricks.system_tables import quoted
from dbminer_dagster.errors import AccessDeniedError

_LACKS = re.compile(
    r"does not have (?P<privilege>[A-Z][A-Z_ ]*?) on (?P<type>[A-Za-z_ ]+?) '(?P<name>[^']+)'"
)
_PART = re.compile(r"`((?:[^`]|``)+)`|([^.`]+)")


def access_denied(text: str, principal: str, host: str) -> AccessDeniedError:
    """What Unity Catalog refused, and the grant that repairs it.

    Args:
        text: The answer, such as `User does not have USE SCHEMA on Schema 'system.access'.`
        principal: Who asked: a user name, or the application id of a service principal.
        host: URL of the workspace.
    """
    lacks = _LACKS.search(text)
    if lacks is None:
        reason = " ".join(text.split()).rstrip(".")
        what = f"{principal} was denied at {host}: {reason}."
        return AccessDeniedError(what, "Let an admin of the workspace give it the permission.")
    privilege = lacks["privilege"].replace("_", " ")
    kind = lacks["type"].upper()
    parts = [match[1] or match[2] for match in _PART.finditer(lacks["name"])]
    securable = quoted(*(part.replace("``", "`") for part in parts))
    grant = f"GRANT {privilege} ON {kind} {securable} TO {quoted(principal)}"
    error = AccessDeniedError(
        f"{principal} does not have {privilege} on {kind.lower()} {lacks['name']} at {host}.",
        f"Let its owner or a metastore admin run: {grant}",
    )
    error.privilege, error.securable_type, error.grant = privilege, kind, grant
    error.securable = lacks["name"].replace("`", "")
    return error
