"""The parameters and page tokens of the Query History API."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dbminer_dagster_tests.databricks_emulator.api_error import ApiError, refused

DAY_MS = 86_400_000
LONGEST_RANGE_MS = 30 * DAY_MS
MOST_ROWS = 1000
_DEFAULT_ROWS = 100
_RANGE = "filter_by.query_start_time_range."
_STATUSES = frozenset(
    {
        *("CANCELED", "COMPILED", "COMPILING", "FAILED"),
        *("FINISHED", "QUEUED", "RUNNING", "STARTED"),
    }
)
# Real tokens are opaque; these hold every character that a client has to escape.
_TOKEN_PREFIX = b"\xfb\xef\xbe\xff\xff\xff"


class Filter(msgspec.Struct, frozen=True):
    """Which statements are wanted; what is empty wants all.

    Attributes:
        start_ms: Earliest start time, inclusive.
        end_ms: Latest start time, inclusive.
    """

    start_ms: int | None = None
    end_ms: int | None = None
    statuses: tuple[str, ...] = ()
    user_ids: tuple[int, ...] = ()
    warehouse_ids: tuple[str, ...] = ()
    statement_ids: tuple[str, ...] = ()


class Token(msgspec.Struct, frozen=True):
    """Where a page begins.

    Attributes:
        after: Start time and id of the statement before it; none for the first page.
        page: How many pages came before.
    """

    filter: Filter
    after: tuple[int, str] | None = None
    page: int = 0

    def text(self) -> str:
        """The token as clients see it: base64 with `+`, `/` and `=` in it."""
        content = _TOKEN_PREFIX + msgspec.json.encode(self)
        content += b" " * (-(len(content) + 1) % 3)
        return base64.b64encode(content).decode()


def read_token(text: str) -> Token:
    """The token that a client sends back.

    Raises:
        ApiError: It is none of ours.
    """
    try:
        content = base64.b64decode(text, validate=True)
        return msgspec.json.decode(content.removeprefix(_TOKEN_PREFIX), type=Token)
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        raise _invalid("The page token is invalid.") from None


def read_filter(values: Mapping[str, Sequence[str]]) -> Filter:
    """The filter of a request.

    Raises:
        ApiError: A value is wrong, or the range is longer than allowed.
    """
    statuses = tuple(sorted(values.get("filter_by.statuses", ())))
    if unknown := set(statuses) - _STATUSES:
        raise _invalid(f"Unknown query status: {', '.join(sorted(unknown))}.")
    chosen = Filter(
        start_ms=_number(values, f"{_RANGE}start_time_ms"),
        end_ms=_number(values, f"{_RANGE}end_time_ms"),
        statuses=statuses,
        user_ids=tuple(sorted(map(_whole, values.get("filter_by.user_ids", ())))),
        warehouse_ids=tuple(sorted(values.get("filter_by.warehouse_ids", ()))),
        statement_ids=tuple(sorted(values.get("filter_by.statement_ids", ()))),
    )
    if chosen.start_ms is not None and chosen.end_ms is not None:
        if chosen.end_ms < chosen.start_ms:
            raise _invalid("The start time must not be after the end time.")
        if chosen.end_ms - chosen.start_ms > LONGEST_RANGE_MS:
            raise _invalid("The time range must not be longer than 30 days.")
    return chosen


def read_page(values: Mapping[str, Sequence[str]]) -> Token:
    """Where the wanted page begins: at the token, else at the newest statement of the filter.

    Raises:
        ApiError: The token is wrong, or its filter is not that of the request.
    """
    text, given = values.get("page_token", [""])[-1], read_filter(values)
    if not text:
        return Token(given)
    token = read_token(text)
    if given not in (Filter(), token.filter):
        raise _invalid(
            "When providing a page token and a filter, the filter must match the filter "
            "represented by the page token."
        )
    return token


def read_page_size(values: Mapping[str, Sequence[str]]) -> int:
    """The greatest number of rows on a page.

    Raises:
        ApiError: It is out of range.
    """
    size = _number(values, "max_results") or _DEFAULT_ROWS
    if not 0 < size <= MOST_ROWS:
        raise _invalid(f"max_results must be between 1 and {MOST_ROWS}.")
    return size


def conditions(
    chosen: Filter, running: Sequence[str], after: tuple[int, str] | None
) -> tuple[list[str], list[Any]]:
    """SQL conditions on the statements, and the values of their markers."""
    found: list[tuple[str, list[Any]]] = []
    if chosen.statuses:
        is_running = "query_id IN (SELECT unnest(?::VARCHAR[]))"
        status = f"CASE WHEN {is_running} THEN 'RUNNING' ELSE status END"
        wanted = ", ".join("?" for _ in chosen.statuses)
        found.append((f"{status} IN ({wanted})", [list(running), *chosen.statuses]))
    for column, values in (
        ("user_id", chosen.user_ids),
        ("warehouse_id", chosen.warehouse_ids),
        ("query_id", chosen.statement_ids),
    ):
        if values:
            found.append((f"{column} IN (SELECT unnest(?))", [list(values)]))
    if after:
        started, query_id = after
        before = "start_ms <= ? AND (start_ms < ? OR query_id > ?)"
        found.append((before, [started, started, query_id]))
    return [text for text, _ in found], [value for _, values in found for value in values]


def _number(values: Mapping[str, Sequence[str]], name: str) -> int | None:
    return _whole(values[name][-1]) if name in values else None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _invalid(f"'{text}' is not a whole number.") from None


def _invalid(message: str) -> ApiError:
    return refused(400, "INVALID_PARAMETER_VALUE", message)
