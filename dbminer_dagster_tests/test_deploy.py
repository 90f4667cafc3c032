"""The files of `deploy/` are valid, agree with each other, and hold no secret."""

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.workspace.load import location_origins_from_yaml_paths

from dbminer_dagster.settings import variables
from dbminer_dagster_tests.e2e.deployment import DEPLOY, PROCESSES, unit

ROOT = DEPLOY.parent
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
INSTANCE: dict[str, Any] = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
STATE = "/var/lib/dbminer"


def example(name: str) -> dict[str, str]:
    """The variables of an example of an environment file."""
    lines = (DEPLOY / f"{name}.env.example").read_text().splitlines()
    given = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {variable: value for variable, _, value in given}


def named_variables(configuration: object) -> Iterator[str]:
    """The variables that a configuration of Dagster reads."""
    match configuration:
        case {"env": str(name)}:
            yield name
        case dict():
            for value in configuration.values():
                yield from named_variables(value)
        case list():
            for value in configuration:
                yield from named_variables(value)


def instance_variables() -> set[str]:
    workspace = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())
    return {*named_variables(INSTANCE), *named_variables(workspace)}


def default_command() -> list[str]:
    """What the image runs when nothing else is said."""
    (command,) = re.findall(r"^CMD (\[.*?\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    return json.loads(command.replace("\\\n", ""))


def test_dagster_accepts_the_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster takes `dagster.yaml` as it is, with the limits that make recovery work."""
    for name, value in example("dagster").items():
        monkeypatch.setenv(name, value or "a-password")
    shutil.copy(DEPLOY / "dagster.yaml", tmp_path)

    settings: dict[str, Any] = dict(InstanceRef.from_dir(str(tmp_path)).settings)

    assert settings["run_monitoring"]["max_runtime_seconds"] > 0
    assert settings["run_retries"]["max_retries"] > 0
    assert settings["telemetry"] == {"enabled": False}


def test_dagster_accepts_the_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster finds the one code server of `workspace.yaml` where the environment says."""
    monkeypatch.setenv("DBMINER_CODE_SERVER_HOST", "code.example")

    (origin,) = location_origins_from_yaml_paths([str(DEPLOY / "workspace.yaml")])

    assert isinstance(origin, GrpcServerCodeLocationOrigin)
    assert (origin.location_name, origin.host, origin.port) == ("dbminer", "code.example", 4000)


def test_the_database_comes_from_the_environment() -> None:
    """`dagster.yaml` itself says nothing about the database but its driver."""
    database = INSTANCE["storage"]["postgres"]["postgres_db"]

    assert database.pop("scheme") == "postgresql+psycopg2"
    assert all(set(value) == {"env"} for value in database.values())


def test_examples_name_what_is_read() -> None:
    """The examples of environment files name what the instance reads, and settings of ours."""
    assert set(example("dagster")) == instance_variables()
    assert set(example("dbminer")) <= set(variables())
    assert set(COMPOSE["x-instance"]) == instance_variables()


def test_examples_hold_no_secret() -> None:
    """What is secret is empty in the examples; the files that are filled in are not committed."""
    given = example("dagster") | example("dbminer")
    secret = {name for name in given if re.search("PASSWORD|SECRET|TOKEN", name)}

    assert secret
    assert not any(given[name] for name in secret)
    assert "deploy/*.env" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("process", PROCESSES)
def test_commands_agree(process: str) -> None:
    """Units and containers run the same commands; only the address differs that they listen on."""
    program, *arguments = shlex.split(unit(process)["Service"]["ExecStart"])
    in_container = COMPOSE["services"][process].get("command") or default_command()

    assert Path(program).parent == Path("/opt/dbminer/bin")
    found = [Path(program).name, *arguments]
    anywhere = "0.0.0.0"  # noqa: S104 - of a container, whose ports are not published
    assert [word.replace("127.0.0.1", anywhere) for word in found] == in_container


def test_ports_agree() -> None:
    """The code server listens where the image says and is asked for its health."""
    asked = re.search(r'"grpc-health-check", "-p", "(\d+)"', DOCKERFILE)

    assert asked is not None
    assert asked[1] in default_command()
    assert f"\nEXPOSE {asked[1]}\n" in DOCKERFILE


def test_only_the_ui_is_published_and_only_to_its_host() -> None:
    """No container is reached from other hosts: neither the code server nor the UI has a login."""
    published = {
        name: each["ports"] for name, each in COMPOSE["services"].items() if "ports" in each
    }

    assert published == {"webserver": ["127.0.0.1:3000:3000"]}


def test_only_the_code_server_knows_the_workspace() -> None:
    """Credentials of the workspace reach the process that runs the code, and no other."""
    containers = {name for name, each in COMPOSE["services"].items() if "env_file" in each}
    units = {
        name
        for name in PROCESSES
        if "/etc/dbminer/dbminer.env" in (DEPLOY / f"systemd/dbminer-{name}.service").read_text()
    }

    assert containers == units == {"code-server"}


def test_everything_is_watched_and_restarted() -> None:
    """Each container has a health check and is started again; so is each unit."""
    for name, service in COMPOSE["services"].items():
        assert service["restart"] == "unless-stopped", name
        assert "healthcheck" in service or name == "code-server", name
    assert "\nHEALTHCHECK " in DOCKERFILE
    assert {unit(name)["Service"]["Restart"] for name in PROCESSES} == {"always"}


def test_state_is_where_it_may_be_written() -> None:
    """What Dagster and dbminer write lies in the one folder that containers and units keep."""
    written = [
        INSTANCE["local_artifact_storage"]["config"]["base_dir"],
        INSTANCE["compute_logs"]["config"]["base_dir"],
        example("dbminer")["DBMINER_STORAGE_URI"],
        example("dbminer")["DBMINER_WORK_FOLDER"],
    ]

    assert all(path.startswith(f"{STATE}/") for path in written)
    assert COMPOSE["x-image"]["volumes"] == [f"state:{STATE}"]
    assert {unit(name)["Service"]["StateDirectory"] for name in PROCESSES} == {Path(STATE).name}


def test_the_image_gets_what_it_copies() -> None:
    """What the Dockerfile copies exists, and `.dockerignore` lets it through, and nothing else."""
    allowed = {
        line.removeprefix("!").rstrip("/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        source.rstrip("/")
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for source in line.split()
    }

    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_runs_as_nobody_special() -> None:
    """The last user that the Dockerfile names is no root, by number, so that hosts can check it."""
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)

    assert fnmatch.fnmatch(users[-1], "[1-9]*")


def test_units_are_valid(tmp_path: Path) -> None:
    """No unit has a fault that systemd finds."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    paths = []
    for name in PROCESSES:
        path = tmp_path / f"dbminer-{name}.service"
        text = (DEPLOY / "systemd" / path.name).read_text()
        path.write_text(text.replace("/opt/dbminer/bin", str(Path(sys.executable).parent)))
        paths.append(path)

    verified = subprocess.run(
        ["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False
    )

    # It also tells of other units of the machine.
    assert [line for line in verified.stderr.splitlines() if "dbminer-" in line] == []


def cells(page: str, first: str) -> list[str]:
    """The cells of the row of a table that begins with a text."""
    lines = (ROOT / "docs" / page).read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"| {first}")]
    return [cell.strip(" *") for cell in line.strip("|").split("|")]


def test_the_sizing_table_is_that_of_the_benchmark() -> None:
    """Seconds and memory of a million statements are those that `make bench` measured last."""
    first, later = (cells("benchmarks.md", f"**{day} day, all of it") for day in ("first", "later"))
    seconds = [round(float(row[2])) for row in (later, first)]
    peak_gb = max(float(row[5].replace(",", "")) for row in (later, first)) / 1000

    assert cells("deployment.md", "1,000,000 (measured)")[1:3] == [
        f"{seconds[0]} to {seconds[1]} s",
        f"{peak_gb:.1f} GB",
    ]


def test_the_upkeep_figures_are_those_of_the_soak_test() -> None:
    """Memory of the processes and growth of the event log are those of the month."""
    text = (ROOT / "docs" / "deployment.md").read_text()
    page = (ROOT / "docs" / "soak.md").read_text()
    last = [line for line in page.splitlines() if re.match(r"\| \d+ \|", line)][-1]
    held = sum(int(cell) for cell in last.strip("| ").split("|")[4:])
    (events, kilobytes) = re.findall(r"A tick adds (\d+) events,\s+(\d+) KB", page)[0]

    assert f"held {held} MB together" in text
    assert re.search(rf"adds {events}\s+events and {int(kilobytes) / 1000:.1f} MB", text)
