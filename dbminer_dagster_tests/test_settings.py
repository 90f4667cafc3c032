"""Settings: the documented variables, and one line for each wrong value."""

import os
from datetime import date
from pathlib import Path

import pytest

from dbminer_dagster.errors import SettingsError
from dbminer_dagster.settings import (
    AuthType,
    Engine,
    ExtractionMethod,
    Settings,
    load_settings,
    variables,
)

DEFAULTS: dict[str, object] = {
    "DBMINER_LINEAGE_METHOD": "system_table",
    "DBMINER_QUERY_HISTORY_METHOD": None,
    "DBMINER_START_DATE": date(2026, 1, 1),
    "DBMINER_LAG_DAYS": 2,
    "DBMINER_SCHEDULE": "daily",
    "DBMINER_CALCULATE_POPULARITY": True,
    "DBMINER_POPULARITY_WINDOW_DAYS": 30,
    "DBMINER_SCORED_USES": ("select", "cached"),
    "DBMINER_LINEAGE_WINDOW_DAYS": 90,
    "DBMINER_EXCLUDED_USERS": (),
    "DBMINER_EXCLUDED_CATALOGS": ("system", "samples", "hive_metastore", "__databricks_internal"),
    "DBMINER_WAREHOUSE_ID": None,
    "DBMINER_LINEAGE_CATALOG": "system",
    "DBMINER_LINEAGE_SCHEMA": "access",
    "DBMINER_QUERY_HISTORY_CATALOG": "system",
    "DBMINER_QUERY_HISTORY_SCHEMA": "query",
    "DBMINER_OFFLINE_URI": None,
    "DBMINER_OFFLINE_MAX_BAD_LINES": 0,
    "DBMINER_REST_TABLES_PER_SECOND": 50,
    "DBMINER_REST_COLUMNS_PER_SECOND": 10,
    "DBMINER_REST_MAX_REQUESTS": None,
    "DBMINER_WORK_FOLDER": "./dbminer_work",
    "DBMINER_STORAGE_URI": "./dbminer_data",
    "DBMINER_REPORTS_URL": None,
    "DBMINER_OWNERS": ("team:data-platform",),
    "DBMINER_ENGINE": "polars",
    "DBMINER_SPARK_REMOTE": None,
    "DBMINER_S3_REGION": None,
    "DBMINER_S3_ENDPOINT_URL": None,
    "DBMINER_ALERT_WEBHOOK_URL": None,
    "DBMINER_WEBSERVER_URL": None,
    "DATABRICKS_HOST": None,
    "DATABRICKS_AUTH_TYPE": None,
    "DATABRICKS_TOKEN": None,
    "DATABRICKS_CLIENT_ID": None,
    "DATABRICKS_CLIENT_SECRET": None,
    "ARM_TENANT_ID": None,
    "ARM_CLIENT_ID": None,
    "ARM_CLIENT_SECRET": None,
    "DATABRICKS_AZURE_RESOURCE_ID": None,
}
"""The interface that users rely on; thresholds of checks may be added to it."""

