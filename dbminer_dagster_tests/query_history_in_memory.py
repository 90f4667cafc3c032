"""A query history that answers in memory, for properties that need thousands of answers."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from dbminer_dagster.databricks.pace import Pace
from dbminer_dagster.databricks.rest_calls import RestCalls

LastPage = Literal["ends", "no_flag", "repeats_token", "begins_again"]
_RANGE = "filter_by.query_start_time_range"


class Killed(BaseException):
    """Ends a reading as a signal does: nobody handles it."""


@dataclass(slots=True)
class _Connection:
    host: str = "https://lake.example"

    def signed_in(self) -> str:
        return "ann@lake.example"


@dataclass(slots=True)
class HistoryInMemory:
    """Takes the place of `RestCalls`.

    Attributes:
        rows: All rows that it knows, in the order in which it gives them.
        page_rows: Rows on a page.
        are_bounds_included: Whether a range holds its first and last millisecond.
        overlap_rows: Rows of a page that come again on the next one.
        empty_page_every: Every n-th page is empty and has a token.
        last_page: How the last page tells that it is the last.
        kills: How many requests are answered until one is not, again and again.
        asked: The requests that were answered.
    """

    rows: Sequence[Mapping[str, Any]]
    page_rows: int = 999
    are_bounds_included: bool = True
    overlap_rows: int = 0
    empty_page_every: int = 0
    last_page: LastPage = "ends"
    kills: list[int] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    connection: _Connection = field(default_factory=_Connection)
    workspace_id: str = "17"
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def as_calls(self) -> RestCalls:
        """Itself, for who asks a workspace."""
        return cast("RestCalls", self)

    def get(self, what: str, path: str, query: Mapping[str, Any], pace: Pace) -> dict[str, Any]:
        """A page."""
        del what, path
        pace.wait()
        with self._lock:
            if self.kills:
                self.kills[0] -= 1
                if self.kills[0] < 0:
                    self.kills.pop(0)
                    raise Killed
            self.asked.append(dict(query))
            return self._page(query)

    def _page(self, query: Mapping[str, Any]) -> dict[str, Any]:
        token = query.get("page_token")
        if token is None:
            first, last = (query[f"{_RANGE}.{end}_time_ms"] for end in ("start", "end"))
            number, position = 1, 0
        else:
            first, last, number, position = map(int, token.split("-"))
        found = [row for row in self.rows if self._is_between(row, first, last)]
        ids = query.get("filter_by.statement_ids")
        if ids is not None:
            found = [row for row in found if row["query_id"] in ids]
        if self.empty_page_every and number % self.empty_page_every == 0:
            return _more([], f"{first}-{last}-{number + 1}-{position}")
        end = position + self.page_rows
        shown = list(found[position:end])
        if end < len(found):
            after = max(end - self.overlap_rows, position + 1)
            return _more(shown, f"{first}-{last}-{number + 1}-{after}")
        match self.last_page:
            case "ends":
                return {"res": shown, "has_next_page": False, "next_page_token": "unused"}
            case "no_flag":
                return {"res": shown}
            case "repeats_token":
                return _more(shown, token or f"{first}-{last}-{number}-{position}")
            case "begins_again":
                return {"res": shown, "next_page_token": f"{first}-{last}-1-0"}

    def _is_between(self, row: Mapping[str, Any], first: int, last: int) -> bool:
        start: int = row["query_start_time_ms"]
        return first <= start <= last if self.are_bounds_included else first < start < last


def _more(rows: list[Mapping[str, Any]], token: str) -> dict[str, Any]:
    return {"res": rows, "has_next_page": True, "next_page_token": token}
