"""Which grants a principal lacks to read tables, as lines that run as they stand."""

from collections.abc import Mapping
from typing import NamedTuple

from dbminer_dagster.databricks.system_tables import SystemTable, quoted
from dbminer_dagster.errors import AccessDeniedError
from dbminer_dagster.preflight.model import Answer, Status


class Need(NamedTuple):
    """A privilege on a securable, which is given by the parts of its name."""

    privilege: str
    securable_type: str
    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        """For people, such as `USE SCHEMA on SCHEMA system.access`."""
        return f"{self.privilege} on {self.securable_type} {'.'.join(self.parts)}"

    def grant_line(self, principal: str) -> str:
        """The statement that grants it."""
        securable = f"{self.securable_type} {quoted(*self.parts)}"
        return f"GRANT {self.privilege} ON {securable} TO {quoted(principal)}"


def needs_of(table: SystemTable) -> list[Need]:
    """What it takes to read a table, in the order in which Unity Catalog asks for it."""
    return [
        Need("USE CATALOG", "CATALOG", (table.catalog,)),
        Need("USE SCHEMA", "SCHEMA", (table.catalog, table.schema)),
        Need("SELECT", "TABLE", (table.catalog, table.schema, table.name)),
    ]


def denied_answer(denied: Mapping[SystemTable, AccessDeniedError], principal: str) -> Answer:
    """What is missing, and the lines that grant it.

    Unity Catalog names only the first missing privilege of a table. Those after it may be missing
    as well, so their lines are given too.
    """
    missing: dict[Need, None] = {}
    unseen: dict[Need, None] = {}
    for table, error in denied.items():
        needs = needs_of(table)
        at = next((at for at, need in enumerate(needs) if _is_meant(need, error)), None)
        if at is None:
            return Answer(error.what, Status.FAILED, error.remedy)
        missing[needs[at]] = None
        unseen |= dict.fromkeys(needs[at + 1 :])
    lacking = ", ".join(need.text for need in missing)
    hidden = [need for need in unseen if need not in missing]
    also = "; what lies below cannot be seen before" if hidden else ""
    harmless = " (the lines after the missing ones do no harm where they are granted)"
    needs = sorted([*missing, *hidden], key=lambda need: len(need.parts))
    return Answer(
        f"{principal} lacks {lacking}{also}.",
        Status.FAILED,
        f"A metastore admin, or the owner of the catalog, runs{harmless if hidden else ''}:",
        tuple(need.grant_line(principal) for need in needs),
    )


def _is_meant(need: Need, error: AccessDeniedError) -> bool:
    securable = (error.securable or "").replace("`", "").lower()
    return need.privilege == error.privilege and ".".join(need.parts).lower() == securable
