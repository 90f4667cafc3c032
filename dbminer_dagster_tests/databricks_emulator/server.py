"""The HTTP server of the emulator: faults, sign-in, then REST, SQL or CloudFetch."""

import json
import re
import socket
import sys
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol, cast
from urllib.parse import parse_qsl, urlsplit

from dbminer_dagster_tests.databricks_emulator import rest_catalog, rest_workspace
from dbminer_dagster_tests.databricks_emulator.api_error import (
    Answer,
    ApiError,
    json_answer,
    refused,
)
from dbminer_dagster_tests.databricks_emulator.faults import Fault, FaultKind, Faults
from dbminer_dagster_tests.databricks_emulator.rate_limits import RateLimits
from dbminer_dagster_tests.databricks_emulator.records import Request
from dbminer_dagster_tests.databricks_emulator.routes import Call, Route, find_route
from dbminer_dagster_tests.databricks_emulator.sign_in import SignIn
from dbminer_dagster_tests.databricks_emulator.tokens import Tokens
from dbminer_dagster_tests.databricks_emulator.workspace import Principal, Workspace

_ROUTES: tuple[Route, ...] = (*rest_workspace.ROUTES, *rest_catalog.ROUTES)
_WAREHOUSE_PATH = re.compile(r"/sql/1\.0/(?:warehouses|endpoints)/([^/]+)")
_LINK_PREFIX = "/cloud-fetch/"
_HTTP_FAULTS: tuple[FaultKind, ...] = (
    "401",
    "403",
    "429",
    "503",
    "dropped_before_answer",
    "dropped_in_answer",
    "slow",
    "expired_token",
)


class SqlService(Protocol):
    """The SQL protocol of a warehouse: Thrift's binary protocol over HTTP."""

    def handle(self, body: bytes, principal: Principal, warehouse_id: str) -> bytes:
        """The answer to a request."""
        ...

    def operation_name(self, body: bytes) -> str:
        """The name of the RPC that a request calls."""
        ...


class LinkStore(Protocol):
    """The object store that CloudFetch links point to."""

    def get(self, key: str) -> bytes | None:
        """A file of results, or None once its link has expired."""
        ...


