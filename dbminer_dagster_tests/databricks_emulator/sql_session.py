"""A session that a client opened, and what its configuration says."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from dbminer_dagster_tests.databricks_emulator.engine import TIME_ZONE
from dbminer_dagster_tests.databricks_emulator.name_resolution import Namespace
from dbminer_dagster_tests.databricks_emulator.running_statement import RunningStatement
from dbminer_dagster_tests.databricks_emulator.workspace import Principal

_TAG = re.compile(r"(?P<key>(?:\\.|[^:,\\])*)(?::(?P<value>(?:\\.|[^,\\])*))?(?:,|$)")


@dataclass(slots=True)
class Session:
    """A session.

    Attributes:
        principal: Who opened it; for anybody else it does not exist.
        configuration: Its settings, by name in upper case.
        namespace: Where short names are looked up.
        statements: Its statements that are not closed yet, by guid.
    """

    principal: Principal
    configuration: Mapping[str, str]
    namespace: Namespace
    guid: bytes = field(default_factory=lambda: uuid.uuid4().bytes)
    statements: dict[bytes, RunningStatement] = field(default_factory=dict)

    @property
    def time_zone(self) -> str:
        """The time zone in which it sees timestamps."""
        zone = self.configuration.get("TIMEZONE", TIME_ZONE)
        return TIME_ZONE if zone == "UTC" else zone

    def tags(self, overlay: Mapping[str, str] | None) -> dict[str, str]:
        """The query tags of a statement: those of the session and its own."""
        own = upper_keys(overlay).get("QUERY_TAGS", "")
        return parse_query_tags(self.configuration.get("QUERY_TAGS", "")) | parse_query_tags(own)


def upper_keys(configuration: Mapping[str, str] | None) -> dict[str, str]:
    """Settings by name in upper case; Databricks does not tell cases apart."""
    return {name.upper(): value for name, value in (configuration or {}).items()}


def parse_query_tags(text: str) -> dict[str, str]:
    r"""Tags from `key:value,key` with `\` before special characters; empty without a value."""
    found = (tag for tag in _TAG.finditer(text) if tag["key"])
    return {_plain(tag["key"]): _plain(tag["value"] or "") for tag in found}


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
