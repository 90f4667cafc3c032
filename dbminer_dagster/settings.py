"""The settings of dbminer: one typed class over the environment and a `.env` file."""

import difflib
import os
import re
from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from dbminer_dagster.errors import SettingsError

CRON_BY_CADENCE = {
    "hourly": "0 * * * *",
    "daily": "0 6 * * *",
    "weekly": "0 6 * * 1",
    "monthly": "0 6 1 * *",
}


CRON_FIELDS = 5
USES = ("select", "cached", "pipeline", "indirect", "cluster")
"""What a score can count, see `DBMINER_SCORED_USES`."""
LONGEST_POPULARITY_WINDOW_DAYS = 30
ENV_FILE = ".env"


class ExtractionMethod(StrEnum):
    """How lineage or query history is read."""

    SYSTEM_TABLE = "system_table"
    REST_API = "rest_api"
    OFFLINE = "offline"


class AuthType(StrEnum):
    """How dbminer signs in to the workspace, in the words of the Databricks SDK."""

    PAT = "pat"
    OAUTH_M2M = "oauth-m2m"
    AZURE_CLIENT_SECRET = "azure-client-secret"  # noqa: S105 - the name of a method


class Engine(StrEnum):
    """What runs the heavy frame steps."""

    POLARS = "polars"
    SPARK = "spark"


def _split_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


def _check_schedule(value: str) -> str:
    if value in CRON_BY_CADENCE:
        return value
    if len(value.split()) != CRON_FIELDS or not _is_cron(value):
        allowed = ", ".join(CRON_BY_CADENCE)
        raise ValueError(f"allowed are {allowed}, or a cron line of five fields")
    return value


def _is_cron(line: str) -> bool:
    # Worker processes import this module through the command, and need no Dagster.
    import dagster as dg

    try:
        dg.ScheduleDefinition(name="probe", job_name="probe", cron_schedule=line)
    except dg.DagsterInvalidDefinitionError:
        return False
    return True


def _check_date(value: object) -> object:
    """Pydantic would take `20260101` for seconds since 1970."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) is None:
        raise ValueError("allowed is a date as YYYY-MM-DD")
    return value


def _check_uri(value: str) -> str:
    """Anything else would become a local folder of that name."""
    if "://" in value and not value.startswith("s3://"):
        raise ValueError("allowed are a local folder and s3://bucket/prefix")
    return value


def _check_uses(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or not set(value) <= set(USES):
        raise ValueError(f"allowed are one or more of {', '.join(USES)}")
    return value


def _check_owners(value: tuple[str, ...]) -> tuple[str, ...]:
    """As Dagster has them: else the code location would not load."""
    for owner in value:
        if not re.fullmatch(r"team:[\w.-]+|[^@\s]+@[^@\s]+\.[^@\s]+", owner):
            raise ValueError("allowed are e-mails, and teams as team:name")
    return value


def _check_remote(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith("sc://"):
        raise ValueError("allowed is a Spark Connect address, sc://HOST:PORT")
    return value


def _check_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("allowed is an address, https://HOST/PATH")
    return value.rstrip("/")


def _check_secret_url(value: SecretStr) -> SecretStr:
    _check_url(value.get_secret_value())
    return value


Uri = Annotated[str, AfterValidator(_check_uri)]
CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_list)]


def _setting(name: str, default: Any, description: str, **limits: Any) -> Any:
    """A field read from the variable `name`; the description feeds the README's table."""
    return Field(default=default, validation_alias=name, description=description, **limits)


