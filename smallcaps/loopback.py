"""Applications served on the loopback: nobody else's machine reaches them."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from smallcaps.errors import FailedDependency
from smallcaps.ports import HOST

START_SECONDS = 30.0


@contextmanager
def listening(app: Any, port: int, name: str, **options: Any) -> Iterator[int]:
    """An ASGI application in a thread, on a free port where `port` is 0; yields the port. `options` are uvicorn's.

    Raises FailedDependency where it cannot listen; `name` is what is said to be served.
    """
    # No access log: a key may stand in a query.
    config = uvicorn.Config(
        app, HOST, port, log_level="critical", access_log=False, timeout_graceful_shutdown=1, **options
    )
    server = uvicorn.Server(config)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(server.serve())
        except SystemExit as stopped:  # uvicorn's way of saying that the port is taken
            failed.append(stopped)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if failed or not thread.is_alive() or time.monotonic() > deadline:
            raise FailedDependency(f"The {name} cannot listen on {HOST}:{port}. Is the port taken?")
        time.sleep(0.01)
    try:
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
