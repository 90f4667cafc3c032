"""Probes of the Query History API: whether it answers, and whose statements and texts it shows."""

from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from dbminer_dagster.errors import AccessDeniedError, WorkspaceError
from dbminer_dagster.preflight.advice import LOOK_BACK_DAYS, text_answer
from dbminer_dagster.preflight.model import Answer, Probe, Source, Stage, Status
from dbminer_dagster.preflight.rest_calls import get, probing, unavailable_answer
from dbminer_dagster.preflight.workspace import WorkspaceSession
from dbminer_dagster.resources.query_history_rows import REDACTED

PATH = "/api/2.0/sql/history/queries"
SAMPLED_STATEMENTS = 999
"""One page; the documentation allows less than a thousand."""

MOST_PAGES = 5
"""Pages may be empty and yet name a next one."""

_RANGE = "filter_by.query_start_time_range"

Row = dict[str, Any]


def query_history_probes(session: WorkspaceSession, needs: tuple[Probe, ...]) -> list[Probe]:
    """The probes.

    Args:
        session: In which they ask.
        needs: What must not have failed before.
    """
    history = _History(session)
    reachable = Probe(
        "query_history_api_reachable",
        Stage.AUTHORISATION,
        f"Ask for one statement of the last day (GET {PATH}).",
        history.reachable,
        needs=needs,
    )
    sample = (
        f"the newest statements, {SAMPLED_STATEMENTS} at most, of the last {LOOK_BACK_DAYS} days"
    )
    texts = Probe(
        "statement_text_visible",
        Stage.ADVICE,
        f"Count redacted and empty texts among {sample}.",
        history.texts_visible,
        needs=(reachable,),
    )
    others = Probe(
        "other_users_visible",
        Stage.ADVICE,
        f"Look for other users than the principal among {sample}.",
        history.others_visible,
        needs=(reachable,),
    )
    return [reachable, texts, others]


class _History:
    """The Query History API, and a sample of what it shows."""

    def __init__(self, session: WorkspaceSession) -> None:
        self._session = session

    def reachable(self) -> Answer:
        try:
            rows = self._newest(timedelta(days=1), count=1)
        except WorkspaceError as error:
            if answer := unavailable_answer(error, self._session, Source.QUERY_HISTORY):
                return answer
            if isinstance(error, AccessDeniedError):
                return self._denied(error)
            raise
        shown = "a statement" if rows else "no statement"
        return Answer(f"The Query History API answers; it shows {shown} of the last day.")

    def texts_visible(self) -> Answer:
        texts = [(row.get("query_text") or "").strip().lower() for row in self._sample]
        principal = self._session.connection.principal
        return text_answer(len(texts), texts.count(REDACTED), texts.count(""), principal)

    def others_visible(self) -> Answer:
        principal = self._session.connection.principal
        if not self._sample:
            text = f"No statement of the last {LOOK_BACK_DAYS} days tells whose are shown."
            return Answer(text, Status.WARNING, "Ask again once statements have run.")
        users = {(row.get("user_name") or "").lower() for row in self._sample}
        others = users - {principal.lower(), ""}
        if others:
            return Answer(
                f"{len(self._sample):,} recent statements are by {len(others)} other users than "
                f"{principal}."
            )
        return Answer(
            f"All {len(self._sample):,} recent statements are by {principal} itself. Where it may "
            "not see those of others, they are left out without an error.",
            Status.WARNING,
            f"Let an admin give {principal} CAN VIEW on every SQL warehouse whose statements are "
            "to be mined; without it popularity counts no other user.",
        )

    @cached_property
    def _sample(self) -> list[Row]:
        return self._newest(timedelta(days=LOOK_BACK_DAYS), count=SAMPLED_STATEMENTS)

    def _newest(self, age: timedelta, count: int) -> list[Row]:
        """The first page that has rows; statements come newest first."""
        now = datetime.now(UTC)
        query: Row = {
            f"{_RANGE}.start_time_ms": _epoch_ms(now - age),
            f"{_RANGE}.end_time_ms": _epoch_ms(now),
        }
        with probing(self._session, "read the query history") as client:
            for _ in range(MOST_PAGES):
                page = get(client, PATH, {**query, "max_results": count})
                token = page.get("next_page_token")
                if page.get("res") or not token:
                    return page.get("res") or []
                query = {"page_token": token}
        return []

    def _denied(self, error: AccessDeniedError) -> Answer:
        principal = self._session.connection.principal
        return Answer(
            error.what,
            Status.FAILED,
            f"Let an admin of the workspace give {principal} the entitlement Databricks SQL "
            "access, and CAN VIEW on the SQL warehouses whose statements are to be mined.",
        )


def _epoch_ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
