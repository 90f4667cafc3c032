"""Unity Catalog's privileges: who holds what, and the lines that grant and revoke them.

Privileges on a catalog or schema hold for all that it contains. See "Unity Catalog privileges and
securable objects" in Databricks' documentation.
"""

import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast

SecurableType = Literal["METASTORE", "CATALOG", "SCHEMA", "TABLE"]
PRIVILEGES = frozenset(
    {"ALL PRIVILEGES", "BROWSE", "MODIFY", "SELECT", "USE CATALOG", "USE SCHEMA"}
)
_SYNONYMS = {"DATABASE": "SCHEMA", "VIEW": "TABLE"}
_DEFAULTS = frozenset({("USE CATALOG", "CATALOG"), ("USE SCHEMA", "SCHEMA"), ("SELECT", "SCHEMA")})
_NAME = r"(?:`(?:[^`]|``)+`|[^\s`.]+)"
_LINE = re.compile(
    rf"\s*(?P<verb>GRANT|REVOKE)\s+(?P<privileges>[A-Z, _]+?)\s+"
    rf"ON\s+(?:(?P<type>METASTORE|CATALOG|SCHEMA|DATABASE|TABLE|VIEW)\b\s*)?"
    rf"(?P<securable>{_NAME}(?:\.{_NAME})*)?\s+(?:TO|FROM)\s+(?P<principal>`[^`]+`|\S+?)\s*;?\s*",
    re.IGNORECASE,
)


class Grant(NamedTuple):
    """A privilege on a securable, whose name is lower-cased and joined by dots."""

    privilege: str
    securable_type: SecurableType
    securable: str


class GrantLine(NamedTuple):
    """What a `GRANT` or `REVOKE` line says."""

    revokes: bool
    grants: list[Grant]
    principal: str


def parse_grant_line(sql: str) -> GrantLine:
    """Reads a `GRANT … ON … TO …` or `REVOKE … ON … FROM …` line of Databricks SQL.

    Raises:
        ValueError: It is no such line, or a privilege does not exist.
    """
    line = _LINE.fullmatch(sql)
    if line is None:
        raise ValueError(f"[PARSE_SYNTAX_ERROR] Not a GRANT or REVOKE line: {sql}")
    parts = [unquoted(part) for part in re.findall(_NAME, line["securable"] or "")]
    names = [" ".join(name.upper().split()) for name in line["privileges"].split(",")]
    return GrantLine(
        revokes=line["verb"].upper() == "REVOKE",
        grants=[make_grant(name, line["type"] or "TABLE", ".".join(parts)) for name in names],
        principal=unquoted(line["principal"]),
    )


def make_grant(privilege: str, securable_type: str, securable: str) -> Grant:
    """A grant in its one spelling: `DATABASE` is `SCHEMA`, `VIEW` is `TABLE`.

    Raises:
        ValueError: The privilege does not exist or the name has the wrong number of parts.
    """
    privilege = privilege.upper().replace("_", " ")
    kind = {"DATABASE": "SCHEMA", "VIEW": "TABLE"}.get(
        securable_type.upper(), securable_type.upper()
    )
    if privilege not in PRIVILEGES:
        raise ValueError(f"[PARSE_SYNTAX_ERROR] {privilege} is not a privilege.")
    levels = ("METASTORE", "CATALOG", "SCHEMA", "TABLE")
    if kind not in levels or bool(securable) != (kind != "METASTORE"):
        raise ValueError(f"[PARSE_SYNTAX_ERROR] {kind} {securable} is not a securable.")
    return Grant(privilege, cast("SecurableType", kind), securable.lower())


def unquoted(name: str) -> str:
    """A name without its back-quotes."""
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


@dataclass(slots=True)
class Grants:
    """The privileges of one principal.

    Until some are revoked it holds `USE CATALOG` on each catalog and `USE SCHEMA` and `SELECT` on
    each schema, as one gets by the statements that dbminer's documentation shows.
    """

    granted: set[Grant] = field(default_factory=set)
    revoked: set[Grant] = field(default_factory=set)
    holds_defaults: bool = True

    def add(self, grant: Grant) -> None:
        """Grants a privilege."""
        self.granted.add(grant)
        self.revoked.discard(grant)

    def remove(self, grant: Grant) -> None:
        """Revokes a privilege; as in Databricks, what is inherited from above stays."""
        self.granted.discard(grant)
        self.revoked.add(grant)

    def clear(self) -> None:
        """Revokes everything."""
        self.granted.clear()
        self.holds_defaults = False

    def hold(self, privilege: str, *parts: str) -> bool:
        """Whether a privilege holds on a securable, given by its parts, or on one above it."""
        return any(
            self._holds_here(Grant(name, kind, ".".join(parts[:depth]).lower()))
            for name in (privilege, "ALL PRIVILEGES")
            for depth, kind in enumerate(("METASTORE", "CATALOG", "SCHEMA", "TABLE"))
            if depth <= len(parts)
        )

    def _holds_here(self, grant: Grant) -> bool:
        by_default = self.holds_defaults and grant[:2] in _DEFAULTS and grant not in self.revoked
        return by_default or grant in self.granted
