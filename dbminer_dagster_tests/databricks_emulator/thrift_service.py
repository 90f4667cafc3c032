"""The SQL protocol of a warehouse, Thrift over HTTP, as databricks-sql-connector speaks it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from databricks.sql.thrift_api.TCLIService import TCLIService, ttypes
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TTransport import TMemoryBuffer

from dbminer_dagster_tests.databricks_emulator import thrift_answers as answers
from dbminer_dagster_tests.databricks_emulator.engine import Engine
from dbminer_dagster_tests.databricks_emulator.faults import Faults
from dbminer_dagster_tests.databricks_emulator.name_resolution import Namespace
from dbminer_dagster_tests.databricks_emulator.records import StatementLog
from dbminer_dagster_tests.databricks_emulator.running_statement import RunningStatement
from dbminer_dagster_tests.databricks_emulator.sql_errors import SqlError, UnknownHandleError
from dbminer_dagster_tests.databricks_emulator.sql_session import Session, upper_keys
from dbminer_dagster_tests.databricks_emulator.sql_warehouse import SqlWarehouse
from dbminer_dagster_tests.databricks_emulator.workspace import Principal, Workspace

_MAX_ROWS, _MAX_BYTES = 100_000, 100 * 2**20
"""Limits of one answer where the client sets none."""
_Call = Callable[["_Calls", Any], Any]


class ThriftService:
    """Answers the calls of all clients. Safe to use from any thread.

    Attributes:
        links: The files of large results.
        results: How results travel.
    """

    def __init__(
        self, workspace: Workspace, engine: Engine, faults: Faults, statements: StatementLog
    ) -> None:
        self._warehouse = SqlWarehouse(workspace, engine, faults, statements)
        self.links = self._warehouse.links
        self.results = self._warehouse.settings

    def handle(self, body: bytes, principal: Principal, warehouse_id: str) -> bytes:
        """The answer to a request, both in Thrift's binary protocol."""
        answer = TMemoryBuffer()
        processor = TCLIService.Processor(_Calls(self._warehouse, principal, warehouse_id))
        processor.process(_protocol(TMemoryBuffer(body)), _protocol(answer))
        return answer.getvalue()

    def operation_name(self, body: bytes) -> str:
        """The name of the call that a request makes."""
        return _protocol(TMemoryBuffer(body)).readMessageBegin()[0]


def _protocol(transport: TMemoryBuffer) -> TBinaryProtocol:
    return TBinaryProtocol(transport, string_length_limit=None, container_length_limit=None)


def _refusing(answer_type: Callable[..., Any]) -> Callable[[_Call], _Call]:
    """Lets a call that fails give an answer of its type that says so."""

    def decorated(call: _Call) -> _Call:
        @wraps(call)
        def answer(calls: "_Calls", req: Any) -> object:
            try:
                return call(calls, req)
            except (SqlError, UnknownHandleError) as error:
                return answer_type(status=answers.refused(error))

        return answer

    return decorated


