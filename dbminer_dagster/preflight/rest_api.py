"""The REST method, which this release does not have."""

from dbminer_dagster.preflight.model import Answer, Probe, Source, Stage, Status
from dbminer_dagster.settings import ExtractionMethod

_NAMES = {
    Source.LINEAGE: "lineage_api_enabled",
    Source.QUERY_HISTORY: "query_history_api_reachable",
}


def refusal(method: ExtractionMethod, source: Source) -> str:
    """Says that this release lacks the method, and what to set instead."""
    return (
        f"The extraction method {method.value!r} is not part of this release. Set "
        f"DBMINER_{source.value.upper()}_METHOD=offline and DBMINER_OFFLINE_URI to a folder or "
        "s3:// prefix of files."
    )


def rest_api_probes(source: Source, shared: tuple[Probe, ...]) -> list[Probe]:
    """The probes of one source; `shared` are those of every method on a workspace."""
    said, _, remedy = refusal(ExtractionMethod.REST_API, source).partition(". ")
    available = Probe(
        _NAMES[source],
        Stage.AUTHORISATION,
        "Nothing: there is no client for it yet.",
        lambda: Answer(f"{said}.", Status.FAILED, remedy),
    )
    return [*shared, available]
