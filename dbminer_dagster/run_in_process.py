"""Runs the mining job in this process, as the command does."""

import os
from collections.abc import Iterator

import dagster as dg

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
            failed = event.step_failure_data
            expected = failed.user_failure_data.description if failed.user_failure_data else None
            yield f"{event.step_key}: {expected or _unexpected(failed.error)}"
        elif event.event_type is dg.DagsterEventType.RUN_FAILURE and event.job_failure_data.error:
            yield _unexpected(event.job_failure_data.error)


def _unexpected(error: object) -> str:
    """Nobody but us can repair it: all of it, to be reported."""
    return f"unexpected error, please report it\n{error}"


def _failed_checks(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    for found in result.get_asset_check_evaluations():
        if not found.passed and found.severity is dg.AssetCheckSeverity.ERROR:
            name = f"{found.asset_key.to_user_string()}.{found.check_name}"
            yield f"check {name} failed: {found.description}"
