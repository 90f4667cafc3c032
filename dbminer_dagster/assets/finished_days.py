"""Which days of a long run are stored already, told by events that outlive a failure.

They are observations and not materialisations: *Re-execute from asset failure* takes an asset of
which one day was materialised for one that is done.
"""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import dagster as dg

from dbminer_dagster.partitions import day_key
from dbminer_dagster.windows import Window

RESUMED = "dagster/is_resume_retry", "dagster/is_asset_resume_retry"
"""Tags of a run that goes on where another one failed, by a person's click or by itself."""
ROOT_RUN = "dagster/root_run_id"
PAGE_RECORDS = 1_000


def tell_finished(
    context: dg.AssetExecutionContext, asset: str, told_by_day: Mapping[date, Mapping[str, Any]]
) -> None:
    """Notes that days are stored, with what they say of themselves."""
    for day, told in told_by_day.items():
        context.log_event(dg.AssetObservation(asset, partition=day_key(day), metadata=told))


def finished_days(
    context: dg.AssetExecutionContext, asset: str, run: Window
) -> dict[date, Mapping[str, Any]]:
    """The days that earlier attempts of this run stored, with what these days said of themselves.

    A day that another run has stored since is not one of them: that run may have begun before
    this one's inputs were there.

    Args:
        context: Of the asset.
        asset: Its name.
        run: All days of the run.
    """
    root, instance = context.run.tags.get(ROOT_RUN), context.instance
    if root is None or not any(context.run.tags.get(tag) == "true" for tag in RESUMED):
        return {}
    attempts = {root, *instance.get_run_ids(dg.RunsFilter(tags={ROOT_RUN: root}))}
    observed = _newest(instance.fetch_observations, asset, run)
    materialized = _newest(instance.fetch_materializations, asset, run)
    finished = {}
    for day, record in observed.items():
        last = max(record, materialized.get(day, record), key=lambda found: found.storage_id)
        if {record.run_id, last.run_id} <= attempts and record.asset_observation:
            finished[day] = record.asset_observation.metadata
    return finished


def _newest(
    fetch: Callable[..., dg.EventRecordsResult], asset: str, run: Window
) -> dict[date, dg.EventLogRecord]:
    """The newest event of each day of a run that has one."""
    wanted = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(asset), asset_partitions=[day_key(day) for day in run]
    )
    newest: dict[str | None, dg.EventLogRecord] = {}
    cursor, has_more = None, True
    while has_more:
        found = fetch(wanted, limit=PAGE_RECORDS, cursor=cursor)
        for record in found.records:
            newest.setdefault(record.partition_key, record)
        cursor, has_more = found.cursor, found.has_more
    return {day: newest[day_key(day)] for day in run if day_key(day) in newest}
