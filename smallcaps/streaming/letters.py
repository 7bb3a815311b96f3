"""What the vendor says as messages of the topics: typed by its channel's fields, or as a dead letter with what is wrong with it.

1. Events that came together are typed channel by channel, column by column, by the means by which REST's bodies are.
2. One that lacks a field, has a wrong one or does not say when it happened goes to the dead letters as it came.
3. `source_sha256` is of what the message says of the event. So an event has one identity however it comes again: over another
   connection, from REST, whose records lack what no column keeps, or to another process.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from smallcaps.calendar.sessions import NEW_YORK
from smallcaps.lake.declaration import Topic
from smallcaps.lake.topics import BARS, DEAD_LETTERS, LULD, QUOTES, SECTOR, TRADES
from smallcaps.refine.sectors import FUNDS, MARKET, SMALL_CAP
from smallcaps.sources.columns import read_column
from smallcaps.sources.polygon.bodies import Record, text_columns
from smallcaps.sources.polygon.endpoints import CHANNELS, Endpoint
from smallcaps.sources.polygon.events import STATUS, UNREADABLE, Event, happened_ns
from smallcaps.sources.polygon.ticks import PRICE, SIZE
from smallcaps.streaming.messages import LARGEST_BYTES

TOPIC_OF = {str(topic.channel): topic for topic in (TRADES, QUOTES, BARS, LULD)}
"""Where a channel's events go; bars of the funds go to SECTOR instead, which lands in the same table."""
SECTOR_FUNDS = frozenset({MARKET, SMALL_CAP, *FUNDS.values()})
DEAD_BYTES = 512 * 1024
"""So much of a dead letter is kept: brokers take no message of over 1 MB."""
ARROW = {
    **{"string": pa.string(), "int": pa.int32(), "bigint": pa.int64(), "timestamp": pa.timestamp("us", "UTC")},
    **{PRICE: pa.decimal128(18, 6), SIZE: pa.decimal128(20, 6)},
    **{"array<int>": pa.list_(pa.int32()), "array<string>": pa.list_(pa.string())},
    "array<struct<ticker:string,sentiment:string,sentiment_reasoning:string>>": pa.list_(
        pa.struct([(name, pa.string()) for name in ("ticker", "sentiment", "sentiment_reasoning")])
    ),
}
"""Arrow's types of the columns' types: asking Spark would take a JVM."""
_CHANNEL_BYTES = 64
_HOUR_NS = 3_600 * 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_JSON = json.JSONEncoder(separators=(",", ":"))


class Letter(NamedTuple):
    """A message to be sent. `event_ns` is when what it tells of happened; None: of a dead letter."""

    topic: str
    key: str | None
    value: bytes
    headers: dict[str, str | bytes | None] | None = None
    event_ns: int | None = None

    @property
    def fault(self) -> str:
        """Of a dead letter the kind of its reason, which may say more after a colon."""
        return str((self.headers or {}).get("reason")).partition(":")[0]


def letters(events: Iterable[Event]) -> Iterator[Letter]:
    """Messages of events, those of a channel in their order. What the vendor says about the connection is none."""
    heard: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        heard[event.channel].append(event)
    for channel, those in heard.items():
        yield from _safely(channel, those)


def dead_letter(channel: str, received: object, reason: str) -> Letter:
    """What came, as text or JSON, with why it could not be taken and the channel over which it came."""
    value = received.encode(errors="backslashreplace") if isinstance(received, str) else _JSON.encode(received).encode()
    headers: dict[str, str | bytes | None] = {
        "reason": reason,
        "topic": channel.encode(errors="backslashreplace")[:_CHANNEL_BYTES],
    }
    if len(value) > DEAD_BYTES:
        headers["whole_bytes"] = str(len(value))
    return Letter(DEAD_LETTERS[0], None, value[:DEAD_BYTES], headers)


