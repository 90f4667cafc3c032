r"""Templates: statement texts without literals and comments, and their stable 128-bit hashes.

Everything that repeats with other values falls onto one template, so that text is parsed once
however often it runs. Two texts may share a template only if they use the same tables and
columns. So a mark tells where a literal or a comment stood and which of them it was: in
`SELECT 'a' b` the `b` is an alias, in `SELECT /* a */ b` a column.
"""

from hashlib import blake2b

import polars as pl

MARK = "\x1a"
_TEXT = "__text"
_ROW = "__row"

# Each form is deterministic from left to right: that lets the regex engine find its groups fast.
_COMMENT_BODY = r"(?:[^*/]|/+[^*/])*"
# A comment within a comment does not match: its first sign stays and tells, see `_KEPT_AS_IS`.
_COMMENT_REST = rf"{_COMMENT_BODY}\*+(?:[^*/]{_COMMENT_BODY}\*+)*/"
_SINGLE_REST = r"(?:[^'\\]|\\.)*'"
_DOUBLE_REST = r'(?:[^"\\]|\\.)*"'
# No exponent: `a.b.1e5` and `a.b.1e6` are names, and digits within a word never match.
_NUMBER = r"\b[0-9]+(?:\.[0-9]+)?\b"
_OTHERS = rf"(--)[^\n\r]*|(/\*){_COMMENT_REST}|(`[^`]*`|{MARK})|{_NUMBER}"
_LITERALS = rf"(?s)('){_SINGLE_REST}|(\"){_DOUBLE_REST}|{_OTHERS}"
_LITERALS_BUT_STRINGS = rf"(?s)('{_SINGLE_REST})|(\"{_DOUBLE_REST})|{_OTHERS}"
_REPLACEMENT = "${1}${2}${3}${4}${5}" + MARK

# What follows is looked for in templates, where only code is left.
_GAP = rf"(?:\s|--{MARK}|/\*{MARK})*"
_KEPT_AS_IS = "|".join(
    (
        r"(?:\b|[0-9])[rx]['\"]",  # a backslash in a raw string does not escape its end
        rf"/\*(?:[^{MARK}]|$)",  # a comment within a comment, or one without an end
        r"\{#",  # the parser takes a Jinja comment for a comment
        rf"[.$#@]{_GAP}['\"]?{MARK}",  # `a.b.1`: the number is a part of a name
        rf"(?:^|[^'\"`*]){MARK}\.",  # `1.a`: likewise
        rf"{MARK}{MARK}",  # the mark itself stands in the text
    )
)
_STRING_NAMES_TABLE = "|".join(
    (
        rf"\bidentifier{_GAP}\(",
        rf"\btable_changes{_GAP}\(",
        r"\bimmediate\b",
        rf"\buse{_GAP}(?:(?:catalog|schema|database|namespace)\b|['\"])",
        rf"\bset{_GAP}catalog\b",
    )
)
_LITERAL = rf"(?:[-+]?{MARK}|(?i:(?:date|timestamp)\s*)?(?:['\"]{MARK})+|(?i:null|true|false))"
_LIST = rf"\(\s*{_LITERAL}(?:\s*,\s*{_LITERAL})*\s*\)"
_FOLDED = f"({MARK}{MARK})"
_ROWS = rf"\({MARK}{MARK}\)(?:\s*,\s*\({MARK}{MARK}\))+"


def with_query_hash(frame: pl.DataFrame, text: str = "statement_text") -> pl.DataFrame:
    """Adds `query_hash`: the hash of the template of each text, null for a null text.

    Args:
        frame: Any frame; row order is kept.
        text: The column that holds the texts.
    """
    rows = frame.lazy().select(pl.col(text).alias(_TEXT)).with_row_index(_ROW)
    templates = _templates(rows.drop_nulls(_TEXT))
    distinct = templates.select(pl.col("template").unique()).with_columns(
        query_hash=pl.col("template")
        .str.replace_all(_LIST, _FOLDED)
        .str.replace_all(_ROWS, _FOLDED)
        .map_elements(text_hash, return_dtype=pl.String)
    )
    hashes = (
        templates.join(distinct, on="template")
        .join(rows.select(_ROW).collect(), on=_ROW, how="right")
        .sort(_ROW)["query_hash"]
    )
    return frame.with_columns(hashes)


def _templates(rows: pl.LazyFrame) -> pl.DataFrame:
    """The number and the template of each row."""
    text, template = pl.col(_TEXT), pl.col("template")
    marked = rows.with_columns(template=text.str.replace_all(_LITERALS, _REPLACEMENT)).collect()
    # Few templates are looked at instead of many texts.
    special = (
        marked.select(template.unique())
        .with_columns(
            as_is=template.str.contains(f"(?i){_KEPT_AS_IS}"),
            names_table=template.str.contains(f"(?i){_STRING_NAMES_TABLE}"),
        )
        .filter(pl.col("as_is") | pl.col("names_table"))
    )
    forms = (
        ("as_is", pl.lit(MARK + MARK) + text),
        ("names_table", text.str.replace_all(_LITERALS_BUT_STRINGS, _REPLACEMENT)),
    )
    parts = [marked.join(special, on="template", how="anti").select(_ROW, "template")]
    for kind, form in forms:
        of_kind = special.filter(pl.col(kind))
        special = special.filter(~pl.col(kind))
        parts.append(marked.join(of_kind, on="template", how="semi").select(_ROW, template=form))
    return pl.concat(parts)


def text_hash(text: str) -> str:
    """The 128-bit hash of a text, in hex; the same on every machine and in every release."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
