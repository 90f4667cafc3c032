"""Popularity of tables and columns, day by day over a trailing window."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg
import narwhals as nw
import polars as pl

from dbminer_dagster.assets.changes import day_before
from dbminer_dagster.assets.common import absent_days, report_days, report_run, table_asset
from dbminer_dagster.assets.popularity_page import page
from dbminer_dagster.engines import Engine
from dbminer_dagster.failures import user_errors
from dbminer_dagster.mining.inventory import table_types
from dbminer_dagster.mining.lineage import known_tables
from dbminer_dagster.mining.popularity import popularity_of
from dbminer_dagster.mining.window_costs import reads_by_day, use_totals
from dbminer_dagster.mining.window_usage import WindowUsage, reference_totals, window_usages
from dbminer_dagster.partitions import run_window, trailing
from dbminer_dagster.resources.engine import EngineResource
from dbminer_dagster.resources.mining_options import MiningOptions
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import DAILY_USAGE, KNOWN_TABLES, POPULARITY_SCORES
from dbminer_dagster.settings import LONGEST_POPULARITY_WINDOW_DAYS, Settings
from dbminer_dagster.spool import Spool, open_spool
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window

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
    ) -> Iterator[dg.Output]:
        run = run_window(context)
        with user_errors(), open_spool() as spool:
            types = _TableTypes(raw_table_lineage, inventory, settings.lineage_window_days)
            window_days = mining_options.popularity_window_days
            scoring = _Scoring(
                engine.engine, settings.scored_uses, window_days, types, spool, storage.tables
            )
            wanted = run.extended_back(window_days - 1)
            present = storage.tables.days_present(DAILY_USAGE, wanted)
            within = nw.col("day") >= nw.lit(wanted.start)
            usage, references = daily_usage.filter(within), query_references.filter(within)
            for line in scoring.days(usage, references, run, present):
                context.log.info(line)
            scores = spool.scan(POPULARITY_SCORES.name, POPULARITY_SCORES.schema)
            scored = _scored_assets(scores, run)
            figures = {day: scoring.figures[day] | scored[day] for day in run}
            report_run(context, {"popularity_window_days": window_days}, POPULARITY_SCORES)
            report_days(context, {run.last_day: scoring.page}, POPULARITY_SCORES)
            report_days(context, figures, POPULARITY_SCORES)
            row_count = sum(sum(counts.values()) for counts in scored.values())
            absent = absent_days(storage, DAILY_USAGE, run)
            yield dg.Output(DayFrame(scores, absent, row_count, ROW_GROUP_ROWS))

    return [popularity_scores]


def _scored_assets(scores: pl.LazyFrame, run: Window) -> dict[date, dict[str, int]]:
    counts = {day: {"tables_scored": 0, "columns_scored": 0} for day in run}
    rows = scores.group_by("day", "asset_type").agg(pl.len()).collect(engine="streaming")
    for day, asset_type, count in rows.iter_rows():
        counts[day][f"{asset_type}s_scored"] = count
    return counts


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
    """Scores the days of a run into a spool.

    Attributes:
        engine: Runs the steps.
        scored_uses: Of `settings.USES`, those that are reads.
        window_days: Length of a window.
        types: Of the tables.
        spool: Takes the scores.
        storage: Holds the scores of the days before the run.
        figures: What each scored day says of itself.
        page: What the last day shows beside its figures.
    """

    engine: Engine
    scored_uses: Collection[str]
    window_days: int
    types: _TableTypes
    spool: Spool
    storage: DeltaStorage
    figures: dict[date, dict[str, Any]] = field(default_factory=dict)
    page: dict[str, Any] = field(default_factory=dict)

    def days(
        self, usage: nw.LazyFrame, references: nw.LazyFrame, run: Window, present: frozenset[date]
    ) -> Iterator[str]:
        """Scores one day after the other, and says before each what it is about to do."""
        windows = window_usages(self.engine, usage, references, run, self.window_days)
        for number, used in enumerate(windows, start=1):
            window = used.window
            days_present = len(present & frozenset(window))
            yield (
                f"Scoring {window}, {number} of {run.days}: "
                f"{days_present} of {window.days} days present."
            )
            totals = reference_totals(self.engine, used)
            for asset_type in ("table", "column"):
                self._score(asset_type, used, totals, days_present)
            of_window = use_totals(totals, used.references)
            self.figures[window.last_day] = {
                "days_present": days_present,
                "days_wanted": window.days,
                **{f"window_{name}": value for name, value in of_window.items()},
            }
            if window.last_day == run.last_day:
                reads = reads_by_day(self.engine, usage, references, window)
                scores = self.spool.scan(POPULARITY_SCORES.name, POPULARITY_SCORES.schema)
                before = day_before(self.storage, POPULARITY_SCORES, scores, run)
                self.page = page(self.engine, scores, before, used, totals, reads)

    def _score(
        self, asset_type: str, used: WindowUsage, totals: pl.DataFrame, days_present: int
    ) -> None:
        portions = popularity_of(
            self.engine,
            asset_type,
            used,
            totals,
            self.scored_uses,
            self.types.on(used.window.last_day),
            days_present,
        )
        for rows in portions:
            self.spool.write(POPULARITY_SCORES.name, rows)
