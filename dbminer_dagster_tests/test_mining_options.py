"""The options of a single run: validated before any work, and told by what they made."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sample_generator import generate

from dbminer_dagster.automation import range_tags
from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.errors import SettingsError
from dbminer_dagster.parse_cache import CACHE_TABLE
from dbminer_dagster.resources.mining_options import KEY, MiningOptions, mining_options
from dbminer_dagster.schemas import DAILY_USAGE, FILTERED_QUERIES, POPULARITY_SCORES, Table
from dbminer_dagster.settings import Settings, load_settings
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.pipeline import FIRST_DAY, JOB, failures

DAYS = Window(FIRST_DAY, FIRST_DAY + timedelta(days=5))
LAST = Window.of_day(DAYS.last_day)
USAGE = ["filtered_queries", "query_references", "daily_usage", "popularity_scores"]
WRONG = [
    ({"popularity_window_days": 0}, "popularity_window_days is 0. Allowed are 1 to 30 days."),
    ({"popularity_window_days": 31}, "popularity_window_days is 31. Allowed are 1 to 30 days."),
    ({"excluded_users": [""]}, "excluded_users holds ''. Give one user name"),
    ({"excluded_users": ["a@x.example, b@x.example"]}, "excluded_users holds 'a@x.example, b"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Offline files of five working days."""
    folder = tmp_path_factory.mktemp("files")
    generate(folder, first_day=FIRST_DAY, days=DAYS.days, statements_per_day=60, seed=3)
    return folder


def settings_of(files: Path, storage: Path, **changes: Any) -> Settings:
    given = {
        "lineage_method": "offline",
        "offline_uri": str(files),
        "storage_uri": str(storage),
        "start_date": FIRST_DAY,
        "popularity_window_days": 4,
    }
    return load_settings(**(given | changes))


