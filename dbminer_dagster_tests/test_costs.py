"""What statements cost: the shares of a warehouse's hours."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dbminer_dagster.engines.polars import PolarsEngine
from dbminer_dagster.mining.costs import allocation, shared_hours, with_estimated_cost
from dbminer_dagster.schemas import RAW_QUERY_HISTORY, WAREHOUSE_COSTS
from dbminer_dagster_tests.frames import DAY

MIDNIGHT = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
HOUR_S = 3_600


def at(clock: str, days_later: int = 0) -> datetime:
    """A time of the day, such as `10:10`, or of a later one."""
    hour, minute, *second = map(int, clock.split(":"))
    return MIDNIGHT + timedelta(days_later, sum(second), minutes=minute, hours=hour)


def statement(
    statement_id: str, start: datetime, end: datetime | None, task_time_ms: int | None, **more: Any
) -> dict[str, Any]:
    return {
        "workspace_id": "17",
        "warehouse_id": "wh",
        "statement_id": statement_id,
        "start_time": start,
        "end_time": end,
        "total_task_duration_ms": task_time_ms,
        "day": start.date(),
        **more,
    }


def cost(hour: int, micro_usd: int | None, warehouse_id: str = "wh") -> dict[str, Any]:
    return {
        "workspace_id": "17",
        "warehouse_id": warehouse_id,
        "hour": MIDNIGHT + timedelta(hours=hour),
        "list_cost_micro_usd": micro_usd,
        "day": (MIDNIGHT + timedelta(hours=hour)).date(),
    }


def frames(
    statements: list[dict[str, Any]], costs: list[dict[str, Any]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The statements, and the hours that they share."""
    engine = PolarsEngine()
    rows = pl.DataFrame(statements, schema=RAW_QUERY_HISTORY.schema)
    known = pl.DataFrame(costs, schema=WAREHOUSE_COSTS.schema)
    return rows, shared_hours(engine, engine.frame(rows), engine.frame(known))


def estimates(
    statements: list[dict[str, Any]], costs: list[dict[str, Any]]
) -> dict[str, int | None]:
    """The estimate of each statement, by its id."""
    found = with_estimated_cost(*frames(statements, costs))
    assert found.schema == {**RAW_QUERY_HISTORY.schema, "estimated_cost_micro_usd": pl.Int64}
    assert found.height == len(statements)
    return dict(found.select("statement_id", "estimated_cost_micro_usd").iter_rows())


def test_hand_computed_example() -> None:
    """Hours are shared by the task time in them, which is spread evenly over a statement's time.

    The warehouse cost 6.00 dollars from 10:00, 2.00 from 11:00, and 1.00 from 12:00.

    | statement | ran            | task time | 10:00 | 11:00 | 12:00 | share                     |
    | --------- | -------------- | --------- | ----- | ----- | ----- | ------------------------- |
    | a         | 10:10 to 10:20 | 30 s      | 30 s  |       |       | 6 x 30/120 = 1.50         |
    | b         | 10:40 to 11:20 | 120 s     | 60 s  | 60 s  |       | 6 x 60/120 + 2 x 60/80    |
    | c         | 10:50 to 11:10 | 40 s      | 20 s  | 20 s  |       | 6 x 20/120 + 2 x 20/80    |
    | d         | 10:30 to 10:31 | 10 s      | 10 s  |       |       | 6 x 10/120 = 0.50         |
    | all       |                |           | 120 s | 80 s  | 0 s   | 8.00 of 9.00 dollars      |

    So b costs 3.00 + 1.50 and c 1.00 + 0.50. The last dollar stays unallocated: nothing ran.
    """
    statements = [
        statement("a", at("10:10"), at("10:20"), 30_000),
        statement("b", at("10:40"), at("11:20"), 120_000),
        statement("c", at("10:50"), at("11:10"), 40_000, status="FAILED"),
        statement("d", at("10:30"), at("10:31"), 10_000, statement_type="SHOW"),
    ]
    costs = [cost(10, 6_000_000), cost(11, 2_000_000), cost(12, 1_000_000)]

    assert estimates(statements, costs) == {
        "a": 1_500_000,
        "b": 4_500_000,
        "c": 1_500_000,
        "d": 500_000,
    }
    assert allocation(frames(statements, costs)[1]) == {
        DAY: {"allocated_cost_micro_usd": 8_000_000, "unallocated_cost_micro_usd": 1_000_000}
    }


