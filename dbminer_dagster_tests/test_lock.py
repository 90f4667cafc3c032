"""The lock files: what they install is what `pyproject.toml` asks for, the same everywhere."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
RUNTIME, DEVELOPMENT = "requirements.lock", "requirements-dev.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD = PROJECT["dependency-groups"]["build"]
ASKED = {
    RUNTIME: [*PROJECT["project"]["dependencies"], *BUILD],
    DEVELOPMENT: [
        *PROJECT["project"]["dependencies"],
        *BUILD,
        *PROJECT["dependency-groups"]["dev"],
    ],
}


def pins(lock: str) -> dict[str, str]:
    """Version of each locked package; of several, by platform or Python, the last."""
    found = re.findall(r"^([\w.\[\]-]+)==([^\s;]+)", (ROOT / lock).read_text(), re.MULTILINE)
    return {canonicalize_name(name.partition("[")[0]): version for name, version in found}


@pytest.mark.parametrize("lock", [RUNTIME, DEVELOPMENT])
def test_the_lock_holds_what_the_project_asks_for(lock: str) -> None:
    """Every dependency is locked, at a version that the project allows."""
    locked = pins(lock)
    for line in ASKED[lock]:
        asked = Requirement(line)
        assert asked.specifier.contains(locked[canonicalize_name(asked.name)]), line


def test_development_has_the_versions_of_run_time() -> None:
    """Tests run on what users get: the development lock only adds to the other."""
    assert pins(RUNTIME).items() <= pins(DEVELOPMENT).items()


@pytest.mark.parametrize("lock", [RUNTIME, DEVELOPMENT])
def test_every_pin_has_hashes_and_no_address(lock: str) -> None:
    """A lock names no place to download from, and everything it names is checked by hash."""
    text = (ROOT / lock).read_text()
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)

    assert "://" not in text
    assert all("--hash=sha256:" in entry for entry in entries if entry.strip())
