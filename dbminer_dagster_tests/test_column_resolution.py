"""Columns that a text uses, once the columns of its tables are known."""

from collections.abc import Mapping, Sequence

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbminer_dagster.mining.by_text import TextSets, sets_by_text
from dbminer_dagster.mining.sessions import STATE_SCHEMA
from dbminer_dagster_tests.frames import examples, parse_here, queries

INVENTORY = {
    "c.s.t": ["a", "b", "ts", "id"],
    "c.s.u": ["id", "x", "y"],
    "c.s.v": ["id", "x", "z"],
    "c.s.none": None,
    "c.s.odd": ["two words", "dot.ted"],
}
KNOWN = [*INVENTORY, "c.s.w", "c.r.w", "d.r.only"]

# Statement: columns used, and what was left open as `reason:name`.
CASES = {
    "star": ("SELECT * FROM t", "t.a t.b t.id t.ts", ""),
    "star_except": ("SELECT * EXCEPT (a, ts) FROM t", "t.b t.id", ""),
    "star_of_one": ("SELECT u.*, a FROM t, u", "t.a u.id u.x u.y", ""),
    "star_of_unknown": ("SELECT * FROM none", "", "star_of_unknown_columns:c.s.none"),
    "star_of_unlisted": ("SELECT * FROM w", "", "star_of_unknown_columns:c.s.w"),
    "star_of_odd_names": ("SELECT * FROM odd", "odd.`dot.ted`,odd.two words", ""),
    "join": ("SELECT a, y FROM t JOIN u ON true", "t.a u.y", ""),
    "join_using": ("SELECT a, id FROM t JOIN u USING (id)", "t.a t.id u.id", ""),
    "natural_join": ("SELECT z FROM u NATURAL JOIN v", "u.id u.x v.id v.x v.z", ""),
    "natural_join_of_unknown": ("SELECT 1 FROM u NATURAL JOIN none", "",
                                "star_of_unknown_columns:c.s.none"),
    "natural_shared": ("SELECT x FROM u NATURAL JOIN v", "u.id u.x v.id v.x", ""),
    "natural_join_of_listed": ("SELECT 1 FROM u NATURAL JOIN (SELECT x, z FROM v)",
                               "u.x v.x v.z", ""),
    "known_beats_unknown": ("SELECT y FROM u JOIN none ON true", "u.y", ""),
    "only_unknown_is_left": ("SELECT q FROM u JOIN none ON true", "none.q", ""),
    "two_unknown": ("SELECT q FROM none JOIN c.s.w ON true", "", "ambiguous_column:q"),
    "both_have_it": ("SELECT x FROM u JOIN v ON true", "", "ambiguous_column:x"),
    "none_has_it": ("SELECT q FROM t JOIN u ON true", "", "unknown_column:q"),
    "correlated": ("SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM u WHERE x = b)", "t.b u.x", ""),
    "inner_comes_first": ("SELECT 1 FROM u WHERE EXISTS (SELECT 1 FROM v WHERE x = 1)", "v.x", ""),
    "inner_unknown": ("SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM none WHERE a = 1)", "",
                      "ambiguous_column:a"),
    "inner_unknown_only_choice": ("SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM none WHERE q = 1)",
                                  "none.q", ""),
    "inner_file": ("SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM read_files('p') WHERE a = 1)", "",
                   "ambiguous_column:a"),
    "file": ("SELECT a, q FROM t JOIN read_files('/p') ON true", "t.a", ""),
    "lateral_alias": ("SELECT x AS q, q + 1 FROM u", "u.x", ""),
    "column_before_alias": ("SELECT x AS y, y + 1 FROM u", "u.x u.y", ""),
    "alias_or_unknown": ("SELECT none.a AS q, q + 1 FROM none", "none.a", "ambiguous_column:q"),
    "group_by_alias": ("SELECT x AS q FROM u GROUP BY q", "u.x", ""),
    "through_cte": ("WITH q AS (SELECT * FROM t JOIN u USING (id)) SELECT y FROM q",
                    "t.id u.id u.y", ""),
    "through_star_and_listed": ("SELECT n, b FROM (SELECT *, 1 AS n FROM t JOIN u USING (id))",
                                "t.b t.id u.id", ""),
    "wrapped_star": ("SELECT * FROM (SELECT * EXCEPT (a) FROM (SELECT * EXCEPT (b) FROM t))",
                     "t.id t.ts", ""),
    "union_of_stars": ("SELECT x FROM (SELECT * FROM u UNION ALL SELECT * FROM v)", "u.x v.x", ""),
    "pivot": ("SELECT * FROM u PIVOT (sum(x) FOR y IN (1))", "u.id u.x u.y", ""),
    "unpivot": ("SELECT k, v, id FROM u UNPIVOT (v FOR k IN (x, y))", "u.id u.x u.y", ""),
    "lambda": ("SELECT transform(a, x -> x + y) FROM t JOIN u ON true", "t.a u.y", ""),
    "lateral_view": ("SELECT col, a, y FROM t JOIN u ON true LATERAL VIEW explode(b) AS col",
                     "t.a t.b u.y", ""),
    "lateral_query": ("SELECT x FROM t, LATERAL (SELECT x FROM u WHERE u.id = b)",
                      "t.b u.id u.x", ""),
    "merge_star": ("MERGE INTO w USING u ON w.id = u.id WHEN NOT MATCHED THEN INSERT *",
                   "u.id u.x u.y", ""),
    "merge_assigns_no_read": ("MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN UPDATE "
                              "SET x = y", "u.id u.y", ""),
    "merge_condition": ("MERGE INTO t USING u ON t.id = u.id WHEN MATCHED AND y > b THEN DELETE",
                        "u.id u.y", ""),
    "insert": ("INSERT INTO t SELECT * FROM u", "u.id u.x u.y", ""),
    "multiple_inserts": ("FROM u JOIN t ON true INSERT INTO v SELECT x INSERT INTO v SELECT a",
                         "t.a u.x", ""),
    "script": ("BEGIN DECLARE q INT; SELECT a FROM t WHERE b = q; END", "t.a t.b", ""),
    "unresolved_table": ("SELECT a, q FROM t JOIN x.y.z.nowhere ON true", "t.a",
                         "too_many_parts:x.y.z.nowhere"),
    "parameter": ("SELECT y FROM u JOIN IDENTIFIER(:p) ON true", "u.y", "parameter_name::p"),
    "not_understood": ("these are no words of SQL", None, "not_sql:None"),
}  # fmt: skip


