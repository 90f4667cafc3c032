"""What queries mean for a walk: SELECT and its clauses."""

from collections.abc import Sequence

from sqlglot import exp

from dbminer_dagster.mining.sql_scope import (
    AFTER_SELECT_LIST,
    BEFORE_SELECT_LIST,
    SELECT_LIST_FIRST,
    FromItem,
    Relation,
    Scope,
    StarItem,
)
from dbminer_dagster.mining.sql_sources import visit_joins
from dbminer_dagster.mining.sql_trees import (
    excluded_columns,
    is_star,
    output_names,
    projection_names,
    star_qualifier,
)
from dbminer_dagster.mining.sql_walk import Handlers, Result, Walk

_SEES_ALIASES = frozenset({"group", "windows"})
_SEES_OUTPUT = frozenset({"having", "order", "sort", "cluster", "distribute", "qualify"})
_HANDLED = frozenset({"with_", "expressions", "into", "from_", "joins"})
# Without an alias these may give columns whose names the text does not tell.
_GENERATORS = (exp.Explode, exp.Inline, exp.Stack, exp.Anonymous)


def _select(walk: Walk, outer: Scope, node: exp.Expr) -> None:
    args = node.args
    result = walk.result_of(node)
    scope = walk.inner_scope(outer, args)
    _select_list(walk, scope, args["expressions"], result)
    items = FromItem(scope, scope)
    if args.get("from_") is not None:
        walk.sources.append((items.join(scope), args["from_"].args["this"]))
    visit_joins(walk, items, args.get("joins"))
    for key, value in args.items():
        if value and key not in _HANDLED:
            position = AFTER_SELECT_LIST if key in _SEES_ALIASES else BEFORE_SELECT_LIST
            walk.visit(scope, value, SELECT_LIST_FIRST if key in _SEES_OUTPUT else position)


def _select_list(walk: Walk, scope: Scope, projections: Sequence[exp.Expr], result: Result) -> None:
    relation, is_open = result.relation, False
    for position, projection in enumerate(projections):
        if is_star(projection):
            item = StarItem(scope, star_qualifier(projection), excluded_columns(projection))
            relation.stars.append(item)
            continue
        for name in projection_names(projection):
            scope.aliases.setdefault(name, position)
        scope.outputs.update(output_names(projection))
        is_open = is_open or isinstance(projection, _GENERATORS)
        walk.visit(scope, projection, position)
    if result.gives_names:
        relation.names |= scope.outputs
        relation.is_open = is_open


def _set_operation(walk: Walk, outer: Scope, node: exp.Expr) -> None:
    args = node.args
    relation, gives_names = walk.result_of(node)
    relation.is_union = True
    scope = walk.inner_scope(outer, args) if args.get("with_") else outer
    walk.visit_query(scope, args["this"], Result(relation, gives_names))
    walk.visit_query(scope, args["expression"], Result(relation, gives_names=False))
    # ORDER BY names columns of the result, which are no table's.
    walk.visit(Scope(None, scope.ctes), args.get("order"))


def _subquery(walk: Walk, outer: Scope, node: exp.Expr) -> None:
    args = node.args
    scope = walk.inner_scope(outer, args) if args.get("with_") else outer
    walk.visit_query(scope, args["this"], walk.result_of(node))
    for key in ("joins", "laterals", "where"):
        walk.visit(scope, args.get(key))


def _exists(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    """Whether there are rows; which columns they have does not matter."""
    walk.visit_query(scope, node.args["this"], Result(Relation()))
    walk.visit(scope, node.args.get("expression"))


def _count(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    """`count(*)` counts rows and uses no column."""
    if type(node.args.get("this")) is not exp.Star:
        for value in node.args.values():
            walk.visit(scope, value)


def _lone_from(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    walk.sources.append((FromItem(scope, scope), node.args["this"]))


def _lone_join(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    visit_joins(walk, FromItem(scope, scope), [node])


def _lateral_view(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    walk.sources.append((FromItem(scope, scope), node))


def _lone_table(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    """A table outside FROM, as in `INSERT INTO a TABLE b`, is read as a whole."""
    alone = Scope(None, scope.ctes)
    walk.sources.append((FromItem(alone, alone), node))
    walk.use_whole(Relation(stars=[StarItem(alone)], is_open=False))


EXPRESSIONS: Handlers = {
    exp.Select: _select,
    exp.Union: _set_operation,
    exp.Except: _set_operation,
    exp.Intersect: _set_operation,
    exp.Subquery: _subquery,
    exp.Exists: _exists,
    exp.Count: _count,
    exp.From: _lone_from,
    exp.Join: _lone_join,
    exp.Lateral: _lateral_view,
    exp.Table: _lone_table,
}