def test_execution_time_stands_in_for_task_time() -> None:
    """A statement that needed no task takes part by its time of execution, or not at all."""
    statements = [
        statement("tasks", at("10:10"), at("10:20"), 30_000, execution_duration_ms=90_000),
        statement("zero", at("10:10"), at("10:20"), 0, execution_duration_ms=10_000),
        statement("null", at("10:10"), at("10:20"), None, execution_duration_ms=20_000),
        statement("neither", at("10:10"), at("10:20"), None, execution_duration_ms=None),
    ]

    assert estimates(statements, [cost(10, 600)]) == {
        "tasks": 300,
        "zero": 100,
        "null": 200,
        "neither": 0,
    }


def test_what_ran_after_midnight_is_not_charged() -> None:
    """Of a statement from 23:30 to 00:30 half the task time lies in its day and shares its cost."""
    statements = [
        statement("late", at("23:30"), at("00:30", 1), 60_000),
        statement("other", at("23:00"), at("23:10"), 10_000),
    ]
    costs = [cost(23, 400), cost(24, 5_000)]

    assert estimates(statements, costs) == {"late": 300, "other": 100}
    assert estimates(statements[:1], costs) == {"late": 400}


def test_a_statement_of_days_shares_the_hours_of_its_first() -> None:
    """A statement that ran over new year, for two days, has the part of its first day."""
    new_year = datetime(2028, 12, 31, 12, tzinfo=UTC)
    long = statement("long", new_year, new_year + timedelta(days=2), 48_000)
    short = statement("short", new_year, new_year + timedelta(minutes=1), 1_000)
    hour = cost(0, 1_000) | {"hour": new_year, "day": new_year.date()}

    assert estimates([long, short], [hour]) == {"long": 500, "short": 500}


def test_a_statement_without_an_end_ran_in_its_first_hour() -> None:
    """Without an end, or with one before the start, all task time lies in the first hour."""
    statements = [
        statement("open", at("10:59"), None, 1_000),
        statement("backwards", at("10:59"), at("10:58"), 1_000),
        statement("instant", at("10:59"), at("10:59"), 2_000),
    ]

    found = estimates(statements, [cost(10, 400), cost(11, 400)])

    assert found == {"open": 100, "backwards": 100, "instant": 200}


def test_an_unknown_cost_is_null() -> None:
    """Without a cost of its warehouse and hour a statement has none; other hours may have one."""
    statements = [
        statement("elsewhere", at("10:10"), at("10:20"), 1, workspace_id="18"),
        statement("other warehouse", at("10:10"), at("10:20"), 1, warehouse_id="x"),
        statement("cluster", at("10:10"), at("10:20"), 1, warehouse_id=None),
        statement("earlier", at("09:10"), at("09:20"), 1),
        statement("unpriced", at("11:10"), at("11:20"), 1),
        statement("day before", at("10:10", -1), at("10:20", -1), 1),
        statement("both", at("09:30"), at("10:30"), 1),
        statement("across unknown", at("11:30"), at("12:30"), 1),
    ]

    found = estimates(statements, [cost(10, 700), cost(11, None)])

    assert found.pop("both") == 700
    assert set(found.values()) == {None}


def test_no_costs_at_all() -> None:
    """Without any cost every estimate is null, and nothing is allocated."""
    rows, hours = frames([statement("a", at("10:10"), at("11:20"), 1)], [])

    assert hours.is_empty()
    assert allocation(hours) == {}
    assert with_estimated_cost(rows, hours)["estimated_cost_micro_usd"].to_list() == [None]


