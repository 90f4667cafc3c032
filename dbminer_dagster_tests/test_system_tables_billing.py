"""What `system.billing` tells of SQL warehouses, against a workspace on loopback."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbminer_dagster.errors import CutOffError
from dbminer_dagster.resources.extractor import Costs
from dbminer_dagster.resources.offline.extractor import OfflineExtractor
from dbminer_dagster.resources.system_tables.billing import USAGE_SCHEMA, by_hour
from dbminer_dagster.schemas import WAREHOUSE_COSTS
from dbminer_dagster.spool import open_spool
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.billing import load_billing, price_row, usage_row
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.databricks_emulator.faults import Fault
from dbminer_dagster_tests.offline_files import (
    column_row,
    lineage_row,
    ndjson,
    system_row,
    write_history,
    write_lineage,
)
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline
from dbminer_dagster_tests.test_quality_checks import run_check
from dbminer_dagster_tests.warehouse import extractor, load, sign_in, wait_less

DAY = Window.of_day(FIRST_DAY)
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def emulator(databricks_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """A workspace that the miner signs in to."""
    sign_in(databricks_emulator, monkeypatch)
    return databricks_emulator


def read(window: Window = DAY, **settings: Any) -> tuple[Costs, pl.DataFrame]:
    with open_spool() as spool:
        found = extractor(**settings).costs(window, spool)
        rows = found.frame.collect().sort("workspace_id", "warehouse_id", "hour")
    assert rows.schema == WAREHOUSE_COSTS.schema
    assert found.row_count == rows.height
    return found, rows


def amounts(rows: pl.DataFrame) -> list[tuple[int, float, int]]:
    """Hour, DBUs and cost of each row."""
    return rows.select(pl.col("hour").dt.hour(), "dbus", "list_cost_micro_usd").rows()


def test_an_hour_costs_its_usage_at_the_effective_price(emulator: Emulator) -> None:
    """4 DBUs at an effective list price of 0.70 US dollars cost 2.80; warehouses are told apart."""
    other = usage_row("0.5", usage_metadata={"warehouse_id": "other"})
    load_billing(
        emulator,
        [usage_row("1.5"), usage_row("2.5"), usage_row(1, "2026-01-05T13:00:00Z"), other],
        [price_row("0.70")],
    )

    found, rows = read()

    assert rows.drop("extraction_method").rows() == [
        ("17", "other", NOON, 0.5, 350_000, FIRST_DAY),
        ("17", "wh", NOON, 4.0, 2_800_000, FIRST_DAY),
        ("17", "wh", NOON + timedelta(hours=1), 1.0, 700_000, FIRST_DAY),
    ]
    assert found.is_known
    assert not any(found.unpriced_records.values())


def test_what_was_retracted_does_not_count(emulator: Emulator) -> None:
    """A retraction takes back what was told, and a restatement tells it anew."""
    quantity = "1.435833333333333333"
    load_billing(
        emulator,
        [
            usage_row(quantity),
            usage_row(f"-{quantity}", record_type="RETRACTION"),
            usage_row("3", record_type="RESTATEMENT"),
            usage_row(quantity, "2026-01-05T14:00:00Z"),
            usage_row(f"-{quantity}", "2026-01-05T14:00:00Z", record_type="RETRACTION"),
        ],
        [price_row("0.7")],
    )

    assert amounts(read()[1]) == [(12, 3.0, 2_100_000), (14, 0.0, 0)]


def test_a_price_holds_from_its_start_up_to_its_end(emulator: Emulator) -> None:
    """Where the price changes at 13:00, the hour before has the old one, that hour the new one."""
    change = (
        {"price_end_time": "2026-01-05T13:00:00Z"},
        {"price_start_time": "2026-01-05T13:00:00Z"},
    )
    load_billing(
        emulator,
        [usage_row(2), usage_row(2, "2026-01-05T13:00:00Z")],
        [price_row("0.5", **change[0]), price_row("0.6", **change[1])],
    )

    assert amounts(read()[1]) == [(12, 2.0, 1_000_000), (13, 2.0, 1_200_000)]


@pytest.mark.parametrize(
    "changes",
    [
        {"sku_name": "ANOTHER_SKU"},
        {"cloud": "AZURE"},
        {"usage_unit": "GB"},
        {"currency_code": "EUR"},
        {"price_end_time": "2026-01-05T12:00:00Z"},
        {"price_start_time": "2026-01-05T12:30:00Z"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_price_of_something_else_is_none(emulator: Emulator, changes: dict[str, str]) -> None:
    """Usage without a price of its own SKU, cloud, unit, currency and time has no known cost."""
    load_billing(emulator, [usage_row(2), usage_row(1)], [price_row("0.5", **changes)])

    found, rows = read()

    assert rows.select("dbus", "list_cost_micro_usd").rows() == [(3.0, None)]
    assert found.unpriced_records == {FIRST_DAY: 2}


def test_a_price_that_stands_twice_counts_once(emulator: Emulator) -> None:
    """Of prices that hold at the same time the highest counts, and usage is not doubled."""
    load_billing(emulator, [usage_row(2)], [price_row("0.5"), price_row("0.4"), price_row("0.5")])

    assert amounts(read()[1]) == [(12, 2.0, 1_000_000)]


def test_only_warehouses_count(emulator: Emulator) -> None:
    """Usage of jobs and clusters is no cost of a SQL warehouse."""
    cluster = usage_row(5, usage_metadata={"cluster_id": "c", "job_id": "7"})
    load_billing(emulator, [cluster, usage_row(2)], [price_row("0.5")])

    assert amounts(read()[1]) == [(12, 2.0, 1_000_000)]


def test_a_record_of_several_hours_is_spread_evenly(emulator: Emulator) -> None:
    """A record from 22:30 on for three hours costs its day half: a sixth and a third."""
    record = usage_row(
        6, usage_start_time="2026-01-05T22:30:00Z", usage_end_time="2026-01-06T01:30:00Z"
    )
    load_billing(emulator, [record], [price_row("1")])

    assert amounts(read()[1]) == [(22, 1.0, 1_000_000), (23, 2.0, 2_000_000)]
    next_day = Window.of_day(FIRST_DAY + timedelta(days=1))
    assert amounts(read(next_day)[1]) == [(0, 2.0, 2_000_000), (1, 1.0, 1_000_000)]


def test_days_are_cut_at_midnight(emulator: Emulator) -> None:
    """An hour belongs to the day it begins on, also where the date of the record is another."""
    times = {
        "2026-01-04T23": "2026-01-05T00",
        "2026-01-05T00": "2026-01-05T01",
        "2026-01-05T23": "2026-01-06T00",
        "2026-01-06T00": "2026-01-06T01",
    }
    records = [
        usage_row(
            1,
            usage_start_time=f"{start}:00:00Z",
            usage_end_time=f"{end}:00:00Z",
            usage_date="2026-01-05",
        )
        for start, end in times.items()
    ]
    load_billing(emulator, records, [price_row("1")])

    assert amounts(read()[1]) == [(0, 1.0, 1_000_000), (23, 1.0, 1_000_000)]


def test_one_statement_reads_all_and_is_tagged(emulator: Emulator) -> None:
    """The days of a window are read by one statement, bound by date and time, in our name."""
    load_billing(emulator, [usage_row(2)], [price_row("0.5")])

    read(Window(FIRST_DAY, FIRST_DAY + timedelta(days=30)))

    (statement,) = emulator.statements
    assert ":start_date" in statement.text
    assert statement.query_tags["application"] == "dbminer"
    assert statement.rows_sent == 1


def test_clones_are_read_instead(emulator: Emulator) -> None:
    """With a cloned catalog billing is read beside the query history, without a right on system."""
    load_billing(emulator, [usage_row(2)], [price_row("0.5")])
    for view, table in (("billing_usage", "usage"), ("list_prices", "list_prices")):
        emulator.create_view(f"governance.clones.{view}", f"SELECT * FROM system.billing.{table}")
    emulator.workspace.revoke("USE CATALOG", "CATALOG", "system", to=emulator.workspace.user)

    _, rows = read(query_history_catalog="governance", query_history_schema="clones")
    assert amounts(rows) == [(12, 2.0, 1_000_000)]


def test_a_missing_right_is_named_with_all_grants(emulator: Emulator) -> None:
    """Who may not read billing knows no cost; the lines of the note, run as they are, repair it."""
    load_billing(emulator, [usage_row(2)], [price_row("0.5")])
    workspace = emulator.workspace
    for privilege in ("USE SCHEMA", "SELECT"):
        workspace.revoke(privilege, "SCHEMA", "system.billing", to=workspace.user)

    found, rows = read()

    assert rows.is_empty()
    assert (found.is_known, found.is_refused) == (False, True)
    assert "does not have USE SCHEMA on schema system.billing" in found.note
    lines = [line for line in found.note.splitlines() if line.startswith("GRANT")]
    assert len(lines) == 4
    for line in lines:
        workspace.run_sql_as_admin(line)
    assert amounts(read()[1]) == [(12, 2.0, 1_000_000)]


def test_billing_that_is_not_there_as_it_is_needed_refuses(emulator: Emulator) -> None:
    """A schema that nobody enabled, or a column that is gone, makes costs unknown, and no error."""
    emulator.drop_columns("system.billing.list_prices", "pricing")
    assert "pricing" in read()[0].note

    emulator.workspace.enabled_system_schemas.discard("billing")
    found, _ = read()
    assert found.is_refused
    assert "SCHEMA_NOT_FOUND" in found.note


def test_a_result_that_was_cut_off_fails(emulator: Emulator) -> None:
    """Costs that lack hours would be too low, and are refused with both counts."""
    hours = [usage_row(1, f"2026-01-05T{hour:02}:00:00Z") for hour in (3, 4, 5)]
    load_billing(emulator, hours, [price_row("1")])
    emulator.results.row_cut = 2

    with pytest.raises(CutOffError, match="the result held 2 of its 3 rows"):
        read()


def test_a_fault_is_outlived(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that passes costs an attempt, and no hour counts twice."""
    wait_less(monkeypatch)
    load_billing(emulator, [usage_row(2)], [price_row("0.5")])
    emulator.faults.add(Fault("dropped_in_answer", "FetchResults"))

    assert amounts(read()[1]) == [(12, 2.0, 1_000_000)]


