"""Statements within statements: those of a script, and those that EXECUTE IMMEDIATE runs.

A script, `BEGIN … END`, is taken apart. Conditions and loops are no statements, but may hold
queries: `IF (SELECT …) THEN` is given as the query `SELECT (SELECT …)`. What a loop or a branch
holds counts, whether it runs or not.
"""

from collections.abc import Collection, Iterator, Sequence

from sqlglot import Token, TokenType

from dbminer_dagster.mining.sql_tokens import read_name, tokenize, word
from dbminer_dagster.mining.sql_words import METADATA, STATEMENTS

_NO_OPERAND = frozenset({";", "ATOMIC", "BEGIN", "ELSE", "LOOP", "REPEAT"})
_END_OF_OPERAND = {
    "CASE": "WHEN",
    "ELSEIF": "THEN",
    "FOR": "DO",
    "IF": "THEN",
    "RETURN": ";",
    "UNTIL": "END",
    "WHEN": "THEN",
    "WHILE": "DO",
}
_STARTS_STATEMENT = METADATA | STATEMENTS | _NO_OPERAND | frozenset(_END_OF_OPERAND)
# `DECLARE c INSENSITIVE CURSOR WITH RETURN FOR` is the longest phrase before a query.
_MAX_DECLARATION_WORDS = 8
_TEXTS = frozenset({TokenType.STRING, TokenType.RAW_STRING})
_SELECT = Token(TokenType.SELECT, "SELECT")


class Script:
    """A walk over the tokens of a script.

    Attributes:
        variables: Names that the script has declared so far, lower-case.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        """Start at the first token."""
        self.variables: set[str] = set()
        self._tokens = tokens
        self._index = 0

    def statements(self) -> Iterator[Sequence[Token]]:
        """The statements, and the queries that conditions and loops hold."""
        while self._index < len(self._tokens):
            keyword = self._word(0)
            if keyword in _NO_OPERAND or self._word(1) == ":":
                self._index += 1 if keyword in _NO_OPERAND else 2
            elif keyword == "END":
                self._skip_to({";"})
            elif keyword in _END_OF_OPERAND:
                self._index += 1
                yield from self._operand(keyword)
            elif keyword == "DECLARE":
                yield from self._declaration()
            elif keyword == "SET":
                yield _value_or_all(self._until(";"))
            else:
                yield self._until(";")

    def _word(self, offset: int) -> str:
        return word(self._tokens, self._index + offset)

    def _operand(self, keyword: str) -> Iterator[Sequence[Token]]:
        """The query of a FOR, or an expression that holds one; the index moves behind it."""
        name, after = read_name(self._tokens, self._index)
        if keyword == "FOR" and len(name) == 1 and word(self._tokens, after) == "AS":
            self.variables.add(name[0].lower())
            self._index = after + 1
        operand = self._until(_END_OF_OPERAND[keyword])
        if keyword == "FOR":
            yield operand
        elif _holds_query(operand):
            yield [_SELECT, *operand]

    def _declaration(self) -> Iterator[Sequence[Token]]:
        """A variable with its default; a cursor's query or a handler's statement comes next."""
        words = [self._word(offset) for offset in range(_MAX_DECLARATION_WORDS)]
        if "FOR" in words and {"CURSOR", "HANDLER"} & set(words[: words.index("FOR")]):
            self._index += words.index("FOR") + 1
            self._skip_to(_STARTS_STATEMENT)
            return
        declaration = self._until(";")
        index = 1
        while index < len(words) and words[index] in {"OR", "REPLACE", "VARIABLE"}:
            index += 1
        while name := read_name(declaration, index)[0]:
            self.variables.add(name[-1].lower())
            index += 2 if word(declaration, index + 1) == "," else len(words)
        yield _value_or_all(declaration)

    def _skip_to(self, words: Collection[str]) -> None:
        while self._index < len(self._tokens) and self._word(0) not in words:
            self._index += 1

    def _until(self, end: str) -> Sequence[Token]:
        """The tokens up to the word `end` outside of parentheses and CASE; the index moves on."""
        start, depth = self._index, 0
        while self._index < len(self._tokens):
            found = self._word(0)
            if depth == 0 and found == end:
                break
            if found in {"(", "CASE"}:
                depth += 1
            elif found in {")", "END"}:
                depth = max(0, depth - 1)
            self._index += 1
        tokens = self._tokens[start : self._index]
        self._index += end not in {"END", "WHEN"}  # these lead to what follows
        return tokens


def _value_or_all(assignment: Sequence[Token]) -> Sequence[Token]:
    """The query that `SET x = …` or `DECLARE x DEFAULT …` takes a value from, else all of it."""
    for index in range(len(assignment)):
        if word(assignment, index) in {"=", "DEFAULT"}:
            value = assignment[index + 1 :]
            return [_SELECT, *value] if _holds_query(value) else assignment
    return assignment


def _holds_query(tokens: Sequence[Token]) -> bool:
    return any(token.token_type == TokenType.SELECT for token in tokens)


def executed_text(tokens: Sequence[Token]) -> tuple[str, bool]:
    """What EXECUTE IMMEDIATE runs: the text, if a literal tells it; else the name of what does.

    Returns:
        The text or the name, and whether it is the text.
    """
    tokens = _tokens_of_command(tokens)
    name, _ = read_name(tokens, 1)
    is_literal = len(tokens) > 1 and tokens[1].token_type in _TEXTS
    if is_literal and word(tokens, 2) in {"", "INTO", "USING"}:
        return tokens[1].text, True
    return ".".join(name) or "?", False


def executes_text(tokens: Sequence[Token]) -> bool:
    """Whether an EXECUTE is an EXECUTE IMMEDIATE."""
    return word(_tokens_of_command(tokens), 0) == "IMMEDIATE"


def _tokens_of_command(tokens: Sequence[Token]) -> Sequence[Token]:
    """What follows EXECUTE; at the start of a statement the tokenizer leaves that as one text."""
    if len(tokens) == 2 and tokens[1].token_type == TokenType.STRING:  # noqa: PLR2004
        return tokenize(tokens[1].text)
    return tokens[1:]
