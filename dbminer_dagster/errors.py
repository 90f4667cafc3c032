"""The exceptions that users meet; each message says what failed, where, and the one repair.

DbminerError
├── SettingsError            a setting is missing or not allowed
├── SourceError              a source of lineage or query history
│   ├── LocationError        the place cannot be reached, or holds nothing to read
│   ├── UnreadableFileError  a file cannot be read to its end
│   ├── BadLinesError        more bad lines than allowed
│   ├── DayNotCoveredError   the source holds no such day
│   ├── MissingColumnsError  a system table lacks columns that mining needs
│   ├── CutOffError          a result held fewer rows than the source
│   ├── RequestBudgetError   the requests that a run may send are used up
│   └── WorkspaceError       a Databricks workspace
│       ├── WorkspaceUnreachableError  it does not answer, or not like a workspace
│       ├── SignInError                it does not accept the credentials
│       ├── AccessDeniedError          the principal lacks a privilege
│       ├── WarehouseError             the SQL warehouse cannot be used
│       └── StatementError             a SQL statement failed
├── EngineError              the engine of the frame steps cannot be used
├── AlertError               an alert did not reach its webhook
└── StorageError             the result tables
    ├── SchemaMismatchError  a frame does not have the columns of its table
    └── RowCountError        rows were lost on the way
"""


class DbminerError(Exception):
    """Base of every error that dbminer raises on purpose."""


class SettingsError(DbminerError):
    """A setting is missing or has a value that is not allowed."""


class SourceError(DbminerError):
    """A source of lineage or query history cannot give what was asked."""


class LocationError(SourceError):
    """The location cannot be reached, or holds nothing to read."""


class UnreadableFileError(SourceError):
    """A file cannot be read to its end, so it is unknown what it held."""


class BadLinesError(SourceError):
    """More lines than allowed could not be understood."""


class DayNotCoveredError(SourceError):
    """Every requested day lies outside of the days that the source covers."""


class MissingColumnsError(SourceError):
    """A system table, or the view that clones it, lacks columns that mining needs."""


class CutOffError(SourceError):
    """A result held fewer rows than the source had counted for its days."""


class RequestBudgetError(SourceError):
    """A run has sent as many requests as it may; the next one goes on."""


class WorkspaceError(SourceError):
    """A Databricks workspace cannot give what was asked.

    Attributes:
        what: What failed and why.
        remedy: The one action that repairs it.
        retryable: Whether the same work may succeed when it is done again as a whole.
        error_code: The code that a REST call was answered with, such as `ENDPOINT_NOT_FOUND`.
    """

    error_code: str | None = None

    def __init__(self, what: str, remedy: str = "", *, retryable: bool = False) -> None:
        super().__init__(f"{what} {remedy}".strip())
        self.what = what
        self.remedy = remedy
        self.retryable = retryable


class WorkspaceUnreachableError(WorkspaceError):
    """The workspace does not answer in time, or what answers is no workspace."""


class SignInError(WorkspaceError):
    """The workspace, or who issues tokens for it, does not accept the credentials."""


class AccessDeniedError(WorkspaceError):
    """The principal, or the owner of a view that it reads, lacks a privilege.

    Attributes:
        privilege: Such as `USE SCHEMA`; None when unknown, or when it is the owner of a view
            who lacks it.
        securable: Such as `system.access`; None as the privilege.
    """

    privilege: str | None = None
    securable: str | None = None


class WarehouseError(WorkspaceError):
    """The SQL warehouse cannot be used."""


NOT_FOUND = frozenset(
    {
        "TABLE_OR_VIEW_NOT_FOUND",
        "SCHEMA_NOT_FOUND",
        "CATALOG_NOT_FOUND",
        "NO_SUCH_CATALOG_EXCEPTION",
    }
)
"""Databricks' error conditions for a table, or what it lies in, that does not exist."""


class StatementError(WorkspaceError):
    """A SQL statement failed, or its result cannot be read.

    Attributes:
        error_class: Databricks' error condition, such as `TABLE_OR_VIEW_NOT_FOUND`; or None.
    """

    error_class: str | None = None


class EngineError(DbminerError):
    """The engine of the frame steps cannot be used."""


class AlertError(DbminerError):
    """An alert did not reach its webhook.

    Attributes:
        is_lasting: Whether posting it again at once is of no use.
        wait_s: Seconds for which the webhook asked to be left alone; None if it did not.
    """

    def __init__(
        self, message: str, *, is_lasting: bool = False, wait_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.is_lasting = is_lasting
        self.wait_s = wait_s


class StorageError(DbminerError):
    """The result tables cannot be read or written."""


class SchemaMismatchError(StorageError):
    """A frame does not have the columns and types of its table."""


class RowCountError(StorageError):
    """The number of rows committed differs from the number of rows read."""
