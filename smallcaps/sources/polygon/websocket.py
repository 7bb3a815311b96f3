"""The vendor's live feed over a WebSocket: connected for as long as it can be, and telling what it missed.

1. Connect, read the greeting, send the key, subscribe, wait until the vendor has acknowledged the topics.
2. A task of its own reads frames and never waits for the consumer. Events go into a bounded buffer; those that find it
   full are dropped, and a Gap stands in their place.
3. A connection that is lost, however it is (any close code, none, silence, a status that announces it), is replaced after
   a wait that grows. As soon as the topics are acknowledged again, one Gap a channel says what time was missed.
   `backfill` asks REST for it, `events.Seen` joins both without doubles.
4. What another connection would not mend ends the feed with an error: a key or plan that is refused, a rival with the
   same key, too many losses in a row. The Gaps still open are told first.

The key is sent in one message; the library's log of frames is closed, so that no logging set-up can show it.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException
from websockets.uri import parse_uri

from smallcaps.errors import BadInput, FailedDependency, SmallcapsError
from smallcaps.sources.polygon.bookkeeping import Buffer, Coverage, FeedStatistics
from smallcaps.sources.polygon.events import STATUS, Event, Gap, read_frame

MAXIMUM_FRAME_BYTES = 16 << 20
"""The vendor sends frames over 1 MiB; one larger than this closes the connection."""
_CLOSE_SECONDS = 1.0
_TURN = 64
_CAP_WORDS = ("max_connections", "number of websocket connections exceeded")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds, and how often to try.

    A connection that is silent is asked (ping) after `silence_seconds` and lost if neither a frame nor the answer comes in
    as many more. Waits between connections double from `backoff_seconds` to `longest_backoff_seconds`, shortened at random
    by up to a half; after the vendor said that there are too many connections they are `eviction_seconds`. More than
    `failures` losses or `evictions` in a row end the feed; a connection that lasted twice the longest wait ends the row,
    so that two clients who throw each other out do not go on for ever.
    """

    connect_seconds: float = 10
    authenticate_seconds: float = 10
    acknowledge_seconds: float = 10
    silence_seconds: float = 25
    backoff_seconds: float = 0.5
    longest_backoff_seconds: float = 60
    failures: int = 10
    eviction_seconds: float = 90
    evictions: int = 3

    @property
    def steady_seconds(self) -> float:
        """How long a connection must last to count as a good one."""
        return 2 * max(self.longest_backoff_seconds, self.eviction_seconds)

    def backoff(self, losses: int) -> float:
        """The longest wait after so many losses in a row."""
        # 2.0 ** 1024 is no number, and nobody waits that long.
        return min(self.longest_backoff_seconds, self.backoff_seconds * 2.0 ** min(losses - 1, 100))


PATIENCE = Patience()


