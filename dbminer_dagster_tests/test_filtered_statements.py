"""The statements that count as use: which rows they are, and what is added to them."""

import polars as pl
import pytest

import dbminer_dagster.engines.polars as polars_engine
from dbminer_dagster.engines.polars import PolarsEngine
from dbminer_dagster.mining.costs import shared_hours
from dbminer_dagster.mining.filtered_statements import dropped_statements, filtered_statements
from dbminer_dagster.schemas import FILTERED_QUERIES, WAREHOUSE_COSTS
from dbminer_dagster_tests.frames import DAY, at, frame, history, queries

ENGINE = PolarsEngine()
RAW = history(
    {"statement_text": "SELECT 1 FROM a"},
    {"statement_text": "SELECT 2 FROM a", "status": "FAILED"},
    {"statement_text": "SHOW TABLES", "statement_type": "SHOW"},
    {"statement_text": None},
    {"statement_text": "DELETE FROM b", "statement_type": "DELETE"},
    {"statement_text": "SELECT 3 FROM a", "user_name": "svc@x.com"},
    {"statement_text": "SELECT 4 FROM a"},
)
NO_COST = pl.DataFrame()


def filtered(raw: pl.DataFrame, hours: pl.DataFrame = NO_COST) -> pl.DataFrame:
    rows = filtered_statements(ENGINE, ENGINE.frame(raw), ["svc@*"], hours)
    return ENGINE.collect(rows).sort("statement_id")


def test_each_row_is_kept_or_dropped_for_a_reason() -> None:
    """The rows that count are those without a reason to drop them, and all rows are counted."""
    counts = dropped_statements(ENGINE, ENGINE.frame(RAW), ["svc@*"])

    assert dict(counts.select("drop_reason", "rows").iter_rows()) == {
        None: 4,
        "status:FAILED": 1,
        "statement_type:SHOW": 1,
        "excluded_user": 1,
    }
    assert counts["day"].unique().to_list() == [DAY]
    assert filtered(RAW)["statement_id"].to_list() == ["s0", "s3", "s4", "s6"]


def test_rows_gain_template_and_operation() -> None:
    """Kept rows stay as they were, with the hash of their template and what they do."""
    found = filtered(RAW)
    expected = queries({"statement_text": "SELECT 1 FROM a"})["query_hash"].item()

    assert found.schema == FILTERED_QUERIES.schema
    assert found.select(RAW.columns).equals(
        RAW.filter(pl.col("statement_id").is_in(["s0", "s3", "s4", "s6"]))
    )
    assert found["operation"].to_list() == ["read", "read", "write", "read"]
    assert found["query_hash"].to_list()[::3] == [expected, expected]
    assert found["query_hash"].is_null().to_list() == [False, True, False, False]
    assert found["estimated_cost_micro_usd"].null_count() == 4


def test_dropped_statements_take_their_part_of_the_cost() -> None:
    """What does not count as use still shares its warehouse's hour."""
    timed = [
        {"statement_text": "SELECT 1", "status": status, "warehouse_id": "x", "start_time": at(9.2),
         "end_time": at(9.3), "total_task_duration_ms": 1000}
        for status in ("FINISHED", "FAILED")
    ]  # fmt: skip
    raw = history(*timed)
    hour = {"workspace_id": "w1", "warehouse_id": "x", "hour": at(9), "list_cost_micro_usd": 500}
    costs = frame(WAREHOUSE_COSTS, [hour], day=DAY)
    hours = shared_hours(ENGINE, ENGINE.frame(raw), ENGINE.frame(costs))

    assert filtered(raw, hours)["estimated_cost_micro_usd"].to_list() == [250]


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are the same however they are cut into batches."""
    whole = filtered(RAW)
    monkeypatch.setattr(polars_engine, "BATCH_ROWS", 1)

    assert filtered(RAW).equals(whole)