class Settings(BaseSettings):
    """Every setting, from the environment or `.env` (the environment wins).

    A setting that only another extraction method needs may be missing.
    """

    model_config = SettingsConfigDict(
        env_file=ENV_FILE, env_ignore_empty=True, extra="ignore", frozen=True
    )

    lineage_method: ExtractionMethod = _setting(
        "DBMINER_LINEAGE_METHOD",
        ExtractionMethod.SYSTEM_TABLE,
        "How lineage is read: `system_table`, `rest_api` or `offline`.",
    )
    query_history_method: ExtractionMethod | None = _setting(
        "DBMINER_QUERY_HISTORY_METHOD",
        None,
        "How query history is read: the same three; unset, as lineage.",
    )
    start_date: Annotated[date, BeforeValidator(_check_date)] = _setting(
        "DBMINER_START_DATE",
        date(2026, 1, 1),
        "First day (UTC) that can be mined: a literal date.",
    )
    lag_days: int = _setting(
        "DBMINER_LAG_DAYS",
        2,
        "Days that a day rests before it may be mined; 1 to 7.",
        ge=1,
        le=7,
    )
    schedule: Annotated[str, BeforeValidator(_check_schedule)] = _setting(
        "DBMINER_SCHEDULE",
        "daily",
        "`hourly`, `daily`, `weekly`, `monthly`, or a cron line of five fields (UTC).",
    )
    calculate_popularity: bool = _setting(
        "DBMINER_CALCULATE_POPULARITY", True, "`false` mines lineage only."
    )
    popularity_window_days: int = _setting(
        "DBMINER_POPULARITY_WINDOW_DAYS",
        30,
        "Trailing days that a score looks at, the scored day included; 1 to 30.",
        ge=1,
        le=LONGEST_POPULARITY_WINDOW_DAYS,
    )
    scored_uses: Annotated[CommaSeparated, AfterValidator(_check_uses)] = _setting(
        "DBMINER_SCORED_USES",
        ("select", "cached"),
        "Comma-separated uses that make up reads, users and score: `select`, `cached` (SELECTs "
        "served from the result cache), `pipeline` (sources of INSERT, MERGE, CTAS), `indirect` "
        "(tables under views), `cluster` (lineage without a statement).",
    )
    minimum_window_coverage: float = _setting(
        "DBMINER_MINIMUM_WINDOW_COVERAGE",
        0.5,
        "Share of the popularity window below which its check fails; 0 to 1.",
        ge=0,
        le=1,
    )
    minimum_attribution: float = _setting(
        "DBMINER_MINIMUM_ATTRIBUTION",
        0.8,
        "Share of statements that must be attributed for its check to pass; 0 to 1.",
        ge=0,
        le=1,
    )
    lineage_window_days: int = _setting(
        "DBMINER_LINEAGE_WINDOW_DAYS",
        90,
        "An edge not seen for longer has expired; 1 to 365.",
        ge=1,
        le=365,
    )
    excluded_users: CommaSeparated = _setting(
        "DBMINER_EXCLUDED_USERS",
        (),
        "Comma-separated user names, e-mails, service-principal ids or globs; case-insensitive.",
    )
    excluded_catalogs: CommaSeparated = _setting(
        "DBMINER_EXCLUDED_CATALOGS",
        ("system", "samples", "hive_metastore", "__databricks_internal"),
        "Comma-separated globs of catalogs whose tables are left out.",
    )
    warehouse_id: str | None = _setting(
        "DBMINER_WAREHOUSE_ID", None, "SQL warehouse that reads the system tables."
    )
    lineage_catalog: str = _setting(
        "DBMINER_LINEAGE_CATALOG", "system", "Catalog of the lineage tables, or of their clone."
    )
    lineage_schema: str = _setting(
        "DBMINER_LINEAGE_SCHEMA", "access", "Schema of the lineage tables, or of their clone."
    )
    query_history_catalog: str = _setting(
        "DBMINER_QUERY_HISTORY_CATALOG", "system", "Catalog of the query history, or of its clone."
    )
    query_history_schema: str = _setting(
        "DBMINER_QUERY_HISTORY_SCHEMA", "query", "Schema of the query history, or of its clone."
    )
    offline_uri: Uri | None = _setting(
        "DBMINER_OFFLINE_URI",
        None,
        "Folder or `s3://bucket/prefix` that holds `extracted-lineage/` and "
        "`extracted-query-history/`.",
    )
    offline_max_bad_lines: int = _setting(
        "DBMINER_OFFLINE_MAX_BAD_LINES",
        0,
        "Bad lines that one extraction tolerates; each is reported.",
        ge=0,
    )
    rest_tables_per_second: float = _setting(
        "DBMINER_REST_TABLES_PER_SECOND",
        50,
        "Table-lineage requests a second that the method `rest_api` sends at most.",
        gt=0,
    )
    rest_columns_per_second: float = _setting(
        "DBMINER_REST_COLUMNS_PER_SECOND", 10, "The same for column lineage.", gt=0
    )
    rest_max_requests: int | None = _setting(
        "DBMINER_REST_MAX_REQUESTS",
        None,
        "Lineage requests that one run may send, repeated ones aside; the next run goes on from "
        "there.",
        ge=1,
    )
    work_folder: str = _setting(
        "DBMINER_WORK_FOLDER",
        "./dbminer_work",
        "Local folder that keeps what the method `rest_api` and `dbminer extract` were answered, "
        "until they have ended.",
    )
    storage_uri: Uri = _setting(
        "DBMINER_STORAGE_URI",
        "./dbminer_data",
        "Folder or `s3://bucket/prefix` of the result tables.",
    )
    reports_url: Annotated[str, AfterValidator(_check_url)] | None = _setting(
        "DBMINER_REPORTS_URL",
        None,
        "Web address at which the folder `reports` beside the result tables is served; the UI then "
        "links to the popularity report.",
    )
    owners: Annotated[CommaSeparated, AfterValidator(_check_owners)] = _setting(
        "DBMINER_OWNERS",
        ("team:data-platform",),
        "Comma-separated owners of all assets in the UI: e-mails, or teams as `team:name`.",
    )
    engine: Engine = _setting(
        "DBMINER_ENGINE", Engine.POLARS, "What runs the heavy steps: `polars` or `spark`."
    )
    spark_remote: Annotated[SecretStr, AfterValidator(_check_remote)] | None = _setting(
        "DBMINER_SPARK_REMOTE",
        None,
        "Spark Connect address, for the engine `spark`.",
    )
    s3_region: str | None = _setting(
        "DBMINER_S3_REGION", None, "Region of the buckets; unset, as AWS finds it."
    )
    s3_endpoint_url: str | None = _setting(
        "DBMINER_S3_ENDPOINT_URL", None, "Endpoint of an S3-compatible store."
    )
    alert_webhook_url: Annotated[SecretStr, AfterValidator(_check_secret_url)] | None = _setting(
        "DBMINER_ALERT_WEBHOOK_URL",
        None,
        "Webhook (Slack or the like) that `run_failure_alert` posts to; the address is a secret.",
    )
    webserver_url: Annotated[str, AfterValidator(_check_url)] | None = _setting(
        "DBMINER_WEBSERVER_URL",
        None,
        "Address of the Dagster UI, for the links in alerts.",
    )
    databricks_host: str | None = _setting("DATABRICKS_HOST", None, "URL of the workspace.")
    databricks_auth_type: AuthType | None = _setting(
        "DATABRICKS_AUTH_TYPE",
        None,
        "`pat`, `oauth-m2m` or `azure-client-secret`; unset, found from what is set.",
    )
    databricks_token: SecretStr | None = _setting(
        "DATABRICKS_TOKEN", None, "Personal access token."
    )
    databricks_client_id: str | None = _setting(
        "DATABRICKS_CLIENT_ID", None, "OAuth service principal: application id."
    )
    databricks_client_secret: SecretStr | None = _setting(
        "DATABRICKS_CLIENT_SECRET", None, "OAuth service principal: secret."
    )
    arm_tenant_id: str | None = _setting(
        "ARM_TENANT_ID", None, "Azure service principal: tenant id."
    )
    arm_client_id: str | None = _setting(
        "ARM_CLIENT_ID", None, "Azure service principal: application id."
    )
    arm_client_secret: SecretStr | None = _setting(
        "ARM_CLIENT_SECRET", None, "Azure service principal: secret."
    )
    databricks_azure_resource_id: str | None = _setting(
        "DATABRICKS_AZURE_RESOURCE_ID", None, "Azure resource id of the workspace."
    )

    @model_validator(mode="after")
    def _check_engine(self) -> "Settings":
        if self.engine is Engine.SPARK and not self.spark_remote:
            raise ValueError("DBMINER_ENGINE=spark needs DBMINER_SPARK_REMOTE=sc://HOST:PORT")
        return self

    @property
    def spark_address(self) -> str | None:
        """Where the engine `spark` is; without the options, which may hold a token."""
        if self.engine is not Engine.SPARK or self.spark_remote is None:
            return None
        return self.spark_remote.get_secret_value().partition(";")[0]

    @property
    def query_history_extraction_method(self) -> ExtractionMethod:
        """The method for query history: its own, else that of lineage."""
        return self.query_history_method or self.lineage_method

    @property
    def cron_schedule(self) -> str:
        """The five-field cron line of the mining schedule, in UTC."""
        return CRON_BY_CADENCE.get(self.schedule, self.schedule)

    def newest_minable_day(self, today: date) -> date:
        """The newest day that has rested for `lag_days` when it is `today` in UTC."""
        return today - timedelta(days=self.lag_days)


