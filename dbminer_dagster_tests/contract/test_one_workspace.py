"""One generated workspace, read by every extraction method: what is the same, and what differs."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import time_machine
from click.testing import CliRunner
from polars.testing import assert_frame_equal
from sample_generator import generate

from dbminer_dagster.cli import main
from dbminer_dagster.resources.databricks import DatabricksResource
from dbminer_dagster.resources.extractor import Extractor
from dbminer_dagster.resources.offline.extractor import OfflineExtractor
from dbminer_dagster.resources.rest_api import RestApiExtractor
from dbminer_dagster.resources.system_tables import SystemTableExtractor
from dbminer_dagster.schemas import (
    KNOWN_TABLES,
    RAW_COLUMN_LINEAGE,
    RAW_QUERY_HISTORY,
    RAW_TABLE_LINEAGE,
    Table,
)
from dbminer_dagster.settings import load_settings
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.databricks_emulator import Emulator, run_emulator
from dbminer_dagster_tests.offline_files import history_of, lineage_of
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline, assert_same_tables
from dbminer_dagster_tests.s3_server import S3Server
from dbminer_dagster_tests.warehouse import ask_faster, sign_in

WINDOW = Window(FIRST_DAY, date(2026, 1, 8))
NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
METHOD = "extraction_method"

UNKNOWN_STATEMENT_FACTS = {"compute_type", "pipeline_id", "update_time"}
"""Columns of `raw_query_history` that REST does not know, or not in the same way."""
UNKNOWN_EVENT_FACTS = {"statement_id", "created_by", "direct_access"}
"""Columns of raw lineage that REST leaves empty."""

Tables = dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tables]:
    """The raw tables of the workspace, as each method reads them."""
    files = tmp_path_factory.mktemp("files")
    generate(
        files, first_day=FIRST_DAY, days=3, statements_per_day=300, seed=5, system_rows_only=True
    )
    with pytest.MonkeyPatch.context() as patch, run_emulator() as emulator:
        sign_in(emulator, patch)
        ask_faster(patch)
        emulator.load_files(files)
        emulator.add_tables_of_lineage()
        emulator.adopt_workspace_id()
        with time_machine.travel(NOW):
            found = {
                extractor.method.value: _read(extractor)
                for extractor in _extractors(files, tmp_path_factory.mktemp("work"))
            }
    return found


def _extractors(files: Path, work: Path) -> Iterator[Extractor]:
    settings = load_settings(work_folder=str(work))
    databricks = DatabricksResource.of(settings)
    yield OfflineExtractor(uri=str(files))
    yield SystemTableExtractor.of(settings, databricks)
    yield RestApiExtractor.of(settings, databricks)


def _read(extractor: Extractor) -> Tables:
    history = history_of(extractor, WINDOW).rows
    lineage = lineage_of(extractor, WINDOW)
    return {RAW_QUERY_HISTORY.name: history} | {name: read.rows for name, read in lineage.items()}


def test_files_and_system_tables_give_the_same(raw: dict[str, Tables]) -> None:
    """Rows of the system tables come out equal from files and from the tables themselves."""
    for name, expected in raw["offline"].items():
        assert_frame_equal(expected.drop(METHOD), raw["system_table"][name].drop(METHOD))


def test_query_history_is_the_same_over_rest(raw: dict[str, Tables]) -> None:
    """Over REST each statement has the same facts, but for those that REST does not know."""
    known = pl.exclude(METHOD, *UNKNOWN_STATEMENT_FACTS)
    expected, found = (raw[method][RAW_QUERY_HISTORY.name] for method in ("offline", "rest_api"))

    assert expected.height > 0
    assert_frame_equal(expected.select(known), found.select(known))
    assert found["compute_type"].null_count() == found.height
    assert found["pipeline_id"].null_count() == found.height


@pytest.mark.parametrize("table", [RAW_TABLE_LINEAGE, RAW_COLUMN_LINEAGE], ids=lambda t: t.name)
def test_each_edge_has_its_newest_time_over_rest(raw: dict[str, Tables], table: Table) -> None:
    """Over REST an edge is there once, at the time at which system tables saw it last."""
    expected, found = (
        newest_events(raw[method][table.name]) for method in ("system_table", "rest_api")
    )

    assert expected.height > 0
    assert_frame_equal(expected, found)


def newest_events(rows: pl.DataFrame) -> pl.DataFrame:
    """The edges between tables or columns, each with the time at which it was seen last."""
    ends = [name for name in rows.columns if name.endswith(("_name", "_column"))]
    return rows.drop_nulls(ends).group_by(ends).agg(pl.col("last_event_time").max()).sort(ends)


def test_what_rest_cannot_know_is_empty(raw: dict[str, Tables]) -> None:
    """Over REST no event has a statement, a user, or a word on how direct it was."""
    for name in (RAW_TABLE_LINEAGE.name, RAW_COLUMN_LINEAGE.name):
        found = raw["rest_api"][name].select(UNKNOWN_EVENT_FACTS)
        assert found.height > 0
        assert found.null_count().row(0) == (found.height,) * len(UNKNOWN_EVENT_FACTS)


def test_types_of_tables_have_the_same_names(raw: dict[str, Tables]) -> None:
    """Over REST a view is a view, whatever the API calls it."""
    ends = ("source_type", "target_type")
    expected, found = (
        {kind for end in ends for kind in raw[method][RAW_TABLE_LINEAGE.name][end]} - {None}
        for method in ("system_table", "rest_api")
    )

    assert {"TABLE", "VIEW"} <= found <= expected


def test_a_round_trip_gives_the_same_results(
    databricks_emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    s3_prefix: str,
    s3_server: S3Server,
    tmp_path: Path,
) -> None:
    """Extracted to S3 and mined from there, every result table equals that of the REST method."""
    sign_in(databricks_emulator, monkeypatch)
    ask_faster(monkeypatch)
    monkeypatch.setenv("DBMINER_WORK_FOLDER", str(tmp_path / "work"))
    monkeypatch.setenv("DBMINER_S3_ENDPOINT_URL", s3_server.endpoint_url)
    monkeypatch.setenv("DBMINER_S3_REGION", s3_server.region)
    files, first = tmp_path / "files", datetime.now(UTC).date() - timedelta(days=6)
    generate(files, first_day=first, days=3, statements_per_day=300, seed=5, system_rows_only=True)
    databricks_emulator.load_files(files)
    databricks_emulator.add_tables_of_lineage()
    databricks_emulator.adopt_workspace_id()
    window = Window(first, first + timedelta(days=3))

    days = ["--since", str(window.start), "--until", str(window.last_day)]
    extracted = CliRunner().invoke(main, ["extract", *days, "--out", s3_prefix])
    assert extracted.exit_code == 0, extracted.output
    rest = Pipeline("unused", str(tmp_path / "rest"), lineage_method="rest_api").mined(window)
    offline = Pipeline(s3_prefix, str(tmp_path / "offline")).mined(window)

    assert rest.table(KNOWN_TABLES.name).height > 0
    assert_same_tables(rest, offline, METHOD, "read_at")
