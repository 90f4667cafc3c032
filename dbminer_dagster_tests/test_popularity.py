"""Popularity: the score, its rank, and the lists beside it."""

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import duckdb
import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings

from dbminer_dagster.engines.polars import PolarsEngine
from dbminer_dagster.mining import popularity, query_lists
from dbminer_dagster.mining.popularity import RANK_DECIMALS, popularity_of
from dbminer_dagster.mining.window_references import TEXT_LIMIT_CHARACTERS
from dbminer_dagster.mining.window_usage import reference_totals, window_usages
from dbminer_dagster.schemas import POPULARITY_SCORES
from dbminer_dagster.settings import USES
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.frames import DAY, at, references, usage

WINDOW = Window.trailing(DAY, 7)
Row = dict[str, Any]


def scored(
    refs: list[Row],
    uses: list[Row],
    asset_type: str = "table",
    types: dict[str, str] | None = None,
    counted: Sequence[str] = ("select", "cached"),
) -> dict[str, Row]:
    """Rows of `popularity_scores` by asset."""
    named = references(*({"query_hash": f"q-{row['reference_hash']}"} | row for row in refs))
    types = types or {}
    table_types = pl.LazyFrame(
        {"table_name": list(types), "table_type": list(types.values())},
        schema={"table_name": pl.String, "table_type": pl.String},
    )
    rows: list[Row] = []
    engine = PolarsEngine()
    frames = engine.frame(usage(*uses)), engine.frame(named)
    for used in window_usages(engine, *frames, Window.of_day(DAY), WINDOW.days):
        totals = reference_totals(engine, used)
        for found in popularity_of(engine, asset_type, used, totals, counted, table_types, 3):
            assert found.schema == POPULARITY_SCORES.schema
            rows += found.to_dicts()
    named_rows = {
        ".".join(filter(None, (row["table_name"], row["column_name"]))): row for row in rows
    }
    assert len(named_rows) == len(rows)
    return named_rows


def reading(reference: str, *tables: str, **more: Any) -> Row:
    return {"reference_hash": reference, "tables_read": list(tables)} | more


def use(reference: str, user: str, count: int = 1, **more: Any) -> Row:
    return {"reference_hash": reference, "user_name": user, "statement_count": count} | more


def names(users: list[Row]) -> list[str]:
    return [user["user_name"] for user in users]


def test_score_by_hand() -> None:
    """The score is distinct users times the logarithm of reads, over all days of the window."""
    rows = scored(
        [reading("r1", "a.b.c", "a.b.d"), reading("r2", "a.b.c")],
        [
            use("r1", "ann", 3),
            use("r1", "ann", 2, day=DAY - timedelta(days=1)),
            use("r2", "ann", 4),
            use("r2", "bob", 1),
        ],
    )
    both, one = rows["a.b.c"], rows["a.b.d"]
    assert (both["read_count"], both["user_count"]) == (10, 2)
    assert both["popularity_score"] == 2 * math.log(10)
    assert (one["read_count"], one["user_count"]) == (5, 1)
    assert one["popularity_score"] == math.log(5)
    assert (both["percentile"], one["percentile"]) == (1.0, 0.0)
    assert both["popularity_label"] == "Most popular"
    assert one["popularity_label"] == "Least popular"
    assert (both["window_start"], both["window_end"], both["day"]) == (WINDOW.start, DAY, DAY)
    assert (both["days_present"], both["days_wanted"]) == (3, 7)


def test_asset_read_once_scores_zero() -> None:
    """A single read scores zero, and the only asset there is has percentile zero."""
    row = scored([reading("r", "a.b.c")], [use("r", "ann")])["a.b.c"]
    assert (row["popularity_score"], row["percentile"], row["popularity_level"]) == (0.0, 0.0, 1)


def test_levels_at_the_quarters() -> None:
    """A percentile of exactly a quarter, a half and three quarters belongs to the level above."""
    tables = [f"a.b.t{number}" for number in range(5)]
    rows = scored(
        [reading(table, table) for table in tables],
        [use(table, "ann", 2 + number) for number, table in enumerate(tables)],
    )
    assert [rows[table]["percentile"] for table in tables] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert [rows[table]["popularity_level"] for table in tables] == [1, 2, 3, 4, 4]


