"""What the documentation says is what the code does."""

import re
import subprocess
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import click
import dagster as dg
import polars as pl
import pytest
from sample_generator import generate

from dbminer_dagster.assets.guides import GUIDES
from dbminer_dagster.automation import jobs
from dbminer_dagster.checks import freshness
from dbminer_dagster.checks.quality import DESCRIPTIONS
from dbminer_dagster.cli import main
from dbminer_dagster.databricks.connection import Connection
from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.mining.popularity import LEVELS
from dbminer_dagster.preflight import descriptions as preflight
from dbminer_dagster.preflight.model import Source
from dbminer_dagster.preflight.plan import planned
from dbminer_dagster.schedules import schedules
from dbminer_dagster.sensors import sensors
from dbminer_dagster.settings import (
    ENV_FILE,
    AuthType,
    ExtractionMethod,
    Settings,
    load_settings,
    variables,
)
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")],
)
IMAGE_LIMIT_BYTES = 300_000
# Written in parts, so that this file does not name them itself.
REGISTRY_HOSTS = (
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "registry." + "npmjs",
    "deb." + "debian",
)

Row = tuple[str, ...]


def table(header: str, document: str = README) -> list[Row]:
    """The rows of the Markdown table that has this header, such as `Job | What it does`."""
    lines = iter(document.splitlines())
    wanted = tuple(map(str.strip, header.split("|")))
    for line in lines:
        if line.startswith("|") and _cells(line) == wanted:
            next(lines)
            return list(_rows(lines))
    raise AssertionError(f"no table with the header {header}")


def _rows(lines: Iterator[str]) -> Iterator[Row]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield _cells(line)


def _cells(line: str) -> Row:
    cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return tuple(cell.strip().replace("\\|", "|") for cell in cells)


def code(text: object) -> str:
    return f"`{text}`"


def shown_default(value: Any) -> str:
    match value:
        case None:
            return "none"
        case Enum():
            return code(value.value)
        case bool():
            return code(str(value).lower())
        case tuple():
            return code(",".join(value)) if value else "empty"
        case _:
            return code(value)


def blocks(language: str, document: str = README) -> list[str]:
    """The fenced blocks of this language."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", document, re.DOTALL | re.MULTILINE)
    return [content for found, content in fenced if found == language]


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The settings of an empty environment."""
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return load_settings()


@pytest.fixture
def repository(defaults: Settings) -> dg.RepositoryDefinition:
    """The assets and checks of these settings."""
    return build_definitions(defaults).get_repository_def()


def test_settings_table_equals_the_settings() -> None:
    """The README names every setting once, in order, with its default and its meaning."""
    fields = [
        (code(field.validation_alias), shown_default(field.default), str(field.description))
        for field in Settings.model_fields.values()
    ]

    assert table("Variable | Default | Meaning") == fields


def test_assets_table_equals_the_assets(repository: dg.RepositoryDefinition) -> None:
    """The README names every asset once: its group, its rows, the first line of its description."""
    graph = repository.asset_graph
    nodes = [graph.get(key) for key in graph.get_all_asset_keys()]
    found = {
        (code(name), node.group_name, one_row(name), (node.description or "").split("\n")[0])
        for node in nodes
        for name in node.key.path
    }
    rows = table("Asset | Group | One row is | Description")

    assert len(rows) == len(nodes)
    assert set(rows) == found


def one_row(asset: str) -> str:
    return GUIDES[asset].one_row if asset in GUIDES else "(outside)"


def test_checks_table_equals_the_checks(repository: dg.RepositoryDefinition) -> None:
    """The README names every check with all its assets and with what holds when it passes."""
    assets = defaultdict(set)
    for key in repository.asset_graph.asset_check_keys:
        assets[key.name].add(code(key.asset_key.path[-1]))
    rows = table("Check | Assets | It passes when")

    assert {name: set(listed.split(", ")) for name, listed, _ in rows} == {
        code(name): keys for name, keys in assets.items()
    }
    texts = DESCRIPTIONS | freshness.DESCRIPTIONS | preflight.DESCRIPTIONS
    assert {name: text for name, _, text in rows} == {code(name): texts[name] for name in assets}


