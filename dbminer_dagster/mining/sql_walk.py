"""Walk a syntax tree scope by scope and note which tables and columns it uses.

The walk keeps its own stacks, since a tree may be deeper than the interpreter's. What each kind
of node means is said in `sql_queries` and `sql_changes`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlglot import exp

from dbminer_dagster.mining.references import Findings
from dbminer_dagster.mining.sql_scope import BEFORE_SELECT_LIST, CteNames, Scope
from dbminer_dagster.mining.sql_trees import column_parts, is_table_argument, push_children

_LEAVES = frozenset(
    {exp.Identifier, exp.Literal, exp.Star, exp.DataType, exp.Var, exp.Hint, exp.JSONPath}
)

Handler = Callable[["Walk", Scope, exp.Expr], None]
Handlers = Mapping[type[exp.Expr], Handler]


class Walk:
    """One walk over a statement: expressions and sources to visit, columns to resolve.

    Attributes:
        findings: Where references are noted.
        sources: What FROM and JOIN name, with the scope it belongs to, yet to be visited.
        only_tables: Whether columns are left alone.
    """

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.sources: list[tuple[Scope, exp.Expr]] = []
        self.only_tables = False
        self._expressions: list[tuple[Scope, int, list[exp.Expr]]] = []
        self._columns: list[tuple[Scope, int, dict[str, Any]]] = []

    def run(
        self,
        statement: exp.Expr,
        expressions: Handlers,
        sources: Handlers,
        other_source: Handler,
    ) -> None:
        """Visit the whole statement with a handler for each kind of node."""
        self.visit(Scope(), statement)
        while self.sources or self._expressions:
            if self.sources:
                scope, source = self.sources.pop()
                sources.get(type(source), other_source)(self, scope, source)
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

    def read(self, scope: Scope, parts: Sequence[str]) -> str | None:
        """Note a read unless `parts` name a common table expression."""
        if len(parts) == 1 and scope.ctes is not None and parts[0].lower() in scope.ctes:
            return None
        return self.findings.read(parts)

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
        for index, cte in enumerate(ctes):
            order.setdefault(cte.alias.lower(), index)
        own = 1 if clause.args.get("recursive") else 0
        for index, cte in enumerate(ctes):
            names = CteNames(order, index + own, outer)
            self.visit(Scope(scope.outer, names), cte.args["this"])
        scope.ctes = CteNames(order, len(ctes), outer)

    def _visit_all(
        self, handlers: Handlers, scope: Scope, position: int, stack: list[exp.Expr]
    ) -> None:
        while stack:
            node = stack.pop()
            kind = type(node)
            if kind is exp.Column:
                self._columns.append((scope, position, node.args))
            elif kind in handlers:
                handlers[kind](self, scope, node)
            elif kind is exp.Anonymous and is_table_argument(node):
                self.read(scope, column_parts(node.args["expressions"][0].args))
            elif kind not in _LEAVES:
                push_children(stack, node)

    def _resolve_columns(self) -> None:
        """Done last, when all sources of all scopes are known."""
        reads, columns = self.findings.reads, self.findings.columns
        for scope, position, args in self._columns:
            pair = scope.column(column_parts(args), position)
            if pair is not None and pair[0] in reads:
                columns.add(pair)
