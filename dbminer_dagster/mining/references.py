"""What a text refers to, and what is known of its session while it is read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from dbminer_dagster.mining.names import table_name

_FILE_FORMATS = frozenset(
    {"avro", "binaryfile", "csv", "delta", "iceberg", "json", "orc", "parquet", "text", "xml"}
)


@dataclass(frozen=True, slots=True)
class Level:
    """What may supply a column in one query.

    Attributes:
        tables: Names of the tables that may have the column.
        is_open: Whether something that is no table may have it too.
        is_shared: Whether several of the tables may supply it together, as in a union.
    """

    tables: frozenset[str]
    is_open: bool = False
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class ColumnCandidates:
    """A column whose table only the tables' own columns can tell.

    Attributes:
        column: Name of the column, lower-case.
        levels: Where it may come from, the innermost query first: the first level that has the
            column supplies it.
    """

    column: str
    levels: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Star:
    """All columns of a table, but those left out.

    Attributes:
        table: Name of the table.
        excluded: Columns left out by EXCEPT, lower-case.
        shared_with: Where not empty, only columns that one of these tables has too: those that
            NATURAL JOIN compares.
    """

    table: str
    excluded: frozenset[str] = frozenset()
    shared_with: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class References:
    """The tables and columns that a text uses.

    Attributes:
        reads: Names of the tables read.
        writes: Names of the tables written.
        columns: Pairs of table name and column, both lower-case, of read tables only.
        candidates: Columns read whose table the text alone does not tell.
        stars: Tables of which all columns are read.
        rebuilds: The writes that replace the whole table or view.
        temporary_views: One-part names of the temporary views that the text creates.
        unknowns: Reason and name of what cannot be told from any text, such as the table that a
            parameter names.
        attribution: How the text was understood; `None` when it was not.
        error: Why it was not understood; all sets are then empty.
    """

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    columns: frozenset[tuple[str, str]] = frozenset()
    candidates: frozenset[ColumnCandidates] = frozenset()
    stars: frozenset[Star] = frozenset()
    rebuilds: frozenset[str] = frozenset()
    temporary_views: frozenset[str] = frozenset()
    unknowns: frozenset[tuple[str, str]] = frozenset()
    attribution: Literal["parsed", "scanned"] | None = None
    error: str | None = None

    @classmethod
    def failed(cls, error: str) -> Self:
        """References of a text that cannot be understood."""
        return cls(error=error)


@dataclass(slots=True)
class Session:
    """The defaults and the temporary views under which a statement's names are understood."""

    catalog: str | None = None
    schema: str | None = None
    temporary_views: set[str] = field(default_factory=set)

    def table(self, parts: Sequence[str]) -> str | None:
        """The name of the table that `parts` spell; `None` for a path or a temporary view."""
        if not parts or _is_path(parts) or (len(parts) > 1 and parts[-2].lower() == "global_temp"):
            return None
        if len(parts) == 1:
            if parts[0].lower() in self.temporary_views:
                return None
            if self.schema is not None:
                parts = (self.schema, parts[0])
        if len(parts) == 2 and self.catalog is not None:  # noqa: PLR2004
            parts = (self.catalog, *parts)
        return table_name(parts)

    def use_catalog(self, catalog: str | None) -> None:
        """Make `catalog` the default; its schema is then the one named `default`."""
        self.catalog, self.schema = catalog, None if catalog is None else "default"

    def use_schema(self, parts: Sequence[str]) -> None:
        """Make the schema that `parts` spell the default; an unknown one clears the default."""
        self.schema = parts[-1] if parts else None
        if len(parts) > 1:
            self.catalog = parts[-2]


@dataclass(slots=True)
class Findings:
    """The references found so far in one statement."""

    session: Session
    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    columns: set[tuple[str, str]] = field(default_factory=set)
    candidates: set[ColumnCandidates] = field(default_factory=set)
    stars: set[Star] = field(default_factory=set)
    rebuilds: set[str] = field(default_factory=set)
    temporary_views: set[str] = field(default_factory=set)
    unknowns: set[tuple[str, str]] = field(default_factory=set)

    def read(self, parts: Sequence[str]) -> str | None:
        """Note a read; returns the table's name, or `None` when `parts` spell no table."""
        name = self.session.table(parts)
        if name is not None:
            self.reads.add(name)
        return name

    def write(self, parts: Sequence[str], *, rebuild: bool = False) -> None:
        """Note a write, and whether it replaces the whole table."""
        name = self.session.table(parts)
        if name is not None:
            self.writes.add(name)
            if rebuild:
                self.rebuilds.add(name)

    def create_view(self, parts: Sequence[str], *, is_global: bool) -> None:
        """Note a temporary view; a global one is only ever met as `global_temp.<name>`."""
        if parts and not is_global:
            self.temporary_views.add(parts[-1].lower())

    def add(self, other: "Findings") -> None:
        """Take over what another statement of the same text uses."""
        self.reads |= other.reads
        self.writes |= other.writes
        self.columns |= other.columns
        self.candidates |= other.candidates
        self.stars |= other.stars
        self.rebuilds |= other.rebuilds
        self.temporary_views |= other.temporary_views
        self.unknowns |= other.unknowns

    def forget_columns(self, reason: str) -> None:
        """Give the columns up, for one reason that is noted."""
        self.columns.clear()
        self.candidates.clear()
        self.stars.clear()
        self.unknowns.add((reason, ""))

    def is_empty(self) -> bool:
        """Whether nothing was found."""
        return not (self.reads or self.writes or self.temporary_views)

    def references(self, attribution: Literal["parsed", "scanned"]) -> References:
        """The findings as they are handed out."""
        return References(
            frozenset(self.reads),
            frozenset(self.writes),
            frozenset(self.columns),
            frozenset(self.candidates),
            frozenset(self.stars),
            frozenset(self.rebuilds),
            frozenset(self.temporary_views),
            frozenset(self.unknowns),
            attribution,
        )


def _is_path(parts: Sequence[str]) -> bool:
    """Object names hold no slash; a relative path is told by the file format before it."""
    if "/" in parts[-1]:
        return True
    is_format = len(parts) == 2 and parts[0].lower() in _FILE_FORMATS  # noqa: PLR2004
    return is_format and not parts[-1].isidentifier() and any(mark in parts[-1] for mark in ".:\\")
