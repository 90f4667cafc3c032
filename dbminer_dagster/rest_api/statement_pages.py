"""Pages of the Query History API, each statement with what it is sorted and merged by."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from dbminer_dagster.databricks.pace import Pace
from dbminer_dagster.databricks.rest_calls import RestCalls
from dbminer_dagster.errors import WorkspaceError

PATH = "/api/2.0/sql/history/queries"
PAGE_ROWS = 999
"""The documentation allows less than a thousand."""
_UNFINISHED = frozenset({"QUEUED", "STARTED", "COMPILING", "COMPILED", "RUNNING"})


class _Row(msgspec.Struct):
    query_id: str
    query_start_time_ms: int
    query_end_time_ms: int | None = None
    status: str | None = None
    is_final: bool | None = None


class _Answer(msgspec.Struct):
    res: list[dict[str, Any]] | None = None
    has_next_page: bool | None = None
    next_page_token: str | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as one answer told of it.

    Attributes:
        statement_id: Its id.
        start_ms: When it started, in milliseconds since 1970.
        end_ms: When it ended; 0 while it runs.
        is_final: Whether the workspace will not change it any more.
        body: The row as it came, with the id of the workspace; a JSON object.
    """

    statement_id: str
    start_ms: int
    end_ms: int
    is_final: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """A page of statements; it may be empty in the middle of others.

    Attributes:
        statements: What it holds, in its order.
        next_token: Gives the page after it; None after the last one.
    """

    statements: list[Statement]
    next_token: str | None


@dataclass(slots=True)
class StatementPages:
    """Asks for pages; safe to use from any thread.

    Attributes:
        calls: On the workspace.
        pace: Of these calls.
        workspace_id: Written into every statement, since the API leaves it out.
    """

    calls: RestCalls
    pace: Pace
    workspace_id: str

    def read(
        self, what: str, filters: Mapping[str, Any], token: str | None = None
    ) -> Iterator[Page]:
        """The pages of what the filters let through, asked for one after the other.

        Args:
            what: What is read, such as `query history of 2026-01-05`.
            filters: As of the API. They are sent for the first page alone: with a token the
                workspace refuses any that it takes for others.
            token: Of the page to go on with; None begins with the first.

        Raises:
            WorkspaceError: A call failed, or its answer is no page.
        """
        used: set[str | None] = {None, token}
        while True:
            asked = filters if token is None else {"page_token": token}
            page_size = {"include_metrics": True, "max_results": PAGE_ROWS}
            body = self.calls.get(f"read {what}", PATH, {**asked, **page_size}, self.pace)
            page = self._page(what, body)
            token = page.next_token
            # Some workspaces give the token of the last page again and again.
            if token in used:
                yield Page(page.statements, None)
                return
            used.add(token)
            yield page

    def _page(self, what: str, body: dict[str, Any]) -> Page:
        try:
            answer = msgspec.convert(body, _Answer)
            statements = [self._statement(row) for row in answer.res or ()]
        except msgspec.ValidationError as error:
            raise _misunderstood(self.calls, what, str(error)) from error
        token = answer.next_page_token or None
        if answer.has_next_page and token is None:
            raise _misunderstood(self.calls, what, "more pages, but no token for them")
        return Page(statements, None if answer.has_next_page is False else token)

    def _statement(self, row: dict[str, Any]) -> Statement:
        known = msgspec.convert(row, _Row, strict=False)
        text = json.dumps({**row, "workspace_id": self.workspace_id}, ensure_ascii=False)
        return Statement(
            known.query_id,
            known.query_start_time_ms,
            known.query_end_time_ms or 0,
            known.status not in _UNFINISHED if known.is_final is None else known.is_final,
            # A text that was cut may end in half a character, which UTF-8 cannot hold.
            text.encode(errors="replace"),
        )


def _misunderstood(calls: RestCalls, what: str, reason: str) -> WorkspaceError:
    return WorkspaceError(
        f"Cannot read {what} at {calls.connection.host}: the answer holds {reason}.",
        "Run again; if that does not help, read it with DBMINER_QUERY_HISTORY_METHOD=system_table.",
        retryable=True,
    )
