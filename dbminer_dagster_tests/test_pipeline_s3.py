"""Whole runs with the files and the result tables on a real S3 server."""

from datetime import timedelta
from pathlib import Path

import boto3
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sample_generator import generate

from dbminer_dagster.schemas import TABLES
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline, failures
from dbminer_dagster_tests.s3_server import S3Server

WINDOW = Window(FIRST_DAY, FIRST_DAY + timedelta(days=12))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A small company, mined from a folder into a folder."""
    folder = tmp_path_factory.mktemp("offline")
    generate(folder, first_day=FIRST_DAY, days=12, statements_per_day=60, seed=5)
    return Pipeline(str(folder), str(tmp_path_factory.mktemp("storage"))).mined(WINDOW)


@pytest.fixture
def remote(
    local: Pipeline, s3_server: S3Server, s3_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Pipeline:
    """The same files under an S3 prefix, and a prefix for the tables."""
    monkeypatch.setenv("DBMINER_S3_ENDPOINT_URL", s3_server.endpoint_url)
    monkeypatch.setenv("DBMINER_S3_REGION", s3_server.region)
    client = boto3.client("s3", endpoint_url=s3_server.endpoint_url, region_name=s3_server.region)
    prefix = s3_prefix.removeprefix(f"s3://{s3_server.bucket}/")
    for file in Path(local.offline).rglob("result-*"):
        key = f"{prefix}/offline/{file.relative_to(local.offline)}"
        client.upload_file(str(file), s3_server.bucket, key)
    return Pipeline(f"{s3_prefix}/offline", f"{s3_prefix}/tables")


def test_tables_on_s3_equal_tables_in_a_folder(
    local: Pipeline, remote: Pipeline, s3_server: S3Server
) -> None:
    """Mining from S3 into S3 gives the same tables as mining from a folder into a folder."""
    remote.mined(WINDOW)

    storage = DeltaStorage(remote.storage, s3_server.region, s3_server.endpoint_url)
    for table in TABLES.values():
        stored: pl.DataFrame = storage.scan(table, WINDOW).collect()
        expected = local.table(table.name)
        assert_frame_equal(expected, stored, check_row_order=False, check_exact=True)


@pytest.mark.parametrize(
    ("environment", "offline", "expected"),
    [
        pytest.param({"AWS_ACCESS_KEY_ID": "NOSUCHKEY"}, None, "access key", id="wrong key"),
        pytest.param({"AWS_SECRET_ACCESS_KEY": "wrong"}, None, "secret", id="wrong secret"),
        pytest.param({}, "s3://no-such-bucket/x", "does not exist", id="missing bucket"),
        pytest.param({}, "s3://dbminer-test/no/such", "no object", id="missing prefix"),
    ],
)
def test_each_fault_of_the_location_has_its_own_message(
    remote: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    offline: str | None,
    expected: str,
) -> None:
    """A run that cannot reach its files fails with one message that names fault and remedy."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    pipeline = Pipeline(offline or remote.offline, remote.storage)

    result = pipeline.mine(WINDOW)

    assert not result.success
    assert expected in failures(result).lower()
    assert "admin-secret" not in failures(result)


def test_read_only_storage_is_told_before_the_work(
    remote: Pipeline, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storage that may not be written is named, with the rights that it takes, before any read."""
    for name, value in s3_server.reader.environment.items():
        monkeypatch.setenv(name, value)

    result = remote.mine(WINDOW)

    assert not result.success
    assert "s3:PutObject" in failures(result)
