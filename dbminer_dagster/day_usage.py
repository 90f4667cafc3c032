"""A day's attribution and usage, from the tables of the days before it to rows of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Self

import narwhals as nw
import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.attribution import WAYS, Evidence, attribute
from dbminer_dagster.mining.by_lineage import DayLineage
from dbminer_dagster.mining.cluster_reads import cluster_reads
from dbminer_dagster.mining.inventory import known_names, of_day
from dbminer_dagster.mining.lineage import day_tables
from dbminer_dagster.mining.paths import PathResolver, path_ends
from dbminer_dagster.mining.sessions import session_changes, states_after
from dbminer_dagster.mining.usage import MEASURED, daily_usage, references
from dbminer_dagster.parse_cache import ParseCache
from dbminer_dagster.schemas import (
    DAILY_USAGE,
    QUERY_REFERENCES,
    RAW_COLUMN_LINEAGE,
    RAW_TABLE_LINEAGE,
)
from dbminer_dagster.spool import Spool
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window, of_days

STATEMENT_COLUMNS = (
    "workspace_id",
    "cache_origin_statement_id",
    "session_id",
    "query_hash",
    "operation",
    "text_redacted",
    *MEASURED,
)
"""What attribution and usage need of a statement."""
SESSION_DAYS = 2
"""A session, and the lineage of a cached result, may have begun the day before."""
SHARE_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class KnownNames:
    """The names that the days of a run are resolved by; Polars reads them on any engine.

    Attributes:
        from_lineage: See `lineage.day_tables`.
        inventory: Rows of `known_tables`.
        resolver: Tells the tables that lie at paths.
        lineage_days: How long lineage is remembered.
    """

    from_lineage: pl.DataFrame
    inventory: pl.LazyFrame
    resolver: PathResolver
    lineage_days: int

    @classmethod
    def of_run(
        cls, storage: DeltaStorage, window: Window, lineage_days: int, inventory: pl.LazyFrame
    ) -> Self:
        """Reads the names of all days of the run."""
        tables = storage.scan(RAW_TABLE_LINEAGE, window.extended_back(lineage_days - 1))
        recent = window.extended_back(SESSION_DAYS - 1)
        paths = [
            path_ends(storage.scan(raw, recent)) for raw in (RAW_TABLE_LINEAGE, RAW_COLUMN_LINEAGE)
        ]
        resolver = PathResolver.of_run(pl.concat(paths), tables, inventory)
        return cls(day_tables(tables), inventory, resolver, lineage_days)

    def window(self, day: date) -> Window:
        """The days whose lineage counts on this one."""
        return Window.trailing(day, self.lineage_days)

    def tables(self, day: date) -> pl.Series:
        """Full names of all tables known on the day."""
        return known_names(self.from_lineage, self.inventory, self.window(day))

    def columns(self, day: date) -> pl.LazyFrame:
        """`table_name` and `columns` of the tables that the day's inventory lists."""
        return of_day(self.inventory, self.window(day)).select("table_name", "columns")

    def at_paths(self, day: date) -> pl.DataFrame:
        """The tables at paths, see `paths.tables_at`."""
        return self.resolver.tables(self.window(day)).drop_nulls("table_name")


@dataclass(frozen=True, slots=True)
class UsageOfDay:
    """What is told about a day that was written.

    Attributes:
        figures: Statements, events and references by what became of them.
        reasons: See `Attribution.reasons`.
    """

    figures: dict[str, int | float]
    reasons: pl.DataFrame


@dataclass(frozen=True, slots=True)
class UsageRun:
    """What the days of a run have in common.

    Attributes:
        engine: Runs the frames.
        excluded_catalogs: Globs; references into them are left out.
        excluded_users: Globs; what clusters read for them is left out.
        cache: Parses templates.
        names: What names are resolved by.
        filtered_queries: Rows of the run's days.
        raw_query_history: The same and the day before, as of the lineage.
        raw_table_lineage: Rows.
        raw_column_lineage: Rows.
    """

    engine: Engine
    excluded_catalogs: Sequence[str]
    excluded_users: Sequence[str]
    cache: ParseCache
    names: KnownNames
    filtered_queries: nw.LazyFrame
    raw_query_history: nw.LazyFrame
    raw_table_lineage: nw.LazyFrame
    raw_column_lineage: nw.LazyFrame

    def write_day(self, day: date, spool: Spool) -> UsageOfDay:
        """Adds the rows of a day to the spool."""
        queries = of_days(self.filtered_queries, Window.of_day(day))
        texts = self.engine.collect(_texts(queries))
        evidence = self._evidence(day)
        statements = queries.select(STATEMENT_COLUMNS)
        with attribute(self.engine, statements, texts, evidence) as attributed:
            found = references(self.engine, attributed.uses, attributed.sets, day)
            indirect = 0
            for usage in daily_usage(self.engine, attributed.uses, found, day):
                spool.write(DAILY_USAGE.name, usage)
                indirect += _indirect_statements(found, usage)
        clusters = cluster_reads(
            self.engine,
            evidence.lineage,
            day,
            excluded_catalogs=self.excluded_catalogs,
            excluded_users=self.excluded_users,
        )
        with_texts = found.join(texts, on="query_hash", how="left")
        spool.write(QUERY_REFERENCES.name, with_texts.select(QUERY_REFERENCES.schema.names()))
        spool.write(QUERY_REFERENCES.name, clusters.references)
        spool.write(DAILY_USAGE.name, clusters.usage)
        self.engine.release()
        events = {f"cluster_events:{outcome}": n for outcome, n in clusters.counts.items()}
        figures = _coverage(attributed.counts) | {"indirect_statements": indirect} | events
        return UsageOfDay(figures, attributed.reasons)

    def _evidence(self, day: date) -> Evidence:
        pair = Window.trailing(day, SESSION_DAYS)
        changes = session_changes(of_days(self.raw_query_history, pair))
        return Evidence(
            DayLineage(
                of_days(self.raw_table_lineage, pair),
                of_days(self.raw_column_lineage, pair),
                self.names.at_paths(day),
            ),
            session_states=states_after(self.engine.collect(changes)),
            known_tables=self.names.tables(day),
            known_columns=self.names.columns(day),
            references_of=self.cache.references,
            excluded_catalogs=self.excluded_catalogs,
        )


def _texts(queries: nw.LazyFrame) -> nw.LazyFrame:
    """One text of each template: the least, which does not depend on the order of the rows."""
    return (
        queries.filter(~nw.col("query_hash").is_null())
        .group_by("query_hash")
        .agg(nw.col("statement_text").min().alias("statement_text"))
    )


def _coverage(counts: dict[str, int]) -> dict[str, int | float]:
    """Statements by attribution with their shares, and what was left out and why."""
    ways = {name: counts[name] for name in WAYS}
    statements = sum(ways.values())
    return {
        "statements": statements,
        **{f"{name}_statements": count for name, count in ways.items()},
        **{
            f"{name}_share": round(count / statements, SHARE_DECIMALS) if statements else 0.0
            for name, count in ways.items()
        },
        **{name: count for name, count in counts.items() if name not in WAYS},
    }


def _indirect_statements(found: pl.DataFrame, usage: pl.DataFrame) -> int:
    """Statements that reach a table through a view."""
    indirect = found.filter(pl.col("tables_read_indirectly").list.len() > 0)
    return int(usage.join(indirect, on="reference_hash", how="semi")["statement_count"].sum())