def test_other_methods_tell_no_cost() -> None:
    """Files hold no billing: no cost is known, and the note says which method reads it."""
    with open_spool() as spool:
        found = OfflineExtractor(uri="unused").costs(DAY, spool)

    assert (found.is_known, found.is_refused, found.row_count) == (False, False, 0)
    assert "DBMINER_QUERY_HISTORY_METHOD=system_table" in found.note


MINUTES = st.integers(0, 3 * 24 * 60)
RECORDS = st.lists(
    st.tuples(MINUTES, st.integers(0, 400), st.integers(-(10**12), 10**12)), min_size=1, max_size=8
)


@settings(deadline=None)
@given(RECORDS)
def test_hours_share_a_record_by_time(records: list[tuple[int, int, int]]) -> None:
    """The hours of a record hold its whole cost, each within a millionth of its even part."""
    midnight = datetime(2026, 1, 5, tzinfo=UTC)
    rows, expected = [], dict[datetime, Fraction]()
    for start, minutes, cost in records:
        begin = midnight + timedelta(minutes=start)
        rows.append(("17", "wh", begin, begin + timedelta(minutes=minutes), cost, cost, 0))
        for minute in range(start, start + max(minutes, 1)):
            hour = midnight + timedelta(hours=minute // 60)
            expected[hour] = expected.get(hour, Fraction()) + Fraction(cost, max(minutes, 1))
    usage = pl.LazyFrame(rows, schema=USAGE_SCHEMA, orient="row")

    found = by_hour(usage, Window(FIRST_DAY, date(2026, 1, 12))).collect()
    shuffled = by_hour(usage.reverse(), Window(FIRST_DAY, date(2026, 1, 12))).collect()

    costs = dict(found.select("hour", "list_cost_micro_usd").iter_rows())
    assert sum(costs.values()) == sum(cost for _, _, cost in records)
    assert costs.keys() == expected.keys()
    assert all(abs(costs[hour] - expected[hour]) <= len(records) for hour in costs)
    assert shuffled.sort("hour").equals(found.sort("hour"))


def loaded(emulator: Emulator) -> None:
    """A day with two statements, one of them read by lineage, and its bill."""
    statements = [
        system_row(
            name,
            executed_by="ann@x.com",
            statement_type="SELECT",
            compute={"type": "WAREHOUSE", "warehouse_id": "wh"},
            end_time="2026-01-05T12:10:00Z",
            total_task_duration_ms=task_ms,
        )
        for name, task_ms in (("s-1", 3_000), ("s-2", 1_000))
    ]
    load(emulator, statements, [lineage_row(statement_id="s-1"), column_row(statement_id="s-1")])
    load_billing(emulator, [usage_row(4)], [price_row("0.5")])


def test_a_run_stores_the_costs_of_its_days(emulator: Emulator, tmp_path: Path) -> None:
    """The job stores what the warehouses cost, and a day without usage as an empty one."""
    loaded(emulator)
    window = Window(FIRST_DAY, FIRST_DAY + timedelta(days=2))
    load(emulator, [system_row("s-9", start_time="2026-01-06T12:00:00Z", statement_type="SELECT")])
    pipeline = Pipeline("unused", str(tmp_path), lineage_method="system_table").mined(window)

    assert pipeline.table("warehouse_costs").rows() == [
        ("17", "wh", NOON, 4.0, 2_000_000, "system_table", FIRST_DAY)
    ]
    estimates = pipeline.table("filtered_queries").sort("statement_id")
    assert estimates.select("statement_id", "estimated_cost_micro_usd").rows() == [
        ("s-1", 1_500_000),
        ("s-2", 500_000),
        ("s-9", None),
    ]


def test_an_hour_that_stands_twice_is_found(tmp_path: Path) -> None:
    """Two rows of one warehouse and hour fail the check of the keys: they would cost double."""
    storage = DeltaStorage(str(tmp_path))
    row = {"workspace_id": "17", "warehouse_id": "wh", "hour": NOON, "day": FIRST_DAY}
    for rows, passes in (([row], True), ([row, row], False)):
        frame = pl.LazyFrame(rows, schema=WAREHOUSE_COSTS.schema)
        storage.replace_days(WAREHOUSE_COSTS, DAY, DayFrame(frame))
        assert run_check(storage, "warehouse_costs", "keys_unique").passed is passes


def test_a_refusal_fails_no_run_and_leaves_what_was_read(
    emulator: Emulator, tmp_path: Path
) -> None:
    """A right that was taken away costs no run, nor what an earlier run had read of the day."""
    loaded(emulator)
    pipeline = Pipeline("unused", str(tmp_path), lineage_method="system_table")
    workspace = emulator.workspace
    workspace.revoke("SELECT", "SCHEMA", "system.billing", to=workspace.user)
    pipeline.mined(DAY)
    assert pipeline.table("warehouse_costs").is_empty()

    workspace.grant("SELECT", "SCHEMA", "system.billing", to=workspace.user)
    costs = pipeline.mined(DAY).table("warehouse_costs")
    assert costs.height == 1

    workspace.revoke("SELECT", "SCHEMA", "system.billing", to=workspace.user)
    assert pipeline.mined(DAY).table("warehouse_costs").equals(costs)


def test_a_run_says_whether_costs_are_known(emulator: Emulator, tmp_path: Path) -> None:
    """The page of a day says what is known, that of the run why not, with the lines to run."""
    loaded(emulator)
    workspace = emulator.workspace
    pipeline = Pipeline("unused", str(tmp_path), lineage_method="system_table")
    for known in (True, False):
        if not known:
            workspace.revoke("SELECT", "SCHEMA", "system.billing", to=workspace.user)
        with dg.DagsterInstance.ephemeral() as instance:
            assert pipeline.mine(DAY, instance=instance).success
            event = instance.get_latest_materialization_event(dg.AssetKey("warehouse_costs"))
        assert event is not None
        assert event.asset_materialization is not None
        metadata = event.asset_materialization.metadata
        noted: dict[str, Any] = {name: each.value for name, each in metadata.items()}
        assert noted["billing_known"] is known
        assert noted["unpriced_records"] == 0
        assert noted["list_cost_usd"] == (2.0 if known else 0.0)
        assert ("GRANT SELECT ON TABLE `system`.`billing`.`usage`" in noted["run_notes"]) != known


def test_files_cost_nothing_known(tmp_path: Path) -> None:
    """Offline the days are stored empty, and the run succeeds."""
    offline = tmp_path / "offline"
    write_history(offline, ndjson(system_row()))
    write_lineage(offline, ndjson(lineage_row(), column_row()))
    pipeline = Pipeline(str(offline), str(tmp_path / "storage")).mined(DAY)

    assert pipeline.table("warehouse_costs").is_empty()
