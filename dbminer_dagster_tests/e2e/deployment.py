"""The deployment of `deploy/`, with its own commands and configuration, on loopback."""

import configparser
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from dbminer_dagster_tests.e2e.graphql import GraphQL, wait_until
from dbminer_dagster_tests.e2e.postgres import HOST, Postgres, free_port, wait_for_port

DEPLOY = Path(__file__).parents[2] / "deploy"
PROCESSES = ("code-server", "webserver", "daemon")
LOADED_S = 90
STOP_S = 30
WORKER = "spawn_main"


class Deployment:
    """Code server, webserver and daemon as the systemd units start them.

    Only folders and ports are other ones, and what `changes` to `dagster.yaml` say.

    Attributes:
        folder: `DAGSTER_HOME`, with the logs of the processes.
        graphql: The API of the webserver.
        url: Where its UI is.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        changes: Mapping[str, Mapping[str, object]],
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._ports = {"4000": str(free_port()), "3000": str(free_port())}
        self.url = f"http://{HOST}:{self._ports['3000']}"
        self.graphql = GraphQL(self.url)
        self._environment = {
            "HOME": str(folder),
            "PATH": os.defpath,
            "NO_PROXY": HOST,
            "DBMINER_CODE_SERVER_HOST": HOST,
            **environment,
            "DAGSTER_HOME": str(folder),
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        instance: dict[str, Any] = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
        for section, values in changes.items():
            instance[section].update(values)
        self._write("dagster.yaml", yaml.safe_dump(instance))
        self._write("workspace.yaml", (DEPLOY / "workspace.yaml").read_text())

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(self._here(text))

    def _here(self, text: str) -> str:
        """The text with this deployment's folders and ports."""
        places = {
            "/opt/dbminer/bin": str(Path(sys.executable).parent),
            "/etc/dbminer": str(self.folder),
            "/var/lib/dbminer": str(self.folder / "state"),
            **self._ports,
        }
        for shipped, ours in places.items():
            text = text.replace(shipped, ours)
        return text

    def start(self, name: str) -> None:
        """Starts a process, as systemd does after it ended; it leads a group of its own."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as stream:
            process = subprocess.Popen(
                shlex.split(self._here(unit(name)["Service"]["ExecStart"])),
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[name] = process
        port = {"code-server": "4000", "webserver": "3000"}.get(name)
        if port:
            wait_for_port(process, int(self._ports[port]), log)

    def kill(self, name: str) -> None:
        """Ends a process and all that it started at once, as the loss of its host does."""
        process = self._running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self, name: str) -> int:
        """Ends a process as systemd does; its exit status."""
        process = self._running.pop(name)
        os.killpg(process.pid, signal.SIGTERM)
        try:
            return process.wait(STOP_S)
        finally:
            with suppress(ProcessLookupError):  # all of it has ended
                os.killpg(process.pid, signal.SIGKILL)

    def pid(self, name: str) -> int | None:
        """The id of a process, which is also that of its group; None while it does not run."""
        process = self._running.get(name)
        return process.pid if process else None

    def run_workers(self) -> list[int]:
        """The ids of the processes of runs: the server of the code starts one for each."""
        servers = children(self.pid("code-server"))
        started = [pid for server in servers for pid in children(server)]
        return [pid for pid in started if WORKER in _command_line(pid)]

    def kill_run_workers(self) -> None:
        """Ends all that run at once, as the kernel does when memory is short."""
        for pid in self.run_workers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_until_loaded(self) -> None:
        """Waits until the webserver shows the code."""
        wait_until(self.graphql.is_ready, LOADED_S, f"the code at {self.url}; see {self.folder}")

    def close(self) -> None:
        """Ends all that runs."""
        for name in list(self._running):
            self.kill(name)


def children(pid: int | None) -> list[int]:
    """The processes that a process started; none once it has ended."""
    found: list[int] = []
    with suppress(OSError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, path.read_text().split())
    return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def unit(name: str) -> configparser.ConfigParser:
    """The systemd unit of a process."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[method-assign]  # names keep their case
    parser.read(DEPLOY / "systemd" / f"dbminer-{name}.service")
    return parser


@contextmanager
def run_deployment(
    folder: Path,
    postgres: Postgres,
    settings: Mapping[str, str],
    changes: Mapping[str, Mapping[str, object]],
) -> Iterator[Deployment]:
    """Runs a deployment until the block ends.

    Args:
        folder: Its own; it is made.
        postgres: Where Dagster keeps what it knows.
        settings: Variables of dbminer and of the workspace.
        changes: Values by section of `dagster.yaml`.

    Yields:
        The deployment, with its code loaded.
    """
    deployment = Deployment(folder, {**postgres.environment, **settings}, changes)
    try:
        for name in PROCESSES:
            deployment.start(name)
        deployment.wait_until_loaded()
        yield deployment
    finally:
        deployment.close()
