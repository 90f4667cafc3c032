"""What a raw asset asks before it extracts."""

from collections.abc import Sequence

import dagster as dg

from dbminer_dagster.assets.sources import preflight_step
from dbminer_dagster.preflight import markdown
from dbminer_dagster.preflight.model import Finding, Source, Status
from dbminer_dagster.preflight.plan import WAREHOUSE_START_SECONDS, preflight
from dbminer_dagster.settings import Settings


def require_ready(context: dg.AssetExecutionContext, settings: Settings, source: Source) -> None:
    """Asks all of preflight that is no mere advice, unless a check of this run has asked it.

    A click on *Materialize* and a backfill do not run the checks of what lies upstream.

    Raises:
        dg.Failure: Something is missing; with what, and the remedy of each.
    """
    if context.job_def.has_node_named(preflight_step(source)):
        return
    reports = preflight(
        settings,
        [source],
        lambda probe: not probe.is_advisory,
        wait_seconds=WAREHOUSE_START_SECONDS,
    )
    for finding in reports[source].findings:
        if finding.status is Status.WARNING:
            context.log.warning(f"{finding.probe.name}: {finding.summary}")
    raise_if_failed(source, reports[source].findings)


def raise_if_failed(source: Source, findings: Sequence[Finding]) -> None:
    """Ends the step when something failed.

    Raises:
        dg.Failure: With what failed, and the remedy of each.
    """
    failed = [finding for finding in findings if finding.status is Status.FAILED]
    if not failed:
        return
    faults = "\n".join(f"{finding.probe.name}: {finding.summary}" for finding in failed)
    raise dg.Failure(
        description=f"The preflight of {source.value} failed, so nothing was read. {faults}",
        metadata={
            finding.probe.name: dg.MetadataValue.md(markdown.summary(finding)) for finding in failed
        },
        allow_retries=False,
    )
