"""Runs the mining job in this process, as the command does."""

import os
from collections.abc import Iterator
from typing import Any

import dagster as dg

from dbminer_dagster.assets.sources import SOURCE_ASSETS
from dbminer_dagster.automation import mining_job, range_tags
from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.errors import SettingsError
from dbminer_dagster.progress import progress_logger
from dbminer_dagster.settings import Settings
from dbminer_dagster.windows import Window


def mine(settings: Settings, window: Window) -> tuple[bool, list[str]]:
    """Mines the days of the window as one run.

    Returns:
        Whether the run succeeded, and one text for each failed step and each failed check.

    Raises:
        SettingsError: `DAGSTER_HOME` does not name a Dagster instance.
    """
    definitions = build_definitions(settings, loggers={"console": progress_logger})
    with _instance() as instance:
        result = definitions.resolve_job_def(mining_job(settings)).execute_in_process(
            instance=instance,
            tags=range_tags(window),
            run_config={"loggers": {"console": {}}},
            raise_on_error=False,
        )
    return result.success, [*_failures(result), *_failed_checks(result)]


def _instance() -> dg.DagsterInstance:
    """The instance of `DAGSTER_HOME`, whose UI then shows the run; else one that is forgotten."""
    if "DAGSTER_HOME" not in os.environ:
        return dg.DagsterInstance.ephemeral()
    try:
        return dg.DagsterInstance.get()
    except dg.DagsterError as error:
        home = os.environ["DAGSTER_HOME"]
        raise SettingsError(f"DAGSTER_HOME={home} cannot be used: {error}") from None


def _failures(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    for event in result.all_events:
        if event.is_step_failure:
            yield f"{event.step_key}: {_said(event.step_failure_data.error)}"
        elif event.event_type is dg.DagsterEventType.RUN_FAILURE and event.job_failure_data.error:
            yield _said(event.job_failure_data.error)


def _said(error: Any) -> str:
    """What a `dg.Failure` says; of any other error all, since only its report helps."""
    if error is not None and error.cls_name == dg.Failure.__name__:
        return error.message.partition(": ")[2].strip()
    return f"unexpected error, please report it\n{error}"


def _failed_checks(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    sources = {source.key for source in SOURCE_ASSETS.values()}
    for found in result.get_asset_check_evaluations():
        if found.asset_key in sources:
            continue  # what failed of preflight, its step has said
        if not found.passed and found.severity is dg.AssetCheckSeverity.ERROR:
            name = f"{found.asset_key.to_user_string()}.{found.check_name}"
            yield f"check {name} failed: {found.description}"