SECONDS = st.integers(0, 24 * HOUR_S - 1)
STATEMENTS = st.lists(
    st.tuples(SECONDS, st.integers(0, 30 * HOUR_S), st.integers(0, 10**9), st.sampled_from("xy")),
    min_size=1,
    max_size=12,
)
COSTS = st.dictionaries(st.tuples(st.integers(0, 23), st.sampled_from("xy")), st.integers(0, 10**9))


def of(
    drawn: list[tuple[int, int, int, str]], prices: dict[tuple[int, str], int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    statements = [
        statement(
            f"s{number}",
            MIDNIGHT + timedelta(seconds=start),
            MIDNIGHT + timedelta(seconds=start + ran),
            task_ms,
            warehouse_id=warehouse,
        )
        for number, (start, ran, task_ms, warehouse) in enumerate(drawn)
    ]
    costs = [cost(hour, price, warehouse_id=name) for (hour, name), price in prices.items()]
    return statements, costs


@settings(deadline=None)
@given(STATEMENTS, COSTS)
def test_the_shares_of_an_hour_make_up_its_cost(
    drawn: list[tuple[int, int, int, str]], prices: dict[tuple[int, str], int]
) -> None:
    """What is allocated is what the estimates sum to, but for the rounding of each of them."""
    rows, hours = frames(*of(drawn, prices))

    found = with_estimated_cost(rows, hours)["estimated_cost_micro_usd"].fill_null(0).sum()

    figures = allocation(hours).get(DAY, {})
    assert abs(found - figures.get("allocated_cost_micro_usd", 0)) <= len(drawn)
    assert sum(figures.values()) == sum(prices.values())


@settings(deadline=None)
@given(STATEMENTS, COSTS)
def test_estimates_are_the_formula(
    drawn: list[tuple[int, int, int, str]], prices: dict[tuple[int, str], int]
) -> None:
    """Each estimate is that of exact fractions, but for the rounding of it and of task times."""
    parts: dict[tuple[int, str], dict[int, Fraction]] = {}
    for number, (start, ran, task_ms, warehouse) in enumerate(drawn):
        for hour in range(24):
            inside = min(start + ran, (hour + 1) * HOUR_S) - max(start, hour * HOUR_S)
            is_instant = ran == 0 and start // HOUR_S == hour
            share = Fraction(1) if is_instant else Fraction(max(inside, 0), max(ran, 1))
            parts.setdefault((hour, warehouse), {})[number] = share * task_ms
    expected: dict[int, Fraction] = {}
    for key, of_hour in parts.items():
        total = sum(of_hour.values())
        for number, part in of_hour.items():
            if key in prices and total:
                expected[number] = expected.get(number, Fraction()) + prices[key] * part / total

    rows, hours = frames(*of(drawn, prices))

    for name, found in (
        with_estimated_cost(rows, hours)
        .select("statement_id", "estimated_cost_micro_usd")
        .iter_rows()
    ):
        wanted = expected.get(int(name[1:]), Fraction())
        # A microsecond of task time is the unit; up to a dozen statements share an hour.
        slack = 1 + sum(
            prices[key] * 13 / (1000 * sum(of_hour.values()))
            for key, of_hour in parts.items()
            if key in prices and sum(of_hour.values())
        )
        assert abs((found or 0) - wanted) <= slack


@settings(deadline=None)
@given(STATEMENTS, COSTS, st.randoms(use_true_random=False))
def test_neither_order_nor_batches_change_an_estimate(
    drawn: list[tuple[int, int, int, str]], prices: dict[tuple[int, str], int], random: Any
) -> None:
    """Rows in any order, and estimated in any batches, get the same estimates to the last digit."""
    statements, costs = of(drawn, prices)
    rows, hours = frames(statements, costs)
    whole = with_estimated_cost(rows, hours)

    random.shuffle(statements)
    random.shuffle(costs)
    shuffled, hours_again = frames(statements, costs)
    batches = pl.concat(
        with_estimated_cost(batch, hours_again) for batch in shuffled.iter_slices(3)
    )

    key = ["warehouse_id", "hour"]
    assert_frame_equal(hours.sort(key), hours_again.sort(key))
    assert_frame_equal(whole.sort("statement_id"), batches.sort("statement_id"))
