"""The Query History API over the rows of `system.query.history`."""

import threading
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Literal

import msgspec

from dbminer_dagster_tests.databricks_emulator.api_error import Answer, ApiError, refused
from dbminer_dagster_tests.databricks_emulator.engine import Engine
from dbminer_dagster_tests.databricks_emulator.loading import text
from dbminer_dagster_tests.databricks_emulator.name_resolution import physical
from dbminer_dagster_tests.databricks_emulator.query_history_filter import (
    DAY_MS,
    Filter,
    Token,
    conditions,
    read_page,
    read_page_size,
)
from dbminer_dagster_tests.databricks_emulator.query_history_rows import (
    STATEMENT_COLUMNS,
    Statement,
    query_info,
)
from dbminer_dagster_tests.databricks_emulator.routes import Call, Route, route
from dbminer_dagster_tests.databricks_emulator.workspace import Workspace

LastPage = Literal["ends", "repeats_token", "repeats_token_without_flag"]
_HISTORY = physical("system", "query", "history")
# Small groups: a page needs few rows of one.
_ROW_GROUP_SIZE = 16_384
# Only the few statements that have several rows go through a window, which holds whole rows.
_LATEST = f"""
WITH own AS (FROM {_HISTORY} WHERE workspace_id = ? AND compute.warehouse_id IS NOT NULL),
repeated AS (SELECT statement_id FROM own GROUP BY ALL HAVING count(*) > 1)
SELECT {STATEMENT_COLUMNS} FROM own WHERE statement_id NOT IN (FROM repeated)
UNION ALL
SELECT {STATEMENT_COLUMNS} FROM own WHERE statement_id IN (FROM repeated)
QUALIFY row_number() OVER (PARTITION BY statement_id ORDER BY update_time DESC NULLS LAST) = 1
ORDER BY start_ms DESC, query_id
"""


class QueryHistoryApi:
    """Answers `GET /api/2.0/sql/history/queries`.

    It knows the statements of this workspace that ran on a warehouse, each as it was updated last.

    Attributes:
        running: Ids of statements that are not final yet, and in how many answers more they are
            so; None for as long as they are not taken out.
        horizon_days: How many days back it knows statements.
        refusal: What every request is answered with while it is set.
        empty_page_every: Every n-th page is empty and carries a token.
        last_page: How the last page tells that it is the last; old servers repeated its token.
        overlap_rows: Rows of a page that come again on the next one; fewer than a page has.
        forgets_tokens: How many page tokens more it refuses as if they were not its own.
    """

    def __init__(self, workspace: Workspace, engine: Engine) -> None:
        self.running: dict[str, int | None] = {}
        self.horizon_days = 30
        self.refusal: ApiError | None = None
        self.empty_page_every: int | None = None
        self.last_page: LastPage = "ends"
        self.overlap_rows = 0
        self.forgets_tokens = 0
        self._workspace, self._engine = workspace, engine
        self._lock = threading.Lock()
        self._state: tuple[int, str] | None = None

    @property
    def routes(self) -> tuple[Route, ...]:
        """What it answers."""
        return (route("GET", "/api/2.0/sql/history/queries", "sql", self._answer),)

    def _answer(self, call: Call) -> Answer:
        if self.refusal:
            raise self.refusal
        self._forget(call)
        token, size = read_page(call.values), read_page_size(call.values)
        page = token.page + 1
        if self.empty_page_every and page % self.empty_page_every == 0:
            return _json(_next(Token(token.filter, token.after, page)))
        found = self._statements(call, token, size + 1)
        shown = found[:size]
        is_last = len(found) <= size
        body = {"res": self._rows(call, shown), **self._links(token, shown, is_last=is_last)}
        return _json(body)

    def _forget(self, call: Call) -> None:
        with self._lock:
            if self.forgets_tokens and "page_token" in call.query:
                self.forgets_tokens -= 1
                raise refused(400, "INVALID_PARAMETER_VALUE", "The page token is invalid.")

    def _links(self, token: Token, shown: Sequence[Statement], *, is_last: bool) -> dict[str, Any]:
        """The members of a page that lead to the next one."""
        if not is_last:
            before = shown[-1 - self.overlap_rows]
            after = (before.start_ms, before.query_id)
            return _next(Token(token.filter, after, token.page + 1))
        match self.last_page:
            case "ends":
                return {"has_next_page": False}
            case "repeats_token":
                return _next(token)
            case "repeats_token_without_flag":
                return {"next_page_token": token.text()}

    def _statements(self, call: Call, token: Token, count: int) -> list[Statement]:
        """The next statements that the caller may see, newest first."""
        self._refresh()
        start_ms, end_ms = self._range(token.filter)
        where, values = conditions(token.filter, list(self.running), token.after)
        if call.principal.name in self._workspace.sees_only_own_statements:
            where.append("user_name = ?")
            values.append(call.principal.name)
        chosen = " AND ".join(["start_ms BETWEEN ? AND ?", *where])
        # No ORDER BY: they are stored in order, which DuckDB keeps, and so it stops at the limit.
        select = f"SELECT * FROM rest.statements WHERE {chosen} LIMIT {count}"
        with closing(self._engine.cursor()) as cursor:
            rows = cursor.execute(select, [start_ms, end_ms, *values]).fetchall()
        return [Statement(*row) for row in rows]

    def _range(self, chosen: Filter) -> tuple[int, int]:
        """The wanted times as far as statements of them are known."""
        now_ms = int(self._workspace.clock().timestamp() * 1000)
        horizon_ms = now_ms - self.horizon_days * DAY_MS
        start_ms = horizon_ms if chosen.start_ms is None else chosen.start_ms
        end_ms = now_ms if chosen.end_ms is None else chosen.end_ms
        return max(start_ms, horizon_ms), min(end_ms, now_ms)

    def _rows(self, call: Call, statements: Sequence[Statement]) -> list[dict[str, Any]]:
        sees_text = call.principal.name in self._workspace.sees_statement_text
        with_metrics = call.query.get("include_metrics") == "true"
        return [
            query_info(
                statement,
                is_running=self._is_running(statement.query_id),
                with_metrics=with_metrics,
                sees_text=sees_text,
            )
            for statement in statements
        ]

    def _is_running(self, query_id: str) -> bool:
        """Whether a statement is not final; each answer brings it nearer to its end."""
        if query_id not in self.running:
            return False
        with self._lock:
            left = self.running[query_id]
            if left is None:
                return True
            if left > 1:
                self.running[query_id] = left - 1
            else:
                del self.running[query_id]
            return left > 0

    def _refresh(self) -> None:
        """Keeps the statements in the order of the answers, anew when the data has changed."""
        state = (self._engine.changes, self._workspace.workspace_id)
        with self._lock:
            if state == self._state:
                return
            path = text(str(self._engine.folder / "rest.duckdb"))
            options = f"(ROW_GROUP_SIZE {_ROW_GROUP_SIZE})"
            with closing(self._engine.cursor()) as cursor:
                cursor.execute(f"ATTACH IF NOT EXISTS {path} AS rest {options}")
                cursor.execute(f"CREATE OR REPLACE TABLE rest.statements AS {_LATEST}", state[1:])
            self._state = state


def _next(token: Token) -> dict[str, Any]:
    return {"has_next_page": True, "next_page_token": token.text()}


def _json(body: dict[str, Any]) -> Answer:
    return Answer(content=msgspec.json.encode(body))
