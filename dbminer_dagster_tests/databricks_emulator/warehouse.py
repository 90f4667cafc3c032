"""The SQL warehouse of the emulated workspace, and how it starts."""

import threading
import time
from dataclasses import dataclass, field
from typing import Literal

WarehouseState = Literal["RUNNING", "STOPPED", "STARTING", "DELETED"]


@dataclass(slots=True)
class Warehouse:
    """A SQL warehouse.

    Attributes:
        id: Its id.
        state: Its state now; a stopped one starts with the first SQL session or statement.
        can_use: Names of the principals with `CAN USE` on it.
        start_delay_s: How long it takes to start.
    """

    id: str = "8c1f0a57d2e94b36"
    name: str = "Mining"
    state: WarehouseState = "RUNNING"
    can_use: set[str] = field(default_factory=set)
    start_delay_s: float = 0.2
    _starting: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Goes on to start it unless it runs or was deleted, and returns at once."""
        if self.state in {"STOPPED", "STARTING"} and not self._starting.locked():
            self.state = "STARTING"
            threading.Thread(target=self.wait_until_running, daemon=True).start()

    def wait_until_running(self) -> None:
        """Starts it unless it runs or was deleted, and waits until that is done."""
        if self.state == "RUNNING":
            return
        with self._starting:
            if self.state in {"STOPPED", "STARTING"}:
                self.state = "STARTING"
                time.sleep(self.start_delay_s)
            if self.state == "STARTING":
                self.state = "RUNNING"
