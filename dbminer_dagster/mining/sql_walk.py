"""Walk a syntax tree scope by scope and note which tables and columns it uses.

The walk keeps its own stacks, since a tree may be deeper than the interpreter's. What each kind
of node means is said in `sql_queries`, `sql_sources` and `sql_changes`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlglot import exp

from dbminer_dagster.mining.references import Findings
from dbminer_dagster.mining.sql_columns import Columns, TooManyStepsError
from dbminer_dagster.mining.sql_scope import (
    BEFORE_SELECT_LIST,
    CteNames,
    FromItem,
    Join,
    Relation,
    Scope,
    StarItem,
)
from dbminer_dagster.mining.sql_trees import (
    alias_of,
    column_parts,
    excluded_columns,
    identifier_argument,
    identifier_parts,
    is_table_argument,
    parameter_name,
    push_children,
    star_qualifier,
    unknown_name,
)

_LEAVES = frozenset({exp.Identifier, exp.Literal, exp.DataType, exp.Var, exp.Hint, exp.JSONPath})

Handler = Callable[["Walk", Scope, exp.Expr], None]
Handlers = Mapping[type[exp.Expr], Handler]
SourceHandler = Callable[["Walk", FromItem, exp.Expr], None]
SourceHandlers = Mapping[type[exp.Expr], SourceHandler]


class Result(NamedTuple):
    """Where a query's columns go.

    Attributes:
        relation: What the query fills.
        gives_names: Whether its columns' names count: in a union those of the first query do.
    """

    relation: Relation
    gives_names: bool = True


class Walk:
    """One walk over a statement: expressions and sources to visit, columns to resolve.

    Attributes:
        findings: Where references are noted.
        sources: What FROM and JOIN name, with the item to fill, yet to be visited.
        joins: Joins by columns of the same name.
        only_tables: Whether columns are left alone.
    """

    def __init__(self, findings: Findings, variables: set[str] | None = None) -> None:
        """Start a walk.

        Args:
            findings: Where to note what is found.
            variables: Names that a script declares; columns of that name come first.
        """
        self.findings = findings
        self.sources: list[tuple[FromItem, exp.Expr]] = []
        self.joins: list[Join] = []
        self.only_tables = False
        self._variables = variables or set()
        self._results: dict[int, Result] = {}
        self._used_whole: list[Relation] = []
        self._renamed: list[Relation] = []
        self._expressions: list[tuple[Scope, int, list[exp.Expr]]] = []
        self._columns: dict[tuple[Scope, int, tuple[str, ...]], None] = {}

    def run(
        self,
        statement: exp.Expr,
        expressions: Handlers,
        sources: SourceHandlers,
        other_source: SourceHandler,
    ) -> None:
        """Visit the whole statement with a handler for each kind of node."""
        self.visit(Scope(others=self._variables), statement)
        while self.sources or self._expressions:
            if self.sources:
                item, source = self.sources.pop()
                sources.get(type(source), other_source)(self, item, source)
            else:
                self._visit_all(expressions, *self._expressions.pop())
        if not self.only_tables:
            self._resolve_columns()

    def visit(self, scope: Scope, value: object, position: int = BEFORE_SELECT_LIST) -> None:
        """Visit later, in `scope`, an argument of a node: a node, a list, or a plain value."""
        if isinstance(value, exp.Expr):
            self._expressions.append((scope, position, [value]))
        elif type(value) is list:
            nodes = [node for node in value if isinstance(node, exp.Expr)]
            self._expressions.append((scope, position, nodes))

    def visit_query(self, scope: Scope, query: exp.Expr, result: Result) -> None:
        """Visit a query later, and let it fill `result`."""
        self._results[id(query)] = result
        self.visit(scope, query)

    def result_of(self, query: exp.Expr) -> Result:
        """Where the query's columns go; what nobody waits for is used as a whole."""
        result = self._results.pop(id(query), None)
        return Result(self.use_whole(Relation())) if result is None else result

    def use_whole(self, relation: Relation) -> Relation:
        """Note that all columns of the relation are used."""
        self._used_whole.append(relation)
        return relation

    def rename(self, relation: Relation, columns: Sequence[str]) -> Relation:
        """The relation as its alias lists its columns."""
        if not columns:
            return relation
        self._renamed.append(relation)
        return Relation(names=set(columns), is_open=False)

    def read(self, scope: Scope, parts: Sequence[str]) -> Relation:
        """What `parts` name: a common table expression, or a table whose read is noted."""
        if len(parts) == 1 and scope.ctes is not None:
            relation = scope.ctes.find(parts[0].lower())
            if relation is not None:
                return relation
        table = self.findings.read(parts)
        return Relation(table, is_open=table is None)

    def note_unknown_name(self, node: exp.Expr) -> None:
        """Note that a table's name is known only when the statement runs, if it is so."""
        if (name := unknown_name(node)) is not None:
            self.findings.unknowns.add(("parameter_name", name))

    def inner_scope(self, outer: Scope, args: Mapping[str, Any]) -> Scope:
        """A scope inside `outer` that also sees the node's own WITH."""
        scope = Scope(outer, outer.ctes)
        self.common_tables(scope, args)
        return scope

    def common_tables(self, scope: Scope, args: Mapping[str, Any]) -> None:
        """Visit WITH; each of its queries sees the names before it, a recursive one its own too."""
        clause = args.get("with_")
        if clause is None:
            return
        outer, ctes = scope.ctes, clause.args["expressions"]
        order: dict[str, int] = {}
        relations: list[Relation] = []
        own = 1 if clause.args.get("recursive") else 0
        for index, cte in enumerate(ctes):
            name, columns = alias_of(cte)
            order.setdefault(name, index)
            relation = Relation()
            relations.append(self.rename(relation, columns))
            names = CteNames(order, relations, index + own, outer)
            self.visit_query(Scope(scope.outer, names), cte.args["this"], Result(relation))
        scope.ctes = CteNames(order, relations, len(ctes), outer)

    def _visit_all(
        self, handlers: Handlers, scope: Scope, position: int, stack: list[exp.Expr]
    ) -> None:
        while stack:
            node = stack.pop()
            kind = type(node)
            if kind is exp.Column and type(node.args["this"]) is not exp.Star:
                self._use_column(scope, position, column_parts(node.args))
            elif kind in handlers:
                handlers[kind](self, scope, node)
            elif kind is exp.Column or kind is exp.Star:
                item = StarItem(scope, star_qualifier(node), excluded_columns(node))
                self.use_whole(Relation(stars=[item], is_open=False))
            elif kind is exp.Anonymous and self._uses_name(scope, position, node):
                continue
            elif kind not in _LEAVES:
                push_children(stack, node)

    def _use_column(self, scope: Scope, position: int, parts: Sequence[str]) -> None:
        if parts:
            self._columns[scope, position, tuple(parts)] = None

    def _uses_name(self, scope: Scope, position: int, call: exp.Expr) -> bool:
        """Note what `TABLE(a.b.c)` or `IDENTIFIER(…)` names; false for any other call."""
        if is_table_argument(call):
            self.read(scope, column_parts(call.args["expressions"][0].args))
            return True
        told = identifier_argument(call)
        if told is None:
            return False
        parts = identifier_parts(call)
        self._use_column(scope, position, [part.lower() for part in parts])
        if not parts:
            self.findings.unknowns.add(("parameter_name", parameter_name(told)))
        return True

    def _resolve_columns(self) -> None:
        """Done last, when all sources of all scopes are known."""
        columns = Columns(self.findings)
        try:
            for scope, position, parts in self._columns:
                columns.use(scope, position, parts)
            for relation in self._used_whole:
                columns.use_all(relation)
            for relation in self._renamed:
                columns.rename(relation)
            for join in self.joins:
                columns.join(join)
        except TooManyStepsError:
            self.findings.forget_columns("too_many_columns")
