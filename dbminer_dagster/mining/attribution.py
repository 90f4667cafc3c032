"""Which tables and columns each statement used: by lineage first, by its text otherwise.

Statements stay on the engine; what they have in common comes to this machine: the sets that
lineage tells, and templates with the states of their sessions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import narwhals as nw
import polars as pl

from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.by_lineage import (
    TOLD,
    DayLineage,
    LineageSets,
    sets_by_lineage,
    with_lineage,
    with_workspace,
)
from dbminer_dagster.mining.by_text import STATE, ReferencesOf, TextSets, sets_by_text
from dbminer_dagster.mining.reference_sets import KINDS
from dbminer_dagster.mining.usage import MEASURED, MEASURES, REFERENCE, added_up, with_measures

WAYS = ("lineage", "parsed", "scanned", "unattributed")
CONTEXT = ["query_hash", "state"]
USE = ["query_hash", "operation", "set_number", "user_name", "state", "text_redacted"]
USE_SCHEMA = pl.Schema(
    dict.fromkeys(("query_hash", "operation", "user_name"), pl.String)
    | {"set_number": pl.Int64, "state": pl.Int64, "text_redacted": pl.Boolean}
    | MEASURES
)
PLACED = ["query_hash", "operation", "set_number", "session_id", "text_redacted"]
NO_STATE = -1
_PLACE_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a day's statements are attributed by.

    Attributes:
        lineage: Raw lineage of the day and the one before it.
        session_states: See `sessions.states_after`, of the same days.
        known_tables: Full names of all tables that lineage or the inventory knows.
        known_columns: `table_name` and `columns` of those whose columns are known.
        references_of: Parses templates.
        excluded_catalogs: Globs; references into them are left out and counted.
    """

    lineage: DayLineage
    session_states: pl.DataFrame
    known_tables: pl.Series
    known_columns: pl.LazyFrame
    references_of: ReferencesOf
    excluded_catalogs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a day's statements used.

    Attributes:
        uses: `usage.REFERENCE`, `attribution`, `user_name` and `usage.MEASURES` of what was
            attributed; parts of a use may come apart.
        sets: `set_hash`, `set_key` and the lists `KINDS`; distinct.
        reasons: What texts left open, see `reasons.count_reasons`.
        counts: Statements by attribution, and references left out.
    """

    uses: nw.LazyFrame
    sets: pl.DataFrame
    reasons: pl.DataFrame
    counts: dict[str, int]


@contextmanager
def attribute(
    engine: Engine, statements: nw.LazyFrame, texts: pl.DataFrame, evidence: Evidence
) -> Iterator[Attribution]:
    """Attributes the statements of one day; their uses can be read until the block ends.

    Args:
        engine: Runs the frames.
        statements: Rows of `filtered_queries`; their texts are not needed.
        texts: `query_hash` and `statement_text`: one example of each template.
        evidence: What to go by.
    """
    told = sets_by_lineage(engine, evidence.lineage, evidence.excluded_catalogs)
    with engine.spooled(_uses(engine, statements, told, evidence)) as uses:
        by_text, outcomes = _text_outcomes(engine, uses, texts, evidence)
        outcome = _with_outcome(engine, uses, engine.frame(told.sets), engine.frame(outcomes))
        columns = ["set_hash", "set_key", *KINDS]
        yield Attribution(
            uses=outcome.filter(~nw.col("attribution").is_null()),
            sets=pl.concat([told.sets.select(columns), by_text.sets.select(columns)]).unique(
                "set_hash"
            ),
            reasons=by_text.reasons,
            counts=_counts(engine, outcome, by_text.reasons),
        )


def _uses(
    engine: Engine, statements: nw.LazyFrame, told: LineageSets, evidence: Evidence
) -> nw.LazyFrame:
    """What statements add up to, some of them at a time: parts of a use stay apart."""
    nameless = statements.filter(nw.col("workspace_id").is_null()).select(nw.len())
    if engine.collect(nameless).item():
        for told_by in ("statement_id", "cache_origin_statement_id"):
            statements = with_workspace(statements, evidence.lineage.tables, told_by)
    rows = with_lineage(engine, statements, told.statements).select(*PLACED, *MEASURED)
    add_up = partial(uses_of_batch, states=_numbered(evidence.session_states))
    return engine.map_batches(rows, add_up, USE_SCHEMA)


def uses_of_batch(statements: pl.DataFrame, states: pl.DataFrame) -> pl.DataFrame:
    """What statements add up to, with the state of their session where their text decides.

    Args:
        statements: `PLACED` and `usage.MEASURED`.
        states: `session_id`, `start_time` and `state`, by time.
    """
    by_text = pl.col("set_number").is_null()
    placed = statements.sort("start_time").join_asof(
        states, on="start_time", by="session_id", check_sortedness=False
    )
    rows = with_measures(placed).with_columns(
        state=pl.when(by_text).then("state").fill_null(NO_STATE),
        text_redacted=pl.col("text_redacted").fill_null(value=False),
    )
    added = added_up(nw.from_native(rows.lazy()), USE).to_native()
    return added.select(USE_SCHEMA.names()).collect()


def _numbered(states: pl.DataFrame) -> pl.DataFrame:
    """States as numbers, since a batch needs no more of them."""
    return states.select(
        "session_id", "start_time", state=pl.struct(STATE).rank("dense").cast(pl.Int64)
    )


def _text_outcomes(
    engine: Engine, uses: nw.LazyFrame, texts: pl.DataFrame, evidence: Evidence
) -> tuple[TextSets, pl.DataFrame]:
    """What the texts tell where lineage does not, and that for each template and state."""
    untold = uses.filter(nw.col("set_number").is_null(), ~nw.col("query_hash").is_null())
    contexts = engine.collect(
        untold.group_by(CONTEXT).agg(nw.col("statement_count").sum().alias("statement_count"))
    ).with_row_index("row")
    states = evidence.session_states.with_columns(_numbered(evidence.session_states)["state"])
    by_text = sets_by_text(
        contexts.with_columns(
            session_id=pl.col("state").cast(pl.String), start_time=pl.lit(_PLACE_TIME)
        ),
        texts.join(contexts, on="query_hash", how="semi"),
        states.unique("state").with_columns(
            session_id=pl.col("state").cast(pl.String), start_time=pl.lit(_PLACE_TIME)
        ),
        evidence.known_tables,
        evidence.references_of,
        evidence.excluded_catalogs,
        columns=evidence.known_columns,
    )
    outcomes = contexts.join(by_text.statements, on="row").join(by_text.sets, on="context_id")
    understood = ~pl.col("resolves_nothing") & pl.col("attribution").is_not_null()
    return by_text, outcomes.select(
        *CONTEXT,
        "resolves_nothing",
        text_attribution=pl.when(understood).then("attribution"),
        text_set=pl.when(understood).then("set_hash"),
        text_excluded="excluded_references",
    )


def _with_outcome(
    engine: Engine, uses: nw.LazyFrame, sets: nw.LazyFrame, outcomes: nw.LazyFrame
) -> nw.LazyFrame:
    """Uses with `attribution` and `set_hash`, both null where nothing tells: then a `failure`."""
    by_lineage = ~nw.col("set_number").is_null()
    is_untold = ~by_lineage & nw.col("text_attribution").is_null()
    failure = (
        nw.when(is_untold & nw.col("text_redacted"))
        .then(nw.lit("text_redacted"))
        .when(is_untold & nw.col("query_hash").is_null())
        .then(nw.lit("no_text"))
        .when(is_untold & nw.col("resolves_nothing").fill_null(value=False))
        .then(nw.lit("unresolved"))
        .when(is_untold)
        .then(nw.lit("not_understood"))
    )
    attribution = nw.when(by_lineage).then(nw.lit("lineage"))
    excluded = nw.coalesce("excluded_references", "text_excluded").fill_null(0)
    by_lineage_told = engine.look_up(uses, sets.select("set_number", *TOLD), ["set_number"])
    return (
        engine.look_up(by_lineage_told, outcomes, CONTEXT)
        .with_columns(
            failure=failure,
            attribution=attribution.otherwise(nw.col("text_attribution")),
            set_hash=nw.coalesce("set_hash", "text_set"),
            excluded_references=excluded * nw.col("statement_count"),
        )
        .select(
            *REFERENCE,
            "user_name",
            "attribution",
            "failure",
            "excluded_references",
            *MEASURES.names(),
        )
    )


def _counts(engine: Engine, outcome: nw.LazyFrame, reasons: pl.DataFrame) -> dict[str, int]:
    """Statements by attribution, by why there is none, and by what their texts left open."""
    sums = ("statement_count", "cached_statement_count", "excluded_references")
    totals = engine.collect(
        outcome.group_by("attribution", "failure").agg(
            *(nw.col(name).sum().alias(name) for name in sums)
        )
    )
    statements = pl.col("statement_count").sum()
    by_way = totals.group_by(pl.col("attribution").fill_null("unattributed")).agg(statements)
    by_failure = totals.drop_nulls("failure").group_by("failure").agg(statements)
    by_reason = reasons.group_by("reason").agg(statements)
    return {
        **dict.fromkeys(WAYS, 0),
        **dict(by_way.iter_rows()),
        **{f"unattributed:{reason}": count for reason, count in by_failure.iter_rows()},
        **{f"unresolved:{reason}": count for reason, count in by_reason.iter_rows()},
        "cached_statements": int(totals["cached_statement_count"].sum()),
        "excluded_references": int(totals["excluded_references"].sum()),
    }
