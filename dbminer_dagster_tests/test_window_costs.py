"""What the statements of a window were, what they cost, and how the page of the scores says it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from dbminer_dagster.assets.popularity_page import page
from dbminer_dagster.engines.polars import PolarsEngine
from dbminer_dagster.mining.popularity import popularity_of
from dbminer_dagster.mining.window_costs import (
    costly_templates,
    costly_users,
    reads_by_day,
    top_readers,
    use_totals,
)
from dbminer_dagster.mining.window_usage import WindowUsage, reference_totals, window_usages
from dbminer_dagster.schemas import POPULARITY_SCORES
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.frames import DAY, references, usage

ENGINE = PolarsEngine()
EARLIER = DAY - timedelta(days=1)
WINDOW = Window.trailing(DAY, 2)
NO_TYPES = pl.LazyFrame(schema={"table_name": pl.String, "table_type": pl.String})
REFERENCES = references(
    *(
        {"reference_hash": "select", "query_hash": "q1", "statement_text": "SELECT 'secret' |",
         "tables_read": ["t"], "tables_read_indirectly": ["base"], "day": day}
        for day in WINDOW
    ),
    {"reference_hash": "insert", "query_hash": "q2", "operation": "write", "tables_read": ["t"]},
    {"reference_hash": "values", "query_hash": "q3", "operation": "write"},
    {"reference_hash": "c t", "operation": "cluster", "tables_read": ["t"]},
    {"reference_hash": "c t.c", "operation": "cluster", "columns_read": ["t.c"]},
)  # fmt: skip
USAGE = usage(
    {"reference_hash": "select", "user_name": "ann", "statement_count": 5, "day": EARLIER,
     "cached_statement_count": 2, "total_task_duration_ms": 3_600_000,
     "estimated_cost_micro_usd": 2_500_000},
    {"reference_hash": "select", "user_name": "ann", "statement_count": 3},
    {"reference_hash": "insert", "user_name": "etl", "statement_count": 7,
     "total_task_duration_ms": 7_200_000, "read_bytes": 3_000_000_000},
    {"reference_hash": "values", "user_name": "etl", "estimated_cost_micro_usd": 1_000_000},
    {"reference_hash": "c t", "user_name": "job", "statement_count": 11},
    {"reference_hash": "c t.c", "user_name": "job", "statement_count": 13},
)  # fmt: skip


@contextmanager
def window() -> Iterator[tuple[WindowUsage, pl.DataFrame]]:
    """The window of both days, and the totals of its references."""
    frames = ENGINE.frame(USAGE), ENGINE.frame(REFERENCES)
    for used in window_usages(ENGINE, *frames, Window.of_day(DAY), WINDOW.days):
        yield used, reference_totals(ENGINE, used)


def test_statements_are_counted_by_use() -> None:
    """Each use has its count: events of clusters once, writes only if they read something."""
    with window() as (used, totals):
        found = use_totals(totals, used.references)

    assert found == {
        "select_statements": 6,
        "cached_statements": 2,
        "pipeline_statements": 7,
        "indirect_statements": 8,
        "cluster_events": 11,
        "task_duration_ms": 10_800_000,
        "bytes_read": 3_000_000_000,
        "estimated_cost_micro_usd": 3_500_000,
    }


def test_known_costs_come_before_longer_tasks() -> None:
    """Templates and users stand by cost where one is known, then by task time."""
    with window() as (used, totals):
        templates = costly_templates(totals, used.references, 2)
        users = costly_users(ENGINE, used, 9)

    cost = "estimated_cost_micro_usd"
    assert templates.select("query_hash", "statement_text", "statement_count", cost).rows() == [
        ("q1", "SELECT 'secret' |", 8, 2_500_000),
        ("q3", None, 1, 1_000_000),
    ]
    assert users.select("user_name", "statement_count", "total_task_duration_ms", cost).rows() == [
        ("ann", 8, 3_600_000, 2_500_000),
        ("etl", 8, 7_200_000, 1_000_000),
        ("job", 24, 0, None),
    ]


def test_reads_of_a_day_are_its_selects() -> None:
    """Writes and clusters are no reads of the chart, and days outside of the window are not in."""
    frames = ENGINE.frame(USAGE), ENGINE.frame(REFERENCES)

    assert reads_by_day(ENGINE, *frames, WINDOW) == [(EARLIER, 5), (DAY, 3)]
    assert reads_by_day(ENGINE, *frames, Window.of_day(DAY)) == [(DAY, 3)]


def test_readers_stand_by_their_selects() -> None:
    """Users stand by SELECTs, ties by name; who only writes is no reader."""
    more = usage(
        *({"reference_hash": "select", "user_name": name, "statement_count": 9} for name in "cb")
    )
    frames = ENGINE.frame(pl.concat([USAGE, more])), ENGINE.frame(REFERENCES)
    for used in window_usages(ENGINE, *frames, Window.of_day(DAY), WINDOW.days):
        assert top_readers(ENGINE, used, 3) == [("b", 9), ("c", 9), ("ann", 8)]
        assert top_readers(ENGINE, used, 1) == [("b", 9)]


def test_the_page_tells_what_cost_most(tmp_path: Path) -> None:
    """Tables, templates and users have dollars, hours and gigabytes; unknown costs are blank."""
    with window() as (used, totals):
        uses = ("select", "indirect", "pipeline")
        rows = popularity_of(ENGINE, "table", used, totals, uses, NO_TYPES, 2)
        storage = DeltaStorage(str(tmp_path))
        storage.replace_days(
            POPULARITY_SCORES, Window.of_day(DAY), DayFrame(pl.concat(rows).lazy())
        )
        found: dict[str, Any] = page(ENGINE, storage, used, totals, [(DAY, 3)])

    lines = {name: str(found[name].value).strip().splitlines() for name in found}
    assert lines["costly_tables"] == [
        "| table_name | read_count | estimated_cost_usd | task_hours | gigabytes_read |",
        "| --- | --- | --- | --- | --- |",
        "| t | 13 | 2.50 | 3.00 | 3.00 |",
        "| base | 8 | 2.50 | 1.00 | 0.00 |",
    ]
    assert lines["costly_queries"][2:] == [
        r"| q1 | SELECT ? \| | 8 | 2.50 | 1.00 | 0.00 |",
        "| q3 |  | 1 | 1.00 | 0.00 | 0.00 |",
        "| q2 |  | 7 |  | 2.00 | 3.00 |",
    ]
    assert lines["costly_users"][2:] == [
        "| ann | 8 | 2.50 | 1.00 | 0.00 |",
        "| etl | 8 | 1.00 | 2.00 | 3.00 |",
        "| job | 24 |  | 0.00 | 0.00 |",
    ]
