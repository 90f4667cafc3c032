"""What queries mean for a walk: SELECT and its clauses, and all that FROM can name."""

from sqlglot import exp

from dbminer_dagster.mining.sql_scope import AFTER_SELECT_LIST, BEFORE_SELECT_LIST, Scope
from dbminer_dagster.mining.sql_trees import alias_of, projection_names, table_parts
from dbminer_dagster.mining.sql_walk import Handlers, Walk

_SEES_ALIASES = frozenset(
    {"group", "having", "order", "sort", "cluster", "distribute", "qualify", "windows"}
)


def _select(walk: Walk, outer: Scope, node: exp.Expr) -> None:
    args = node.args
    scope = walk.inner_scope(outer, args)
    for position, projection in enumerate(args["expressions"]):
        for name in projection_names(projection):
            scope.aliases.setdefault(name, position)
        walk.visit(scope, projection, position)
    for key, value in args.items():
        if value and key not in {"with_", "expressions", "into"}:
            position = AFTER_SELECT_LIST if key in _SEES_ALIASES else BEFORE_SELECT_LIST
            walk.visit(scope, value, position)


def _set_operation(walk: Walk, outer: Scope, node: exp.Expr) -> None:
    args = node.args
    scope = walk.inner_scope(outer, args) if args.get("with_") else outer
    walk.visit(scope, args["this"])
    walk.visit(scope, args["expression"])
    # ORDER BY names columns of the result, which are no table's.
    walk.visit(Scope(None, scope.ctes, sources=[None]), args.get("order"))


def _subquery(walk: Walk, outer: Scope, node: exp.Expr) -> None:
    args = node.args
    scope = walk.inner_scope(outer, args) if args.get("with_") else outer
    for key in ("this", "joins", "laterals", "where"):
        walk.visit(scope, args.get(key))


def _from(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    walk.sources.append((scope, node.args["this"]))


def _join(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    walk.sources.append((scope, node.args["this"]))
    walk.visit(scope, node.args.get("on"))


def _lateral_view(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    walk.sources.append((scope, node))


def _lone_table(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    """A table outside FROM, as in `INSERT INTO a TABLE b`, is read but lends no columns."""
    walk.sources.append((Scope(None, scope.ctes), node))


def _table_source(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    _add_table(walk, scope, node, *alias_of(node))


def _add_table(walk: Walk, scope: Scope, node: exp.Expr, alias: str, columns: list[str]) -> None:
    args = node.args
    parts = table_parts(node)
    if parts is None:
        walk.visit(scope, args["this"])
        scope.add_produced(alias, columns)
    else:
        name = walk.read(scope, parts)
        qualifier = [alias] if alias else [part.lower() for part in parts]
        if args.get("pivots"):
            _visit_pivots(walk, scope, args["pivots"], qualifier, name)
            name = None
        scope.add(qualifier, None if columns else name)
    walk.visit(scope, args.get("joins"))
    walk.visit(scope, args.get("laterals"))


def _visit_pivots(
    walk: Walk, scope: Scope, pivots: list[exp.Expr], qualifier: list[str], table: str | None
) -> None:
    """Visit the columns that PIVOT uses; the columns that come out of it are no table's."""
    inner = Scope(None, scope.ctes)
    inner.add(qualifier, table)
    for pivot in pivots:
        walk.visit(inner, pivot.args.get("fields"))
        if not pivot.args.get("unpivot"):
            walk.visit(inner, pivot.args.get("expressions"))
        scope.tables[(alias_of(pivot)[0],)] = None


def _subquery_source(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    args, inner = node.args, node.args["this"]
    alias, columns = alias_of(node)
    if type(inner) is exp.Table and alias and not inner.args.get("joins"):
        _add_table(walk, scope, inner, alias, columns)
    elif type(inner) in SOURCES and not alias:
        walk.sources.append((scope, inner))
    else:
        _derived_table(walk, scope, node)
        scope.add_produced(alias, columns)
    walk.visit(scope, args.get("joins"))
    walk.visit(scope, args.get("laterals"))


def _derived_table(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    """A derived table sees what its surroundings see, but not its neighbours in FROM."""
    inner = node.args["this"]
    detached = Scope(scope.outer, scope.ctes)
    walk.common_tables(detached, node.args)
    if type(inner) in SOURCES:
        walk.sources.append((detached, inner))
    else:
        walk.visit(detached, inner)


def _lateral_source(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    inner = node.args["this"]
    walk.visit(scope, inner)
    alias, columns = alias_of(node)
    scope.add_produced(*((alias, columns) if alias or columns else alias_of(inner)))


def _stream_source(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    walk.sources.append((scope, node.args["this"]))


def visit_other_source(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    """VALUES and functions in FROM: their arguments may hold queries."""
    for key, value in node.args.items():
        if key != "alias":
            walk.visit(scope, value)
    scope.add_produced(*alias_of(node))


EXPRESSIONS: Handlers = {
    exp.Select: _select,
    exp.Union: _set_operation,
    exp.Except: _set_operation,
    exp.Intersect: _set_operation,
    exp.Subquery: _subquery,
    exp.From: _from,
    exp.Join: _join,
    exp.Lateral: _lateral_view,
    exp.Table: _lone_table,
}
SOURCES: Handlers = {
    exp.Table: _table_source,
    exp.Subquery: _subquery_source,
    exp.Lateral: _lateral_source,
    exp.Stream: _stream_source,
    exp.Values: visit_other_source,
}
