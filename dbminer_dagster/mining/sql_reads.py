"""Which tables and columns a text of SQL uses: parsed where possible, else scanned for names."""

import logging
from collections.abc import Sequence

from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError, SqlglotError

from dbminer_dagster.mining import sql_changes, sql_queries, sql_sources
from dbminer_dagster.mining.long_texts import shortened
from dbminer_dagster.mining.names import name_parts
from dbminer_dagster.mining.references import Findings, References, Session
from dbminer_dagster.mining.sql_equivalents import spelled_out
from dbminer_dagster.mining.sql_scripts import Script, executed_text, executes_text
from dbminer_dagster.mining.sql_tokens import (
    DATABRICKS,
    bare_joins,
    defines_procedure,
    first_keyword,
    is_balanced,
    is_script,
    nesting,
    read_name,
    statements,
    tokenize,
    word,
)
from dbminer_dagster.mining.sql_walk import Handlers, Walk
from dbminer_dagster.mining.sql_words import METADATA, SCRIPT_WORDS, STATEMENTS
from dbminer_dagster.mining.token_scan import scan

__all__ = ["References", "referenced_tables"]

MAX_PARSED_LENGTH = 1 << 20
MAX_LENGTH = 16 << 20
# Some 200 bytes of memory for each sign.
MAX_SCANNED_LENGTH = 2 << 20
# Far below the some 6,000 levels at which the compiled parser overflows the C stack.
MAX_DEPTH = 500
MAX_BARE_JOINS = 10

_EXPRESSIONS: Handlers = {**sql_queries.EXPRESSIONS, **sql_changes.EXPRESSIONS}
_TREES = (
    exp.Query,
    exp.Values,
    exp.Insert,
    exp.MultitableInserts,
    exp.Update,
    exp.Delete,
    exp.Merge,
    exp.Create,
    exp.Copy,
    exp.LoadData,
    exp.TruncateTable,
)

# sqlglot logs a line for every statement that it does not know.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


class _NotUnderstoodError(Exception):
    """The text is not SQL that this module knows."""


def referenced_tables(
    sql: str, *, catalog: str | None = None, schema: str | None = None
) -> References:
    """Find the tables and columns that a text uses.

    Args:
        sql: One statement, or several with semicolons between them.
        catalog: Catalog of two-part names; without it they stay as written.
        schema: Schema of one-part names; without it they stay as written.

    Returns:
        The references. Text that cannot be understood raises nothing: the result's `error` says
        why, and its sets are empty.
    """
    try:
        return _references(sql, Session(catalog, schema))
    except _NotUnderstoodError as error:
        return References.failed(str(error))
    except Exception as error:  # a promise to callers, who pass text that anybody may have typed
        return References.failed(f"an unforeseen {type(error).__name__}")


def _references(sql: str, session: Session) -> References:
    if len(sql) > MAX_LENGTH:
        raise _NotUnderstoodError(f"the text is longer than {MAX_LENGTH} characters")
    if len(sql) > MAX_PARSED_LENGTH:
        sql = shortened(sql)
        if len(sql) > MAX_SCANNED_LENGTH:
            raise _NotUnderstoodError(f"its code is longer than {MAX_SCANNED_LENGTH} characters")
    findings = Findings(session)
    is_scanned = _find_in_text(sql, findings)
    return findings.references("scanned" if is_scanned else "parsed")


def _find_in_text(sql: str, findings: Findings) -> bool:
    """Note what all statements of a text use; returns whether names had to be scanned for."""
    outcomes = [_add(statement, sql, findings) for statement in statements(_tokens(sql))]
    if not outcomes:
        raise _NotUnderstoodError("the text holds no statement")
    return any(outcomes)


def _add(
    tokens: Sequence[Token], sql: str, total: Findings, variables: set[str] | None = None
) -> bool:
    findings = Findings(total.session)
    is_scanned = _find(tokens, sql, findings, variables)
    total.session.temporary_views |= findings.temporary_views
    total.add(findings)
    return is_scanned


def _tokens(sql: str) -> list[Token]:
    try:
        return tokenize(sql)
    except SqlglotError:
        raise _NotUnderstoodError("a quote or a comment is not closed") from None


