"""Which tables were built anew, and by which statement.

A finished `CREATE` or `REPLACE` statement rebuilt a table if lineage shows that it wrote the
table, or if its text is a `CREATE OR REPLACE`, a `REPLACE` or a `CREATE TABLE ... AS SELECT`.
`CREATE TABLE IF NOT EXISTS` rebuilds nothing unless lineage shows a write.
"""

from collections.abc import Sequence
from datetime import date

import narwhals as nw
import polars as pl

from dbminer_dagster.mining.by_lineage import with_workspace
from dbminer_dagster.mining.by_text import ReferencesOf, with_session
from dbminer_dagster.mining.resolution import in_catalogs, resolve, suffixes
from dbminer_dagster.mining.templates import with_query_hash
from dbminer_dagster.schemas import TABLE_REBUILDS

REBUILDING_TYPES = ("CREATE", "REPLACE")


def rebuilding_statements(history: pl.LazyFrame) -> pl.DataFrame:
    """The finished `CREATE` and `REPLACE` statements of `raw_query_history`, with `query_hash`."""
    columns = ("workspace_id", "statement_id", "session_id", "start_time", "statement_text")
    statements = history.filter(
        pl.col("status") == "FINISHED", pl.col("statement_type").is_in(REBUILDING_TYPES)
    ).select(columns)
    return with_query_hash(statements.collect())


def table_rebuilds(
    statements: pl.DataFrame,
    table_lineage: pl.LazyFrame,
    states: pl.DataFrame,
    known_tables: pl.Series,
    references_of: ReferencesOf,
    excluded_catalogs: Sequence[str],
    day: date,
) -> pl.DataFrame:
    """Rows of `table_rebuilds` for a day.

    Args:
        statements: See `rebuilding_statements`.
        table_lineage: Rows of `raw_table_lineage` of the day.
        states: See `sessions.session_states`.
        known_tables: Full names of all tables that lineage or the inventory knows.
        references_of: Parses templates.
        excluded_catalogs: Globs; tables in them are left out.
        day: The day.
    """
    lineage = nw.from_native(table_lineage)
    statements = with_workspace(nw.from_native(statements.lazy()), lineage).to_native().collect()
    written = (
        table_lineage.filter(pl.col("target_name").is_not_null())
        .select("workspace_id", "statement_id", table_name=pl.col("target_name").str.to_lowercase())
        .unique()
    )
    by_lineage = statements.lazy().join(
        written, on=["workspace_id", "statement_id"], nulls_equal=True
    )
    by_text = _by_text(statements, states, known_tables, references_of)
    found = [
        source.select(
            "table_name",
            "workspace_id",
            "statement_id",
            rebuilt_at="start_time",
            attribution=pl.lit(attribution),
            day=pl.lit(day),
        )
        for source, attribution in ((by_lineage, "lineage"), (by_text, "parsed"))
    ]
    return (
        pl.concat(found)
        .filter(~in_catalogs(pl.col("table_name"), excluded_catalogs))
        .unique(TABLE_REBUILDS.key, keep="first", maintain_order=True)
        .select(TABLE_REBUILDS.schema.names())
        .collect()
    )


def _by_text(
    statements: pl.DataFrame,
    states: pl.DataFrame,
    known_tables: pl.Series,
    references_of: ReferencesOf,
) -> pl.LazyFrame:
    texts = statements.drop_nulls("query_hash")
    examples = texts.group_by("query_hash").agg(pl.col("statement_text").min())
    templates = references_of(examples)
    names = (
        with_session(texts, templates, states)
        .join(templates.select("query_hash", name="rebuilds"), on="query_hash")
        .explode("name")
        .drop_nulls("name")
    )
    resolved = resolve(names, suffixes(known_tables)).drop_nulls("resolved")
    return resolved.lazy().with_columns(table_name="resolved")
