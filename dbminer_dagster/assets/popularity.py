"""Popularity of tables and columns, day by day over a trailing window."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg
import narwhals as nw
import polars as pl

from dbminer_dagster.assets.common import absent_days, table_asset
from dbminer_dagster.assets.day_writer import DayWriter
from dbminer_dagster.assets.popularity_page import page
from dbminer_dagster.engines import Engine
from dbminer_dagster.failures import user_errors
from dbminer_dagster.mining.inventory import table_types
from dbminer_dagster.mining.lineage import known_tables
from dbminer_dagster.mining.popularity import popularity_of
from dbminer_dagster.mining.window_costs import reads_by_day, use_totals
from dbminer_dagster.mining.window_usage import WindowUsage, reference_totals, window_usages
from dbminer_dagster.partitions import trailing
from dbminer_dagster.resources.engine import EngineResource
from dbminer_dagster.resources.mining_options import MiningOptions
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import DAILY_USAGE, KNOWN_TABLES, POPULARITY_SCORES
from dbminer_dagster.settings import LONGEST_POPULARITY_WINDOW_DAYS, Settings
from dbminer_dagster.spool import Spool, open_spool
from dbminer_dagster.storage import DayFrame
from dbminer_dagster.windows import Window, of_days

GROUP = "popularity"
ROW_GROUP_ROWS = 2_000
"""A row holds twenty texts."""


def popularity_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The popularity asset for these settings."""
    # A run may be asked for any window; it reads the days of that one only.
    usage_window = dg.AssetIn(partition_mapping=trailing(LONGEST_POPULARITY_WINDOW_DAYS))

    @table_asset(
        POPULARITY_SCORES,
        GROUP,
        settings,
        ins={
            "daily_usage": usage_window,
            "query_references": usage_window,
            "raw_table_lineage": dg.AssetIn(
                partition_mapping=trailing(settings.lineage_window_days)
            ),
            "inventory": dg.AssetIn(KNOWN_TABLES.name),
        },
    )
    def popularity_scores(  # noqa: PLR0917  # inputs are parameters, see `usage`
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        engine: EngineResource,
        mining_options: MiningOptions,
        daily_usage: nw.LazyFrame,
        query_references: nw.LazyFrame,
        raw_table_lineage: pl.LazyFrame,
        inventory: pl.LazyFrame,
    ) -> dg.MaterializeResult:
        window_days = mining_options.popularity_window_days
        with user_errors():
            writer = DayWriter.of(context, storage.tables, POPULARITY_SCORES)
            left = Window.spanning(writer.chunks)
            wanted = left.extended_back(window_days - 1)
            usage, references = (of_days(rows, wanted) for rows in (daily_usage, query_references))
            present = storage.tables.days_present(DAILY_USAGE, wanted)
            types = _TableTypes(raw_table_lineage, inventory, settings.lineage_window_days)
            slid = window_usages(engine.engine, usage, references, left, window_days)
            with closing(slid) as windows:
                scoring = _Scoring(engine.engine, settings.scored_uses, types, present, windows)
                for days in writer.chunks:
                    with open_spool() as spool:
                        figures = dict[date, dict[str, Any]]()
                        for day in days:
                            context.log.info(f"Scoring the {window_days} days up to {day}.")
                            figures[day] = scoring.next_day(spool)
                        absent = absent_days(storage, DAILY_USAGE, days)
                        writer.store(days, _scores(spool, absent, figures), figures)
                reads = reads_by_day(engine.engine, usage, references, scoring.used.window)
                shown = page(engine.engine, storage.tables, scoring.used, scoring.totals, reads)
            return writer.result({"popularity_window_days": window_days}, shown)

    return [popularity_scores]


def _scores(
    spool: Spool, absent: frozenset[date], figures: Mapping[date, dict[str, Any]]
) -> DayFrame:
    """The scores in the spool; how many there are is added to the figures of their days."""
    scores = spool.scan(POPULARITY_SCORES.name, POPULARITY_SCORES.schema)
    for of_day in figures.values():
        of_day |= {"tables_scored": 0, "columns_scored": 0}
    counted = scores.group_by("day", "asset_type").agg(pl.len()).collect(engine="streaming")
    for day, asset_type, count in counted.iter_rows():
        figures[day][f"{asset_type}s_scored"] = count
    return DayFrame(scores, absent, int(counted["len"].sum()), ROW_GROUP_ROWS)


class _TableTypes:
    """The type of each table as known on a day; lineage is read once."""

    def __init__(self, lineage: pl.LazyFrame, inventory: pl.LazyFrame, window_days: int) -> None:
        self._known = known_tables(lineage).collect()
        self._inventory = inventory
        self._window_days = window_days

    def on(self, day: date) -> pl.LazyFrame:
        return table_types(self._known, self._inventory, Window.trailing(day, self._window_days))


@dataclass
class _Scoring:
    """Scores one day of a run after the other.

    Attributes:
        engine: Runs the steps.
        scored_uses: Of `settings.USES`, those that are reads.
        types: Of the tables.
        present: Days whose usage has been mined.
        windows: The windows of the days that are left.
        used: The window that was scored last.
        totals: Of that window, see `reference_totals`.
    """

    engine: Engine
    scored_uses: Collection[str]
    types: _TableTypes
    present: frozenset[date]
    windows: Iterator[WindowUsage]
    used: WindowUsage = field(init=False)
    totals: pl.DataFrame = field(init=False)

    def next_day(self, spool: Spool) -> dict[str, Any]:
        """Spools the scores of the next day; gives what the day says of its window."""
        self.used = used = next(self.windows)
        self.totals = reference_totals(self.engine, used)
        days_present = len(self.present & frozenset(used.window))
        for asset_type in ("table", "column"):
            portions = popularity_of(
                self.engine,
                asset_type,
                used,
                self.totals,
                self.scored_uses,
                self.types.on(used.window.last_day),
                days_present,
            )
            for rows in portions:
                spool.write(POPULARITY_SCORES.name, rows)
        of_window = use_totals(self.totals, used.references)
        return {
            "days_present": days_present,
            "days_wanted": used.window.days,
            **{f"window_{name}": value for name, value in of_window.items()},
        }
