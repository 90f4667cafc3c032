"""Answers of the Thrift protocol that several calls share."""

from databricks.sql.thrift_api.TCLIService import ttypes

from dbminer_dagster_tests.databricks_emulator.column_types import thrift_schema
from dbminer_dagster_tests.databricks_emulator.results import ResultForm, ResultRows
from dbminer_dagster_tests.databricks_emulator.running_statement import RunningStatement, State
from dbminer_dagster_tests.databricks_emulator.sql_errors import SqlError, UnknownHandleError

PROTOCOL = ttypes.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V7
OK = ttypes.TStatus(statusCode=ttypes.TStatusCode.SUCCESS_STATUS)
_STATE = ttypes.TOperationState
_STATES: dict[State, int] = {
    "RUNNING": _STATE.RUNNING_STATE,
    "FINISHED": _STATE.FINISHED_STATE,
    "FAILED": _STATE.ERROR_STATE,
    "CANCELED": _STATE.CANCELED_STATE,
    "CLOSED": _STATE.CLOSED_STATE,
}


def refused(error: SqlError | UnknownHandleError) -> ttypes.TStatus:
    """The status of a call that fails."""
    if isinstance(error, UnknownHandleError):
        return ttypes.TStatus(
            statusCode=ttypes.TStatusCode.INVALID_HANDLE_STATUS, errorMessage=str(error)
        )
    return ttypes.TStatus(
        statusCode=ttypes.TStatusCode.ERROR_STATUS,
        sqlState=error.sql_state,
        errorMessage=str(error),
        displayMessage=str(error),
    )


def operation_handle(statement: RunningStatement) -> ttypes.TOperationHandle:
    """What a client calls a statement by."""
    return ttypes.TOperationHandle(
        operationId=ttypes.THandleIdentifier(guid=statement.guid, secret=statement.guid),
        operationType=ttypes.TOperationType.EXECUTE_STATEMENT,
        hasResultSet=True,
    )


def operation_status(statement: RunningStatement, state: State) -> ttypes.TGetOperationStatusResp:
    """The state of a statement, and why it failed."""
    answer = ttypes.TGetOperationStatusResp(
        status=OK, operationState=_STATES[state], hasResultSet=True
    )
    if state == "FAILED" and statement.error is not None:
        message = str(statement.error)
        answer.sqlState = statement.error.sql_state
        answer.errorMessage = answer.displayMessage = answer.diagnosticInfo = message
    return answer


def result_metadata(rows: ResultRows, form: ResultForm) -> ttypes.TGetResultSetMetadataResp:
    """The types of a result and how it travels."""
    kind = ttypes.TSparkRowSetType
    return ttypes.TGetResultSetMetadataResp(
        status=OK,
        schema=thrift_schema(rows.schema),
        resultFormat=kind.URL_BASED_SET if form.links else kind.ARROW_BASED_SET,
        lz4Compressed=form.lz4,
        arrowSchema=rows.schema.serialize().to_pybytes(),
        isStagingOperation=False,
    )
