"""Templates to references, each parsed once and then kept in a table across days and runs.

The table only grows and is keyed by template and version of the rules, so parallel runs can add
to it at once: the same template gives the same row.
"""

from dataclasses import dataclass, field
from importlib.metadata import version

import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.parse_pool import ParsePool
from dbminer_dagster.mining.template_parsing import parsed, parsed_by
from dbminer_dagster.mining.template_rows import TEMPLATE_SCHEMA
from dbminer_dagster.storage import DeltaStorage

RULES_VERSION = f"2-{version('sqlglot')}"
"""Raise the first number whenever a change makes any text give other references."""

CACHE_TABLE = "parse_cache"
PASSING_ERRORS = "^(?:timed out after|the parser process died)"
"""Errors of a busy machine and not of the text: the next run tries again."""


@dataclass
class ParseCache:
    """Looks templates up, and parses those that are new in worker processes.

    Attributes:
        storage: Holds the table.
        pool: The processes of this machine.
        engine: Parses in its own workers, if it has some.
        is_ignored: The table is neither read nor written.
        parsed: Templates that were parsed so far, and not found.
        found: Templates that were found.
    """

    storage: DeltaStorage
    pool: ParsePool
    engine: Engine | None = None
    is_ignored: bool = False
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
            rows = self._parsed(new)
            lasting = rows.filter(~pl.col("error").fill_null("").str.contains(PASSING_ERRORS))
            if lasting.height and not self.is_ignored:
                self.storage.append(
                    CACHE_TABLE, lasting.with_columns(rules_version=pl.lit(RULES_VERSION))
                )
            self._known = pl.concat([self._known, rows])
        self.parsed += new.height
        self.found += templates.height - new.height
        return self._known.join(templates.select("query_hash"), on="query_hash", how="semi")

    def _parsed(self, new: pl.DataFrame) -> pl.DataFrame:
        if self.engine is None or not self.engine.has_workers:
            return parsed(self.pool, new)
        return parsed_by(self.engine, new)

    def _load(self) -> None:
        if self._loaded or self.is_ignored:
            return
        schema = pl.Schema(TEMPLATE_SCHEMA | {"rules_version": pl.String})
        known = self.storage.scan_whole(CACHE_TABLE, schema).filter(
            pl.col("rules_version") == RULES_VERSION
        )
        # As a part of the plan, `unique` takes twenty times as long with lists beside the key.
        self._known = known.select(TEMPLATE_SCHEMA.names()).collect().unique("query_hash")
        self._loaded = True
