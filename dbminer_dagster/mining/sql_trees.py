"""What single nodes of a syntax tree say: names, aliases, targets."""

from collections.abc import Iterable
from typing import Any

from sqlglot import exp

from dbminer_dagster.mining.names import name_parts
from dbminer_dagster.mining.sql_tokens import STRING_COLUMN

# Functions whose first argument, when it is a literal, names a table.
NAMING_FUNCTIONS = frozenset({"IDENTIFIER", "TABLE_CHANGES"})
_NAMING = "IDENTIFIER"
_PARAMETERS = (exp.Placeholder, exp.Parameter)


def table_parts(table: exp.Expr) -> list[str] | None:
    """The parts of a table's name as written; `None` for functions and parameters."""
    args = table.args
    parts: list[str] = []
    for key in ("catalog", "db", "this"):
        part = args.get(key)
        if type(part) is exp.Identifier:
            parts.append("" if is_string(part) else part.args["this"])
        elif part is not None or key == "this":
            unusual = _unusual_parts(part)
            if not unusual:
                return None
            parts += unusual
    return parts if all(parts) else None


def is_string(identifier: exp.Expr) -> bool:
    """Whether a string was taken for a name, which it is not in Databricks."""
    return bool(identifier.args.get("quoted")) and identifier.meta.get("col") == STRING_COLUMN


def _unusual_parts(this: object) -> list[str]:
    """What a naming function is told, or the dotted end of a name of four parts and more."""
    if type(this) is exp.Anonymous and this.name.upper() in NAMING_FUNCTIONS:
        return identifier_parts(this)
    parts: list[str] = []
    while type(this) is exp.Dot and type(this.args["expression"]) is exp.Identifier:
        parts.append(this.args["expression"].args["this"])
        this = this.args["this"]
    if type(this) is not exp.Identifier:
        return []
    return [this.args["this"], *reversed(parts)]


def identifier_parts(call: exp.Expr) -> list[str]:
    """The parts of the name that a naming function is told; empty when no constant tells it."""
    arguments = call.args.get("expressions")
    text = _constant_text(arguments[0]) if arguments else None
    return [] if text is None else [part.strip() for part in name_parts(text)]


def _constant_text(node: exp.Expr) -> str | None:
    """The value of a literal, or of literals put together."""
    texts: list[str] = []
    stack = [node]
    while stack:
        args, kind = stack[-1].args, type(stack.pop())
        if kind is exp.Literal and args["is_string"]:
            texts.append(args["this"])
        elif kind is exp.DPipe:
            stack += [args["expression"], args["this"]]
        elif kind is exp.Concat:
            stack += reversed(args["expressions"])
        elif kind is exp.Paren:
            stack.append(args["this"])
        else:
            return None
    return "".join(texts)


def unknown_name(table: exp.Expr) -> str | None:
    """The parameter or variable that names a table; `None` when none does."""
    for key in ("catalog", "db", "this"):
        part = table.args.get(key)
        told = part if isinstance(part, _PARAMETERS) else identifier_argument(part)
        if told is not None:
            return parameter_name(told)
    return None


def parameter_name(told: exp.Expr) -> str:
    """How the first parameter (`:p`, `${p}`, `?`) or variable in an expression is called."""
    node = next(told.find_all(*_PARAMETERS, exp.Column), None)
    if node is None:
        return "?"
    if type(node) is exp.Column:
        return ".".join(column_parts(node.args))
    name = next((found.name for found in node.find_all(exp.Identifier, exp.Var)), node.name)
    # A number is none of its own: texts that differ in it are one template.
    return f":{name}" if name.strip("?.0123456789") else "?"


def identifier_argument(node: object) -> exp.Expr | None:
    """What `IDENTIFIER(…)` is told; `None` for anything else."""
    if type(node) is not exp.Anonymous or node.name.upper() != _NAMING:
        return None
    arguments = node.args.get("expressions")
    return arguments[0] if arguments else None


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
    name = ""
    if type(this) is exp.Identifier and not is_string(this):
        name = this.args["this"].lower()
    return name, [column.name.lower() for column in alias.args.get("columns") or ()]


def projection_names(projection: exp.Expr) -> list[str]:
    """The lower-case names that a select-list item is given by AS."""
    if type(projection) is exp.Alias:
        return [projection.alias.lower()]
    if type(projection) is exp.Aliases:
        return [name.name.lower() for name in projection.args["expressions"]]
    return []


def output_names(projection: exp.Expr) -> list[str]:
    """The lower-case names of the columns that a select-list item gives, where they are told."""
    kind = type(projection)
    if kind is exp.Column:
        return column_parts(projection.args)[-1:]
    if kind is exp.Dot and type(projection.args["expression"]) is exp.Identifier:
        return [projection.args["expression"].name.lower()]
    return projection_names(projection)


def is_star(node: exp.Expr) -> bool:
    """Whether the node is `*` or `t.*`."""
    return type(node) is exp.Star or (
        type(node) is exp.Column and type(node.args["this"]) is exp.Star
    )


def star_qualifier(star: exp.Expr) -> tuple[str, ...]:
    """What stands before the star, in lower case."""
    qualifiers = (star.args.get(key) for key in ("catalog", "db", "table"))
    return tuple(part.name.lower() for part in qualifiers if part is not None)


def excluded_columns(star: exp.Expr) -> frozenset[str]:
    """The columns that EXCEPT leaves out; a struct's field leaves its column in."""
    if type(star) is exp.Column:
        star = star.args["this"]
    columns = star.args.get("except_") or ()
    return names_within([column for column in columns if not column.args.get("table")])


def names_within(
    nodes: Iterable[exp.Expr], kind: type[exp.Expr] = exp.Identifier
) -> frozenset[str]:
    """The lower-case names of the nodes of a kind that are in or under `nodes`."""
    return frozenset(found.name.lower() for node in nodes for found in node.find_all(kind))


def target_table(target: object) -> exp.Expr | None:
    """The table that a statement writes to; `None` for a directory or a column list."""
    while type(target) is exp.Schema:
        inner, columns = target.args["this"], target.args.get("expressions")
        if columns and type(columns[0]) is not exp.Identifier and table_parts(inner) == [_NAMING]:
            # `INSERT INTO IDENTIFIER('t')` is parsed as a table with a list of columns.
            return exp.Table(this=exp.Anonymous(this=_NAMING, expressions=columns))
        target = inner
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
