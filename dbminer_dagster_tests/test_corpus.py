"""Real SQL: what dbminer reads in it is what Apache Spark's parser reads in it."""

import re
from collections.abc import Iterator

import pytest

from dbminer_dagster_tests.corpus import CACHE
from dbminer_dagster_tests.corpus.comparison import EXPLAINED, compare
from dbminer_dagster_tests.corpus.report import page
from dbminer_dagster_tests.corpus.sources import SOURCES, split
from dbminer_dagster_tests.corpus.spark_parser import SparkParser, spark_parser
from dbminer_dagster_tests.corpus.spark_words import in_spark_words
from dbminer_dagster_tests.fuzz.rules import check_templates

MIN_WITH_TABLES = 2_000
MAX_WRONG_SHARE = 0.005


def test_real_statements_read_what_spark_reads() -> None:
    """Of 2,000 real statements that read tables 99.5 % are right, and the rest is explained."""
    tallies = compare(CACHE)
    with_tables = sum(tally.with_tables for tally in tallies)
    misses = {miss.fingerprint: miss for tally in tallies for miss in tally.misses}
    assert with_tables >= MIN_WITH_TABLES
    assert len(misses) <= MAX_WRONG_SHARE * with_tables
    assert misses.keys() == EXPLAINED.keys()
    assert all(tally.judged and tally.source.title in page(tallies) for tally in tallies)


def _variations(statement: str) -> Iterator[str]:
    """The statement with other literals and comments, as far as its characters tell them."""
    yield statement
    yield re.sub(r"'[^'\\]*'", "'another value'", statement)
    yield re.sub(r"\b\d+\b", "7", statement)
    yield f"-- run 7 of 'a job'\n{statement} /* the end */"


def test_variations_of_real_statements_share_a_template_only_with_their_references() -> None:
    """However literals of real statements vary, one template never covers two sets of reads."""
    statements = {text for source in SOURCES for text in source.statements(CACHE)}
    texts = {variation for text in statements for variation in _variations(text)}
    assert check_templates(sorted(texts)) > len(statements) / 2


@pytest.fixture(scope="module")
def parser() -> Iterator[SparkParser]:
    with spark_parser() as parser:
        yield parser


@pytest.mark.parametrize(
    ("statement", "reads"),
    [
        (
            "WITH q AS (SELECT * FROM a.b) SELECT * FROM q, c WHERE x IN (SELECT 1 FROM D)",
            "a.b c d",
        ),
        ("WITH q AS (SELECT 1) SELECT * FROM s.q", "s.q"),
        ("MERGE INTO t USING (SELECT * FROM s) ON 1 = 1 WHEN MATCHED THEN DELETE", "s"),
        ("FROM a INSERT INTO b SELECT * INSERT INTO c SELECT *", "a"),
        ("DELETE FROM t WHERE a IN (SELECT a FROM u)", "u"),
        ("SELECT * FROM t VERSION AS OF 3", "t"),
        ("SELECT * FROM IDENTIFIER('a' || '.b')", "a.b"),
        ("SELECT * FROM table_changes('a.b', 1), STREAM(c)", "a.b c"),
        ("SELECT * FROM delta.`/a/b`", ""),
        ("CACHE TABLE t", ""),
        ("CREATE FUNCTION f(x INT) RETURNS INT RETURN (SELECT max(y) FROM t)", "t"),
        ("BEGIN FOR r AS SELECT * FROM a DO DELETE FROM b; END FOR; END", "a"),
        ("CREATE OR REFRESH STREAMING TABLE t AS SELECT v:x:y::int FROM STREAM s", "s"),
        ("CREATE FLOW f AS AUTO CDC INTO t FROM STREAM(s) KEYS (a)", "s"),
        ("CREATE TABLE t DEEP CLONE s", "s"),
    ],
)
def test_the_judge_names_what_a_statement_reads(
    parser: SparkParser, statement: str, reads: str
) -> None:
    """The judge is right itself: on scopes, targets, named tables, scripts, Databricks' words."""
    assert parser.reads(in_spark_words(statement)) == set(reads.split())


def test_the_judge_says_what_it_cannot_parse(parser: SparkParser) -> None:
    """A text that Spark cannot parse is told from one that reads nothing."""
    assert parser.reads("SELECT * FROM (t") is None
    assert parser.reads("SELECT 1") == set()


def test_texts_are_split_at_semicolons_of_their_own() -> None:
    """Semicolons in strings and comments split nothing, and a script stays whole."""
    assert list(split("SELECT ';' -- a;\n; SELECT `;` /* ; */")) == [
        "SELECT ';' -- a;",
        "SELECT `;` /* ; */",
    ]
    assert list(split("BEGIN SELECT 1; END; SELECT 2")) == ["BEGIN SELECT 1; END; SELECT 2"]
