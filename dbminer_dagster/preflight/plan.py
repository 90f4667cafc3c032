"""Which probes a source has by the settings, and what they find."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from itertools import chain

from dbminer_dagster.preflight.model import Probe, Source, SourceReport
from dbminer_dagster.preflight.offline import location_probe, offline_probes
from dbminer_dagster.preflight.rest_api import rest_api_probes
from dbminer_dagster.preflight.runner import run_probes, with_needs
from dbminer_dagster.preflight.system_tables import system_table_probes
from dbminer_dagster.preflight.warehouse import warehouse_probe
from dbminer_dagster.preflight.workspace import WorkspaceSession, workspace_probes
from dbminer_dagster.settings import ExtractionMethod, Settings

WAREHOUSE_START_SECONDS = 600
"""Nobody sits before a scheduled run, and a classic warehouse takes minutes to start."""

Plans = dict[Source, list[Probe]]


def mined_sources(settings: Settings) -> list[Source]:
    """The sources that mining by these settings reads."""
    return list(Source) if settings.calculate_popularity else [Source.LINEAGE]


def method_of(settings: Settings, source: Source) -> ExtractionMethod:
    """The extraction method of a source."""
    if source is Source.LINEAGE:
        return settings.lineage_method
    return settings.query_history_extraction_method


def preflight(
    settings: Settings,
    sources: Collection[Source],
    choose: Callable[[Probe], bool] = lambda _: True,
    *,
    wait_seconds: float = 60,
) -> dict[Source, SourceReport]:
    """Asks the probes of the sources, those that several share only once.

    Args:
        settings: Say which method each source has, and where it is.
        sources: What to look at.
        choose: Whether a probe is wanted; what it needs is asked in any case.
        wait_seconds: How long each probe may wait for a warehouse that starts or is busy.
    """
    with planned(settings, sources, wait_seconds) as plans:
        wanted = {
            source: list(dict.fromkeys(with_needs(filter(choose, probes))))
            for source, probes in plans.items()
        }
        found = {found.probe: found for found in run_probes(chain(*wanted.values()))}
    return {
        source: SourceReport(method_of(settings, source), tuple(found[probe] for probe in probes))
        for source, probes in wanted.items()
    }


@contextmanager
def planned(
    settings: Settings, sources: Collection[Source], wait_seconds: float = 60
) -> Iterator[Plans]:
    """The probes of each source, in the order in which people read them.

    Nothing is reached before a probe is asked.
    """
    session = WorkspaceSession(settings, wait_seconds)
    shared = workspace_probes(session)
    warehouse = warehouse_probe(session, shared)
    location = location_probe(settings)

    def probes(source: Source) -> list[Probe]:
        match method_of(settings, source):
            case ExtractionMethod.OFFLINE:
                return offline_probes(settings, source, location)
            case ExtractionMethod.REST_API:
                return rest_api_probes(session, source, shared)
            case ExtractionMethod.SYSTEM_TABLE:
                return system_table_probes(session, source, warehouse)

    try:
        yield {source: probes(source) for source in sources}
    finally:
        session.close()
