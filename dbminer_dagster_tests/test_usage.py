"""A day's attributed statements to references and usage."""

from datetime import timedelta
from typing import Any

import duckdb
import narwhals as nw
import polars as pl

from dbminer_dagster.mining.attribution import Attribution
from dbminer_dagster.mining.reference_sets import KINDS
from dbminer_dagster.mining.usage import daily_usage, usage_of_day
from dbminer_dagster.schemas import DAILY_USAGE, QUERY_REFERENCES, STRINGS
from dbminer_dagster_tests.frames import DAY, at, queries

SETS = {"one": (["a.b.c"], ["a.b.c.x"], []), "two": ([], [], ["a.b.d"]), "none": ([], [], [])}


def of_day(*rows: dict[str, Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """References and usage of statements, each with `set_key` and `attribution`."""
    added = {"set_key": "one", "attribution": "parsed"}
    plain = [{name: row[name] for name in row if name not in added} for row in rows]
    statements = queries(*plain).with_columns(
        pl.Series(name, [row.get(name, value) for row in rows], dtype=pl.String)
        for name, value in added.items()
    )
    sets = pl.DataFrame(
        [(key, *lists) for key, lists in SETS.items()],
        schema={"set_key": pl.String} | dict.fromkeys(KINDS, STRINGS),
        orient="row",
    )
    texts = statements.select("query_hash", "statement_text").drop_nulls().unique("query_hash")
    attributed = Attribution(statements, sets, pl.DataFrame())
    references, usage = usage_of_day(attributed, texts.lazy(), DAY)
    assert references.schema == QUERY_REFERENCES.schema
    assert usage.schema == DAILY_USAGE.schema
    assert references["reference_hash"].is_unique().all()
    assert set(usage["reference_hash"]) == set(references["reference_hash"])
    return references, usage


def test_reference_per_template_operation_and_set() -> None:
    """Statements fall together when template, operation and set are equal, and only then."""
    text = {"statement_text": "SELECT 1"}
    references, usage = of_day(
        text,
        text,
        text | {"operation": "write"},
        text | {"set_key": "two"},
        {"statement_text": "SELECT x"},
        {"statement_text": None},
        {"statement_text": None},
    )
    assert references.height == 5
    assert usage["statement_count"].sum() == 7
    hidden = references.filter(pl.col("query_hash").is_null())
    assert hidden["statement_text"].to_list() == [None]
    assert hidden["tables_read"].to_list() == [["a.b.c"]]


def test_reference_hash_is_the_same_for_ever() -> None:
    """The hash is stored and joined across days: input order and releases do not change it."""
    rows = ({"statement_text": "SELECT 1"}, {"statement_text": None, "set_key": "two"})
    one, _ = of_day(*rows)
    other, _ = of_day(*reversed(rows))
    assert set(one["reference_hash"]) == set(other["reference_hash"])
    assert set(one["reference_hash"]) == {
        "77231c2714991ba7c5557a6ba6206dd1",
        "a1412704a02ced4f4f2d90cd5b0c2542",
    }


def test_best_attribution_is_named() -> None:
    """Where statements of one reference were attributed in different ways, the best is named."""
    text = {"statement_text": "SELECT 1"}
    references, _ = of_day(
        text | {"attribution": "scanned"}, text, text | {"attribution": "lineage"}
    )
    assert references["attribution"].to_list() == ["lineage"]


def test_unattributed_statements_are_in_neither_table() -> None:
    """What nothing tells of is no reference and no use; an empty set is both."""
    hidden = {"statement_text": None, "set_key": None, "attribution": None}
    references, usage = of_day(hidden, {"statement_text": "SELECT 1", "set_key": "none"})
    assert references["tables_read"].to_list() == [[]]
    assert usage["statement_count"].to_list() == [1]
    references, usage = of_day(hidden)
    assert references.is_empty()
    assert usage.is_empty()


def test_usage_sums_for_each_user() -> None:
    """Counts, durations and bytes add up for each user; a missing one counts as zero."""
    text = {"statement_text": "SELECT 1"}
    _, usage = of_day(
        text | {"total_duration_ms": 10, "total_task_duration_ms": 7, "read_bytes": 100},
        text | {"total_duration_ms": 30},
        text | {"user_name": "bob@x.com", "total_duration_ms": None},
    )
    by_user = {row["user_name"]: row for row in usage.iter_rows(named=True)}
    reference = usage["reference_hash"][0]
    assert by_user["ann@x.com"] == {
        "reference_hash": reference,
        "user_name": "ann@x.com",
        "statement_count": 2,
        "total_duration_ms": 40,
        "max_duration_ms": 30,
        "total_task_duration_ms": 7,
        "read_bytes": 100,
        "last_used_at": at(0) + timedelta(minutes=1),
        "last_statement_id": "s1",
        "day": DAY,
    }
    assert by_user["bob@x.com"]["total_duration_ms"] == 0
    assert by_user["bob@x.com"]["max_duration_ms"] == 0


def test_last_statement_of_equal_times_is_the_greatest_id() -> None:
    """Ties of the last use go by statement id, so that a re-run gives the same row."""
    text = {"statement_text": "SELECT 1", "start_time": at(9)}
    rows = [text | {"statement_id": name} for name in ("b", "c", "a")]
    rows.append(text | {"statement_id": "z", "start_time": at(8)})
    _, usage = of_day(*rows)
    assert usage.select("last_used_at", "last_statement_id").rows() == [(at(9), "c")]


def test_statements_without_a_user_count_for_one_unknown_user() -> None:
    """A null user is the user `unknown`: the statement counts, and the key is never null."""
    text = {"statement_text": "SELECT 1", "user_name": None}
    _, usage = of_day(text, text)
    assert usage.select("user_name", "statement_count").rows() == [("unknown", 2)]


def test_daily_usage_runs_on_other_engines() -> None:
    """The aggregation is engine-neutral: DuckDB gives the rows that Polars gives."""
    statements = pl.DataFrame(
        {
            "reference_hash": ["r", "r", "q"],
            "user_name": ["ann", "ann", "bob"],
            "statement_id": ["1", "2", "3"],
            "start_time": [at(1), at(1), at(2)],
            "total_duration_ms": [5, None, 7],
            "total_task_duration_ms": [1, 2, 3],
            "read_bytes": [None, None, 9],
            "day": DAY,
        }
    )
    here = daily_usage(nw.from_native(statements.lazy())).collect().to_native()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        relation = connection.from_arrow(statements.to_arrow())
        there = daily_usage(nw.from_native(relation)).to_native().pl()
    columns = [name for name in here.columns if name != "last_used_at"]
    assert (
        there.select(columns).sort("user_name").rows()
        == here.select(columns).sort("user_name").rows()
    )


def test_users_without_a_name_are_told_apart_by_their_id() -> None:
    """Two nameless users are two users: their ids stand in for the names."""
    _, usage = of_day(
        {"statement_text": "SELECT 1", "user_name": None, "user_id": "1"},
        {"statement_text": "SELECT 1", "user_name": None, "user_id": "2"},
    )
    assert sorted(usage["user_name"]) == ["1", "2"]
