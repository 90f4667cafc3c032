"""REST calls: which function answers which path."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dbminer_dagster_tests.databricks_emulator.api_error import Answer, refused
from dbminer_dagster_tests.databricks_emulator.workspace import Principal, Workspace

Body = dict[str, object]


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated call.

    Attributes:
        parts: The variable parts of the path.
        values: The parameters, in the order of each one's values; those of a `GET` may also come
            as a JSON body.
    """

    workspace: Workspace
    principal: Principal
    parts: tuple[str, ...]
    values: Mapping[str, Sequence[str]]

    @property
    def query(self) -> dict[str, str]:
        """The parameters, the last value of each."""
        return {name: values[-1] for name, values in self.values.items()}


class Route(NamedTuple):
    """A kind of call.

    Attributes:
        scope: The scope that its token needs; none when any token will do.
    """

    method: str
    path: re.Pattern[str]
    scope: str | None
    answer: Callable[[Call], Body | Answer]


def route(
    method: str, path: str, scope: str | None, answer: Callable[[Call], Body | Answer]
) -> Route:
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
