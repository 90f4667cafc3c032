"""Which runs the sensor of offline files asks for."""

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
from sample_generator import generate

from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.resources.offline import LINEAGE_FOLDER, QUERY_HISTORY_FOLDER
from dbminer_dagster.resources.offline.arrivals import Cursor
from dbminer_dagster.resources.offline.manifest import (
    MANIFEST_NAME,
    ExtractionEntry,
    Manifest,
)
from dbminer_dagster.sensors import due, sensors, stretches
from dbminer_dagster.settings import Settings, load_settings
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.offline_files import (
    api_row,
    epoch_ms,
    lineage_row,
    ndjson,
    write_history,
    write_lineage,
)
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline, failures
from dbminer_dagster_tests.s3_server import S3Server

START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
NO_NEWS = "No file is new."


def settings_of(uri: object, **changes: Any) -> Settings:
    wanted = {"lineage_method": "offline", "offline_uri": str(uri), "start_date": FIRST_DAY}
    return load_settings(**(wanted | changes))


def tick(settings: Settings, cursor: str | None = None) -> dg.SensorResult:
    sensor, _ = sensors(settings)
    with dg.build_sensor_context(cursor=cursor) as context:
        found = sensor(context)
    assert isinstance(found, dg.SensorResult)
    return found


def requested(found: dg.SensorResult) -> list[tuple[str, str]]:
    """First and last day of each run."""
    return [(request.tags[START], request.tags[END]) for request in found.run_requests or ()]


def keys(*ticks: dg.SensorResult) -> list[str | None]:
    return [request.run_key for found in ticks for request in found.run_requests or ()]


def reason(found: dg.SensorResult) -> str:
    assert not found.run_requests
    skipped = found.skip_reason
    return (skipped.skip_message if isinstance(skipped, dg.SkipReason) else skipped) or ""


def statements(*days: str) -> bytes:
    return ndjson(
        *(api_row(f"s-{day}", query_start_time_ms=epoch_ms(f"2026-{day}T23:59:59")) for day in days)
    )


def events(*days: str) -> bytes:
    return ndjson(*(lineage_row(event_time=f"2026-{day}T00:00:00Z", record_id=day) for day in days))


def write(root: Path, lineage: Sequence[str], history: Sequence[str]) -> None:
    write_lineage(root, events(*lineage))
    write_history(root, statements(*history))


def test_the_sensor_is_stopped_until_switched_on(tmp_path: Path) -> None:
    """Loading the definitions starts nothing."""
    sensor, _ = sensors(settings_of(tmp_path))

    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED


@pytest.mark.parametrize(
    ("popularity", "job"), [(True, "mine_lineage_and_popularity"), (False, "mine_lineage")]
)
def test_the_job_follows_the_popularity_setting(tmp_path: Path, popularity: bool, job: str) -> None:
    """Without popularity the sensor mines lineage only."""
    sensor, _ = sensors(settings_of(tmp_path, calculate_popularity=popularity))

    assert sensor.job_name == job