def run(
    settings: Settings,
    window: Window = DAYS,
    options: dict[str, object] | None = None,
    assets: list[str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Runs the mining job as the launchpad does."""
    job = build_definitions(settings).resolve_job_def(JOB)
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(
            instance=instance,
            tags=range_tags(window),
            run_config={"resources": {KEY: {"config": options}}} if options else None,
            asset_selection=[dg.AssetKey(name) for name in assets] if assets else None,
            raise_on_error=False,
        )


def fine(
    settings: Settings,
    window: Window = DAYS,
    options: dict[str, object] | None = None,
    assets: list[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """The same, which must succeed; the metadata of the last day by asset."""
    result = run(settings, window, options, assets)
    assert result.success, failures(result)
    return {
        event.asset_key.path[-1]: {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.asset_key and event.partition == str(window.last_day)
    }


def table(settings: Settings, wanted: Table, window: Window = DAYS) -> pl.DataFrame:
    return pl.read_delta(f"{settings.storage_uri}/{wanted.name}").filter(window.holds())


def assert_same(left: Settings, right: Settings, wanted: Table, window: Window = DAYS) -> None:
    expected, found = (table(each, wanted, window) for each in (left, right))
    assert expected.height > 0
    assert_frame_equal(expected, found, check_row_order=False, check_exact=True)


@pytest.mark.parametrize("window_days", [1, 2, 5])
def test_a_window_of_one_run_is_that_of_the_setting(
    window_days: int, files: Path, tmp_path: Path
) -> None:
    """A shorter and a longer window give what the setting would, and the scores tell it."""
    one_off = settings_of(files, tmp_path / "one-off")
    lasting = settings_of(files, tmp_path / "lasting", popularity_window_days=window_days)
    fine(one_off)
    fine(lasting)

    told = fine(one_off, LAST, {"popularity_window_days": window_days}, ["popularity_scores"])

    assert_same(lasting, one_off, POPULARITY_SCORES, LAST)
    assert told["popularity_scores"]["run_popularity_window_days"] == window_days
    scores = table(one_off, POPULARITY_SCORES, LAST)
    assert scores["days_wanted"].unique().to_list() == [window_days]
    before = Window(FIRST_DAY, LAST.start)
    other_days = table(one_off, POPULARITY_SCORES, before)
    assert other_days["days_wanted"].max() == 4


def test_users_excluded_by_one_run_are_those_of_the_setting(files: Path, tmp_path: Path) -> None:
    """Excluding users for the days of a run gives what the setting would, and is told."""
    plain = settings_of(files, tmp_path / "plain")
    fine(plain)
    user = table(plain, DAILY_USAGE)["user_name"].mode().sort()[0]
    lasting = settings_of(files, tmp_path / "lasting", excluded_users=user)
    fine(lasting)

    told = fine(plain, options={"excluded_users": [user.upper()]}, assets=USAGE)

    for each in (FILTERED_QUERIES, DAILY_USAGE, POPULARITY_SCORES):
        assert_same(lasting, plain, each)
    assert user not in table(plain, DAILY_USAGE)["user_name"].to_list()
    for name in ("filtered_queries", "daily_usage"):
        assert told[name]["run_excluded_users"] == user.upper()
    assert told["popularity_scores"]["run_popularity_window_days"] == 4


def test_without_options_the_settings_are_told(files: Path, tmp_path: Path) -> None:
    """Each day tells by which users and window it was made, whoever asked for them."""
    settings = settings_of(files, tmp_path, excluded_users="svc-*,bot@x.example")

    told = fine(settings, LAST)

    assert told["filtered_queries"]["run_excluded_users"] == "svc-*, bot@x.example"
    assert told["popularity_scores"]["run_popularity_window_days"] == 4


def test_nobody_excluded_is_told(files: Path, tmp_path: Path) -> None:
    """One run may count users whom the settings exclude."""
    settings = settings_of(files, tmp_path, excluded_users="*")

    told = fine(settings, LAST, {"excluded_users": []}, None)

    assert told["filtered_queries"]["run_excluded_users"] == "none"
    assert table(settings, DAILY_USAGE, LAST).height > 0


def test_the_cache_can_be_ignored(files: Path, tmp_path: Path) -> None:
    """Every text is parsed anew with the same outcome, and the cache stays as it is."""
    settings = settings_of(files, tmp_path)
    fine(settings)
    cache, usage = (pl.read_delta(f"{tmp_path}/{name}") for name in (CACHE_TABLE, "daily_usage"))

    cached = fine(settings, assets=USAGE)["daily_usage"]
    anew = fine(settings, options={"ignore_cache": True}, assets=USAGE)["daily_usage"]

    assert cached["run_templates_parsed"] == 0
    assert cached["run_templates_from_cache"] > 0
    assert anew["run_templates_parsed"] > 0
    assert_frame_equal(pl.read_delta(f"{tmp_path}/{CACHE_TABLE}"), cache, check_row_order=False)
    assert_frame_equal(table(settings, DAILY_USAGE), usage, check_row_order=False)


@pytest.mark.parametrize(("options", "said"), WRONG, ids=[said[:30] for _, said in WRONG])
def test_a_wrong_value_stops_the_run_before_any_work(
    options: dict[str, object], said: str, files: Path, tmp_path: Path
) -> None:
    """The run fails in words that name the option, before its first step."""
    settings = settings_of(files, tmp_path)

    result = run(settings, options=options)

    assert not result.success
    assert f"Run configuration, resources.{KEY}.config: {said}" in failures(result)
    assert not result.get_step_failure_events()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options", [{"popularity_window_days": "many"}, {"excluded_users": "a"}, {"window": 3}]
)
def test_the_launchpad_refuses_what_is_no_option(
    options: dict[str, object], files: Path, tmp_path: Path
) -> None:
    """Wrong types and unknown names are refused before there is a run."""
    with pytest.raises(dg.DagsterInvalidConfigError):
        run(settings_of(files, tmp_path), options=options)


def test_the_defaults_are_the_settings() -> None:
    """What a run does not set is as the settings say, one option by one."""
    settings = load_settings(excluded_users="a,b", popularity_window_days=7)
    fields = type(mining_options(settings)).to_fields_dict()

    assert {name: field.default_value for name, field in fields.items()} == {
        "excluded_users": ["a", "b"],
        "popularity_window_days": 7,
        "ignore_cache": False,
    }
    assert all(field.description for field in fields.values())


def test_names_are_trimmed() -> None:
    """A blank around a name is no part of it."""
    assert MiningOptions(excluded_users=[" a@x.example "]).excluded_users == ["a@x.example"]


def test_a_wrong_option_of_a_caller_is_told() -> None:
    """The same words come without a run."""
    with pytest.raises(SettingsError, match="Allowed are 1 to 30 days"):
        MiningOptions(popularity_window_days=31)
