"""Posting to a webhook: repeated where that helps, and never a word about its address."""

import socket
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import SecretStr

from dbminer_dagster import webhook
from dbminer_dagster.errors import AlertError
from dbminer_dagster.webhook import ATTEMPTS, post
from dbminer_dagster_tests.webhook_server import Answer, WebhookServer, run_webhook_server


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited between attempts; none of them passes."""
    waited: list[float] = []
    monkeypatch.setattr(webhook.time, "sleep", waited.append)
    return waited


@pytest.fixture
def server(no_databricks: pytest.MonkeyPatch, waits: list[float]) -> Iterator[WebhookServer]:
    """A webhook, reached without a proxy."""
    assert no_databricks
    assert not waits
    with run_webhook_server() as found:
        yield found


def refusal(url: str) -> AlertError:
    """Why the webhook does not take an alert; its address is in no line of the traceback."""
    with pytest.raises(AlertError) as caught:
        post(SecretStr(url), {"text": "It failed."})
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "hush" not in shown
    assert "127.0.0.1" not in shown
    return caught.value


def test_json_is_posted(server: WebhookServer) -> None:
    """The webhook gets the payload as JSON, once."""
    post(SecretStr(server.url), {"text": "It failed: ä."})

    assert server.posted == [{"text": "It failed: ä."}]
    assert server.requests == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 0])
def test_what_may_pass_is_posted_again(
    status: int, server: WebhookServer, waits: list[float]
) -> None:
    """A webhook that is busy or failing gets the alert again, after waits that grow."""
    server.answers = [Answer(status), Answer(status)]

    post(SecretStr(server.url), {"text": "It failed."})

    assert server.texts == ["It failed."]
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize(
    ("status", "said"), [(503, "it answered 503"), (0, "it did not answer as HTTP wants")]
)
def test_attempts_end(status: int, said: str, server: WebhookServer) -> None:
    """After some attempts the alert is given up, with what the last one met."""
    server.answers = [Answer(status)] * 10

    error = refusal(server.url)

    assert server.requests == ATTEMPTS
    assert said in str(error)
    assert "again with the next tick" in str(error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_cannot_pass_is_not_posted_again(status: int, server: WebhookServer) -> None:
    """A webhook that is gone or refuses is asked once, and the remedy is a new one."""
    server.answers = [Answer(status)]

    error = refusal(server.url)

    assert server.requests == 1
    assert f"it answered {status}" in str(error)
    assert "Make a new one" in str(error)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_an_alert_is_not_sent_elsewhere(status: int, server: WebhookServer) -> None:
    """A redirect is no place for an alert."""
    server.answers = [Answer(status, {"Location": server.url})] * 10

    assert f"it answered {status}" in str(refusal(server.url))
    assert server.posted == []


def test_a_short_wait_that_is_asked_for_is_kept(server: WebhookServer, waits: list[float]) -> None:
    """The webhook says for how long it wants no request."""
    server.answers = [Answer(429, {"Retry-After": "5"})]

    post(SecretStr(server.url), {"text": "It failed."})

    assert waits == [5.0]


@pytest.mark.parametrize("as_time", [False, True], ids=["seconds", "time"])
def test_a_long_wait_is_told(as_time: bool, server: WebhookServer, waits: list[float]) -> None:
    """A wait that a tick has no time for is left to the caller."""
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=3600), usegmt=True)
    server.answers = [Answer(429, {"Retry-After": at if as_time else "3600"})]

    error = refusal(server.url)

    assert error.wait_s is not None
    assert 3500 < error.wait_s <= 3600
    assert waits == []
    assert server.requests == 1


@pytest.mark.parametrize("text", ["soon", "", "-5", "Mon, 32 Jan 2026 00:00:00 GMT"])
def test_a_wait_that_says_nothing_is_none(text: str, server: WebhookServer) -> None:
    """What is neither seconds nor a time does not stop the next attempt."""
    server.answers = [Answer(503, {"Retry-After": text})]

    post(SecretStr(server.url), {"text": "It failed."})

    assert server.texts == ["It failed."]


def test_nobody_there_is_told(server: WebhookServer) -> None:
    """A port that nobody listens on is told as such."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/hush-hush"

    assert "it refused the connection. Make it reachable" in str(refusal(url))
    assert server.requests == 0


def test_silence_is_told(server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook that takes the connection and says nothing is not waited for for ever."""
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/hush-hush"

        assert "it did not answer within 0.05 seconds" in str(refusal(url))
    assert server.requests == 0


@pytest.mark.usefixtures("server")
def test_an_unknown_host_is_told() -> None:
    """A name that does not exist is told without the name."""
    assert "it cannot be reached" in str(refusal("http://hush.invalid/hush-hush"))
