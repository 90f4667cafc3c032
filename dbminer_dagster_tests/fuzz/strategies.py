"""Texts that look more or less like SQL, for hypothesis."""

import hypothesis.strategies as st

NAMES = ("a", "t1", "s.t", "c.s.t", "`q r`", "`it's`", "c.`s t`.u", "IDENTIFIER('x.y')", "é", "_")
LITERALS = (
    "1",
    "1.5e3",
    "'x'",
    "'it''s'",
    '"y"',
    r"'\''",
    r"r'\'",
    "x'1f'",
    "NULL",
    ":p",
    "?",
    "@v1",
)
WORDS = """
    SELECT FROM WHERE JOIN LEFT SEMI ANTI CROSS NATURAL ON USING LATERAL VIEW WITH RECURSIVE AS
    UNION ALL EXCEPT INTERSECT VALUES INSERT INTO OVERWRITE TABLE REPLACE MERGE UPDATE SET
    DELETE CREATE OR TEMPORARY MATERIALIZED STREAMING IF NOT EXISTS TRUNCATE COPY CLONE VERSION
    OF PIVOT UNPIVOT FOR IN CASE WHEN THEN ELSE END BEGIN DECLARE DO WHILE EXECUTE IMMEDIATE USE
    CATALOG SCHEMA ALTER CACHE GROUP BY HAVING QUALIFY ORDER WINDOW OVER PARTITION TABLESAMPLE
    LIMIT CUBE MATCHED SOURCE STREAM( TABLE( table_changes( read_files( explode(
    """
SIGNS = (
    "(",
    ")",
    "[",
    "]",
    "<",
    ">",
    ",",
    ";",
    ".",
    ":",
    "::",
    "->",
    "=>",
    "||",
    "*",
    "@",
    "-",
    "--",
    "/*",
    "*/",
    "/*+",
    "{#",
    "#}",
    "{{",
    "}}",
    "${x}",
    "'",
    '"',
    "`",
    "\\",
    "\x1a",
    "\x00",
    "\n",
)

pieces = st.sampled_from((*NAMES, *LITERALS, *SIGNS, *WORDS.split())) | st.text(max_size=3)


def joined(parts: list[str], gap: str) -> str:
    return gap.join(parts)


heaps_of_words = st.builds(joined, st.lists(pieces, max_size=40), st.sampled_from([" ", "", "\n"]))
"""Words, names and literals in any order."""

names = st.sampled_from(NAMES)
literals = st.sampled_from(LITERALS)


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    shapes = st.sampled_from(
        (
            "SELECT * FROM ({0}) x JOIN ({1}) y ON x.a = {2}",
            "WITH x AS ({0}) {1}",
            "({0}) UNION ALL ({1})",
            "SELECT a FROM t WHERE b IN ({0}) AND EXISTS ({1}) AND c = {2}",
            "SELECT ({0}) FROM u, LATERAL ({1}) v WHERE d <> {2}",
            "FROM ({0}) INSERT INTO a {1}",
            "INSERT INTO t {0}; {1}",
            "MERGE INTO t USING ({0}) s ON s.a IN ({1}) WHEN NOT MATCHED THEN INSERT *",
            "CREATE OR REPLACE TABLE t AS {0}; DELETE FROM u WHERE a IN ({1})",
            "BEGIN IF EXISTS ({0}) THEN {1}; END IF; END",
        )
    )
    return st.builds(str.format, shapes, inner, inner, literals)


statements = st.recursive(
    st.builds("SELECT a, {1} FROM {0} WHERE b = {1}".format, names, literals),
    _nested,
    max_leaves=6,
)
"""Statements of a small grammar."""


def _edited(text: str, cut: float, removed: int, inserted: str) -> str:
    start = int(cut * len(text))
    return text[:start] + inserted + text[start + removed :]


damaged_statements = st.builds(_edited, statements, st.floats(0, 1), st.integers(0, 20), pieces)
"""Statements with one place cut out and something put in."""

pairs = statements.flatmap(
    lambda text: st.tuples(
        st.just(text), st.builds(_edited, st.just(text), st.floats(0, 1), st.integers(0, 3), pieces)
    )
)
"""A statement, and the same after a small edit."""