SECRETS = (
    "DATABRICKS_TOKEN",
    "DATABRICKS_CLIENT_SECRET",
    "ARM_CLIENT_SECRET",
)
WRONG_VALUES = [
    ("DBMINER_LINEAGE_METHOD", "odbc", "'system_table', 'rest_api' or 'offline'"),
    ("DBMINER_QUERY_HISTORY_METHOD", "odbc", "'system_table', 'rest_api' or 'offline'"),
    ("DBMINER_START_DATE", "2026-13-01", "month"),
    ("DBMINER_START_DATE", "20260101", "YYYY-MM-DD"),
    ("DBMINER_LAG_DAYS", "0", "greater than or equal to 1"),
    ("DBMINER_LAG_DAYS", "8", "less than or equal to 7"),
    ("DBMINER_LAG_DAYS", "two", "valid integer"),
    ("DBMINER_SCHEDULE", "sometimes", "a cron line of five fields"),
    ("DBMINER_SCHEDULE", "0 6 * *", "a cron line of five fields"),
    ("DBMINER_SCHEDULE", "61 6 * * *", "a cron line of five fields"),
    ("DBMINER_SCHEDULE", "0 0 6 * * *", "a cron line of five fields"),
    ("DBMINER_CALCULATE_POPULARITY", "maybe", "valid boolean"),
    ("DBMINER_POPULARITY_WINDOW_DAYS", "31", "less than or equal to 30"),
    ("DBMINER_SCORED_USES", "select,writes", "select, cached, pipeline, indirect, cluster"),
    ("DBMINER_SCORED_USES", ",", "select, cached, pipeline, indirect, cluster"),
    ("DBMINER_MINIMUM_WINDOW_COVERAGE", "1.5", "less than or equal to 1"),
    ("DBMINER_LINEAGE_WINDOW_DAYS", "366", "less than or equal to 365"),
    ("DBMINER_OFFLINE_MAX_BAD_LINES", "-1", "greater than or equal to 0"),
    ("DBMINER_REST_TABLES_PER_SECOND", "0", "greater than 0"),
    ("DBMINER_REST_COLUMNS_PER_SECOND", "-1", "greater than 0"),
    ("DBMINER_REST_MAX_REQUESTS", "0", "greater than or equal to 1"),
    ("DBMINER_OFFLINE_URI", "gs://bucket", "s3://bucket/prefix"),
    ("DBMINER_STORAGE_URI", "file:///data", "s3://bucket/prefix"),
    ("DBMINER_REPORTS_URL", "reports.example", "https://HOST/PATH"),
    ("DBMINER_OWNERS", "ana@example.com,finance", "e-mails, and teams as team:name"),
    ("DBMINER_ENGINE", "pandas", "'polars' or 'spark'"),
    ("DBMINER_WEBSERVER_URL", "dagster.example", "https://HOST/PATH"),
    ("DATABRICKS_AUTH_TYPE", "password", "'pat', 'oauth-m2m' or 'azure-client-secret'"),
]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without settings, in an empty folder."""
    for name in [name for name in os.environ if name.startswith("DBMINER_")]:
        monkeypatch.delenv(name)
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def error_of(**overrides: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(**overrides)
    return str(caught.value)


def test_variables_and_defaults_are_the_documented_ones() -> None:
    """Every documented variable exists with its documented default; others are thresholds."""
    found = {str(f.validation_alias): f.default for f in Settings.model_fields.values()}
    added = found.keys() - DEFAULTS.keys()

    assert {name: found.get(name, "missing") for name in DEFAULTS} == DEFAULTS
    assert {name for name in added if not name.startswith("DBMINER_MINIMUM_")} == set()


def test_every_variable_is_described() -> None:
    """Every variable has a sentence that tells its meaning."""
    assert [name for name, text in variables().items() if not text.endswith(".")] == []


@pytest.mark.parametrize(("variable", "value", "allowed"), WRONG_VALUES)
def test_a_wrong_value_gives_one_line(
    variable: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong value gives one line with the variable, the value and what is allowed."""
    monkeypatch.setenv(variable, value)

    message = error_of()

    assert message.startswith(f"{variable}: {value!r} is not allowed: ")
    assert allowed in message
    assert "\n" not in message


def test_several_faults_give_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """All wrong values and misspelt variables are told at once."""
    for name, value in {
        "DBMINER_LAG_DAYS": "9",
        "DBMINER_ENGINE": "pandas",
        "DBMINER_STORAGE_URL": "x",
        "DBMINER_LINAGE_METHOD": "offline",
    }.items():
        monkeypatch.setenv(name, value)

    lines = error_of().splitlines()

    assert sorted(line.split()[0].rstrip(":") for line in lines) == [
        "DBMINER_ENGINE",
        "DBMINER_LAG_DAYS",
        "DBMINER_LINAGE_METHOD",
        "DBMINER_STORAGE_URL",
    ]
    assert any("did you mean DBMINER_LINEAGE_METHOD?" in line for line in lines)


