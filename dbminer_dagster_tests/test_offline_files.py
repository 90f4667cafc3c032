"""Numbered parts: all of them, each once, in a folder or in S3."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbminer_dagster.errors import LocationError, UnreadableFileError
from dbminer_dagster.resources.offline import QUERY_HISTORY_FOLDER
from dbminer_dagster.resources.offline.extractor import OfflineExtractor
from dbminer_dagster.resources.offline.files import LocalLocation, ordered_parts
from dbminer_dagster.resources.offline.manifest import list_parts
from dbminer_dagster.s3 import s3_client
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.offline_files import (
    DAY,
    api_row,
    column_row,
    history_of,
    lineage_of,
    lineage_row,
    ndjson,
    read_history,
    write_history,
    write_lineage,
)
from dbminer_dagster_tests.s3_server import Identity, S3Server

DAY_WINDOW = Window.of_day(DAY)


@given(st.integers(1, 30), st.randoms())
def test_parts_come_by_number(count: int, random) -> None:  # noqa: ANN001
    """Parts come in the order of their numbers, whatever order and suffixes they have."""
    names = [f"result-{n}.json{random.choice(['', '.gz'])}" for n in range(count)]
    shuffled = random.sample(names, count)

    assert ordered_parts("here", shuffled) == names


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "holds no result-0.json"),
        (["notes.txt", "result-0.csv", "result-x.json"], "holds no result-0.json"),
        (["result-0.json\n", "../result-0.json", "xresult-0.json"], "holds no result-0.json"),
        (["result-\N{ARABIC-INDIC DIGIT ZERO}.json"], "holds no result-0.json"),
        (["result-0.json", "result-2.json"], "lacks 1: result-1.json"),
        (["result-1.json"], "lacks 1: result-0.json"),
        (["result-99999999999999.json"], "lacks 99999999999999: result-0.json, result-1.json"),
        (["result-0.json", "result-0.json.gz"], "holds part 0 twice"),
        (["result-0.json", "result-00.json"], "holds part 0 twice"),
    ],
)
def test_parts_that_are_not_complete_are_refused(names: list[str], reason: str) -> None:
    """No part, a missing number and a part that is there twice have a message each."""
    with pytest.raises(LocationError, match=f"^here .*{reason}"):
        ordered_parts("here", names)


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    """Files of other names beside the parts do not matter."""
    write_history(tmp_path, ndjson(api_row()))
    for name in ("_SUCCESS", ".result-0.json.crc", "result-0.json.tmp", "x" * 250):
        (tmp_path / QUERY_HISTORY_FOLDER / name).write_text("nonsense")

    assert list_parts(LocalLocation(tmp_path), QUERY_HISTORY_FOLDER).parts == ["result-0.json"]


@pytest.mark.parametrize("name", ["nowhere", "../nowhere", "new\nline"])
def test_a_missing_folder_is_named(name: str, tmp_path: Path) -> None:
    """A folder that does not exist is named, with the setting to correct."""
    with pytest.raises(LocationError, match=r"does not exist\. Set DBMINER_OFFLINE_URI") as caught:
        read_history(tmp_path / name)

    assert str(tmp_path / name / QUERY_HISTORY_FOLDER) in str(caught.value)


@pytest.mark.parametrize("name", ["file/below", "x" * 300])
def test_a_folder_that_cannot_be_listed_is_named(name: str, tmp_path: Path) -> None:
    """A path that cannot be a folder has a message of its own."""
    (tmp_path / "file").touch()

    with pytest.raises(LocationError, match="cannot be listed"):
        read_history(tmp_path / name)


def test_a_part_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A part that is no file fails with its path and what to do."""
    (tmp_path / QUERY_HISTORY_FOLDER / "result-0.json").mkdir(parents=True)

    with pytest.raises(UnreadableFileError, match=r"result-0.json cannot be opened \(Is a dir"):
        read_history(tmp_path)


