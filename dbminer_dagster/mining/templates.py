"""Templates: statement texts without literals and comments, and their stable 128-bit hashes.

Everything that repeats with other values falls onto one template, so that text is parsed once
however often it runs. Two texts may share a template only if they use the same tables and
columns; where a literal may decide that, the text keeps its strings.
"""

from hashlib import blake2b

import polars as pl

STRING = r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\""
COMMENT = r"--[^\n]*|/\*(?s:.*?)\*/"
# No exponent: `a.b.1e5` and `a.b.1e6` are names, and digits within a word never match.
NUMBER = r"\b[0-9]+(?:\.[0-9]+)?\b"
QUOTED_NAME = "`[^`]*`"

LITERAL_DECIDES = (
    r"(?i)\bidentifier\s*\(|\btable_changes\s*\(|\bexecute\s+immediate\b|^\s*(?:use|set)\b"
)
"""Texts in which a string may name a table, a schema or a catalog."""
RAW_STRING = r"(?i)\br['\"]"
"""Raw strings end where the plain pattern would not see it: such texts stay as they are."""
EMPTY_LIST = r"\((?:\s*,)*\s*\)"
EMPTY_ROWS = r"\(\)(?:\s*,\s*\(\))+"


def with_query_hash(frame: pl.DataFrame, text: str = "statement_text") -> pl.DataFrame:
    """Adds `query_hash`: the hash of the template of each text, null for a null text.

    Args:
        frame: Any frame; row order is kept.
        text: The column that holds the texts.
    """
    texts = frame.lazy().select(pl.col(text)).with_row_index("__row").collect()
    hashes = _hashes(_templates(texts.drop_nulls(text), text))
    return frame.with_columns(
        texts.select("__row").join(hashes, on="__row", how="left", maintain_order="left")[
            "query_hash"
        ]
    )


def _templates(texts: pl.DataFrame, text: str) -> pl.DataFrame:
    """`__row` and `template`. Each kind of text is filtered out first: `when` would run all."""
    column = pl.col(text)
    raw, guarded, quoted = (
        column.str.contains(RAW_STRING),
        column.str.contains(LITERAL_DECIDES),
        column.str.contains("`", literal=True),
    )
    kinds = (
        (raw, column),
        (
            ~raw & guarded,
            _replaced(column, keep=f"{STRING}|{QUOTED_NAME}", drop=f"{COMMENT}|{NUMBER}"),
        ),
        (
            ~raw & ~guarded & quoted,
            _replaced(column, keep=QUOTED_NAME, drop=f"{STRING}|{COMMENT}|{NUMBER}"),
        ),
        (
            ~raw & ~guarded & ~quoted,
            column.str.replace_all(f"(?s:{STRING})|{COMMENT}|{NUMBER}", " "),
        ),
    )
    parts = [texts.lazy().filter(kind).select("__row", template=form) for kind, form in kinds]
    return pl.concat(parts).collect()


def _replaced(column: pl.Expr, *, keep: str, drop: str) -> pl.Expr:
    """What `keep` matches stays, followed by a blank; what only `drop` matches becomes a blank."""
    return column.str.replace_all(f"((?s:{keep}))|(?s:{drop})", "${1} ")


def _hashes(templates: pl.DataFrame) -> pl.DataFrame:
    """`__row` and `query_hash`; lists of literals of any length are one template."""
    distinct = templates.select(pl.col("template").unique()).with_columns(
        collapsed=pl.col("template")
        .str.replace_all(EMPTY_LIST, "()")
        .str.replace_all(EMPTY_ROWS, "()")
    )
    hashes = pl.Series(
        "query_hash",
        [text_hash(collapsed) for collapsed in distinct["collapsed"]],
        dtype=pl.String,
    )
    found = distinct.select("template").with_columns(hashes)
    return templates.join(found, on="template", how="left").select("__row", "query_hash")


def text_hash(text: str) -> str:
    """The 128-bit hash of a text, in hex; the same on every machine and in every release."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
