"""Scopes of a query: which name means what where, and what each source offers by name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# A position in a query's text. An alias of the select list is known after it, if no source has
# a column of that name; ORDER BY and the like look at the select list first.
BEFORE_SELECT_LIST = -1
AFTER_SELECT_LIST = 1 << 30
SELECT_LIST_FIRST = AFTER_SELECT_LIST + 1

# Catalog, schema, table.
MAX_QUALIFIERS = 3


@dataclass(slots=True, eq=False)
class Relation:
    """A source of columns: a table, a derived table, a common table expression.

    Attributes:
        table: Name of the table that it is, if it is one.
        names: Columns that it lists.
        stars: What it passes on of other relations.
        is_open: Whether it may have columns that the text does not tell.
        is_union: Whether it unites queries, so that one column may come of several tables.
    """

    table: str | None = None
    names: set[str] = field(default_factory=set)
    stars: list["StarItem"] = field(default_factory=list)
    is_open: bool = True
    is_union: bool = False


@dataclass(frozen=True, slots=True)
class StarItem:
    """A star in a select list: all columns of the scope's relations, or of the one called so."""

    scope: "Scope"
    qualifier: tuple[str, ...] = ()
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CteNames:
    """The common table expressions seen from one place: the first `visible` of a WITH, and more."""

    order: dict[str, int]
    relations: Sequence[Relation]
    visible: int
    outer: "CteNames | None"

    def find(self, name: str) -> Relation | None:
        """What the name means; `None` when it is no common table expression."""
        ctes: CteNames | None = self
        while ctes is not None:
            if (index := ctes.order.get(name, ctes.visible)) < ctes.visible:
                return ctes.relations[index]
            ctes = ctes.outer
        return None


@dataclass(slots=True, eq=False)
class Scope:
    """What one SELECT (or DML statement) can name.

    Attributes:
        outer: The scope that a correlated sub-query may also name.
        ctes: The common table expressions in sight.
        relations: Its sources.
        qualifiers: Qualifier (`("t",)`, `("s", "t")`, …) to the sources that answer to it.
        aliases: Select-list alias to the position where it is defined.
        outputs: Names of the columns that the select list gives.
        others: Names of what is no one source's: columns of USING, which are noted as those of
            both sides, and variables of a script.
        is_natural: Whether a NATURAL JOIN merges columns that the text does not name.
        lateral: The lateral query that this is the outside of; it offers itself nothing.
    """

    outer: "Scope | None" = None
    ctes: CteNames | None = None
    relations: list[Relation] = field(default_factory=list)
    qualifiers: dict[tuple[str, ...], list[Relation]] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    outputs: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    is_natural: bool = False
    lateral: Relation | None = None

    def add(self, qualifier: Sequence[str], relation: Relation) -> None:
        """Add a source that may be called by each ending of `qualifier`."""
        self.relations.append(relation)
        for start in range(max(0, len(qualifier) - MAX_QUALIFIERS), len(qualifier)):
            self.qualifiers.setdefault(tuple(qualifier[start:]), []).append(relation)

    def outwards(self) -> Iterator["Scope"]:
        """This scope and those around it."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer


@dataclass(slots=True, eq=False)
class FromItem:
    """A source that FROM or JOIN names, with those joined to it within.

    Attributes:
        scope: The scope that it lends its names to.
        home: The query that it belongs to.
        relations: Its own relations, known once it has been visited.
        joined: Those joined to it, in the order of the text.
    """

    scope: Scope
    home: Scope
    relations: list[Relation] = field(default_factory=list)
    joined: list["FromItem"] = field(default_factory=list)

    def add(self, qualifier: Sequence[str], relation: Relation) -> None:
        """Note what the item turned out to be."""
        self.scope.add(qualifier, relation)
        self.relations.append(relation)

    def join(self, scope: Scope) -> "FromItem":
        """A new item joined to this one, which lends its names to `scope`."""
        item = FromItem(scope, self.home)
        self.joined.append(item)
        return item


@dataclass(frozen=True, slots=True)
class Join:
    """A join by columns of the same name: those of USING, or of NATURAL JOIN.

    Attributes:
        left: The left side is this item with the first `left_count` joined to it.
        left_count: How many of those.
        right: The right side.
        columns: What USING names; empty for NATURAL JOIN.
    """

    left: FromItem
    left_count: int
    right: FromItem
    columns: tuple[str, ...]

    def sides(self) -> tuple[list[Relation], list[Relation]]:
        """The relations of both sides."""
        left = [*self.left.relations, *_relations(self.left.joined[: self.left_count])]
        return left, _relations([self.right])


def _relations(items: Sequence[FromItem]) -> list[Relation]:
    found: list[Relation] = []
    stack = list(items)
    while stack:
        item = stack.pop()
        found += item.relations
        stack += item.joined
    return found
