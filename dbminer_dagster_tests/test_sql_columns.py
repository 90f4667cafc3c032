"""Columns that only the tables' own columns can tell: candidates, stars, and what is unknown."""

import pytest

from dbminer_dagster.mining.references import References
from dbminer_dagster.mining.sql_columns import MAX_STEPS
from dbminer_dagster.mining.sql_reads import referenced_tables

# Statement: tables used as a whole, as `table`, or `table-left_out`.
STARS = {
    "star": ("SELECT * FROM t", "t"),
    "each_table": ("SELECT * FROM t JOIN u ON true", "t u"),
    "qualified": ("SELECT x.*, u.a FROM s.t x JOIN u", "s.t"),
    "except": ("SELECT * EXCEPT (A, b) FROM t", "t-a-b"),
    "except_a_field": ("SELECT * EXCEPT (a.b) FROM t", "t"),
    "qualified_except": ("SELECT t.* EXCEPT (a) FROM t", "t-a"),
    "count": ("SELECT count(*) FROM t", ""),
    "count_of_columns": ("SELECT count(t.*) FROM t", "t"),
    "count_distinct": ("SELECT count(DISTINCT *) FROM t", "t"),
    "function": ("SELECT to_json(struct(*)) FROM t", "t"),
    "table_statement": ("TABLE t", "t"),
    "wrapped": ("SELECT * FROM (SELECT * FROM t) x", "t"),
    "wrapped_except": ("SELECT * EXCEPT (a) FROM (SELECT * EXCEPT (b) FROM t)", "t-a-b"),
    "not_reached": ("SELECT a FROM (SELECT * FROM t)", ""),
    "cte": ("WITH c AS (SELECT * FROM t) SELECT * FROM c", "t"),
    "cte_unused": ("WITH c AS (SELECT * FROM t) SELECT 1", ""),
    "of_listed_columns": ("SELECT * FROM (SELECT a, b FROM t)", ""),
    "exists": ("SELECT 1 WHERE EXISTS (SELECT * FROM t)", ""),
    "in": ("SELECT 1 WHERE 1 IN (SELECT * FROM t)", "t"),
    "union": ("SELECT * FROM t UNION SELECT * FROM u", "t u"),
    "view": ("CREATE VIEW w AS SELECT * FROM t", "t"),
    "clone": ("CREATE TABLE w DEEP CLONE t", ""),
    "insert": ("INSERT INTO w SELECT * FROM t", "t"),
    "insert_table": ("INSERT INTO w TABLE t", "t"),
    "multiple_inserts": ("FROM t INSERT INTO a SELECT * INSERT INTO b SELECT x", "t"),
    "merge": ("MERGE INTO w USING t ON w.i = t.i WHEN MATCHED THEN UPDATE SET *", "t"),
    "merge_insert": ("MERGE INTO w USING t ON w.i = t.i WHEN NOT MATCHED THEN INSERT *", "t"),
    "pivot_groups_by_all": ("SELECT x FROM t PIVOT (sum(a) FOR b IN (1))", "t"),
    "unpivot": ("SELECT * FROM t UNPIVOT (v FOR n IN (a, b))", "t-a-b"),
    "recursive": (
        "WITH RECURSIVE r AS (SELECT * FROM t UNION ALL SELECT * FROM r) SELECT * FROM r",
        "t",
    ),
    "semi_join": ("SELECT t.* FROM t LEFT SEMI JOIN u ON t.i = u.i", "t"),
}  # fmt: skip

