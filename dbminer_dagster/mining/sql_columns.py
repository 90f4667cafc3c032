"""To which table a column belongs: certain from the text, or one of a few candidates.

What a column's name means depends on the columns of the tables in sight. Where only one table
can supply it, the column is certain. Otherwise the candidates are noted, and the inventory of
tables decides later: see `column_resolution`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dbminer_dagster.mining.references import ColumnCandidates, Findings, Level, Star
from dbminer_dagster.mining.sql_scope import (
    BEFORE_SELECT_LIST,
    MAX_QUALIFIERS,
    SELECT_LIST_FIRST,
    Join,
    Relation,
    Scope,
    StarItem,
)

MAX_STEPS = 500_000
"""A text of a megabyte may combine its names in more ways than anybody can wait for."""

# Every table answers to these, without having such columns.
_PSEUDO_COLUMNS = frozenset(
    {"_metadata", "_change_type", "_commit_version", "_commit_timestamp", "_rescued_data"}
)
_NO_TABLE = Level(frozenset(), is_open=True)


class TooManyStepsError(Exception):
    """The columns of a text take too long to find."""


@dataclass(frozen=True, slots=True)
class _Offer:
    """All that some relations together offer by name.

    Attributes:
        names: Columns that are listed.
        tables: Tables whose columns are passed on, each with the columns left out.
        is_open: Whether there may be columns that the text does not tell.
        is_shared: Whether one column may come of several tables.
    """

    names: frozenset[str] = frozenset()
    tables: frozenset[Star] = frozenset()
    is_open: bool = False
    is_shared: bool = False

    def level(self, column: str) -> Level:
        tables = [star.table for star in self.tables if column not in star.excluded]
        return Level(frozenset(tables), self.is_open, self.is_shared)


class Columns:
    """Finds the columns that a statement uses, once all sources of all scopes are known."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._offers: dict[Relation, _Offer | None] = {}
        self._scope_offers: dict[Scope, _Offer] = {}
        self._steps = 0

    def use(self, scope: Scope, position: int, parts: Sequence[str]) -> None:
        """Note the column that the lower-case `parts` mean where they stand."""
        qualifiers = min(MAX_QUALIFIERS, len(parts) - 1)
        for around in scope.outwards() if qualifiers else ():
            self._step(1)
            for length in range(qualifiers, 0, -1):
                relations = around.qualifiers.get(tuple(parts[:length]))
                if relations is not None:
                    self._use_of(relations, parts[length])
                    return
        self._use_unqualified(scope, position, parts[0])

    def use_all(self, relation: Relation) -> None:
        """Note that all that a relation passes on is used."""
        self._findings.stars |= self._offer(relation).tables

    def rename(self, relation: Relation) -> None:
        """Note that a relation's columns go by other names, told by their order alone."""
        for star in self._offer(relation).tables:
            self._findings.unknowns.add(("renamed_columns", star.table))

    def join(self, join: Join) -> None:
        """Note the columns of the same name by which two sides are joined."""
        left, right = join.sides()
        self._step(len(left) + len(right))
        for column in join.columns:
            self._use_of(left, column)
            self._use_of(right, column)
        if not join.columns:
            sides = self._together(left), self._together(right)
            self._join_naturally(*sides)
            self._join_naturally(*reversed(sides))

    def _join_naturally(self, one: _Offer, other: _Offer) -> None:
        """Note the columns of one side that the other has too."""
        shared_with = frozenset(star.table for star in other.tables)
        for star in one.tables:
            if shared_with:
                self._findings.stars.add(Star(star.table, star.excluded, shared_with))
            if other.is_open:
                self._findings.unknowns.add(("natural_join", star.table))
        for name in other.names - one.names:
            self._note(name, [one.level(name), _NO_TABLE])

    def _use_of(self, relations: Sequence[Relation], column: str) -> None:
        table = relations[0].table if len(relations) == 1 else None
        if table is not None:
            self._note_certain(table, column)
            return
        offer = self._together(relations)
        self._step(len(offer.tables))
        if column not in offer.names:
            self._note(column, [offer.level(column)])

    def _use_unqualified(self, scope: Scope, position: int, column: str) -> None:
        if position == SELECT_LIST_FIRST and column in scope.outputs:
            return
        levels: list[Level] = []
        inside: set[Relation] = set()
        for around in scope.outwards():
            offer = self._offer_of_scope(around, inside)
            self._step(1 + len(offer.tables))
            if column in offer.names or column in around.others:
                levels.append(_NO_TABLE)
                break
            level = offer.level(column)
            if level.tables or level.is_open:
                levels.append(level)
            if around is scope and scope.aliases.get(column, position) < position:
                levels.append(_NO_TABLE)
                break
        self._note(column, levels)

    def _note(self, column: str, levels: Sequence[Level]) -> None:
        tables = [table for level in levels for table in level.tables]
        if len(tables) == 1 and len(levels) == 1 and not levels[0].is_open:
            self._note_certain(tables[0], column)
        elif tables and column not in _PSEUDO_COLUMNS:
            self._findings.candidates.add(ColumnCandidates(column, tuple(levels)))

    def _note_certain(self, table: str, column: str) -> None:
        if column not in _PSEUDO_COLUMNS:
            self._findings.columns.add((table, column))

    def _offer_of_scope(self, scope: Scope, inside: set[Relation]) -> _Offer:
        """What the sources offer but the lateral queries that the column stands in."""
        if scope.lateral is not None:
            inside.add(scope.lateral)
        offer = self._scope_offers.get(scope)
        if offer is None or inside:
            offer = self._together([each for each in scope.relations if each not in inside])
            if scope.is_natural:
                offer = _Offer(offer.names, offer.tables, offer.is_open, is_shared=True)
            if not inside:
                self._scope_offers[scope] = offer
        return offer

    def _together(self, relations: Sequence[Relation]) -> _Offer:
        return self._united([self._offer(relation) for relation in relations])

    def _united(self, offers: Sequence[_Offer]) -> _Offer:
        if len(offers) == 1:
            return offers[0]
        self._step(sum([len(offer.names) + len(offer.tables) for offer in offers]))
        return _Offer(
            frozenset().union(*[offer.names for offer in offers]),
            frozenset().union(*[offer.tables for offer in offers]),
            any(offer.is_open for offer in offers),
            any(offer.is_shared for offer in offers),
        )

    def _without(self, offer: _Offer, excluded: frozenset[str]) -> _Offer:
        if not excluded:
            return offer
        self._step(len(excluded) * len(offer.tables))
        tables = [Star(star.table, star.excluded | excluded) for star in offer.tables]
        return _Offer(offer.names - excluded, frozenset(tables), offer.is_open, offer.is_shared)

    def _offer(self, relation: Relation) -> _Offer:
        """What the relation offers; those it builds on are looked at first, without recursion."""
        known = self._offers.get(relation)
        if known is not None:
            return known
        stack = [relation]
        while stack:
            current = stack[-1]
            if current not in self._offers:
                # Until it is known, a recursive query offers itself nothing.
                self._offers[current] = None
                stack += (inner for inner in self._inner(current) if inner not in self._offers)
            else:
                stack.pop()
                if self._offers[current] is None:
                    self._offers[current] = self._built(current)
        return self._offers[relation] or _Offer()

    def _inner(self, relation: Relation) -> Iterator[Relation]:
        for item in relation.stars:
            starred = self._starred(item)
            # A struct's column may be of any source.
            around = item.scope.outwards() if starred is None else ()
            yield from starred or (inner for scope in around for inner in scope.relations)

    def _starred(self, item: StarItem) -> Sequence[Relation] | None:
        """The relations whose columns a star stands for; `None` for a struct's fields."""
        for around in item.scope.outwards():
            if item.qualifier and item.qualifier in around.qualifiers:
                return around.qualifiers[item.qualifier]
            if not item.qualifier and around.relations:
                return around.relations
        return None if item.qualifier else ()

    def _built(self, relation: Relation) -> _Offer:
        """The offer of a relation from the offers of those that it passes on."""
        if relation.table is not None:
            return _Offer(tables=frozenset({Star(relation.table)}))
        offers = [_Offer(frozenset(relation.names), is_open=relation.is_open)]
        for item in relation.stars:
            starred = self._starred(item)
            if starred is None:
                self.use(item.scope, BEFORE_SELECT_LIST, item.qualifier)
                offers.append(_Offer(is_open=True))
            else:
                known = [self._offers.get(inner) or _Offer() for inner in starred]
                offers.append(self._without(self._united(known), item.excluded))
        built = self._united(offers)
        if relation.is_union and len(built.tables) > 1:
            return _Offer(built.names, built.tables, built.is_open, is_shared=True)
        return built

    def _step(self, count: int) -> None:
        self._steps += count
        if self._steps > MAX_STEPS:
            raise TooManyStepsError
