"""Statements that hold a query without being one, and spellings that mislead a tokenizer."""

import pytest

from dbminer_dagster.mining.sql_reads import referenced_tables


@pytest.mark.parametrize(
    ("sql", "reads", "writes"),
    [
        ("ALTER VIEW v AS SELECT a FROM t", "t", "v"),
        ("ALTER VIEW s.v AS WITH q AS (SELECT a FROM t) SELECT * FROM q", "t", "s.v"),
        ("ALTER VIEW v SET TBLPROPERTIES ('a' = 'b')", "", ""),
        ("CACHE TABLE q AS SELECT a FROM t", "t", ""),
        ("CACHE LAZY TABLE q OPTIONS ('storageLevel' 'DISK_ONLY') SELECT a FROM t", "t", ""),
        ("CACHE TABLE t", "", ""),
        ("SET VAR x = (SELECT max(a) FROM t)", "t", ""),
        ("SET VAR (x, y) = (SELECT max(a), 1 FROM t)", "t", ""),
        ("DECLARE OR REPLACE VARIABLE x DECIMAL(9, 2) DEFAULT (SELECT max(a) FROM t)", "t", ""),
        ("SET spark.sql.ansi.enabled = true", "", ""),
    ],
)
def test_statements_that_hold_a_query_use_its_tables(sql: str, reads: str, writes: str) -> None:
    """A query is found, with its columns, wherever a statement takes one."""
    references = referenced_tables(sql)
    assert (references.reads, references.writes) == (set(reads.split()), set(writes.split()))
    assert references.attribution == "parsed"
    assert references.columns == {(table, "a") for table in reads.split()}


def test_a_cached_query_is_a_temporary_view() -> None:
    """What is read from a cached query later in the text is no table."""
    references = referenced_tables("CACHE TABLE q AS SELECT a FROM t; SELECT b FROM q JOIN u")
    assert references.reads == {"t", "u"}
    assert references.temporary_views == {"q"}


@pytest.mark.parametrize(
    "sql",
    ["/*/**/*/ SELECT a FROM t", "/*/*x*/*/ SELECT a FROM t", "/*/*x*//*y*/*/ SELECT a FROM t"],
)
def test_comments_lie_in_comments(sql: str) -> None:
    """A comment ends where as many comments have ended as have begun, however close they are."""
    assert referenced_tables(sql).reads == {"t"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t WHERE b = x'' OR b = X\"\"",
        "SELECT a FROM t WHERE b = $$ FROM u $$",
        "SELECT a FROM t JOIN 'u'",
        'SELECT a FROM t JOIN s."u"',
    ],
)
def test_strings_of_any_kind_name_no_table(sql: str) -> None:
    """No string is a name or a keyword, whatever its quotes and wherever it stands."""
    assert referenced_tables(sql).reads == {"t"}


def test_errors_quote_no_literal() -> None:
    """Why a text is not understood is said without the strings in it, which may be secrets."""
    error = referenced_tables("SELECT * FROM r'hunter2'").error
    assert error is not None
    assert "hunter2" not in error
