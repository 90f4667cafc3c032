"""Attribution by text: each template parsed once, its names resolved in the statement's session."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from dbminer_dagster.mining.reference_sets import (
    COLUMNS_READ,
    TABLES_READ,
    TABLES_WRITTEN,
    collect_sets,
    uses,
)
from dbminer_dagster.mining.resolution import resolve, suffixes

CONTEXT = ("query_hash", "default_catalog", "default_schema", "temporary_views")
UNRESOLVED = ("unknown_table", "ambiguous", "too_many_parts")
KIND_OF_LIST = {"reads": TABLES_READ, "writes": TABLES_WRITTEN}

ReferencesOf = Callable[[pl.DataFrame], pl.DataFrame]
"""Templates (`query_hash`, `statement_text`) to rows of `parse_cache.TEMPLATE_SCHEMA`."""


@dataclass(frozen=True, slots=True)
class TextSets:
    """What the texts of a day refer to.

    Attributes:
        sets: `context_id` and the columns of `collect_sets`; `attribution`, `error`; and
            `resolves_nothing`: there are names, and none of them fits a table.
        statements: `row`, `context_id` of each given statement.
        names: Names that were looked up: `context_id`, `kind`, `name`, `resolved`, `reason`.
    """

    sets: pl.DataFrame
    statements: pl.DataFrame
    names: pl.DataFrame


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
) -> TextSets:
    """The set of each distinct pair of template and session state.

    Args:
        statements: `row`, `query_hash` (not null), `session_id`, `start_time`.
        texts: `query_hash` and `statement_text`: an example of each template.
        states: See `sessions.session_states`.
        known_tables: Full names.
        references_of: Parses the templates.
        excluded_catalogs: Globs; references into them are left out.
    """
    templates = references_of(texts)
    placed = with_session(statements, templates, states)
    contexts = placed.select(CONTEXT).unique().with_row_index("context_id")
    placed = placed.join(contexts, on=CONTEXT, nulls_equal=True).select("row", "context_id")
    parsed = contexts.join(templates, on="query_hash", how="left")
    names = resolve(_names(parsed), suffixes(known_tables))
    columns = parsed.lazy().explode("columns").unnest("columns").drop_nulls("column_name")
    tables_of_columns = names.lazy().filter(pl.col("kind") == TABLES_READ)
    resolved_columns = columns.join(
        tables_of_columns.select("context_id", "resolved", table_name="name"),
        on=["context_id", "table_name"],
    ).drop_nulls("resolved")
    used = [
        *(
            uses(names.lazy().filter(pl.col("kind") == kind), ["context_id"], kind, "resolved")
            for kind in KIND_OF_LIST.values()
        ),
        uses(resolved_columns, ["context_id"], COLUMNS_READ, "resolved", "column_name"),
        # A text that names nothing, such as SELECT 1, has the empty set.
        parsed.lazy().select("context_id", kind=pl.lit(TABLES_READ), table=None, name=None)
        .cast({"table": pl.String, "name": pl.String}),
    ]  # fmt: skip
    sets = collect_sets(pl.concat(used), ["context_id"], excluded_catalogs)
    outcome = parsed.select("context_id", "attribution", "error")
    resolves = names.group_by("context_id").agg(
        resolves_nothing=pl.col("resolved").is_null().all()
        & pl.col("reason").is_in(UNRESOLVED).any()
    )
    known = sets.join(outcome, on="context_id").join(resolves, on="context_id", how="left")
    return TextSets(known.with_columns(pl.col("resolves_nothing").fill_null(False)), placed, names)


def _names(parsed: pl.DataFrame) -> pl.DataFrame:
    state = CONTEXT[1:]
    lists = [
        parsed.lazy()
        .select("context_id", *state, kind=pl.lit(kind), name=pl.col(source))
        .explode("name")
        .drop_nulls("name")
        for source, kind in KIND_OF_LIST.items()
    ]
    return pl.concat(lists).collect()
