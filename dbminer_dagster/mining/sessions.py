"""What a session's `USE` statements and temporary views mean for the names that follow."""

from collections.abc import Mapping

import polars as pl

from dbminer_dagster.mining.names import name_parts
from dbminer_dagster.mining.sql_reads import References, referenced_tables

SEPARATOR = "\x1f"
SESSION_TYPES = ("USE", "SET", "CREATE", "REPLACE", "OTHER")
CHANGES_SESSION = r"(?i)\buse\b|\bset\s+catalog\b|\btemp(?:orary)?\s+view\b"
STATE_SCHEMA = pl.Schema(
    {
        "session_id": pl.String,
        "start_time": pl.Datetime("us", "UTC"),
        "default_catalog": pl.String,
        "default_schema": pl.String,
        "temporary_views": pl.String,
    }
)
_PROBE = "dbminer_probe"


def session_states(history: pl.LazyFrame) -> pl.DataFrame:
    """The state of each session after each statement that changes it.

    Args:
        history: Rows of `raw_query_history`; a session may have begun the day before.

    Returns:
        `STATE_SCHEMA`, sorted by `start_time`; `temporary_views` are the names created so far,
        joined by `SEPARATOR`.
    """
    kind = pl.col("statement_type")
    changes = (
        history.filter(
            pl.col("status") == "FINISHED",
            pl.col("session_id").is_not_null(),
            kind.is_null() | kind.is_in(SESSION_TYPES),
            pl.col("statement_text").str.contains(CHANGES_SESSION),
        )
        .select("session_id", "start_time", "statement_id", "statement_text")
        .collect()
        .sort("session_id", "start_time", "statement_id")
    )
    effects = {text: _effect(text) for text in changes["statement_text"].unique()}
    return pl.DataFrame(_fold(changes, effects), schema=STATE_SCHEMA, orient="row").sort(
        "start_time"
    )


def _effect(text: str) -> tuple[tuple[str, ...] | None, References]:
    """What the text sets as defaults (catalog and schema, or schema alone), and its references.

    A one-part name that stands behind the text shows which defaults the text leaves.
    """
    probed = referenced_tables(f"{text}\n;SELECT * FROM {_PROBE}")
    found = [name_parts(name) for name in probed.reads if name.endswith(_PROBE)]
    defaults = found[0][:-1] if found else ()
    return defaults or None, probed


def _fold(
    changes: pl.DataFrame, effects: Mapping[str, tuple[tuple[str, ...] | None, References]]
) -> list[tuple]:
    states: list[tuple] = []
    session, catalog, schema, views = None, None, None, ()
    for session_id, start_time, _, text in changes.iter_rows():
        if session_id != session:
            session, catalog, schema, views = session_id, None, None, ()
        defaults, references = effects[text]
        if defaults is not None:
            catalog = defaults[-2] if len(defaults) > 1 else catalog
            schema = defaults[-1]
        views = tuple(sorted({*views, *references.temporary_views}))
        states.append((session_id, start_time, catalog, schema, SEPARATOR.join(views)))
    return states