def test_ties_share_the_average_rank() -> None:
    """Assets of equal score share the average of their ranks, whatever their users and reads."""
    rows = scored(
        [reading(table, table) for table in ("a", "b", "c", "d")],
        [
            use("a", "ann", 9),
            use("b", "ann", 2),
            use("b", "bob", 1),
            use("c", "ann", 1),
            use("d", "ann", 81),
        ],
    )
    assert rows["b"]["popularity_score"] == pytest.approx(rows["a"]["popularity_score"])
    # Ranks 1, 2.5, 2.5 and 4 of four.
    assert [rows[name]["percentile"] for name in "cabd"] == [0.0, 0.5, 0.5, 1.0]


def test_writes_are_no_reads() -> None:
    """Tables that a write reads or writes gain no reads; their writes are counted apart."""
    write = {"operation": "write", "tables_written": ["a.b.c", "a.b.only"]}
    rows = scored(
        [reading("r", "a.b.c"), reading("w", "a.b.source", **write)],
        [
            use("r", "ann", 2),
            use("w", "etl", 5, last_used_at=at(3)),
            use("w", "ann", 1, last_used_at=at(4)),
        ],
    )
    assert list(rows) == ["a.b.c"]
    row = rows["a.b.c"]
    assert (row["read_count"], row["user_count"], row["write_count"]) == (2, 1, 6)
    assert row["last_written_at"] == at(4)
    assert names(row["top_users"]) == ["ann"]


FIVE_USES = (
    [
        reading("select", "t", columns_read=["t.c"]),
        reading("insert", "t", columns_read=["t.c"], operation="write", query_hash=None),
        reading("view", "v", tables_read_indirectly=["t"]),
        reading("cluster t", "t", operation="cluster", query_hash=None),
        reading("cluster t.c", columns_read=["t.c"], operation="cluster", query_hash=None),
        reading("insert over a view", "v", tables_read_indirectly=["t"], operation="write"),
    ],
    [
        use("select", "ann", 5, cached_statement_count=2),
        use("select", "bob", 3, cached_statement_count=3),
        use("insert", "etl", 7),
        use("view", "eve", 11, cached_statement_count=4),
        use("cluster t", "job", 13),
        use("cluster t.c", "job", 17),
        use("insert over a view", "etl", 19),
    ],
)


@pytest.mark.parametrize(
    ("asset_type", "uses", "reads", "users"),
    [
        ("table", "select cached", 8, {"ann", "bob"}),
        ("table", "select", 3, {"ann"}),
        ("table", "cached", 5, {"ann", "bob"}),
        ("table", "pipeline", 7, {"etl"}),
        ("table", "indirect", 11, {"eve"}),
        ("table", "cluster", 13, {"job"}),
        ("table", " ".join(USES), 39, {"ann", "bob", "etl", "eve", "job"}),
        ("column", "select cached", 8, {"ann", "bob"}),
        ("column", "pipeline cluster", 24, {"etl", "job"}),
    ],
)  # fmt: skip
def test_reads_are_the_uses_that_are_set(
    asset_type: str, uses: str, reads: int, users: set[str]
) -> None:
    """Reads, users, score and lists count the uses that are set; others have their columns."""
    found = scored(*FIVE_USES, asset_type, counted=uses.split())
    row = found["t" if asset_type == "table" else "t.c"]
    assert (row["read_count"], row["user_count"]) == (reads, len(users))
    assert row["popularity_score"] == len(users) * math.log(reads)
    assert set(names(row["top_users"])) == set(names(row["costly_users"])) == users
    indirect, cluster = (11, 13) if asset_type == "table" else (0, 17)
    apart = ("cached", "pipeline", "indirect", "cluster")
    assert [row[f"{name}_read_count"] for name in apart] == [5, 7, indirect, cluster]


@pytest.mark.parametrize("uses", [["indirect"], ["cluster"], ["select", "cached"]], ids=str)
def test_an_asset_without_a_read_that_counts_has_no_row(uses: list[str]) -> None:
    """Only uses that are set make a row, whatever else is known of an asset."""
    refs = [reading("w", "t", operation="write"), reading("v", "v", tables_read_indirectly=["b"])]
    found = scored(refs, [use("w", "etl", 3), use("v", "ann", 2)], counted=uses)
    assert list(found) == {"indirect": ["b"], "cluster": [], "select": ["v"]}[uses[0]]


