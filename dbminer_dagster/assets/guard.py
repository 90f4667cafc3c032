"""What an asset that reads a source asks before it does."""

from collections.abc import Sequence

import dagster as dg

from dbminer_dagster.assets.sources import SOURCE_ASSETS, preflight_step
from dbminer_dagster.preflight import markdown
from dbminer_dagster.preflight.model import Finding, Source, Status
from dbminer_dagster.preflight.plan import WAREHOUSE_START_SECONDS, planned, preflight
from dbminer_dagster.settings import Settings


def require_ready(context: dg.AssetExecutionContext, settings: Settings, source: Source) -> None:
    """Asks all of preflight that is no mere advice, unless the checks of this run have asked it.

    A click on *Materialize* and a backfill do not run the checks of what lies upstream.

    Raises:
        dg.Failure: Something is missing; with what, and the remedy of each.
    """
    if _is_asked(context, settings, source):
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


def _is_asked(context: dg.AssetExecutionContext, settings: Settings, source: Source) -> bool:
    """Whether this run executes every check of the source that blocks; a part is not enough."""
    steps = context.run.step_keys_to_execute
    if steps is not None and preflight_step(source) not in steps:
        return False  # a run again from where one failed
    selected = {
        key for data in context.job_def.asset_layer.data for key in data.assets_def.check_keys
    }
    asset_key = SOURCE_ASSETS[source].key
    with planned(settings, [source]) as plans:
        return selected.issuperset(
            dg.AssetCheckKey(asset_key, probe.name)
            for probe in plans[source]
            if not probe.is_advisory
        )


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
