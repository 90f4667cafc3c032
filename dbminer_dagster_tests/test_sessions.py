"""What a session's statements mean for the names that follow."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from dbminer_dagster.mining.sessions import SEPARATOR, STATE_SCHEMA, session_states
from dbminer_dagster_tests.frames import DAY, at, history


def states(*rows: dict[str, Any]) -> list[tuple[Any, ...]]:
    found = session_states(history(*({"statement_type": "USE"} | row for row in rows)).lazy())
    assert found.schema == STATE_SCHEMA
    assert found["start_time"].is_sorted()
    columns = ("session_id", "default_catalog", "default_schema", "temporary_views")
    return found.select(columns).rows()


def last_defaults(*texts: str) -> tuple[str | None, str | None]:
    return states(*({"statement_text": text} for text in texts))[-1][1:3]


@pytest.mark.parametrize(
    ("texts", "defaults"),
    [
        (["USE CATALOG prod"], ("prod", "default")),
        (["SET CATALOG prod"], ("prod", "default")),
        (["USE SCHEMA gold"], (None, "gold")),
        (["USE gold"], (None, "gold")),
        (["use `My.Cat`.`Odd``One`"], ("my.cat", "odd`one")),
        (["USE prod.gold"], ("prod", "gold")),
        (["USE CATALOG prod", "USE SCHEMA gold"], ("prod", "gold")),
        (["USE prod.gold", "USE silver"], ("prod", "silver")),
        (["USE prod.gold", "USE CATALOG dev"], ("dev", "default")),
        (["USE CATALOG 'prod'; USE DATABASE gold"], ("prod", "gold")),
        (["/* tool */ USE prod.gold;"], ("prod", "gold")),
        (["USE prod.gold", "USE SCHEMA IDENTIFIER(:which)"], (None, None)),
        (["USE prod.gold", "USE CATALOG IDENTIFIER(:which)"], (None, None)),
        (["USE prod.gold", "USE IDENTIFIER('dev.raw')"], ("dev", "raw")),
        (["USE prod.gold", "CREATE TEMP VIEW v AS SELECT 1"], ("prod", "gold")),
        (["USE prod.gold", "USE ("], (None, None)),
    ],
)
def test_defaults_after_texts(texts: list[str], defaults: tuple[str | None, str | None]) -> None:
    """USE and SET CATALOG set what they name; what nobody can tell is unknown from then on."""
    assert last_defaults(*texts) == defaults


def test_states_follow_time_and_not_the_order_of_rows() -> None:
    """A later statement wins, also over one of the day before; equal times go by statement id."""
    found = states(
        {"statement_text": "USE c.d", "start_time": at(5), "statement_id": "s9"},
        {"statement_text": "USE a.b", "start_time": at(5), "statement_id": "s1"},
        {"statement_text": "USE CATALOG z", "start_time": at(23, DAY - timedelta(days=1))},
    )
    assert [row[1:3] for row in found] == [("z", "default"), ("a", "b"), ("c", "d")]


def test_sessions_do_not_mix() -> None:
    """Each session has its own state; statements outside of any session have none."""
    found = states(
        {"statement_text": "USE a.b", "session_id": "one"},
        {"statement_text": "USE SCHEMA s", "session_id": "two"},
        {"statement_text": "USE c.d", "session_id": None},
    )
    assert found == [("one", "a", "b", ""), ("two", None, "s", "")]


@pytest.mark.parametrize(
    "row",
    [
        {"statement_text": "USE a.b", "status": "FAILED"},
        {"statement_text": "SELECT 'use a.b'", "statement_type": "SELECT"},
        {"statement_text": None},
        {"statement_text": "SHOW TABLES", "statement_type": "OTHER"},
    ],
)
def test_statements_that_change_nothing_give_no_state(row: dict[str, Any]) -> None:
    """A failed USE, a query that speaks of one, and a hidden text leave the session as it was."""
    assert states(row) == []


def test_temporary_views_add_up() -> None:
    """The views of a session add up, whatever its defaults do meanwhile; global ones stay out."""
    found = states(
        {"statement_text": "CREATE TEMP VIEW B AS SELECT 1", "statement_type": "CREATE"},
        {"statement_text": "USE x.y"},
        {"statement_text": "CREATE OR REPLACE TEMPORARY VIEW `a.b` AS SELECT 1"}
        | {"statement_type": "REPLACE"},
        {"statement_text": "CREATE GLOBAL TEMP VIEW g AS SELECT 1", "statement_type": "CREATE"},
    )
    assert found[0] == ("session", None, None, "b")
    assert found[-1] == ("session", "x", "y", SEPARATOR.join(["a.b", "b"]))


def test_no_history_gives_no_states() -> None:
    """An empty day has the columns and no row."""
    found = session_states(history().lazy())
    assert found.is_empty()
    assert isinstance(found, pl.DataFrame)
