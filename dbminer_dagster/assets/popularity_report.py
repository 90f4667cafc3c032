"""The popularity report: one HTML file for the newest day of a run."""

from datetime import date, timedelta

import dagster as dg
import narwhals as nw
import polars as pl

from dbminer_dagster.assets.common import of_run
from dbminer_dagster.assets.guides import GUIDES
from dbminer_dagster.documents import write_document
from dbminer_dagster.failures import user_errors
from dbminer_dagster.mining.daily_reads import table_reads_by_day
from dbminer_dagster.partitions import daily_partitions, day_key, run_window, trailing
from dbminer_dagster.popularity_html.contents import ReportSource, count_tables
from dbminer_dagster.popularity_html.document import popularity_page
from dbminer_dagster.popularity_html.known import known_tables, table_edges
from dbminer_dagster.resources.engine import EngineResource
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import DAILY_USAGE, KNOWN_TABLES, POPULARITY_SCORES
from dbminer_dagster.settings import LONGEST_POPULARITY_WINDOW_DAYS, Settings
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window

GROUP = "popularity"
NAME = "popularity_report"
FOLDER = "reports"
DESCRIPTION = (
    "Popularity of the newest day of a run as one HTML file, `reports/popularity-DAY.html` beside "
    "the result tables."
)
NEWEST = "popularity.html"


def popularity_report_asset(settings: Settings) -> dg.AssetsDefinition:
    """The asset `popularity_report` for these settings."""
    usage_window = dg.AssetIn(partition_mapping=trailing(LONGEST_POPULARITY_WINDOW_DAYS))

    @dg.asset(
        name=NAME,
        description=f"{DESCRIPTION}\n\n{GUIDES[NAME]}",
        group_name=GROUP,
        kinds={"html"},
        owners=list(settings.owners),
        partitions_def=daily_partitions(settings),
        backfill_policy=dg.BackfillPolicy.single_run(),
        ins={
            "daily_usage": usage_window,
            "query_references": usage_window,
            "inventory": dg.AssetIn(KNOWN_TABLES.name),
        },
    )
    def popularity_report(  # noqa: PLR0917  # inputs are parameters, as in `usage`
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        engine: EngineResource,
        popularity_scores: pl.LazyFrame,
        daily_usage: nw.LazyFrame,
        query_references: nw.LazyFrame,
        table_lineage: pl.LazyFrame,
        inventory: pl.LazyFrame,
    ) -> dg.MaterializeResult:
        run = run_window(context)
        with user_errors():
            scored = storage.tables.days_present(POPULARITY_SCORES, run)
            if not scored:
                context.log.warning(f"No day of {run} has scores, so there is nothing to report.")
                return dg.MaterializeResult(metadata={"run_report": "none: no day has scores"})
            day = Window.of_day(max(scored))
            scores = popularity_scores.filter(day.holds())
            window = _window(scores, day.last_day, settings.popularity_window_days)
            edges = table_edges(table_lineage.filter(day.holds()))
            source = ReportSource(
                window,
                storage.tables.days_present(DAILY_USAGE, window),
                settings.scored_uses,
                scores,
                table_reads_by_day(
                    engine.engine, daily_usage, query_references, window, settings.scored_uses
                ),
                known_tables(inventory.filter(day.holds()), edges, settings.excluded_catalogs),
                edges,
            )
            return _result(context, storage.tables, settings, source)

    return popularity_report


def _window(scores: pl.LazyFrame, day: date, default_days: int) -> Window:
    """The window that the scores looked at, which a run may have been asked for."""
    start = scores.select(pl.col("window_start").min()).collect().item()
    return Window(start, day + timedelta(days=1)) if start else Window.trailing(day, default_days)


def _result(
    context: dg.AssetExecutionContext,
    storage: DeltaStorage,
    settings: Settings,
    source: ReportSource,
) -> dg.MaterializeResult:
    """Writes the report under its day, and as the newest one if it is."""
    day, page = source.window.last_day, popularity_page(source)
    names = [f"popularity-{day}.html"]
    if day == storage.newest_day(POPULARITY_SCORES):
        names.append(NEWEST)
    places = [write_document(storage, f"{FOLDER}/{name}", page) for name in names]
    context.log.info(f"The report of {day} lies at {' and at '.join(places)}.")
    figures = count_tables(source) | {"report_bytes": len(page)}
    context.add_asset_metadata(figures, partition_key=day_key(day))
    found: dict[str, dg.MetadataValue] = {}
    if settings.reports_url:
        found["open_report"] = dg.MetadataValue.url(f"{settings.reports_url}/{names[0]}")
    for name, place in zip(("report", "newest_report"), places, strict=False):
        found[name] = dg.MetadataValue.path(place)
    return dg.MaterializeResult(metadata=of_run(found))
