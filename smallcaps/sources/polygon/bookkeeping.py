"""The books of a live feed: what came, up to when each channel is known, what waits for the consumer, what was dropped."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from smallcaps.errors import BadInput
from smallcaps.sources.polygon.events import Event, Gap, happened_ns

UNHEARD = "nobody listened"


@dataclass
class FeedStatistics:
    """Counts since the start. `duplicates` and `backward`: sequence numbers (`q`) equal to or below the one before of the
    same channel and symbol; both are legal, and a new day begins with a step back. `dropped`: events that found the
    buffer full, which are in `events` too. `gaps`: Gaps handed out."""

    frames: int = 0
    events: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    backward: int = 0
    reconnects: int = 0
    gaps: int = 0
    dropped: int = 0
    _sequences: dict[tuple[str, str | None], int] = field(default_factory=dict, repr=False)

    def count(self, event: Event) -> None:
        """Count an event that was received."""
        self.events[event.channel] += 1
        number = event.body.get("q")
        if isinstance(number, int):
            of = (event.channel, event.symbol)
            before = self._sequences.get(of)
            if before is not None:
                self.duplicates += number == before
                self.backward += number < before
            self._sequences[of] = number


class Coverage:
    """Which topics are acknowledged, and up to when each channel is known: what a Gap is made of.

    `known_ns`: up to when channels are known from before, ns UTC; nobody has listened since.
    """

    def __init__(self, known_ns: Mapping[str, int] = {}) -> None:
        self.acknowledged: dict[str, dict[str, None]] = {}
        self._since: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._lost = {channel: (at, UNHEARD) for channel, at in known_ns.items()}

    def topics(self, channel: str) -> tuple[str, ...]:
        """The acknowledged ones of a channel."""
        return tuple(self.acknowledged.get(channel, ()))

    def acknowledge(self, topic: str, now_ns: int) -> None:
        """From `now_ns` on the topic's events come."""
        channel = topic.partition(".")[0]
        self.acknowledged.setdefault(channel, {})[topic] = None
        self._since.setdefault(channel, now_ns)

    def saw(self, event: Event) -> None:
        """Its channel is known up to this event."""
        happened = happened_ns(event)
        if happened is not None:
            # No event can be later than its receipt: a stamp that is would hide what is lost until then.
            at = min(happened, event.received_ns)
            self._last[event.channel] = max(self._last.get(event.channel, 0), at)

    def lose(self, reason: str) -> None:
        """From here on events are missing. A loss that is open already stays as it is."""
        for channel, since in self._since.items():
            self._lost.setdefault(channel, (self._last.get(channel, since), reason))

    def covered_again(self, now_ns: int) -> list[Gap]:
        """The open losses, ended now."""
        gaps = [
            Gap(self.topics(channel), from_ns, max(from_ns, now_ns), reason)
            for channel, (from_ns, reason) in self._lost.items()
        ]
        self._lost.clear()
        return gaps


class Buffer:
    """What the reader has and the consumer not yet. Full, it drops events until half of it is taken.

    `topics` names those of a channel for the Gap that stands for what was dropped.
    """

    def __init__(self, capacity: int, topics: Callable[[str], tuple[str, ...]]) -> None:
        if capacity < 1:
            raise BadInput(f"The feed's buffer needs room for an event at least; its capacity is {capacity}.")
        self._capacity = capacity
        self._topics = topics
        self._records: deque[Event | Gap] = deque()
        self._dropped: dict[str, tuple[int, int]] = {}

    def put(self, event: Event) -> bool:
        """Whether it was kept."""
        if not self._dropped and len(self._records) < self._capacity:
            self._records.append(event)
            return True
        at = happened_ns(event) or event.received_ns
        first, last = self._dropped.get(event.channel, (at, at))
        self._dropped[event.channel] = min(first, at), max(last, at)
        return False

    def put_gap(self, gap: Gap) -> None:
        """Kept in any case: Gaps are few."""
        self._records.append(gap)

    def take(self) -> Event | Gap | None:
        """The oldest, None where there is nothing."""
        record = self._records.popleft() if self._records else None
        if self._dropped and len(self._records) <= self._capacity // 2:
            self._records.extend(
                Gap(self._topics(channel), first, last, "slow consumer")
                for channel, (first, last) in self._dropped.items()
            )
            self._dropped.clear()
        return record
