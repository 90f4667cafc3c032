"""How far an extraction is, and how long it will still take."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

SECONDS_BETWEEN_LINES = 10.0
SECONDS_A_MINUTE = 60


class Progress(Protocol):
    """Takes counts and shows them; called from any thread, as often as there is news."""

    def update(self, done: int, total: int, what: str) -> None:
        """Notes how far one kind of work is.

        Args:
            done: How many are done.
            total: How many there are, as far as is known now.
            what: They are called so, such as `tables`.
        """


@dataclass(slots=True)
class _Work:
    """One kind of work: where it stood when it was first heard of, and where it stands now."""

    began_at: float
    done_before: int
    done: int
    total: int

    def seconds_left(self, now: float) -> float | None:
        """At the speed so far; None while there is none."""
        left, fresh = self.total - self.done, self.done - self.done_before
        if left <= 0:
            return 0.0
        return left * (now - self.began_at) / fresh if fresh else None


class ProgressLines:
    """Progress as lines of text, at most one every few seconds.

    Kinds of work are done side by side, so the slowest one tells when all is done. What a resumed
    extraction had done before does not count as its speed.
    """

    def __init__(
        self,
        show: Callable[[str], object],
        *,
        seconds_between: float = SECONDS_BETWEEN_LINES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._show, self._seconds_between, self._clock = show, seconds_between, clock
        self._lock = threading.Lock()
        self._works: dict[str, _Work] = {}
        self._shown_at = clock()

    def update(self, done: int, total: int, what: str) -> None:
        """See `Progress.update`."""
        with self._lock:
            now = self._clock()
            work = self._works.setdefault(what, _Work(now, done, done, total))
            work.done, work.total = done, total
            if now - self._shown_at < self._seconds_between:
                return
            self._shown_at = now
            line = self._line(now)
        self._show(line)

    def seconds_left(self) -> float | None:
        """The estimate; None while there is nothing to estimate by."""
        with self._lock:
            return self._seconds_left(self._clock())

    def _seconds_left(self, now: float) -> float | None:
        left = [work.seconds_left(now) for work in self._works.values()]
        known = [seconds for seconds in left if seconds is not None]
        return max(known) if known and len(known) == len(left) else None

    def _line(self, now: float) -> str:
        counts = ", ".join(
            f"{work.done:,} of {work.total:,} {what}" for what, work in self._works.items()
        )
        seconds = self._seconds_left(now)
        return counts if seconds is None else f"{counts}; about {spelled(seconds)} left"


def spelled(seconds: float) -> str:
    """A duration for people, such as `2 h 05 min`."""
    if seconds < SECONDS_A_MINUTE:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / SECONDS_A_MINUTE), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
