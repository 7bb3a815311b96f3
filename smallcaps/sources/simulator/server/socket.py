"""The vendor's WebSocket: greeting, key, topics, and one day of the tape played to all who listen.

One feed plays the day for all connections. Each has a buffer of frames of its own that a writer empties; whoever lets it
fill is cut off. What goes over the wire is text: JSON arrays of events of mixed channels, below 900 kB.
"""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from smallcaps.sources.simulator.server.faults import nth
from smallcaps.sources.simulator.server.playback import ALL, CHANNELS, Event, Playback
from smallcaps.sources.simulator.server.world import World

FRAME_BYTES = 900_000
OVERSIZE_BYTES = (1 << 20) + 1
STEP_SECONDS = 0.02
LAST_SECONDS = 10.0
"""How long a slow consumer has to read why it is cut off."""
REFUSED_CHANNELS = ("NOI", "FMV")
TRANSPORT = "smallcaps.transport"
"""Where our protocol puts the connection's transport, among the scope's extensions."""
POLICY_VIOLATION = 1008
CAP_MESSAGE = (
    "Maximum number of websocket connections exceeded. You have reached the connection limit for your account."
)


def status(word: str, message: str) -> dict[str, Any]:
    """A status event."""
    return {"ev": "status", "status": word, "message": message}


class Connection:
    """One client: what it listens to, what waits for it."""

    def __init__(self, socket: WebSocket, world: World) -> None:
        self.socket = socket
        self.topics: set[tuple[str, str]] = set()
        self._served = world.served
        self._faults = world.faults
        self._waiting: deque[tuple[str, bool]] = deque()
        self._something = asyncio.Event()
        self._over = False
        self._code: int | None = None
        self._frames = 0
        self._silent = False
        self._transport: asyncio.Transport | None = socket.scope.get("extensions", {}).get(TRANSPORT)

    def wants(self, event: Event) -> bool:
        """Whether it subscribed to what an event is about."""
        return (event.channel, event.symbol) in self.topics or (event.channel, ALL) in self.topics

    def say(self, *statuses: dict[str, Any]) -> None:
        """Queue statuses as one frame."""
        self._queue(json.dumps(statuses, separators=(",", ":")), False)

    def tell(self, events: Iterable[str]) -> None:
        """Queue events, given as JSON, in frames of allowed size."""
        frame: list[str] = []
        size = 0
        for event in events:
            if frame and size + len(event) > FRAME_BYTES:
                self._queue(f"[{','.join(frame)}]", True)
                frame, size = [], 0
            frame.append(event)
            size += len(event) + 1
        if frame:
            self._queue(f"[{','.join(frame)}]", True)

    def end(self, code: int | None, *statuses: dict[str, Any]) -> None:
        """Say a last thing after what waits, then close with a code; None: without a close frame."""
        if not self._over:
            self.say(*statuses)
            self._over, self._code = True, code
            self._something.set()

    def cut_off(self) -> None:
        """End a consumer that is too slow: what waits is lost."""
        self._served.refused("wss://stocks")
        self._waiting.clear()
        if self._faults.slow_consumer == "abort":
            self.drop()
        self.end(POLICY_VIOLATION, status("slow_consumer", "Client is not reading fast enough."))
        asyncio.get_running_loop().call_later(LAST_SECONDS, self.drop)

    def drop(self) -> None:
        """End at once, without a close frame."""
        if self._transport is not None:
            self._transport.abort()

    async def write(self) -> None:
        """Send what is queued until the end."""
        while True:
            while self._waiting:
                text, is_data = self._waiting.popleft()
                if is_data and not await self._misbehave(text):
                    return
                if not is_data and not self._silent:
                    await self.socket.send_text(text)
            if self._over:
                if self._code is not None:
                    await self.socket.close(self._code)
                return
            self._something.clear()
            await self._something.wait()

    def _queue(self, text: str, is_data: bool) -> None:
        if self._over:
            return
        if len(self._waiting) >= self._faults.buffer_frames:
            self.cut_off()
            return
        self._waiting.append((text, is_data))
        self._something.set()

    async def _misbehave(self, text: str) -> bool:
        """Send a frame of events, with the faults that are asked for; whether the connection goes on."""
        faults, self._frames = self._faults, self._frames + 1
        if self._silent:
            return True
        if nth(self._frames, faults.oversize_every):
            text = text[:-1] + " " * max(OVERSIZE_BYTES - len(text), 0) + "]"
        await self.socket.send_text(text)
        if self._frames == faults.close_after:
            await self.socket.close(faults.close_code)
            return False
        if self._frames == faults.abort_after:
            self.drop()
            return False
        if self._frames == faults.silent_after:
            self._silent = True
            if self._transport is not None:
                self._transport.pause_reading()
        return True


