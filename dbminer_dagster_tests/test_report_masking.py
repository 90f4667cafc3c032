"""The report masks many texts at once, and shows of each what `shown` does."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbminer_dagster.mining.reasons import LOOKED_AT_CHARACTERS, shown
from dbminer_dagster.popularity_html.masking import TEXT_CHARACTERS, masked
from dbminer_dagster_tests.fuzz.strategies import damaged_statements, heaps_of_words, statements

PLAIN = {
    "literals": ("SELECT 'a', \"b\", 1.5, 7 FROM t", "SELECT ?, ?, ?, ? FROM t"),
    "adjacent": ("SELECT 'it''s', '' 'b'", "SELECT ??, ? ?"),
    "comments": ("/* a */ SELECT a -- 'x'\n, b/**/c FROM t", "SELECT a , b c FROM t"),
    "one_line": (" SELECT a\n\n  FROM\tt  ;", "SELECT a FROM t ;"),
    "names": ("SELECT `a b`, `it's`.x1 FROM `d-e`.f", "SELECT `a b`, `it's`.x1 FROM `d-e`.f"),
    "quotes_in_comments": ("SELECT a -- it's\n, 'b' /* \" */", "SELECT a , ?"),
    "comments_in_quotes": ("SELECT '-- a', '/* b' FROM t", "SELECT ?, ? FROM t"),
    "operators": ("SELECT a->b, c::int, -1 / 2 FROM t", "SELECT a->b, c::int, -? / ? FROM t"),
}  # fmt: skip
TRICKY = (
    "SELECT x'1F', r'\\', n'a', 1L, 1e5, 0x1F, .5, a.1, 1.x, 5MB",
    "SELECT 'a\\'b', $$c$$, $q$ 'd' $q$, ${e}, {{ f }}, {# g #}",
    "SELECT a /*+ hint('b') */, /* c /* 'd' */ e */ f",
    "SELECT a /* 'b'",
    "SELECT 'a",
    "SELECT ORDER\n  BY a, GROUP  BY b",
    "SELECT 1; SHOW TABLES IN secret",
    "BEGIN SHOW TABLES IN secret; END",
    "EXPLAIN SELECT 'a'",
    "SELECT (-|--'a'\n)",
    "SELECT `'a\nb'`'c', `d``e`, `f  g`, `'h'",
    "SELECT '\x1a', \x1a'a', `\x1a`",
    "SELECT a\x0bb\u00a0c, é, '²', ²",
    "",
    "-- nothing else",
)
SIGNS = (
    *("'", '"', "`", "--", "/*", "*/", "\n", " ", "  ", ".", ";", "-", "|", "(", ")", "$", "\\"),
    *("a", "b1", "1", "1.5", "1L", "x'1F'", "'s'", '"d"', "`n m`", "-- c\n", "/* c */", "é"),
    *("begin", "show", "order by", "order\nby", "\x1a", "{", "#", "@"),
)
near_plain = st.lists(st.sampled_from(SIGNS), max_size=14).map(
    lambda parts: "SELECT " + "".join(parts)
)


@pytest.mark.parametrize(("sql", "expected"), PLAIN.values(), ids=PLAIN)
def test_plain_texts_need_no_tokens(
    sql: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text without anything odd is masked by regular expressions alone."""
    assert shown(sql) == expected
    monkeypatch.setattr("dbminer_dagster.popularity_html.masking.shown", pytest.fail)

    assert masked(pl.Series([sql])) == [expected]


@pytest.mark.parametrize("number", range(len(TRICKY)))
def test_odd_texts_are_left_to_the_tokens(number: int) -> None:
    """Whatever could be read in two ways is shown as the tokens say."""
    assert masked(pl.Series([TRICKY[number]])) == [shown(TRICKY[number], TEXT_CHARACTERS)]


@settings(deadline=None, max_examples=300)
@given(st.lists(near_plain | heaps_of_words | statements | damaged_statements, max_size=20))
def test_many_texts_are_shown_as_each_one_is(texts: list[str]) -> None:
    """For any texts, what is shown is what the tokens say, in the same order."""
    found = masked(pl.Series(texts, dtype=pl.String))

    assert found == [shown(text, TEXT_CHARACTERS) for text in texts]


@given(st.integers(LOOKED_AT_CHARACTERS - 40, LOOKED_AT_CHARACTERS + 40), st.booleans())
def test_long_texts_are_cut_as_each_one_is(length: int, with_gaps: bool) -> None:
    """A cut through a literal, a comment or a name shows nothing more."""
    gap = " " * (LOOKED_AT_CHARACTERS - 60) if with_gaps else "a" * (LOOKED_AT_CHARACTERS - 60)
    text = f"SELECT {gap}, 'literal', 12345, b /* comment */, `name of it`, cc, 'literal' FROM t"

    assert masked(pl.Series([text[:length]])) == [shown(text[:length], TEXT_CHARACTERS)]


def test_no_text_shows_nothing() -> None:
    """A text that the source withheld has none."""
    assert masked(pl.Series([None, "SELECT 1"], dtype=pl.String)) == [None, "SELECT ?"]