def test_preflight_table_equals_the_probes() -> None:
    """The README names every check of the other methods, with its method and what holds then."""
    rows = table("Preflight of other methods | Method | It passes when")
    default = {name for name, _, _ in table("Check | Assets | It passes when")}
    found = set()
    for method in (ExtractionMethod.REST_API, ExtractionMethod.OFFLINE):
        settings = load_settings(lineage_method=method, query_history_method=method)
        with planned(settings, list(Source)) as plans:
            names = {code(probe.name) for probes in plans.values() for probe in probes}
        found |= {(name, code(method.value)) for name in names - default}

    assert {(name, method) for name, method, _ in rows} == found
    assert all(text == preflight.DESCRIPTIONS[name.strip("`")] for name, _, text in rows)


def test_jobs_table_equals_the_jobs() -> None:
    """The README names every job with its description."""
    assert table("Job | What it does") == [(code(job.name), job.description) for job in jobs()]


def test_schedules_table_equals_the_schedules(defaults: Settings) -> None:
    """The README names every schedule with its job, its cron line by default, its description."""
    found = [
        (code(each.name), code(each.job_name), code(each.cron_schedule), each.description)
        for each in schedules(defaults)
    ]

    assert table("Schedule | Job | Runs at (UTC) | What it does") == found


def test_sensors_table_equals_the_sensors(defaults: Settings) -> None:
    """The README names every sensor with its job and its description."""
    found = [
        (code(each.name), code(each.job_name) if each.targets else "none", each.description)
        for each in sensors(defaults)
    ]

    assert table("Sensor | Job | What it does") == found