def variables() -> dict[str, str]:
    """Each variable that dbminer reads, with its meaning."""
    return {
        str(field.validation_alias): field.description or ""
        for field in Settings.model_fields.values()
    }


def load_settings(**overrides: Any) -> Settings:
    """Reads the settings.

    Args:
        **overrides: Values by field name that win over the environment.

    Raises:
        SettingsError: One line for each wrong value: the variable, the value (never a secret)
            and what is allowed; and one for each `DBMINER_` variable that is almost one of ours.
    """
    # Fields are filled by alias only: by name, a variable called `ENGINE` would count as well.
    values = {_variable(name): value for name, value in overrides.items()}
    faults = _misspelt_variables()
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError("\n".join([*faults, *map(_explain, error.errors())])) from None
    if faults:
        raise SettingsError("\n".join(faults))
    return settings


def _variable(field: str) -> str:
    return str(Settings.model_fields[field].validation_alias)


def _misspelt_variables() -> list[str]:
    known = variables()
    given = os.environ.keys() | dotenv_values(ENV_FILE).keys()
    faults = []
    for name in sorted(given - known.keys()):
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
        if close and name.startswith("DBMINER_"):
            faults.append(f"{name} is not a setting; did you mean {close[0]}?")
    return faults


def _secret_variables() -> set[str]:
    return {
        str(field.validation_alias)
        for field in Settings.model_fields.values()
        if "SecretStr" in str(field.annotation)
    }


def _explain(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    variable = str(error["loc"][0])
    shown = "the value" if variable in _secret_variables() else repr(error["input"])
    return f"{variable}: {shown} is not allowed: {message}. {variables().get(variable, '')}"