class Feed:
    """One connection after another to `url` (`wss://host/stocks`) for `topics` (`T.*`, `AM.ABC`, …).

        async with Feed(url, key, ["T.*"]) as feed:
            async for record in feed:  # Event or Gap
                ...

    Long work of the consumer that does not await belongs in a thread: the reader runs in the same event loop. The buffer
    holds `capacity` events. `clock` gives now in ns UTC; only a simulator's market has a clock of its own. `known_ns`: up to when
    channels are known from before; what happened since is the first Gap of each.

    Iterating raises BadInput (key, plan or every topic refused) or FailedDependency (losses in a row, a rival with the
    same key).
    """

    def __init__(
        self,
        url: str,
        key: str,
        topics: Iterable[str],
        patience: Patience = PATIENCE,
        capacity: int = 100_000,
        clock: Callable[[], int] = time.time_ns,
        known_ns: Mapping[str, int] = {},
    ) -> None:
        self._topics = tuple(dict.fromkeys(topics))
        _check(url, key, self._topics)
        self._url, self._key = url, key
        self._patience = patience
        self._clock = clock
        self._coverage = Coverage(known_ns)
        self._buffer = Buffer(capacity, self._coverage.topics)
        self._arrived = asyncio.Event()
        self._taken = 0
        self._connection = 0
        self._authenticated = False
        self._unacknowledged: set[str] = set()
        self._refusals = 0
        self.statistics = FeedStatistics()

    @property
    def missing(self) -> frozenset[str]:
        """Topics that the vendor has not acknowledged: not yet, or refused by the plan, or unknown. It names none of them."""
        return frozenset(self._topics).difference(*self._coverage.acknowledged.values())

    async def try_key(self) -> None:
        """Connect once, hand over the key and leave; nothing is subscribed to.

        Raises BadInput where the key or its plan is refused, FailedDependency where nobody answers.
        """
        try:
            async with self._connected():
                pass
        except (_Lost, ConnectionClosed, OSError, WebSocketException) as error:
            raise FailedDependency(
                f"{self._url} does not answer to the key: {self._without_key(str(error))}."
            ) from error

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read())
        self._reader.add_done_callback(lambda _: self._arrived.set())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event | Gap:
        self._taken += 1
        if self._taken % _TURN == 0:
            # A consumer that never waits would keep the reader from its turn.
            await asyncio.sleep(0)
        while (record := self._buffer.take()) is None:
            if self._reader.cancelled():
                raise StopAsyncIteration
            if self._reader.done():
                self._reader.result()
            self._arrived.clear()
            await self._arrived.wait()
        self.statistics.gaps += isinstance(record, Gap)
        return record

    async def _read(self) -> None:
        """Connection after connection, until one is refused for good or too many were lost in a row."""
        try:
            await self._reconnect()
        except SmallcapsError as error:
            self._coverage.lose(str(error))
            self._tell_gaps()
            raise

    async def _reconnect(self) -> None:
        patience = self._patience
        losses = evictions = 0
        while True:
            self._connection += 1
            lasted, loss = await self._hold()
            reason = self._without_key(str(loss))
            self._coverage.lose(reason)
            if lasted >= patience.steady_seconds:
                losses = evictions = 0
            losses += 1
            evictions += loss.evicted
            if evictions > patience.evictions:
                raise FailedDependency(
                    f"{self._url} closed {evictions} connections in a row because the key has too many. Another client "
                    "uses the key: stop it, or give it a key of its own."
                )
            if losses > patience.failures:
                raise FailedDependency(f"{self._url} was lost {losses} times in a row, at last: {reason}. Try later.")
            wait = random.uniform(0.5, 1) * (patience.eviction_seconds if loss.evicted else patience.backoff(losses))
            _LOG.warning("Connection %d to %s: %s. The next in %.1f s.", self._connection, self._url, reason, wait)
            await asyncio.sleep(wait)

    async def _hold(self) -> tuple[float, "_Lost"]:
        """One connection, from the greeting to its loss: the seconds for which it was subscribed, and how it ended."""
        subscribed: float | None = None
        try:
            async with self._connected() as socket:
                await self._subscribe(socket)
                subscribed = time.monotonic()
                while True:
                    self._take(await self._next(socket))
        except _Lost as lost:
            loss = lost
        except ConnectionClosed as closed:
            loss = _Lost(f"closed ({closed})", evicted=_of_the_cap(str(closed)))
        except (OSError, WebSocketException) as error:
            loss = _Lost(f"no connection ({error})")
        return (0.0 if subscribed is None else time.monotonic() - subscribed), loss

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[ClientConnection]:
        """A connection that has answered to the key."""
        socket = await _Connect(
            self._url,
            proxy=None,
            user_agent_header="smallcaps",
            open_timeout=self._patience.connect_seconds,
            ping_interval=None,
            close_timeout=_CLOSE_SECONDS,
            max_size=MAXIMUM_FRAME_BYTES,
            logger=_WIRE_LOG,
        )
        try:
            await self._authenticate(socket)
            yield socket
        finally:
            await socket.close()

    async def _authenticate(self, socket: ClientConnection) -> None:
        self._authenticated = False
        try:
            async with asyncio.timeout(self._patience.authenticate_seconds):
                self._take(await socket.recv(decode=False))
                await socket.send(json.dumps({"action": "auth", "params": self._key}))
                while not self._authenticated:
                    self._take(await socket.recv(decode=False))
        except TimeoutError:
            raise _Lost(f"no greeting or no answer to the key in {self._patience.authenticate_seconds:g} s") from None

    async def _subscribe(self, socket: ClientConnection) -> None:
        """Returns once every topic is acknowledged, or after a wait without those that are missing."""
        before = {topic for topics in self._coverage.acknowledged.values() for topic in topics}
        self._unacknowledged, self._refusals = set(self._topics), 0
        await socket.send(json.dumps({"action": "subscribe", "params": ",".join(self._topics)}))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience.acknowledge_seconds):
                # A refusal names no topic: as many as there are refusals will never be acknowledged.
                while len(self._unacknowledged) > self._refusals:
                    self._take(await socket.recv(decode=False))
        listed = ", ".join(sorted(self._unacknowledged)[:5])
        if before & self._unacknowledged:
            raise _Lost(f"topics were not acknowledged again, among {listed}")
        if len(self._unacknowledged) == len(self._topics):
            if self._refusals:
                raise BadInput(f"The vendor's plan does not cover any of the topics asked for: {listed}.")
            raise _Lost(f"no topic was acknowledged: {listed}; either the vendor does not know them or it is unwell")
        if self._unacknowledged:
            _LOG.warning(
                "%d topics were not acknowledged, %d refused: %s", len(self._unacknowledged), self._refusals, listed
            )
        self.statistics.reconnects += bool(before)
        self._tell_gaps()

    async def _next(self, socket: ClientConnection) -> bytes:
        """The next frame. Raises _Lost where neither it nor the answer to a ping comes."""
        silence = self._patience.silence_seconds
        pong = None
        while True:
            try:
                async with asyncio.timeout(silence):
                    return await socket.recv(decode=False)
            except TimeoutError:
                if pong is not None and not pong.done():
                    raise _Lost(f"silent for {2 * silence:g} s, a ping was not answered") from None
            pong = asyncio.ensure_future(await socket.ping())

    def _take(self, frame: bytes) -> None:
        """Queue a frame's events, then act on what the vendor says among them. Raises BadInput or _Lost."""
        if not self._authenticated:
            # Whatever answers to the key must not bring it into an event by repeating it.
            frame = frame.replace(self._key.encode(), b"[key]")
        events = read_frame(frame, self._clock(), self._connection)
        self.statistics.frames += 1
        for event in events:
            self.statistics.count(event)
            self._coverage.saw(event)
            if not self._buffer.put(event):
                self.statistics.dropped += 1
        self._arrived.set()
        for event in events:
            if event.channel == STATUS:
                self._heed(str(event.body.get("status")), str(event.body.get("message")))

    def _heed(self, status: str, message: str) -> None:
        said = self._without_key(message)
        match status:
            case "auth_success":
                self._authenticated = True
            case "auth_failed":
                raise BadInput(f"The vendor refuses the key or its plan at {self._url}: {said}")
            case "success" if message.startswith("subscribed to:"):
                named = {topic.strip() for topic in message.removeprefix("subscribed to:").split(",")}
                for topic in named & self._unacknowledged:
                    self._unacknowledged.discard(topic)
                    self._coverage.acknowledge(topic, self._clock())
            case "error" if "not authorized" in message:
                self._refusals += 1
            case "max_connections" | "auth_timeout" | "slow_consumer" | "force_disconnect":
                raise _Lost(f"the vendor says {status} ({said})", evicted=status == "max_connections")

    def _tell_gaps(self) -> None:
        for gap in self._coverage.covered_again(self._clock()):
            self._buffer.put_gap(gap)
        self._arrived.set()

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "[key]")


