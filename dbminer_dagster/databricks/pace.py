"""How fast one kind of request may be sent: a set rate, less while the server refuses."""

import threading
import time
from collections.abc import Callable

SLOWED = 0.8
"""What is left of the rate after a refusal."""
RECOVERY_SECONDS = 30.0
"""Time in which a rate of zero would rise to the whole of the set one."""
LOWEST_SHARE = 0.02


class Pace:
    """Spreads requests evenly over time; safe to use from any thread.

    A refusal slows all threads down at once: nobody sends before the time that the server asked
    for, and from then on at a lower rate, which rises again while nothing is refused. So it finds
    a limit that nobody documents.

    Attributes:
        per_second: The set rate, which is never exceeded.
        sent: Requests that were let through so far, repeated ones too.
        refused: Those of them that the server refused.
    """

    def __init__(
        self,
        per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.per_second = per_second
        self.sent = self.refused = 0
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._share = 1.0
        self._share_at = self._next = self._paused_until = clock()

    def wait(self) -> None:
        """Returns when the next request may be sent."""
        while True:
            with self._lock:
                now = self._clock()
                turn = max(self._next, now)
                self._next = turn + 1 / self._rate(now)
            self._sleep(turn - now)
            with self._lock:
                # A refusal in the meantime takes the turn away.
                if turn >= self._paused_until:
                    self.sent += 1
                    return

    def slow_down(self, after_s: float) -> None:
        """Notes a refusal.

        Args:
            after_s: Nothing is sent for so long.
        """
        with self._lock:
            now = self._clock()
            self.refused += 1
            # Requests that were under way together are refused together: that is one refusal.
            if now >= self._share_at:
                self._share = max(self._rate(now) / self.per_second * SLOWED, LOWEST_SHARE)
                self._share_at = now + after_s
            self._paused_until = max(self._paused_until, now + after_s)
            self._next = max(self._next, self._paused_until)

    def _rate(self, now: float) -> float:
        recovered = max(0.0, now - self._share_at) / RECOVERY_SECONDS
        return self.per_second * min(1.0, self._share + recovered)
