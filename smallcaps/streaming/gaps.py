"""What the live feed missed, asked for by REST beside it.

A gap is asked for symbol by symbol, by threads that nobody waits for: what is not answered when the process ends is lost,
and so is what REST has nothing of. Answers wait until the feed's own path takes them.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from itertools import islice
from queue import Queue, SimpleQueue

from smallcaps.errors import BadData, SmallcapsError
from smallcaps.log import tell
from smallcaps.sources.polygon.backfill import backfill
from smallcaps.sources.polygon.events import BARS, Event, Gap
from smallcaps.sources.polygon.rest import RestClient

SETTLE_SECONDS = 5.0
"""REST knows an event somewhat later than the feed does: a gap is not asked for before so long after its end."""
ANSWER_EVENTS, ANSWERS = 1_000, 64
"""Events of an answer that are taken together, and how many such wait at most."""
_ASKED = ("T", "Q", *BARS)


class Refill:
    """Fills gaps; `answers` are events to be taken like the feed's, of which some came before."""

    def __init__(self, client: RestClient, workers: int) -> None:
        self.answers: Queue[list[Event]] = Queue(ANSWERS)
        self._client = client
        self._pieces: SimpleQueue[tuple[Gap, Gap, float] | None] = SimpleQueue()
        # Pieces of a gap that are not answered yet.
        self._open: Counter[Gap] = Counter()
        self._lost: set[Gap] = set()
        self._given_up: set[Gap] = set()
        self._lock = threading.Lock()
        self._workers = workers
        for number in range(workers):
            threading.Thread(target=self._work, name=f"refill {number}", daemon=True).start()

    @property
    def lost(self) -> int:
        """Gaps of which something could not be had."""
        return len(self._lost)

    def fill(self, gap: Gap, symbols: Collection[str]) -> None:
        """Have a gap filled; `symbols` are those to ask for where a topic says `*`."""
        asked = pieces(gap, symbols)
        if not asked:
            self._lose(gap, "REST has nothing of it, or nobody knows for which symbols to ask")
            return
        with self._lock:
            self._open[gap] += len(asked)
        at = time.monotonic() + SETTLE_SECONDS
        for piece in asked:
            self._pieces.put((gap, piece, at))

    def close(self) -> None:
        """Give up what is not filled."""
        with self._lock:
            unfilled = set(self._open) - self._lost
        for gap in unfilled:
            self._given_up.add(gap)
            self._lose(gap, "the process ends")
        for _ in range(self._workers):
            self._pieces.put(None)

    def _work(self) -> None:
        while (asked := self._pieces.get()) is not None:
            gap, piece, at = asked
            try:
                if gap not in self._given_up:
                    time.sleep(max(0.0, at - time.monotonic()))
                    self._ask(piece)
            except SmallcapsError as error:
                if not isinstance(error, BadData):
                    self._given_up.add(gap)
                self._lose(gap, str(error))
            with self._lock:
                self._open[gap] -= 1
                if not self._open[gap]:
                    del self._open[gap]

    def _ask(self, piece: Gap) -> None:
        events = backfill(piece, self._client, ())
        while part := list(islice(events, ANSWER_EVENTS)):
            self.answers.put(part)

    def _lose(self, gap: Gap, why: str) -> None:
        self._lost.add(gap)
        tell(
            f"A gap of the feed is not filled: {why}",
            logging.WARNING,
            topics=list(gap.topics[:5]),
            from_ns=gap.from_ns,
            to_ns=gap.to_ns,
            reason=gap.reason,
        )


def pieces(gap: Gap, symbols: Collection[str]) -> list[Gap]:
    """A gap as one of each symbol; none of the channels that REST does not have."""
    topics = [topic.partition(".") for topic in gap.topics]
    return [
        replace(gap, topics=(f"{channel}.{one}",))
        for channel, _, symbol in topics
        if channel in _ASKED
        for one in (sorted(symbols) if symbol == "*" else [symbol])
    ]
