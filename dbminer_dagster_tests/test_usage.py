"""A day's attributed statements to references and usage."""

from datetime import timedelta
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dbminer_dagster.engines.polars import PolarsEngine
from dbminer_dagster.mining.reference_sets import KINDS
from dbminer_dagster.mining.usage import (
    REFERENCE,
    added_up,
    daily_usage,
    references,
    with_measures,
)
from dbminer_dagster.schemas import DAILY_USAGE, QUERY_REFERENCES, STRINGS
from dbminer_dagster_tests.frames import DAY, at, examples, queries

ENGINE = PolarsEngine()
SETS = {
    "one": (["a.b.c"], ["a.b.c.x"], [], []),
    "two": ([], [], ["a.b.d"], []),
    "none": ([], [], [], []),
}
USER = [*REFERENCE, "user_name", "attribution"]


def uses_of(*rows: dict[str, Any]) -> nw.LazyFrame:
    """The uses of statements, each with its `set_hash` and `attribution`."""
    added = {"set_hash": "one", "attribution": "parsed"}
    plain = [{name: row[name] for name in row if name not in added} for row in rows]
    statements = queries(*plain).with_columns(
        pl.Series(name, [row.get(name, value) for row in rows]) for name, value in added.items()
    )
    return added_up(nw.from_native(with_measures(statements).lazy()), USER)


def references_of(uses: nw.LazyFrame) -> pl.DataFrame:
    sets = pl.DataFrame(
        [(name, name, *lists) for name, lists in SETS.items()],
        schema={"set_hash": pl.String, "set_key": pl.String} | dict.fromkeys(KINDS, STRINGS),
        orient="row",
    )
    return references(ENGINE, uses, sets, DAY)


def of_day(*rows: dict[str, Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """References and usage of such statements."""
    uses = uses_of(*rows)
    found = references_of(uses)
    usage = pl.concat(list(daily_usage(ENGINE, uses, found, DAY)))
    plain = [{"statement_text": row["statement_text"]} for row in rows]
    texts = examples(queries(*plain)).collect()
    with_texts = found.join(texts, on="query_hash", how="left")
    with_texts = with_texts.select(QUERY_REFERENCES.schema.names())
    assert with_texts.schema == QUERY_REFERENCES.schema
    assert usage.schema == DAILY_USAGE.schema
    assert found["reference_hash"].is_unique().all()
    assert set(usage["reference_hash"]) == set(found["reference_hash"])
    return with_texts, usage


def test_reference_per_template_operation_and_set() -> None:
    """Statements fall together when template, operation and set are equal, and only then."""
    text = {"statement_text": "SELECT 1"}
    references, usage = of_day(
        text,
        text,
        text | {"operation": "write"},
        text | {"set_hash": "two"},
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
    rows = ({"statement_text": "SELECT 1"}, {"statement_text": None, "set_hash": "two"})
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


def test_the_empty_set_is_a_reference() -> None:
    """A statement that used nothing, such as SELECT 1, has a reference and is a use."""
    found, usage = of_day({"statement_text": "SELECT 1", "set_hash": "none"})
    assert found["tables_read"].to_list() == [[]]
    assert usage["statement_count"].to_list() == [1]


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
        "cached_statement_count": 0,
        "estimated_cost_micro_usd": None,
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


def test_users_without_a_name_are_told_apart_by_their_id() -> None:
    """Two nameless users are two users: their ids stand in for the names."""
    _, usage = of_day(
        {"statement_text": "SELECT 1", "user_name": None, "user_id": "1"},
        {"statement_text": "SELECT 1", "user_name": None, "user_id": "2"},
    )
    assert sorted(usage["user_name"]) == ["1", "2"]


def test_cached_statements_and_known_costs_add_up() -> None:
    """Statements from the cache are counted; a cost is the sum of those known, null if none is."""
    text = {"statement_text": "SELECT 1"}
    _, usage = of_day(
        text | {"from_result_cache": True, "estimated_cost_micro_usd": 0},
        text | {"from_result_cache": False, "estimated_cost_micro_usd": 7},
        text,
        text | {"user_name": "bob", "from_result_cache": True},
    )
    columns = ("user_name", "statement_count", "cached_statement_count", "estimated_cost_micro_usd")
    assert sorted(usage.select(columns).rows()) == [("ann@x.com", 3, 1, 7), ("bob", 1, 1, None)]


statement = st.fixed_dictionaries(
    {
        "statement_text": st.sampled_from(["SELECT 1", "SELECT x", None]),
        "user_name": st.sampled_from(["ann", "bob", None]),
        "start_time": st.sampled_from([at(1), at(2), at(2.5)]),
        "total_duration_ms": st.none() | st.integers(0, 5),
        "estimated_cost_micro_usd": st.none() | st.integers(0, 5),
        "from_result_cache": st.none() | st.booleans(),
    }
)


@settings(deadline=None)
@given(st.lists(statement, min_size=1, max_size=8), st.data())
def test_uses_of_parts_add_up_to_those_of_the_whole(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    """However statements are divided, the uses of the parts add up to the same uses."""
    numbered = [row | {"statement_id": f"s{number}"} for number, row in enumerate(rows)]
    cut = data.draw(st.integers(0, len(rows)))
    parts = [uses_of(*part) for part in (numbered[:cut], numbered[cut:]) if part]
    whole = ENGINE.collect(uses_of(*numbered))
    together = ENGINE.collect(added_up(nw.concat(parts), USER))
    assert_frame_equal(whole, together, check_row_order=False)


def test_references_come_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many uses are summed at once, each reference and user has one row, and the same."""
    rows = [
        {"user_name": user, "statement_text": text, "statement_id": f"{user}{text}{again}"}
        for user in ("ann", "bob")
        for text in ("SELECT 1", "SELECT x", None)
        for again in range(2)
    ]
    uses, (_, whole) = uses_of(*rows), of_day(*rows)
    monkeypatch.setattr(PolarsEngine, "rows_at_a_time", 2)
    parts = list(daily_usage(ENGINE, uses, references_of(uses), DAY))
    assert len(parts) > 1
    assert_frame_equal(pl.concat(parts), whole, check_row_order=False)


@pytest.mark.parametrize("text", ["SELECT 1", None])
def test_indirect_reads_are_a_part_of_the_hash(text: str | None) -> None:
    """The same direct reads with tables under a view are another reference."""
    uses = uses_of({"statement_text": text}, {"statement_text": text, "set_hash": "view"})
    sets = pl.DataFrame(
        [("one", "k", ["v"], [], [], []), ("view", "k\x1e\x1et", ["v"], [], [], ["t"])],
        schema={"set_hash": pl.String, "set_key": pl.String} | dict.fromkeys(KINDS, STRINGS),
        orient="row",
    )
    found = references(ENGINE, uses, sets, DAY)
    assert found["reference_hash"].n_unique() == 2
    assert sorted(found["tables_read_indirectly"].to_list()) == [[], ["t"]]