@dataclass(frozen=True, slots=True)
class _Calls:
    """The calls of one request; Thrift finds them by name. `req` is the request of the call."""

    warehouse: SqlWarehouse
    principal: Principal
    warehouse_id: str

    def OpenSession(self, req: Any) -> ttypes.TOpenSessionResp:  # noqa: N802
        given = req.initialNamespace or ttypes.TNamespace()
        usual = Namespace()
        session = Session(
            self.principal,
            upper_keys(req.configuration),
            Namespace(given.catalogName or usual.catalog, given.schemaName or usual.schema),
        )
        self.warehouse.add(session)
        return ttypes.TOpenSessionResp(
            status=answers.OK,
            serverProtocolVersion=answers.PROTOCOL,
            sessionHandle=ttypes.TSessionHandle(
                sessionId=ttypes.THandleIdentifier(guid=session.guid, secret=session.guid),
                serverProtocolVersion=answers.PROTOCOL,
            ),
            configuration=req.configuration,
            initialNamespace=req.initialNamespace,
            canUseMultipleCatalogs=True,
        )

    @_refusing(ttypes.TCloseSessionResp)
    def CloseSession(self, req: Any) -> ttypes.TCloseSessionResp:  # noqa: N802
        self.warehouse.close_session(self._session(req))
        return ttypes.TCloseSessionResp(status=answers.OK)

    @_refusing(ttypes.TExecuteStatementResp)
    def ExecuteStatement(self, req: Any) -> ttypes.TExecuteStatementResp:  # noqa: N802
        statement = self.warehouse.start(self._session(req), req, self.warehouse_id)
        direct = req.getDirectResults and self._direct_results(statement, req.getDirectResults)
        return ttypes.TExecuteStatementResp(
            status=answers.OK,
            operationHandle=answers.operation_handle(statement),
            directResults=direct,
        )

    @_refusing(ttypes.TGetOperationStatusResp)
    def GetOperationStatus(self, req: Any) -> ttypes.TGetOperationStatusResp:  # noqa: N802
        statement = self._statement(req)
        state = statement.wait(self.warehouse.settings.status_wait_s)
        return answers.operation_status(statement, state)

    @_refusing(ttypes.TGetResultSetMetadataResp)
    def GetResultSetMetadata(self, req: Any) -> ttypes.TGetResultSetMetadataResp:  # noqa: N802
        return answers.result_metadata(*self._statement(req).result)

    @_refusing(ttypes.TFetchResultsResp)
    def FetchResults(self, req: Any) -> ttypes.TFetchResultsResp:  # noqa: N802
        return self._rows(self._statement(req), req)

    @_refusing(ttypes.TCancelOperationResp)
    def CancelOperation(self, req: Any) -> ttypes.TCancelOperationResp:  # noqa: N802
        self._statement(req).cancel()
        return ttypes.TCancelOperationResp(status=answers.OK)

    @_refusing(ttypes.TCloseOperationResp)
    def CloseOperation(self, req: Any) -> ttypes.TCloseOperationResp:  # noqa: N802
        self.warehouse.close_statement(self._statement(req))
        return ttypes.TCloseOperationResp(status=answers.OK)

    def _session(self, req: Any) -> Session:
        return self.warehouse.session(req.sessionHandle.sessionId.guid, self.principal)

    def _statement(self, req: Any) -> RunningStatement:
        return self.warehouse.statement(req.operationHandle.operationId.guid, self.principal)

    def _direct_results(
        self, statement: RunningStatement, limits: ttypes.TSparkGetDirectResults
    ) -> ttypes.TSparkDirectResults:
        """State, types and first rows, in the answer to the call that started the statement."""
        state = statement.wait(self.warehouse.settings.direct_results_wait_s)
        direct = ttypes.TSparkDirectResults()
        has_all_rows = False
        if state == "FINISHED":
            try:
                rows = self._rows(statement, limits)
            except SqlError:
                state = statement.state
            else:
                direct.resultSet, direct.resultSetMetadata = rows, rows.resultSetMetadata
                has_all_rows = not rows.hasMoreRows and not statement.links
        direct.operationStatus = answers.operation_status(statement, state)
        if state == "FAILED" or has_all_rows:
            self.warehouse.close_statement(statement)
            direct.closeOperation = ttypes.TCloseOperationResp(status=answers.OK)
        return direct

    def _rows(self, statement: RunningStatement, limits: Any) -> ttypes.TFetchResultsResp:
        """The next rows within `maxRows` and `maxBytes`."""
        metadata = answers.result_metadata(*statement.result)
        rows, has_more = self.warehouse.take(
            statement, limits.maxRows or _MAX_ROWS, limits.maxBytes or _MAX_BYTES
        )
        return ttypes.TFetchResultsResp(
            status=answers.OK, hasMoreRows=has_more, results=rows, resultSetMetadata=metadata
        )