@pytest.mark.parametrize("method", ["system_table", "rest_api"])
def test_without_offline_files_nothing_is_watched(tmp_path: Path, method: str) -> None:
    """The sensor exists for every method, and says when it has nothing to do."""
    said = reason(tick(settings_of(tmp_path, lineage_method=method)))

    assert said.startswith("No source is read from offline files. Set DBMINER_LINEAGE_METHOD")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [("2026-01-05", "2026-01-06")]),
        ({"query_history_method": "system_table"}, [("2026-01-05", "2026-01-05")]),
        (
            {"lineage_method": "rest_api", "query_history_method": "offline"},
            [("2026-01-06", "2026-01-06")],
        ),
        ({"calculate_popularity": False}, [("2026-01-05", "2026-01-05")]),
    ],
    ids=["both", "lineage", "query history", "without popularity"],
)
def test_only_what_is_mined_from_files_is_watched(
    tmp_path: Path, changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """A folder counts if its source is read offline, and is mined at all."""
    write_lineage(tmp_path, events("01-05"))
    # Statements of both days, so that the first is no day of lineage alone.
    write_history(tmp_path, statements("01-05", "01-06") if not changes else statements("01-06"))

    assert requested(tick(settings_of(tmp_path, **changes))) == expected


def test_days_are_requested_once(tmp_path: Path) -> None:
    """A second tick over the same files asks for nothing."""
    write(tmp_path, ["01-05"], ["01-05", "01-06"])
    settings = settings_of(tmp_path)

    first = tick(settings)
    second = tick(settings, first.cursor)

    assert requested(first) == [("2026-01-05", "2026-01-06")]
    assert reason(second) == NO_NEWS
    assert second.cursor == first.cursor


def test_each_stretch_of_days_is_a_run(tmp_path: Path) -> None:
    """Days in a row are one run; days between them that no file holds are not mined."""
    write(tmp_path, ["01-05"], ["01-05", "01-06", "01-09", "02-01"])

    assert requested(tick(settings_of(tmp_path))) == [
        ("2026-01-05", "2026-01-06"),
        ("2026-01-09", "2026-01-09"),
        ("2026-02-01", "2026-02-01"),
    ]


def test_a_replaced_file_is_mined_again(tmp_path: Path) -> None:
    """A new version asks for its days alone, by a run key that Dagster has not seen."""
    write(tmp_path, ["01-05"], ["01-05", "01-06"])
    settings = settings_of(tmp_path)
    first = tick(settings)

    write_history(tmp_path, statements("01-06"))
    second = tick(settings, first.cursor)

    assert requested(second) == [("2026-01-06", "2026-01-06")]
    assert reason(tick(settings, second.cursor)) == NO_NEWS


def test_an_old_version_that_comes_back_is_mined_again(tmp_path: Path) -> None:
    """A version is new if it is not the one that was there, and its run key is new too."""
    path = tmp_path / QUERY_HISTORY_FOLDER / "result-0.json"
    write_lineage(tmp_path, events("01-05"))
    settings, cursor, ticks = settings_of(tmp_path), None, []
    for version, time in ((1, 10), (2, 20), (1, 10)):
        write_history(tmp_path, statements(*["01-05"] * version))
        os.utime(path, (time, time))
        ticks.append(tick(settings, cursor))
        cursor = ticks[-1].cursor

    assert [requested(found) for found in ticks] == [[("2026-01-05", "2026-01-05")]] * 3
    assert len(set(keys(*ticks))) == 3


def test_the_same_tick_has_the_same_run_keys(tmp_path: Path) -> None:
    """A tick that is evaluated again asks for no second run."""
    write(tmp_path, ["01-05"], ["01-05", "01-07"])
    settings = settings_of(tmp_path)

    assert keys(tick(settings)) == keys(tick(settings))
    assert len(set(keys(tick(settings)))) == 2


def test_days_before_the_start_date_are_left_out(tmp_path: Path) -> None:
    """They can never be mined, and the tick says so."""
    write(tmp_path, ["01-03"], ["01-02"])
    settings = settings_of(tmp_path)

    found = tick(settings)

    assert reason(found) == (
        "2 days before DBMINER_START_DATE=2026-01-05 are left out: 2026-01-02 to 2026-01-03.\n"
        + NO_NEWS
    )
    assert Cursor.parse(found.cursor).days == set()


def test_days_to_come_wait_in_the_cursor(tmp_path: Path) -> None:
    """A day that has not rested for the lag is requested once it has, and only once."""
    today = datetime.now(UTC).date()
    start = today - timedelta(days=10)
    days = [f"{start + timedelta(days=offset)}" for offset in range(20)]
    write_lineage(tmp_path, ndjson(*(lineage_row(event_time=f"{day}T12:00:00Z") for day in days)))
    settings = settings_of(
        tmp_path, start_date=start, lag_days=3, query_history_method="system_table"
    )

    found = tick(settings)
    cursor = Cursor.parse(found.cursor)
    later = [due(settings, cursor, start + timedelta(days=offset)) for offset in range(25)]

    first = requested(found)
    assert first[0][0] == str(start)
    newest = date.fromisoformat(first[0][1])
    stretch = [request for requests in later for request in requests]
    assert [(request.tags[START], request.tags[END]) for request in stretch] == [
        (str(day), str(day)) for day in Window(newest + timedelta(days=1), start + timedelta(20))
    ]
    assert cursor.days == set()


@pytest.mark.parametrize("lag_days", [1, 2, 7])
def test_a_day_is_due_when_it_has_rested(tmp_path: Path, lag_days: int) -> None:
    """The newest minable day is requested, the one after it is not."""
    settings = settings_of(tmp_path, lag_days=lag_days, query_history_method="system_table")
    newest = date(2026, 3, 1)
    cursor = Cursor(days={newest, newest + timedelta(days=1)})

    (request,) = due(settings, cursor, newest + timedelta(days=lag_days))

    assert (request.tags[START], request.tags[END]) == ("2026-03-01", "2026-03-01")
    assert cursor.days == {newest + timedelta(days=1)}


def test_waiting_days_are_named(tmp_path: Path) -> None:
    """A tick that only waits for days to rest says until which day it may mine."""
    today = datetime.now(UTC).date()
    write_lineage(tmp_path, ndjson(lineage_row(event_time=f"{today}T00:00:00Z")))

    said = reason(tick(settings_of(tmp_path, calculate_popularity=False)))

    assert said.startswith("1 days are to be mined later, from 20")
    assert said.endswith("is the newest minable day.")


def test_a_bad_file_holds_up_all_days(tmp_path: Path) -> None:
    """A run would fail on it, so that days wait, and are mined together when it is repaired."""
    write_lineage(tmp_path, events("01-05"))
    write_history(tmp_path, statements("01-05"), b"nonsense\n", statements("01-06"))
    settings = settings_of(tmp_path)

    first = tick(settings)
    second = tick(settings, first.cursor)
    (tmp_path / QUERY_HISTORY_FOLDER / "result-1.json").write_bytes(statements("01-09"))
    third = tick(settings, second.cursor)

    for found in (first, second):
        assert "result-1.json" in reason(found)
        assert "2 days are to be mined once this is repaired" in reason(found)
    assert requested(third) == [("2026-01-05", "2026-01-06"), ("2026-01-09", "2026-01-09")]
    assert reason(tick(settings, third.cursor)) == NO_NEWS


def test_a_bad_file_that_is_tolerated_later_is_read(tmp_path: Path) -> None:
    """More tolerance repairs a fault as well as a new version does."""
    write_lineage(tmp_path, events("01-05") + b"nonsense\n")
    first = tick(settings_of(tmp_path, calculate_popularity=False))

    tolerant = settings_of(tmp_path, calculate_popularity=False, offline_max_bad_lines=1)

    assert "1 bad lines, 0 allowed" in reason(first)
    assert requested(tick(tolerant, first.cursor)) == [("2026-01-05", "2026-01-05")]


def test_another_location_is_begun_anew(tmp_path: Path) -> None:
    """What was seen elsewhere neither hides files nor covers days; run keys never come back."""
    for name, day in (("a", "01-05"), ("b", "01-20")):
        write(tmp_path / name, ["01-10"], [day])
    wanted = [settings_of(tmp_path / name) for name in ("a", "b", "a")]

    first = tick(wanted[0])
    second = tick(wanted[1], first.cursor)
    third = tick(wanted[2], second.cursor)

    covered = Cursor.parse(second.cursor).folders[QUERY_HISTORY_FOLDER].covered
    assert covered == (date(2026, 1, 20), date(2026, 1, 20))
    assert requested(third) == requested(first)
    assert not {*keys(first)} & {*keys(third)}


def test_a_bad_file_alone_is_the_reason(tmp_path: Path) -> None:
    """Where nothing is to be mined, the fault is shown with the tick."""
    write_lineage(tmp_path, b"\x1f\x8bnonsense")

    said = reason(tick(settings_of(tmp_path, calculate_popularity=False)))

    assert said.startswith("extracted-lineage/result-0.json cannot be read from line 1 on")


def test_tolerated_bad_lines_are_tolerated(tmp_path: Path) -> None:
    """A file with no more bad lines than a run tolerates gives its days."""
    write_lineage(tmp_path, events("01-05") + b"nonsense\n" + events("01-06"))
    wanted = {"calculate_popularity": False}

    tolerant = tick(settings_of(tmp_path, offline_max_bad_lines=1, **wanted))

    assert requested(tolerant) == [("2026-01-05", "2026-01-06")]
    assert "1 bad lines, 0 allowed" in reason(tick(settings_of(tmp_path, **wanted)))


def test_a_gap_waits_for_the_part(tmp_path: Path) -> None:
    """While a part is missing no run is asked for, which could only fail."""
    write(tmp_path, ["01-05"], ["01-05"])
    late = tmp_path / QUERY_HISTORY_FOLDER / "result-2.json"
    late.write_bytes(statements("01-07"))
    settings = settings_of(tmp_path)

    first = tick(settings)
    late.rename(late.with_name("result-1.json"))
    second = tick(settings, first.cursor)

    assert "lacks 1: result-1.json" in reason(first)
    assert "1 days are to be mined once this is repaired, or the upload has ended." in reason(first)
    assert requested(second) == [("2026-01-05", "2026-01-05"), ("2026-01-07", "2026-01-07")]


def test_a_folder_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    """Both folders have to be there, where both are read."""
    write_lineage(tmp_path, events("01-05"))

    said = reason(tick(settings_of(tmp_path)))

    assert f"{tmp_path / QUERY_HISTORY_FOLDER} does not exist" in said


@pytest.mark.parametrize(
    ("uri", "said"),
    [(None, "needs DBMINER_OFFLINE_URI"), ("s3://B", "does not name an S3 bucket")],
    ids=["no uri", "no bucket"],
)
def test_a_wrong_location_is_told(tmp_path: Path, uri: str | None, said: str) -> None:
    """The tick is skipped with what is wrong, and keeps its cursor."""
    write_lineage(tmp_path, events("01-05"))
    settings = settings_of(tmp_path, calculate_popularity=False)
    cursor = tick(settings).cursor

    found = tick(load_settings(lineage_method="offline", offline_uri=uri), cursor)

    assert said in reason(found)
    assert found.cursor in {None, cursor}


def test_a_cursor_of_somebody_else_is_told(tmp_path: Path) -> None:
    """What the sensor did not write is not taken for a cursor."""
    write(tmp_path, ["01-05"], ["01-05"])

    said = reason(tick(settings_of(tmp_path), "result-7.json"))

    assert "Reset it on the page of the sensor" in said


def test_days_without_statements_are_mined_for_lineage_alone(tmp_path: Path) -> None:
    """A lineage snapshot reaches back further than any query history."""
    write(tmp_path, ["01-05", "01-09", "01-12"], ["01-08", "01-10"])

    found = tick(settings_of(tmp_path)).run_requests or []

    runs = {request.tags[START]: request for request in found}
    assert sorted(runs) == ["2026-01-05", "2026-01-08", "2026-01-12"]
    assert runs["2026-01-08"].asset_selection is None
    for day in ("2026-01-05", "2026-01-12"):
        assert {key.to_user_string() for key in runs[day].asset_selection or ()} == {
            *("raw_table_lineage", "raw_column_lineage", "known_tables"),
            *("table_lineage", "column_lineage"),
        }


def test_a_day_between_extractions_is_mined_for_lineage_alone(tmp_path: Path) -> None:
    """A manifest tells of which days query history was extracted; others have none to mine."""
    write_lineage(tmp_path, events("01-06"))
    folder = tmp_path / QUERY_HISTORY_FOLDER
    folder.mkdir()
    entries = [
        ExtractionEntry("17", day, day, datetime(2026, 2, 1, tzinfo=UTC), [])
        for day in (date(2026, 1, 5), date(2026, 1, 7))
    ]
    (folder / MANIFEST_NAME).write_bytes(Manifest(extractions=entries).encoded())

    found = tick(settings_of(tmp_path)).run_requests or []

    of_lineage = {request.tags[START] for request in found if request.asset_selection}
    assert of_lineage == {"2026-01-06"}
    assert {request.tags[START] for request in found} - of_lineage == {"2026-01-05", "2026-01-07"}


def test_the_requested_runs_mine_the_days(tmp_path: Path) -> None:
    """A run with the tags of a request leaves exactly its days in the result tables."""
    generate(tmp_path / "files", first_day=FIRST_DAY, days=4, statements_per_day=30, seed=5)
    pipeline = Pipeline(str(tmp_path / "files"), str(tmp_path / "tables"))
    found = tick(pipeline.settings)

    (request,) = found.run_requests or []
    result = pipeline.run("mine_lineage_and_popularity", dict(request.tags))

    assert result.success, failures(result)
    for name in ("raw_query_history", "raw_table_lineage", "popularity_scores"):
        days = sorted(pipeline.table(name)["day"].unique())
        assert days == list(Window(FIRST_DAY, FIRST_DAY + timedelta(days=4)))


def test_a_run_for_lineage_alone_mines_the_days(tmp_path: Path) -> None:
    """It needs no query history for its days."""
    write(tmp_path, ["01-05", "01-09"], ["01-09"])
    pipeline = Pipeline(str(tmp_path), str(tmp_path / "tables"))
    settings = pipeline.settings
    request = next(r for r in tick(settings).run_requests or () if r.asset_selection)

    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(settings).resolve_job_def("mine_lineage_and_popularity")
        result = job.execute_in_process(
            instance=instance,
            tags=dict(request.tags),
            asset_selection=list(request.asset_selection or ()),
        )

    assert result.success, failures(result)
    assert pipeline.table("table_lineage")["day"].unique().to_list() == [FIRST_DAY]
    assert not (tmp_path / "tables" / "raw_query_history").exists()


@pytest.mark.parametrize(
    ("days", "expected"),
    [([], []), ([3], [(3, 4)]), ([1, 2, 3], [(1, 4)]), ([9, 1, 2, 5], [(1, 3), (5, 6), (9, 10)])],
    ids=["none", "one", "a row", "gaps"],
)
def test_stretches(days: list[int], expected: list[tuple[int, int]]) -> None:
    """Days become windows without a gap, ascending."""
    month = date(2026, 3, 1)

    found = stretches({month.replace(day=day) for day in days})

    assert list(found) == [
        Window(month.replace(day=first), month.replace(day=end)) for first, end in expected
    ]


class Bucket:
    """Objects below a prefix of the S3 server."""

    def __init__(self, server: S3Server, prefix: str) -> None:
        self._client = boto3.client(
            "s3", endpoint_url=server.endpoint_url, region_name=server.region
        )
        self._bucket = server.bucket
        self._prefix = prefix.removeprefix(f"s3://{server.bucket}/")

    def put(self, folder: str, part: str, content: bytes) -> None:
        """Writes an object."""
        key = f"{self._prefix}/{folder}/{part}"
        self._client.put_object(Bucket=self._bucket, Key=key, Body=content)


@pytest.fixture
def s3_settings(s3_server: S3Server, s3_prefix: str) -> Settings:
    """Settings that read both folders from the S3 server."""
    return settings_of(
        s3_prefix, s3_endpoint_url=s3_server.endpoint_url, s3_region=s3_server.region
    )


def test_objects_of_s3_are_noticed(
    s3_server: S3Server, s3_prefix: str, s3_settings: Settings
) -> None:
    """New and replaced objects are mined once; the same content again is nothing new."""
    bucket = Bucket(s3_server, s3_prefix)
    bucket.put(LINEAGE_FOLDER, "result-0.json", events("01-05"))
    bucket.put(QUERY_HISTORY_FOLDER, "result-0.json", statements("01-05"))
    first = tick(s3_settings)
    second = tick(s3_settings, first.cursor)
    bucket.put(QUERY_HISTORY_FOLDER, "result-0.json", statements("01-05"))
    bucket.put(QUERY_HISTORY_FOLDER, "result-1.json", statements("01-08"))
    third = tick(s3_settings, second.cursor)
    bucket.put(QUERY_HISTORY_FOLDER, "result-0.json", statements("01-06"))
    fourth = tick(s3_settings, third.cursor)

    assert requested(first) == [("2026-01-05", "2026-01-05")]
    assert reason(second) == NO_NEWS
    assert requested(third) == [("2026-01-08", "2026-01-08")]
    assert requested(fourth) == [("2026-01-06", "2026-01-06")]
    assert len(set(keys(first, third, fourth))) == 3


def test_a_prefix_without_objects_is_waited_for(s3_settings: Settings) -> None:
    """Before the first upload the tick says that nothing is there."""
    assert "it holds no object" in reason(tick(s3_settings))
