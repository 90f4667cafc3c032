"""A webhook on loopback that keeps what it is sent, and answers as it is told."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

SECRET_PATH = "/services/T0/B0/hush-hush"


@dataclass
class Answer:
    """How one request is answered.

    Attributes:
        status: Of the answer; 0 closes the connection without one.
        headers: Beside it.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class WebhookServer:
    """What was sent, and what is answered.

    Attributes:
        url: Whose path is a secret.
        answers: To the next requests, in order; then all are taken.
        posted: The JSON of each request that was taken, in order.
        requests: How many there were.
    """

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    posted: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0

    @property
    def texts(self) -> list[str]:
        """The texts that were taken."""
        return [sent["text"] for sent in self.posted]


@contextmanager
def run_webhook_server() -> Iterator[WebhookServer]:
    """Serves until the block ends."""
    state = WebhookServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.requests += 1
            answer = state.answers.pop(0) if state.answers else Answer()
            if answer.status == 0:
                return
            if answer.status < 300 and self.path == SECRET_PATH:
                assert self.headers["Content-Type"] == "application/json"
                state.posted.append(json.loads(body))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}{SECRET_PATH}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
