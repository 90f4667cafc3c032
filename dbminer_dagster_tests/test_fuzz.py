"""No text, however hostile, crashes, hangs or exhausts memory, or is taken for another."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from dbminer_dagster.mining.long_texts import shortened
from dbminer_dagster.mining.parse_pool import ParsePool
from dbminer_dagster.mining.sql_reads import References, referenced_tables
from dbminer_dagster_tests import fuzz
from dbminer_dagster_tests.fuzz import strategies
from dbminer_dagster_tests.fuzz.rules import check_references, check_templates

KEPT_TEXTS: list[str] = json.loads(Path(fuzz.__path__[0], "texts.json").read_text())
MEGABYTE = 1 << 20
MAX_WORKER_KILOBYTES = 1 << 20
KNOWN_ERRORS = {
    "a quote or a comment is not closed",
    "its code is longer than 2097152 characters",
    "the text holds no statement",
    "the text nests too deep to parse",
    "the text is too long to parse",
    "the text starts with no known statement",
}

HOSTILE: dict[str, Callable[[], str]] = {
    "IN list of 100,000 numbers": lambda: f"SELECT a FROM t WHERE b IN ({'1, ' * 99_999}1)",
    "IN list of 100,000 strings": lambda: (
        "SELECT a FROM t WHERE b IN (" + "'x', " * 99_999 + "'x')"
    ),
    "10 MB of rows": lambda: "INSERT INTO t VALUES " + ", ".join(["(1, 'ab', NULL)"] * 600_000),
    "10 MB in one string": lambda: f"SELECT '{'x' * (10 * MEGABYTE)}' FROM t",
    "10 MB of comment": lambda: f"SELECT a /*{' *' * (5 * MEGABYTE)}/ FROM t",
    "10 MB of blanks": lambda: "SELECT a FROM" + " " * (10 * MEGABYTE) + "t",
    "10 MB of semicolons": lambda: ";" * (10 * MEGABYTE),
    "10 MB of one word": lambda: "a" * (10 * MEGABYTE),
    "10 MB of opening signs": lambda: "(" * (10 * MEGABYTE),
    "100,000 statements": lambda: "SELECT a FROM t;" * 100_000,
    "100,000 opening comments": lambda: "/*" * 100_000,
    "100,000 nested queries": lambda: "SELECT * FROM (" * 100_000 + "t" + ")" * 100_000,
    "10,000 parentheses that nothing closes": lambda: "SELECT * FROM " + "( " * 10_000,
    "10,000 calls that nothing closes": lambda: "SELECT * FROM t WHERE " + "f( " * 10_000,
    "10,000 column lists that nothing closes": lambda: "WITH " + "q( " * 10_000,
    "10,000 sources that nothing closes": lambda: "SELECT * FROM " + "q( , " * 10_000,
    "100,000 scripts": lambda: "BEGIN " * 100_000 + "END; " * 100_000,
    "100,000 signs before a number": lambda: "SELECT" + " -" * 100_000 + "1 FROM t",
    "100,000 joins": lambda: "SELECT 1 FROM t" + " JOIN t" * 100_000,
    "100,000 comparisons": lambda: "SELECT 1 FROM t WHERE a" + " AND a" * 100_000,
    "100,000 parts of a name": lambda: "SELECT * FROM a" + ".a" * 100_000,
    "50,000 common tables": lambda: (
        "WITH "
        + ", ".join(f"q{number} AS (SELECT 1)" for number in range(50_000))
        + " SELECT * FROM q1"
    ),
    "20,000 unions": lambda: "SELECT a FROM t" + " UNION ALL SELECT a FROM t" * 20_000,
    "20,000 cases": lambda: "SELECT " + "CASE WHEN a THEN " * 20_000 + "1" + " END" * 20_000,
    "quote that nothing closes": lambda: "SELECT 'a" + " FROM t" * 100_000,
    "backquote that nothing closes": lambda: "SELECT `a" + " FROM t" * 100_000,
    "dollars that nothing closes": lambda: "SELECT $$a" + " FROM t" * 100_000,
    "quotes in quotes": lambda: "SELECT " + "'\"`" * 100_000 + " FROM t",
    "2 MB of opening signs": lambda: "(" * (2 * MEGABYTE),
    "odd letters": lambda: (
        "SELECT " + "\u202e\u200b\ufeff\u0130\u01c6\U0001f4a3\x00" * 1000 + " FROM \u017f"
    ),
}


@given(strategies.heaps_of_words)
@settings(max_examples=200, deadline=None)
def test_any_heap_of_words_is_answered(text: str) -> None:
    """Any text gets references or the reason why it has none, within the time limit."""
    check_references(text)


@given(st.one_of(strategies.statements, strategies.damaged_statements, st.text()))
@settings(max_examples=200, deadline=None)
def test_damaged_statements_are_answered(text: str) -> None:
    """A statement of which a part is missing or wrong is answered like any other text."""
    check_references(text)


@given(st.lists(strategies.pairs, min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_texts_of_one_template_have_the_same_references(pairs: list[tuple[str, str]]) -> None:
    """Whatever small edit leaves a statement's template as it is leaves its references too."""
    check_templates([text for pair in pairs for text in pair])


def test_kept_texts_break_no_rule() -> None:
    """Texts that fuzzing kept because they reach every corner are answered, and hashed apart."""
    for text in KEPT_TEXTS:
        check_references(text)
    assert check_templates(KEPT_TEXTS) > 0


def frugal_parser(text: str) -> References:
    """Parse a text; fail when the process has taken too much memory for it."""
    references = referenced_tables(text)
    # Not `ru_maxrss`, which a new process inherits from the one that started it.
    status = Path("/proc/self/status").read_text().splitlines()
    peak_kilobytes = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    if peak_kilobytes > MAX_WORKER_KILOBYTES:
        raise MemoryError(peak_kilobytes)
    return references


@pytest.fixture(scope="module")
def pool() -> Iterator[ParsePool]:
    """One worker for all hostile texts."""
    with ParsePool(1, parser=frugal_parser) as pool:
        yield pool


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_texts_cost_bounded_time_and_memory(pool: ParsePool, name: str) -> None:
    """A hostile text is answered, or given up, by a worker that goes on with the next text."""
    texts = {"hostile": HOSTILE[name](), "innocent": "SELECT a FROM b"}
    results = dict(pool.parse(texts))
    hostile = results["hostile"]
    assert results["innocent"] == referenced_tables("SELECT a FROM b")
    assert (hostile.error is None) == (hostile.attribution is not None)
    assert hostile.error is None or hostile.error in KNOWN_ERRORS


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("IN list of 100,000 numbers", {"t"}),
        ("IN list of 100,000 strings", {"t"}),
        ("10 MB of rows", set[str]()),
        ("10 MB in one string", {"t"}),
        ("10 MB of comment", {"t"}),
    ],
)
def test_long_texts_are_understood(pool: ParsePool, name: str, reads: set[str]) -> None:
    """Texts that only literals and comments make long are parsed as short ones are."""
    ((_, references),) = pool.parse({"": HOSTILE[name]()})
    assert (references.attribution, references.reads) == ("parsed", reads)


@given(strategies.statements)
@settings(max_examples=100, deadline=None)
def test_shortening_changes_no_references(text: str) -> None:
    """A statement without its strings, comments and lists has the references that it had."""
    assert referenced_tables(shortened(text)) == referenced_tables(text)
