"""Scopes of a query: which name means what where, and to which table a column belongs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

# A position in a query's text, for the rule that a select-list alias is known only after it.
BEFORE_SELECT_LIST = -1
AFTER_SELECT_LIST = 1 << 30

# Catalog, schema, table.
_MAX_QUALIFIERS = 3
# Every table answers to these, without having such columns.
_PSEUDO_COLUMNS = frozenset(
    {"_metadata", "_change_type", "_commit_version", "_commit_timestamp", "_rescued_data"}
)


@dataclass(frozen=True, slots=True)
class CteNames:
    """The common table expressions seen from one place: the first `visible` of a WITH, and more."""

    order: dict[str, int]
    visible: int
    outer: "CteNames | None"

    def __contains__(self, name: str) -> bool:
        ctes: CteNames | None = self
        while ctes is not None:
            if ctes.order.get(name, ctes.visible) < ctes.visible:
                return True
            ctes = ctes.outer
        return False


@dataclass(slots=True, eq=False)
class Scope:
    """What one SELECT (or DML statement) can name.

    Attributes:
        outer: The scope that a correlated sub-query may also name.
        ctes: The common table expressions in sight.
        tables: Qualifier (`("t",)`, `("s", "t")`, …) to table name; `None` for a source that is
            no table, or when the qualifier fits several.
        sources: Table name of each source, `None` for one that is no table.
        produced: Columns that sources with listed column names produce.
        aliases: Select-list alias to the position where it is defined.
    """

    outer: "Scope | None" = None
    ctes: CteNames | None = None
    tables: dict[tuple[str, ...], str | None] = field(default_factory=dict)
    sources: list[str | None] = field(default_factory=list)
    produced: set[str] = field(default_factory=set)
    aliases: dict[str, int] = field(default_factory=dict)

    def add(self, qualifier: Sequence[str], table: str | None) -> None:
        """Add a source that may be called by each ending of `qualifier`."""
        self.sources.append(table)
        for start in range(max(0, len(qualifier) - _MAX_QUALIFIERS), len(qualifier)):
            key = tuple(qualifier[start:])
            self.tables[key] = None if key in self.tables else table

    def add_produced(self, alias: str, columns: Sequence[str]) -> None:
        """Add a source that is no table; its column names are known when it lists them."""
        if columns:
            self.produced.update(columns)
            self.tables[(alias,)] = None
        else:
            self.add((alias,) if alias else (), None)

    def column(self, parts: Sequence[str], position: int) -> tuple[str, str] | None:
        """Table and column that the lower-case `parts` mean; `None` unless that is certain."""
        if not parts:
            return None
        scope: Scope | None = self
        while scope is not None:
            for length in range(min(_MAX_QUALIFIERS, len(parts) - 1), 0, -1):
                qualifier = tuple(parts[:length])
                if qualifier in scope.tables:
                    return _pair(scope.tables[qualifier], parts[length])
            scope = scope.outer
        return self._unqualified(parts[0], position)

    def _unqualified(self, column: str, position: int) -> tuple[str, str] | None:
        scope: Scope = self
        while not scope.sources and not scope.produced and scope.outer is not None:
            scope, position = scope.outer, AFTER_SELECT_LIST
        if len(scope.sources) != 1 or column in scope.produced:
            return None
        if scope.aliases.get(column, position) < position:
            return None
        return _pair(scope.sources[0], column)


def _pair(table: str | None, column: str) -> tuple[str, str] | None:
    return None if table is None or column in _PSEUDO_COLUMNS else (table, column)
