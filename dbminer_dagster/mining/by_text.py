"""Attribution by text: each template parsed once, its names resolved in the statement's session."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from dbminer_dagster.mining.column_resolution import ResolvedColumns, resolve_columns
from dbminer_dagster.mining.reasons import count_reasons, problems_of_texts
from dbminer_dagster.mining.reference_sets import (
    COLUMNS_READ,
    SEPARATOR,
    TABLES_READ,
    TABLES_WRITTEN,
    collect_sets,
    uses,
)
from dbminer_dagster.mining.resolution import resolve, suffixes

STATE = ("default_catalog", "default_schema", "temporary_views")
IN_STATE = ("query_hash", *STATE)
UNRESOLVED = ("unknown_table", "ambiguous", "too_many_parts")
NO_COLUMNS = pl.LazyFrame(schema={"table_name": pl.String, "columns": pl.List(pl.String)})
"""Of no table the columns are known."""
KIND_OF_LIST = {"reads": TABLES_READ, "writes": TABLES_WRITTEN}

ReferencesOf = Callable[[pl.DataFrame], pl.DataFrame]
"""Templates (`query_hash`, `statement_text`) to rows of `template_rows.TEMPLATE_SCHEMA`."""


@dataclass(frozen=True, slots=True)
class TextSets:
    """What the texts of a day refer to.

    A context is a template with what its names mean in the sessions where it ran.

    Attributes:
        sets: `context_id` and the columns of `collect_sets`; `attribution`, `error`; and
            `resolves_nothing`: there are names, and none of them fits a table.
        statements: `row`, `context_id` of each given statement.
        reasons: What could not be told, see `reasons.count_reasons`.
    """

    sets: pl.DataFrame
    statements: pl.DataFrame
    reasons: pl.DataFrame


def with_session(
    statements: pl.DataFrame, templates: pl.DataFrame, states: pl.DataFrame
) -> pl.DataFrame:
    """Adds the session's state to statements whose template has a name that needs it.

    The others get none, so that they fall together.
    """
    has_short_name = pl.concat_list("reads", "writes").list.eval(
        (pl.element().str.count_matches(".", literal=True) < 2)  # noqa: PLR2004
        | pl.element().str.contains("`", literal=True)
    )
    short = templates.filter(has_short_name.list.any()).select("query_hash")
    placed = (
        statements.join(short, on="query_hash", how="semi")
        .sort("start_time")
        .join_asof(states, on="start_time", by="session_id", check_sortedness=False)
    )
    return pl.concat([placed, statements.join(short, on="query_hash", how="anti")], how="diagonal")


def sets_by_text(
    statements: pl.DataFrame,
    texts: pl.DataFrame,
    states: pl.DataFrame,
    known_tables: pl.Series,
    references_of: ReferencesOf,
    excluded_catalogs: Sequence[str] = (),
    *,
    columns: pl.LazyFrame,
) -> TextSets:
    """The set of each distinct context.

    Args:
        statements: `row`, `query_hash` (not null), `session_id`, `start_time`, and
            `statement_count`: for how many statements a row stands.
        texts: `query_hash` and `statement_text`: an example of each template.
        states: See `sessions.session_states`.
        known_tables: Full names.
        references_of: Parses the templates.
        excluded_catalogs: Globs; references into them are left out.
        columns: `table_name` and `columns` (a list) of tables whose columns are known.
    """
    templates = references_of(texts)
    placed = with_session(statements, templates, states)
    in_states = placed.select(IN_STATE).unique().with_row_index("state_id")
    placed = placed.join(in_states, on=IN_STATE, nulls_equal=True).select("row", "state_id")
    names_in_states = resolve(_names(in_states, templates), suffixes(known_tables))
    state_contexts = _contexts(in_states, names_in_states)
    contexts = state_contexts.select("context_id", "query_hash").unique()
    placed = placed.join(state_contexts, on="state_id").select("row", "context_id")
    names = (
        names_in_states.join(state_contexts, on="state_id")
        .select("context_id", "kind", "name", "resolved", "reason")
        .unique()
    )
    tables_read = names.filter(pl.col("kind") == TABLES_READ)
    resolved = resolve_columns(contexts, templates, tables_read, columns)
    parsed = contexts.join(templates, on="query_hash", how="left")
    sets = collect_sets(_uses(parsed, names, resolved), ["context_id"], excluded_catalogs)
    problems = [
        names.drop_nulls("reason").select("context_id", "reason", "name"),
        resolved.unresolved,
        problems_of_texts(parsed),
    ]
    counts = (
        placed.join(statements, on="row")
        .group_by("context_id")
        .agg(pl.col("statement_count").sum())
    )
    return TextSets(
        _with_outcome(sets, parsed, names),
        placed,
        count_reasons(pl.concat(problems), counts.join(contexts, on="context_id"), texts),
    )


def _names(in_states: pl.DataFrame, templates: pl.DataFrame) -> pl.DataFrame:
    parsed = in_states.lazy().join(templates.lazy(), on="query_hash")
    lists = [
        parsed.select("state_id", *STATE, kind=pl.lit(kind), name=pl.col(source))
        .explode("name")
        .drop_nulls("name")
        for source, kind in KIND_OF_LIST.items()
    ]
    return pl.concat(lists).collect()


def _contexts(in_states: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """States where the same template's names mean the same fall together.

    Returns:
        `state_id`, `query_hash`, `context_id`.
    """
    meaning = pl.coalesce("resolved", "reason").sort_by("kind", "name").str.join(SEPARATOR)
    meanings = names.group_by("state_id").agg(meaning=meaning)
    return (
        in_states.join(meanings, on="state_id", how="left")
        .group_by("query_hash", "meaning")
        .agg("state_id")
        .with_row_index("context_id")
        .explode("state_id")
        .select("state_id", "query_hash", "context_id")
    )


def _uses(parsed: pl.DataFrame, names: pl.DataFrame, resolved: ResolvedColumns) -> pl.LazyFrame:
    key = ["context_id"]
    tables_of_columns = names.lazy().filter(pl.col("kind") == TABLES_READ)
    certain = (
        parsed.lazy()
        .select("context_id", "columns")
        .explode("columns")
        .unnest("columns")
        .drop_nulls("column_name")
        .join(
            tables_of_columns.select("context_id", "resolved", table_name="name"),
            on=["context_id", "table_name"],
        )
        .drop_nulls("resolved")
    )
    return pl.concat(
        [
            *(
                uses(names.lazy().filter(pl.col("kind") == kind), key, kind, "resolved")
                for kind in KIND_OF_LIST.values()
            ),
            uses(certain, key, COLUMNS_READ, "resolved", "column_name"),
            uses(resolved.found.lazy(), key, COLUMNS_READ, "resolved", "column_name"),
            # A text that names nothing, such as SELECT 1, has the empty set.
            uses(
                parsed.lazy().with_columns(none=pl.lit(None, pl.String)), key, TABLES_READ, "none"
            ),
        ]
    )


def _with_outcome(sets: pl.DataFrame, parsed: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    resolves_nothing = pl.col("resolved").is_null().all() & pl.col("reason").is_in(UNRESOLVED).any()
    return (
        sets.join(parsed.select("context_id", "attribution", "error"), on="context_id")
        .join(
            names.group_by("context_id").agg(resolves_nothing=resolves_nothing),
            on="context_id",
            how="left",
        )
        .with_columns(pl.col("resolves_nothing").fill_null(value=False))
    )
