"""Tokens of a text: its statements, how deep they nest, and the names they spell."""

import re
from collections.abc import Iterator, Sequence

from sqlglot import Token, TokenType

from dbminer_dagster.mining.sql_comments import DATABRICKS, with_whole_phrases
from dbminer_dagster.mining.sql_identifiers import spelled_identifier
from dbminer_dagster.mining.sql_words import BEFORE_QUERY, STARTS_NO_NAME, TRANSACTION

# The parser takes a string for a name: its column, which is no token's, tells it from one.
STRING_COLUMN = -1
LITERALS = frozenset(
    {
        TokenType.BIT_STRING,
        TokenType.BYTE_STRING,
        TokenType.HEREDOC_STRING,
        TokenType.HEX_STRING,
        TokenType.NATIONAL_STRING,
        TokenType.NUMBER,
        TokenType.RAW_STRING,
        TokenType.STRING,
        TokenType.UNICODE_STRING,
    }
)
_PARENTHESES = {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}
_OTHER_NESTING = {
    TokenType.CASE: 1,
    TokenType.END: -1,
    TokenType.L_BRACKET: 1,
    TokenType.R_BRACKET: -1,
    TokenType.LT: 1,
    TokenType.GT: -1,
}
_JOINS = frozenset({TokenType.JOIN, TokenType.STRAIGHT_JOIN})
_NO_CONDITION = frozenset({TokenType.CROSS, TokenType.NATURAL})
_CONDITION = frozenset({TokenType.ON, TokenType.USING})
_NAMES = frozenset({TokenType.VAR, TokenType.IDENTIFIER})
_PREFIXES = frozenset({TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE})
_QUERY = frozenset({TokenType.SELECT, TokenType.FROM})
_SOURCE = _JOINS | {TokenType.FROM}


# The tokenizer miscounts comments in comments where two signs touch.
_TOUCHING_SIGNS = re.compile(r"/\*(?=/)|\*/(?=\*/)")
_UPSETTING = re.compile(r"@|/\*\+|\b(?:evolution|identifier|recursion|table)\b", re.IGNORECASE)
_QUERY_FOR_TABLE = (TokenType.SELECT, "SELECT"), (TokenType.STAR, "*"), (TokenType.FROM, "FROM")


def tokenize(sql: str) -> list[Token]:
    """The tokens of a text, without those that mislead the parser and bear on no reference."""
    tokens = DATABRICKS.tokenize(with_whole_phrases(_TOUCHING_SIGNS.sub(r"\g<0> ", sql)))
    for token in tokens:
        if token.token_type == TokenType.STRING:
            token.col = STRING_COLUMN
    if _UPSETTING.search(sql):
        tokens = list(_plain(tokens))
    return tokens


def _plain(tokens: Sequence[Token]) -> Iterator[Token]:
    """Leave out hints, `@version`, WITH SCHEMA EVOLUTION, MAX RECURSION LEVEL; expand `TABLE t`."""
    index = 0
    while index < len(tokens):
        token = tokens[index]
        skipped = _skipped(tokens, index)
        if skipped:
            index += skipped
            continue
        name, after = spelled_identifier(tokens, index)
        if name:
            yield from name
            index = after
            continue
        if token.token_type == TokenType.TABLE and _is_query(tokens, index):
            yield from (Token(kind, text) for kind, text in _QUERY_FOR_TABLE)
        else:
            yield token
        index += 1


def _skipped(tokens: Sequence[Token], index: int) -> int:
    """How many tokens from `index` on bear on no reference."""
    if tokens[index].token_type == TokenType.HINT:
        return 1
    if _is_version(tokens, index):
        return 2
    if word(tokens, index) == "WITH" and word(tokens, index + 2) == "EVOLUTION":
        return 3
    if word(tokens, index) == "MAX" and word(tokens, index + 1) == "RECURSION":
        return 4
    return 0


def _is_query(tokens: Sequence[Token], index: int) -> bool:
    """Whether the `TABLE` at `index` is short for SELECT * FROM, not part of a longer phrase."""
    before = word(tokens, index - 1)
    if index > 0 and before not in BEFORE_QUERY:
        return False
    if before == "(" and index > 1 and tokens[index - 2].token_type in _NAMES:
        return False  # an argument, or a column of that name
    return bool(read_name(tokens, index + 1)[0])


def _is_version(tokens: Sequence[Token], index: int) -> bool:
    """Whether `@v12` or `@20240131000000000` follows a name directly."""
    if not 0 < index < len(tokens) - 1 or tokens[index].text != "@":
        return False
    version = tokens[index + 1].text.lower().removeprefix("v")
    is_joined = tokens[index - 1].end + 1 == tokens[index].start
    return is_joined and version.isdecimal()


