"""Preflight of offline files: the location, its parts, and what they hold."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbminer_dagster.preflight.model import Finding, Source, Status
from dbminer_dagster.s3 import S3Location, s3_client
from dbminer_dagster.settings import Settings, load_settings
from dbminer_dagster_tests.offline_files import (
    LINEAGE_FOLDER,
    QUERY_HISTORY_FOLDER,
    api_row,
    lineage_row,
    ndjson,
    write_parts,
)
from dbminer_dagster_tests.preflight_runs import ask, assert_only_failure, statuses
from dbminer_dagster_tests.s3_server import S3Server

NAMES = ["location_reachable", "files_present", "files_readable"]


def offline(uri: object, **changes: Any) -> Settings:
    return load_settings(**{"lineage_method": "offline", "offline_uri": str(uri), **changes})


def write_fine(folder: Path) -> None:
    write_parts(folder, LINEAGE_FOLDER, ndjson(lineage_row()))
    write_parts(folder, QUERY_HISTORY_FOLDER, ndjson(api_row()))


def write_lineage(folder: Path, name: str, content: bytes) -> None:
    path = folder / LINEAGE_FOLDER / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("source", Source)
def test_good_files_are_ready(tmp_path: Path, source: Source) -> None:
    """Files of either source that parse pass every check."""
    write_fine(tmp_path)

    found = ask(offline(tmp_path), source)

    assert statuses(found) == dict.fromkeys(NAMES, "passed")


def test_no_location_is_a_wrong_setting() -> None:
    """Without a uri the variable is named."""
    found = ask(load_settings(lineage_method="offline"))

    finding = assert_only_failure(found, "location_reachable")
    assert finding.answer.is_wrong_setting
    assert finding.remedy.startswith("Set it to the folder or s3://bucket/prefix")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing folder is told with its path."""
    finding = assert_only_failure(ask(offline(tmp_path / "no")), "location_reachable")

    assert f"{tmp_path}/no does not exist" in finding.answer.text
    assert "DBMINER_OFFLINE_URI" in finding.remedy


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """A file instead of a folder is told apart."""
    (tmp_path / "file").touch()

    finding = assert_only_failure(ask(offline(tmp_path / "file")), "location_reachable")

    assert "cannot be listed (Not a directory)" in finding.answer.text


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "does not exist"),
        (["readme.txt"], "holds no result-0.json"),
        (["result-0.json", "result-2.json"], "lacks 1: result-1.json"),
        (["result-0.json", "result-0.json.gz"], "holds part 0 twice"),
    ],
)
def test_missing_parts_are_named(tmp_path: Path, names: list[str], said: str) -> None:
    """A folder without parts, and one with a gap, say what is missing."""
    for name in names:
        write_lineage(tmp_path, name, b"")

    finding = assert_only_failure(ask(offline(tmp_path)), "files_present")

    assert said in finding.answer.text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("result-0.json", b'{"event_time": "cut', "result-0.json, line 1: "),
        ("result-0.json", b'\n\n{"event_time": "x"}\n', "result-0.json, line 3: "),
        ("result-0.json", b'[\n{"event_time": "x"}]', "result-0.json, line 2, object 1: "),
        ("result-0.json", b'{"res": [{"event_time": "x"}]}', "result-0.json, line 1, row 1: "),
        ("result-0.json", gzip.compress(b"{}"), "it is gzip, so its name must end in .gz"),
        ("result-0.json.gz", gzip.compress(b"{}" * 99)[:20], "breaks off after line 0"),
    ],
    # Named here: gzip holds the time, and every test process must find the same names.
    ids=["cut", "cut_after_empty_lines", "in_an_array", "in_a_page", "named_plain", "cut_gzip"],
)
def test_a_bad_file_is_named_with_its_line(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    """A file whose first object does not parse is named, with the line and the reason."""
    write_lineage(tmp_path, name, content)

    finding = assert_only_failure(ask(offline(tmp_path)), "files_readable")

    assert finding.answer.text.startswith("1 of 1 files cannot be read: ")
    assert said in finding.answer.text


def test_every_file_is_opened(tmp_path: Path) -> None:
    """Each file is looked into, not only the first; empty ones are fine."""
    contents = [ndjson(lineage_row()), b"", b"no json", ndjson(lineage_row()), b"nor this"]
    for number, content in enumerate(contents):
        write_lineage(tmp_path, f"result-{number}.json", content)

    finding = assert_only_failure(ask(offline(tmp_path)), "files_readable")

    assert finding.answer.text.startswith("2 of 5 files cannot be read: ")
    assert "result-2.json, line 1" in finding.answer.text
    assert "result-4.json, line 1" in finding.answer.text


def test_bad_lines_that_a_run_tolerates_only_warn(tmp_path: Path) -> None:
    """A preflight is not stricter than the run: tolerated bad lines warn."""
    write_lineage(tmp_path, "result-0.json", b"no json")

    finding = ask(offline(tmp_path, offline_max_bad_lines=1))["files_readable"]

    assert finding.status is Status.WARNING


def put(location: S3Location, name: str, content: bytes) -> None:
    key = f"{location.prefix}/{name}"
    s3_client(location).put_object(Bucket=location.bucket, Key=key, Body=content)


@pytest.fixture
def ask_s3(s3_server: S3Server, s3_prefix: str) -> Callable[..., dict[str, Finding]]:
    """Asks for files of S3: those of the server, where one big part lies, unless told otherwise."""
    location = S3Location.parse(
        s3_prefix, region=s3_server.region, endpoint_url=s3_server.endpoint_url
    )
    put(location, f"{LINEAGE_FOLDER}/result-0.json", ndjson(lineage_row()) * 5_000)

    def asked(uri: str = s3_prefix, **changes: str) -> dict[str, Finding]:
        places = {"s3_region": s3_server.region, "s3_endpoint_url": s3_server.endpoint_url}
        return ask(offline(uri, **{**places, **changes}))

    return asked


def test_files_in_s3_are_ready(ask_s3: Callable[..., dict[str, Finding]]) -> None:
    """Files in a bucket pass every check."""
    assert statuses(ask_s3()) == dict.fromkeys(NAMES, "passed")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://no-such-bucket/x", "the bucket does not exist"),
        ("s3://dbminer-test/no/such", "it holds no object"),
        ("s3://Bucket", "does not name an S3 bucket"),
    ],
)
def test_wrong_places_in_s3_are_told_apart(
    ask_s3: Callable[..., dict[str, Finding]], uri: str, said: str
) -> None:
    """A missing bucket, an empty prefix and a malformed uri differ."""
    finding = assert_only_failure(ask_s3(uri), "location_reachable")

    assert said in finding.answer.text


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AWS_ACCESS_KEY_ID", "NOSUCHKEY", "the access key id is not known"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", "the secret key does not belong"),
        ("AWS_SECRET_ACCESS_KEY", None, "no complete AWS credentials"),
    ],
)
def test_wrong_keys_are_told_apart(
    ask_s3: Callable[..., dict[str, Finding]],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str | None,
    said: str,
) -> None:
    """A wrong key, a wrong secret and no secret differ, and the remedy names the variable."""
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)

    finding = assert_only_failure(ask_s3(), "location_reachable")

    assert said in finding.answer.text
    assert variable in finding.remedy


def test_keys_without_rights_are_told_apart(
    ask_s3: Callable[..., dict[str, Finding]],
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keys that are known but may not list name the permission."""
    for name, value in s3_server.stranger.environment.items():
        monkeypatch.setenv(name, value)

    finding = assert_only_failure(ask_s3(), "location_reachable")

    assert "access was denied" in finding.answer.text
    assert "s3:ListBucket" in finding.remedy


def test_a_wrong_region_is_told_apart(aws_region_stub: str) -> None:
    """A bucket in another region names the setting."""
    settings = offline("s3://bucket/x", s3_region="us-west-2", s3_endpoint_url=aws_region_stub)

    finding = assert_only_failure(ask(settings), "location_reachable")

    assert "the bucket is in the region eu-central-1" in finding.answer.text
    assert "DBMINER_S3_REGION" in finding.remedy
