"""S3: every failure has its own message, and Delta tables work on a real server."""

import dataclasses
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pytest

from dbminer_dagster.errors import LocationError, StorageError
from dbminer_dagster.s3 import (
    S3Location,
    probe_readable,
    probe_writable,
    s3_client,
    storage_options,
)
from dbminer_dagster_tests.s3_server import Identity, S3Server

STUB_REGION = "eu-central-1"


@pytest.fixture
def location(s3_server: S3Server, s3_prefix: str) -> S3Location:
    """A fresh place on the real server."""
    return S3Location.parse(s3_prefix, region=s3_server.region, endpoint_url=s3_server.endpoint_url)


def become(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in identity.environment.items():
        monkeypatch.setenv(name, value)


def put(location: S3Location, name: str) -> None:
    key = f"{location.prefix}/{name}"
    s3_client(location).put_object(Bucket=location.bucket, Key=key, Body=b"x")


def keys(location: S3Location) -> list[str]:
    answer = s3_client(location).list_objects_v2(Bucket=location.bucket, Prefix=location.prefix)
    return [found["Key"] for found in answer.get("Contents", ())]


def unreadable(location: S3Location) -> str:
    with pytest.raises(LocationError) as caught:
        probe_readable(location)
    assert location.uri in str(caught.value)
    assert os.environ.get("AWS_SECRET_ACCESS_KEY", "none set") not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix", "canonical"),
    [
        ("s3://bucket/a/b", "bucket", "a/b", "s3://bucket/a/b"),
        ("s3://bucket/a/b/", "bucket", "a/b", "s3://bucket/a/b"),
        ("s3://my.bucket-1/day=2026-01-01", "my.bucket-1", "day=2026-01-01", None),
        ("s3://bucket", "bucket", "", "s3://bucket"),
        ("s3://bucket/", "bucket", "", "s3://bucket"),
    ],
)
def test_uri_is_read(uri: str, bucket: str, prefix: str, canonical: str | None) -> None:
    """A uri is a bucket and a prefix, and slashes at the ends do not matter."""
    location = S3Location.parse(uri, region=None, endpoint_url=None)
    assert (location.bucket, location.prefix) == (bucket, prefix)
    assert location.uri == (canonical or uri)


@pytest.mark.parametrize(
    "uri",
    [
        "bucket/prefix",
        "/local/folder",
        "gs://bucket/prefix",
        "s3:/bucket/prefix",
        "s3://",
        "s3:///prefix",
        "s3://Bucket/prefix",
        "s3://b/prefix",
        "s3://bucket/a//b",
        "s3://bucket/a/../b",
        "s3://bucket/.",
        "s3://bucket/a b",
        "s3://bucket/ä",
        "s3://bucket/a%20b",
        "s3://bucket/*.json",
        "s3://bucket/a?b",
        "s3://bucket/a\n",
    ],
)
def test_malformed_uri_is_refused(uri: str) -> None:
    """A malformed uri, or one that the clients would spell differently, names the settings."""
    with pytest.raises(LocationError, match=r"DBMINER_STORAGE_URI or DBMINER_OFFLINE_URI"):
        S3Location.parse(uri, region=None, endpoint_url=None)


@pytest.mark.parametrize(
    "uri", ["s3://KEY:hush/hush@bucket/prefix", "s3://bucket/prefix?X-Amz-Signature=hush"]
)
def test_keys_in_uri_are_not_shown(uri: str) -> None:
    """Keys or a signature that somebody wrote into the uri stay out of the message."""
    with pytest.raises(LocationError) as caught:
        S3Location.parse(uri, region=None, endpoint_url=None)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("region", "endpoint_url", "variable"),
    [
        ("eu central 1", None, "DBMINER_S3_REGION"),
        (None, "localhost:9000", "DBMINER_S3_ENDPOINT_URL"),
        (None, "http://", "DBMINER_S3_ENDPOINT_URL"),
        (None, "http://localhost:port", "DBMINER_S3_ENDPOINT_URL"),
        (None, "http://user:hush@localhost", "DBMINER_S3_ENDPOINT_URL"),
    ],
)
def test_malformed_store_is_refused(
    region: str | None, endpoint_url: str | None, variable: str
) -> None:
    """A malformed region or endpoint names its variable, without a password in it."""
    with pytest.raises(LocationError, match=variable) as caught:
        S3Location.parse("s3://bucket/prefix", region=region, endpoint_url=endpoint_url)
    assert "hush" not in str(caught.value)


def test_readable_and_writable(location: S3Location) -> None:
    """A good location passes both probes, and the probe for writing leaves nothing behind."""
    put(location, "part-0")
    probe_readable(location)
    probe_writable(location)
    assert keys(location) == [f"{location.prefix}/part-0"]


def test_whole_bucket(location: S3Location) -> None:
    """A location without a prefix is the whole bucket."""
    put(location, "part-0")
    whole = dataclasses.replace(location, prefix="")
    probe_readable(whole)
    probe_writable(whole)