def statements(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Split at semicolons; a script from its BEGIN on stays whole."""
    start = 0
    for index, token in enumerate(tokens):
        if token.token_type == TokenType.SEMICOLON:
            if index > start:
                if is_script(tokens, start) or defines_procedure(tokens, start):
                    break
                yield tokens[start:index]
            start = index + 1
    if start < len(tokens):
        yield tokens[start:]


def is_script(tokens: Sequence[Token], start: int = 0) -> bool:
    """Whether `[label:] BEGIN … END` starts here, and not a transaction."""
    if word(tokens, start + 1) == ":":
        start += 2
    return word(tokens, start) == "BEGIN" and word(tokens, start + 1) not in TRANSACTION


def defines_procedure(tokens: Sequence[Token], start: int = 0) -> bool:
    """Whether `CREATE [OR REPLACE] PROCEDURE` starts here, whose body is a script."""
    words = {word(tokens, start + offset) for offset in range(1, 4)}
    return word(tokens, start) == "CREATE" and "PROCEDURE" in words


def first_keyword(tokens: Sequence[Token]) -> str:
    """The upper-case word that a statement starts with, opening parentheses aside."""
    words = (word(tokens, index) for index in range(len(tokens)))
    return next((first for first in words if first != "("), "")


def nesting(tokens: Sequence[Token]) -> int:
    """How deep a recursive parser may have to descend, seen from above."""
    parentheses = others = prefixes = deepest = 0
    before = None
    for token in tokens:
        kind = token.token_type
        if kind in _PARENTHESES:
            parentheses = max(0, parentheses + _PARENTHESES[kind])
        elif kind in _OTHER_NESTING:
            others = max(0, others + _OTHER_NESTING[kind])
        elif kind in _QUERY and before in _SOURCE:
            others += 1  # a query without parentheses, which nothing closes
        prefixes = prefixes + 1 if kind in _PREFIXES else 0
        before = kind
        deepest = max(deepest, parentheses + others + prefixes)
    return deepest


def is_balanced(tokens: Sequence[Token]) -> bool:
    """Whether each parenthesis is closed, and none is that was not opened."""
    depth = 0
    for token in tokens:
        depth += _PARENTHESES.get(token.token_type, 0)
        if depth < 0:
            return False
    return depth == 0


def closings(tokens: Sequence[Token]) -> dict[int, int]:
    """The index after the parenthesis that closes the one at each index."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for index in range(len(tokens)):
        sign = word(tokens, index)
        if sign == "(":
            opened.append(index)
        elif sign == ")" and opened:
            found[opened.pop()] = index + 1
    return found | dict.fromkeys(opened, len(tokens))


def bare_joins(tokens: Sequence[Token]) -> int:
    """The longest run of joins that lack a condition; each one doubles the parser's work."""
    run = longest = 0
    for index, token in enumerate(tokens):
        kind = token.token_type
        if kind in _JOINS and tokens[index - 1].token_type not in _NO_CONDITION:
            run += 1
            longest = max(longest, run)
        elif kind in _CONDITION:
            run = 0
    return longest


def word(tokens: Sequence[Token], index: int) -> str:
    """The upper-case keyword or sign at `index`; empty for quoted names and literals."""
    if not 0 <= index < len(tokens):
        return ""
    token = tokens[index]
    if token.token_type in LITERALS or token.token_type == TokenType.IDENTIFIER:
        return ""
    # One token may hold two words, as GROUP BY does, and a parameter's may hold none.
    return next(iter(token.text.upper().split(maxsplit=1)), "")


def read_name(tokens: Sequence[Token], start: int) -> tuple[list[str], int]:
    """The parts of the name at `start`, and the index after it; no parts when there is none."""
    parts: list[str] = []
    index = start
    while index < len(tokens) and _is_part(tokens[index], first=not parts):
        parts.append(tokens[index].text)
        index += 1
        if word(tokens, index) in {"$", "{"}:
            return [], index
        if word(tokens, index) != ".":
            return parts, index
        index += 1
    return [], index


def _is_part(token: Token, *, first: bool) -> bool:
    kind, text = token.token_type, token.text
    if kind == TokenType.IDENTIFIER:
        return bool(text)
    if kind == TokenType.NUMBER:
        return not first and text.isalnum()
    if kind in LITERALS or not text.replace("_", "x").isalnum():
        return False
    return not (first and text.upper() in STARTS_NO_NAME)
