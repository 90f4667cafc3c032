"""Texts without their comments, where a comment is in the way or must not be shown."""

import re
from collections.abc import Sequence

from sqlglot import Token
from sqlglot.dialects.dialect import Dialect

DATABRICKS = Dialect.get_or_raise("databricks")
_PHRASES = [word for word in DATABRICKS.tokenizer_class.KEYWORDS if " " in word]
_STARTS = "|".join(sorted({re.escape(phrase.split()[0]) for phrase in _PHRASES}))
_COMMENT_IN_PHRASE = re.compile(rf"\b(?:{_STARTS})\s*(?:--|/\*)", re.IGNORECASE)


def with_whole_phrases(sql: str) -> str:
    """The text without comments if one may stand in GROUP BY or the like, else as it is.

    The tokenizer knows such words only with nothing but space between them.
    """
    has_comment = "--" in sql or "/*" in sql
    if not (has_comment and _COMMENT_IN_PHRASE.search(sql)):
        return sql
    tokens = DATABRICKS.tokenize(sql)
    return without_comments(tokens, [sql[token.start : token.end + 1] for token in tokens])


def without_comments(tokens: Sequence[Token], words: Sequence[str]) -> str:
    """A word for each token of a text, and one space for what stands between them."""
    pieces: list[str] = []
    end = 0
    for token, word in zip(tokens, words, strict=True):
        pieces += [" ", word] if token.start > end else [word]
        end = token.end + 1
    return "".join(pieces)
