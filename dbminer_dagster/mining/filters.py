"""Which statements count as use, and why the others do not."""

import re
from collections.abc import Sequence

import narwhals as nw

READ_TYPES = ("SELECT",)
WRITE_TYPES = (
    "INSERT", "MERGE", "UPDATE", "DELETE", "TRUNCATE", "COPY", "CREATE", "REPLACE", "REFRESH",
)  # fmt: skip
OWN_TAG = r'"application"\s*:\s*"dbminer"'
"""The query tag that marks the miner's own statements, as it stands in `query_tags`."""


def glob_pattern(globs: Sequence[str]) -> str:
    """A regular expression that matches whole names as any of the globs, in any case."""
    alternatives = (re.escape(glob).replace(r"\*", ".*").replace(r"\?", ".") for glob in globs)
    return f"(?is)^(?:{'|'.join(alternatives)})$"


def with_drop_reason(statements: nw.LazyFrame, excluded_users: Sequence[str] = ()) -> nw.LazyFrame:
    """Adds `drop_reason`, null for statements that count, and `operation`.

    The first rule that applies gives the reason: `status:X` for all but FINISHED,
    `own_statement`, `statement_type:X` for types that use no data, `excluded_user`.

    Args:
        statements: Rows of `raw_query_history`.
        excluded_users: Names, e-mails, ids or globs; matched against user name and user id.
    """
    status = nw.col("status").fill_null("unknown")
    kind = nw.col("statement_type").fill_null("unknown")
    own = nw.col("query_tags").fill_null("").str.contains(OWN_TAG)
    reason = (
        nw.when(status != "FINISHED")
        .then(nw.concat_str(nw.lit("status:"), status))
        .when(own)
        .then(nw.lit("own_statement"))
        .when(~kind.is_in([*READ_TYPES, *WRITE_TYPES]))
        .then(nw.concat_str(nw.lit("statement_type:"), kind))
    )
    if excluded_users:
        pattern = glob_pattern(excluded_users)
        excluded = nw.any_horizontal(
            *(
                nw.col(name).fill_null("").str.contains(pattern)
                for name in ("user_name", "user_id")
            ),
            ignore_nulls=True,
        )
        reason = reason.when(excluded).then(nw.lit("excluded_user"))
    operation = (
        nw.when(kind.is_in(list(READ_TYPES))).then(nw.lit("read")).otherwise(nw.lit("write"))
    )
    return statements.with_columns(drop_reason=reason, operation=operation)