# Statement: candidates, as `column`, then each level as `(tables)`, with `+` where something that
# is no table may have the column too, and `=` where the tables may share it.
CANDIDATES = {
    "join": ("SELECT x FROM a JOIN b ON true", "x(a,b)"),
    "correlated": ("SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b WHERE x = 1)", "x(b)(a)"),
    "function_source": ("SELECT x FROM a JOIN read_files('/p')", "x(a)+"),
    "path": ("SELECT x FROM a JOIN delta.`/p`", "x(a)+"),
    "lateral_alias": ("SELECT 1 AS x, x + 1 FROM a", "x(a)()+"),
    "group_by_alias": ("SELECT 1 AS x FROM a GROUP BY x", "x(a)()+"),
    "order_by_alias": ("SELECT 1 AS x FROM a ORDER BY x", ""),
    "later_alias": ("SELECT x, 1 AS x FROM a JOIN b", "x(a,b)"),
    "stars_of_two": ("SELECT x FROM (SELECT * FROM a JOIN b)", "x(a,b)"),
    "union": ("SELECT x FROM (SELECT * FROM a UNION ALL SELECT * FROM b)", "x(a,b)="),
    "left_out": ("SELECT x FROM (SELECT * EXCEPT (x) FROM a) JOIN b JOIN c", "x(b,c)"),
    "same_name_twice": ("SELECT t.x FROM a.t JOIN b.t", "x(a.t,b.t)"),
    "using": ("SELECT x FROM a JOIN b JOIN c USING (x)", "x(a,b)"),
    "natural": ("SELECT x FROM a NATURAL JOIN b", "x(a,b)="),
    "natural_with_listed": ("SELECT 1 FROM a NATURAL JOIN (SELECT x FROM b)", "x(a)()+"),
    "merge_condition": (
        "MERGE INTO w USING a ON w.i = a.i WHEN MATCHED AND x THEN DELETE", "x(a)+"),
    "update": ("UPDATE w SET y = (SELECT max(x) FROM a)", "x(a)()+"),
    "script_variable": ("BEGIN DECLARE x INT; SELECT 1 FROM a WHERE y = x; END", "x(a)()+"),
    "loop_variable": ("BEGIN FOR x AS SELECT 1 DO SELECT x.y FROM a; END FOR; END", "x(a)()+"),
    "lateral_query_of_the_same_name": ("SELECT 1 FROM a, b, LATERAL (SELECT x AS x)", "x(a,b)"),
    "lateral_query": ("SELECT 1 FROM a, LATERAL (SELECT x FROM b)", "x(b)(a)"),
}  # fmt: skip

# Statement: what no text can tell, as `reason name`.
UNKNOWN = {
    "parameter": ("SELECT * FROM IDENTIFIER(:p)", "parameter_name :p"),
    "parameter_in_a_name": ("SELECT * FROM IDENTIFIER(:p || '.t')", "parameter_name :p"),
    "qualified_parameter": ("SELECT * FROM c.IDENTIFIER(:p)", "parameter_name :p"),
    "position": ("SELECT * FROM IDENTIFIER(?)", "parameter_name ?"),
    "variable": ("SELECT * FROM IDENTIFIER(session.v)", "parameter_name session.v"),
    "text_parameter": ("SELECT * FROM ${c}.s.t", "parameter_name :c"),
    "widget": ("SELECT * FROM {{ s }}.t", "parameter_name :s"),
    "target": ("INSERT INTO IDENTIFIER(:p) SELECT 1", "parameter_name :p"),
    "merge_target": ("MERGE INTO IDENTIFIER(:p) USING t ON true WHEN MATCHED THEN DELETE",
                     "parameter_name :p"),
    "created": ("CREATE TABLE IDENTIFIER(:p) AS SELECT 1", "parameter_name :p"),
    "column": ("SELECT IDENTIFIER(:p) FROM t", "parameter_name :p"),
    "renamed": ("SELECT a FROM t AS x(a, b)", "renamed_columns t"),
    "renamed_star": ("WITH c (a) AS (SELECT * FROM t) SELECT a FROM c", "renamed_columns t"),
    "natural_join_of_files": ("SELECT 1 FROM t NATURAL JOIN read_files('/p')", "natural_join t"),
    "dynamic": ("EXECUTE IMMEDIATE v", "dynamic_sql v"),
    "constant": ("SELECT * FROM IDENTIFIER('a.b') JOIN range(3)", ""),
}  # fmt: skip