@pytest.mark.parametrize("in_file", [False, True])
def test_a_misspelt_variable_is_refused(
    in_file: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A variable that is almost a setting is refused, in the environment and in `.env`."""
    if in_file:
        (tmp_path / ".env").write_text("DBMINER_LAGDAYS=3\n")
    else:
        monkeypatch.setenv("DBMINER_LAGDAYS", "3")

    assert error_of() == "DBMINER_LAGDAYS is not a setting; did you mean DBMINER_LAG_DAYS?"


def test_a_foreign_variable_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that resembles no setting is not ours to judge."""
    monkeypatch.setenv("DBMINER_BUILD_NUMBER", "7")

    assert load_settings().lag_days == 2


@pytest.mark.parametrize("name", ["ENGINE", "engine", "SCHEDULE", "LAG_DAYS", "STORAGE_URI"])
def test_only_the_documented_names_are_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable called as a field, without our prefix, means nothing."""
    monkeypatch.setenv(name, "nonsense")

    assert load_settings() == Settings()


@pytest.mark.parametrize("variable", SECRETS)
def test_a_secret_is_never_shown(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret shows in no text form of the settings and in no message."""
    monkeypatch.setenv(variable, "hush-hush")

    settings = load_settings()
    monkeypatch.setenv("DBMINER_LAG_DAYS", "9")

    assert "hush" not in f"{settings} {settings!r} {settings.model_dump()} {error_of()}"


def test_a_secret_of_a_wrong_type_is_not_shown() -> None:
    """Even a secret that is no text stays out of the message."""
    message = error_of(databricks_token=["hush-hush"])

    assert message.startswith("DATABRICKS_TOKEN: the value is not allowed")
    assert "hush" not in message


@pytest.mark.parametrize("given", ["https://hooks.example/hush-hush", "hush-hush", "ftp://hush"])
def test_the_address_of_a_webhook_is_not_shown(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who knows the address of the webhook may post to it: it is shown neither right nor wrong."""
    monkeypatch.setenv("DBMINER_ALERT_WEBHOOK_URL", given)
    monkeypatch.setenv("DBMINER_LAG_DAYS", "9")
    message = error_of()
    monkeypatch.delenv("DBMINER_LAG_DAYS")

    shown = f"{load_settings()!r}" if given.startswith("https") else error_of()

    assert "hush" not in message + shown
    assert ("DBMINER_ALERT_WEBHOOK_URL: the value" in message) is not given.startswith("https")


def test_the_token_of_a_wrong_address_is_not_shown() -> None:
    """The address of Spark may hold a token, and is not shown when it is refused."""
    message = error_of(engine="spark", spark_remote="host:443/;token=hush-hush")

    assert message.startswith("DBMINER_SPARK_REMOTE: the value is not allowed")
    assert "sc://" in message
    assert "hush" not in message


def test_the_environment_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Values come from `.env`, the environment wins over it, and overrides over both."""
    (tmp_path / ".env").write_text(
        "DBMINER_LAG_DAYS=3\nDBMINER_SCHEDULE=weekly\nDBMINER_ENGINE=polars\nOTHER=1\n"
    )
    monkeypatch.setenv("DBMINER_LAG_DAYS", "4")
    monkeypatch.setenv("DBMINER_LINEAGE_WINDOW_DAYS", "10")

    settings = load_settings(lineage_window_days=20)

    assert (settings.lag_days, settings.schedule) == (4, "weekly")
    assert settings.lineage_window_days == 20


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable counts as not given."""
    monkeypatch.setenv("DBMINER_LAG_DAYS", "")

    assert load_settings().lag_days == 2


def test_lists_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are comma-separated; spaces around items and empty items do not matter."""
    monkeypatch.setenv("DBMINER_EXCLUDED_USERS", " a@x.com, svc-*@x.com ,,")

    assert load_settings().excluded_users == ("a@x.com", "svc-*@x.com")


@pytest.mark.parametrize(
    ("schedule", "cron"),
    [
        ("hourly", "0 * * * *"),
        ("daily", "0 6 * * *"),
        ("weekly", "0 6 * * 1"),
        ("monthly", "0 6 1 * *"),
        ("*/15 8-18 * * MON-FRI", "*/15 8-18 * * MON-FRI"),
    ],
)
def test_schedule_becomes_a_cron_line(schedule: str, cron: str) -> None:
    """A cadence has its cron line, and a cron line stays as it is."""
    assert load_settings(schedule=schedule).cron_schedule == cron


def test_spark_needs_an_address() -> None:
    """The engine `spark` without the address of its server fails at load, and names the setting."""
    assert "DBMINER_SPARK_REMOTE=sc://" in error_of(engine="spark")
    assert load_settings(engine="spark", spark_remote="sc://host").engine is Engine.SPARK


def test_query_history_method_follows_lineage() -> None:
    """Query history is read as lineage is, unless its own method is set."""
    method = ExtractionMethod.OFFLINE

    assert load_settings(lineage_method=method).query_history_extraction_method == method
    both = load_settings(lineage_method=method, query_history_method="rest_api")
    assert both.query_history_extraction_method == ExtractionMethod.REST_API


def test_newest_minable_day_has_rested() -> None:
    """The newest minable day is today without the lag."""
    assert load_settings(lag_days=3).newest_minable_day(date(2026, 1, 10)) == date(2026, 1, 7)


def test_auth_type_is_as_the_sdk_spells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ways to sign in are spelled as in the Databricks SDK."""
    monkeypatch.setenv("DATABRICKS_AUTH_TYPE", "oauth-m2m")

    assert load_settings().databricks_auth_type is AuthType.OAUTH_M2M
