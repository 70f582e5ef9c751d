"""A proxy in front of an object store that misbehaves on demand: for tests of what real networks and stores do.

    with FaultyProxy("http://127.0.0.1:9000") as proxy:
        proxy.rule = lambda request: Reset(after=1000) if request.method == "GET" else None

    python -m tests.faulty_proxy TARGET PORT        # one that only forwards, as a process that can be killed

Every request is forwarded unless the rule names a fault for it; all are kept in `proxy.requests`. Bodies are held in
memory, so this is for small objects.
"""

from __future__ import annotations

import http.client
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """What a client asked."""

    method: str
    path: str
    """Without the query."""
    query: str
    number: int
    """How many requests came before it."""
    conditions: tuple[str, ...] = ()
    """Names of its conditional headers, in lower case."""

    @property
    def is_listing(self) -> bool:
        """Whether it asks which objects there are."""
        return self.method == "GET" and ("list-type" in self.query or "prefix=" in self.query)


@dataclass(frozen=True)
class Status:
    """The store answers with an error: 500, 503, 429 ..."""

    code: int


@dataclass(frozen=True)
class Delay:
    """The answer comes late."""

    seconds: float


@dataclass(frozen=True)
class Reset:
    """The connection is reset after some bytes of the body."""

    after: int


@dataclass(frozen=True)
class Truncate:
    """The body ends before the length that was stated."""

    after: int


@dataclass(frozen=True)
class Shorten:
    """The body is cut, and the stated length with it: nothing in the answer shows that something is missing."""

    by: int


@dataclass(frozen=True)
class Drip:
    """The body comes in small bits with pauses, slower than anyone can wait for."""

    bits: int
    pause_s: float


@dataclass(frozen=True)
class Stale:
    """A listing answers as it did when it was first asked, however much has been written since."""


Fault = Status | Delay | Reset | Truncate | Shorten | Drip | Stale
Rule = Callable[[Request], Fault | None]


class FaultyProxy:
    """The proxy, listening on loopback while its context lasts."""

    def __init__(self, target: str, port: int = 0) -> None:
        parts = urlsplit(target)
        assert parts.hostname
        assert parts.port
        self.host, self.port = parts.hostname, parts.port
        self.rule: Rule = lambda request: None
        self.requests: list[Request] = []
        self.faults = 0
        """How many requests were answered with a fault."""
        self.first_listings: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where clients go instead of to the store."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or every body would wait 40 ms behind its headers

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Expect", "").lower() == "100-continue" and not body:
                body = b""
            path, _, query = self.path.partition("?")
            conditions = tuple(sorted(n.lower() for n in self.headers if n.lower().startswith("if-")))
            request = Request(self.command, path, query, len(proxy.requests), conditions)
            proxy.requests.append(request)
            fault = proxy.rule(request)
            proxy.faults += fault is not None
            try:
                self.answer(request, body, fault)
            except (ConnectionError, TimeoutError):
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do  # noqa: N815

        def answer(self, request: Request, body: bytes, fault: Fault | None) -> None:
            if isinstance(fault, Status):
                self.send([], b"<Error><Code>Fault</Code></Error>", fault.code)
                return
            if isinstance(fault, Delay):
                time.sleep(fault.seconds)
            status, headers, data = self.forward(body)
            if request.is_listing:
                first = proxy.first_listings.setdefault(self.path, (status, headers, data))
                if isinstance(fault, Stale):
                    status, headers, data = first
            if isinstance(fault, Shorten):
                data = data[: max(0, len(data) - fault.by)]
            self.send(headers, data, status, fault)

        def forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(proxy.host, proxy.port, timeout=60)
            try:
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", "expect")}
                connection.request(self.command, self.path, body or None, headers)
                answer = connection.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            finally:
                connection.close()

        def send(self, headers: list[tuple[str, str]], data: bytes, status: int, fault: Fault | None = None) -> None:
            self.send_response_only(status)
            stated = str(len(data))
            for name, value in headers:
                if name.lower() == "content-length" and self.command == "HEAD":
                    stated = value
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", stated)
            self.end_headers()
            if self.command == "HEAD":
                return
            if isinstance(fault, (Reset, Truncate)):
                self.wfile.write(data[: fault.after])
                self.wfile.flush()
                if isinstance(fault, Reset):  # lingering for no time sends RST instead of FIN
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
            elif isinstance(fault, Drip):
                for at in range(0, len(data), fault.bits):
                    self.wfile.write(data[at : at + fault.bits])
                    time.sleep(fault.pause_s)
            else:
                self.wfile.write(data)

    return Handler


if __name__ == "__main__":
    FaultyProxy(sys.argv[1], int(sys.argv[2]))._server.serve_forever()
