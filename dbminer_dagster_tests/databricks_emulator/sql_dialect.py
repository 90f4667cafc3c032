"""Statements of Databricks SQL to DuckDB's dialect.

sqlglot does most of it; what stands here gives results the names and types of Databricks.
"""

from collections.abc import Callable

import sqlglot
import sqlglot.expressions as exp
from sqlglot.errors import ParseError, SqlglotError

from dbminer_dagster_tests.databricks_emulator.sql_errors import syntax_error, unsupported
from dbminer_dagster_tests.databricks_emulator.sql_parameters import Parameters

_INT_FUNCTIONS = (
    *(exp.Length, exp.DateDiff, exp.Extract, exp.ArraySize, exp.Year, exp.Month, exp.Day),
    *(exp.Hour, exp.Minute, exp.Second, exp.RowNumber, exp.Rank, exp.DenseRank),
)
"""They give `INT`, and `BIGINT` in DuckDB."""
_NAMED_THEMSELVES = exp.Alias | exp.Aliases | exp.Column | exp.Dot | exp.Star
MACROS = (
    "CREATE MACRO databricks_to_json(x) AS CASE WHEN typeof(x) LIKE 'STRUCT%' "
    "THEN json_merge_patch('{}', to_json(x)) ELSE to_json(x) END"
)
"""`to_json` leaves out the fields of a struct that are NULL."""

Source = Callable[[exp.Table], exp.Expr]


def parse(text: str) -> exp.Expr:
    """A statement of Databricks SQL.

    Raises:
        SqlError: It cannot be parsed, or is more than one.
    """
    try:
        found = [tree for tree in sqlglot.parse(text, dialect="databricks") if tree is not None]
    except ParseError as error:
        raise syntax_error(f"'{error.errors[0].get('highlight')}'") from error
    except SqlglotError as error:
        raise syntax_error(f"'{text[:20]}'") from error
    if len(found) != 1:
        raise syntax_error("end of input" if not found else "';'")
    return found[0]


def translated(tree: exp.Expr, parameters: Parameters, user: str, source: Source) -> str:
    """A query for DuckDB; the tree is changed.

    Args:
        tree: A `SELECT`, or several combined.
        parameters: The values of its markers.
        user: What `current_user()` is.
        source: Gives for each table that is named what is read instead of it.

    Raises:
        SqlError: It is not a query, a marker has no value, or `source` refuses a table.
    """
    if isinstance(tree, exp.Condition | exp.Alias):
        raise syntax_error(f"'{tree.sql('databricks')}'")
    if not isinstance(tree, exp.Query):
        raise unsupported(f"{type(tree).__name__.upper()} statements")
    _name_outputs(tree)
    _bind(tree, parameters)
    names = _replace_tables(tree, source)
    for column in tree.find_all(exp.Column):
        parts = tuple(part.name.lower() for part in column.parts)
        if parts[:3] in names and len(parts) > len(parts[:3]):
            column.set("catalog", None)
            column.set("db", None)
    for node in reversed(list(tree.walk())):
        _patch(node, user)
    return tree.sql("duckdb")


def _name_outputs(tree: exp.Query) -> None:
    """Gives columns without a name the one that Databricks gives, such as `count(1)`."""
    while isinstance(tree, exp.SetOperation):
        tree = tree.left
    for column in tree.expressions:
        if not isinstance(column, _NAMED_THEMSELVES):
            name = column.sql("databricks", normalize_functions="lower").replace(
                "count(*", "count(1"
            )
            bare = column.name if isinstance(column, exp.Literal) else name
            column.replace(exp.alias_(column.copy(), bare, quoted=True))


def _bind(tree: exp.Query, parameters: Parameters) -> None:
    markers = list(tree.find_all(exp.Placeholder, bfs=False))
    for position, marker in enumerate(markers):
        marker.replace(parameters.literal(marker.name or str(position)))


def _replace_tables(tree: exp.Query, source: Source) -> set[tuple[str, ...]]:
    """Puts what is read in the place of each table; the full names of the tables."""
    queries = {query.alias.lower() for query in tree.find_all(exp.CTE)}
    names: set[tuple[str, ...]] = set()
    for table in list(tree.find_all(exp.Table)):
        parts = tuple(part.name.lower() for part in table.parts)
        is_function = not isinstance(table.this, exp.Identifier)
        if is_function or (len(parts) == 1 and parts[0] in queries):
            continue
        read = source(table)
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name, True))
        for clause in ("joins", "pivots", "sample", "laterals"):
            if kept := table.args.get(clause):
                read.set(clause, kept)
        read.set("alias", alias)
        table.replace(read)
        names.add(parts)
    return names


def _patch(node: exp.Expr, user: str) -> None:
    """Puts what has Databricks' meaning and type in the place of one node."""
    if isinstance(node, exp.CurrentUser | exp.SessionUser):
        node.replace(exp.Literal.string(user))
    elif isinstance(node, exp.JSONFormat) and not node.args.get("is_json"):
        call = exp.func("databricks_to_json", node.this.copy())
        node.replace(exp.cast(call, "string"))
    elif isinstance(node, exp.TsOrDsAdd):
        _wrap(node, exp.Cast(to=exp.DataType.build("date")))
    elif isinstance(node, _INT_FUNCTIONS):
        whole = node.parent if isinstance(node.parent, exp.Window) else node
        _wrap(whole, exp.Cast(to=exp.DataType.build("int")))
    elif isinstance(node, exp.Like | exp.ILike) and "\\" in node.expression.name:
        _wrap(node, exp.Escape(expression=exp.Literal.string("\\")))


def _wrap(node: exp.Expr, wrapper: exp.Expr) -> None:
    node.replace(wrapper)
    wrapper.set("this", node)
