"""What the vendor's live feed says: its frames as events, when each happened, and which are the same.

An event's body is the vendor's own object. Integers are exact; a fraction is the nearest double, which prints as the
vendor wrote it; `ds`, `dv` and `dav` are decimal strings as sent.
"""

import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

STATUS, UNREADABLE = "status", "unreadable"
"""Channels beside the vendor's T, Q, A, AM, LULD, NOI, FMV: its words about the connection; what is no event."""
BARS = ("A", "AM")
"""Channels of bars, a second and a minute long."""

_TIME = {"T": "t", "Q": "t", "A": "e", "AM": "e", "LULD": "t", "NOI": "t", "FMV": "t"}
MILLISECONDS_BELOW = 10**15
"""A time below this is in ms, not in ns: the vendor writes LULD's in either."""
_DAY_NS = 86_400 * 10**9
_IDENTITY = {
    "T": ("sym", "x", "trfi", "i", "q"),
    "Q": ("sym", "q", "t"),
    "A": ("sym", "s"),
    "AM": ("sym", "s"),
    "LULD": ("T", "q", "t"),
}
_OPTIONAL = {"trfi"}
_BAR_VALUES = ("o", "h", "l", "c", "v")


@dataclass(frozen=True, slots=True)
class Event:
    """One object of a frame. `channel` is its `ev`, `symbol` None where it names none, `received_ns` UTC.

    `connection` counts the feed's connections from 1 and is 0 where the event was asked for later (`backfilled`). The
    body of an UNREADABLE one is {"received": what came, "reason": why it is no event}.
    """

    channel: str
    symbol: str | None
    body: dict[str, Any]
    received_ns: int
    connection: int
    backfilled: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """A time from which events of `topics`, all of one channel, may be missing. Both ends are ns UTC and included.

    No topics: status messages or unreadable frames, which nobody can send again.
    """

    topics: tuple[str, ...]
    from_ns: int
    to_ns: int
    reason: str


def read_frame(frame: bytes, received_ns: int, connection: int) -> list[Event]:
    """The events of a frame, in its order. Whatever is no event comes as an UNREADABLE one: nothing is dropped."""
    try:
        items = _DECODER.decode(frame.decode())
    except (ValueError, RecursionError) as error:
        return [_unreadable(frame.decode(errors="backslashreplace"), f"not JSON: {error}", received_ns, connection)]
    if not isinstance(items, list):
        return [_unreadable(items, "not an array", received_ns, connection)]
    return [_event(item, received_ns, connection) for item in items]


def happened_ns(event: Event) -> int | None:
    """When it happened, ns UTC: a trade's, quote's or band's own time, a bar's end; None where the body does not say.

    The vendor writes some kinds in ms and some in ns, LULD in either: told by size.
    """
    value = event.body.get(_TIME.get(event.channel, ""))
    if not isinstance(value, int) or value <= 0:
        return None
    return value * 10**6 if value < MILLISECONDS_BELOW else value


def identity(event: Event) -> tuple[str | int | None, ...] | None:
    """What makes it the same event when it comes again; None where it has no such fields and is always taken as new.

    A trade's id is unique for a day only, so the UTC day belongs to it. A bar that comes again replaces the earlier one.
    """
    names = _IDENTITY.get(event.channel)
    happened = happened_ns(event)
    if names is None or happened is None:
        return None
    # Off the reporting facilities files say 0 where the wire says nothing.
    values = [event.body.get(name) or None if name in _OPTIONAL else event.body.get(name) for name in names]
    if any(
        not isinstance(value, str | int) and (value is not None or name not in _OPTIONAL)
        for name, value in zip(names, values, strict=True)
    ):
        return None
    return (event.channel, happened // _DAY_NS if event.channel == "T" else None, *values)


class Seen:
    """Joins feed and back-fill without doubles, by the last `remembered` identities (about 0.4 GB a million).

    It must hold what a back-fill brings and what the feed brought in the seconds around the gap.
    """

    def __init__(self, remembered: int = 500_000) -> None:
        self._remembered = remembered
        self._seen: OrderedDict[tuple[str | int | None, ...], tuple[tuple[Any, ...], bool]] = OrderedDict()

    def admit(self, event: Event) -> bool:
        """Whether it says something new: an unknown event, a bar with other prices or volume, a bar's full body after REST's.

        An event is remembered by being admitted.
        """
        key = identity(event)
        if key is None:
            return True
        is_bar = event.channel in BARS
        values = tuple(event.body.get(name) for name in _BAR_VALUES) if is_bar else ()
        full = is_bar and not event.backfilled
        known = self._seen.get(key)
        if known is not None and known[0] == values and (known[1] or not full):
            return False
        self._seen[key] = values, full
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        return True


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _event(item: object, received_ns: int, connection: int) -> Event:
    if not isinstance(item, dict) or not isinstance(item.get("ev"), str):
        return _unreadable(item, "no object with a kind (ev)", received_ns, connection)
    symbol = item.get("sym", item.get("T"))
    return Event(item["ev"], symbol if isinstance(symbol, str) else None, item, received_ns, connection)


def _unreadable(received: object, reason: str, received_ns: int, connection: int) -> Event:
    return Event(UNREADABLE, None, {"received": received, "reason": reason}, received_ns, connection)
