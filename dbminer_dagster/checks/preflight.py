"""Preflight as asset checks: what a click on *Execute* asks of the sources."""

from collections.abc import Iterator

import dagster as dg

from dbminer_dagster.assets.guard import raise_if_failed
from dbminer_dagster.assets.sources import POOLS, SOURCE_ASSETS, preflight_step
from dbminer_dagster.preflight import markdown
from dbminer_dagster.preflight.descriptions import DESCRIPTIONS
from dbminer_dagster.preflight.model import Finding, Probe, Source, Status
from dbminer_dagster.preflight.plan import (
    WAREHOUSE_START_SECONDS,
    method_of,
    mined_sources,
    planned,
    preflight,
)
from dbminer_dagster.settings import Settings


def preflight_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The checks of each source that the settings mine."""
    sources = mined_sources(settings)
    with planned(settings, sources) as plans:
        return [_checks(settings, source, probes) for source, probes in plans.items()]


def _checks(settings: Settings, source: Source, probes: list[Probe]) -> dg.AssetChecksDefinition:
    asset_key = SOURCE_ASSETS[source].key

    @dg.multi_asset_check(
        name=preflight_step(source),
        specs=[
            dg.AssetCheckSpec(
                probe.name,
                asset=asset_key,
                description=DESCRIPTIONS[probe.name],
                blocking=not probe.is_advisory,
            )
            for probe in probes
        ],
        can_subset=True,
        pool=POOLS.get(method_of(settings, source)),
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        names = {key.name for key in context.selected_asset_check_keys}
        reports = preflight(
            settings,
            [source],
            lambda probe: probe.name in names,
            wait_seconds=WAREHOUSE_START_SECONDS,
        )
        for finding in reports[source].findings:
            if finding.probe.name in names:
                yield _result(finding, asset_key, names)
        # Dagster would say only which checks failed.
        raise_if_failed(source, reports[source].findings)

    return checks


def _result(finding: Finding, asset_key: dg.AssetKey, names: set[str]) -> dg.AssetCheckResult:
    """The finding as the UI shows it.

    A skipped check has a result too, since the UI calls one without *execution failed*.
    """
    cause = finding.blocker
    # When the check was executed alone, nothing else tells why it was not asked.
    shown = cause if cause is not None and cause.probe.name not in names else finding
    is_error = shown.status is Status.FAILED
    return dg.AssetCheckResult(
        passed=finding.status is Status.PASSED,
        asset_key=asset_key,
        check_name=finding.probe.name,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description=markdown.summary(shown),
        metadata={
            "tried": finding.probe.tries,
            "answer": finding.answer.text,
            "remedy": dg.MetadataValue.md(markdown.remedy(shown)),
            "duration_ms": finding.duration_ms,
        },
    )
