"""The errors that the workspace's HTTP interfaces answer with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int = 200
    content: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """An answer other than success, with the body that Databricks or Entra gives it."""

    def __init__(
        self, status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {body}")
        content = json.dumps(body).encode()
        reason = {"x-databricks-reason-phrase": str(body["message"])} if "message" in body else {}
        self.answer = Answer(status, content, headers={**reason, **(headers or {})})


def refused(status: int, error_code: str | int, message: str) -> ApiError:
    """An error of the REST API; the header lets SQL clients show its message too."""
    return ApiError(status, {"error_code": error_code, "message": message})


def json_answer(body: Mapping[str, object], status: int = 200) -> Answer:
    """An answer in JSON."""
    return Answer(status, json.dumps(body).encode())
