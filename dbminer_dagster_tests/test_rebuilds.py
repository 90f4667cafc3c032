"""Which tables were built anew, and by which statement."""

from typing import Any

import polars as pl
import pytest

from dbminer_dagster.mining.rebuilds import rebuilding_statements, table_rebuilds
from dbminer_dagster.mining.sessions import session_states
from dbminer_dagster.schemas import TABLE_REBUILDS
from dbminer_dagster_tests.frames import DAY, at, history, lineage, parse_here

Row = dict[str, Any]


def rebuilt(
    *statements: Row,
    tables: tuple[Row, ...] = (),
    known: tuple[str, ...] = (),
    excluded: tuple[str, ...] = (),
) -> list[tuple[str, str, str]]:
    """Table, statement and attribution of each rebuild."""
    rows = history(*({"statement_type": "CREATE"} | row for row in statements)).lazy()
    found = table_rebuilds(
        rebuilding_statements(rows),
        lineage(*tables).lazy(),
        session_states(rows),
        pl.Series(known, dtype=pl.String),
        parse_here,
        excluded,
        DAY,
    )
    assert found.schema == TABLE_REBUILDS.schema
    assert found.select(TABLE_REBUILDS.key).is_unique().all()
    return sorted(found.select("table_name", "statement_id", "attribution").rows())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CREATE OR REPLACE TABLE A.b.T AS SELECT 1", "REPLACE"),
        ("CREATE OR REPLACE TABLE a.b.t (x INT)", "CREATE"),
        ("REPLACE TABLE a.b.t AS SELECT * FROM a.b.s", "REPLACE"),
        ("CREATE TABLE a.b.t AS SELECT * FROM a.b.s", "CREATE"),
        ("CREATE OR REPLACE VIEW a.b.t AS SELECT * FROM a.b.s", "CREATE"),
    ],
)
def test_texts_that_rebuild(text: str, kind: str) -> None:
    """CREATE OR REPLACE, REPLACE and CREATE TABLE AS SELECT build their target anew."""
    found = rebuilt({"statement_text": text, "statement_type": kind})
    assert found == [("a.b.t", "s0", "parsed")]


@pytest.mark.parametrize(
    "row",
    [
        {"statement_text": "CREATE TABLE IF NOT EXISTS a.b.t AS SELECT 1"},
        {"statement_text": "CREATE TABLE a.b.t (x INT)"},
        {"statement_text": "CREATE OR REPLACE TEMP VIEW t AS SELECT 1"},
        {"statement_text": "CREATE OR REPLACE TABLE a.b.t AS SELECT 1", "status": "FAILED"},
        {"statement_text": "INSERT OVERWRITE a.b.t SELECT 1", "statement_type": "INSERT"},
        {"statement_text": None, "text_redacted": True},
        {"statement_text": "CREATE ; DROP WHAT"},
    ],
)
def test_statements_that_rebuild_nothing(row: Row) -> None:
    """Nothing is rebuilt by what may find its table there, fails, or is another statement."""
    assert rebuilt(row) == []


def test_lineage_shows_what_the_text_does_not() -> None:
    """A redacted CREATE, and one IF NOT EXISTS, rebuilt what lineage shows them to write."""
    found = rebuilt(
        {"statement_text": None, "text_redacted": True},
        {"statement_text": "CREATE TABLE IF NOT EXISTS a.b.u AS SELECT 1"},
        {"statement_text": "SELECT 1", "statement_type": "SELECT"},
        tables=(
            {"statement_id": "s0", "source_name": "a.b.s", "target_name": "A.b.T"},
            {"statement_id": "s0", "source_name": "a.b.r", "target_name": "a.b.T"},
            {"statement_id": "s1", "source_name": "a.b.s", "target_name": "a.b.u"},
            {"statement_id": "s1", "workspace_id": "w2", "target_name": "a.b.other"},
            {"statement_id": "s2", "target_name": "a.b.v"},
            {"statement_id": "s0", "source_name": "a.b.s"},
        ),
    )
    assert found == [("a.b.t", "s0", "lineage"), ("a.b.u", "s1", "lineage")]


def test_lineage_is_the_better_evidence() -> None:
    """A rebuild that both tell of stands there once, by lineage."""
    found = rebuilt(
        {"statement_text": "CREATE OR REPLACE TABLE a.b.t AS SELECT 1"},
        tables=({"statement_id": "s0", "target_name": "a.b.t"},),
    )
    assert found == [("a.b.t", "s0", "lineage")]


def test_names_are_resolved_in_their_session() -> None:
    """A short name goes by the session's USE, else by the only known table of that name."""
    text = "CREATE OR REPLACE TABLE t AS SELECT 1"
    found = rebuilt(
        {"statement_text": "USE c.d", "statement_type": "USE", "session_id": "one"},
        {"statement_text": text, "session_id": "one"},
        {"statement_text": text, "session_id": "two"},
        {"statement_text": "CREATE OR REPLACE TABLE u AS SELECT 1"},
        known=("k.s.t", "k.s.u", "k.r.u"),
    )
    assert found == [("c.d.t", "s1", "parsed"), ("k.s.t", "s2", "parsed")]


def test_every_rebuild_of_a_day_stands_there() -> None:
    """Two rebuilds of a table are two rows; a statement counts whoever ran it."""
    text = "CREATE OR REPLACE TABLE a.b.t AS SELECT 1"
    rows = history(
        {"statement_text": text, "statement_type": "REPLACE", "user_name": "svc@x.com"},
        {"statement_text": text, "statement_type": "REPLACE", "start_time": at(9)},
    ).lazy()
    none = pl.Series([], dtype=pl.String)
    found = table_rebuilds(
        rebuilding_statements(rows),
        lineage().lazy(),
        session_states(rows),
        none,
        parse_here,
        (),
        DAY,
    ).sort("rebuilt_at")
    assert found.select("statement_id", "rebuilt_at", "workspace_id", "day").rows() == [
        ("s0", at(0), "w1", DAY),
        ("s1", at(9), "w1", DAY),
    ]


def test_excluded_catalogs_are_left_out() -> None:
    """Tables of excluded catalogs are no rebuilds, by whichever evidence."""
    found = rebuilt(
        {"statement_text": "CREATE OR REPLACE TABLE system.b.t AS SELECT 1"},
        {"statement_text": None},
        tables=({"statement_id": "s1", "target_name": "System.b.u"},),
        excluded=("system",),
    )
    assert found == []
