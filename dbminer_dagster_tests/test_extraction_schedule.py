"""The schedule of `dbminer extract`: the days that no manifest tells of."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.resources.offline import (
    LINEAGE_FOLDER,
    QUERY_HISTORY_FOLDER,
    TABLES_FOLDER,
)
from dbminer_dagster.resources.offline.manifest import MANIFEST_NAME, ExtractionEntry, Manifest
from dbminer_dagster.settings import Settings, load_settings
from dbminer_dagster.windows import Window

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
NEWEST = date(2026, 3, 10)
FOLDERS = (QUERY_HISTORY_FOLDER, LINEAGE_FOLDER, TABLES_FOLDER)


def settings_of(folder: Path, **changes: Any) -> Settings:
    given = {
        "start_date": date(2026, 1, 5),
        "offline_uri": str(folder),
        "databricks_host": "https://workspace.example",
    }
    return load_settings(**(given | changes))


def tick(
    settings: Settings, instance: dg.DagsterInstance, at: datetime = NOON
) -> dg.RunRequest | dg.SkipReason:
    definitions = build_definitions(settings)
    with dg.build_schedule_context(
        instance=instance,
        repository_def=definitions.get_repository_def(),
        scheduled_execution_time=at,
    ) as context:
        found = definitions.resolve_schedule_def("extraction_schedule")(context)
    assert isinstance(found, dg.RunRequest | dg.SkipReason)
    return found


def config_of(found: dg.RunRequest | dg.SkipReason) -> dict[str, str]:
    assert isinstance(found, dg.RunRequest), found
    return found.run_config["ops"]["write_offline_files"]["config"]


def note_extracted(folder: Path, window: Window, *folders: str) -> None:
    """Leaves manifests, as an extraction of quiet days does."""
    entry = ExtractionEntry("17", window.start, window.last_day, NOON, [])
    for name in folders or FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / MANIFEST_NAME).write_bytes(Manifest(extractions=[entry]).encoded())


@pytest.mark.parametrize(("schedule", "days"), [("daily", 1), ("hourly", 1), ("weekly", 7)])
def test_the_first_tick_extracts_one_period(
    schedule: str, days: int, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """Where nothing is extracted yet, a tick extracts what one period makes minable."""
    found = tick(settings_of(tmp_path, schedule=schedule), instance)

    first = NEWEST - timedelta(days=days - 1)
    assert config_of(found) == {"since": str(first), "until": str(NEWEST)}


def test_a_tick_extracts_what_became_minable_since(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """All days after the newest extracted one are one run; none is extracted twice."""
    note_extracted(tmp_path, Window.trailing(NEWEST - timedelta(days=4), 3))

    found = tick(settings_of(tmp_path), instance)

    first = NEWEST - timedelta(days=3)
    assert config_of(found) == {"since": str(first), "until": str(NEWEST)}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_day_is_extracted_when_all_of_it_is(
    folder: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """An extraction that was cut off between the folders is gone on with."""
    note_extracted(tmp_path, Window.trailing(NEWEST, 3))
    note_extracted(tmp_path, Window.trailing(NEWEST - timedelta(days=1), 2), folder)

    assert config_of(tick(settings_of(tmp_path), instance))["since"] == str(NEWEST)


def test_nothing_new_has_its_reason(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """When the newest minable day is extracted, the tick names it."""
    note_extracted(tmp_path, Window.trailing(NEWEST, 3))

    found = tick(settings_of(tmp_path), instance)

    assert isinstance(found, dg.SkipReason)
    assert found.skip_message == (
        "Nothing became minable: 2026-03-10, the newest minable day, is extracted."
    )


def test_days_that_the_api_forgot_are_not_asked_for(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """The Query History API knows 30 days, and the extraction begins within them."""
    note_extracted(tmp_path, Window.of_day(date(2026, 1, 5)))

    assert config_of(tick(settings_of(tmp_path), instance))["since"] == "2026-02-11"


@pytest.mark.parametrize(
    ("setting", "variable"),
    [("databricks_host", "DATABRICKS_HOST"), ("offline_uri", "DBMINER_OFFLINE_URI")],
)
def test_where_nothing_can_be_extracted_the_tick_says_so(
    setting: str, variable: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """A miner without a workspace, or without a place for files, has nothing to extract."""
    found = tick(settings_of(tmp_path, **{setting: None}), instance)

    assert isinstance(found, dg.SkipReason)
    assert f"{variable} is not set" in (found.skip_message or "")


def test_a_manifest_that_is_none_fails_the_tick(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """What cannot be understood is not taken for nothing extracted."""
    note_extracted(tmp_path, Window.of_day(NEWEST))
    (tmp_path / LINEAGE_FOLDER / MANIFEST_NAME).write_bytes(b"nonsense")

    with pytest.raises(dg.Failure, match="cannot be understood"):
        tick(settings_of(tmp_path), instance)


def test_the_job_takes_the_request(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """The run configuration of a tick is one that the job accepts, and its days are known."""
    found = tick(settings_of(tmp_path, databricks_host="http://127.0.0.1:9"), instance)
    assert isinstance(found, dg.RunRequest)
    job = build_definitions(settings_of(tmp_path)).resolve_job_def("extract_offline_files")

    assert dg.validate_run_config(job, found.run_config)
    assert found.tags["dbminer/first_day"] == found.tags["dbminer/last_day"] == str(NEWEST)
