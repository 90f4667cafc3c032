"""What statements that change tables mean for a walk: MERGE, INSERT, CREATE and the like."""

from sqlglot import exp

from dbminer_dagster.mining.sql_scope import FromItem, Relation, Scope
from dbminer_dagster.mining.sql_trees import alias_of, table_parts, target_table
from dbminer_dagster.mining.sql_walk import Handlers, Walk


def _add_target(walk: Walk, scope: Scope, target: object) -> None:
    """Note the target as written; its columns are no columns read."""
    table = target_table(target)
    if table is None:
        return
    parts = table_parts(table)
    if parts is None:
        walk.note_unknown_name(table)
    else:
        walk.findings.write(parts)
    alias, _ = alias_of(table)
    scope.add([alias] if alias else [part.lower() for part in parts or ()], Relation())


def _change(walk: Walk, outer: Scope, node: exp.Expr) -> None:
    """MERGE, UPDATE and DELETE, and the UPDATE inside a MERGE, which names no target."""
    scope = walk.inner_scope(outer, node.args)
    _add_target(walk, scope, node.args.get("this"))
    using = node.args.get("using")
    for source in using if type(using) is list else [using]:
        if isinstance(source, exp.Expr):
            walk.sources.append((FromItem(scope, scope), source))
    for key, value in node.args.items():
        if key == "expressions":
            walk.visit(scope, [_assigned(assignment) for assignment in value])
        elif key not in {"this", "using", "with_"}:
            walk.visit(scope, value)


def _assigned(assignment: exp.Expr) -> exp.Expr:
    """What `SET a = b` reads: `b`, whatever else has a column `a`."""
    return assignment.args["expression"] if type(assignment) is exp.EQ else assignment


def _insert(walk: Walk, outer: Scope, node: exp.Expr) -> None:
    """INSERT, and the one inside a MERGE, whose `this` is a list of columns, or a star."""
    scope = walk.inner_scope(outer, node.args)
    _add_target(walk, Scope(), node.args.get("this"))
    if type(node.args.get("this")) is exp.Star:
        walk.visit(scope, node.args["this"])
    walk.visit(scope, node.args.get("expression"))
    walk.visit(scope, node.args.get("source"))


def _multiple_inserts(walk: Walk, outer: Scope, node: exp.Expr) -> None:
    """`FROM t INSERT … SELECT … INSERT … SELECT …`: the queries share the source."""
    scope = walk.inner_scope(outer, node.args)
    walk.sources.append((FromItem(scope, scope), node.args["source"]))
    walk.visit(scope, node.args["expressions"])


def _only_target(walk: Walk, scope: Scope, node: exp.Expr) -> None:
    """COPY INTO, LOAD DATA, TRUNCATE: what they take in are files, if anything."""
    targets = node.args.get("this") or node.args.get("expressions")
    for target in targets if type(targets) is list else [targets]:
        _add_target(walk, scope, target)


def _create(walk: Walk, outer: Scope, node: exp.Expr) -> None:
    args = node.args
    if args.get("kind") == "FUNCTION":
        walk.only_tables = True  # an unqualified name may be a parameter
    scope = walk.inner_scope(outer, args)
    walk.visit(scope, args.get("expression"))
    if args.get("clone"):
        walk.sources.append((FromItem(scope, scope), args["clone"].args["this"]))
    table = target_table(args.get("this"))
    parts = None if table is None else table_parts(table)
    if table is None or args.get("kind") not in {"TABLE", "VIEW"}:
        return
    if parts is None:
        walk.note_unknown_name(table)
    else:
        _note_created(walk, parts, node)


def _note_created(walk: Walk, parts: list[str], node: exp.Expr) -> None:
    args = node.args
    properties = args.get("properties")
    kinds = {type(item) for item in properties.args["expressions"]} if properties else set()
    if exp.TemporaryProperty in kinds:
        walk.findings.create_view(parts, is_global=exp.GlobalProperty in kinds)
        return
    may_exist = args.get("exists") or args.get("refresh")
    is_filled = args["kind"] == "TABLE" and args.get("expression") is not None
    rebuild = bool(args.get("replace") or (is_filled and not may_exist))
    walk.findings.write(parts, rebuild=rebuild)


EXPRESSIONS: Handlers = {
    exp.Insert: _insert,
    exp.MultitableInserts: _multiple_inserts,
    exp.Update: _change,
    exp.Delete: _change,
    exp.Merge: _change,
    exp.Create: _create,
    exp.Copy: _only_target,
    exp.LoadData: _only_target,
    exp.TruncateTable: _only_target,
}