def test_levels_table_equals_the_levels() -> None:
    """The README names the levels and their labels as the scores do."""
    rows = table("Level | Label | Percentile")

    assert [(level, label) for level, label, _ in rows] == [
        (str(level), label) for level, label in enumerate(LEVELS, start=1)
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_exist(document: Path) -> None:
    """Every `make X` in a document is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z][a-z0-9]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    quoted = re.findall(r"(?:`|^)make ([a-z][a-z0-9]*)", document.read_text(), re.MULTILINE)

    assert set(quoted) <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist(document: Path) -> None:
    """Every `dbminer …` command in a document exists, with all the options that it is given."""
    lines = re.findall(
        r"(?:`|bin/)dbminer (\w+)((?: --?[\w-]+(?: [\w:/-]+)?)*)", document.read_text(), re.M
    )

    for command, options in lines:
        assert command in main.commands, command
        parameters = main.commands[command].params
        known = {option for each in parameters for option in (*each.opts, *each.secondary_opts)}
        assert set(re.findall(r"--[\w-]+", options)) <= known, command


def test_readme_lists_every_option() -> None:
    """The README's table of commands names every command with all its options, and no other."""
    rows = table("Command | What it does")
    found = {
        line.strip("`").split()[1]: set(re.findall(r"--[\w-]+", line.split("|")[0]))
        for line, _ in rows
        if line.startswith("`dbminer ")
    }

    assert found == {
        name: {
            option
            for each in command.params
            if isinstance(each, click.Option)
            for option in each.opts
        }
        for name, command in main.commands.items()
    }


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `dbminer_data`, the tables of a few mined days."""
    folder = tmp_path_factory.mktemp("readme")
    generate(folder / "files", first_day=FIRST_DAY, days=3, statements_per_day=40, seed=5)
    pipeline = Pipeline(str(folder / "files"), str(folder / "dbminer_data"))
    pipeline.mined(Window(FIRST_DAY, FIRST_DAY + timedelta(days=3)))
    return folder


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_examples_run(
    mined: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    number: int,
) -> None:
    """Every Python example of the README runs over mined tables and prints a table."""
    monkeypatch.chdir(mined)

    exec(blocks("python")[number], {})  # noqa: S102  # our own README

    assert "│" in capfd.readouterr().out


def test_there_are_examples_for_polars_and_duckdb() -> None:
    """The README shows how to query with Polars and with DuckDB."""
    examples = "".join(blocks("python"))

    assert "import polars" in examples
    assert "import duckdb" in examples


def test_offline_example_can_be_mined(tmp_path: Path) -> None:
    """The README's example of offline files gives the reads and the edges that it tells of."""
    paths = re.findall(r"`(extracted-[a-z-]+/result-0\.json)`:\n\n```json", README)
    for path, content in zip(paths, blocks("json"), strict=True):
        (tmp_path / "files" / path).parent.mkdir(parents=True)
        (tmp_path / "files" / path).write_text(content)
    pipeline = Pipeline(str(tmp_path / "files"), str(tmp_path / "storage"))

    pipeline.mined(Window.of_day(date(2026, 3, 2)))

    scores = pipeline.table("popularity_scores").select("table_name", "column_name", "user_count")
    edges = pipeline.table("table_lineage").sort("source_name")
    assert len(paths) == 2
    assert sorted(scores.rows(), key=str) == [
        ("prod.gold.orders", "amount", 2),
        ("prod.gold.orders", None, 2),
    ]
    assert edges["source_name"].to_list() == ["prod.silver.customers", "prod.silver.orders"]
    assert pipeline.table("column_lineage").select(pl.len()).item() == 2


def test_example_of_an_env_file_is_valid(
    tmp_path: Path, defaults: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README's example of a `.env` file loads, and each of its lines changes a setting."""
    example = next(block for block in blocks("") if block.startswith("DBMINER_"))
    monkeypatch.chdir(tmp_path)
    Path(ENV_FILE).write_text(example)

    loaded = load_settings()

    changed = {
        str(field.validation_alias)
        for name, field in Settings.model_fields.items()
        if getattr(loaded, name) != getattr(defaults, name)
    }
    assert changed == {line.partition("=")[0] for line in example.split()}


def test_each_way_to_sign_in_has_its_example(
    tmp_path: Path, defaults: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README's examples of a workspace sign in by a token and by both service principals."""
    monkeypatch.chdir(tmp_path)
    ways = []
    for example in (block for block in blocks("") if block.startswith("DATABRICKS_HOST")):
        Path(ENV_FILE).write_text(example)
        ways.append(Connection.from_settings(load_settings()).auth_type)

    assert defaults.lineage_method == "system_table"
    assert ways == list(AuthType)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(document: Path) -> None:
    """Every relative link and image leads to a file, and every anchor to a heading."""
    text = document.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        assert (document.parent / path).exists(), target
        assert path or anchor in anchors, target


def test_images_are_small() -> None:
    """No image of the documents is larger than 300 KB."""
    images = list((ROOT / "docs" / "images").iterdir())

    assert images
    assert all(image.stat().st_size < IMAGE_LIMIT_BYTES for image in images)


def test_every_decision_is_listed() -> None:
    """The list of decisions names every record."""
    folder = ROOT / "docs" / "decisions"
    records = {path.name for path in folder.glob("*.md")} - {"README.md"}

    assert records == set(re.findall(r"\]\(([\w-]+\.md)\)", (folder / "README.md").read_text()))


def test_every_dependency_has_its_reason() -> None:
    """Each direct dependency has one line in the record of dependencies, and nothing else has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    wanted = [re.split(r"[^\w.-]", each)[0] for group in groups for each in group]
    record = (ROOT / "docs" / "decisions" / "dependencies.md").read_text()

    assert sorted(re.findall(r"^- `([\w.-]+)`: ", record, re.MULTILINE)) == sorted(wanted)


def test_no_file_names_a_registry() -> None:
    """No text file of the repository names the host of a package registry."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a clone of the repository")
    names = set(listed.stdout.decode().split("\0")) - {"", ".ci/run"}
    suffixes = {".whl", ".gz", ".png"}
    paths = [ROOT / name for name in sorted(names) if Path(name).suffix not in suffixes]

    found = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in paths
        if path.is_file()
        for host in REGISTRY_HOSTS
        if host.encode() in path.read_bytes()
    ]
    assert found == []