def test_cost_by_hand() -> None:
    """Time, bytes and cost of an asset are those of its reads; unknown costs add nothing."""
    million = {"estimated_cost_micro_usd": 1_000_000}
    row = scored(
        [reading("r1", "t"), reading("r2", "t"), reading("other", "u")],
        [
            use("r1", "ann", total_task_duration_ms=10, read_bytes=100, **million),
            use("r1", "ann", total_task_duration_ms=20, day=DAY - timedelta(days=1), **million),
            use("r1", "bob", total_task_duration_ms=900),
            use("r2", "eve", total_task_duration_ms=40, estimated_cost_micro_usd=0),
            use("r2", "zoe", total_task_duration_ms=900, read_bytes=1),
            use("other", "ann", total_task_duration_ms=5_000, **million),
        ],
    )["t"]
    cost = ("total_task_duration_ms", "read_bytes", "estimated_cost_micro_usd")
    assert [row[name] for name in cost] == [1_870, 101, 2_000_000]
    assert [tuple(user.values()) for user in row["costly_users"]] == [
        ("ann", 2, 30, 100, 2_000_000),
        ("eve", 1, 40, 0, 0),
        ("zoe", 1, 900, 1, None),
        ("bob", 1, 900, 0, None),
    ]
    assert [tuple(query.values()) for query in row["costly_queries"]] == [
        ("q-r1", None, 3, 930, 100, 2_000_000),
        ("q-r2", None, 2, 940, 1, 0),
    ]


def test_a_cost_that_nobody_knows_is_null() -> None:
    """Without billing there is no cost, and the dearest are those of the longest tasks."""
    uses = [use("r", "ann", total_task_duration_ms=1), use("r", "bob", total_task_duration_ms=2)]
    row = scored([reading("r", "t")], uses)["t"]
    assert row["estimated_cost_micro_usd"] is None
    assert names(row["costly_users"]) == ["bob", "ann"]


def test_users_of_several_references_are_one_user() -> None:
    """A user counts once for an asset and once for a query, however many references there are."""
    one_query = {"query_hash": "q", "statement_text": "SELECT 1"}
    row = scored(
        [reading("r1", "a.b.c", **one_query), reading("r2", "a.b.c", "x", **one_query)],
        [use("r1", "ann"), use("r2", "ann"), use("r2", "bob")],
    )["a.b.c"]
    assert row["user_count"] == 2
    (query,) = row["popular_queries"]
    assert (query["read_count"], query["user_count"]) == (3, 2)


def test_user_lists() -> None:
    """Ten users by reads and ten by last read; ties go by name."""
    rows = scored(
        [reading("r", "a.b.c")],
        [use("r", f"user{n:02}", 1 + (n == 11), last_used_at=at(1 + (n == 10))) for n in range(12)],
    )
    row = rows["a.b.c"]
    assert names(row["top_users"]) == ["user11", *(f"user{n:02}" for n in range(9))]
    assert names(row["recent_users"]) == ["user10", *(f"user{n:02}" for n in range(9))]
    assert row["top_users"][0] == {
        "user_name": "user11", "read_count": 2, "last_read_at": at(1),
    }  # fmt: skip
    assert (row["last_read_at"], row["last_read_by"]) == (at(2), "user10")


def test_query_lists() -> None:
    """Five templates each by reads, mean duration and task time; ties go by hash."""
    tied = [f"r{n}" for n in range(4)]
    uses = [
        *(use(name, "ann", 2, total_duration_ms=2, total_task_duration_ms=1) for name in tied),
        use("many", "ann", 9, total_duration_ms=9, total_task_duration_ms=1),
        use("slow", "ann", 1, total_duration_ms=50, total_task_duration_ms=1),
        use("dear", "ann", 1, total_duration_ms=1, total_task_duration_ms=500),
    ]
    refs = [reading(row["reference_hash"], "a.b.c", statement_text="SELECT 1") for row in uses]
    row = scored(refs, uses)["a.b.c"]

    def hashes(name: str) -> list[str]:
        return [query["query_hash"] for query in row[name]]

    assert hashes("popular_queries") == ["q-many", "q-r0", "q-r1", "q-r2", "q-r3"]
    assert hashes("slow_queries") == ["q-slow", "q-dear", "q-many", "q-r0", "q-r1"]
    assert hashes("expensive_queries") == ["q-dear", "q-many", "q-r0", "q-r1", "q-r2"]
    assert row["popular_queries"][0] == {
        "query_hash": "q-many",
        "statement_text": "SELECT 1",
        "read_count": 9,
        "user_count": 1,
        "mean_duration_ms": 1.0,
        "total_task_duration_ms": 1,
        "last_run_at": at(12),
    }


def test_hidden_texts_are_in_no_list() -> None:
    """Redacted statements count as reads and stand in no query list."""
    row = scored([reading("r", "a.b.c", query_hash=None)], [use("r", "ann", 2)])["a.b.c"]
    assert row["read_count"] == 2
    assert [row[name] for name in query_lists.ORDERS] == [[], [], [], []]


