"""How many requests the workspace takes: in a second of each kind, and at once."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from dbminer_dagster_tests.databricks_emulator.api_error import ApiError

RequestKind = Literal["table_lineage", "column_lineage", "query_history", "listings"]
_KINDS: dict[str, RequestKind] = {
    "/api/2.0/lineage-tracking/table-lineage": "table_lineage",
    "/api/2.0/lineage-tracking/column-lineage": "column_lineage",
    "/api/2.0/sql/history/queries": "query_history",
    "/api/2.1/unity-catalog/catalogs": "listings",
    "/api/2.1/unity-catalog/schemas": "listings",
    "/api/2.1/unity-catalog/tables": "listings",
    "/api/2.1/unity-catalog/table-summaries": "listings",
}
_WINDOW_S = 1.0


class RateLimits:
    """Refuses what goes over the limits with a 429. Safe to use from any thread.

    Attributes:
        table_lineage: Requests in any one second that are answered; None lifts the limit.
        column_lineage: As above.
        query_history: As above.
        listings: As above; all listings of Unity Catalog share it.
        most_parallel: REST requests that may be in work at once; None lifts the limit.
        retry_after_s: `Retry-After` of a refusal; no such header when None.
        accepted: Requests that were let through, by kind.
        refused: Requests that were refused, by kind; `parallel` counts those over `most_parallel`.
        most_parallel_requests: The greatest number of REST requests that were in work at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.table_lineage: float | None = None
        self.column_lineage: float | None = None
        self.query_history: float | None = None
        self.listings: float | None = None
        self.most_parallel: int | None = None
        self.retry_after_s: int | None = 1
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.most_parallel_requests = 0
        self._clock = clock
        self._in_work = 0
        self._recent: dict[str, deque[float]] = {kind: deque() for kind in set(_KINDS.values())}
        self._lock = threading.Lock()

    @contextmanager
    def admitted(self, path: str) -> Iterator[None]:
        """Lets a REST request through for as long as it is in work.

        Raises:
            ApiError: It goes over a limit.
        """
        if not path.startswith("/api/"):
            yield
            return
        self._enter(_KINDS.get(path))
        try:
            yield
        finally:
            with self._lock:
                self._in_work -= 1

    def _enter(self, kind: RequestKind | None) -> None:
        with self._lock:
            if self.most_parallel is not None and self._in_work >= self.most_parallel:
                self.refused["parallel"] += 1
                message = f"exceeded the concurrent limit of {self.most_parallel} requests"
                raise self._refusal(message)
            if kind:
                self._count(kind)
            self._in_work += 1
            self.most_parallel_requests = max(self.most_parallel_requests, self._in_work)

    def _count(self, kind: RequestKind) -> None:
        """Counts a request against the limit of its kind; refused ones use up nothing."""
        limit: float | None = getattr(self, kind)
        if limit is not None:
            recent, now = self._recent[kind], self._clock()
            while recent and recent[0] <= now - _WINDOW_S:
                recent.popleft()
            if len(recent) >= limit:
                self.refused[kind] += 1
                raise self._refusal("Too many requests. Please wait a moment and try again.")
            recent.append(now)
        self.accepted[kind] += 1

    def _refusal(self, message: str) -> ApiError:
        wait = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return ApiError(429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": message}, wait)
