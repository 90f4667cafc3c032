"""Preflight in Dagster: the checks on the sources, their job, and the guards of the raw assets."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sample_generator import generate

from dbminer_dagster.assets.guard import raise_if_failed
from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.preflight.descriptions import DESCRIPTIONS
from dbminer_dagster.preflight.model import Answer, Finding, Probe, Source, Stage, Status
from dbminer_dagster.settings import ExtractionMethod, Settings, load_settings
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.pipeline import FIRST_DAY, JOB, Pipeline, failures
from dbminer_dagster_tests.preflight_runs import NAMES, load_rows, settings_of

ASSETS = {Source.LINEAGE: "databricks_lineage", Source.QUERY_HISTORY: "databricks_query_history"}
ADVICE = {
    *("source_is_fresh", "statement_text_visible", "billing_readable", "other_users_visible"),
}
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def run(settings: Settings, job: str = "preflight", **arguments: Any) -> dg.ExecuteInProcessResult:
    definitions = build_definitions(settings)
    with dg.DagsterInstance.ephemeral() as instance:
        return definitions.resolve_job_def(job).execute_in_process(
            instance=instance, raise_on_error=False, **arguments
        )


def checks(result: dg.ExecuteInProcessResult, source: Source) -> dict[str, dg.AssetCheckEvaluation]:
    return {
        found.check_name: found
        for found in result.get_asset_check_evaluations()
        if found.asset_key == dg.AssetKey(ASSETS[source])
    }


def without_history(emulator: Emulator) -> Settings:
    """Settings for a workspace in which only the query history may not be read."""
    load_rows(emulator)
    workspace = emulator.workspace
    workspace.revoke("USE SCHEMA", "SCHEMA", "system.query", to=workspace.user)
    return settings_of(emulator)


def test_the_job_asks_every_check(databricks_emulator: Emulator) -> None:
    """In a complete workspace the job passes every check of both sources."""
    load_rows(databricks_emulator)

    result = run(settings_of(databricks_emulator))

    assert result.success
    for source, names in NAMES.items():
        found = checks(result, source)
        assert sorted(found) == sorted(names)
        assert all(check.passed for check in found.values())
    assert len(result.get_asset_check_evaluations()) == sum(map(len, NAMES.values()))


def test_a_failed_check_shows_its_remedy(databricks_emulator: Emulator) -> None:
    """A failure is an error whose text and metadata hold the statement that repairs it."""
    result = run(without_history(databricks_emulator))

    found = checks(result, Source.QUERY_HISTORY)["query_history_readable"]
    line = "GRANT USE SCHEMA ON SCHEMA `system`.`query` TO `miner@larkfell.example`;"
    assert not result.success
    assert not found.passed
    assert found.severity is ERROR
    assert "lacks USE SCHEMA on SCHEMA system.query" in (found.description or "")
    assert f"```sql\n{line}\n" in (found.description or "")
    assert f"```sql\n{line}\n" in str(found.metadata["remedy"].value)
    assert "system.query.history" in str(found.metadata["tried"].value)
    assert line in failures(result)
    assert "Traceback" not in str(found.description)


def test_what_was_not_asked_says_why(databricks_emulator: Emulator) -> None:
    """A skipped check does not pass, warns, and names what failed; the other source is asked."""
    result = run(without_history(databricks_emulator))

    history = checks(result, Source.QUERY_HISTORY)
    for name in ("required_columns_present", "source_is_fresh", "statement_text_visible"):
        assert not history[name].passed
        assert history[name].severity is WARN
        assert history[name].description == "Not asked, because query_history_readable failed."
    assert all(check.passed for check in checks(result, Source.LINEAGE).values())


def test_advice_does_not_fail_the_job(databricks_emulator: Emulator) -> None:
    """Checks that only advise warn, and the run succeeds."""
    workspace = databricks_emulator.workspace
    workspace.revoke("SELECT", "SCHEMA", "system.billing", to=workspace.user)

    result = run(settings_of(databricks_emulator))

    assert result.success, failures(result)
    for source in Source:
        found = {name: check for name, check in checks(result, source).items() if not check.passed}
        assert found.keys() == ADVICE & set(NAMES[source])
        assert {check.severity for check in found.values()} == {WARN}


def test_a_check_executed_alone_tells_what_stops_it(databricks_emulator: Emulator) -> None:
    """When only one check is executed, the failure of what it needs is its failure."""
    key = dg.AssetCheckKey(dg.AssetKey(ASSETS[Source.QUERY_HISTORY]), "source_is_fresh")
    definitions = build_definitions(without_history(databricks_emulator))
    job = dg.define_asset_job("one", selection=dg.AssetSelection.checks(key))

    with dg.DagsterInstance.ephemeral() as instance:
        result = (
            dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
            .resolve_job_def("one")
            .execute_in_process(instance=instance, raise_on_error=False)
        )

    (found,) = result.get_asset_check_evaluations()
    assert found.check_name == "source_is_fresh"
    assert found.severity is ERROR
    assert "GRANT USE SCHEMA" in (found.description or "")


def materialize(settings: Settings, asset: str) -> dg.ExecuteInProcessResult:
    """What a click on *Materialize* does: the asset alone, without what lies upstream."""
    definitions = build_definitions(settings)
    with dg.DagsterInstance.ephemeral() as instance:
        return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(asset)],
            partition_key=str(FIRST_DAY),
            raise_on_error=False,
        )


@pytest.mark.parametrize(
    ("asset", "schema"),
    [
        ("raw_query_history", "system.query"),
        ("raw_table_lineage", "system.access"),
        ("raw_column_lineage", "system.access"),
        ("known_tables", "system.access"),
    ],
)
def test_a_raw_asset_asks_before_it_extracts(
    databricks_emulator: Emulator, tmp_path: Path, asset: str, schema: str
) -> None:
    """Materialised alone, a raw asset fails by its preflight and reads nothing."""
    workspace = databricks_emulator.workspace
    workspace.revoke("SELECT", "SCHEMA", schema, to=workspace.user)
    settings = settings_of(
        databricks_emulator, storage_uri=str(tmp_path / "storage"), start_date=FIRST_DAY
    )

    result = materialize(settings, asset)

    (failure,) = result.get_step_failure_events()
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert "so nothing was read" in (data.description or "")
    assert f"GRANT SELECT ON TABLE `system`.`{schema.split('.')[1]}`" in (data.description or "")
    assert data.metadata.keys() < DESCRIPTIONS.keys()
    assert not (tmp_path / "storage" / asset).exists()


@pytest.mark.parametrize(("left_out", "asks"), [(set(), False), ({"warehouse_usable"}, True)])
def test_a_part_of_the_checks_is_no_preflight(
    databricks_emulator: Emulator, tmp_path: Path, left_out: set[str], *, asks: bool
) -> None:
    """A raw asset asks unless every check that blocks is in its run; advice makes no difference."""
    settings = settings_of(
        databricks_emulator, storage_uri=str(tmp_path / "storage"), start_date=FIRST_DAY
    )
    names = set(NAMES[Source.LINEAGE]) - ADVICE - left_out
    keys = [dg.AssetCheckKey(dg.AssetKey(ASSETS[Source.LINEAGE]), name) for name in names]
    selection = dg.AssetSelection.assets("raw_table_lineage") | dg.AssetSelection.checks(*keys)
    job = dg.define_asset_job("some", selection=selection)
    definitions = dg.Definitions.merge(build_definitions(settings), dg.Definitions(jobs=[job]))

    with dg.DagsterInstance.ephemeral() as instance:
        definitions.resolve_job_def("some").execute_in_process(
            instance=instance, partition_key=str(FIRST_DAY), raise_on_error=False
        )

    texts = [each.text for each in databricks_emulator.statements]
    assert texts.count("SELECT 1 AS one") == (2 if asks else 1)


def test_a_failed_preflight_is_not_retried() -> None:
    """What a user has to repair is not tried again by itself."""
    probe = Probe("x", Stage.AUTHORISATION, "try it", lambda: Answer("fine"))
    finding = Finding(probe, Answer("It is gone.", Status.FAILED, "Bring it back."))

    with pytest.raises(dg.Failure) as caught:
        raise_if_failed(Source.LINEAGE, [finding])

    assert caught.value.allow_retries is False
    assert str(caught.value.description).endswith("x: It is gone. Bring it back.")


def test_advice_does_not_stop_a_raw_asset(databricks_emulator: Emulator, tmp_path: Path) -> None:
    """The guard asks nothing that is mere advice."""
    settings = settings_of(
        databricks_emulator, storage_uri=str(tmp_path / "storage"), start_date=FIRST_DAY
    )

    materialize(settings, "raw_query_history")

    assert not [each for each in databricks_emulator.statements if "AS newest" in each.text]


def test_a_run_asks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a job that runs the checks, the raw assets do not ask again."""
    generate(tmp_path / "offline", first_day=FIRST_DAY, days=1, statements_per_day=20, seed=2)
    pipeline = Pipeline(str(tmp_path / "offline"), str(tmp_path / "storage"))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr("dbminer_dagster.assets.guard.preflight", refuse)
    result = pipeline.mine(Window.of_day(FIRST_DAY))

    assert result.success, failures(result)
    assert {found.asset_key.path[-1] for found in result.get_asset_check_evaluations()} >= {
        *ASSETS.values()
    }