class _Lost(Exception):
    """A connection is over or about to be; another may do better."""

    def __init__(self, reason: str, evicted: bool = False) -> None:
        super().__init__(reason)
        self.evicted = evicted


class _Connect(connect):
    """Follows no redirect: followed, it would hand the key to whoever it names."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class _WithoutFrames(logging.LoggerAdapter[logging.Logger]):
    """A log that is never at DEBUG, the level at which the library writes frames, the one with the key among them."""

    def isEnabledFor(self, level: int) -> bool:
        return level > logging.DEBUG and super().isEnabledFor(level)


_WIRE_LOG = _WithoutFrames(_LOG)


def _of_the_cap(words: str) -> bool:
    return any(part in words for part in _CAP_WORDS)


def _check(url: str, key: str, topics: tuple[str, ...]) -> None:
    """Raises BadInput for what no connection could be made of."""
    if not key or key in url:
        raise BadInput("The feed's key is empty, or stands in its URL, where it does not belong.")
    try:
        parse_uri(url)
    except (InvalidURI, ValueError) as error:
        raise BadInput(f"The feed's URL is none: {url}. Expected wss://host/stocks.") from error
    wrong = [topic for topic in topics if "." not in topic or "," in topic or any(map(str.isspace, topic))]
    if wrong or not topics:
        raise BadInput(f"No topics for the feed, or wrong ones: {', '.join(wrong)}. Expected T.*, AM.ABC and the like.")
