"""What the popularity report tells: scores, reads per day and known tables, as rows for its page.

Users are named by number, and so are the statements of a table, since they stand in many lists.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from dbminer_dagster.mining.popularity import LEVELS
from dbminer_dagster.mining.query_lists import ROWS as QUERY_LISTS
from dbminer_dagster.mining.reasons import LOOKED_AT_CHARACTERS
from dbminer_dagster.schemas import USER_USE
from dbminer_dagster.windows import Window

QUERY_FIELDS = (
    *("read_count", "user_count", "mean_duration_ms", "total_task_duration_ms"),
    *("estimated_cost_micro_usd", "last_run_at"),
)
TIMES = ("last_read_at", "last_run_at")
USES = {
    "Reads from cache": "cached_read_count",
    "Reads by pipelines": "pipeline_read_count",
    "Reads through views": "indirect_read_count",
    "Reads by clusters": "cluster_read_count",
}
LISTED_COLUMNS = 100
TABLE_COLUMNS = (
    *("table_name", "table_type", "popularity_level", "popularity_score", "percentile"),
    *("read_count", "user_count", "last_read_at", "last_read_by", "write_count"),
    *("last_written_at", "total_task_duration_ms", "read_bytes", "estimated_cost_micro_usd"),
    *("top_users", *USES.values(), *QUERY_LISTS),
)
FIELDS = (
    *("name", "type", "level", "score", "percentile", "reads", "users", "last_read"),
    *("last_read_by", "writes", "feeds", "fed_by", "by_day"),
)
"""What the overview tells of each table, in this order."""


@dataclass(frozen=True, slots=True)
class ReportSource:
    """What a report is made of.

    Attributes:
        window: The popularity window; its last day is that of the report.
        mined: The days of the window that have been mined.
        scored_uses: The uses that are reads.
        scores: Rows of `popularity_scores` of that day.
        reads: `day`, `table_name`, `read_count`, see `daily_reads`.
        known: `table_name`, `table_type`: every table that is known, whether read or not.
        edges: `source_name`, `target_name`: which table feeds which.
    """

    window: Window
    mined: frozenset[date]
    scored_uses: Sequence[str]
    scores: pl.LazyFrame
    reads: pl.DataFrame
    known: pl.DataFrame
    edges: pl.DataFrame


def count_tables(source: ReportSource) -> dict[str, int]:
    """How many tables were read in the window, and how many known ones were not."""
    read = source.scores.filter(pl.col("asset_type") == "table").select("table_name").collect()
    unread = source.known.join(read, on="table_name", how="anti")
    return {"tables_read": read.height, "tables_not_read": unread.height}


class Contents:
    """The parts of a report.

    Args:
        source: What it is made of.
        shown: What is shown of each of some statements' texts.
    """

    def __init__(
        self, source: ReportSource, shown: Callable[[pl.Series], list[str | None]]
    ) -> None:
        self._source = source
        tables = source.scores.filter(pl.col("asset_type") == "table")
        texts = _texts(tables)
        self._texts = dict(zip(texts["query_hash"], shown(texts["statement_text"]), strict=True))
        self._tables = _without_texts(tables).collect()
        self._columns = _columns(source.scores)
        self._users = _users(self._tables)
        self._user_numbers = {name: number for number, name in enumerate(self._users)}

    def overview(self) -> dict[str, Any]:
        """All that the page shows before a click."""
        window, rows = self._source.window, self._listed()
        types = rows["table_type"].unique().sort(nulls_last=True).to_list()
        return {
            "day": str(window.last_day),
            "first_day": str(window.start),
            "days": window.days,
            "days_present": len(self._source.mined),
            "present": [int(day in self._source.mined) for day in window],
            "scored_uses": self._source.scored_uses,
            "levels": ["Not read", *LEVELS],
            "types": types,
            "uses": list(USES),
            "users": self._users,
            "fields": FIELDS,
            "tables": [self._table(row, types) for row in rows.iter_rows(named=True)],
        }

    def details(self) -> Iterator[dict[str, Any]]:
        """What a click on a name shows, of each table that was read, in the overview's order."""
        for row in self._tables.iter_rows(named=True):
            listed, count = self._columns.get(row["table_name"], ([], 0))
            hashes = dict.fromkeys(q["query_hash"] for name in QUERY_LISTS for q in row[name])
            numbers = {query_hash: number for number, query_hash in enumerate(hashes)}
            yield {
                "uses": [row[name] for name in USES.values()],
                "last_written": row["last_written_at"],
                "task_ms": row["total_task_duration_ms"],
                "bytes": row["read_bytes"],
                "cost": row["estimated_cost_micro_usd"],
                "users": [self._user(user) for user in row["top_users"]],
                "columns": [list(column.values()) for column in listed],
                "more_columns": count - len(listed),
                "queries": {
                    name.partition("_")[0]: [_query(query, numbers) for query in row[name]]
                    for name in QUERY_LISTS
                },
                "texts": [self._texts[query_hash] for query_hash in hashes],
            }

    def _listed(self) -> pl.DataFrame:
        """Tables that were read, then those that were not, with what feeds and reads them."""
        edges, days = self._source.edges, pl.DataFrame({"day": list(self._source.window)})
        unread = self._source.known.join(self._tables, on="table_name", how="anti")
        listed = pl.concat([self._tables, unread.sort("table_name")], how="diagonal")
        by_day = (
            self._source.reads.select("table_name")
            .unique()
            .join(days, how="cross")
            .join(self._source.reads, on=["table_name", "day"], how="left")
            .group_by("table_name")
            .agg(by_day=pl.col("read_count").fill_null(0).sort_by("day"))
        )
        feeds = edges.group_by(table_name="source_name").len("feeds")
        fed_by = edges.group_by(table_name="target_name").len("fed_by")
        for found in (by_day, feeds, fed_by):
            listed = listed.join(found, on="table_name", how="left", maintain_order="left")
        return listed

    def _table(self, row: dict[str, Any], types: Sequence[str | None]) -> list[Any]:
        return [
            row["table_name"],
            types.index(row["table_type"]),
            row["popularity_level"] or 0,
            row["popularity_score"],
            row["percentile"],
            row["read_count"] or 0,
            row["user_count"] or 0,
            row["last_read_at"],
            self._user_numbers.get(row["last_read_by"]),
            row["write_count"],
            row["feeds"] or 0,
            row["fed_by"] or 0,
            row["by_day"],
        ]

    def _user(self, user: dict[str, Any]) -> list[Any]:
        number = self._user_numbers[user["user_name"]]
        return [number, user["read_count"], user["last_read_at"]]