def test_no_uri_names_the_setting() -> None:
    """Without a place the message names the setting and what it has to hold."""
    with pytest.raises(LocationError, match=r"needs DBMINER_OFFLINE_URI.*extracted-lineage/"):
        history_of(OfflineExtractor(), DAY_WINDOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Parts of both kinds, zipped and plain."""
    rows = [api_row(f"s-{number}", query_text="ä" * number) for number in range(300)]
    write_history(tmp_path, ndjson(*rows[:200]), ndjson(*rows[200:]), compress=True)
    write_lineage(tmp_path, ndjson(lineage_row(), column_row(), column_row(record_id="r-2")))
    return tmp_path


@pytest.fixture
def bucket(folder: Path, s3_prefix: str, s3_server: S3Server) -> OfflineExtractor:
    """The same parts in S3."""
    location = s3_server.location(s3_prefix.partition(f"{s3_server.bucket}/")[2])
    client = s3_client(location)
    for path in folder.glob("*/result-*"):
        key = f"{location.prefix}/{path.relative_to(folder)}"
        client.put_object(Bucket=location.bucket, Key=key, Body=path.read_bytes())
    return OfflineExtractor(
        uri=s3_prefix, s3_region=s3_server.region, s3_endpoint_url=s3_server.endpoint_url
    )


def test_s3_gives_what_the_folder_gives(folder: Path, bucket: OfflineExtractor) -> None:
    """The same parts in S3 give identical rows, counts and notes."""
    local = OfflineExtractor(uri=str(folder))
    here, there = history_of(local, DAY_WINDOW), history_of(bucket, DAY_WINDOW)

    assert here.rows.equals(there.rows)
    assert here.rows.height == 300
    assert here.extraction.counts == there.extraction.counts
    for name, found in lineage_of(local, DAY_WINDOW).items():
        assert found.rows.equals(lineage_of(bucket, DAY_WINDOW)[name].rows)


def fails(bucket: OfflineExtractor, **changes: str | None) -> str:
    with pytest.raises(LocationError) as caught:
        history_of(bucket.model_copy(update=changes), DAY_WINDOW)
    return str(caught.value)


def test_each_s3_fault_has_its_message(bucket: OfflineExtractor, s3_server: S3Server) -> None:
    """Bucket, prefix, folder and endpoint each have a message of their own."""
    assert "the bucket does not exist" in fails(bucket, uri="s3://no-such-bucket/x")
    assert "it holds no object" in fails(bucket, uri=f"s3://{s3_server.bucket}/nothing-there")
    assert "does not name an S3 bucket" in fails(bucket, uri="s3://")
    unreachable = fails(bucket, s3_endpoint_url="http://127.0.0.1:9")
    assert "the endpoint cannot be reached" in unreachable


def test_a_prefix_without_the_folder_holds_no_part(bucket: OfflineExtractor) -> None:
    """A prefix that holds objects but not our folder lacks the first part."""
    message = fails(bucket, uri=f"{bucket.uri}/{QUERY_HISTORY_FOLDER}")

    assert "holds no result-0.json" in message


@pytest.mark.parametrize(
    ("who", "reason"),
    [("stranger", "access was denied"), ("forger", "does not belong to the access key id")],
)
def test_wrong_keys_have_their_message(
    who: str,
    reason: str,
    bucket: OfflineExtractor,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keys without the right, and wrong keys, are told apart, and no secret is shown."""
    forger = Identity("forger", s3_server.admin.access_key, "wrong-secret-1234", ())
    identity = forger if who == "forger" else s3_server.stranger
    for name, value in identity.environment.items():
        monkeypatch.setenv(name, value)

    message = fails(bucket)

    assert reason in message
    assert identity.secret_key not in message


def test_an_object_that_vanishes_is_a_location_error(
    bucket: OfflineExtractor, s3_server: S3Server
) -> None:
    """An object that is listed and then gone fails by name of the place."""
    location = bucket._location()  # noqa: SLF001 - the port has no way to lose an object
    with pytest.raises(LocationError), location.open(QUERY_HISTORY_FOLDER, "result-9.json"):
        pass
    assert s3_server.bucket in str(location)
