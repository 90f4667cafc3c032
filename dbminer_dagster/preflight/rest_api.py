"""Probes of the REST method: what Unity Catalog shows, and the lineage API."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from itertools import islice
from typing import TYPE_CHECKING

from dbminer_dagster.errors import AccessDeniedError, WorkspaceError
from dbminer_dagster.mining.filters import glob_pattern
from dbminer_dagster.preflight.grants import Need
from dbminer_dagster.preflight.model import Answer, Probe, Source, Stage, Status
from dbminer_dagster.preflight.rest_calls import get, probing, unavailable_answer
from dbminer_dagster.preflight.rest_query_history import query_history_probes
from dbminer_dagster.preflight.workspace import WorkspaceSession

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

LINEAGE_PATH = "/api/2.0/lineage-tracking/table-lineage"
MOST_SCHEMAS = 100
"""In which a table is looked for: nearly always the first has one."""

MOST_CATALOGS = 200
"""That are looked into; a probe has a minute."""

LISTED_CATALOGS = 20


def rest_api_probes(
    session: WorkspaceSession, source: Source, shared: tuple[Probe, ...]
) -> list[Probe]:
    """The probes of one source.

    Args:
        session: In which they ask.
        source: What is read.
        shared: The probes of every method on a workspace, each of which needs those before it.
    """
    if source is Source.LINEAGE:
        return [*shared, *_lineage_probes(session, shared)]
    return [*shared, *query_history_probes(session, shared)]


def _lineage_probes(session: WorkspaceSession, shared: tuple[Probe, ...]) -> list[Probe]:
    lineage = _Lineage(session)
    visible = Probe(
        "catalogs_visible",
        Stage.AUTHORISATION,
        "List the catalogs (GET /api/2.1/unity-catalog/catalogs), their schemas, and tables until "
        "one is found.",
        lineage.catalogs_visible,
        needs=shared,
    )
    enabled = Probe(
        "lineage_api_enabled",
        Stage.AUTHORISATION,
        f"Ask for the lineage of that table (GET {LINEAGE_PATH}).",
        lineage.enabled,
        needs=(visible,),
    )
    return [visible, enabled]


class _Lineage:
    """What the principal sees, and a table that it may ask about once one is found."""

    def __init__(self, session: WorkspaceSession) -> None:
        self._session = session
        self._table: tuple[str, str, str] | None = None

    def catalogs_visible(self) -> Answer:
        excluded = self._session.settings.excluded_catalogs
        is_excluded = re.compile(glob_pattern(excluded)).match if excluded else lambda _: False
        with probing(self._session, "list what Unity Catalog holds") as client:
            listed = [each.name or "" for each in client.catalogs.list(include_browse=True)]
            catalogs = [name for name in listed if not is_excluded(name)]
            schemas = {name: _schemas(client, name) for name in catalogs[:MOST_CATALOGS]}
            self._table = next(_tables(client, schemas), None)
        principal = self._session.connection.principal
        if not catalogs:
            return _no_catalog(principal, listed)
        if self._table is None:
            what = f"{principal} sees no table in {_named(catalogs)}."
            return _hidden(what, Status.FAILED, catalogs, principal)
        if dark := [name for name, found in schemas.items() if not found]:
            what = f"{principal} sees {len(catalogs)} catalogs, but nothing in {_named(dark)}."
            return _hidden(what, Status.WARNING, dark, principal)
        return Answer(f"{principal} sees {_named(catalogs)}, and tables in them.")

    def enabled(self) -> Answer:
        assert self._table is not None  # noqa: S101 - without one, the probe before has failed
        name = ".".join(self._table)
        query = {"table_name": name, "include_entity_lineage": True}
        try:
            with probing(self._session, f"ask for the lineage of {name}") as client:
                body = get(client, LINEAGE_PATH, query)
        except WorkspaceError as error:
            return self._refused(error, name)
        count = sum(len(body.get(side) or ()) for side in ("upstreams", "downstreams"))
        return Answer(f"The lineage API answers; it names {count} neighbours of {name}.")

    def _refused(self, error: WorkspaceError, name: str) -> Answer:
        if answer := unavailable_answer(error, self._session, Source.LINEAGE):
            return answer
        if isinstance(error, AccessDeniedError) and self._table:
            principal = self._session.connection.principal
            what = f"{principal} may not ask for the lineage of {name}: {error.what}"
            return _hidden(what, Status.FAILED, [self._table[0]], principal)
        if error.error_code in {"TABLE_DOES_NOT_EXIST", "RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}:
            return Answer(f"The lineage API answers: {name} was deleted since it was listed.")
        raise error


def _schemas(client: "WorkspaceClient", catalog: str) -> list[str]:
    """The schemas of a catalog; each has `information_schema`, which tells nothing."""
    with _passing_over_one():
        listed = client.schemas.list(catalog, include_browse=True)
        return [each.name for each in listed if each.name and each.name != "information_schema"]
    return []


def _tables(
    client: "WorkspaceClient", schemas: dict[str, list[str]]
) -> Iterator[tuple[str, str, str]]:
    places = ((catalog, schema) for catalog, names in schemas.items() for schema in names)
    for place in islice(places, MOST_SCHEMAS):
        with _passing_over_one():
            for table in client.tables.list(*place, include_browse=True, omit_columns=True):
                yield (*place, table.name or "")


def _passing_over_one() -> AbstractContextManager[None]:
    """Lets the others be looked at where one is gone, refused, or of a source that is out."""
    from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied  # slow to import

    return suppress(BadRequest, NotFound, PermissionDenied)


def _no_catalog(principal: str, listed: list[str]) -> Answer:
    others = f" but {_named(listed)}, which DBMINER_EXCLUDED_CATALOGS leaves out" if listed else ""
    line = Need("BROWSE", "CATALOG", ("<catalog>",)).grant_line(principal)
    return Answer(
        f"{principal} sees no catalog{others}.",
        Status.FAILED,
        "The owner of each catalog that is to be mined, or a metastore admin, runs this with the "
        f"name of the catalog: {line}",
    )


def _hidden(what: str, status: Status, catalogs: list[str], principal: str) -> Answer:
    """What lies in catalogs is not shown; the lines that show it, without letting it be read."""
    needs = [Need("BROWSE", "CATALOG", (name,)) for name in catalogs]
    return Answer(
        what,
        status,
        "The owner of the catalog, or a metastore admin, runs this, which lets names and lineage "
        "be seen, and no data:",
        tuple(need.grant_line(principal) for need in needs),
    )


def _named(catalogs: list[str]) -> str:
    more = f" and {len(catalogs) - LISTED_CATALOGS} more" if len(catalogs) > LISTED_CATALOGS else ""
    return f"{', '.join(catalogs[:LISTED_CATALOGS])}{more}"
