"""What texts left open: counted reasons, and examples that show no literal."""

import os
import time
from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbminer_dagster.mining.parse_pool import ParsePool
from dbminer_dagster.mining.reasons import (
    EXAMPLE_CHARACTERS,
    count_reasons,
    problems_of_texts,
    shown,
)
from dbminer_dagster.mining.references import References
from dbminer_dagster.mining.sql_reads import MAX_DEPTH, MAX_LENGTH, referenced_tables
from dbminer_dagster.mining.template_rows import TEMPLATE_SCHEMA, template_row

FAILING = {
    "not_sql": "these are no words of SQL",
    "syntax": "SELECT FROM WHERE )",
    "too_long": "SELECT '" + "a" * MAX_LENGTH + "'",
    "too_deep": "SELECT " + "(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1),
    "too_many_joins": "SELECT * FROM range(1)" + " JOIN range(1)" * 20,
}

SHOWN = {
    "literals": ("SELECT 'a', \"b\", 1.5, X'1F', r'c\\' FROM t", "SELECT ?, ?, ?, ?, ? FROM t"),
    "typed_numbers": ("SELECT 123L, 1.5BD, a.1b FROM t", "SELECT ?, ?, a.1b FROM t"),
    "dollars": ("SELECT $$secret$$, $q$ secret $q$ FROM t", None),
    "comments": ("SELECT a -- 'x'\n, b /* y */ FROM t", "SELECT a , b FROM t"),
    "one_line": ("SELECT a\n\n  FROM\tt", "SELECT a FROM t"),
    "names": ("SELECT `it's` FROM a.`b c`.t1", "SELECT `it's` FROM a.`b c`.t1"),
    "open_string": ("SELECT a FROM t WHERE b = 'secret", "SELECT a FROM t WHERE b ="),
    "open_comment": ("SELECT a /* 'b", None),
    "nothing": ("", None),
}


def parsed(**found: References) -> pl.DataFrame:
    rows = [template_row(query_hash, references) for query_hash, references in found.items()]
    return pl.DataFrame(rows, schema=TEMPLATE_SCHEMA, orient="row").with_row_index("context_id")


def die(_: str) -> References:
    """A parser that takes its process with it."""
    os._exit(1)


def linger(_: str) -> References:
    """A parser that comes to no end."""
    time.sleep(600)
    return References()


@pytest.mark.parametrize(("sql", "reason"), [(v, k) for k, v in FAILING.items()], ids=FAILING)
def test_texts_that_are_not_understood_have_few_reasons(sql: str, reason: str) -> None:
    """Each error falls under one word that stays the same."""
    references = referenced_tables(sql)
    assert references.error
    problems = problems_of_texts(parsed(q=references))
    assert problems.rows() == [(0, reason, None)]


@pytest.mark.parametrize(
    ("parser", "reason"),
    [
        pytest.param(linger, "timed_out", id="time"),
        pytest.param(die, "parser_died", id="death"),
    ],
)
def test_failures_of_the_parser_have_reasons(
    parser: Callable[[str], References], reason: str
) -> None:
    """A text that takes too long, or kills its worker, is counted as that."""
    with ParsePool(1, parser=parser, timeout_s=0.5) as pool:
        found = dict(pool.parse({"q": "SELECT 1"}))
    assert problems_of_texts(parsed(**found))["reason"].to_list() == [reason]


def test_reasons_are_counted_with_an_example() -> None:
    """Statements count for each reason and name; the example is of the least hash."""
    problems = pl.DataFrame(
        [(0, "unknown_table", "n"), (1, "unknown_table", "n"), (1, "unknown_table", "n"),
         (1, "not_sql", None)],
        schema={"context_id": pl.UInt32, "reason": pl.String, "name": pl.String},
        orient="row",
    )  # fmt: skip
    contexts = pl.DataFrame(
        {"context_id": [0, 1], "query_hash": ["b", "a"], "statement_count": [3, 2]},
        schema_overrides={"context_id": pl.UInt32},
    )
    texts = pl.DataFrame({"query_hash": ["a", "b"], "statement_text": ["SELECT 7", "SELECT 'x'"]})
    assert count_reasons(problems, contexts, texts).rows() == [
        ("unknown_table", "n", 5, "a", "SELECT ?"),
        ("not_sql", None, 2, "a", "SELECT ?"),
    ]


@pytest.mark.parametrize(("sql", "expected"), SHOWN.values(), ids=SHOWN)
def test_examples(sql: str, expected: str | None) -> None:
    """An example is the start of the text on one line, with `?` for each literal."""
    assert shown(sql) == expected


@given(
    st.text("ab'\"\\`-/* \n", max_size=30),
    st.sampled_from(["'{}'", '"{}"', "'it''s {}'", "r'{}'", "X'{}'", "-- {}", "/* {} */"]),
    st.text("ab'\"\\`-/* \n", max_size=30),
)
def test_examples_show_no_literal(before: str, literal: str, after: str) -> None:
    """Whatever stands around it, a literal or comment is not shown."""
    text = f"SELECT a, {literal.format('SECRET')}\n, {before} {after}"
    assert "SECRET" not in (shown(text) or "")


@given(st.text(max_size=6_000))
def test_examples_of_any_text(text: str) -> None:
    """An example is short, or there is none, whatever the text."""
    example = shown(text)
    assert example is None or len(example) <= EXAMPLE_CHARACTERS
