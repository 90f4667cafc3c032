"""Probes whose answer is advice: a run may go on without it."""

from datetime import UTC, date, datetime, timedelta

from dbminer_dagster.databricks.system_tables import SystemTable
from dbminer_dagster.preflight.model import Answer, Probe, Source, Stage, Status
from dbminer_dagster.preflight.workspace import WorkspaceSession
from dbminer_dagster.resources.query_history_rows import REDACTED

LOOK_BACK_DAYS = 30
"""How far back rows are looked for. Older ones would cost a scan, and no longer help."""

SAMPLED_STATEMENTS = 1_000
HIDDEN_SHARE = 0.01
"""Share of statements without a text that is normal."""

_SECONDS_A_DAY = 24 * 3600


def freshness_probe(
    session: WorkspaceSession, source: Source, tables: tuple[SystemTable, ...], columns: Probe
) -> Probe:
    """The probe of the newest row of each table.

    Args:
        session: In which the statements run.
        source: Which of the two the tables are.
        tables: What is asked.
        columns: The probe of the columns that it needs.
    """
    newest = "event_time" if source is Source.LINEAGE else "start_time"
    return Probe(
        "source_is_fresh",
        Stage.ADVICE,
        f"Select the newest {newest} of {' and '.join(table.full_name for table in tables)}.",
        lambda: _fresh(session, tables, newest),
        needs=(columns,),
        budget_seconds=session.wait_seconds,
        abandon=session.abandon,
    )


def _fresh(session: WorkspaceSession, tables: tuple[SystemTable, ...], column: str) -> Answer:
    now = datetime.now(UTC)
    limit_days = session.settings.lag_days + 1
    ages, is_stale = [], False
    for table in tables:
        newest = _newest(session, table, column, now, limit_days)
        if newest is None:
            ages.append(f"none of the last {LOOK_BACK_DAYS} days in {table.full_name}")
        else:
            age_days = (now - newest).total_seconds() / _SECONDS_A_DAY
            ages.append(f"{age_days:.1f} days old in {table.full_name} ({newest:%Y-%m-%d %H:%M})")
        is_stale |= newest is None or now - newest > timedelta(days=limit_days)
    text = f"The newest row is {', and '.join(ages)}."
    return _stale_answer(text, tables, limit_days) if is_stale else Answer(text)


def _stale_answer(text: str, tables: tuple[SystemTable, ...], limit_days: int) -> Answer:
    if any(table.is_clone for table in tables):
        remedy = "Ask whoever made the clone whether it still follows the system table."
    else:
        remedy = (
            "Look whether anything ran: the tables tell of the workspaces in the region of the "
            "warehouse, once their system schema is enabled, and are filled late."
        )
    expected = f"It should be younger than {limit_days} days, which is DBMINER_LAG_DAYS and one."
    return Answer(f"{text} {expected}", Status.WARNING, remedy)


def _newest(
    session: WorkspaceSession, table: SystemTable, column: str, now: datetime, recent_days: int
) -> datetime | None:
    """The newest time; of the few newest days first, since most often it is there."""
    # Lineage is partitioned by the day of the event; query history names no partition column.
    bounded, bound = ("event_date", date) if column == "event_time" else (column, datetime)
    for days in (recent_days, LOOK_BACK_DAYS):
        since = now - timedelta(days=days)
        sql = f"SELECT max({column}) AS newest FROM {table.quoted} WHERE {bounded} >= :since"  # noqa: S608
        rows = session.warehouse.rows(sql, {"since": since.date() if bound is date else since})
        if (newest := rows[0]["newest"]) is not None:
            return newest.replace(tzinfo=UTC) if newest.tzinfo is None else newest
    return None


def text_probe(session: WorkspaceSession, table: SystemTable, columns: Probe) -> Probe:
    """The probe of the texts of recent statements; arguments as of `freshness_probe`."""
    return Probe(
        "statement_text_visible",
        Stage.ADVICE,
        f"Count redacted and empty texts among {SAMPLED_STATEMENTS:,} recent statements of "
        f"{table.full_name}.",
        lambda: _text_visible(session, table),
        needs=(columns,),
        budget_seconds=session.wait_seconds,
        abandon=session.abandon,
    )


def _text_visible(session: WorkspaceSession, table: SystemTable) -> Answer:
    since = datetime.now(UTC) - timedelta(days=LOOK_BACK_DAYS)
    rows = session.warehouse.rows(
        f"""SELECT
            count(*) AS sampled,
            count_if(lower(coalesce(statement_text, '')) = :redacted) AS redacted,
            count_if(coalesce(statement_text, '') = '') AS empty
        FROM (
            SELECT statement_text FROM {table.quoted}
            WHERE start_time >= :since LIMIT {SAMPLED_STATEMENTS}
        )""",  # noqa: S608 - names are quoted
        {"since": since, "redacted": REDACTED},
    )
    sampled, redacted, empty = (rows[0][name] for name in ("sampled", "redacted", "empty"))
    return text_answer(sampled, redacted, empty, session.connection.principal)


def text_answer(sampled: int, redacted: int, empty: int, principal: str) -> Answer:
    """What the texts of recent statements say of all texts.

    Args:
        sampled: How many statements were looked at.
        redacted: Those whose text is redacted.
        empty: Those without a text.
        principal: Who looked.
    """
    if not sampled:
        text = f"No statement of the last {LOOK_BACK_DAYS} days tells whether texts are shown."
        return Answer(text, Status.WARNING, "Ask again once statements have run.")
    found = (
        f"Of {sampled:,} recent statements {redacted / sampled:.0%} have a redacted text and "
        f"{empty / sampled:.0%} an empty one"
    )
    if redacted / sampled > HIDDEN_SHARE:
        return Answer(
            f"{found}; these are attributed by lineage only.",
            Status.WARNING,
            f"Let an account admin add {principal} to the account-level group "
            "databricks_pii_access.",
        )
    if empty / sampled > HIDDEN_SHARE:
        return Answer(
            f"{found}; these are attributed by lineage only.",
            Status.WARNING,
            "Nothing to repair where customer-managed keys encrypt the texts: go on by lineage.",
        )
    return Answer(f"{found}.")
