"""Ways to write a statement that change nothing in what it uses."""

import re

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlglot import parse_one

from dbminer_dagster.mining.references import References
from dbminer_dagster.mining.sql_reads import referenced_tables

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

TABLES = st.sampled_from(["t", "u", "s.t", "c.s.v", "c.`odd-name`.w"])
COLUMNS = st.sampled_from(["a", "b", "k", "`two-words`"])
COMPARED = st.sampled_from(["1", "'x'", "k", "upper(b)"])


@st.composite
def expressions(draw: st.DrawFn, source: str) -> str:
    """Expressions over the columns of a source, some of them not qualified."""
    column = draw(COLUMNS)
    qualified = draw(st.sampled_from([column, f"{source}.{column}"]))
    form = draw(
        st.sampled_from(
            ["{0}", "coalesce({0}, 1)", "CASE WHEN {0} > {1} THEN {0} END", "sum({0}) OVER "
             "(PARTITION BY {1})", "transform({0}, x -> x + {1})", "{0} IN (1, 2)"]
        )
    )  # fmt: skip
    return form.format(qualified, draw(COMPARED))


@st.composite
def sources(draw: st.DrawFn, depth: int, ctes: tuple[str, ...]) -> tuple[str, str]:
    """A source of FROM with the alias `x0`, `x1`, …; a table, a CTE or a derived table."""
    alias = f"x{draw(st.integers(0, 9))}"
    if depth > 0 and draw(st.booleans()):
        return f"({draw(queries(depth - 1, ctes))}) AS {alias}", alias
    names = st.one_of(TABLES, st.sampled_from(ctes)) if ctes else TABLES
    return f"{draw(names)} AS {alias}", alias


@st.composite
def queries(draw: st.DrawFn, depth: int = 2, ctes: tuple[str, ...] = ()) -> str:
    """A SELECT: perhaps with a CTE, a join, a correlated sub-query, a union."""
    clause = ""
    if depth > 0 and draw(st.booleans()):
        clause = f"WITH q{depth} AS ({draw(queries(depth - 1, ctes))}) "
        ctes = (*ctes, f"q{depth}")
    source, alias = draw(sources(depth, ctes))
    items = draw(st.lists(expressions(alias), min_size=1, max_size=3))
    items = [f"{item} AS c{index}" for index, item in enumerate(items)]
    if draw(st.booleans()):
        items.append(draw(st.sampled_from(["*", f"{alias}.*", "* EXCEPT (b)"])))
    sql = f"{clause}SELECT {', '.join(items)} FROM {source}"
    if draw(st.booleans()):
        table = draw(TABLES)
        joined = draw(
            st.sampled_from(
                ["JOIN {} AS y ON y.k = {}.k", "LEFT JOIN {} AS y USING (k)",
                 "NATURAL JOIN {} AS y", "LEFT SEMI JOIN {} AS y ON y.k = {}.k"]
            )
        )  # fmt: skip
        sql += " " + joined.format(table, alias)
    if draw(st.booleans()):
        inner = draw(TABLES)
        sql += f" WHERE EXISTS (SELECT 1 FROM {inner} AS z WHERE z.k = {alias}.k AND b = 1)"
    if depth > 0 and draw(st.booleans()):
        sql += f" UNION ALL {draw(queries(0, ctes))}"
    return sql


def used(sql: str) -> References:
    """The references of a text that is understood."""
    references = referenced_tables(sql)
    assert references.attribution == "parsed", sql
    return references


@RELAXED
@given(queries())
def test_wrapping_changes_nothing(sql: str) -> None:
    """A query uses the same as a derived table, as a CTE, and in parentheses."""
    plain = used(sql)
    for wrapped in (
        f"SELECT * FROM ({sql})",
        f"SELECT * FROM ({sql}) AS wrapped",
        f"SELECT wrapped.* FROM ({sql}) AS wrapped",
        f"WITH wrapped AS ({sql}) SELECT * FROM wrapped",
        f"WITH one AS ({sql}), two AS (SELECT * FROM one) SELECT * FROM two",
        f"({sql})",
        f"SELECT * FROM (SELECT * FROM ({sql}))",
    ):
        assert used(wrapped) == plain, wrapped


@RELAXED
@given(queries(), st.sampled_from(["INSERT INTO w ", "CREATE TABLE w AS ", "CREATE VIEW w AS "]))
def test_a_sink_changes_no_read(sql: str, sink: str) -> None:
    """What a query reads it reads as the source of a table too, columns included."""
    plain, written = used(sql), used(sink + sql)
    assert written.writes == {"w"}
    for kind in ("reads", "columns", "candidates", "stars"):
        assert getattr(written, kind) == getattr(plain, kind)


@RELAXED
@given(sql=queries(), pretty=st.booleans())
def test_formatting_and_quoting_change_nothing(sql: str, *, pretty: bool) -> None:
    """A query that is re-formatted, with every name in back-quotes, uses the same."""
    # The generator brings all WITH to the front, where no two may have the same name.
    names = re.findall(r"WITH (\w+)", sql)
    assume(len(set(names)) == len(names))
    tree = parse_one(sql, read="databricks")
    again = tree.sql(dialect="databricks", pretty=pretty, identify=True)
    assert used(again) == used(sql), again


@RELAXED
@given(queries(), st.sampled_from([" /* ; FROM x */ ", " -- '( \n", "\n\t"]))
def test_comments_change_nothing(sql: str, space: str) -> None:
    """Comments and white space between words bear on nothing."""
    assert used(space + sql.replace(" ", space) + space) == used(sql)


@RELAXED
@given(queries())
def test_case_changes_nothing(sql: str) -> None:
    """Names and words mean the same in capitals."""
    assert used(sql.upper()) == used(sql)


@RELAXED
@given(queries(), st.sampled_from(["x", "a", "t", "`odd alias`"]))
def test_aliasing_changes_nothing(sql: str, alias: str) -> None:
    """Another alias for a source changes nothing, be it that of a table or a column."""
    renamed = sql.replace(" AS y", f" AS {alias}_y").replace("y.k", f"{alias}_y.k")
    if alias.startswith("`"):
        renamed = sql.replace(" AS y", " AS `odd y`").replace("y.k", "`odd y`.k")
    assert used(renamed) == used(sql), renamed


@RELAXED
@given(queries())
def test_a_script_of_one_statement_changes_nothing(sql: str) -> None:
    """A query uses the same inside a script, and run as a text."""
    assert used(f"BEGIN {sql}; END") == used(sql)
    literal = sql.replace("'", "\\'")
    assert used(f"EXECUTE IMMEDIATE '{literal}'") == used(sql)


@pytest.mark.parametrize("depth", [1, 50, 400])
def test_wrapping_many_times_changes_nothing(depth: int) -> None:
    """A column is followed through any number of stars."""
    sql = "SELECT * EXCEPT (b) FROM t"
    for _ in range(depth):
        sql = f"SELECT * FROM ({sql})"
    assert used(sql) == used("SELECT * EXCEPT (b) FROM t")
    assert used(f"SELECT a FROM ({sql})") == used("SELECT a FROM t")
