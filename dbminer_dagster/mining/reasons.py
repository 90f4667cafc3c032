"""What texts left open: the reasons, each counted and with an example.

Examples show a text without its literals, since a literal may be anybody's secret.
"""

import re

import polars as pl
from sqlglot import Token
from sqlglot.errors import TokenError

from dbminer_dagster.mining.sql_comments import DATABRICKS, without_comments
from dbminer_dagster.mining.sql_tokens import LITERALS

EXAMPLES = 1_000
EXAMPLE_CHARACTERS = 200
# More than an example shows, as its comments are left out.
LOOKED_AT_CHARACTERS = 4_000
_DOLLAR_QUOTE = re.compile(r"\$\w*\$")
_REASONS_OF_ERRORS = {
    "timed_out": "^timed out after",
    "parser_died": "^the parser process died",
    "too_long": "too long|longer than",
    "too_deep": "nests too deep",
    "too_many_joins": "joins too many tables",
    "not_sql": "starts with no known statement|holds no statement",
}
_OTHER_ERROR = "syntax"


def problems_of_texts(parsed: pl.DataFrame) -> pl.DataFrame:
    """Why texts were not understood, and what no text can tell.

    Args:
        parsed: `context_id`, and the `error` and `unknowns` of its template.

    Returns:
        `context_id`, `reason`, `name`; the name of a whole text is null.
    """
    error, reason = pl.col("error"), pl.lit(_OTHER_ERROR)
    for name, pattern in reversed(_REASONS_OF_ERRORS.items()):
        reason = pl.when(error.str.contains(pattern)).then(pl.lit(name)).otherwise(reason)
    failures = parsed.filter(error.is_not_null()).select(
        "context_id", reason=reason, name=pl.lit(None, pl.String)
    )
    unknowns = parsed.select("context_id", "unknowns").explode("unknowns").drop_nulls("unknowns")
    return pl.concat([failures, unknowns.unnest("unknowns")])


def count_reasons(
    problems: pl.DataFrame, contexts: pl.DataFrame, texts: pl.DataFrame
) -> pl.DataFrame:
    """Problems to reasons, those of most statements first.

    Args:
        problems: `context_id`, `reason`, `name`.
        contexts: `context_id`, `query_hash`, `statement_count`.
        texts: `query_hash`, `statement_text`: an example of each template.

    Returns:
        `reason`, `name` (null for a text that is not understood), `statement_count`, and an
        example: `query_hash`, and `example`: see `shown`, null beyond the first `EXAMPLES`.
    """
    counted = (
        problems.unique()
        .join(contexts, on="context_id")
        .group_by("reason", "name")
        .agg(pl.col("statement_count").sum(), pl.col("query_hash").min())
        .sort("statement_count", "reason", "name", descending=[True, False, False])
    )
    examples = texts.join(counted.head(EXAMPLES), on="query_hash", how="semi").select(
        "query_hash", example=pl.col("statement_text").map_elements(shown, return_dtype=pl.String)
    )
    return counted.join(examples, on="query_hash", how="left", maintain_order="left")


def shown(sql: str, characters: int = EXAMPLE_CHARACTERS) -> str | None:
    """The start of a text on one line: `?` for literals, no comments.

    Nothing where it cannot be told what is a literal.
    """
    head = sql[:LOOKED_AT_CHARACTERS]
    tokens = _tokens(head)
    if tokens is None:
        # The cut, or the author, left a string open: what stands before it is sure.
        head = head[: max(head.rfind("'"), head.rfind('"'), 0)]
        tokens = _tokens(head)
    if not tokens or _DOLLAR_QUOTE.search(head):
        return None
    words = [
        # One number may be several tokens of one place, as `1L` is a number and its type.
        "" if index and tokens[index - 1].start == token.start else _word(head, token)
        for index, token in enumerate(tokens)
    ]
    return without_comments(tokens, words).strip()[:characters]


def _word(sql: str, token: Token) -> str:
    word = sql[token.start : token.end + 1]
    return "?" if token.token_type in LITERALS or word[-1] in "'\"" else word


def _tokens(sql: str) -> list[Token] | None:
    try:
        return DATABRICKS.tokenize(sql)
    except TokenError:
        return None
