"""What the emulator noted: the requests it answered and the statements it ran."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

StatementState = Literal["RUNNING", "FINISHED", "FAILED", "CANCELED", "CLOSED"]


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request and its answer.

    Attributes:
        method: `GET`, `POST`, …
        path: The path without the query.
        status: The HTTP status of the answer; 0 when the connection was dropped instead.
        principal: Who asked, when known.
        operation: The path or, for the SQL protocol, the name of the RPC.
        query: The parameters of the query, the last value of each.
    """

    method: str
    path: str
    status: int
    principal: str | None
    operation: str
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class StatementRecord:
    """A statement that a client sent to the warehouse.

    Attributes:
        text: Its text as sent.
        parameters: The values bound to its markers.
        query_tags: The tags of its session and of itself.
        principal: The name of who ran it.
        warehouse_id: Where it ran.
        state: Its state now.
        rows_sent: Rows that have travelled to the client.
    """

    text: str
    parameters: Mapping[str, object]
    query_tags: dict[str, str]
    principal: str
    warehouse_id: str
    state: StatementState = "RUNNING"
    rows_sent: int = 0


@dataclass(slots=True)
class StatementLog:
    """All statements, and how many ran at once."""

    records: list[StatementRecord] = field(default_factory=list)
    most_parallel: int = 0
    _running: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, record: StatementRecord) -> StatementRecord:
        """Notes a statement that starts to run."""
        with self._lock:
            self.records.append(record)
            self._running += 1
            self.most_parallel = max(self.most_parallel, self._running)
        return record

    def end(self, record: StatementRecord, state: StatementState) -> None:
        """Sets the state in which a statement ended; from then on it no longer runs."""
        with self._lock:
            if record.state == "RUNNING":
                self._running -= 1
            record.state = state
