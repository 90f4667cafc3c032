"""Statements of other kinds that hold a query, as the CREATE or SELECT that they amount to."""

from collections.abc import Sequence

from sqlglot import Token, TokenType

from dbminer_dagster.mining.sql_tokens import read_name, word
from dbminer_dagster.mining.sql_words import STARTS_QUERY

_CREATE_VIEW = {
    "ALTER": [
        Token(TokenType.CREATE, "CREATE"),
        Token(TokenType.OR, "OR"),
        Token(TokenType.REPLACE, "REPLACE"),
        Token(TokenType.VIEW, "VIEW"),
    ],
    "CACHE": [
        Token(TokenType.CREATE, "CREATE"),
        Token(TokenType.TEMPORARY, "TEMPORARY"),
        Token(TokenType.VIEW, "VIEW"),
    ],
}


def spelled_out(tokens: Sequence[Token]) -> Sequence[Token]:
    """The tokens to parse for a statement, which are nearly always its own.

    `ALTER VIEW v AS query` replaces a view, `CACHE TABLE t AS query` makes a temporary one, and
    `SET VAR x = (query)` and `DECLARE x DEFAULT (query)` read what they take.
    """
    verb = word(tokens, 0)
    if verb in {"ALTER", "CACHE"}:
        name, query = _name_and_query(tokens)
        if query:
            return [*_CREATE_VIEW[verb], *name, Token(TokenType.ALIAS, "AS"), *query]
    elif verb in {"SET", "DECLARE"}:
        for index in range(len(tokens) - 1):
            if word(tokens, index) == "(" and word(tokens, index + 1) in {"SELECT", "WITH"}:
                return [Token(TokenType.SELECT, "SELECT"), *tokens[index:]]
    return tokens


def _name_and_query(tokens: Sequence[Token]) -> tuple[Sequence[Token], Sequence[Token]]:
    """The name and the query of `ALTER VIEW` and `CACHE TABLE`; no query if there is none."""
    start = 3 if word(tokens, 1) == "LAZY" else 2
    if word(tokens, start - 1) not in {"TABLE", "VIEW"}:
        return (), ()
    _, end = read_name(tokens, start)
    index = end
    if word(tokens, index) == "OPTIONS":
        while index < len(tokens) and word(tokens, index) != ")":
            index += 1
        index += 1
    index += word(tokens, index) == "AS"
    return tokens[start:end], tokens[index:] if word(tokens, index) in STARTS_QUERY else ()
