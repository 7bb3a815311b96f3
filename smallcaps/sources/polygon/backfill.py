"""What the live feed missed, asked for by REST and put into the feed's own shape."""

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from smallcaps.errors import BadData
from smallcaps.sources.polygon.conditions import CORRECTION_RECORDS
from smallcaps.sources.polygon.events import BARS, Event, Gap
from smallcaps.sources.polygon.rest import Parameter, RestClient

MARGIN_NS = 5 * 10**9
"""Asked for beyond either end of a gap: clocks differ, and events of one instant do not arrive together."""
LATE_NS = 15 * 60 * 10**9
"""A trade that comes this late still changes a bar that was sent before, so bars are asked for from so much earlier."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LIMIT = 50_000
_TRADE = {
    "i": "id",
    "x": "exchange",
    "p": "price",
    "ds": "decimal_size",
    "c": "conditions",
    "z": "tape",
    "trfi": "trf_id",
}
_QUOTE = {
    "bx": "bid_exchange",
    "ax": "ask_exchange",
    "bp": "bid_price",
    "ap": "ask_price",
    "i": "indicators",
    "z": "tape",
}
_BAR = {name: name for name in ("o", "h", "l", "c", "vw", "otc")}
_TIMES = {"pt": "participant_timestamp", "trft": "trf_timestamp"}


def backfill(gap: Gap, client: RestClient, symbols: Collection[str], margin_ns: int = MARGIN_NS) -> Iterator[Event]:
    """The events of a gap, by symbol and then time, from somewhat before it to somewhat after: `Seen` drops the doubles.

    `symbols` are those to ask for where a topic says `*`: REST has no request for all of them. Trades and quotes come
    with ms as on the feed; records of a cancel or correction, which the feed has no field for, are left out. Bars come
    unadjusted and without the day's running values (`av`, `dav`, `op`, `a`, `z`); those unfinished at the gap's end
    will come by the feed. LULD, NOI and FMV have no REST source and give nothing.

    Blocks while it asks, so call it in a thread beside a running feed. Raises as `RestClient.pages` does, and BadData
    for a record that is not what was asked for.
    """
    named: dict[str, dict[str, None]] = {}
    for topic in gap.topics:
        channel, _, symbol = topic.partition(".")
        named.setdefault(channel, {}).update(dict.fromkeys(symbols if symbol == "*" else [symbol]))
    for channel, wanted in named.items():
        for symbol in wanted:
            if channel in ("T", "Q"):
                yield from _ticks(client, channel, symbol, gap.from_ns - margin_ns, gap.to_ns + margin_ns)
            elif channel in BARS:
                yield from _bars(client, channel, symbol, gap.from_ns - LATE_NS, gap.to_ns)


def _ticks(client: RestClient, channel: str, symbol: str, from_ns: int, to_ns: int) -> Iterator[Event]:
    kind, convert = ("trades", _trade) if channel == "T" else ("quotes", _quote)
    parameters: dict[str, Parameter] = {
        "timestamp.gte": from_ns,
        "timestamp.lte": to_ns,
        "order": "asc",
        "sort": "timestamp",
        "limit": _LIMIT,
    }
    return _asked(client, f"/v3/{kind}/{quote(symbol, safe='')}", parameters, channel, symbol, convert)


def _bars(client: RestClient, channel: str, symbol: str, from_ns: int, to_ns: int) -> Iterator[Event]:
    span, width_ms = ("second", 1_000) if channel == "A" else ("minute", 60_000)
    path = f"/v2/aggs/ticker/{quote(symbol, safe='')}/range/1/{span}/{from_ns // 10**6}/{to_ns // 10**6}"
    parameters: dict[str, Parameter] = {"adjusted": False, "sort": "asc", "limit": _LIMIT}
    convert = partial(_bar, width_ms=width_ms, end_ms=to_ns // 10**6)
    return _asked(client, path, parameters, channel, symbol, convert)


def _asked(
    client: RestClient,
    path: str,
    parameters: dict[str, Parameter],
    channel: str,
    symbol: str,
    convert: Callable[[dict[str, Any]], dict[str, Any] | None],
) -> Iterator[Event]:
    """Every record of an answer as an event, but for those that `convert` makes None of."""
    for body in client.pages(path, parameters):
        received_ns = (body.received_at - _EPOCH) // timedelta(microseconds=1) * 1000
        try:
            converted = [convert(record) for record in body.json().get("results") or ()]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadData(f"{body.url} holds a record that is not one of channel {channel}: {error!r}.") from error
        for fields in converted:
            if fields is not None:
                yield Event(channel, symbol, {"ev": channel, "sym": symbol, **fields}, received_ns, 0, backfilled=True)


def _trade(record: dict[str, Any]) -> dict[str, Any] | None:
    if record.get("correction") in CORRECTION_RECORDS:
        return None
    return {**_renamed(record, _TRADE), **_tick(record), "s": int(record["size"])}


def _quote(record: dict[str, Any]) -> dict[str, Any]:
    sizes = {"bs": int(record.get("bid_size", 0)), "as": int(record.get("ask_size", 0))}
    # The feed has room for one condition.
    condition = {"c": record["conditions"][0]} if record.get("conditions") else {}
    return {**_renamed(record, _QUOTE), **_tick(record), **sizes, **condition}


def _tick(record: dict[str, Any]) -> dict[str, Any]:
    """Sequence number and times, in ms, of a trade or quote."""
    times = {name: record[field] // 10**6 for name, field in _TIMES.items() if field in record}
    return {"q": record["sequence_number"], "t": record["sip_timestamp"] // 10**6, **times}


def _bar(record: dict[str, Any], width_ms: int, end_ms: int) -> dict[str, Any] | None:
    start = record["t"]
    if start + width_ms > end_ms:
        return None
    volume = {"v": int(record["v"]), "dv": str(float(record["v"]))}
    return {**_renamed(record, _BAR), **volume, "s": start, "e": start + width_ms}


def _renamed(record: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {name: record[field] for name, field in names.items() if field in record}