class EmulatorServer(ThreadingHTTPServer):
    """Listens on loopback, with a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, workspace: Workspace, faults: Faults) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        workspace.host = f"http://127.0.0.1:{self.server_port}"
        self.workspace = workspace
        self.faults = faults
        self.tokens = Tokens(workspace)
        self.sign_in = SignIn(workspace, self.tokens)
        self.requests: list[Request] = []
        self.rate_limits = RateLimits()
        self.routes = _ROUTES
        self.sql: SqlService
        self.links: LinkStore
        self._connections: set[socket.socket] = set()

    def process_request(self, request: socket.socket, client_address: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Keeps each connection in mind, so that the end of the server is theirs as well."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Forgets a connection that has ended."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Keeps quiet when a client has gone away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # pyright: ignore[reportArgumentType]

    def close_connections(self) -> None:
        """Ends the connections that clients keep open."""
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was faster


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and content leave together

    @property
    def _emulator(self) -> EmulatorServer:
        return cast("EmulatorServer", self.server)

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        self._path = url.path
        self._values = _parameters(url.query, body if self.command == "GET" else b"")
        self._principal: Principal | None = None
        operation = self._operation(body)
        fault = self._emulator.faults.take(operation, *_HTTP_FAULTS)
        if fault and fault.kind == "dropped_before_answer":
            self._log(0, operation)
            self._drop()
            return
        try:
            if fault:
                self._apply(fault)
            answer = self._answer(body)
        except ApiError as error:
            answer = error.answer
        except Exception:
            traceback.print_exc()
            answer = refused(500, "INTERNAL_ERROR", "The emulator has a bug, see its log.").answer
        if fault and fault.kind == "dropped_in_answer":
            self._log(0, operation)
            self._send(answer, only_half=True)
            self._drop()
            return
        self._log(answer.status, operation)
        self._send(answer)

    do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815

    def _operation(self, body: bytes) -> str:
        if _WAREHOUSE_PATH.fullmatch(self._path):
            return self._emulator.sql.operation_name(body)
        if self._path.startswith(_LINK_PREFIX):
            return _LINK_PREFIX
        return self._path

    def _apply(self, fault: Fault) -> None:
        """Lets a fault take effect before the request is handled."""
        wait = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
        match fault.kind:
            case "slow":
                time.sleep(fault.delay_s)
            case "expired_token":
                self._emulator.tokens.expire()
            case "401":
                raise refused(401, 401, "Token is expired")
            case "403":
                raise refused(403, 403, "Invalid access token.")
            case "429":
                message = "The request was throttled: too many requests. Please retry later."
                body = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": message}
                raise ApiError(429, body, wait)
            case "503":
                message = "The service is temporarily unavailable."
                body = {"error_code": "TEMPORARILY_UNAVAILABLE", "message": message}
                raise ApiError(503, body, wait)
            case _:
                return

    def _answer(self, body: bytes) -> Answer:
        emulator = self._emulator
        signing_in = emulator.sign_in.answer(self.command, self._path, self.headers, body)
        if signing_in is not None:
            return signing_in
        if self._path.startswith(_LINK_PREFIX):
            return self._linked_file(self._path.removeprefix(_LINK_PREFIX))
        session = emulator.tokens.session_of(self.headers)
        self._principal = session.principal
        if warehouse := _WAREHOUSE_PATH.fullmatch(self._path):
            session.require("sql")
            return self._sql_answer(body, session.principal, warehouse[1])
        with emulator.rate_limits.admitted(self._path):
            found, parts = find_route(emulator.routes, self.command, self._path)
            if found.scope:
                session.require(found.scope)
            call = Call(emulator.workspace, session.principal, parts, self._values)
            answer = found.answer(call)
        return answer if isinstance(answer, Answer) else json_answer(answer)

    def _linked_file(self, key: str) -> Answer:
        expired = self._emulator.faults.take(_LINK_PREFIX, "expired_link")
        content = None if expired else self._emulator.links.get(key)
        if content is None:
            text = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
            return Answer(403, text, "application/xml")
        return Answer(200, content, "application/octet-stream")

    def _sql_answer(self, body: bytes, principal: Principal, warehouse_id: str) -> Answer:
        emulator = self._emulator
        rest_workspace.check_warehouse(emulator.workspace, principal, warehouse_id)
        emulator.workspace.warehouse.wait_until_running()
        answer = emulator.sql.handle(body, principal, warehouse_id)
        return Answer(200, answer, "application/x-thrift")

    def _log(self, status: int, operation: str) -> None:
        name = self._principal.name if self._principal else None
        query = {name: values[-1] for name, values in self._values.items()}
        request = Request(self.command, self._path, status, name, operation, query)
        self._emulator.requests.append(request)

    def _send(self, answer: Answer, *, only_half: bool = False) -> None:
        self.send_response(answer.status)
        self.send_header("x-databricks-org-id", self._emulator.workspace.workspace_id)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        content = answer.content
        self.wfile.write(content[: len(content) // 2] if only_half else content)
        self.wfile.flush()

    def _drop(self) -> None:
        """Ends the connection, as a broken network does."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keeps quiet."""


def _parameters(query: str, body: bytes) -> dict[str, Sequence[str]]:
    """The parameters of the query and those of a JSON body."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in parse_qsl(query, keep_blank_values=True):
        found[name].append(value)
    for name, value in (json.loads(body) if body else {}).items():
        found[name].append(value if isinstance(value, str) else json.dumps(value))
    return dict(found)


def serve(server: EmulatorServer) -> threading.Thread:
    """Starts to answer requests in a thread of its own."""
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    return thread
