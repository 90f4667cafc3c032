"""Templates: what folds together, and what must not."""

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings

from dbminer_dagster.mining.sql_reads import referenced_tables
from dbminer_dagster.mining.templates import MARK, with_query_hash


def hashes(*texts: str | None) -> list[str | None]:
    frame = pl.DataFrame({"statement_text": texts}, schema={"statement_text": pl.String})
    return with_query_hash(frame)["query_hash"].to_list()


def share(*texts: str) -> bool:
    return len(set(hashes(*texts))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT * FROM t WHERE a = 1", "SELECT * FROM t WHERE a = 23.5"),
        ("SELECT * FROM t WHERE a = 'x'", "SELECT * FROM t WHERE a = 'it\\'s -- /* no `comment`'"),
        ("SELECT * FROM t WHERE a = 'x'", "SELECT * FROM t WHERE a = 'y \"z\"'"),
        ('SELECT * FROM t WHERE a = "x"', 'SELECT * FROM t WHERE a = "it\'s \\" one\n"'),
        ("SELECT 1 -- run 7\nFROM t", "SELECT 2 -- it's run 8\nFROM t"),
        ("/* {'run': 1} */ SELECT 1", '/* {"run": "2* */ SELECT 1'),
        ("SELECT 1 /**/ FROM t", "SELECT 1 /***** https://x/y * z // **/ FROM t"),
        ("SELECT `it's 1` FROM t WHERE a = 1", "SELECT `it's 1` FROM t WHERE a = 2"),
        ("SELECT * FROM IDENTIFIER('a.b.c') LIMIT 1", "SELECT * FROM IDENTIFIER('a.b.c') LIMIT 2"),
    ],
)
def test_literals_and_comments_fold(one: str, other: str) -> None:
    """Texts that differ in literals and in what comments say are one template."""
    assert share(one, other)


def test_lists_of_any_length_fold() -> None:
    """IN lists share a template whatever their length, and so do rows of VALUES."""
    items = ["1", "-1, 2", "'a', 'it''s' , \"b\"", ", ".join(["7"] * 500), "1, NULL, true"]
    assert share(*(f"SELECT * FROM t WHERE a IN ({item}) AND b" for item in items))
    rows = ["(1, 'a')", "(1), (2)", ", ".join(["(1, NULL, DATE '2026-01-01')"] * 300)]
    assert share(*(f"INSERT INTO t VALUES {row}" for row in rows))


ADVERSARIAL = [
    ("SELECT * FROM a.b.1e5", "SELECT * FROM a.b.1e6"),
    ("SELECT * FROM a.b.1", "SELECT * FROM a.b.2"),
    ("SELECT * FROM a . b . /* x */ 1", "SELECT * FROM a . b . /* x */ 2"),
    ("SELECT * FROM 1.a", "SELECT * FROM 2.a"),
    ("SELECT * FROM a.b.'x'", "SELECT * FROM a.b.'y'"),
    ("SELECT * FROM raw.2024_events", "SELECT * FROM raw.2025_events"),
    ("SELECT * FROM raw.t1", "SELECT * FROM raw.t2"),
    ("SELECT * FROM raw.é1", "SELECT * FROM raw.é2"),
    ("SELECT * FROM `Orders 2024`", "SELECT * FROM `Orders 2025`"),
    ("SELECT * FROM `it's`, a.b.c -- '", "SELECT * FROM `it's`, a.b.d -- '"),
    ("SELECT * FROM `a -- b`, c.d", "SELECT * FROM `a -- b`, e.f"),
    ("SELECT * FROM `a``1`, c.d", "SELECT * FROM `a``2`, c.d"),
    ("SELECT * FROM IDENTIFIER\n ('a.b')", "SELECT * FROM IDENTIFIER\n ('a.c')"),
    ("SELECT * FROM identifier/**/('a.b')", "SELECT * FROM identifier/**/('a.c')"),
    ("SELECT * FROM IDENTIFIER -- x\n ('a')", "SELECT * FROM IDENTIFIER -- x\n ('b')"),
    ("SELECT * FROM table_changes('a.b', 1)", "SELECT * FROM table_changes('a.c', 1)"),
    ("USE CATALOG 'a'; SELECT * FROM b.c", "USE CATALOG 'z'; SELECT * FROM b.c"),
    ("SELECT 1; USE 'a'; SELECT * FROM c", "SELECT 1; USE 'z'; SELECT * FROM c"),
    ("/* x */ USE /* y */ SCHEMA 'a'; TABLE c", "/* x */ USE /* y */ SCHEMA 'z'; TABLE c"),
    ("SET CATALOG 'a'; SELECT * FROM b.c", "SET CATALOG 'z'; SELECT * FROM b.c"),
    ("USE a", "USE b"),
    ("SELECT 'a' b FROM t", "SELECT /*a*/ b FROM t"),
    ("SELECT 1 b FROM t", "SELECT   b FROM t"),
    ("SELECT 'a'\nb FROM t", "SELECT --a\nb FROM t"),
    ("SELECT * FROM a -- x\r, b", "SELECT * FROM a -- x\r, c"),
    ("SELECT * FROM t /* x /* y */ , a.b */", "SELECT * FROM t /* y */ , a.b"),
    ("SELECT * FROM t /* /* */ ' */ , a.b -- '", "SELECT * FROM t /* */ '*/, a.b -- '"),
    ("SELECT * FROM t /* /* */ ' */ , a.b -- '", "SELECT * FROM t /* /* */ ' */ , a.c -- '"),
    ("SELECT * FROM t {# ' #}, a.b {# ' #}", "SELECT * FROM t {# ' #}, a.c {# ' #}"),
    (r"SELECT r'\', b, '' FROM a", r"SELECT r'\', c, '' FROM a"),
    (r"SELECT 1R'\', b, '' FROM a", r"SELECT 1R'\', c, '' FROM a"),
    (r"SELECT 'x\\', b, '' FROM a", r"SELECT 'x\\', c, '' FROM a"),
    (r"SELECT 'x\'', b, '' FROM a", r"SELECT 'x\'', c, '' FROM a"),
    ("SELECT 'it''s', b, '' FROM a", "SELECT 'it''s', c, '' FROM a"),
    ("SELECT '--', b FROM a", "SELECT '--', c FROM a"),
    ("SELECT '/*', b, '*/' FROM a", "SELECT '/*', c, '*/' FROM a"),
    ('SELECT "\'", b, "\'" FROM a', 'SELECT "\'", c, "\'" FROM a'),
    ("SELECT 1 /*'*/, b /*'*/ FROM a", "SELECT 1 /*'*/, c /*'*/ FROM a"),
    ("SELECT count(/**/*), b, '*/' FROM a", "SELECT count(/**/*), c, '*/' FROM a"),
    ("SELECT x'1f' FROM a", "SELECT x'zz' FROM a"),
    (f"SELECT {MARK} b FROM t", "SELECT 1 b FROM t"),
]


