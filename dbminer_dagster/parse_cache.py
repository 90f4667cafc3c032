"""Templates to references, each parsed once and then kept in a table across days and runs.

The table only grows and is keyed by template and version of the rules, so parallel runs can add
to it at once: the same template gives the same row.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version

import polars as pl

from dbminer_dagster.mining.parse_pool import ParsePool
from dbminer_dagster.mining.sql_reads import References
from dbminer_dagster.storage import DeltaStorage

RULES_VERSION = f"1-{version('sqlglot')}"
"""Raise the first number whenever a change makes any text give other references."""

CACHE_TABLE = "parse_cache"
PASSING_ERRORS = "^(?:timed out after|the parser process died)"
"""Errors of a busy machine and not of the text: the next run tries again."""

COLUMN_PAIR = pl.Struct({"table_name": pl.String, "column_name": pl.String})
TEMPLATE_SCHEMA = pl.Schema(
    {
        "query_hash": pl.String,
        "attribution": pl.String,
        "reads": pl.List(pl.String),
        "columns": pl.List(COLUMN_PAIR),
        "writes": pl.List(pl.String),
        "rebuilds": pl.List(pl.String),
        "error": pl.String,
    }
)


@dataclass
class ParseCache:
    """Looks templates up, and parses those that are new in worker processes.

    Attributes:
        parsed: Templates that were parsed so far, and not found.
        found: Templates that were found.
    """

    storage: DeltaStorage
    pool: ParsePool
    parsed: int = 0
    found: int = 0
    _known: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TEMPLATE_SCHEMA))
    _loaded: bool = False

    def references(self, templates: pl.DataFrame) -> pl.DataFrame:
        """The references of each template, as `TEMPLATE_SCHEMA`.

        Args:
            templates: `query_hash` and `statement_text`, an example of each; hashes distinct.
        """
        self._load()
        new = templates.join(self._known, on="query_hash", how="anti")
        if new.height:
            texts = dict(new.select("query_hash", "statement_text").iter_rows())
            rows = pl.DataFrame(_rows(self.pool.parse(texts)), schema=TEMPLATE_SCHEMA, orient="row")
            lasting = rows.filter(~pl.col("error").fill_null("").str.contains(PASSING_ERRORS))
            if lasting.height:
                self.storage.append(
                    CACHE_TABLE, lasting.with_columns(rules_version=pl.lit(RULES_VERSION))
                )
            self._known = pl.concat([self._known, rows])
        self.parsed += new.height
        self.found += templates.height - new.height
        return self._known.join(templates.select("query_hash"), on="query_hash", how="semi")

    def _load(self) -> None:
        if self._loaded:
            return
        schema = pl.Schema(TEMPLATE_SCHEMA | {"rules_version": pl.String})
        self._known = (
            self.storage.scan_whole(CACHE_TABLE, schema)
            .filter(pl.col("rules_version") == RULES_VERSION)
            .select(TEMPLATE_SCHEMA.names())
            .unique("query_hash")
            .collect()
        )
        self._loaded = True


def _rows(parsed: Iterable[tuple[str, References]]) -> Iterator[tuple]:
    for query_hash, found in parsed:
        columns = [
            {"table_name": table, "column_name": column} for table, column in sorted(found.columns)
        ]
        yield (
            query_hash,
            found.attribution,
            sorted(found.reads),
            columns,
            sorted(found.writes),
            sorted(found.rebuilds),
            found.error,
        )
