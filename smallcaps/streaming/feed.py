"""The vendor's live feed → Kafka.

1. What came together becomes messages together (`letters`); what came before is dropped (`events.Seen`).
2. What a lost connection missed, and what happened since an earlier process ended (`predecessor`), is asked for by REST beside it
(`gaps`) and goes the same way.
3. News, which the feed has not, are polled beside it (`news`).
4. All are sent by one producer, each once (`kafka.Outlet`). At the end, whatever brings it, what was received has arrived.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any

from smallcaps.config import Settings
from smallcaps.errors import BadInput, SmallcapsError
from smallcaps.lake.topics import BARS, DEAD_LETTERS, NEWS, SECTOR
from smallcaps.log import tell
from smallcaps.sources.polygon.credentials import Key
from smallcaps.sources.polygon.events import Event, Gap, Seen
from smallcaps.sources.polygon.rest import Pace, RestClient
from smallcaps.sources.polygon.websocket import PATIENCE, Feed, Patience
from smallcaps.streaming.gaps import Refill
from smallcaps.streaming.kafka import Outlet, partitions_of
from smallcaps.streaming.letters import TOPIC_OF, Letter, letters
from smallcaps.streaming.news import poll_news
from smallcaps.streaming.predecessor import left_off

TOGETHER_SECONDS, TOGETHER = 0.05, 2_000
"""What comes within this time is typed together, at most so many events."""
TELL_SECONDS = 10.0
_BARS = (BARS.name, SECTOR.name)


@dataclass
class LiveStatistics:
    """What became of what came, since the start: `messages` by topic, `dead_letters` by reason, `duplicates` dropped,
    `backfilled` events sent, `gaps` of the feed and those that could not be filled whole, `reconnects`.

    Of the last interval: `rate` (messages a second) and how long after they happened the feed's events were handed to Kafka,
    `lag` of the newest, `shortest_lag` and `longest_lag` (seconds; None where none came). Bars do not count: some come again
    minutes later. `heard_at`: when the feed's last event came, UTC; None where none did.
    """

    messages: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    backfilled: int = 0
    gaps: int = 0
    gaps_lost: int = 0
    reconnects: int = 0
    rate: float = 0.0
    lag: float | None = None
    shortest_lag: float | None = None
    longest_lag: float | None = None
    heard_at: str | None = None

    def facts(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}

    def __str__(self) -> str:
        lag = "" if self.lag is None else f", {self.lag:.2f} s after they happened (at most {self.longest_lag:.2f} s)"
        return f"{self.messages.total():,} messages, {self.rate:,.0f} a second{lag}"


def ingest_live(
    settings: Settings,
    key: Key,
    symbols: Sequence[str] | None = None,
    seconds: float | None = None,
    news_seconds: float | None = None,
    patience: Patience = PATIENCE,
    stop: threading.Event | None = None,
    clock: Callable[[], int] = time.time_ns,
    told: Callable[[dict[str, Any]], None] = lambda facts: None,
) -> LiveStatistics:
    """Take the feed's trades, quotes, minute bars and limit bands to Kafka, of all symbols or of these, and news every
    `news_seconds`.

    Ends after `seconds`, or when `stop` is set. `clock` gives now in ns UTC, `told` is given the statistics every TELL_SECONDS.
    Raises BadInput where
    topics are missing or the vendor refuses, FailedDependency where vendor or broker stay away; what was received is sent
    before.
    """
    if seconds is not None and not seconds > 0:
        raise BadInput(f"{seconds:g} seconds are no time to listen for.")
    for name in (*(topic.name for topic in TOPIC_OF.values()), SECTOR.name, NEWS.name, DEAD_LETTERS[0]):
        partitions_of(settings.kafka, name)
    subscribed = [f"{channel}.{symbol}" for channel in TOPIC_OF for symbol in symbols or ["*"]]
    vendor = settings.vendor
    before = left_off(settings.kafka, clock())
    feed = Feed(vendor.feed, key.value, subscribed, patience, clock=clock, known_ns=before.known_ns)
    client = RestClient(vendor.origin, key.value, Pace(vendor.requests_per_second), connections=vendor.connections + 1)
    stop = stop or threading.Event()
    news: SimpleQueue[list[Letter]] = SimpleQueue()
    if news_seconds is not None:
        asking = (client, news.put, news_seconds, stop, clock)
        threading.Thread(target=poll_news, args=asking, name="news", daemon=True).start()
    with Outlet(settings.kafka) as outlet:
        refill = Refill(client, vendor.connections)
        intake = _Intake(outlet, feed, refill, news, before.symbols, clock, told)
        try:
            ended = asyncio.run(intake.listen(seconds, stop))
            outlet.flush()
        finally:
            stop.set()
            refill.close()
            intake.tell()
        if ended is not None:
            raise ended
        return intake.statistics


class _Intake:
    """The one way from what was received to the outlet."""

    def __init__(
        self,
        outlet: Outlet,
        feed: Feed,
        refill: Refill,
        news: SimpleQueue[list[Letter]],
        symbols: Iterable[str],
        clock: Callable[[], int],
        told: Callable[[dict[str, Any]], None],
    ) -> None:
        self._told = told
        self._outlet, self._feed, self._refill, self._news, self._clock = outlet, feed, refill, news, clock
        self._seen = Seen()
        self._symbols = set(symbols)
        self._told_at, self._told_messages = time.monotonic(), 0
        self._lag: float | None = None
        self._shortest_lag: float | None = None
        self._longest_lag: float | None = None
        self.statistics = LiveStatistics()

    async def listen(self, seconds: float | None, stop: threading.Event) -> SmallcapsError | None:
        """Take what comes until the end; returns the error by which the feed ended. Raises what the outlet does."""
        end = float("inf") if seconds is None else time.monotonic() + seconds
        ended = None
        async with self._feed:
            while ended is None and not stop.is_set() and time.monotonic() < end:
                heard, ended = await self._together()
                # In a thread, since it blocks while the broker is away.
                await asyncio.to_thread(self._take, heard)
        # No more is received; what was is still in the feed's buffer.
        while heard := (await self._together())[0]:
            await asyncio.to_thread(self._take, heard)
        for _ in range(self._refill.answers.qsize() + 1):
            await asyncio.to_thread(self._take, [])
        return ended

    async def _together(self) -> tuple[list[Event | Gap], SmallcapsError | None]:
        """What comes in a moment, and the error that ends the feed."""
        heard: list[Event | Gap] = []
        try:
            async with asyncio.timeout(TOGETHER_SECONDS):
                async for record in self._feed:
                    heard.append(record)
                    if len(heard) == TOGETHER:
                        break
        except TimeoutError:
            pass
        except SmallcapsError as error:
            return heard, error
        return heard, None

    def _take(self, heard: Iterable[Event | Gap]) -> None:
        """Send what is new of what was heard, an answer of those to gaps, and what news there are."""
        events = []
        for record in heard:
            if isinstance(record, Gap):
                self.statistics.gaps += 1
                self._refill.fill(record, self._symbols)
            else:
                events.append(record)
        self._symbols.update(event.symbol for event in events if event.symbol is not None)
        sent = self._send(letters(self._fresh(events)))
        now = self._clock()
        if events:
            self.statistics.heard_at = datetime.fromtimestamp(now / 1e9, UTC).isoformat()
        if happened := [letter.event_ns for letter in sent if letter.event_ns and letter.topic not in _BARS]:
            self._lag = (now - max(happened)) / 1e9
            self._shortest_lag = min(self._lag, self._lag if self._shortest_lag is None else self._shortest_lag)
            self._longest_lag = max(self._longest_lag or 0.0, (now - min(happened)) / 1e9)
        with suppress(Empty):
            fresh = self._fresh(self._refill.answers.get_nowait())
            self.statistics.backfilled += len(self._send(letters(fresh)))
        with suppress(Empty):
            while True:
                self._send(self._news.get_nowait())
        self._outlet.look()
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            self.tell()

    def _fresh(self, events: Sequence[Event]) -> list[Event]:
        """Those that say something new."""
        fresh = [event for event in events if self._seen.admit(event)]
        self.statistics.duplicates += len(events) - len(fresh)
        return fresh

    def _send(self, found: Iterable[Letter]) -> list[Letter]:
        """Send messages and dead letters; returns the messages."""
        messages = []
        for letter in found:
            self._outlet.send(letter.topic, letter.key, letter.value, letter.headers)
            if letter.event_ns is None:
                self.statistics.dead_letters[letter.fault] += 1
            else:
                self.statistics.messages[letter.topic] += 1
                messages.append(letter)
        return messages

    def tell(self) -> None:
        """Say in the log what has come of the feed, and begin another interval."""
        now, statistics = time.monotonic(), self.statistics
        statistics.rate = (statistics.messages.total() - self._told_messages) / (now - self._told_at)
        statistics.reconnects = self._feed.statistics.reconnects
        statistics.gaps_lost = self._refill.lost
        statistics.lag, statistics.shortest_lag, statistics.longest_lag = (
            self._lag,
            self._shortest_lag,
            self._longest_lag,
        )
        self._lag = self._shortest_lag = self._longest_lag = None
        tell(f"live ingest: {statistics}", **statistics.facts())
        self._told(statistics.facts())
        self._told_at, self._told_messages = now, statistics.messages.total()
