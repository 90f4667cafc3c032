"""What the sources of a query mean for a walk: all that FROM and JOIN can name."""

from collections.abc import Sequence

from sqlglot import exp

from dbminer_dagster.mining.sql_scope import FromItem, Join, Relation, Scope, StarItem
from dbminer_dagster.mining.sql_trees import alias_of, names_within, table_parts
from dbminer_dagster.mining.sql_walk import Result, SourceHandlers, Walk


def visit_joins(walk: Walk, left: FromItem, joins: Sequence[exp.Expr] | None) -> None:
    """Visit what is joined to an item, and note the columns that the joins compare by name."""
    for join in joins or ():
        args = join.args
        scope = left.scope
        if args.get("kind") in {"SEMI", "ANTI"}:
            scope = Scope(left.scope, left.scope.ctes)  # its names are known in ON alone
        left_count = len(left.joined)
        right = left.join(scope)
        walk.sources.append((right, args["this"]))
        walk.visit(scope, args.get("on"))
        columns = tuple(column.name.lower() for column in args.get("using") or ())
        is_natural = args.get("method") == "NATURAL"
        if columns or is_natural:
            walk.joins.append(Join(left, left_count, right, columns))
            left.scope.others.update(columns)
            left.scope.is_natural |= is_natural


def _table_source(walk: Walk, item: FromItem, node: exp.Expr) -> None:
    _add_table(walk, item, node, *alias_of(node))
    _visit_rest(walk, item, node)


def _add_table(
    walk: Walk, item: FromItem, node: exp.Expr, alias: str, columns: Sequence[str]
) -> None:
    parts = table_parts(node)
    if parts is None:
        walk.note_unknown_name(node)
        walk.visit(item.home, node.args["this"])
        relation = Relation()
    else:
        relation = walk.read(item.home, parts)
    qualifier = [alias] if alias else [part.lower() for part in parts or ()]
    _add_relation(walk, item, node, qualifier, walk.rename(relation, columns))


def _add_relation(
    walk: Walk, item: FromItem, node: exp.Expr, qualifier: Sequence[str], relation: Relation
) -> None:
    """Add a source, or what PIVOT makes of it."""
    for pivot in node.args.get("pivots") or ():
        inner = Scope(item.home.outer, item.home.ctes)
        inner.add(qualifier, relation)
        alias, columns = alias_of(pivot)
        relation = walk.rename(_pivoted(walk, inner, pivot), columns)
        qualifier = [alias] if alias else qualifier
    item.add(qualifier, relation)


def _visit_rest(walk: Walk, item: FromItem, node: exp.Expr) -> None:
    visit_joins(walk, item, node.args.get("joins"))
    walk.visit(item.home, node.args.get("laterals"))


def _pivoted(walk: Walk, scope: Scope, pivot: exp.Expr) -> Relation:
    """What PIVOT or UNPIVOT makes of the one source of `scope`."""
    args = pivot.args
    fields = args.get("fields") or ()
    walk.visit(scope, list(fields))
    if not args.get("unpivot"):
        # It groups by every column that it does not name, and makes columns of values.
        walk.visit(scope, args.get("expressions"))
        walk.use_whole(Relation(stars=[StarItem(scope)], is_open=False))
        return Relation()
    made = [*args["expressions"], *(field.args["this"] for field in fields)]
    turned = [node for field in fields for node in field.args["expressions"]]
    star = StarItem(scope, excluded=names_within(turned, exp.Column))
    names = names_within(made, exp.Identifier)
    return Relation(names=set(names), stars=[star], is_open=False)


def _subquery_source(walk: Walk, item: FromItem, node: exp.Expr) -> None:
    inner = node.args["this"]
    alias, columns = alias_of(node)
    if type(inner) is exp.Table and alias and not inner.args.get("joins"):
        _add_table(walk, item, inner, alias, columns)
    elif type(inner) in SOURCES and not alias:
        walk.sources.append((item.join(item.scope), inner))
    else:
        relation = walk.rename(_derived_table(walk, item, node), columns)
        _add_relation(walk, item, node, [alias] if alias else (), relation)
    _visit_rest(walk, item, node)


def _derived_table(walk: Walk, item: FromItem, node: exp.Expr) -> Relation:
    """A derived table sees what its surroundings see, but not its neighbours in FROM."""
    inner = node.args["this"]
    detached = Scope(item.home.outer, item.home.ctes)
    walk.common_tables(detached, node.args)
    if type(inner) in SOURCES:
        walk.sources.append((FromItem(detached, detached), inner))
        return Relation(stars=[StarItem(detached)], is_open=False)
    relation = Relation()
    walk.visit_query(detached, inner, Result(relation))
    return relation


def _lateral_source(walk: Walk, item: FromItem, node: exp.Expr) -> None:
    inner = node.args["this"]
    relation = Relation()
    outside = Scope(item.home, item.home.ctes, lateral=relation)
    walk.visit_query(outside, inner, Result(relation))
    alias, columns = alias_of(node)
    if not (alias or columns):
        alias, columns = alias_of(inner)
    item.add([alias] if alias else (), walk.rename(relation, columns))


def _stream_source(walk: Walk, item: FromItem, node: exp.Expr) -> None:
    walk.sources.append((item, node.args["this"]))


def visit_other_source(walk: Walk, item: FromItem, node: exp.Expr) -> None:
    """VALUES and functions in FROM: their arguments may hold queries."""
    for key, value in node.args.items():
        if key != "alias":
            walk.visit(item.home, value)
    alias, columns = alias_of(node)
    item.add([alias] if alias else (), walk.rename(Relation(), columns))


SOURCES: SourceHandlers = {
    exp.Table: _table_source,
    exp.Subquery: _subquery_source,
    exp.Lateral: _lateral_source,
    exp.Stream: _stream_source,
    exp.Values: visit_other_source,
}