def resolved(
    *sqls: str,
    inventory: Mapping[str, list[str] | None] | None = None,
    schemas: Sequence[str] = (),
    excluded: Sequence[str] = (),
) -> TextSets:
    """What texts use, each in a session whose default schema is `c.s`, or the one given."""
    inventory = INVENTORY if inventory is None else inventory
    schemas = schemas or "s" * len(sqls)
    rows = queries(
        *(
            {"statement_text": sql, "session_id": schema}
            for sql, schema in zip(sqls, schemas, strict=True)
        )
    ).with_row_index("row")
    start_time = rows["start_time"].min()
    states = [(schema, start_time, "c", schema, "") for schema in sorted(set(schemas))]
    return sets_by_text(
        rows.select("row", "query_hash", "session_id", "start_time", statement_count=pl.lit(1)),
        pl.DataFrame(examples(rows).lazy().collect()),
        pl.DataFrame(states, schema=STATE_SCHEMA, orient="row"),
        pl.Series(KNOWN),
        parse_here,
        excluded,
        columns=pl.LazyFrame(
            {"table_name": list(inventory), "columns": list(inventory.values())},
            schema={"table_name": pl.String, "columns": pl.List(pl.String)},
        ),
    )


@pytest.mark.parametrize(("sql", "columns", "open_"), CASES.values(), ids=CASES)
def test_columns_read(sql: str, columns: str | None, open_: str) -> None:
    """A column counts for the table that has it; what that does not settle has a reason."""
    found = resolved(sql)
    if columns is not None:
        separator = "," if "," in columns else None
        spelled = {f"c.s.{column}" for column in columns.split(separator)}
        assert set(found.sets["columns_read"].item()) == spelled
    reasons = {f"{reason}:{name}" for reason, name in found.reasons.select("reason", "name").rows()}
    assert reasons == set(open_.split())


def test_no_inventory() -> None:
    """Without an inventory the columns that are certain from the text count, and no others."""
    found = resolved("SELECT *, t.a, y FROM t JOIN u USING (id)", inventory={})
    assert found.sets["columns_read"].item().to_list() == ["c.s.t.a", "c.s.t.id", "c.s.u.id"]
    assert found.reasons.select("reason", "name").rows() == [
        ("ambiguous_column", "y"),
        ("star_of_unknown_columns", "c.s.t"),
        ("star_of_unknown_columns", "c.s.u"),
    ]


def test_one_text_in_two_sessions() -> None:
    """The same star stands for the columns of the table that each session means."""
    inventory = {"c.r.w": ["k"], "c.s.w": ["l"]}
    found = resolved(*["SELECT * FROM w"] * 3, inventory=inventory, schemas="rsr")
    lists = found.statements.join(found.sets, on="context_id").sort("row")["columns_read"]
    assert lists.to_list() == [["c.r.w.k"], ["c.s.w.l"], ["c.r.w.k"]]
    assert found.sets.height == 2


def test_excluded_tables_have_no_columns() -> None:
    """A star over a table of an excluded catalog adds nothing."""
    inventory = {"c.s.t": ["k"], "d.r.only": ["l"]}
    found = resolved("SELECT * FROM t JOIN d.r.only", inventory=inventory, excluded=["d"])
    assert found.sets["columns_read"].item().to_list() == ["c.s.t.k"]


@settings(deadline=None, max_examples=25)
@given(st.permutations(list(CASES)), st.integers(1, len(CASES)))
def test_order_changes_nothing(order: list[str], count: int) -> None:
    """A text's columns depend neither on the other texts nor on the order of the inventory."""
    sqls = [CASES[name][0] for name in order[:count]]
    backwards = dict(reversed(INVENTORY.items()))
    together = resolved(*sqls, inventory=backwards)
    lists = together.statements.join(together.sets, on="context_id").sort("row")["columns_read"]
    for sql, columns in zip(sqls[:3], lists.to_list(), strict=False):
        assert resolved(sql).sets["columns_read"].to_list() == [columns]
