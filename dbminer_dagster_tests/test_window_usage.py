"""Windows that slide over the days of a run, against scores by hand and against single days."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import hypothesis.strategies as st
import narwhals as nw
import polars as pl
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from dbminer_dagster.engines.polars import PolarsEngine
from dbminer_dagster.mining.popularity import popularity_of
from dbminer_dagster.mining.window_usage import reference_totals, window_usages
from dbminer_dagster.schemas import POPULARITY_SCORES
from dbminer_dagster.settings import USES
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.frames import DAY, at, references, usage
from dbminer_dagster_tests.popularity_by_hand import Row, scores_by_hand

RUN = Window.trailing(DAY, 3)
WINDOW_DAYS = 3
ALL_DAYS = RUN.extended_back(WINDOW_DAYS - 1)
NO_TYPES = pl.LazyFrame(schema={"table_name": pl.String, "table_type": pl.String})
LISTS = ("tables_read", "columns_read", "tables_written", "tables_read_indirectly")
few = st.integers(0, 3)
names = st.lists(st.sampled_from(["a.b.c", "a.b.d", "a.b.e"]), max_size=2, unique=True)
columns = st.lists(st.sampled_from(["a.b.c.x", "a.b.c.y", "a.b.d.x"]), max_size=2, unique=True)
shape = st.fixed_dictionaries(
    {
        "operation": st.sampled_from(["read", "read", "write", "cluster"]),
        "query_hash": st.sampled_from(["q1", "q2", None]),
        "tables_read": names,
        "columns_read": columns,
        "tables_written": names,
        "tables_read_indirectly": names,
    }
)


def scores(refs: list[Row], uses: list[Row], run: Window, counted: Collection[str]) -> pl.DataFrame:
    """Rows of `popularity_scores` of the days of a run, mined at once."""
    engine = PolarsEngine()
    frames = engine.frame(usage(*uses)), engine.frame(references(*refs))
    found = [pl.DataFrame(schema=POPULARITY_SCORES.schema)]
    for used in window_usages(engine, *frames, run, WINDOW_DAYS):
        totals = reference_totals(engine, used)
        for asset_type in ("table", "column"):
            found += popularity_of(engine, asset_type, used, totals, counted, NO_TYPES, 1)
    return pl.concat(found)


@st.composite
def workspaces(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    """Daily references and their use: few names, so that they meet again."""
    shapes: list[Row] = draw(st.lists(shape, min_size=1, max_size=4))
    # A table is read in one way by one statement.
    for row in shapes:
        direct, indirect = row["tables_read"], row["tables_read_indirectly"]
        row["tables_read_indirectly"] = [name for name in indirect if name not in direct]
    refs, uses = [], []
    for day in ALL_DAYS:
        for number in draw(st.sets(st.integers(0, len(shapes) - 1))):
            text = draw(st.sampled_from(["SELECT 1", "SELECT 2"]))
            hidden = shapes[number]["query_hash"] is None
            of_day = {"reference_hash": f"r{number}", "day": day}
            refs.append(shapes[number] | of_day | {"statement_text": None if hidden else text})
            users = draw(st.sets(st.sampled_from(["ann", "bob", "eve"]), min_size=1))
            uses += [of_day | {"user_name": user} | draw(measures(day)) for user in users]
    return refs, uses


@st.composite
def measures(draw: st.DrawFn, day: date) -> Row:
    """The figures of a row of daily usage."""
    statements = draw(st.integers(1, 3))
    return {
        "statement_count": statements,
        "cached_statement_count": draw(st.integers(0, statements)),
        "total_duration_ms": draw(few),
        "total_task_duration_ms": draw(few),
        "read_bytes": draw(few),
        "estimated_cost_micro_usd": draw(st.none() | few),
        "last_used_at": at(draw(few), day),
    }


@given(workspaces(), st.sets(st.sampled_from(USES), min_size=1))
@settings(max_examples=25, deadline=None)
def test_a_range_of_days_is_each_day_by_hand(
    workspace: tuple[list[Row], list[Row]], counted: set[str]
) -> None:
    """Each day of a run has exactly the rows that plain Python finds in its window."""
    refs, uses = workspace
    found = scores(refs, uses, RUN, counted)
    for day in RUN:
        window = Window.trailing(day, WINDOW_DAYS)
        for asset_type in ("table", "column"):
            rows = found.filter(day=day, asset_type=asset_type).to_dicts()
            by_asset = {
                ".".join(filter(None, (row["table_name"], row["column_name"]))): row for row in rows
            }
            wanted = scores_by_hand(refs, uses, window, asset_type, counted)
            assert by_asset.keys() == wanted.keys()
            for name, row in wanted.items():
                assert row == {field: by_asset[name][field] for field in row}


@given(workspaces())
@settings(max_examples=10, deadline=None)
def test_a_range_of_days_is_its_days_one_by_one(workspace: tuple[list[Row], list[Row]]) -> None:
    """Days scored in one run have the rows that they have in runs of their own."""
    counted = ("select", "cached")
    alone = [scores(*workspace, Window.of_day(day), counted) for day in RUN]
    together = scores(*workspace, RUN, counted)
    assert_frame_equal(together, pl.concat(alone), check_row_order=False, check_exact=True)


def test_a_reference_that_comes_back_is_counted_anew() -> None:
    """What left the window is forgotten, and numbers that became free mix nothing up."""
    first, last = ALL_DAYS.start, RUN.last_day
    refs = [
        {"reference_hash": "old", "tables_read": ["a.b.old"], "day": first},
        *({"reference_hash": f"new{day}", "tables_read": [f"a.b.t{day:%d}"], "day": day}
          for day in ALL_DAYS),
        {"reference_hash": "old", "tables_read": ["a.b.old"], "day": last},
    ]  # fmt: skip
    uses = [
        {"reference_hash": row["reference_hash"], "user_name": "ann", "day": row["day"]}
        for row in refs
    ]
    found = scores(refs, uses, RUN, ("select",)).filter(asset_type="table")
    reads = {day: dict(found.filter(day=day).select("table_name", "read_count").iter_rows())
             for day in RUN}  # fmt: skip
    for day in RUN:
        window = Window.trailing(day, WINDOW_DAYS)
        wanted = {f"a.b.t{each:%d}": 1 for each in window}
        assert reads[day] == wanted | ({"a.b.old": 1} if {first, last} & set(window) else {})


class CountingEngine(PolarsEngine):
    """Counts what is spooled, and how much of it at the same time."""

    def __init__(self) -> None:
        self.total = self.open = self.most = 0

    @contextmanager
    def spooled(self, frame: nw.LazyFrame) -> Iterator[nw.LazyFrame]:
        """The same rows, counted."""
        self.total, self.open = self.total + 1, self.open + 1
        self.most = max(self.most, self.open)
        with super().spooled(frame) as rows:
            yield rows
        self.open -= 1


def test_a_long_run_keeps_one_window() -> None:
    """Each day is spooled once, each window once, and what has left the window is given up."""
    engine, run = CountingEngine(), Window.trailing(DAY, 9)
    refs = [{"reference_hash": f"r{day}", "tables_read": ["a.b.c"], "day": day} for day in run]
    uses = [{name: row[name] for name in ("reference_hash", "day")} | {"user_name": "ann"}
            for row in refs]  # fmt: skip
    frames = engine.frame(usage(*uses)), engine.frame(references(*refs))

    seen = {
        used.window: set(used.references["day"])
        for used in window_usages(engine, *frames, run, WINDOW_DAYS)
    }

    windows = [Window.trailing(day, WINDOW_DAYS) for day in run]
    assert seen == {window: set(window) & set(run) for window in windows}
    assert (engine.total, engine.open, engine.most) == (2 * run.days, 0, WINDOW_DAYS + 1)


def test_days_without_a_row_are_in_the_window() -> None:
    """A day that nobody worked on changes nothing, and does not end the window."""
    earlier = DAY - timedelta(days=2)
    refs = [{"reference_hash": "r", "tables_read": ["a.b.c"], "day": earlier}]
    uses = [{"reference_hash": "r", "user_name": "ann", "statement_count": 4, "day": earlier}]
    found = scores(refs, uses, RUN, ("select",))
    assert found.select("day", "read_count").rows() == [(day, 4) for day in RUN]