def _query(query: dict[str, Any], numbers: dict[str, int]) -> list[Any]:
    return [numbers[query["query_hash"]], *(query.get(name) for name in QUERY_FIELDS)]


def _texts(tables: pl.LazyFrame) -> pl.DataFrame:
    """Each template once; cut before all lists are in memory, since texts are long."""
    found = [
        tables.select(pl.col(name).explode(empty_as_null=False).alias("query"))
        .unnest("query")
        .select("query_hash", pl.col("statement_text").str.head(LOOKED_AT_CHARACTERS))
        for name in QUERY_LISTS
    ]
    return pl.concat(found).group_by("query_hash").agg(pl.col("statement_text").min()).sort(
        "query_hash"
    ).collect(engine="streaming")  # fmt: skip


def _without_texts(tables: pl.LazyFrame) -> pl.LazyFrame:
    """Tables in the order of the page; times are seconds, which cost less than Python's."""
    lists = {"top_users": USER_USE, **QUERY_LISTS}
    return (
        tables.with_columns(
            pl.col("last_read_at", "last_written_at").dt.epoch("s"),
            *(pl.col(name).list.eval(_without_text(row)) for name, row in lists.items()),
        )
        .select(TABLE_COLUMNS)
        .sort("popularity_score", "table_name", descending=[True, False])
    )


def _without_text(row: pl.Struct) -> pl.Expr:
    fields = [
        pl.element().struct.field(name)
        for name in row.to_schema()
        if name not in {"statement_text", *TIMES}
    ]
    times = [
        pl.element().struct.field(name).dt.epoch("s") for name in TIMES if name in row.to_schema()
    ]
    return pl.struct(fields + times)


def _columns(scores: pl.LazyFrame) -> dict[str, tuple[list[dict[str, Any]], int]]:
    """The most popular columns of each table, and how many were read."""
    found = (
        scores.filter(pl.col("asset_type") == "column")
        .sort("popularity_score", "column_name", descending=[True, False])
        .group_by("table_name")
        .agg(
            pl.struct("column_name", "popularity_level", "read_count", "user_count")
            .head(LISTED_COLUMNS)
            .alias("columns"),
            count=pl.len(),
        )
        .collect()
    )
    return {name: (columns, count) for name, columns, count in found.iter_rows()}


def _users(tables: pl.DataFrame) -> list[str]:
    listed = tables["top_users"].explode(empty_as_null=False).struct.field("user_name")
    return pl.concat([listed, tables["last_read_by"].drop_nulls()]).unique().sort().to_list()
