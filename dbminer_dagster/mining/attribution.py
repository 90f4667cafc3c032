"""Which tables and columns each statement used: by lineage first, by its text otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from dbminer_dagster.mining.by_lineage import sets_by_lineage, with_lineage, with_workspace
from dbminer_dagster.mining.by_text import ReferencesOf, TextSets, sets_by_text
from dbminer_dagster.mining.reference_sets import KINDS


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a day's statements are attributed by.

    Attributes:
        table_lineage: Rows of `raw_table_lineage` of the day and the one before it: a cached
            result has the lineage of its origin. Paths of tables have the tables' names.
        column_lineage: Rows of `raw_column_lineage` of the same days.
        session_states: See `sessions.session_states`, of the same days.
        known_tables: Full names of all tables that lineage or the inventory knows.
        references_of: Parses templates.
        excluded_catalogs: Globs; references into them are left out and counted.
    """

    table_lineage: pl.LazyFrame
    column_lineage: pl.LazyFrame
    session_states: pl.DataFrame
    known_tables: pl.Series
    references_of: ReferencesOf
    excluded_catalogs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Attribution:
    """A day's statements with what they used.

    Attributes:
        statements: The given statements with `attribution` and `set_key` (both null where
            nothing tells), `failure` (why not), `excluded_references`.
        sets: `set_key` and the lists `tables_read`, `columns_read`, `tables_written`; distinct.
        unresolved: `name`, `reason`, `statement_count` of names in texts that fit no one table.
        counts: Statements by attribution, and references left out.
    """

    statements: pl.DataFrame
    sets: pl.DataFrame
    unresolved: pl.DataFrame
    counts: dict[str, int] = field(default_factory=dict)


def attribute(statements: pl.DataFrame, texts: pl.LazyFrame, evidence: Evidence) -> Attribution:
    """Attributes the statements of one day.

    Args:
        statements: Rows of `filtered_queries`; their texts are not needed.
        texts: `query_hash` and `statement_text`: one example of each template.
        evidence: What to go by.
    """
    statements = with_workspace(statements, evidence.table_lineage)
    by_lineage = sets_by_lineage(
        statements,
        evidence.table_lineage,
        evidence.column_lineage,
        evidence.excluded_catalogs,
    )
    found = with_lineage(statements, by_lineage.statements).with_row_index("row")
    rest = found.filter(pl.col("set_key").is_null(), pl.col("query_hash").is_not_null())
    hashes = rest.lazy().select("query_hash").unique()
    by_text = sets_by_text(
        rest.select("row", "query_hash", "session_id", "start_time"),
        texts.join(hashes, on="query_hash", how="semi").collect(),
        evidence.session_states,
        evidence.known_tables,
        evidence.references_of,
        evidence.excluded_catalogs,
    )
    attributed = _merged(found, by_text)
    sets = pl.concat(
        [source.select("set_key", *KINDS) for source in (by_lineage.sets, by_text.sets)]
    )
    unresolved = _unresolved(by_text)
    return Attribution(
        statements=attributed,
        sets=sets.unique("set_key"),
        unresolved=unresolved,
        counts=_counts(attributed, unresolved),
    )


def _merged(found: pl.DataFrame, by_text: TextSets) -> pl.DataFrame:
    outcomes = by_text.sets.select(
        "context_id",
        "resolves_nothing",
        attribution=pl.when(~pl.col("resolves_nothing")).then("attribution"),
        text_key="set_key",
        text_excluded="excluded_references",
    )
    told = by_text.statements.join(outcomes, on="context_id").drop("context_id")
    by_lineage = pl.col("set_key").is_not_null()
    understood = pl.col("attribution").is_not_null()
    failure = (
        pl.when(by_lineage | understood)
        .then(None)
        .when("text_redacted")
        .then(pl.lit("text_redacted"))
        .when(pl.col("query_hash").is_null())
        .then(pl.lit("no_text"))
        .when("resolves_nothing")
        .then(pl.lit("unresolved"))
        .otherwise(pl.lit("not_understood"))
    )
    return (
        found.join(told, on="row", how="left")
        .with_columns(
            failure=failure,
            attribution=pl.when(by_lineage).then(pl.lit("lineage")).otherwise("attribution"),
            set_key=pl.coalesce("set_key", pl.when(understood).then("text_key")),
            excluded_references=pl.coalesce("excluded_references", "text_excluded").fill_null(0),
        )
        .drop("row", "text_key", "text_excluded", "resolves_nothing")
    )


def _unresolved(by_text: TextSets) -> pl.DataFrame:
    statements = by_text.statements.group_by("context_id").agg(statement_count=pl.len())
    return (
        by_text.names.drop_nulls("reason")
        .unique(["context_id", "name"])
        .join(statements, on="context_id")
        .group_by("name", "reason")
        .agg(pl.col("statement_count").sum().cast(pl.Int64))
        .sort("statement_count", "name", "reason", descending=[True, False, False])
    )


def _counts(attributed: pl.DataFrame, unresolved: pl.DataFrame) -> dict[str, int]:
    by_attribution = attributed.group_by(pl.coalesce("attribution", pl.lit("unattributed"))).len()
    by_failure = attributed.drop_nulls("failure").group_by("failure").len()
    by_reason = unresolved.group_by("reason").agg(pl.col("statement_count").sum())
    return {
        **dict.fromkeys(("lineage", "parsed", "scanned", "unattributed"), 0),
        **dict(by_attribution.iter_rows()),
        **{f"unattributed:{reason}": count for reason, count in by_failure.iter_rows()},
        **{f"unresolved:{reason}": count for reason, count in by_reason.iter_rows()},
        "excluded_references": int(attributed["excluded_references"].sum()),
    }
