"""The simulated vendor on the loopback: as a command, or in a thread beside a test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from smallcaps.loopback import listening
from smallcaps.ports import HOST
from smallcaps.sources.simulator.server.app import ACCESS_KEY, create_app
from smallcaps.sources.simulator.server.flatfiles import BUCKET
from smallcaps.sources.simulator.server.socket import TRANSPORT


class Protocol(WebSocketsSansIOProtocol):
    """uvicorn's, which also lets the application at the connection itself: only so can it break it, or fall silent."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope: dict[str, Any] | None = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][TRANSPORT] = self.transport


@dataclass(frozen=True)
class Place:
    """Where a simulated vendor listens."""

    port: int

    @property
    def origin(self) -> str:
        """Of REST, and the S3 endpoint."""
        return f"http://{HOST}:{self.port}"

    @property
    def feed(self) -> str:
        """Host and port, as the official WebSocket clients want it."""
        return f"{HOST}:{self.port}"

    @property
    def socket(self) -> str:
        """URL of the WebSocket."""
        return f"ws://{self.feed}/stocks"


@contextmanager
def running(market: Path, key: str, port: int = 0, **options: Any) -> Iterator[Place]:
    """A simulated vendor in a thread, on a free port unless one is named; `options` are those of `create_app`.

    Raises FailedDependency where it cannot listen.
    """
    wire = {"ws": Protocol, "ws_per_message_deflate": False, "ws_ping_interval": None, "lifespan": "on"}
    with listening(create_app(market, key, **options), port, "simulated vendor", **wire) as listens:
        yield Place(listens)


def serve(market: Path, key: str, port: int = 0, **options: Any) -> None:
    """Serve a market until interrupted, after printing where. `options` are those of `create_app`.

    Raises BadInput as `create_app` does, and FailedDependency where it cannot listen.
    """
    with running(market, key, port, **options) as place:
        print(f"REST       {place.origin}")
        print(f"WebSocket  {place.socket}")
        name = options.get("access_key", ACCESS_KEY)
        print(f"S3         {place.origin}  (bucket {BUCKET}, path style, access key id {name})", flush=True)
        threading.Event().wait()