def _find(
    tokens: Sequence[Token], sql: str, findings: Findings, variables: set[str] | None = None
) -> bool:
    """Note what one statement uses; returns whether its names had to be scanned for."""
    tokens = spelled_out(tokens)
    keyword = first_keyword(tokens)
    if is_script(tokens):
        return _find_in_script(tokens, sql, findings)
    if keyword == "BEGIN" or defines_procedure(tokens):
        return False  # a transaction, or a script that does not run yet
    if keyword == "EXECUTE" and executes_text(tokens):
        return _find_in_executed(tokens, findings)
    if keyword in METADATA:
        _change_defaults(tokens, findings.session)
        return False
    if keyword not in STATEMENTS:
        raise _NotUnderstoodError("the text starts with no known statement")
    tree, problem = _parse(tokens, sql)
    if tree is not None:
        walk = Walk(findings, variables)
        walk.run(tree, _EXPRESSIONS, sql_sources.SOURCES, sql_sources.visit_other_source)
        return False
    scan(tokens, findings)
    if findings.is_empty() or not is_balanced(tokens):
        raise _NotUnderstoodError(problem)
    return True


def _find_in_script(tokens: Sequence[Token], sql: str, findings: Findings) -> bool:
    """Note what the statements of a script use, of which one may be beyond us."""
    script = Script(tokens)
    outcomes: list[bool] = []
    errors: list[str] = []
    for statement in script.statements():
        keyword = first_keyword(statement)
        if keyword not in SCRIPT_WORDS:
            try:
                outcomes.append(_add(statement, sql, findings, script.variables))
            except _NotUnderstoodError as error:
                errors.append(str(error))
                findings.unknowns.add(("script_statement", keyword.lower()))
    if errors and not outcomes:
        raise _NotUnderstoodError(errors[0])
    return any(outcomes)


def _find_in_executed(tokens: Sequence[Token], findings: Findings) -> bool:
    """Note what a text uses that a statement puts together and runs, if a literal tells it."""
    text, is_known = executed_text(tokens)
    if is_known:
        return _find_in_text(text, findings)
    findings.unknowns.add(("dynamic_sql", text))
    return False


def _parse(tokens: Sequence[Token], sql: str) -> tuple[exp.Expr | None, str]:
    """The syntax tree, or `None` and the reason."""
    if problem := _danger(tokens, sql):
        return None, problem
    try:
        trees = DATABRICKS.parser().parse(list(tokens), sql)
    except RecursionError:
        return None, "the text nests too deep to parse"
    except ParseError as error:
        # Only the description: the message proper quotes the text, which may hold secrets.
        first = error.errors[0] if error.errors else {}
        description = str(first.get("description")).partition(" but got ")[0]
        return None, f"{description} at line {first.get('line')}"
    except Exception as error:  # the parser also fails in ways of its own on odd text
        return None, f"the parser failed with {type(error).__name__}"
    tree = trees[0] if len(trees) == 1 else None
    return (tree, "") if isinstance(tree, _TREES) else (None, "the statement is not known")


def _danger(tokens: Sequence[Token], sql: str) -> str:
    """What would make the parser crash or take for ever; empty for nearly all texts."""
    if len(sql) > MAX_PARSED_LENGTH:
        return "the text is too long to parse"
    if len(tokens) > MAX_DEPTH and nesting(tokens) > MAX_DEPTH:
        return "the text nests too deep to parse"
    if bare_joins(tokens) > MAX_BARE_JOINS:
        return "the text joins too many tables without a condition to parse"
    return ""


def _change_defaults(tokens: Sequence[Token], session: Session) -> None:
    """Follow `USE [CATALOG|SCHEMA] …` and `SET CATALOG …`; an unknown name clears the default."""
    verb, kind = word(tokens, 0), word(tokens, 1)
    is_catalog = kind == "CATALOG"
    if verb not in {"USE", "SET"} or (verb == "SET" and not is_catalog):
        return
    start = 2 if is_catalog or kind in {"SCHEMA", "DATABASE", "NAMESPACE"} else 1
    parts, _ = read_name(tokens, start)
    if word(tokens, start) == "IDENTIFIER" or not parts:
        parts = [
            part
            for t in tokens[start:]
            if t.token_type == TokenType.STRING
            for part in name_parts(t.text)
        ]
    if is_catalog:
        session.use_catalog(parts[0] if parts else None)
    else:
        session.use_schema(parts)
