"""REST calls: which function answers which path."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dbminer_dagster_tests.databricks_emulator.api_error import refused
from dbminer_dagster_tests.databricks_emulator.workspace import Principal, Workspace

Body = dict[str, object]


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated call.

    Attributes:
        parts: The variable parts of the path.
        query: The parameters of the query.
    """

    workspace: Workspace
    principal: Principal
    parts: tuple[str, ...]
    query: Mapping[str, str]


class Route(NamedTuple):
    """A kind of call.

    Attributes:
        scope: The scope that its token needs; none when any token will do.
    """

    method: str
    path: re.Pattern[str]
    scope: str | None
    answer: Callable[[Call], Body]


def route(method: str, path: str, scope: str | None, answer: Callable[[Call], Body]) -> Route:
    """A route; `*` in the path stands for a variable part."""
    pattern = re.escape(path).replace(r"\*", "([^/]+)")
    return Route(method, re.compile(pattern), scope, answer)


def find_route(routes: Iterable[Route], method: str, path: str) -> tuple[Route, tuple[str, ...]]:
    """The route of a request and the variable parts of its path.

    Raises:
        ApiError: There is no such call.
    """
    for candidate in routes:
        match = candidate.path.fullmatch(path)
        if match and candidate.method == method:
            return candidate, match.groups()
    raise refused(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'")