class Feed:
    """The day that is played, and who listens."""

    def __init__(self, world: World, day: date, start_at_once: bool) -> None:
        self._world = world
        self._day = day
        self._connections: list[Connection] = []
        self._player: asyncio.Task[None] | None = None
        self._at_once = start_at_once

    async def open(self) -> None:
        """Start the clock if it need not wait for a client."""
        if self._at_once:
            self._play()

    async def close(self) -> None:
        """Stop playing."""
        if self._player is not None:
            self._player.cancel()
            with suppress(asyncio.CancelledError):
                await self._player

    def _play(self) -> None:
        if self._player is None:
            self._player = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Play from the clock's start to the end of the day, then say nothing more."""
        clock = self._world.clock
        playback = await asyncio.to_thread(Playback, self._world, self._day, clock.start_ns)
        await asyncio.to_thread(playback.advance, clock.start_ns - 1, {})
        clock.start()
        now = clock.start_ns
        while now <= playback.last:
            now = clock.now()
            topics: dict[str, set[str]] = {}
            for connection in self._connections:
                for channel, symbol in connection.topics:
                    topics.setdefault(channel, set()).add(symbol)
            self._tell(playback.advance(now, topics))
            await asyncio.sleep(STEP_SECONDS)

    def _tell(self, events: list[Event]) -> None:
        texts = [json.dumps(event.body, separators=(",", ":")) for event in events]
        sent: Counter[str] = Counter()
        heard: set[int] = set()
        for connection in self._connections:
            mine = [number for number, event in enumerate(events) if connection.wants(event)]
            connection.tell(texts[number] for number in mine)
            sent.update(events[number].channel for number in mine)
            heard.update(mine)
        distinct = Counter(events[number].channel for number in heard)
        for channel, count in sent.items():
            self._world.served.streamed(channel, count, distinct[channel])

    async def handle(self, socket: WebSocket) -> None:
        """One connection, from greeting to end."""
        await socket.accept()
        connection = Connection(socket, self._world)
        connection.say(status("connected", "Connected Successfully"))
        writer = asyncio.create_task(connection.write())
        reader = asyncio.create_task(self._serve(connection))
        try:
            await asyncio.wait((writer, reader), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if connection in self._connections:
                self._connections.remove(connection)
            for task in (writer, reader):
                task.cancel()
            await asyncio.gather(writer, reader, return_exceptions=True)

    async def _serve(self, connection: Connection) -> None:
        """Read what a client says, until it is gone or the writer has sent its last."""
        if not await self._authenticated(connection):
            await asyncio.Event().wait()
        self._connections.append(connection)
        if self._over_limit() and self._world.faults.over_limit == "oldest":
            self._connections.pop(0).end(POLICY_VIOLATION, status("max_connections", CAP_MESSAGE))
        actions = {"subscribe": self._subscribe, "unsubscribe": self._unsubscribe}
        while True:
            message = await _message(connection.socket)
            if (action := actions.get(str(message.get("action")))) is not None:
                action(connection, _topics(str(message.get("params", ""))))

    def _over_limit(self) -> bool:
        most = self._world.faults.max_connections
        return 0 < most < len(self._connections)

    async def _authenticated(self, connection: Connection) -> bool:
        """Wait for the right key. A connection without one is dropped without a close frame."""
        faults = self._world.faults
        try:
            message = await asyncio.wait_for(_message(connection.socket), faults.auth_seconds)
        except TimeoutError:
            connection.end(None, status("auth_timeout", "No authentication request received."))
            return False
        if faults.plan_without_socket:
            connection.end(None, status("auth_failed", "Your plan doesn't include websocket access."))
            return False
        if faults.refuse_key or message.get("action") != "auth" or message.get("params") != self._world.key:
            connection.end(None, status("auth_failed", "authentication failed"))
            return False
        connection.say(status("auth_success", "authenticated"))
        return True

    def _subscribe(self, connection: Connection, topics: list[tuple[str, str]]) -> None:
        """Topics that are new are acknowledged; unknown channels and repeats are not answered."""
        if any(channel in REFUSED_CHANNELS for channel, _ in topics):
            connection.say(status("error", "not authorized"))
        new = [topic for topic in topics if topic[0] in CHANNELS and topic not in connection.topics]
        connection.topics.update(new)
        self._acknowledge(connection, "subscribed to", new)
        if self._over_limit() and connection is self._connections[-1]:
            connection.end(POLICY_VIOLATION, status("max_connections", CAP_MESSAGE))
        elif new:
            self._play()

    def _unsubscribe(self, connection: Connection, topics: list[tuple[str, str]]) -> None:
        gone = [topic for topic in topics if topic in connection.topics]
        connection.topics.difference_update(gone)
        self._acknowledge(connection, "unsubscribed to", gone)

    def _acknowledge(self, connection: Connection, done: str, topics: list[tuple[str, str]]) -> None:
        acks = [status("success", f"{done}: {channel}.{symbol}") for channel, symbol in topics]
        if self._world.faults.single_acks:
            for ack in acks:
                connection.say(ack)
        elif acks:
            connection.say(*acks)


def _topics(params: str) -> list[tuple[str, str]]:
    """Channel and symbol of each topic named, once."""
    parts = (name.strip().partition(".") for name in params.split(","))
    return list(dict.fromkeys((channel, symbol) for channel, _, symbol in parts if symbol))


async def _message(socket: WebSocket) -> dict[str, Any]:
    """What the client says next; nothing where it cannot be read. Raises WebSocketDisconnect when it is gone."""
    received = await socket.receive()
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(received.get("code", 1005))
    try:
        message = json.loads(received.get("text") or received.get("bytes") or "")
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
