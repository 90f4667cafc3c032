r"""Templates: statement texts without literals and comments, and their stable 128-bit hashes.

Everything that repeats with other values falls onto one template, so that text is parsed once
however often it runs. Two texts may share a template only if they use the same tables and
columns. So a mark tells where a literal or a comment stood and which of them it was: in
`SELECT 'a' b` the `b` is an alias, in `SELECT /* a */ b` a column.
"""

from hashlib import blake2b

import polars as pl

MARK = "\x1a"
DRAFTS_REMEMBERED = 100_000
"""A process remembers the templates of so many drafts, in some 20 MB."""
_TEXT = "__text"
_BARE = "__bare"
_OWN_HASH = "__own_hash"

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

# A text without its strings is plain if nothing but strings, and all of them, stood between single
# quotes, and a number stands only where `_LITERALS` would see one, or in a comment or string.
_PLAIN = "".join(
    (
        rf"(?s)^(?:[^'\"`/\-{MARK}]|'{MARK}|/[^*'\"`/\-{MARK}]|-[^-'\"`/{MARK}]",
        r"|\"(?:[^\"'\\]|\\[^'])*\"",
        r"|`[^`'0-9]*(?:[A-Za-z_][0-9]+[^`'0-9]*)*`",
        r"|--[^\n\r']*(?:[\n\r]|$)",
        r"|/\*(?:[^*/']|/+[^*/'])*\*+(?:[^*/'](?:[^*/']|/+[^*/'])*\*+)*/",
        ")*$",
    )
)

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
    rows = frame.drop("query_hash", strict=False).with_columns(_without_strings(text).alias(_BARE))
    hashes = _bare_hashes(rows.select(_BARE, pl.col(text).alias(_TEXT)))
    hashed = rows.join(hashes, on=_BARE, how="left", maintain_order="left").drop(_BARE)
    of_its_own = hashed.filter(pl.col("query_hash").is_null()).select(pl.col(text).alias(_TEXT))
    exact = _with_exact_hash(of_its_own.drop_nulls().unique())
    if exact.is_empty():
        return hashed
    own_hash = exact.select(pl.col(_TEXT).alias(text), pl.col("query_hash").alias(_OWN_HASH))
    return (
        hashed.join(own_hash, on=text, how="left", maintain_order="left")
        .with_columns(pl.coalesce("query_hash", _OWN_HASH))
        .drop(_OWN_HASH)
    )


def _without_strings(text: str) -> pl.Expr:
    """The text with a mark in place of each string; a text that holds the mark is left whole."""
    whole = pl.lit(MARK + MARK) + pl.col(text)
    bare = pl.col(text).str.replace_all(rf"(?s)'{_SINGLE_REST}", f"'{MARK}")
    return pl.when(pl.col(text).str.contains(MARK, literal=True)).then(whole).otherwise(bare)


def _bare_hashes(texts: pl.DataFrame) -> pl.DataFrame:
    """Each distinct `_BARE` that is plain with its `query_hash`, if all texts of it share one.

    Its *draft* lacks numbers, too: what the template of a plain text is a function of. Finding it
    takes a fraction of the time that a template takes, and few drafts are left to make templates
    of.
    """
    plain = (
        texts.group_by(_BARE)
        .agg(pl.col(_TEXT).first())
        .filter(pl.col(_BARE).str.contains(_PLAIN))
        .with_columns(draft=pl.col(_BARE).str.replace_all(_NUMBER, MARK))
    )
    return plain.join(_draft_hashes(plain), on="draft").select(_BARE, "query_hash")


_hash_by_draft: dict[str, str | None] = {}
"""By the hash of a draft that of its template, none if the draft does not tell: `_draft_hashes`."""


def _draft_hashes(drafted: pl.DataFrame) -> pl.DataFrame:
    """Each `draft` with its `query_hash`; this process looks at a draft once."""
    drafts = drafted.group_by("draft").agg(pl.col(_TEXT).first())
    keys = [text_hash(draft) for draft in drafts["draft"]]
    is_new = [key not in _hash_by_draft for key in keys]
    keyed = drafts.with_columns(key=pl.Series(keys, dtype=pl.String))
    new = keyed.filter(pl.Series(is_new, dtype=pl.Boolean))
    exact = _with_exact_hash(new.select("key", _TEXT))
    found = dict(exact.select("key", pl.when("is_shared").then("query_hash")).iter_rows())
    hashes = [found[key] if key in found else _hash_by_draft[key] for key in keys]
    # What is remembered is never taken back, since other threads may be about to read it.
    if len(_hash_by_draft) < DRAFTS_REMEMBERED:
        _hash_by_draft.update(found)
    return drafts.select("draft", query_hash=pl.Series(hashes, dtype=pl.String))


def _with_exact_hash(texts: pl.DataFrame) -> pl.DataFrame:
    """Adds `query_hash`, and `is_shared`: all texts of its draft have it.

    Texts must be distinct.
    """
    formed = _with_template(texts)
    hashes = formed.select(pl.col("template").unique()).with_columns(
        query_hash=pl.col("template")
        .str.replace_all(_LIST, _FOLDED)
        .str.replace_all(_ROWS, _FOLDED)
        .map_elements(text_hash, return_dtype=pl.String)
    )
    return formed.join(hashes, on="template")


def _with_template(texts: pl.DataFrame) -> pl.DataFrame:
    """Adds `template`, and `is_shared`: it does not hold literals."""
    text, template = pl.col(_TEXT), pl.col("template")
    marked = texts.with_columns(template=text.str.replace_all(_LITERALS, _REPLACEMENT))
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
    parts = [
        marked.join(special, on="template", how="anti").with_columns(is_shared=pl.lit(value=True))
    ]
    for kind, form in forms:
        of_kind = special.filter(pl.col(kind))
        special = special.filter(~pl.col(kind))
        parts.append(
            marked.join(of_kind, on="template", how="semi").with_columns(
                template=form, is_shared=pl.lit(value=False)
            )
        )
    return pl.concat(parts)


def text_hash(text: str) -> str:
    """The 128-bit hash of a text, in hex; the same on every machine and in every release."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