TABLES = 1_500
HOSTILE = {
    "wide": "SELECT " + ",".join(f"c{i}" for i in range(TABLES)) + " FROM "
            + ",".join(f"t{i}" for i in range(TABLES)),
    "chain": "WITH q0 AS (SELECT * FROM t0)"
             + "".join(f", q{i} AS (SELECT * FROM q{i - 1}, t{i})" for i in range(1, TABLES))
             + f" SELECT a FROM q{TABLES - 1}",
    "natural": "SELECT * FROM t0" + "".join(f" NATURAL JOIN t{i}" for i in range(1, TABLES)),
    "except": "SELECT * EXCEPT (" + ",".join(f"c{i}" for i in range(TABLES)) + ") FROM "
              + ",".join(f"t{i}" for i in range(TABLES)),
}  # fmt: skip


def candidates(references: References) -> str:
    """The candidates in the form of `CANDIDATES`."""
    spelled = []
    for candidate in references.candidates:
        levels = (
            f"({','.join(sorted(level.tables))})"
            + "+" * level.is_open + "=" * level.is_shared for level in candidate.levels
        )  # fmt: skip
        spelled.append(candidate.column + "".join(levels))
    return " ".join(sorted(spelled))


@pytest.mark.parametrize(("sql", "stars"), STARS.values(), ids=STARS)
def test_stars(sql: str, stars: str) -> None:
    """A star uses all columns of its tables where it reaches the result, or a function."""
    found = referenced_tables(sql).stars
    assert {"-".join([star.table, *sorted(star.excluded)]) for star in found} == set(stars.split())


@pytest.mark.parametrize(("sql", "expected"), CANDIDATES.values(), ids=CANDIDATES)
def test_candidates(sql: str, expected: str) -> None:
    """A column that several sources may supply names them, those of the innermost query first."""
    assert candidates(referenced_tables(sql)) == expected


@pytest.mark.parametrize(("sql", "expected"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_no_text_tells(sql: str, expected: str) -> None:
    """What is known only when a statement runs has a reason and a name."""
    found = referenced_tables(sql)
    assert found.error is None
    assert {" ".join(pair) for pair in found.unknowns} == ({expected} if expected else set())


def test_natural_join_compares_columns_of_both() -> None:
    """Of each side those columns are used that the other side has too."""
    stars = referenced_tables("SELECT 1 FROM a JOIN b NATURAL JOIN c").stars
    assert {(star.table, *sorted(star.shared_with)) for star in stars} == {
        ("a", "c"),
        ("b", "c"),
        ("c", "a", "b"),
    }


@pytest.mark.parametrize("sql", HOSTILE.values(), ids=HOSTILE)
def test_columns_are_given_up_before_they_take_for_ever(sql: str) -> None:
    """A text that combines its names in too many ways keeps its tables, and says so."""
    assert TABLES**2 > MAX_STEPS
    found = referenced_tables(sql)
    assert len(found.reads) == TABLES
    assert not any((found.columns, found.candidates, found.stars))
    assert found.unknowns == {("too_many_columns", "")}


def test_deep_chains_are_followed() -> None:
    """A column is found through more queries than the interpreter can nest calls."""
    depth = 3_000
    chain = "".join(f", q{i} AS (SELECT * FROM q{i - 1})" for i in range(1, depth))
    struct = "".join(f", q{i} AS (SELECT e.* FROM q{i - 1})" for i in range(1, depth))
    for sql in (chain, struct):
        found = referenced_tables(
            f"WITH q0 AS (SELECT * FROM t){sql} SELECT q{depth - 1}.* FROM q{depth - 1}"
        )
        assert found.error is None
        assert found.reads == {"t"}
        assert found.stars or found.columns