def test_missing_credentials(location: S3Location, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without keys anywhere, both the probe and the options for Polars say so."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no complete AWS credentials were found" in unreadable(location)
    with pytest.raises(LocationError, match="no complete AWS credentials were found"):
        storage_options(location)


def test_half_of_the_credentials(location: S3Location, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key without its secret counts as no credentials."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no complete AWS credentials were found" in unreadable(location)


def test_missing_profile(location: S3Location, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that does not exist is named as the cause."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "the AWS profile does not exist" in unreadable(location)


def test_unknown_key(location: S3Location, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key id that the store does not know is told apart from a wrong secret."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "UNKNOWN")
    assert "the access key id is not known there" in unreadable(location)


def test_wrong_secret(location: S3Location, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong secret is told apart from an unknown key id, and not shown."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-hush")
    message = unreadable(location)
    assert "the secret key does not belong to the access key id" in message
    assert "hush" not in message


def test_missing_bucket(location: S3Location) -> None:
    """A bucket that does not exist is told apart from an empty prefix, reading and writing."""
    elsewhere = dataclasses.replace(location, bucket="no-such-bucket")
    assert "the bucket does not exist" in unreadable(elsewhere)
    with pytest.raises(LocationError, match="the bucket does not exist"):
        probe_writable(elsewhere)


def test_list_not_allowed(
    s3_server: S3Server, location: S3Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where listing is not allowed, the message names the action and the resource to allow."""
    become(s3_server.stranger, monkeypatch)
    assert f"Allow s3:ListBucket on arn:aws:s3:::{location.bucket} to" in unreadable(location)


def test_read_only(
    s3_server: S3Server, location: S3Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may only read passes the one probe, and the other names both actions to allow."""
    put(location, "part-0")
    become(s3_server.reader, monkeypatch)
    probe_readable(location)
    with pytest.raises(LocationError) as caught:
        probe_writable(location)
    resource = f"arn:aws:s3:::{location.bucket}/{location.prefix}/*"
    assert f"Allow s3:PutObject and s3:DeleteObject on {resource}" in str(caught.value)
    assert s3_server.reader.secret_key not in str(caught.value)


@pytest.mark.parametrize("marker", [None, ""])
def test_empty_prefix(location: S3Location, marker: str | None) -> None:
    """A prefix without an object is no source, nor is one with only the marker of a folder."""
    if marker is not None:
        put(location, marker)
    assert "it holds no object" in unreadable(location)


def test_prefix_is_a_folder(location: S3Location) -> None:
    """Objects of another prefix that starts alike do not count."""
    put(location, "logs-old/part-0")
    logs = dataclasses.replace(location, prefix=f"{location.prefix}/logs")
    assert "it holds no object" in unreadable(logs)


@pytest.mark.parametrize("bucket", ["bucket", "strict-bucket"])
def test_wrong_region(aws_region_stub: str, bucket: str) -> None:
    """A store that wants another region is not followed there; the message names both regions."""
    uri = f"s3://{bucket}/logs"
    wrong = S3Location.parse(uri, region="us-west-2", endpoint_url=aws_region_stub)
    message = unreadable(wrong)
    assert "the bucket is in the region eu-central-1, not in us-west-2" in message
    assert "Set DBMINER_S3_REGION=eu-central-1." in message
    with pytest.raises(LocationError, match="in the region eu-central-1, not in us-west-2"):
        probe_writable(wrong)
    probe_readable(dataclasses.replace(wrong, region=STUB_REGION))


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_region_of_the_chain(
    aws_region_stub: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Without a region of its own dbminer takes that of AWS, in all clients alike."""
    monkeypatch.setenv(variable, STUB_REGION)
    location = S3Location.parse("s3://bucket/logs", region=None, endpoint_url=aws_region_stub)
    probe_readable(location)
    assert storage_options(location)["aws_region"] == STUB_REGION


def test_expired_token(aws_region_stub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expired session token is named as such, and the token is handed to Polars too."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "expired")
    location = S3Location.parse(
        "s3://bucket/logs", region=STUB_REGION, endpoint_url=aws_region_stub
    )
    assert "the session token has expired" in unreadable(location)
    assert storage_options(location)["aws_session_token"] == "expired"


def test_store_without_conditional_writes(aws_region_stub: str) -> None:
    """A store that lets writers undo each other's commits is refused before anything is lost."""
    location = S3Location.parse(
        "s3://bucket/logs", region=STUB_REGION, endpoint_url=aws_region_stub
    )
    with pytest.raises(StorageError, match="ignores conditional writes"):
        probe_writable(location)


def test_unreachable_endpoint(location: S3Location) -> None:
    """Where nobody listens, the probes and Delta fail within seconds, and the probe says why."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = dataclasses.replace(
            location, endpoint_url=f"http://127.0.0.1:{taken.getsockname()[1]}"
        )
        started = time.monotonic()
        assert "the endpoint cannot be reached" in unreadable(dead)
        with pytest.raises(OSError, match="Connection refused"):
            pl.scan_delta(dead.uri, storage_options=storage_options(dead)).collect()
    assert time.monotonic() - started < 20


def test_silent_endpoint(location: S3Location) -> None:
    """Where connections are dropped without a word, Delta gives up in less than 15 seconds."""
    with ExitStack() as sockets:
        full = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            caller = sockets.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        dead = dataclasses.replace(
            location, endpoint_url=f"http://127.0.0.1:{full.getsockname()[1]}"
        )
        started = time.monotonic()
        with pytest.raises(OSError, match="error sending request"):
            pl.scan_delta(dead.uri, storage_options=storage_options(dead)).collect()
    assert time.monotonic() - started < 15


def test_endpoint_without_a_trusted_certificate(location: S3Location) -> None:
    """An endpoint that does not speak https properly is told apart from an unreachable one."""
    assert location.endpoint_url
    https = location.endpoint_url.replace("http:", "https:")
    message = unreadable(dataclasses.replace(location, endpoint_url=https))
    assert "the endpoint does not show a certificate that is trusted" in message


def test_options_hide_credentials(location: S3Location) -> None:
    """The text form of the options shows where they lead, and no credential."""
    options = storage_options(location)
    assert options["aws_endpoint_url"] in f"{options}"
    for secret in ("aws_access_key_id", "aws_secret_access_key"):
        assert options[secret] not in f"{options} {options!r}"


def test_options_are_fresh(location: S3Location, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials are resolved at each call, since those of a role expire."""
    before = storage_options(location)["aws_access_key_id"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ROTATED")
    assert storage_options(location)["aws_access_key_id"] == "ROTATED" != before


def test_plain_http_only_where_asked(no_aws: pytest.MonkeyPatch) -> None:
    """Plain http is allowed for an http endpoint only, never for AWS or an https endpoint."""
    no_aws.setenv("AWS_ACCESS_KEY_ID", "KEY")
    no_aws.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    for endpoint_url, allowed in [(None, False), ("https://a.b", False), ("http://a.b", True)]:
        location = S3Location.parse("s3://bucket/x", region=None, endpoint_url=endpoint_url)
        assert ("aws_allow_http" in storage_options(location)) is allowed


def test_profile_gives_the_credentials(
    location: S3Location, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Keys of a profile in a file serve boto3 and Delta as well as keys in the environment."""
    options = storage_options(location)
    (tmp_path / "credentials").write_text(
        f"[miner]\naws_access_key_id = {options['aws_access_key_id']}\n"
        f"aws_secret_access_key = {options['aws_secret_access_key']}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "miner")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    pl.LazyFrame({"a": [1]}).sink_delta(location.uri, storage_options=storage_options(location))
    probe_readable(location)


def test_delta_round_trip(location: S3Location) -> None:
    """A Delta table written through the options is read back, under any accepted prefix."""
    table = dataclasses.replace(location, prefix=f"{location.prefix}/a!_.'(b)@:+,$&-c")
    table = S3Location.parse(table.uri, region=table.region, endpoint_url=table.endpoint_url)
    frame = pl.DataFrame({"day": ["x", "y"], "n": [1, 2]})
    frame.lazy().sink_delta(
        table.uri,
        delta_write_options={"partition_by": ["day"]},
        storage_options=storage_options(table),
    )
    found = pl.scan_delta(table.uri, storage_options=storage_options(table)).sort("n").collect()
    assert found.equals(frame)


def test_partition_like_prefix(location: S3Location) -> None:
    """A prefix with `=` may be read, but not hold tables: readers would see one more column."""
    partition = dataclasses.replace(location, prefix=f"{location.prefix}/env=prod")
    put(partition, "part-0")
    probe_readable(partition)
    with pytest.raises(StorageError, match="for a partition column"):
        probe_writable(partition)


def test_concurrent_appenders_lose_nothing(location: S3Location) -> None:
    """Of eight writers that commit to one table at once, none loses a row."""
    writers, rounds = 8, 3
    pl.LazyFrame({"n": [-1]}).sink_delta(location.uri, storage_options=storage_options(location))

    def append(writer: int) -> None:
        for n in range(rounds):
            pl.LazyFrame({"n": [writer * rounds + n]}).sink_delta(
                location.uri, mode="append", storage_options=storage_options(location)
            )

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(append, range(writers)))
    found = pl.scan_delta(location.uri, storage_options=storage_options(location)).collect()
    assert sorted(found["n"]) == list(range(-1, writers * rounds))


def test_unknown_store_error_is_passed_on(location: S3Location) -> None:
    """An answer without a meaning of its own is shown with the code of the store."""
    long = dataclasses.replace(location, prefix=f"{location.prefix}/" + "x" * 2000)
    with pytest.raises(LocationError, match=r"the store answered \w+"):
        probe_writable(long)