def test_a_failed_preflight_stops_the_mining_job(tmp_path: Path) -> None:
    """When a source is not ready, the job of the schedule fails before it extracts."""
    pipeline = Pipeline(str(tmp_path / "nowhere"), str(tmp_path / "storage"))

    result = pipeline.mine(Window.of_day(FIRST_DAY), JOB)

    assert not result.success
    failed = {event.step_key for event in result.get_step_failure_events()}
    assert failed == {"preflight_lineage", "preflight_query_history"}
    assert "nowhere does not exist" in failures(result)


@pytest.mark.parametrize("method", ExtractionMethod)
def test_every_check_says_what_it_proves(method: ExtractionMethod) -> None:
    """Each check has its description, and blocks unless it only advises."""
    settings = load_settings(lineage_method=method)
    graph = build_definitions(settings).get_repository_def().asset_graph

    keys = [key for key in graph.asset_check_keys if key.asset_key.path[-1] in ASSETS.values()]

    assert keys
    for key in keys:
        spec = graph.get_check_spec(key)
        assert spec.description == DESCRIPTIONS[key.name]
        assert spec.blocking is (key.name not in ADVICE)


def test_lineage_only_does_not_ask_for_query_history() -> None:
    """Without popularity nothing reads the query history, so nothing is asked of it."""
    settings = load_settings(calculate_popularity=False)
    definitions = build_definitions(settings)

    graph = definitions.get_repository_def().asset_graph
    names = {key.asset_key.path[-1] for key in graph.asset_check_keys}
    assert ASSETS[Source.LINEAGE] in names
    assert ASSETS[Source.QUERY_HISTORY] not in names
    assert definitions.resolve_job_def("preflight")
    assert definitions.resolve_job_def(JOB)
