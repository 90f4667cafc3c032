"""Fixtures that several test modules share."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from dbminer_dagster_tests.aws_region_stub import run_region_stub
from dbminer_dagster_tests.s3_server import S3Server, run_s3_server

if TYPE_CHECKING:
    from dbminer_dagster_tests.databricks_emulator import Emulator


@pytest.fixture(scope="module")
def stored_instance() -> Iterator[dg.DagsterInstance]:
    """An instance that can be referred to, as a tick does; `ephemeral()` cannot."""
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def instance(stored_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """The same without runs and events, which is ten times faster than a new one."""
    stored_instance.wipe()
    return stored_instance


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server on loopback with one bucket; take `s3_prefix` along to have its keys set."""
    with run_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without any setting of AWS, in which loopback is reached without a proxy."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "no-such-file"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


@pytest.fixture
def s3_prefix(s3_server: S3Server, no_aws: pytest.MonkeyPatch) -> str:
    """A fresh `s3://bucket/prefix`, with the keys of the server's admin in the environment."""
    for name, value in s3_server.admin.environment.items():
        no_aws.setenv(name, value)
    return f"s3://{s3_server.bucket}/{uuid.uuid4().hex}"


@pytest.fixture
def aws_region_stub(no_aws: pytest.MonkeyPatch) -> Iterator[str]:
    """The endpoint of a store that, like AWS, insists on its region, eu-central-1."""
    no_aws.setenv("AWS_ACCESS_KEY_ID", "STUBKEY")
    no_aws.setenv("AWS_SECRET_ACCESS_KEY", "stub-secret-77aa")
    with run_region_stub() as endpoint_url:
        yield endpoint_url


@pytest.fixture
def databricks_emulator() -> Iterator["Emulator"]:
    """A Databricks workspace on loopback, in which everything is granted; see `Workspace`."""
    from dbminer_dagster_tests.databricks_emulator import run_emulator

    with run_emulator() as emulator:
        yield emulator


@pytest.fixture
def no_databricks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without any setting of ours, Databricks' or Azure's, nor a profile of them."""
    for name in list(os.environ):
        if name.startswith(("DBMINER_", "DATABRICKS_", "ARM_")):
            monkeypatch.delenv(name)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # where a `.env` file would count
    return monkeypatch
