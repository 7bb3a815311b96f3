"""What the topics hold of the day: where an earlier `live ingest` left off, so that what nobody heard since can be asked for.

What happened on earlier days the vendor's files bring.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from smallcaps.calendar.sessions import session_of
from smallcaps.config import KafkaSettings
from smallcaps.lake.topics import SECTOR
from smallcaps.sources.polygon.events import BARS
from smallcaps.streaming.kafka import HOUR_MS, messages_from, watermarks
from smallcaps.streaming.letters import TOPIC_OF

SESSION_MS = 16 * HOUR_MS
"""From 04:00 to 20:00."""
CHANNEL_OF = {topic.name: channel for channel, topic in TOPIC_OF.items()} | {SECTOR.name: "AM"}
NEWEST = 100
"""So many of a partition's last messages are looked at: one of them may tell of something that happened long before it came."""


class LeftOff(NamedTuple):
    """Up to when each channel is known (ns UTC), and the symbols that had bars."""

    known_ns: Mapping[str, int]
    symbols: frozenset[str]


def left_off(kafka: KafkaSettings, now_ns: int) -> LeftOff:
    """Where the messages of each channel end, at the earliest when the session of `now_ns` begins; nothing before or without one,
    or where nobody has sent any. Reads the keys of a session's bars.

    Raises BadInput where topics are missing, FailedDependency where the broker does not answer.
    """
    begin_ns = _begin_ns(now_ns)
    if begin_ns is None or now_ns < begin_ns:
        return LeftOff({}, frozenset())
    ends = watermarks(kafka, [*CHANNEL_OF])
    known, bars_came_ms = dict[str, int](), list[int]()
    begins = {place: max(low, high - NEWEST) for place, (low, high) in ends.items() if high > low}
    for topic, one in messages_from(kafka, begins):
        channel, happened = CHANNEL_OF[topic], _happened_ns(one.value())
        if happened is not None:
            known[channel] = max(begin_ns, happened, known.get(channel, 0))
        if channel in BARS:
            bars_came_ms.append(one.timestamp()[1])
    symbols = set[str]()
    if bars_came_ms:
        bars = [topic for topic, channel in CHANNEL_OF.items() if channel in BARS]
        ends = watermarks(kafka, bars, max(bars_came_ms) - SESSION_MS)
        begins = {place: low for place, (low, high) in ends.items() if high > low}
        symbols = {key.decode() for _, one in messages_from(kafka, begins) if (key := one.key()) is not None}
    return LeftOff(known, frozenset(symbols))


def _happened_ns(message: bytes | None) -> int | None:
    """When what a message tells of happened; None where it is none of ours."""
    try:
        return int(json.loads(message or b"")["event_ns"])
    except (ValueError, KeyError, TypeError):
        return None


def _begin_ns(now_ns: int) -> int | None:
    """When the session of an instant's day begins, pre-market included; None on a day without one."""
    hours = session_of(datetime.fromtimestamp(now_ns // 10**9, UTC))
    return None if hours.empty else hours["pre_open_at"].iloc[0].value
