"""Time, processor time and peak memory of a piece of work, in a process of its own."""

import multiprocessing
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any, Self, TypeVar

Result = TypeVar("Result")

POLL_SECONDS = 0.1
PEAK = "VmHWM:"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of work took.

    Attributes:
        seconds: Elapsed time.
        cpu_seconds: Processor time of the process and of its workers.
        peak_mb: Most memory that the process ever held, its imports included.
        worker_peak_mb: The same of its biggest worker process; 0 without workers.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    worker_peak_mb: float


def in_fresh_process(
    prepare: Callable[..., Callable[[], Result]], *arguments: Any
) -> tuple[Result, Cost]:
    """Runs `prepare(*arguments)` in a new process, and measures what it returns.

    Args:
        prepare: A function of a module; what it does itself, such as imports, is not timed.
        *arguments: Its arguments.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_measured, prepare, arguments).result()


def _measured(
    prepare: Callable[..., Callable[[], Result]], arguments: tuple[Any, ...]
) -> tuple[Result, Cost]:
    work = prepare(*arguments)
    with _WorkerPeaks() as workers:
        start, cpu_start = perf_counter(), _cpu_seconds()
        result = work()
        seconds, cpu_seconds = perf_counter() - start, _cpu_seconds() - cpu_start
    return result, Cost(seconds, cpu_seconds, _own_peak_mb(), workers.biggest_mb)


def _cpu_seconds() -> float:
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _own_peak_mb() -> float:
    """The kernel's mark of this very program.

    `ru_maxrss` would do only where the kernel does not say: on Linux a new process inherits that
    of the process which started it.
    """
    return _peak_mb(Path("/proc/self/status")) or _max_rss_mb(resource.RUSAGE_SELF)


def _max_rss_mb(who: int) -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit / 1e6


def _peak_mb(status: Path) -> float:
    """Peak memory in a status file; 0 if the process has ended, or nothing tells."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(PEAK))


class _WorkerPeaks:
    """Watches the child processes while it is entered."""

    def __init__(self) -> None:
        self.biggest_mb = 0.0
        self._is_over = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        if not Path("/proc/self/status").exists():
            self.biggest_mb = _max_rss_mb(resource.RUSAGE_CHILDREN)

    def _watch(self) -> None:
        while not self._is_over.wait(POLL_SECONDS):
            for pid in _children():
                self.biggest_mb = max(self.biggest_mb, _peak_mb(Path(f"/proc/{pid}/status")))


def _children() -> list[str]:
    found: list[str] = []
    for listed in Path("/proc/self/task").glob("*/children"):
        try:
            found += listed.read_text().split()
        except OSError:  # the thread has ended
            continue
    return found
