"""What Dagster sees: assets, their days and windows, jobs and resources."""

import os
import subprocess
import sys
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import dagster as dg
import pytest

from dbminer_dagster.assets.guides import GUIDES
from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.mining.lineage import history_days
from dbminer_dagster.schemas import TABLES
from dbminer_dagster.settings import ExtractionMethod, load_settings
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.pipeline import FIRST_DAY, JOB

SECRETS = {
    "DATABRICKS_TOKEN": "dapi-secret-one",
    "DATABRICKS_CLIENT_SECRET": "secret-two",
    "ARM_CLIENT_SECRET": "secret-three",
    "AWS_SECRET_ACCESS_KEY": "secret-four",
    "DBMINER_ALERT_WEBHOOK_URL": "https://hooks.example/secret-five",
}
GROUPS = {
    "raw": {
        "raw_query_history", "raw_table_lineage", "raw_column_lineage", "known_tables",
        "warehouse_costs",
    },
    "lineage": {"table_rebuilds", "table_lineage", "column_lineage"},
    "usage": {"filtered_queries", "query_references", "daily_usage"},
    "popularity": {"popularity_scores", "popularity_report"},
}  # fmt: skip
EDGES = {
    "raw_query_history": {"databricks_query_history"},
    "raw_table_lineage": {"databricks_lineage"},
    "raw_column_lineage": {"databricks_lineage"},
    "known_tables": {"databricks_lineage"},
    "warehouse_costs": {"databricks_query_history"},
    "table_rebuilds": {"raw_query_history", "raw_table_lineage", "known_tables"},
    "table_lineage": {"raw_table_lineage", "table_rebuilds", "known_tables"},
    "column_lineage": {
        "raw_column_lineage", "raw_table_lineage", "table_rebuilds", "known_tables",
    },
    "filtered_queries": {"raw_query_history", "warehouse_costs"},
    "query_references": {
        "filtered_queries", "raw_query_history", "raw_column_lineage", "raw_table_lineage",
        "known_tables",
    },
    "daily_usage": {
        "filtered_queries", "raw_query_history", "raw_column_lineage", "raw_table_lineage",
        "known_tables",
    },
    "popularity_scores": {
        "daily_usage", "query_references", "raw_table_lineage", "known_tables",
    },
    "popularity_report": {
        "popularity_scores", "daily_usage", "query_references", "table_lineage", "known_tables",
    },
}  # fmt: skip


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment of a subprocess without any setting but the given ones."""
    ours = ("DBMINER_", "DATABRICKS_", "ARM_", "DAGSTER_")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return inherited | variables


def python(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        env=clean_environment(**variables),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    """The definitions of default windows from the start date of the tests."""
    settings = load_settings(start_date=FIRST_DAY)
    return build_definitions(settings).get_repository_def()


@pytest.fixture(scope="module")
def specs(repository: dg.RepositoryDefinition) -> dict[str, dg.AssetSpec]:
    """The specs of the result tables by name."""
    graph = repository.asset_graph
    return {
        key.path[-1]: graph.get(key).to_asset_spec()
        for key in graph.materializable_asset_keys
    }  # fmt: skip


def test_definitions_load_without_any_setting(tmp_path: Path) -> None:
    """In an empty environment the definitions load, and say nothing on standard error."""
    loaded = python("from dbminer_dagster.definitions import defs", tmp_path)

    assert loaded.returncode == 0
    assert loaded.stderr == ""


@pytest.mark.parametrize(
    ("lineage", "history"), list(product(ExtractionMethod, [None, *ExtractionMethod]))
)
def test_definitions_load_for_every_method(
    lineage: ExtractionMethod, history: ExtractionMethod | None
) -> None:
    """Whatever the methods and without their settings, the definitions are loadable."""
    settings = load_settings(lineage_method=lineage, query_history_method=history)

    dg.Definitions.validate_loadable(build_definitions(settings))


@pytest.mark.parametrize(
    "setting",
    [
        {"calculate_popularity": False},
        {"schedule": "hourly"},
        {"schedule": "*/5 1 * * 1-5"},
        {"lag_days": 7},
        {"popularity_window_days": 1, "lineage_window_days": 1},
        {"lineage_window_days": 365},
        {"storage_uri": "s3://bucket/prefix", "offline_uri": "s3://bucket"},
    ],
)
def test_definitions_load_for_every_setting(setting: dict[str, object]) -> None:
    """Each setting at its limits leaves the definitions loadable."""
    dg.Definitions.validate_loadable(build_definitions(load_settings(**setting)))


def test_every_result_table_is_an_asset(specs: dict[str, dg.AssetSpec]) -> None:
    """The assets are exactly the result tables and the report, each in its group."""
    groups: dict[str, set[str]] = {}
    for name, spec in specs.items():
        groups.setdefault(spec.group_name or "", set()).add(name)

    assert specs.keys() == {*TABLES, "popularity_report"}
    assert groups == GROUPS


def test_all_assets_share_their_days(
    repository: dg.RepositoryDefinition, specs: dict[str, dg.AssetSpec]
) -> None:
    """Every asset has the same daily UTC partitions and runs any range as one run."""
    expected = dg.DailyPartitionsDefinition(str(FIRST_DAY), timezone="UTC", end_offset=-1)
    policies = {
        repository.asset_graph.get(dg.AssetKey(name)).backfill_policy for name in specs
    }  # fmt: skip

    assert {spec.partitions_def for spec in specs.values()} == {expected}
    assert policies == {dg.BackfillPolicy.single_run()}


@pytest.mark.parametrize("name", TABLES)
def test_an_asset_describes_itself(name: str, specs: dict[str, dg.AssetSpec]) -> None:
    """The page of an asset shows what it is, whose, made with what, and each column."""
    spec, table = specs[name], TABLES[name]
    schema = spec.metadata["dagster/column_schema"]

    assert (spec.description or "").split("\n\n") == [table.description, str(GUIDES[name])]
    assert list(spec.owners) == ["team:data-platform"]
    assert spec.kinds == {"databricks", "polars", "deltalake"}
    assert spec.metadata["dagster/uri"] == str(Path("dbminer_data").absolute() / name)
    for shown, column in zip(schema.columns, table.columns, strict=True):
        assert shown.name == column.name
        assert (shown.description or "").startswith(column.description)
        assert shown.type


def test_a_list_of_rows_names_its_fields(specs: dict[str, dg.AssetSpec]) -> None:
    """Its short type does not tell them, so its description does."""
    columns = specs["popularity_scores"].metadata["dagster/column_schema"].columns
    descriptions = {column.name: column.description for column in columns}

    assert descriptions["top_users"].endswith("Fields: `user_name`, `read_count`, `last_read_at`.")
    assert "Fields" not in descriptions["read_count"]


def test_personal_tables_are_tagged(specs: dict[str, dg.AssetSpec]) -> None:
    """Tags tell which tables hold texts of queries or names of users, in lists too."""
    tags = {
        name: {tag for tag in spec.tags if tag.startswith("holds")} for name, spec in specs.items()
    }

    assert tags["raw_query_history"] == {"holds_query_texts", "holds_user_names"}
    assert tags["popularity_scores"] == {"holds_query_texts", "holds_user_names"}
    assert tags["query_references"] == {"holds_query_texts"}
    assert tags["daily_usage"] == {"holds_user_names"}
    assert tags["table_lineage"] == set()


def test_owners_are_a_setting() -> None:
    """All assets, the sources and the report too, have the owners that the settings name."""
    owners = ["team:finance", "ana@example.com"]
    graph = build_definitions(load_settings(owners=",".join(owners))).resolve_asset_graph()

    assert [key for key in graph.get_all_asset_keys() if graph.get(key).owners != owners] == []


def test_a_table_in_a_bucket_has_its_address() -> None:
    """The link of an asset is that of its table in the bucket."""
    graph = build_definitions(load_settings(storage_uri="s3://bucket/a/")).resolve_asset_graph()

    assert (
        graph.get(dg.AssetKey("daily_usage")).metadata["dagster/uri"] == "s3://bucket/a/daily_usage"
    )


def test_column_types_are_short(specs: dict[str, dg.AssetSpec]) -> None:
    """A type is shown without its fields and units."""
    columns = specs["popularity_scores"].metadata["dagster/column_schema"].columns
    types = {column.name: column.type for column in columns}

    assert types["top_users"] == "List(Struct)"
    assert types["last_read_at"] == "Datetime (UTC)"
    assert types["read_count"] == "Int64"


def test_assets_depend_on_what_they_read(
    repository: dg.RepositoryDefinition, specs: dict[str, dg.AssetSpec]
) -> None:
    """The asset graph has exactly the edges of the design."""
    parents = {
        name: {key.path[-1] for key in repository.asset_graph.get(dg.AssetKey(name)).parent_keys}
        for name in specs
    }

    assert parents == EDGES


@pytest.mark.parametrize(
    ("asset", "upstream", "days"),
    [
        ("filtered_queries", "raw_query_history", 1),
        ("daily_usage", "raw_query_history", 2),
        ("daily_usage", "raw_table_lineage", 90),
        ("table_rebuilds", "raw_query_history", 2),
        ("table_rebuilds", "raw_table_lineage", 90),
        ("popularity_scores", "daily_usage", 30),
        ("popularity_scores", "query_references", 30),
        ("popularity_scores", "raw_table_lineage", 90),
        ("table_lineage", "raw_table_lineage", history_days(90)),
        ("column_lineage", "table_rebuilds", history_days(90)),
        ("column_lineage", "raw_table_lineage", history_days(90)),
        ("column_lineage", "known_tables", 1),
        ("daily_usage", "known_tables", 1),
    ],
)
def test_an_asset_reads_its_trailing_window(
    asset: str, upstream: str, days: int, specs: dict[str, dg.AssetSpec]
) -> None:
    """A day needs that many days up to itself; at the start date, the days that there are."""
    later = FIRST_DAY + timedelta(days=300)

    assert mapped_days(specs, asset, upstream, later) == list(Window.trailing(later, days))
    assert mapped_days(specs, asset, upstream, FIRST_DAY) == [FIRST_DAY]
    reach = min(days, 4)
    fourth = FIRST_DAY + timedelta(days=3)
    assert mapped_days(specs, asset, upstream, fourth) == list(Window.trailing(fourth, reach))


def mapped_days(specs: dict[str, dg.AssetSpec], asset: str, upstream: str, day: date) -> list[date]:
    (dependency,) = [dep for dep in specs[asset].deps if dep.asset_key.path[-1] == upstream]
    mapping = dependency.partition_mapping or dg.TimeWindowPartitionMapping()
    days = specs[asset].partitions_def
    assert days is not None
    found = mapping.get_upstream_mapped_partitions_result_for_partitions(
        days.subset_with_partition_keys([str(day)]),
        days,
        days,
        current_time=Window.of_day(day + timedelta(days=30)).end_time,
    )
    keys = found.partitions_subset.get_partition_keys()
    return [date.fromisoformat(key) for key in keys]


def test_jobs_select_what_their_names_say() -> None:
    """`mine_lineage` mines lineage from its source on; the other job mines every table."""
    definitions = build_definitions(load_settings())
    selected = {
        name: {
            key.path[-1]
            for key in definitions.resolve_job_def(name).asset_layer.executable_asset_keys
        }
        for name in ("mine_lineage", JOB)
    }

    assert selected[JOB] == {*TABLES, "popularity_report"}
    assert "table_lineage" in selected["mine_lineage"]
    assert not selected["mine_lineage"] & GROUPS["usage"]


def test_an_asset_of_a_snapshot_says_what_it_cannot_know() -> None:
    """Over REST the raw lineage assets tell what a backfill of an old day finds."""
    for method, says_so in (("rest_api", True), ("system_table", False)):
        graph = build_definitions(load_settings(lineage_method=method)).resolve_asset_graph()
        for name in ("raw_table_lineage", "raw_column_lineage"):
            description = graph.get(dg.AssetKey(name)).description or ""
            assert ("A backfill of an old day finds" in description) is says_so


def test_secrets_stay_out_of_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret of the environment shows in any definition, resource or run configuration."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(offline_uri="s3://bucket/x", storage_uri="s3://bucket/y")
    definitions = build_definitions(settings)
    job = definitions.resolve_job_def(JOB)

    shown = repr((settings, definitions, definitions.resources, vars(job), job.run_config_schema))
    shown += repr([vars(resource) for resource in (definitions.resources or {}).values()])

    assert [value for value in SECRETS.values() if value in shown] == []


@pytest.mark.parametrize("module", ["dbminer_dagster.cli", "dbminer_dagster.mining.parse_pool"])
def test_worker_processes_do_without_dagster(module: str, tmp_path: Path) -> None:
    """What a parser process imports does not import Dagster, which takes a second."""
    script = f"import sys, {module}; sys.exit('dagster' in sys.modules)"

    assert python(script, tmp_path, DBMINER_SCHEDULE="daily").returncode == 0


def test_loading_does_without_the_clients_of_databricks(tmp_path: Path) -> None:
    """Definitions load without the SDK and the SQL connector, which take seconds and memory."""
    script = (
        "import sys, dbminer_dagster.definitions; "
        "sys.exit(bool({'databricks.sdk', 'databricks.sql'} & sys.modules.keys()))"
    )

    assert python(script, tmp_path, DBMINER_SCHEDULE="daily").returncode == 0
