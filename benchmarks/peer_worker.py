"""Runs another tool over a file of texts, inside the tool's own environment.

Usage: `python peer_worker.py TOOL TEXTS RESULTS`. It needs the tool and Python's own library only.
"""

import json
import logging
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import process_time

Reader = Callable[[str], "set[str] | None"]
WARM_UP_TEXTS = 20
"""What is loaded or compiled at the first use is not timed."""


def datahub_reader(*, with_columns: bool) -> Reader:
    """DataHub's own function for one query, without schemas of the tables."""
    from datahub.sql_parsing.schema_resolver import SchemaResolver  # pyright: ignore[reportMissingImports]
    from datahub.sql_parsing.sqlglot_lineage import (  # pyright: ignore[reportMissingImports]
        sqlglot_lineage,
    )

    schemas = SchemaResolver(platform="databricks", env="PROD")

    def reads(text: str) -> set[str] | None:
        found = sqlglot_lineage(text, schemas, generate_column_lineage=with_columns)
        if found.debug_info.table_error:
            return None
        return {urn.split(",")[1] for urn in found.in_tables}

    return reads


def sqllineage_reader(dialect: str) -> Reader:
    """What sqllineage's command does with one query."""
    from sqllineage.exceptions import SQLLineageException  # pyright: ignore[reportMissingImports]
    from sqllineage.runner import LineageRunner  # pyright: ignore[reportMissingImports]

    def reads(text: str) -> set[str] | None:
        try:
            return {str(table) for table in LineageRunner(text, dialect=dialect).source_tables}
        except (SQLLineageException, RecursionError):
            return None

    return reads


READERS: dict[str, tuple[str, Callable[[], Reader]]] = {
    "datahub": ("acryl-datahub", lambda: datahub_reader(with_columns=True)),
    "datahub_tables": ("acryl-datahub", lambda: datahub_reader(with_columns=False)),
    "sqllineage": ("sqllineage", lambda: sqllineage_reader("databricks")),
    "sqllineage_plain": ("sqllineage", lambda: sqllineage_reader("non-validating")),
}
"""The package of each tool, and what makes its reader."""


def main() -> None:
    """Writes the processor time, the reads of each text, and the version of the tool."""
    tool, texts_file, results_file = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    texts = json.loads(Path(texts_file).read_text())
    package, reader = READERS[tool]
    reads = reader()
    for text in texts["warm_up"][:WARM_UP_TEXTS]:
        reads(text)
    start = process_time()
    found = [reads(text) for text in texts["measured"]]
    results = {
        "cpu_seconds": process_time() - start,
        "reads": [None if names is None else sorted(names) for names in found],
        "version": version(package),
    }
    Path(results_file).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
