"""The sample workspace holds what its README promises, and the generator reproduces it."""

import gzip
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlglot
from sample_generator import generate
from sqlglot import exp

SAMPLE = Path(__file__).parents[1] / "examples" / "sample_workspace"
FOLDERS = ("extracted-lineage", "extracted-query-history")
STATEMENT_TYPES = (
    "ALTER ANALYZE COPY CREATE DELETE DESCRIBE DROP EXPLAIN GRANT INSERT MERGE OPTIMIZE OTHER"
    " REPLACE REVOKE SELECT SET SHOW UPDATE USE"
)
LAST_DAY = date(2026, 2, 13)
NUMBERS = re.compile(r"\b\d+\b|'[^']*'")
Row = dict[str, Any]


def content(path: Path) -> bytes:
    """A part without its compression."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def parts(root: Path) -> dict[str, Path]:
    return {f"{p.parent.name}/{p.name}": p for p in sorted(root.glob("*/result-*"))}


def rows_of(folder: str) -> Iterator[Row]:
    for path in sorted((SAMPLE / folder).glob("result-*")):
        yield from map(msgspec.json.decode, content(path).splitlines())


def statement_of(row: Row) -> Row:
    """A query-history row of either shape, with the members that the tests look at."""
    if "query_id" in row:
        moment = datetime.fromtimestamp(row["query_start_time_ms"] / 1000, UTC)
        tags = {tag["key"]: tag["value"] for tag in row["query_tags"]}
        keys = ("query_id", "query_text", "status", "user_name", "cache_query_id")
    else:
        moment = datetime.fromisoformat(row["start_time"])
        tags = row["query_tags"]
        origin = row["cache_origin_statement_id"]
        row = {**row, "origin": None if origin == row["statement_id"] else origin}
        keys = ("statement_id", "statement_text", "execution_status", "executed_by", "origin")
    names = ("id", "text", "status", "user", "origin")
    found = {name: row.get(key) for name, key in zip(names, keys, strict=True)}
    return {**row, **found, "tags": tags, "day": moment.date()}


@pytest.fixture(scope="module")
def statements() -> list[Row]:
    return [statement_of(row) for row in rows_of("extracted-query-history")]


@pytest.fixture(scope="module")
def lineage() -> list[Row]:
    return [row for row in rows_of("extracted-lineage") if "table_name" not in row]


@pytest.fixture(scope="module")
def answers() -> list[Row]:
    return [row for row in rows_of("extracted-lineage") if "table_name" in row]


@pytest.fixture(scope="module")
def by_statement(lineage: list[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in lineage:
        if row["statement_id"]:
            grouped[row["statement_id"]].append(row)
    return grouped


def edge_days(lineage: list[Row], source: str, target: str) -> list[date]:
    """The days on which an edge between two tables was seen."""
    return sorted(
        {
            date.fromisoformat(row["event_date"])
            for row in lineage
            if row["source_table_full_name"] == source and row["target_table_full_name"] == target
        }
    )


def test_generator_reproduces_the_committed_sample(tmp_path: Path) -> None:
    """The committed sample is, byte for byte, what the generator writes by default."""
    generate(tmp_path)
    made, committed = parts(tmp_path), parts(SAMPLE)
    assert list(made) == list(committed)
    # Compared without compression: builds of zlib may differ in how they pack the same bytes.
    assert [n for n in made if content(made[n]) != content(committed[n])] == []


def test_same_seed_gives_same_files(tmp_path: Path) -> None:
    """Two runs with one seed write identical files; another seed writes others."""
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        generate(tmp_path / name, days=2, statements_per_day=150, seed=seed)
    one, two, other = (
        {n: p.read_bytes() for n, p in parts(tmp_path / name).items()}
        for name in ("one", "two", "other")
    )
    assert one == two
    assert one != other


def test_unique_texts_never_repeat(tmp_path: Path) -> None:
    """With unique texts no query of a table equals another, whatever its literals."""
    generate(tmp_path, days=1, statements_per_day=900, unique_texts=True)
    paths = (tmp_path / "extracted-query-history").glob("*")
    rows = [msgspec.json.decode(line) for path in paths for line in content(path).splitlines()]
    hidden = ("SELECT 1", "<redacted>", "selct", "select * from analytics.marts.orders_daily")
    texts = [
        NUMBERS.sub("?", row["query_text"])
        for row in rows
        if row["statement_type"] == "SELECT"
        and "table_lineage" not in row["query_text"]
        and not row["query_text"].lower().startswith(tuple(h.lower() for h in hidden))
    ]
    assert len(texts) > 500
    assert len(set(texts)) == len(texts)


def test_sample_is_small_and_numbered_without_gaps() -> None:
    """Both folders number their parts from 0, start with a plain one, and stay below 5 MB."""
    assert sum(p.stat().st_size for p in parts(SAMPLE).values()) < 5_000_000
    for folder in FOLDERS:
        names = {p.name for p in (SAMPLE / folder).iterdir()}
        packed = {f"result-{n}.json.gz" for n in range(1, len(names))}
        assert names == {"result-0.json"} | packed


def test_days_follow_a_weekly_rhythm(statements: list[Row]) -> None:
    """Forty days without a gap; a weekend day sees less than half of a weekday."""
    counts: dict[date, int] = defaultdict(int)
    for row in statements:
        counts[row["day"]] += 1
    assert (min(counts), max(counts), len(counts)) == (date(2026, 1, 5), LAST_DAY, 40)
    weekdays = [n for day, n in counts.items() if day.weekday() < 5]
    weekends = [n for day, n in counts.items() if day.weekday() >= 5]
    assert max(weekends) * 2 < min(weekdays)


def test_about_a_third_of_statements_have_lineage(
    statements: list[Row], by_statement: dict[str, list[Row]]
) -> None:
    """Between 30 and 40 in a hundred statements have lineage rows, and only finished ones."""
    finished = {row["id"] for row in statements if row["status"] == "FINISHED"}
    assert 0.30 < len(by_statement) / len(finished) < 0.40
    assert set(by_statement) <= finished


def test_query_history_comes_in_both_shapes(statements: list[Row]) -> None:
    """Rows of the REST API and of the system table are both there, in parts of their own."""
    assert sum("query_id" in row for row in statements) > 5_000
    assert sum("execution_status" in row for row in statements) > 2_000


def test_few_statements_are_exported_twice(statements: list[Row]) -> None:
    """A re-exported row has the same id and is later or final; nothing else repeats."""
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in statements:
        grouped[row["id"]].append(row)
    repeated = [rows for rows in grouped.values() if len(rows) > 1]
    assert 10 <= len(repeated) <= 20
    for early, late in repeated:
        assert early["text"] == late["text"]
        if "query_id" in early:
            assert (early["is_final"], late["is_final"]) == (False, True)
        else:
            assert early["update_time"] < late["update_time"]
    assert {"query_id" in rows[0] for rows in repeated} == {True, False}


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(lambda r: r["text"] == "<REDACTED>", id="redacted"),
        pytest.param(lambda r: r["status"] == "FAILED" and r["error_message"], id="failed"),
        pytest.param(lambda r: r["status"] == "CANCELED", id="cancelled"),
        pytest.param(lambda r: r["user"] == "svc-monitoring@larkfell.example", id="monitoring"),
        pytest.param(lambda r: r["user"] == "svc-backup@larkfell.example", id="backup"),
        pytest.param(lambda r: r["tags"].get("application") == "dbminer", id="miner"),
        pytest.param(lambda r: r["text"].startswith("selct everything"), id="nonsense"),
        pytest.param(lambda r: r["text"].startswith("USE CATALOG prod"), id="use catalog"),
        pytest.param(lambda r: r["text"].startswith("USE finance.ledger"), id="use schema"),
        pytest.param(lambda r: "TEMPORARY VIEW recent_returns" in r["text"], id="temporary view"),
        pytest.param(lambda r: " FROM fact_orders" in r["text"], id="shadowing"),
        pytest.param(lambda r: "FROM marketing.email_engagement" in r["text"], id="two parts"),
        pytest.param(lambda r: "FROM reporting.daily_kpis" in r["text"], id="ambiguous"),
        pytest.param(lambda r: "legacy_dw.orders_2019" in r["text"], id="unknown"),
        pytest.param(lambda r: "VERSION AS OF" in r["text"], id="version"),
        pytest.param(lambda r: "TIMESTAMP AS OF" in r["text"], id="timestamp"),
        pytest.param(lambda r: "UNION ALL" in r["text"], id="union"),
        pytest.param(lambda r: ";\nSELECT" in r["text"], id="two statements"),
        pytest.param(lambda r: "`churn-scores`" in r["text"], id="hyphen"),
        pytest.param(lambda r: "`trial.v2`" in r["text"], id="dot"),
        pytest.param(lambda r: "ANALYTICS.Marketing" in r["text"], id="capitals"),
        pytest.param(lambda r: "samples.nyctaxi.trips" in r["text"], id="samples"),
        pytest.param(lambda r: "system.billing.usage" in r["text"], id="system"),
        pytest.param(lambda r: r["text"].startswith("MERGE WITH SCHEMA EV"), id="evolution"),
        pytest.param(lambda r: "REPLACE WHERE" in r["text"], id="replace where"),
        pytest.param(lambda r: "REPLACE ON" in r["text"], id="replace on"),
        pytest.param(lambda r: r["text"].startswith('/* {"app": "dbt"'), id="dbt comment"),
        pytest.param(lambda r: r["text"].startswith("COPY INTO"), id="copy"),
    ],
)
def test_feature_is_present(statements: list[Row], wanted: Callable[[Row], bool]) -> None:
    """Every feature that the README names is in the query history."""
    assert any(wanted(row) for row in statements)


def test_all_kinds_of_statements_occur(statements: list[Row]) -> None:
    """Statement types cover reads, writes and commands."""
    assert {row["statement_type"] for row in statements} == set(STATEMENT_TYPES.split())


def test_cached_results_point_at_their_origin(
    statements: list[Row], by_statement: dict[str, list[Row]]
) -> None:
    """A cached result has the text of its origin and no lineage rows; some origins have them."""
    texts = {row["id"]: row["text"] for row in statements}
    cached = [row for row in statements if row["origin"]]
    assert len(cached) > 300
    assert all(texts[row["origin"]] == row["text"] for row in cached)
    assert not any(row["id"] in by_statement for row in cached)
    assert any(row["origin"] in by_statement for row in cached)


def test_redacted_texts_come_with_and_without_lineage(
    statements: list[Row], by_statement: dict[str, list[Row]]
) -> None:
    """Some redacted statements can be attributed by lineage, others cannot."""
    hidden = {row["id"] in by_statement for row in statements if "redacted" in row["text"].lower()}
    assert hidden == {True, False}


def test_rebuilt_table_changes_its_source(lineage: list[Row]) -> None:
    """`customer_value` is fed by orders until 21 January and by payments from the 22nd."""
    target = "analytics.marts.customer_value"
    assert edge_days(lineage, "prod.gold.fact_orders", target)[-1] == date(2026, 1, 21)
    assert edge_days(lineage, "prod.gold.fact_payments", target)[0] == date(2026, 1, 22)


def test_table_is_rebuilt_twice_in_one_day(lineage: list[Row]) -> None:
    """On 3 February `budget_baseline` is rebuilt from two sources, the import last."""
    target = "finance.planning.budget_baseline"
    assert edge_days(lineage, "finance.ledger.general_ledger", target)[-1] == date(2026, 2, 3)
    assert edge_days(lineage, "finance.planning.budget_import", target)[0] == date(2026, 2, 3)


def test_renamed_table_goes_on_under_its_new_name(lineage: list[Row]) -> None:
    """Edges of the old name end on 25 January and those of the new name begin on the 26th."""
    source, schema = "prod.gold.fact_store_visits", "analytics.marts"
    old = edge_days(lineage, source, f"{schema}.store_traffic_daily")
    new = edge_days(lineage, source, f"{schema}.store_footfall_daily")
    assert (old[-1], new[0]) == (date(2026, 1, 25), date(2026, 1, 26))


def test_first_week_edge_is_never_seen_again(lineage: list[Row]) -> None:
    """The seasonal edge is older than thirty days on the last day."""
    days = edge_days(lineage, "prod.gold.dim_products", "analytics.marts.holiday_gift_guide")
    assert days[-1] == date(2026, 1, 9)
    assert (LAST_DAY - days[-1]).days > 30


def test_views_over_views_show_their_base_tables(lineage: list[Row]) -> None:
    """A read of a view over a view yields indirect rows for the views and tables behind it."""
    events = {
        row["event_id"]
        for row in lineage
        if row["source_table_full_name"] == "analytics.reporting.v_sales_overview"
        and row["direct_access"]
    }
    behind = {
        row["source_table_full_name"]
        for row in lineage
        if row["event_id"] in events and not row["direct_access"]
    }
    assert {"analytics.reporting.v_orders_enriched", "prod.gold.fact_orders"} <= behind


def test_lineage_of_paths_clusters_and_itself(lineage: list[Row]) -> None:
    """There are reads by path, events without a statement, and a table that feeds itself."""
    paths = [r for r in lineage if r["source_type"] == "PATH"]
    assert all(
        r["source_path"].startswith("s3://") and not r["source_table_full_name"] for r in paths
    )
    assert {bool(r["statement_id"]) for r in paths} == {True, False}
    assert any(r["created_by"] and not r["statement_id"] for r in lineage)
    copy = "sandbox.people.copy_of_customers"
    assert edge_days(lineage, copy, copy)


def test_statement_and_its_lineage_may_lie_on_two_days(
    statements: list[Row], by_statement: dict[str, list[Row]]
) -> None:
    """A statement that runs over midnight has its lineage on the day after its start."""
    crossing = [
        row
        for row in statements
        if row["id"] in by_statement
        and by_statement[row["id"]][0]["event_date"] > row["day"].isoformat()
    ]
    assert len(crossing) >= 30
    assert any("revenue_recognition" in row["text"] for row in crossing)


def test_use_of_tables_moves(statements: list[Row]) -> None:
    """One table rises over the forty days, and one falls out of use."""

    def reads(name: str, first: date, last: date) -> int:
        found = (row for row in statements if name in row["text"].replace("`", ""))
        return sum(first <= row["day"] <= last and "SELECT" in row["text"].upper() for row in found)

    early, late = (date(2026, 1, 5), date(2026, 1, 14)), (date(2026, 2, 4), LAST_DAY)
    rising, falling = "marketing.campaign_attribution", "marketing.audience_overlap"
    assert reads(rising, *late) > 2 * reads(rising, *early)
    assert reads(falling, *early) > 10
    assert reads(falling, *late) == 0


def test_rest_answers_hold_all_kinds_of_items(answers: list[Row]) -> None:
    """Answers have masked items, files, items of entities only, and a kind nobody knows."""
    items = [
        item
        for answer in answers
        for side in ("upstreams", "downstreams")
        for item in answer["table_lineage"].get(side, [])
    ]
    assert {"tableInfo": {"has_permission": False}} in items
    assert any(set(item) == {"notebookInfos"} for item in items)
    assert any("fileInfo" in item for item in items)
    assert any("holographInfo" in item for item in items)
    columns = [c for answer in answers for c in answer["columns"].values()]
    assert any({"has_permission": False} in column["downstream_cols"] for column in columns)
    assert any(answer["table_lineage"] == {} for answer in answers)


def test_lineage_names_what_the_text_names(
    statements: list[Row], by_statement: dict[str, list[Row]]
) -> None:
    """Direct lineage rows of a statement name exactly the tables that its text names in full."""
    checked = 0
    for row in statements[::9]:
        found = named_tables(row["text"]) if row["id"] in by_statement else None
        if found is None:
            continue
        checked += 1
        rows = [r for r in by_statement[row["id"]] if r["direct_access"]]
        sides = ("source_table_full_name", "target_table_full_name")
        assert found == {r[side].lower() for r in rows for side in sides if r[side]}
    assert checked > 300


def named_tables(text: str) -> set[str] | None:
    """Tables of a text that names all of them in full; None for any other text."""
    try:
        trees = [tree for tree in sqlglot.parse(text, dialect="databricks") if tree]
    except sqlglot.ParseError:
        return None
    hidden = {cte.alias for tree in trees for cte in tree.find_all(exp.CTE)}
    tables = [t.parts for tree in trees for t in tree.find_all(exp.Table)]
    named = [p for p in tables if not (len(p) == 1 and p[0].name in hidden)]
    if not named or any(len(parts) != 3 for parts in named):
        return None
    return {".".join(p.name for p in parts).lower() for parts in named}
