"""What tests do with a server that speaks S3's protocol: look at what is sent to it, and spoil its answers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pyarrow import fs


@dataclass(frozen=True)
class Put:
    """A PUT that came by: key, whether it asked that nothing be there, who asked, and the server's answer."""

    key: str
    conditional: bool
    client: str
    status: int


@dataclass
class Proxy:
    """A client's environment, the PUTs that came by, and what a test has done to them.

    `before` is called before a PUT is passed on. `fault` is asked after one: "cut" closes the connection without an answer,
    "503" gives this answer instead of the server's.
    """

    environment: dict[str, str]
    puts: list[Put] = field(default_factory=list)
    before: Callable[[str], None] = lambda key: None
    fault: Callable[[Put], str | None] = lambda put: None


@contextmanager
def s3_proxy(environment: dict[str, str]) -> Iterator[Proxy]:
    """A server in front of `aws_server`'s, that lets a test see, hold up and spoil PUTs."""
    host = environment["AWS_ENDPOINT_URL"].removeprefix("http://")
    one_by_one = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            # A killed or impatient client is no matter of the test's.
            with suppress(ConnectionError):
                super().handle()

        def pass_on(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            conditional = self.headers.get("If-None-Match") == "*"
            if self.command == "PUT":
                proxy.before(self.path)
            # moto looks and then puts; S3 does both at once.
            with one_by_one if conditional else nullcontext():
                connection = HTTPConnection(host)
                connection.request(self.command, self.path, content, dict(self.headers))
                answer = connection.getresponse()
                body = answer.read()
                connection.close()
            status, fault = answer.status, None
            if self.command == "PUT":
                put = Put(self.path, conditional, self.headers.get("User-Agent", ""), status)
                proxy.puts.append(put)
                fault = proxy.fault(put)
            if fault == "cut":
                self.close_connection = True
                return
            self.send_response_only(503 if fault == "503" else status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy = Proxy({**environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}"})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def s3_store(environment: dict[str, str]) -> fs.S3FileSystem:
    """The server's files, as pyarrow sees them; buckets can be made."""
    return fs.S3FileSystem(
        access_key=environment["AWS_ACCESS_KEY_ID"],
        secret_key=environment["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=environment["AWS_ENDPOINT_URL"].removeprefix("http://"),
        scheme="http",
        region=environment["AWS_REGION"],
        allow_bucket_creation=True,
    )
