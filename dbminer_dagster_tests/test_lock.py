"""The lock files: what they install is what `pyproject.toml` asks for, the same everywhere."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
RUNTIME, DEVELOPMENT = "requirements.lock", "requirements-dev.lock"
DEPLOYMENT = "requirements-deploy.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD = PROJECT["dependency-groups"]["build"]
ASKED = {
    RUNTIME: [*PROJECT["project"]["dependencies"], *BUILD],
    DEPLOYMENT: [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["deploy"],
        *BUILD,
    ],
    DEVELOPMENT: [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["deploy"],
        *BUILD,
        *PROJECT["dependency-groups"]["dev"],
    ],
}


def pins(lock: str) -> dict[str, str]:
    """Version of each locked package; of several, by platform or Python, the last."""
    found = re.findall(r"^([\w.\[\]-]+)==([^\s;]+)", (ROOT / lock).read_text(), re.MULTILINE)
    return {canonicalize_name(name.partition("[")[0]): version for name, version in found}


@pytest.mark.parametrize("lock", [RUNTIME, DEPLOYMENT, DEVELOPMENT])
def test_the_lock_holds_what_the_project_asks_for(lock: str) -> None:
    """Every dependency is locked, at a version that the project allows."""
    locked = pins(lock)
    for line in ASKED[lock]:
        asked = Requirement(line)
        assert asked.specifier.contains(locked[canonicalize_name(asked.name)]), line


def test_development_has_the_versions_of_run_time() -> None:
    """Tests run on what users get: each lock only adds to the one before."""
    assert pins(RUNTIME).items() <= pins(DEPLOYMENT).items() <= pins(DEVELOPMENT).items()


def test_a_deployment_gets_no_development_packages() -> None:
    """Nothing that only tests need is locked for deployments."""
    only_for_tests = {Requirement(each).name for each in PROJECT["dependency-groups"]["dev"]}

    assert not only_for_tests & pins(DEPLOYMENT).keys() - pins(RUNTIME).keys()


@pytest.mark.parametrize("lock", [RUNTIME, DEPLOYMENT, DEVELOPMENT])
def test_every_pin_has_hashes_and_no_address(lock: str) -> None:
    """A lock names no place to download from, and everything it names is checked by hash."""
    text = (ROOT / lock).read_text()
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)

    assert "://" not in text
    assert all("--hash=sha256:" in entry for entry in entries if entry.strip())
