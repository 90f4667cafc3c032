"""Whether each row of raw history is kept or dropped, by the rules of the run that decided it."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import narwhals as nw
import polars as pl

from dbminer_dagster.mining.filters import with_drop_reason
from dbminer_dagster.partitions import day_key
from dbminer_dagster.resources.mining_options import users_of
from dbminer_dagster.schemas import FILTERED_QUERIES, RAW_QUERY_HISTORY
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window

SAID = "run_excluded_users"
"""The metadata by which a run of `filtered_queries` says whose statements it left out."""


def excluded_users_of(
    instance: dg.DagsterInstance, window: Window, otherwise: Sequence[str]
) -> dict[date, tuple[str, ...]]:
    """Whose statements the newest run of each day left out, which its run configuration may say.

    Args:
        instance: Knows the runs.
        window: The days.
        otherwise: For days of runs that this instance does not know.
    """
    asset = dg.AssetKey(FILTERED_QUERIES.name)
    found = {}
    for day in window:
        of_day = dg.AssetRecordsFilter(asset, asset_partitions=[day_key(day)])
        newest = instance.fetch_materializations(of_day, limit=1).records
        said = newest[0].asset_materialization if newest else None
        users = said.metadata.get(SAID) if said else None
        found[day] = tuple(otherwise) if users is None else users_of(str(users.value))
    return found


def row_faults(
    storage: DeltaStorage, excluded_users: Mapping[date, Sequence[str]]
) -> list[dict[str, Any]]:
    """The days on which rows in, rows dropped and rows kept do not add up.

    Args:
        storage: Holds raw history and what was kept of it.
        excluded_users: By day, whose statements were left out.
    """
    faults = []
    for day, users in excluded_users.items():
        of_day = Window.of_day(day)
        raw = nw.from_native(storage.scan(RAW_QUERY_HISTORY, of_day))
        judged = with_drop_reason(raw, users).to_native()
        rows, dropped = (
            judged.select(rows=pl.len(), dropped=pl.col("drop_reason").count()).collect().row(0)
        )
        kept = storage.row_counts(FILTERED_QUERIES, of_day).get(day, 0)
        if rows != dropped + kept:
            faults.append({"day": day, "rows": rows, "dropped": dropped, "kept": kept})
    return faults
