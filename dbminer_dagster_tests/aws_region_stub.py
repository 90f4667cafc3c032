"""The part of AWS that other S3 servers lack: it insists on the region of the bucket."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _RegionStub(BaseHTTPRequestHandler):
    """Answers as AWS does for the one bucket of a region, whatever the keys are.

    A request signed for another region is refused: with a redirect, as another region's endpoint
    does, or, for a bucket whose name starts with `strict`, as the bucket's own endpoint does. The
    session token `expired` has expired. Unlike AWS, it puts an object twice when asked not to.
    """

    region = "eu-central-1"
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        signed_for = re.search(
            r"Credential=[^/]+/\d+/([^/]+)/s3", self.headers.get("Authorization", "")
        )
        if self.headers.get("X-Amz-Security-Token") == "expired":
            self._send(400, _error("ExpiredToken"))
        elif signed_for and signed_for[1] == self.region:
            self._send(200, _LISTING if self.command == "GET" else "")
        elif self.path.startswith("/strict"):
            self._send(400, _error("AuthorizationHeaderMalformed", Region=self.region))
        else:
            self._send(301, _error("PermanentRedirect"), {"x-amz-bucket-region": self.region})

    do_GET = do_HEAD = do_PUT = do_DELETE = _answer  # noqa: N815

    def _send(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
        content = body.encode() if self.command != "HEAD" else b""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keeps quiet."""


_LISTING = (
    "<ListBucketResult><KeyCount>1</KeyCount>"
    "<Contents><Key>logs/part-0</Key><Size>1</Size></Contents></ListBucketResult>"
)


def _error(code: str, **details: str) -> str:
    fields = {"Code": code, "Message": "Refused.", **details}
    return "<Error>" + "".join(f"<{k}>{v}</{k}>" for k, v in fields.items()) + "</Error>"


@contextmanager
def run_region_stub() -> Iterator[str]:
    """Runs a stub of AWS in the region eu-central-1; see `_RegionStub`.

    Yields:
        Its endpoint.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), _RegionStub) as stub:
        thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{stub.server_port}"
        finally:
            stub.shutdown()
            thread.join()
