"""`IDENTIFIER('a.' || 'b')`: names that literals tell, spelled out as if they stood there."""

from collections.abc import Sequence

from sqlglot import Token, TokenType

from dbminer_dagster.mining.names import name_parts

_TEXTS = frozenset({TokenType.STRING, TokenType.RAW_STRING})
_DOT = Token(TokenType.DOT, ".")


def spelled_identifier(tokens: Sequence[Token], index: int) -> tuple[list[Token], int]:
    """The name that an IDENTIFIER at `index` is told, and the index after it.

    No tokens when it is none, or when a parameter or a variable tells the name.
    """
    if tokens[index].text.upper() != "IDENTIFIER" or not _is(tokens, index + 1, TokenType.L_PAREN):
        return [], index
    index, text = index + 2, ""
    while index < len(tokens) and tokens[index].token_type in _TEXTS:
        text += tokens[index].text
        index += 1
        if _is(tokens, index, TokenType.R_PAREN):
            return _spelled([part.strip() for part in name_parts(text)]), index + 1
        # Literals side by side are one as well.
        index += _is(tokens, index, TokenType.DPIPE)
    return [], index


def _is(tokens: Sequence[Token], index: int, kind: TokenType) -> bool:
    return index < len(tokens) and tokens[index].token_type == kind


def _spelled(parts: Sequence[str]) -> list[Token]:
    if not all(parts):
        return []
    tokens = [each for part in parts for each in (_DOT, Token(TokenType.IDENTIFIER, part))]
    return tokens[1:]
