"""Runs the `dbminer` command many times: each is forked from a process that has imported it.

Importing it takes seconds, which a test that kills it again and again cannot spend each time. On
standard input: a JSON list of arguments a line. On standard output: `ready`, then for each line
the id of the process, and its exit status when it has ended.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Nursery:
    """The process that forks.

    Attributes:
        output: What the last command printed.
    """

    output: Path
    _process: subprocess.Popen[str]

    def start(self, *arguments: str) -> int:
        """Starts the command, and gives its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([str(self.output), *arguments]) + "\n")
        self._process.stdin.flush()
        return int(self._line())

    def wait(self) -> int:
        """The exit status of the command, once it has ended; negative for a signal."""
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def run_nursery(folder: Path, environment: Mapping[str, str]) -> Iterator[Nursery]:
    """Starts it for a block.

    Args:
        folder: Where commands run.
        environment: Theirs.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    nursery = Nursery(folder / "output.txt", process)
    with process:
        assert nursery._line() == "ready\n"  # noqa: SLF001 - the first thing that it says
        yield nursery
        process.communicate()


def _serve() -> None:
    import_module("boto3")
    import_module("dbminer_dagster.extraction.run")
    from dbminer_dagster.cli import main

    print("ready", flush=True)  # noqa: T201 - the protocol
    for line in sys.stdin:
        output, *arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(Path(output))
            main(arguments, prog_name="dbminer")
        print(child, flush=True)  # noqa: T201 - the protocol
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the protocol


def _become(output: Path) -> None:
    """Takes the streams of the parent from the child, which must not speak its protocol."""
    nothing, written = os.open(os.devnull, os.O_RDONLY), output.open("wb")
    os.dup2(nothing, 0)
    for stream in (1, 2):
        os.dup2(written.fileno(), stream)


if __name__ == "__main__":
    _serve()