@pytest.mark.parametrize(("one", "other"), ADVERSARIAL)
def test_different_references_never_share_a_hash(one: str, other: str) -> None:
    """Texts that use different tables or columns have different templates."""
    assert not share(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT 'a FROM b", "SELECT 'a FROM c"),
        ("SELECT `a FROM b", "SELECT `a FROM c"),
        ("SELECT a /* FROM b", "SELECT a /* FROM c"),
    ],
)
def test_unclosed_quotes_and_comments_swallow_nothing(one: str, other: str) -> None:
    """A quote or a comment without an end leaves the text behind it in the template."""
    assert not share(one, other)


def test_rows_keep_their_order_and_nulls() -> None:
    """Each row gets the hash of its own text, whatever kind it is; null text has null."""
    texts = ["SELECT 1", None, "SELECT `a`", "USE 'x'", "SELECT r'a'", "SELECT 2", ""]
    together = hashes(*texts)
    assert together == [hashes(text)[0] for text in texts]
    assert together[1] is None
    assert together[0] == together[5]


def test_other_columns_stay() -> None:
    """The hash is added to the frame; an empty frame gets the column too."""
    frame = pl.DataFrame({"n": [1], "statement_text": ["SELECT 1"]})
    assert with_query_hash(frame).columns == ["n", "statement_text", "query_hash"]
    assert with_query_hash(frame.head(0)).schema["query_hash"] == pl.String


def test_hash_is_the_same_for_ever() -> None:
    """The hash is stored: it may not change between machines, runs or releases."""
    assert hashes("SELECT a FROM b.c WHERE d IN (1, 2) -- e") == [
        "89de6f79534b6a8d5ee8a8590512f20a"
    ]


NAMES = st.sampled_from(["a.b.c", "t1", "`x 1`", "`it's`", "a.1e5", "a.b.1", "2024_x", "r", "x.y"])
LITERALS = st.sampled_from(
    ["1", "2.5", "'a'", "'it''s'", r"'\''", '"q"', "'--'", "'/*'", "'*/'", "''", r"r'\'", "'`'"]
)
GAPS = st.sampled_from(
    [" ", "  ", "\n", " /**/ ", " /* ' */ ", " -- '\n", " -- x\r", " /* /* */ */ ", " {# ' #} "]
)
SIGNS = st.sampled_from(
    [",", ".", "(", ")", "=", "*", "SELECT", "FROM", "JOIN", "IDENTIFIER", "USE"]
)


@st.composite
def statements(draw: st.DrawFn) -> str:
    """`SELECT … FROM …` of odd parts, now and then with anything between."""
    item = st.one_of(NAMES, LITERALS, st.tuples(LITERALS, NAMES).map(" ".join))
    parts = ["SELECT", draw(item), ",", draw(item), "FROM", draw(NAMES), ",", draw(NAMES)]
    if draw(st.booleans()):
        parts += ["WHERE", draw(NAMES), "=", draw(LITERALS)]
    for _ in range(draw(st.integers(0, 2))):
        odd = draw(st.one_of(NAMES, LITERALS, SIGNS))
        parts.insert(draw(st.integers(1, len(parts))), odd)
    return "".join(part + draw(GAPS) for part in parts)


@given(st.lists(statements(), min_size=1, max_size=20), st.data())
@settings(max_examples=150, deadline=None)
def test_one_template_means_one_set_of_references(texts: list[str], data: st.DataObject) -> None:
    """Whatever shares a template has the same reads, writes and columns."""
    literals = ["1", "2.5", "'a'", "'--'", '"q"']
    for text in list(texts):
        old, new = data.draw(st.sampled_from(literals)), data.draw(st.sampled_from(literals))
        texts += [text.replace(old, new), text.replace(old, "/*c*/"), text.replace(old, "")]
    seen: dict[str | None, tuple[str, object]] = {}
    for text, query_hash in zip(texts, hashes(*texts), strict=True):
        found = referenced_tables(text)
        uses = (found.reads, found.writes, found.columns)
        first, expected = seen.setdefault(query_hash, (text, uses))
        assert uses == expected, (first, text)
