"""A month of system tables over a bad network."""

from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
from sample_generator import generate

from dbminer_dagster.windows import Window
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline, assert_same_tables
from dbminer_dagster_tests.warehouse import sign_in, wait_less

FAULTS = ("429", "503", "dropped_before_answer", "dropped_in_answer", "slow")
MONTH = Window(FIRST_DAY, FIRST_DAY + timedelta(days=30))


def test_a_backfill_under_faults_gives_the_same_tables(
    databricks_emulator: Emulator, no_databricks: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a fault in every third request, thirty days end with the tables of a calm backfill."""
    files = tmp_path / "files"
    generate(
        files, first_day=FIRST_DAY, days=30, statements_per_day=30, seed=5, system_rows_only=True
    )
    databricks_emulator.load_files(files)
    databricks_emulator.results.links_above_bytes = 100_000
    sign_in(databricks_emulator, no_databricks)
    wait_less(no_databricks)
    calm, troubled = (
        Pipeline(str(files), str(tmp_path / name), lineage_method="system_table")
        for name in ("calm", "troubled")
    )
    calm.mined(MONTH)
    asked = len(databricks_emulator.requests)

    databricks_emulator.faults.at_random(1 / 3, seed=11, kinds=FAULTS)
    troubled.mined(MONTH)

    refused = [r.status for r in databricks_emulator.requests[asked:] if r.status != HTTPStatus.OK]
    assert {0, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE} <= set(refused)
    assert_same_tables(calm, troubled)
