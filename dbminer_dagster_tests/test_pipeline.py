"""What holds for whole runs, from files to scores."""

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import time
from datetime import date, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sample_generator import generate

from dbminer_dagster.schemas import POPULARITY_SCORES, RAW_QUERY_HISTORY, TABLES
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.pipeline import (
    FIRST_DAY,
    Pipeline,
    assert_same_tables,
    failures,
    mine_command,
    mining_environment,
)

DAYS = 35
WINDOW = Window(FIRST_DAY, FIRST_DAY + timedelta(days=DAYS))


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Files of a small company over 35 days."""
    folder = tmp_path_factory.mktemp("offline")
    generate(folder, first_day=FIRST_DAY, days=DAYS, statements_per_day=60, seed=11)
    return str(folder)


@pytest.fixture(scope="module")
def whole(offline: str, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """All days mined as one range."""
    return Pipeline(offline, str(tmp_path_factory.mktemp("whole"))).mined(WINDOW)


def read_lines(folder: Path) -> list[bytes]:
    lines = []
    for part in sorted(folder.iterdir()):
        content = part.read_bytes()
        plain = gzip.decompress(content) if part.suffix == ".gz" else content
        lines += plain.splitlines()
    return lines


@pytest.mark.parametrize("seed", [1, 2])
def test_order_and_split_of_the_input_do_not_matter(
    whole: Pipeline, tmp_path: Path, seed: int
) -> None:
    """For any shuffling and any split of the input into files, the tables are identical."""
    dice = random.Random(seed)
    for folder in ("extracted-lineage", "extracted-query-history"):
        lines = read_lines(Path(whole.offline) / folder)
        dice.shuffle(lines)
        target = tmp_path / "offline" / folder
        target.mkdir(parents=True)
        cuts = sorted(dice.sample(range(1, len(lines)), dice.randint(1, 9)))
        for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(lines)], strict=True)):
            content = b"\n".join(lines[start:end])
            if dice.random() < 0.5:
                (target / f"result-{number}.json").write_bytes(content)
            else:
                (target / f"result-{number}.json.gz").write_bytes(gzip.compress(content))

    shuffled = Pipeline(str(tmp_path / "offline"), str(tmp_path / "storage")).mined(WINDOW)

    assert_same_tables(whole, shuffled)


def test_running_again_changes_nothing(whole: Pipeline, tmp_path: Path) -> None:
    """Running any days twice leaves every table as it was."""
    shutil.copytree(whole.storage, tmp_path / "storage")
    again = Pipeline(whole.offline, str(tmp_path / "storage"))

    again.mined(Window(date(2026, 1, 20), date(2026, 1, 23)))

    assert_same_tables(whole, again)


def test_day_by_day_equals_one_range(whole: Pipeline, tmp_path: Path) -> None:
    """Four weeks as one range, then one day by day, give the same tables as the five at once."""
    weeks = Window(WINDOW.start, WINDOW.start + timedelta(days=28))
    stepwise = Pipeline(whole.offline, str(tmp_path)).mined(weeks)
    for day in Window(weeks.end, WINDOW.end):
        stepwise.mined(Window.of_day(day))

    assert_same_tables(whole, stepwise)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_the_time_zone_of_the_machine_does_not_matter(
    whole: Pipeline, tmp_path: Path, zone: str
) -> None:
    """Under another TZ the tables equal those of UTC."""
    window = Window(WINDOW.start, WINDOW.start + timedelta(days=12))
    environment = mining_environment(whole, tmp_path) | {"TZ": zone}
    command = mine_command(window)

    subprocess.run(command, env=environment, check=True, capture_output=True)

    elsewhere = Pipeline(whole.offline, str(tmp_path))
    for name in TABLES:
        expected = whole.table(name).filter(window.holds())
        assert_frame_equal(expected, elsewhere.table(name), check_row_order=False, check_exact=True)


def test_a_killed_run_leaves_good_tables_and_the_next_repairs(
    whole: Pipeline, tmp_path: Path
) -> None:
    """After kill -9 at any moment each day of each table is whole or absent; a re-run repairs."""
    window = Window(WINDOW.start, WINDOW.start + timedelta(days=12))
    environment = mining_environment(whole, tmp_path)
    storage = DeltaStorage(str(tmp_path))
    dice = random.Random(3)
    for _ in range(4):
        process = subprocess.Popen(
            mine_command(window),
            env=environment,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(dice.uniform(2.0, 9.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for table in TABLES.values():
            stored = storage.scan(table, window).collect()
            expected = whole.table(table.name).filter(window.holds())
            of_stored_days = expected.filter(pl.col("day").is_in(stored["day"].unique().to_list()))
            assert stored.height == of_stored_days.height, table.name

    subprocess.run(mine_command(window), env=environment, check=True, capture_output=True)

    for name in TABLES:
        assert_frame_equal(
            whole.table(name).filter(window.holds()),
            Pipeline(whole.offline, str(tmp_path)).table(name),
            check_row_order=False,
            check_exact=True,
        )


def test_scores_equal_plain_sql(whole: Pipeline) -> None:
    """DuckDB, from daily usage and references alone, finds the same score to the last digit."""
    last, first = WINDOW.last_day, WINDOW.end - timedelta(days=whole.popularity_window_days)
    database = duckdb.connect()
    database.register("usage", whole.table("daily_usage"))
    database.register("references", whole.table("query_references"))
    expected = database.sql(f"""
        WITH used AS (
            SELECT r.tables_read, r.columns_read, u.user_name, u.statement_count, u.last_used_at
            FROM usage u JOIN "references" r USING (day, reference_hash)
            WHERE r.operation = 'read' AND u.day BETWEEN DATE '{first}' AND DATE '{last}'
        ), reads AS (
            SELECT 'table' AS asset_type, unnest(tables_read) AS asset, * FROM used
            UNION ALL
            SELECT 'column', unnest(columns_read), * FROM used
        ), counted AS (
            SELECT asset_type, asset, sum(statement_count)::BIGINT AS read_count,
                   count(DISTINCT user_name) AS user_count, max(last_used_at) AS last_read_at
            FROM reads GROUP BY ALL
        ), scored AS (
            SELECT *, user_count * ln(read_count) AS popularity_score FROM counted
        ), ranked AS (
            SELECT *, count(*) OVER same_type AS n,
                   (2 * rank() OVER same_order + count(*) OVER same_score - 1) / 2 AS r
            FROM scored
            WINDOW same_type AS (PARTITION BY asset_type),
                   same_order AS (PARTITION BY asset_type ORDER BY popularity_score),
                   same_score AS (PARTITION BY asset_type, popularity_score)
        )
        SELECT asset_type, asset, read_count, user_count, last_read_at, popularity_score,
               CASE WHEN n = 1 THEN 0 ELSE (r - 1) / (n - 1) END AS percentile
        FROM ranked ORDER BY ALL
    """).pl().with_columns(pl.col("last_read_at").dt.convert_time_zone("UTC"))  # fmt: skip
    scores = whole.table("popularity_scores").filter(pl.col("day") == last)
    found = scores.select(
        "asset_type",
        pl.concat_str("table_name", "column_name", separator=".", ignore_nulls=True).alias("asset"),
        "read_count",
        "user_count",
        "last_read_at",
        "popularity_score",
        "percentile",
    )

    assert expected.height > 30
    assert_frame_equal(expected, found, check_row_order=False, check_exact=True, check_dtypes=False)


def test_rows_are_accounted_for(whole: Pipeline) -> None:
    """Every statement of the files is in raw history once, and kept or dropped for a reason."""
    lines = read_lines(Path(whole.offline) / "extracted-query-history")
    rows = [json.loads(line) for line in lines]
    statements = {row.get("query_id") or row.get("statement_id") for row in rows}
    raw = whole.table("raw_query_history")

    assert len(lines) > len(statements)
    assert statements == set(raw["statement_id"])
    assert raw.height == len(statements)


def test_a_bad_line_commits_nothing(whole: Pipeline, tmp_path: Path) -> None:
    """A bad line fails the run before any day of the table is touched."""
    offline = tmp_path / "offline"
    for folder in ("extracted-lineage", "extracted-query-history"):
        (offline / folder).mkdir(parents=True)
        lines = read_lines(Path(whole.offline) / folder)
        lines[len(lines) // 2] = b'{"query_id": "cut'
        (offline / folder / "result-0.json").write_bytes(b"\n".join(lines))
    pipeline = Pipeline(str(offline), str(tmp_path / "storage"))

    result = pipeline.mine(WINDOW)

    messages = failures(result)
    assert not result.success
    assert "extracted-query-history/result-0.json, line" in messages
    assert DeltaStorage(pipeline.storage).scan(RAW_QUERY_HISTORY, WINDOW).collect().is_empty()
    assert DeltaStorage(pipeline.storage).scan(POPULARITY_SCORES, WINDOW).collect().is_empty()
