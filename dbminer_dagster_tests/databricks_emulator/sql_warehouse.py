"""What runs on the warehouse: the sessions of all clients and their statements."""

import threading
from typing import Any

from databricks.sql.thrift_api.TCLIService import ttypes

from dbminer_dagster_tests.databricks_emulator.cloud_fetch import CloudFetchStore
from dbminer_dagster_tests.databricks_emulator.engine import Engine
from dbminer_dagster_tests.databricks_emulator.faults import Faults
from dbminer_dagster_tests.databricks_emulator.records import StatementLog, StatementRecord
from dbminer_dagster_tests.databricks_emulator.results import (
    ResultForm,
    ResultRows,
    ResultSettings,
    inline_rows,
    linked_rows,
)
from dbminer_dagster_tests.databricks_emulator.running_statement import RunningStatement
from dbminer_dagster_tests.databricks_emulator.sql_errors import UnknownHandleError
from dbminer_dagster_tests.databricks_emulator.sql_parameters import Parameters
from dbminer_dagster_tests.databricks_emulator.sql_session import Session
from dbminer_dagster_tests.databricks_emulator.workspace import Principal, Workspace


class SqlWarehouse:
    """Runs statements. Safe to use from any thread.

    Attributes:
        links: The files of large results.
        settings: How results travel.
    """

    def __init__(
        self, workspace: Workspace, engine: Engine, faults: Faults, log: StatementLog
    ) -> None:
        self.links = CloudFetchStore(engine.folder)
        self.settings = ResultSettings()
        self._workspace, self._engine, self._faults, self._log = workspace, engine, faults, log
        self._sessions: dict[bytes, Session] = {}
        self._lock = threading.Lock()

    def add(self, session: Session) -> None:
        """Opens a session."""
        with self._lock:
            self._sessions[session.guid] = session

    def session(self, guid: bytes, principal: Principal) -> Session:
        """An open session of the principal.

        Raises:
            UnknownHandleError: There is none.
        """
        with self._lock:
            found = self._sessions.get(guid)
        if found is None or found.principal.name != principal.name:
            raise UnknownHandleError("Session", guid)
        return found

    def statement(self, guid: bytes, principal: Principal) -> RunningStatement:
        """A statement of the principal that is not closed.

        Raises:
            UnknownHandleError: There is none.
        """
        with self._lock:
            for session in self._sessions.values():
                if guid in session.statements and session.principal.name == principal.name:
                    return session.statements[guid]
        raise UnknownHandleError("Operation", guid)

    def start(self, session: Session, request: Any, warehouse_id: str) -> RunningStatement:
        """Starts the statement of a `TExecuteStatementReq`."""
        text, parameters = request.statement, Parameters(request.parameters)
        cursor = self._engine.cursor(session.time_zone)

        def start() -> tuple[ResultRows, ResultForm]:
            answer = self._engine.run(
                cursor, text, parameters, session.principal, session.namespace
            )
            limits = [n for n in (self.settings.row_cut, request.resultRowLimit) if n is not None]
            rows = ResultRows(answer, min(limits, default=None))
            by_links = bool(request.canDownloadResult) and rows.is_larger_than(
                self.settings.links_above_bytes
            )
            return rows, ResultForm(lz4=bool(request.canDecompressLZ4Result), links=by_links)

        tags = session.tags(request.confOverlay)
        slow = self._faults.take(text, "slow")
        statement = RunningStatement(
            StatementRecord(text, parameters.values, tags, session.principal.name, warehouse_id),
            self._log,
            cursor,
            start,
            delay_s=slow.delay_s if slow else 0.0,
            canceled_half_way=self._faults.take(text, "statement_canceled") is not None,
        )
        with self._lock:
            session.statements[statement.guid] = statement
        return statement

    def take(
        self, statement: RunningStatement, max_rows: int, max_bytes: int
    ) -> tuple[ttypes.TRowSet, bool]:
        """The next rows of a statement, and whether more are left.

        Raises:
            SqlError: It failed or was cancelled.
        """
        _, form = statement.result
        batches, offset, has_more = statement.take(max_rows, max_bytes)
        if not form.links:
            return inline_rows(batches, offset, form), has_more
        expired = self._faults.take(statement.text, "expired_link") is not None
        rows, links = linked_rows(
            batches, offset, form, self.links, self._workspace.host, expired=expired
        )
        statement.links += links
        return rows, has_more

    def close_statement(self, statement: RunningStatement) -> None:
        """Frees a statement and its files."""
        with self._lock:
            for session in self._sessions.values():
                session.statements.pop(statement.guid, None)
        statement.close()
        self.links.remove(statement.links)

    def close_session(self, session: Session) -> None:
        """Closes a session; what still runs in it is stopped."""
        for statement in list(session.statements.values()):
            self.close_statement(statement)
        with self._lock:
            self._sessions.pop(session.guid, None)
