"""The exceptions that users meet; each message says what failed, where, and the one repair.

DbminerError
├── SettingsError            a setting is missing or not allowed
├── SourceError              a source of lineage or query history
│   ├── LocationError        the place cannot be reached, or holds nothing to read
│   ├── UnreadableFileError  a file cannot be read to its end
│   ├── BadLinesError        more bad lines than allowed
│   └── DayNotCoveredError   the source holds no such day
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
    """The source holds no row of the requested days, and none after them."""


class StorageError(DbminerError):
    """The result tables cannot be read or written."""


class SchemaMismatchError(StorageError):
    """A frame does not have the columns and types of its table."""


class RowCountError(StorageError):
    """The number of rows committed differs from the number of rows read."""
