"""Reads by clusters: lineage rows without a statement, by the user who caused them.

A notebook or a job on a cluster leaves no row in query history. What lineage tells of it is which
user read which tables and columns, and in how many events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import narwhals as nw
import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.by_lineage import DayLineage
from dbminer_dagster.mining.filters import glob_pattern
from dbminer_dagster.mining.reference_sets import COLUMNS_READ, SEPARATOR, TABLES_READ, collect_sets
from dbminer_dagster.mining.resolution import in_catalogs, quoted
from dbminer_dagster.mining.templates import text_hash
from dbminer_dagster.schemas import DAILY_USAGE, QUERY_REFERENCES

OPERATION = "cluster"
OUTCOMES = ("counted", "without_user", "excluded_user", "indirect", "no_table", "excluded_catalog")
_ASSET = ["is_column", "asset"]


@dataclass(frozen=True, slots=True)
class ClusterReads:
    """What clusters read on a day.

    Attributes:
        references: Rows of `query_references`, one for each table and one for each column.
        usage: Their rows of `daily_usage`.
        counts: Events of table lineage by what became of them.
    """

    references: pl.DataFrame
    usage: pl.DataFrame
    counts: dict[str, int]


def cluster_reads(
    engine: Engine,
    lineage: DayLineage,
    day: date,
    *,
    excluded_catalogs: Sequence[str] = (),
    excluded_users: Sequence[str] = (),
) -> ClusterReads:
    """The reads of a day that no statement stands for.

    Args:
        engine: Runs the frames.
        lineage: Raw lineage of the day, and of other days.
        day: The day.
        excluded_catalogs: Globs; reads of their tables are left out.
        excluded_users: Names or globs; their reads are left out.
    """
    tables, columns = (
        _with_outcome(
            _with_names(_events(engine, rows, day), lineage.tables_at_paths),
            excluded_catalogs,
            excluded_users,
        )
        for rows in (lineage.tables, lineage.columns)
    )
    counts = tables.group_by("outcome").agg(pl.col("event_count").sum())
    reads = pl.concat(
        [_reads(tables, is_column=False), _reads(_not_by_view(columns, tables), is_column=True)]
    )
    references = _references(reads, day)
    return ClusterReads(
        references.select(QUERY_REFERENCES.schema.names()),
        _usage(reads, references, day),
        dict.fromkeys(OUTCOMES, 0) | dict(counts.iter_rows()),
    )


def _events(engine: Engine, rows: nw.LazyFrame, day: date) -> pl.DataFrame:
    """The events without a statement that read something: what, by whom, and how often."""
    is_nameless = nw.col("source_name").is_null()
    columns = [name for name in ("source_column",) if name in rows.collect_schema().names()]
    key = ["source_name", "source_path", *columns, "created_by", "direct_access"]
    events = (
        rows.filter(
            nw.col("day") == nw.lit(day),
            nw.col("statement_id").is_null(),
            ~(is_nameless & nw.col("source_path").is_null()),
        )
        .with_columns(source_path=nw.when(is_nameless).then(nw.col("source_path")))
        .group_by(key)
        .agg(
            nw.col("event_count").sum().alias("event_count"),
            nw.col("last_event_time").max().alias("last_used_at"),
        )
    )
    return engine.collect(events)


def _with_names(events: pl.DataFrame, tables_at_paths: pl.DataFrame) -> pl.DataFrame:
    """Adds `table`, lower-cased, which the path tells where there is no name."""
    at_path = tables_at_paths.select(source_path="path", at_path="table_name")
    return events.join(at_path, on="source_path", how="left").with_columns(
        table=pl.coalesce("source_name", "at_path").str.to_lowercase(),
        direct_access=pl.col("direct_access").fill_null(value=True),
    )


def _with_outcome(
    events: pl.DataFrame, excluded_catalogs: Sequence[str], excluded_users: Sequence[str]
) -> pl.DataFrame:
    user = pl.col("created_by")
    is_excluded = (
        user.str.contains(glob_pattern(excluded_users)) if excluded_users else pl.lit(value=False)
    )
    outcome = (
        pl.when(user.is_null())
        .then(pl.lit("without_user"))
        .when(is_excluded)
        .then(pl.lit("excluded_user"))
        .when(pl.col("table").is_null())
        .then(pl.lit("no_table"))
        .when(in_catalogs(pl.col("table"), excluded_catalogs))
        .then(pl.lit("excluded_catalog"))
        .when(~pl.col("direct_access"))
        .then(pl.lit("indirect"))
        .otherwise(pl.lit("counted"))
    )
    return events.with_columns(outcome=outcome)


def _not_by_view(columns: pl.DataFrame, tables: pl.DataFrame) -> pl.DataFrame:
    """Column lineage may lack `direct_access`; then the user's table lineage tells."""
    key = ["table", "created_by"]
    by_view = tables.group_by(key).agg(pl.col("direct_access").any())
    return columns.join(by_view.filter(~pl.col("direct_access")), on=key, how="anti")


def _reads(events: pl.DataFrame, *, is_column: bool) -> pl.DataFrame:
    name = pl.col("table")
    if is_column:
        name = name + "." + quoted(pl.col("source_column").str.to_lowercase())
    return (
        events.filter(pl.col("outcome") == "counted")
        .select(
            "table", "event_count", "last_used_at", is_column=is_column, asset=name,
            user_name="created_by",
        )
        .drop_nulls("asset")
    )  # fmt: skip


def _references(reads: pl.DataFrame, day: date) -> pl.DataFrame:
    used = reads.lazy().select(
        *_ASSET,
        "table",
        kind=pl.when("is_column").then(pl.lit(COLUMNS_READ)).otherwise(pl.lit(TABLES_READ)),
        name="asset",
    )
    sets = collect_sets(used, _ASSET, ())
    prefix = (SEPARATOR * 3).join(("", OPERATION, ""))
    hashes = [text_hash(prefix + key) for key in sets["set_key"]]
    return sets.with_columns(
        pl.Series("reference_hash", hashes, pl.String),
        query_hash=pl.lit(None, pl.String),
        operation=pl.lit(OPERATION),
        attribution=pl.lit("lineage"),
        statement_text=pl.lit(None, pl.String),
        day=pl.lit(day),
    )


def _usage(reads: pl.DataFrame, references: pl.DataFrame, day: date) -> pl.DataFrame:
    zero = pl.lit(0, pl.Int64)
    return (
        reads.join(references.select(*_ASSET, "reference_hash"), on=_ASSET)
        .group_by("reference_hash", "user_name")
        .agg(pl.col("event_count").sum().alias("statement_count"), pl.col("last_used_at").max())
        .with_columns(
            total_duration_ms=zero,
            max_duration_ms=zero,
            total_task_duration_ms=zero,
            read_bytes=zero,
            cached_statement_count=zero,
            estimated_cost_micro_usd=pl.lit(None, pl.Int64),
            last_statement_id=pl.lit(None, pl.String),
            day=pl.lit(day),
        )
        .select(DAILY_USAGE.schema.names())
    )
