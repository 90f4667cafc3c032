"""How much memory processes hold, with all that they started."""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from dbminer_dagster_tests.e2e.deployment import children

POLL_S = 2
SHARE = "Pss:"


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    return [pid, *(each for child in children(pid) for each in family(child))]


def held_mb(pid: int) -> float:
    """Memory of one process; what it shares counts in parts. 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(SHARE))


class MemoryWatch:
    """Watches families of processes while it is entered.

    Attributes:
        peak_mb: The most that each family ever held.
    """

    def __init__(self, families: Callable[[], Mapping[str, list[int]]]) -> None:
        self.peak_mb: defaultdict[str, float] = defaultdict(float)
        self._families = families
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def now_mb(self) -> dict[str, float]:
        """What each family holds at the moment."""
        return {name: sum(map(held_mb, pids)) for name, pids in self._families().items()}

    def _watch(self) -> None:
        while not self._is_over.wait(POLL_S):
            for name, held in self.now_mb().items():
                self.peak_mb[name] = max(self.peak_mb[name], held)
