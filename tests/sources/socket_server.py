"""A WebSocket server on the loopback that behaves as a test scripts it, connection by connection."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

# The library writes every frame it receives to its log; what is looked for there is what the client writes.
_SILENT = logging.Logger("silent", logging.CRITICAL)


@dataclass
class Line:
    """One connection as the server sees it; `number` counts them from 0."""

    socket: ServerConnection
    number: int
    heard: list[Any]

    async def send(self, *events: dict[str, Any]) -> None:
        """One frame with these events."""
        await self.socket.send(json.dumps(events))

    async def say(self, status: str, message: str) -> None:
        """One frame with one status."""
        await self.send({"ev": "status", "status": status, "message": message})

    async def hear(self) -> Any:
        """The client's next message."""
        message = json.loads(await self.socket.recv())
        self.heard.append(message)
        return message

    async def authenticate(self) -> None:
        """Greeting, key, success."""
        await self.say("connected", "Connected Successfully")
        await self.hear()
        await self.say("auth_success", "authenticated")

    async def acknowledge(self) -> list[str]:
        """Hear the topics and acknowledge them in one frame."""
        topics = (await self.hear())["params"].split(",")
        await self.send(*(acknowledgement(topic) for topic in topics))
        return topics

    async def open(self) -> None:
        """Everything up to the first event."""
        await self.authenticate()
        await self.acknowledge()

    async def hold(self) -> None:
        """Nothing more, until the client leaves."""
        await self.socket.wait_closed()

    def abort(self) -> None:
        """Drop the connection without a close frame."""
        self.socket.transport.abort()

    def stop_reading(self) -> None:
        """Be there and answer nothing, not even a ping."""
        self.socket.transport.pause_reading()


def acknowledgement(topic: str) -> dict[str, Any]:
    return {"ev": "status", "status": "success", "message": f"subscribed to: {topic}"}


@dataclass
class SocketServer:
    """`url` to connect to, what was `heard` by connection, and the connections' `ends` (close codes; 1006: none)."""

    url: str
    heard: list[list[Any]] = field(default_factory=list)
    ends: list[int | None] = field(default_factory=list)


@asynccontextmanager
async def socket_server(script: Callable[[Line], Awaitable[None]], **options: Any) -> AsyncIterator[SocketServer]:
    """Run `script` for each connection; when it returns, the connection is closed with 1000. A failing script is raised."""
    server = SocketServer("")
    failures: list[Exception] = []
    scripts: set[asyncio.Task[None]] = set()

    async def handle(socket: ServerConnection) -> None:
        scripts.add(asyncio.current_task())
        server.heard.append([])
        try:
            await script(Line(socket, len(server.heard) - 1, server.heard[-1]))
        except ConnectionClosed:
            pass  # The client has left.
        except Exception as failure:  # noqa: BLE001
            failures.append(failure)
        await socket.close()
        server.ends.append(socket.close_code)

    listener = await serve(
        handle, "127.0.0.1", 0, logger=_SILENT, max_size=None, ping_interval=None, close_timeout=0.5, **options
    )
    server.url = f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}/stocks"
    try:
        yield server
    finally:
        listener.close()
        if scripts:
            await asyncio.wait(scripts, timeout=5)
        for script_task in scripts:
            script_task.cancel()
        await listener.wait_closed()
    if failures:
        raise failures[0]


def run(test: Awaitable[None], seconds: float = 60) -> None:
    """Run a test's coroutine; one that hangs fails."""
    asyncio.run(asyncio.wait_for(test, seconds))
