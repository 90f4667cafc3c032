"""The stages of the pipeline, each run as users run it: as assets of the mining job."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from workspace import DAY, Workspace

JOB = "mine_lineage_and_popularity"
RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@dataclass(frozen=True, slots=True)
class Stage:
    """Some assets of the job.

    Attributes:
        name: As it is printed.
        assets: What is materialized, with the checks on it.
        inputs: The tables whose rows of the day go in; none for what is read from files.
        file_rows: Which of the generator's counts tells the lines that go in.
    """

    name: str
    assets: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    file_rows: str = ""


USAGE = ("query_references", "daily_usage")
POPULARITY = ("popularity_scores",)
RAW_LINEAGE = ("raw_table_lineage", "raw_column_lineage")

RAW_STAGES = (
    Stage("raw query history", ("raw_query_history",), file_rows="history_rows"),
    Stage("raw lineage", RAW_LINEAGE, file_rows="lineage_rows"),
)
FILTER_STAGE = Stage("filtered queries", ("filtered_queries",), ("raw_query_history",))
COLD_STAGE = Stage("usage, no template known", USAGE, ("filtered_queries",))
WARM_STAGE = Stage("usage, all templates known", USAGE, ("filtered_queries",))
LINEAGE_STAGES = (
    Stage("table rebuilds", ("table_rebuilds",), ("raw_query_history",)),
    Stage("table and column lineage", ("table_lineage", "column_lineage"), RAW_LINEAGE),
)
DAY_STAGES = (*RAW_STAGES, FILTER_STAGE, COLD_STAGE, WARM_STAGE, *LINEAGE_STAGES)


def popularity_stage(days: int) -> Stage:
    """Popularity of one day over a window in which so many days are present."""
    unit = "day" if days == 1 else "days"
    return Stage(f"popularity over {days} {unit}", POPULARITY, ("daily_usage",))


def prepared_run(workspace: Workspace, stage: Stage, method: str = "offline") -> Callable[[], None]:
    """Loads Dagster and the definitions; what is returned materializes the assets."""
    warnings.simplefilter("ignore")
    import dagster as dg

    from dbminer_dagster.definitions import build_definitions

    if method == "system_table":
        import dbminer_dagster.databricks.connection  # noqa: F401 - a run imports it late

    definitions = build_definitions(
        workspace.settings(method), loggers={"console": dg.LoggerDefinition(_errors_only)}
    )
    job = definitions.resolve_job_def(JOB)

    def run() -> None:
        with dg.DagsterInstance.ephemeral() as instance:
            job.execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(name) for name in stage.assets],
                tags=dict.fromkeys(RANGE_TAGS, str(DAY)),
                run_config={"loggers": {"console": {}}},
            )

    return run


def _errors_only(_context: object) -> logging.Logger:
    logger = logging.getLogger("dbminer.benchmark")
    logger.setLevel(logging.ERROR)
    return logger
