"""The wiring: settings to resources, assets, checks, jobs and schedules."""

import warnings
from collections.abc import Mapping

import dagster as dg

from dbminer_dagster.assets.costs import warehouse_costs_asset
from dbminer_dagster.assets.filtered_queries import filtered_queries_asset
from dbminer_dagster.assets.inventory import inventory_assets
from dbminer_dagster.assets.lineage import lineage_assets
from dbminer_dagster.assets.popularity import popularity_assets
from dbminer_dagster.assets.popularity_report import popularity_report_asset
from dbminer_dagster.assets.raw import raw_assets
from dbminer_dagster.assets.sources import SOURCE_ASSETS
from dbminer_dagster.assets.usage import usage_asset
from dbminer_dagster.automation import jobs
from dbminer_dagster.checks.freshness import freshness_checks, with_freshness
from dbminer_dagster.checks.preflight import preflight_checks
from dbminer_dagster.checks.quality import quality_checks
from dbminer_dagster.io_manager import DeltaIOManager
from dbminer_dagster.resources.databricks import DatabricksResource
from dbminer_dagster.resources.engine import EngineResource
from dbminer_dagster.resources.extractor import Extractor
from dbminer_dagster.resources.mining_options import KEY as OPTIONS
from dbminer_dagster.resources.mining_options import mining_options
from dbminer_dagster.resources.offline.extractor import OfflineExtractor
from dbminer_dagster.resources.parser import ParserResource
from dbminer_dagster.resources.rest_api import RestApiExtractor
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.resources.system_tables import SystemTableExtractor
from dbminer_dagster.schedules import schedules
from dbminer_dagster.sensors import sensors
from dbminer_dagster.settings import ExtractionMethod, Settings, load_settings


def build_definitions(
    settings: Settings, loggers: Mapping[str, dg.LoggerDefinition] | None = None
) -> dg.Definitions:
    """All definitions for these settings."""
    with warnings.catch_warnings():
        # Dagster announces its own beta parameter `backfill_policy`, once for each asset.
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = _assets(settings)
    storage = StorageResource(
        uri=settings.storage_uri,
        s3_region=settings.s3_region,
        s3_endpoint_url=settings.s3_endpoint_url,
    )
    engine = EngineResource(spark_address=settings.spark_address)
    return dg.Definitions(
        assets=assets,
        asset_checks=[
            *preflight_checks(settings),
            *quality_checks(settings),
            *freshness_checks(settings),
        ],
        jobs=jobs(),
        schedules=schedules(settings),
        sensors=sensors(settings),
        resources={
            "storage": storage,
            "parser": ParserResource(storage=storage),
            OPTIONS: mining_options(settings),
            "io_manager": DeltaIOManager(storage=storage, engine=engine),
            "engine": engine,
            "lineage_extractor": _extractor(settings, settings.lineage_method),
            "query_history_extractor": _extractor(
                settings, settings.query_history_extraction_method
            ),
        },
        loggers=loggers,
        # Steps share frames on disk and are short: a process for each would cost more than it.
        executor=dg.in_process_executor,
    )


def _assets(settings: Settings) -> list[dg.AssetSpec | dg.AssetsDefinition]:
    results = [
        *raw_assets(settings),
        *inventory_assets(settings),
        warehouse_costs_asset(settings),
        *lineage_assets(settings),
        filtered_queries_asset(settings),
        usage_asset(settings),
        *popularity_assets(settings),
        popularity_report_asset(settings),
    ]
    sources = (
        source.replace_attributes(owners=list(settings.owners)) for source in SOURCE_ASSETS.values()
    )
    return [*sources, *with_freshness(results, settings)]


def _extractor(settings: Settings, method: ExtractionMethod) -> Extractor:
    if method is ExtractionMethod.OFFLINE:
        return OfflineExtractor(
            uri=settings.offline_uri,
            max_bad_lines=settings.offline_max_bad_lines,
            s3_region=settings.s3_region,
            s3_endpoint_url=settings.s3_endpoint_url,
        )
    databricks = DatabricksResource.of(settings)
    if method is ExtractionMethod.SYSTEM_TABLE:
        return SystemTableExtractor.of(settings, databricks)
    return RestApiExtractor.of(settings, databricks)


defs = build_definitions(load_settings())
