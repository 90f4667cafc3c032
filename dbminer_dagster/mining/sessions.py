"""What a session's `USE` statements and temporary views mean for the names that follow."""

from collections.abc import Mapping

import narwhals as nw
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
UNCHANGED = ("dbminer_catalog", "dbminer_schema")
_PROBE = "dbminer_probe"
_PROBING = f"\n;SELECT * FROM {_PROBE}"  # noqa: S608 - parsed and never run

Defaults = tuple[str | None, str | None]
"""Catalog and schema."""


def session_changes(history: nw.LazyFrame) -> nw.LazyFrame:
    """The statements that may change their session.

    Args:
        history: Rows of `raw_query_history`; a session may have begun the day before.
    """
    kind = nw.col("statement_type")
    return history.filter(
        nw.col("status") == "FINISHED",
        ~nw.col("session_id").is_null(),
        kind.is_null() | kind.is_in(SESSION_TYPES),
        nw.col("statement_text").str.contains(CHANGES_SESSION),
    ).select("session_id", "start_time", "statement_id", "statement_text")


def states_after(changes: pl.DataFrame) -> pl.DataFrame:
    """The state of each session after each statement that changes it.

    Args:
        changes: See `session_changes`.

    Returns:
        `STATE_SCHEMA`, sorted by `start_time`; `temporary_views` are the names created so far,
        joined by `SEPARATOR`.
    """
    ordered = changes.sort("session_id", "start_time", "statement_id")
    effects = {text: _effect(text) for text in ordered["statement_text"].unique()}
    states = pl.DataFrame(_fold(ordered, effects), schema=STATE_SCHEMA, orient="row")
    return states.sort("start_time", maintain_order=True)


def session_states(history: pl.LazyFrame) -> pl.DataFrame:
    """See `states_after`.

    Args:
        history: See `session_changes`.
    """
    return states_after(session_changes(nw.from_native(history)).to_native().collect())


def _effect(text: str) -> tuple[Defaults, References]:
    """The defaults that the text leaves where those before it are `UNCHANGED`; its references.

    A one-part name that stands behind the text shows them. Defaults that the text sets to what
    cannot be told, such as a parameter's value, are unknown from then on: nothing is guessed.
    """
    catalog, schema = UNCHANGED
    probed = referenced_tables(text + _PROBING, catalog=catalog, schema=schema)
    found = [parts for name in probed.reads if (parts := name_parts(name))[-1] == _PROBE]
    if not found:
        return UNCHANGED, probed
    catalog, schema, _ = (None, None, *found[0])[-3:]
    return (catalog, schema), probed


def _fold(changes: pl.DataFrame, effects: Mapping[str, tuple[Defaults, References]]) -> list[tuple]:
    states: list[tuple] = []
    session: str | None = None
    defaults: Defaults = (None, None)
    views: tuple[str, ...] = ()
    for session_id, start_time, _, text in changes.iter_rows():
        if session_id != session:
            session, defaults, views = session_id, (None, None), ()
        left, references = effects[text]
        defaults = (_after(defaults[0], left, 0), _after(defaults[1], left, 1))
        views = tuple(sorted({*views, *references.temporary_views}))
        states.append((session_id, start_time, *defaults, SEPARATOR.join(views)))
    return states


def _after(before: str | None, left: Defaults, index: int) -> str | None:
    return before if left[index] == UNCHANGED[index] else left[index]
