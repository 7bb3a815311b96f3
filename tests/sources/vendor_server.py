"""A server on the loopback that answers as a test scripts it, misbehaviour included. It remembers what was asked."""

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request."""

    path: str
    headers: dict[str, str]
    at: float


@dataclass
class Answer:
    """What to send. `cut`: only so many bytes of the body, then the connection is closed; `drip`: seconds between bytes."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    drip: float = 0.0
    with_length: bool = True
    zipped: bool = False

    def content(self) -> bytes:
        plain = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return gzip.compress(plain) if self.zipped else plain


@dataclass
class VendorServer:
    """`origin` to talk to, `asked` so far."""

    origin: str
    asked: list[Asked]


@contextmanager
def vendor_server(respond: Callable[[int, str], Answer]) -> Iterator[VendorServer]:
    """Serve `respond(how many requests came before, path with query)`."""
    asked: list[Asked] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with lock:
                number = len(asked)
                asked.append(Asked(self.path, dict(self.headers), time.monotonic()))
            answer = respond(number, self.path)
            content = answer.content()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.zipped:
                self.send_header("Content-Encoding", "gzip")
            if answer.with_length:
                self.send_header("Content-Length", str(len(content)))
            else:
                self.send_header("Connection", "close")
            self.end_headers()
            self._send(content[: answer.cut], answer.drip)
            if answer.cut is not None or not answer.with_length:
                self.close_connection = True

        def _send(self, content: bytes, drip: float) -> None:
            try:
                if not drip:
                    self.wfile.write(content)
                for place in range(len(content) if drip else 0):
                    self.wfile.write(content[place : place + 1])
                    time.sleep(drip)
            except OSError:
                self.close_connection = True  # The client has had enough.

        def log_message(self, *_: object) -> None:
            """Nothing on the test's stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield VendorServer(f"http://127.0.0.1:{server.server_port}", asked)
    finally:
        server.shutdown()
        server.server_close()
