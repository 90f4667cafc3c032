"""A session on a SQL warehouse: statements that can be cancelled, results as a stream of frames."""

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import quote, urlsplit

import polars as pl
from databricks import sql
from databricks.sql.client import Connection as Session
from databricks.sql.client import Cursor
from polars import selectors

from dbminer_dagster.databricks.signed_links import hide_in_logs
from dbminer_dagster.databricks.sql_errors import explain_sql
from dbminer_dagster.errors import AccessDeniedError, DbminerError, StatementError

if TYPE_CHECKING:
    from dbminer_dagster.databricks.connection import Connection

Parameters = Mapping[str, Any]

QUERY_TAGS = {"application": "dbminer"}
"""They mark the miner's own statements; see `mining.filters.OWN_TAG`."""
STATEMENT_TIMEOUT_S = 2 * 3600
"""After which the warehouse gives up a statement that nobody could cancel any more."""
BATCH_ROWS = 20_000
_FETCHED_BYTES = 16 * 2**20
_LINKED_FILES_AT_ONCE = 3  # each holds some tens of MB
_NETWORK = {
    "_socket_timeout": 120,
    "_retry_delay_min": 1,
    "_retry_delay_max": 5,  # the least that the connector allows, and also the least it waits
    "_retry_stop_after_attempts_count": 60,
    "_retry_stop_after_attempts_duration": 300,
}
_LONGEST_PAUSE_S = 2.0
_TELL_EVERY_S = 30
_CANCEL_TIMEOUT_S = 20

_ZONED_TIMES = selectors.datetime(time_zone="*")  # the warehouse spells UTC in several ways

_log = logging.getLogger(__name__)


class Warehouse:
    """A session on a SQL warehouse, for one thread; opened with the first statement.

    When a statement was cut short the session ends with it, and the next opens a new one.
    """

    def __init__(self, connection: "Connection", warehouse_id: str) -> None:
        self.warehouse_id = warehouse_id
        self._connection = connection
        self._session: Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the session; the warehouse ends what still runs in it."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(Exception):  # it ends by itself when it is no longer used
                session.close()

    def batches(
        self, statement: str, parameters: Parameters | None = None
    ) -> Generator[pl.DataFrame, None, None]:
        """Runs a statement and gives its result in frames of at most `BATCH_ROWS` rows.

        There is at least one, which carries the columns; times are in UTC. Whatever ends the
        iteration early, an exception, an interrupt or closing it, cancels the statement.

        Args:
            statement: SQL with named markers, `:name`.
            parameters: Their values; times are aware.

        Raises:
            WorkspaceError: It failed; the class tells why.
        """

        def run(cursor: Cursor) -> None:
            # Gives the handle to cancel by before the statement is done.
            cursor.execute_async(statement, dict(parameters or {}))
            self._wait(cursor)

        return self._frames(run)

    def rows(self, statement: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """Runs a statement with a small result, in as few requests as possible.

        Raises:
            WorkspaceError: It failed; the class tells why.
        """
        frames = self._frames(lambda cursor: cursor.execute(statement, dict(parameters or {})))
        return pl.concat(list(frames)).to_dicts()

    def _frames(self, run: Callable[[Cursor], object]) -> Generator[pl.DataFrame, None, None]:
        with self._explaining():
            cursor = self._open().cursor(BATCH_ROWS, _FETCHED_BYTES)
        over, first = False, True
        try:
            with self._explaining():
                run(cursor)
            while not over:
                with self._explaining():
                    table = cursor.fetchmany_arrow(BATCH_ROWS)
                over = table.num_rows < BATCH_ROWS
                if table.num_rows or first:
                    frame = cast("pl.DataFrame", pl.from_arrow(table, rechunk=False))
                    yield frame.with_columns(_ZONED_TIMES.dt.convert_time_zone("UTC"))
                first = False
        except (AccessDeniedError, StatementError) as error:
            over = not error.retryable  # the warehouse itself has ended the statement
            raise
        finally:
            if over:
                with suppress(Exception):  # all rows are here
                    cursor.close()
            else:
                self._cancel(cursor)

    def _wait(self, cursor: Cursor) -> None:
        """Waits for the end of a statement; the warehouse holds its answer back for a while."""
        started = told = time.monotonic()
        pause_s = 0.02
        while cursor.is_query_pending():
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            if time.monotonic() - told >= _TELL_EVERY_S:
                told = time.monotonic()
                _log.info("Statement %s runs for %.0f s", cursor.query_id, told - started)
        cursor.get_async_execution_result()

    def _cancel(self, cursor: Cursor) -> None:
        """Cancels the statement and ends the session, which reaches one that has no handle yet.

        In a thread of its own, since nobody who interrupts waits for a network that is broken.
        """
        session, self._session = self._session, None

        def cancel() -> None:
            with suppress(Exception):
                cursor.cancel()
            if session is not None:
                with suppress(Exception):
                    session.close()

        thread = threading.Thread(target=cancel, daemon=True)
        thread.start()
        thread.join(_CANCEL_TIMEOUT_S)

    def _open(self) -> Session:
        if self._session is None:
            hide_in_logs()
            # The connector would try a host that is gone for minutes, as it does a starting one.
            self._connection.require_reachable()
            self._session = sql.connect(**self._options())
        return self._session

    def _options(self) -> dict[str, Any]:
        headers = self._connection.client().config.authenticate
        url = urlsplit(self._connection.host)
        path = f"/sql/1.0/warehouses/{quote(self.warehouse_id, safe='')}"
        options = {
            "server_hostname": url.hostname,
            "http_path": path,
            "credentials_provider": lambda: lambda: _passed_through(headers()),
            "enable_telemetry": False,
            "user_agent_entry": f"dbminer/{version('dbminer')}",
            "query_tags": QUERY_TAGS,
            "session_configuration": {
                "TIMEZONE": "UTC",
                "STATEMENT_TIMEOUT": str(STATEMENT_TIMEOUT_S),
            },
            "max_download_threads": _LINKED_FILES_AT_ONCE,
            **_NETWORK,
        }
        if url.scheme == "http" or url.port is not None:
            options["_connection_uri"] = self._connection.host + path
        return options

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except DbminerError:
            raise
        except Exception as error:
            explained = explain_sql(error, self._connection, self.warehouse_id)
            self._connection.forget_refused_token(explained)
            raise explained from None  # the text of the cause may hold a signed link


def _passed_through(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers in a spelling that the connector sends as they are, with every request.

    Where it finds `Authorization` it drops all the others, among them the two that let in an Azure
    service principal that is no member, and may exchange the token for one of another kind, with
    retries of many minutes against an address that it makes up. HTTP does not mind the case.
    """
    return {name.lower(): value for name, value in headers.items()}
