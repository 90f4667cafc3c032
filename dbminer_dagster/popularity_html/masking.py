r"""Many texts as the report shows them: `?` for literals, no comments, one line.

What is shown of a text says `mining.reasons.shown`, by its tokens. Most texts need none: in plain
code a literal or a comment is what a regular expression says it is, and Polars masks all of these
in the time that a few take. A text counts as plain only if nothing in it could be read otherwise.
"""

import polars as pl

from dbminer_dagster.mining.reasons import LOOKED_AT_CHARACTERS, shown
from dbminer_dagster.mining.sql_comments import DATABRICKS

TEXT_CHARACTERS = 1_000
TEXTS_AT_ONCE = 20_000
"""Each is in memory several times meanwhile."""

_MARK = "\x1a"
_NAME = rf"`[^`\s{_MARK}]+(?: [^`\s{_MARK}]+)*`"
_LITERALS = (
    rf"'[^'\\]*'|\"[^\"\\]*\"|({_NAME})|(--)[^\n\r]*|(/\*)(?:[^*/+][^*/]*)?(\*/)"
    r"|\b[0-9]+(?:\.[0-9]+)?\b"
)
_REPLACEMENT = "${1}${2}${3}${4}" + _MARK
_GAP = r"[\t\n\r]\s*| \s+"  # any but one space, which most are
_GAP_OF_COMMENT = rf"(?:--|/\*\*/){_MARK}"

# Of other characters, and of quotes that are left, only tokens tell what they are.
_KNOWN_SIGNS = rf"^(?:[^`'\"$\\{{}}#@~[:cntrl:][:^ascii:]]|[\t\n\r{_MARK}]|{_NAME}{_MARK})*$"
_STARTS = r"^[\s(]*(?i:select|with|insert|merge|create|update|delete|from|values)\b"
# The tokenizer takes these for one word, with all the space in it.
_PHRASES = "|".join(
    sorted({word.split()[0] for word in DATABRICKS.tokenizer_class.KEYWORDS if " " in word})
)
_NOT_PLAIN = "|".join(
    (
        rf"[\w.`]{_MARK}",  # `x'1F'`, `a.1`
        rf"{_MARK}[\w.`]",  # `1.a`
        r"\b[0-9]",  # `1L`, `1e5`
        r"--|/\*|-\|",  # a comment that is a hint, nests or has no end; a part of `-|-`
        r";\s*\S",  # what follows may be a command, whose rest is one literal
        r"(?i)\bbegin\b",
        rf"(?i)\b(?:{_PHRASES})(?:\s\s|[\t\n\r])",
    )
)
_MARK_OR_DOLLAR_QUOTE = rf"{_MARK}|\$[^$.,'\"\s()\[]*\$"


def masked(texts: pl.Series) -> list[str | None]:
    """What is shown of each text, see `shown`; nothing of a null.

    Args:
        texts: Statement texts.
    """
    return [
        shown(text, TEXT_CHARACTERS) if plain is None and text is not None else plain
        for some in texts.to_frame("text").iter_slices(TEXTS_AT_ONCE)
        for text, plain in zip(some["text"], _masked_if_plain(some), strict=True)
    ]


def _masked_if_plain(texts: pl.DataFrame) -> pl.Series:
    """What is shown of each `text` that is plain, else null."""
    text, marked, code = pl.col("text"), pl.col("marked"), pl.col("code")
    # One step after the other, for Polars would do what they share again and again.
    marks = (
        texts.lazy()
        .with_columns(text.str.head(LOOKED_AT_CHARACTERS))
        .with_columns(marked=text.str.replace_all(_LITERALS, _REPLACEMENT))
    )
    names = marks.with_columns(
        code=marked.str.replace_all(f"`{_MARK}", "`", literal=True).str.replace_all(
            _GAP_OF_COMMENT, " "
        )
    )
    is_plain = (
        ~text.str.contains(_MARK_OR_DOLLAR_QUOTE)
        & marked.str.contains(_KNOWN_SIGNS)
        & code.str.contains(_STARTS)
        & ~code.str.contains(_NOT_PLAIN)
    )
    words = code.str.replace_all(_MARK, "?", literal=True).str.replace_all(_GAP, " ")
    one_line = words.str.strip_chars().str.head(TEXT_CHARACTERS)
    found = names.select(pl.when(is_plain).then(one_line))
    return found.collect(engine="streaming").to_series()
