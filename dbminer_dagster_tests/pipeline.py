"""Runs the real jobs in process over generated files, and compares all result tables."""

import logging
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from polars.testing import assert_frame_equal

from dbminer_dagster.automation import range_tags
from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.schemas import KNOWN_TABLES, TABLES, WAREHOUSE_COSTS
from dbminer_dagster.settings import Settings, load_settings
from dbminer_dagster.windows import Window

FIRST_DAY = date(2026, 1, 5)
JOB = "mine_lineage_and_popularity"


def _silence(_context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.getLogger("dbminer.tests")
    logger.disabled = True
    return logger


@dataclass(frozen=True)
class Pipeline:
    """One storage location that is mined from one offline location."""

    offline: str
    storage: str
    lineage_window_days: int = 20
    popularity_window_days: int = 10
    lineage_method: str = "offline"
    spark_remote: str | None = None

    @property
    def settings(self) -> Settings:
        """The settings of its runs."""
        return load_settings(
            lineage_method=self.lineage_method,
            offline_uri=self.offline,
            storage_uri=self.storage,
            start_date=FIRST_DAY,
            lineage_window_days=self.lineage_window_days,
            popularity_window_days=self.popularity_window_days,
            excluded_users="svc-*@larkfell.example",
            engine="spark" if self.spark_remote else "polars",
            spark_remote=self.spark_remote,
        )

    def mine(
        self,
        window: Window,
        job: str = JOB,
        *,
        instance: dg.DagsterInstance | None = None,
        run_config: dict[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Mines the days of the window as one run; a failure is for the caller to look at."""
        return self.run(job, range_tags(window), instance, run_config)

    def run(
        self,
        job: str,
        tags: dict[str, str] | None = None,
        instance: dg.DagsterInstance | None = None,
        run_config: dict[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Runs a job; by default on an instance that is forgotten."""
        logger = dg.LoggerDefinition(_silence)
        definitions = build_definitions(self.settings, loggers={"console": logger})
        with ExitStack() as stack:
            if instance is None:
                instance = stack.enter_context(dg.DagsterInstance.ephemeral())
            return definitions.resolve_job_def(job).execute_in_process(
                instance=instance,
                tags=tags,
                run_config={"loggers": {"console": {}}, **(run_config or {})},
                raise_on_error=False,
            )

    def mined(self, window: Window) -> "Pipeline":
        """Mines the days of the window, which must succeed."""
        result = self.mine(window)
        assert result.success, failures(result)
        return self

    def table(self, name: str) -> pl.DataFrame:
        """A result table."""
        return pl.read_delta(f"{self.storage}/{name}")


def failures(result: dg.ExecuteInProcessResult) -> str:
    """What the failed steps, or else the failed run, say."""
    steps = [event.step_failure_data.error for event in result.get_step_failure_events()]
    if not steps:
        return str(result.get_run_failure_event().job_failure_data)
    return "\n".join(error.to_string() if error else "" for error in steps)


def assert_same_tables(left: Pipeline, right: Pipeline, *but_for: str) -> None:
    """Every result table of one holds exactly the rows of that of the other, some columns aside.

    All have rows, but for those that only a workspace tells: the inventory and the costs.
    """
    for name in TABLES:
        expected, found = (
            pipeline.table(name).drop(but_for, strict=False) for pipeline in (left, right)
        )
        assert expected.height > 0 or name in {KNOWN_TABLES.name, WAREHOUSE_COSTS.name}, name
        assert_frame_equal(expected, found, check_row_order=False, check_exact=True)


def mining_environment(pipeline: Pipeline, storage: Path) -> dict[str, str]:
    """The variables by which `dbminer mine` mines as a pipeline does, into another folder."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("DBMINER_")}
    return inherited | {
        "DBMINER_LINEAGE_METHOD": "offline",
        "DBMINER_OFFLINE_URI": pipeline.offline,
        "DBMINER_STORAGE_URI": str(storage),
        "DBMINER_START_DATE": str(FIRST_DAY),
        "DBMINER_LINEAGE_WINDOW_DAYS": str(pipeline.lineage_window_days),
        "DBMINER_POPULARITY_WINDOW_DAYS": str(pipeline.popularity_window_days),
        "DBMINER_EXCLUDED_USERS": "svc-*@larkfell.example",
    }


def mine_command(window: Window) -> list[str]:
    """`dbminer mine` for the days of the window, in a process of its own."""
    script = "from dbminer_dagster.cli import main; main()"
    days = ["--from", str(window.start), "--to", str(window.last_day)]
    return [sys.executable, "-c", script, "mine", *days]
