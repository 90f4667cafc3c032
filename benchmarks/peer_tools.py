"""The tools that are compared, each in an environment of its own, made when it is first needed."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WORKER = Path(__file__).with_name("peer_worker.py")


@dataclass(frozen=True, slots=True)
class Peer:
    """Another tool, in one way of using it.

    Attributes:
        key: As the worker knows it.
        requirement: What is installed.
        title: As it is printed, with room for the version.
    """

    key: str
    requirement: str
    title: str


DATAHUB = "acryl-datahub[sql-parser]==1.7.0.17"
SQLLINEAGE = "sqllineage==1.5.9"
PEERS = (
    Peer("datahub", DATAHUB, "DataHub {version}"),
    Peer("datahub_tables", DATAHUB, "DataHub {version}, tables only"),
    Peer("sqllineage", SQLLINEAGE, "sqllineage {version}, `databricks`"),
    Peer("sqllineage_plain", SQLLINEAGE, "sqllineage {version}, `non-validating`"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a tool found in some texts.

    Attributes:
        title: Of the tool, with its version.
        cpu_seconds: Processor time, start and imports left out.
        reads: The tables that each text reads; none where the tool gave up.
    """

    title: str
    cpu_seconds: float
    reads: Sequence[frozenset[str] | None]


def reading_of(peer: Peer, texts: Sequence[str], warm_up: Sequence[str], folder: Path) -> Reading:
    """Runs the tool over the texts, in one process.

    Args:
        peer: The tool.
        texts: Measured.
        warm_up: Other texts, which the tool sees before.
        folder: Gets environments and intermediate files.
    """
    python = _installed(peer, folder)
    texts_file, results_file = folder / "texts.json", folder / f"{peer.key}.json"
    texts_file.write_text(json.dumps({"measured": texts, "warm_up": warm_up}))
    subprocess.run(
        [python, WORKER, peer.key, texts_file, results_file], check=True, cwd=WORKER.parent
    )
    found = json.loads(results_file.read_text())
    reads = [names if names is None else frozenset(names) for names in found["reads"]]
    return Reading(peer.title.format(**found), found["cpu_seconds"], reads)


def _installed(peer: Peer, folder: Path) -> Path:
    """The Python of the tool's environment."""
    environment = folder / "environments" / peer.requirement
    python = environment / "bin" / "python"
    done = environment / "complete"
    if not done.exists():
        uv = [sys.executable, "-m", "uv", "--quiet"]
        subprocess.run(
            [*uv, "venv", "--clear", "--python", sys.executable, environment], check=True
        )
        subprocess.run([*uv, "pip", "install", "--python", python, peer.requirement], check=True)
        done.touch()
    return python