def test_example_is_the_least_text_of_the_newest_day_and_cut() -> None:
    """A template's example comes from its newest day, is the least one there, and is cut."""
    tables = {"query_hash": "q", "tables_read": ["a.b.c"]}
    earlier = DAY - timedelta(days=1)
    refs = [
        {"reference_hash": "r1", "statement_text": "b" * 9_999} | tables,
        {"reference_hash": "r2", "statement_text": "c"} | tables,
        {"reference_hash": "r2", "statement_text": "a", "day": earlier} | tables,
        {"reference_hash": "r3", "statement_text": "A", "day": earlier} | tables,
    ]
    row = scored(refs, [use(name, "ann") for name in ("r1", "r2", "r3")])["a.b.c"]
    (query,) = row["popular_queries"]
    assert query["statement_text"] == "b" * TEXT_LIMIT_CHARACTERS
    assert query["read_count"] == 3


def test_columns_are_split_from_their_tables() -> None:
    """The last part is the column, without its quotes; dots within quotes part nothing."""
    columns = ["a.b.c.id", "a.b.c.`x.y`", "a.b.c.```q```", "a.b.`c.d`.id"]
    found = scored(
        [{"reference_hash": "r", "columns_read": columns}], [use("r", "ann", 2)], "column",
        types={"a.b.c": "VIEW"},
    ).values()  # fmt: skip
    assert {(row["table_name"], row["column_name"], row["table_type"]) for row in found} == {
        ("a.b.c", "id", "VIEW"),
        ("a.b.c", "x.y", "VIEW"),
        ("a.b.c", "`q`", "VIEW"),
        ("a.b.`c.d`", "id", None),
    }
    assert {(row["asset_type"], row["write_count"]) for row in found} == {("column", 0)}


def test_no_usage_gives_no_scores() -> None:
    """An empty window has the columns and no row."""
    assert scored([], []) == {}
    assert scored([], [], "column") == {}


ORACLE = """
    WITH reads AS (
        SELECT unnest(r.tables_read) AS table_name, u.user_name, u.statement_count
        FROM (SELECT DISTINCT ON (reference_hash) * FROM refs) r
        JOIN uses u USING (reference_hash)
        WHERE r.operation = 'read'
    ), scores AS (
        SELECT table_name, count(DISTINCT user_name) * ln(sum(statement_count)) AS score
        FROM reads GROUP BY table_name
    ), ranked AS (
        SELECT *, round(score, $decimals) AS rounded, count(*) OVER () AS n FROM scores
    )
    SELECT table_name, score,
        coalesce(((SELECT count(*) FROM ranked b WHERE b.rounded < a.rounded)
            + ((SELECT count(*) FROM ranked b WHERE b.rounded = a.rounded) - 1) / 2)
            / nullif(n - 1, 0), 0)
    FROM ranked a
"""


@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from("abcdef")), st.sampled_from(["read", "read", "write"])),
        min_size=1,
        max_size=6,
    ),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_sql_finds_the_same(sets: list[tuple[set[str], str]], data: st.DataObject) -> None:
    """An independent SQL over the same frames gives the same scores and percentiles, bit by bit."""
    refs = [
        reading(str(number), *sorted(tables), operation=operation, query_hash="q")
        for number, (tables, operation) in enumerate(sets)
    ]
    triples = st.tuples(st.integers(0, len(refs) - 1), st.sampled_from("xyz"), st.integers(1, 9))
    uses = [use(str(number), user, n) for number, user, n in data.draw(st.lists(triples))]
    rows = scored(refs, uses)
    with duckdb.connect() as connection:
        connection.register("refs", references(*refs).to_arrow())
        connection.register("uses", usage(*uses).to_arrow())
        wanted = connection.execute(ORACLE, {"decimals": RANK_DECIMALS}).fetchall()
    assert sorted(wanted) == sorted(
        (name, row["popularity_score"], row["percentile"]) for name, row in rows.items()
    )


def test_portions_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are the same however few rows are in memory at a time."""
    refs = [reading(f"r{n}", *(f"t{m}" for m in range(n + 1))) for n in range(6)]
    uses = [use(f"r{n}", user, n + 1) for n in range(6) for user in ("ann", "bob", "eve")[: n % 4]]
    whole = scored(refs, uses)
    monkeypatch.setattr(popularity, "ROWS_AT_A_TIME", 1)
    monkeypatch.setattr(PolarsEngine, "rows_at_a_time", 1)
    assert scored(refs, uses) == whole
