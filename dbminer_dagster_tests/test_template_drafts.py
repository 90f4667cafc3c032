"""Drafts save time and change nothing: a text's hash is its own, in whatever company it comes."""

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import example, given, settings

from dbminer_dagster.mining import templates
from dbminer_dagster.mining.templates import MARK, with_query_hash

PIECES = st.sampled_from(
    [
        *("'", '"', "`", "--", "-", "/*", "*/", "*", "/", "\\", "\n", "\r", MARK, "''", "é1"),
        *("1", "2.5", ".5", "1e5", "a1", "a.b.1", "x", " ", ",", "=", "(", ")", "'a'", "'it''s'"),
        *(r"'\''", '"q\'s"', '"7"', "`n 1`", "`n1`", "`it's`", "/* ' */", "/* 1 */", "-- it's\n"),
        *("-- 2\n", "r'\\'", "{#", "IDENTIFIER(", "USE ", "SELECT ", " FROM t "),
    ]
)
TEXTS = st.lists(PIECES, max_size=9).map("".join)


def hashes(*texts: str) -> list[str | None]:
    return with_query_hash(pl.DataFrame({"statement_text": texts}))["query_hash"].to_list()


def each_by_itself(*texts: str) -> list[str | None]:
    """The hashes where no other text is there, nor remembered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "DRAFTS_REMEMBERED", 0)
        return [hashes(text)[0] for text in texts]


@given(st.lists(TEXTS, min_size=1, max_size=40))
@example([f"SELECT '{MARK}', 1", f"SELECT 'a', {MARK}", "SELECT 'a', 1"])
@example(["`it's` x 'y'", "`it's` z 'y'", "-- it's\nx 'y'", "-- it's\nz 'y'"])
@example(["SELECT 5 -'a'", "SELECT 5 -'b'", "`Orders 2024`", "`Orders 2025`", "`a.5`", "`a.6`"])
@example(["/* \" /* */ 'x\" code '", "/* \" /* */ 'x\" none '"])
@settings(max_examples=300, deadline=None)
def test_company_changes_no_hash(texts: list[str]) -> None:
    """A text has the same hash alone, among other texts, and when it comes again."""
    expected = each_by_itself(*texts)
    assert hashes(*texts) == expected
    assert hashes(*reversed(texts)) == expected[::-1]


@given(st.lists(st.tuples(PIECES, PIECES, PIECES), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_literals_in_any_place_change_no_hash(parts: list[tuple[str, str, str]]) -> None:
    """Texts that differ in one literal only, as a template sees it or not, keep their hashes."""
    texts = [f"SELECT {a}{b}{c} FROM t" for a, b, c in parts]
    texts += [text.replace("'a'", "'b'").replace("1", "77") for text in texts]
    assert hashes(*texts) == each_by_itself(*texts)


def test_a_full_memory_forgets_nothing_and_takes_nothing_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hashes are the same whether there is room to remember a text or not."""
    texts = [f"SELECT c{n} FROM full_memory WHERE a = {n}" for n in range(20)]
    monkeypatch.setattr(templates, "DRAFTS_REMEMBERED", 0)
    without_room = hashes(*texts)
    monkeypatch.undo()
    assert hashes(*texts) == without_room
    assert len(set(without_room)) == len(texts)