def typed(endpoint: Endpoint, records: Sequence[Record]) -> tuple[list[dict[str, Any]], list[str | None]]:
    """Records as JSON values by column, without those that are null, and what is wrong with each (None where nothing is)."""
    rows: list[dict[str, Any]] = [{} for _ in records]
    reasons: list[str | None] = [None] * len(records)
    texts = text_columns(endpoint, list(records))
    for field in sorted(endpoint.fields, key=lambda one: one.column):
        text, name = texts[field.column], field.column
        values, unread = read_column(text, field, ARROW[field.type])
        if unread is not None:
            for place in unread.nonzero()[0]:
                reasons[place] = reasons[place] or "unparsable_value"
        if not field.optional and text.null_count:
            for place in text.is_null().to_numpy(zero_copy_only=False).nonzero()[0]:
                reasons[place] = "missing_value"
        for row, value in zip(rows, _plain(values), strict=True):
            if value is not None:
                row[name] = value
    return rows, reasons


def message(topic: Topic, said: Mapping[str, Any], event_ns: int, received_ns: int, around: Mapping[str, Any]) -> bytes:
    """A message of `said`, what its identity is made of, `around`, what else it holds, envelope and origin."""
    text = _JSON.encode(said)
    more = {
        **around,
        "event_ns": event_ns,
        "received_at": _instant(received_ns // 1000),
        "schema_version": topic.version,
        "source_sha256": sha256(text.encode()).hexdigest(),
        "source_line": 1,
    }
    return f"{text[:-1]},{_JSON.encode(more)[1:]}".encode()


def _safely(channel: str, events: Sequence[Event]) -> list[Letter]:
    """Messages of a channel's events. One that is nested as deep as a decoder may go, and no encoder may, spoils only itself."""
    try:
        return _of_channel(channel, events)
    except RecursionError:
        if len(events) == 1:
            return [dead_letter(channel, events[0].symbol or "", "nested_too_deep")]
        return [letter for event in events for letter in _safely(channel, [event])]


def _of_channel(channel: str, events: Sequence[Event]) -> list[Letter]:
    if channel == STATUS:
        return []
    if channel == UNREADABLE:
        return [dead_letter(channel, event.body["received"], event.body["reason"]) for event in events]
    if channel not in TOPIC_OF:
        return [dead_letter(channel, event.body, "unknown_channel") for event in events]
    return list(_judged(channel, events))


def _judged(channel: str, events: Sequence[Event]) -> Iterator[Letter]:
    rows, reasons = typed(CHANNELS[channel], [event.body for event in events])
    for event, row, reason in zip(events, rows, reasons, strict=True):
        at = happened_ns(event)
        if reason is not None or at is None or at >= 1 << 63:
            yield dead_letter(channel, event.body, reason or "no_time")
            continue
        if channel == "LULD":
            # The vendor writes it in ms or in ns.
            row["sip_ns"] = at
        symbol = row["symbol"]
        topic = SECTOR if channel == "AM" and symbol in SECTOR_FUNDS else TOPIC_OF[channel]
        value = message(topic, row, at, event.received_ns, {"session_date": _day(at // _HOUR_NS)})
        if len(value) > LARGEST_BYTES:
            yield dead_letter(channel, event.body, "oversized")
        else:
            yield Letter(topic.name, symbol, value, None, at)


def _plain(values: pa.Array) -> list[Any]:
    """Values as JSON has them."""
    if pa.types.is_decimal(values.type):
        # Over text: Arrow's own way from decimals to doubles is off by the last bit.
        values = pc.cast(pc.cast(values, pa.string()), pa.float64())
    elif pa.types.is_timestamp(values.type):
        return [None if one is None else one.isoformat(timespec="microseconds") for one in values.to_pylist()]
    plain: list[Any] = values.to_pylist()
    return plain


@lru_cache(maxsize=256)
def _day(hour: int) -> str:
    """New York's day of an hour since 1970, all of which lies in one."""
    return datetime.fromtimestamp(hour * 3_600, NEW_YORK).date().isoformat()


@lru_cache(maxsize=4096)
def _instant(microseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")
