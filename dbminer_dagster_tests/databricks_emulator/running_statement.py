"""A statement from its start until the client closes it."""

import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Literal

import duckdb
import pyarrow as pa

from dbminer_dagster_tests.databricks_emulator.cloud_fetch import Link
from dbminer_dagster_tests.databricks_emulator.records import StatementLog, StatementRecord
from dbminer_dagster_tests.databricks_emulator.results import ResultForm, ResultRows
from dbminer_dagster_tests.databricks_emulator.sql_errors import SqlError, canceled

State = Literal["RUNNING", "FINISHED", "FAILED", "CANCELED", "CLOSED"]
_Started = tuple[ResultRows, ResultForm]


class RunningStatement:
    """Runs in a thread of its own up to its first rows. Safe to use from any thread.

    Args:
        record: What the emulator notes of it.
        log: Where that is noted.
        cursor: Where it runs.
        start: Runs it up to its first rows.
        delay_s: How long it takes before that.
        canceled_half_way: Whether the warehouse cancels it while its rows are fetched.

    Attributes:
        guid: Its id.
        state: `FINISHED` once rows can be fetched. The record is finished with the last row.
        error: Why it failed.
        links: Its files for CloudFetch.
    """

    def __init__(
        self,
        record: StatementRecord,
        log: StatementLog,
        cursor: duckdb.DuckDBPyConnection,
        start: Callable[[], _Started],
        *,
        delay_s: float,
        canceled_half_way: bool,
    ) -> None:
        self.guid = uuid.uuid4().bytes
        self.state: State = "RUNNING"
        self.error: SqlError | None = None
        self.links: list[Link] = []
        self._record, self._log, self._cursor = record, log, cursor
        self._delay_s = delay_s
        self._stops_half_way = canceled_half_way
        self._stops_now = False
        self._result: _Started | None = None
        self._settled = threading.Event()
        self._lock = threading.Lock()
        log.start(record)
        self._thread = threading.Thread(target=self._run, args=(start,), daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """What was sent."""
        return self._record.text

    def wait(self, timeout_s: float) -> State:
        """Its state once it no longer runs, or after the timeout."""
        self._settled.wait(timeout_s)
        return self.state

    @property
    def result(self) -> _Started:
        """Its rows and their form.

        Raises:
            SqlError: It failed or was cancelled.
        """
        if self.state != "FINISHED" or self._result is None:
            raise self.error or canceled()
        return self._result

    def take(self, max_rows: int, max_bytes: int) -> tuple[Sequence[pa.RecordBatch], int, bool]:
        """The next rows, how many came before them, and whether more are left.

        Raises:
            SqlError: It failed or was cancelled.
        """
        rows, _ = self.result
        offset = rows.offset
        if self._stops_now:
            self.cancel()
            raise canceled()
        try:
            if self._stops_half_way:
                self._stops_now = True
                half = min(max_rows, rows.rows_at_hand() // 2)
                return self._note(rows.take(half, max_bytes)), offset, True
            batches = rows.take(max_rows, max_bytes)
            has_more = rows.has_more()
        except SqlError as error:
            self._settle("FAILED", error)
            raise self.error or canceled() from error
        self._note(batches)
        if not has_more:
            self._end("FINISHED")
        return batches, offset, has_more

    def cancel(self) -> None:
        """Stops it, as a client or an administrator asks."""
        if self._settle("CANCELED", None):
            self._stop()

    def close(self) -> None:
        """Frees what it holds; what still runs is stopped."""
        self._settle("CLOSED", None)
        self._stop()
        self._result = None

    def _stop(self) -> None:
        """Interrupts it, again and again: DuckDB forgets what comes before its query begins."""
        self._cursor.interrupt()
        while self._thread.is_alive():
            self._thread.join(0.05)
            self._cursor.interrupt()

    def _run(self, start: Callable[[], _Started]) -> None:
        if self._settled.wait(self._delay_s):
            return
        try:
            result = start()
        except SqlError as error:
            self._settle("FAILED", error)
        except Exception as error:
            message = f"The emulator failed: {error!r}"
            self._settle("FAILED", SqlError("INTERNAL_ERROR", message, "XX000"))
        else:
            self._settle("FINISHED", None, result)

    def _settle(self, state: State, error: SqlError | None, result: _Started | None = None) -> bool:
        """Sets the state; False when it had ended before."""
        with self._lock:
            if self.state not in {"RUNNING", "FINISHED"}:
                return False
            self.state, self.error = state, error
            if result is not None:
                self._result = result
        if state != "FINISHED":
            self._end(state)
        self._settled.set()
        return True

    def _end(self, state: State) -> None:
        with self._lock:
            if self._record.state == "RUNNING":
                self._log.end(self._record, state)

    def _note(self, batches: Sequence[pa.RecordBatch]) -> Sequence[pa.RecordBatch]:
        self._record.rows_sent += sum(batch.num_rows for batch in batches)
        return batches
