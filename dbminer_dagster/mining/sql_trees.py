"""What single nodes of a syntax tree say: names, aliases, targets."""

from typing import Any

from sqlglot import exp

from dbminer_dagster.mining.names import name_parts

# Functions whose first argument, when it is a literal, names a table.
NAMING_FUNCTIONS = frozenset({"IDENTIFIER", "TABLE_CHANGES"})


def table_parts(table: exp.Expr) -> list[str] | None:
    """The parts of a table's name as written; `None` for functions and parameters."""
    args = table.args
    parts: list[str] = []
    for key in ("catalog", "db"):
        if (qualifier := args.get(key)) is not None:
            if type(qualifier) is not exp.Identifier:
                return None
            parts.append(qualifier.args["this"])
    this = args.get("this")
    last = [this.args["this"]] if type(this) is exp.Identifier else _unusual_parts(this)
    return [*parts, *last] if last and all(last) else None


def _unusual_parts(this: object) -> list[str]:
    """The literal of a naming function, or the dotted end of a name of four parts and more."""
    if type(this) is exp.Anonymous and this.name.upper() in NAMING_FUNCTIONS:
        arguments = this.args.get("expressions")
        if arguments and type(arguments[0]) is exp.Literal and arguments[0].is_string:
            return [part.strip() for part in name_parts(arguments[0].args["this"])]
        return []
    parts: list[str] = []
    while type(this) is exp.Dot and type(this.args["expression"]) is exp.Identifier:
        parts.append(this.args["expression"].args["this"])
        this = this.args["this"]
    if type(this) is not exp.Identifier:
        return []
    return [this.args["this"], *reversed(parts)]


def column_parts(args: dict[str, Any]) -> list[str]:
    """The lower-case parts of a column's name, qualifiers first; empty for `t.*`."""
    parts: list[str] = []
    for key in ("catalog", "db", "table", "this"):
        if (part := args.get(key)) is not None:
            if type(part) is not exp.Identifier:
                return []
            parts.append(part.args["this"].lower())
    return parts


def alias_of(node: object) -> tuple[str, list[str]]:
    """The lower-case alias of a source, empty without one, and the column names it lists."""
    alias = node.args.get("alias") if isinstance(node, exp.Expr) else None
    if type(alias) is exp.Identifier:
        return alias.args["this"].lower(), []
    if type(alias) is not exp.TableAlias:
        return "", []
    this = alias.args.get("this")
    name = this.args["this"].lower() if type(this) is exp.Identifier else ""
    return name, [column.name.lower() for column in alias.args.get("columns") or ()]


def projection_names(projection: exp.Expr) -> list[str]:
    """The lower-case names that a select-list item is given by AS."""
    if type(projection) is exp.Alias:
        return [projection.alias.lower()]
    if type(projection) is exp.Aliases:
        return [name.name.lower() for name in projection.args["expressions"]]
    return []


def target_table(target: object) -> exp.Expr | None:
    """The table that a statement writes to; `None` for a directory or a column list."""
    while type(target) is exp.Schema:
        target = target.args["this"]
    return target if isinstance(target, exp.Table) else None


def is_table_argument(call: exp.Expr) -> bool:
    """Whether the call is `TABLE(a.b.c)`, the way to hand a table to a function."""
    arguments = call.args.get("expressions")
    return (
        call.name.upper() == "TABLE"
        and arguments is not None
        and len(arguments) == 1
        and type(arguments[0]) is exp.Column
    )


def push_children(stack: list[exp.Expr], node: exp.Expr) -> None:
    """Put the children of `node` on the stack."""
    for value in node.args.values():
        if type(value) is list:
            for child in value:
                if isinstance(child, exp.Expr):
                    stack.append(child)  # noqa: PERF401  (a generator is slower)
        elif isinstance(value, exp.Expr):
            stack.append(value)
