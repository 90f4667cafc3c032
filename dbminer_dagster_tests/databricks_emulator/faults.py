"""Faults on demand: what goes wrong, with which requests, and how often."""

import random
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

FaultKind = Literal[
    "401",
    "403",
    "429",
    "503",
    "dropped_before_answer",
    "dropped_in_answer",
    "slow",
    "expired_link",
    "expired_token",
    "statement_canceled",
]
REPEATABLE = ("/api/*", "/cloud-fetch/", "[!/]*")
_MOST_IN_A_ROW = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with the next requests that fit.

    Attributes:
        kind: The HTTP status of the answer; or a connection that is dropped before the request is
            handled or in the middle of its answer; or an answer that comes late; or a CloudFetch
            link or all OAuth tokens that have expired; or a statement that is cancelled half way.
        operation: Path or RPC name that it is for, may hold `*`; for a statement its text. All
            CloudFetch links are `/cloud-fetch/`.
        times: How many requests it hits.
        retry_after_s: `Retry-After` of a 429 or 503; no such header when None.
        delay_s: How late a slow answer comes.
    """

    kind: FaultKind
    operation: str = "*"
    times: int = 1
    retry_after_s: int | None = 1
    delay_s: float = 0.5


class Faults:
    """The faults to come. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Lets everything work again."""
        with self._lock:
            self._planned: list[tuple[Fault, int]] = []
            self._rate = 0.0
            self._seed = 0
            self._random_faults: Sequence[Fault] = ()
            self._random_operations: Sequence[str] = ()
            self._seen: Counter[str] = Counter()
            self._in_a_row: Counter[str] = Counter()

    def add(self, fault: Fault) -> None:
        """Plans a fault for the next `times` requests that fit it."""
        with self._lock:
            self._planned.append((fault, fault.times))

    def at_random(
        self,
        rate: float,
        seed: int,
        kinds: Sequence[FaultKind] = ("429", "503", "dropped_before_answer", "slow"),
        operations: Sequence[str] = REPEATABLE,
        retry_after_s: int | None = 0,
        delay_s: float = 0.05,
    ) -> None:
        """Lets a share of all requests fail, never more than two of one operation in a row.

        The n-th request of an operation meets the same fault in every run with the same seed,
        however the requests of other operations come in between.

        Args:
            rate: The share, 0 to 1.
            seed: Of the choice.
            kinds: What may go wrong.
            operations: Paths and RPC names with which it may; by default all but signing in.
            retry_after_s: `Retry-After` of a 429 or 503; none when None.
            delay_s: How late slow answers come.
        """
        with self._lock:
            self._rate, self._seed, self._random_operations = rate, seed, operations
            self._random_faults = [
                Fault(kind, retry_after_s=retry_after_s, delay_s=delay_s) for kind in kinds
            ]

    def take(self, operation: str, *kinds: FaultKind) -> Fault | None:
        """The fault that this request meets, used up by one.

        Args:
            operation: Path, RPC name, or text of a statement.
            kinds: What can go wrong at this point; a fault of another kind stays planned.
        """
        with self._lock:
            for index, (fault, left) in enumerate(self._planned):
                if fault.kind in kinds and fnmatchcase(operation, fault.operation):
                    self._planned[index] = (fault, left - 1)
                    if left == 1:
                        del self._planned[index]
                    return fault
            return self._chance(operation, kinds)

    def _chance(self, operation: str, kinds: Sequence[FaultKind]) -> Fault | None:
        possible = [fault for fault in self._random_faults if fault.kind in kinds]
        if not possible or not any(fnmatchcase(operation, o) for o in self._random_operations):
            return None
        self._seen[operation] += 1
        dice = random.Random(f"{self._seed} {operation} {self._seen[operation]}")
        if self._in_a_row[operation] >= _MOST_IN_A_ROW or dice.random() >= self._rate:
            self._in_a_row[operation] = 0
            return None
        self._in_a_row[operation] += 1
        return dice.choice(possible)
