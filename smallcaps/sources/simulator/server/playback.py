"""One day of the tape as the events of a live feed.

1. The day's trades, quotes and LULD rows are put in the order of their SIP stamps.
2. `advance(instant)` takes those up to an instant. A row is an event of its own; a trade also goes into its second's and
   its minute's bar, and into the day's sums.
3. A bar is published two seconds after it ends. A trade that comes later, at most 15 minutes after the end, has the same
   bar published again; one that comes later still changes the day's sums alone.
4. Symbols without trades on the tape have the tape's own minute bars published.

Events are the same however the day is cut into instants.
"""

import heapq
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from smallcaps.sources.polygon.conditions import CORRECTION_RECORDS
from smallcaps.sources.simulator.layout import PRICE_UNIT, SIZE_UNIT
from smallcaps.sources.simulator.server.aggregates import (
    Bar,
    Trade,
    average_size,
    eligibility,
    stamp,
)
from smallcaps.sources.simulator.server.bars import LENGTHS
from smallcaps.sources.simulator.server.clock import MILLISECOND, SECOND, hours
from smallcaps.sources.simulator.server.faults import nth
from smallcaps.sources.simulator.server.tape import DayRows, ints
from smallcaps.sources.simulator.server.wire import decimal_shares, price
from smallcaps.sources.simulator.server.world import World

CHANNELS = ("T", "Q", "A", "AM", "LULD")
PUBLISHED_AFTER = 2 * SECOND
REPEATED_FOR = 15 * 60 * SECOND
FORGOTTEN_AFTER = LENGTHS["minute"] + REPEATED_FOR + 2 * PUBLISHED_AFTER
"""After a bar's first trade: by then nothing can change it or is due any more."""
BLOCK_ROWS = 50_000
LOT = 100
ALL = "*"

Topics = Mapping[str, set[str]]
"""Symbols by channel; `*` for all."""


class Event(NamedTuple):
    """What is sent: when (ns), on which channel, about whom."""

    at: int
    channel: str
    symbol: str
    body: dict[str, Any]


@dataclass
class Day:
    """A symbol's day so far."""

    volume: int = 0
    value: int = 0
    open: int = 0

    @property
    def vwap(self) -> float:
        """Dollars; 0 before anything traded."""
        return round(self.value / self.volume / PRICE_UNIT, 4) if self.volume else 0.0


class Source:
    """Rows of a kind in the order of their stamps, taken piece by piece."""

    def __init__(self, rows: DayRows, column: str, delay: int = 0) -> None:
        stamps = ints(rows.table, column) + delay
        self._table = rows.table
        self._order = np.argsort(stamps, kind="stable")
        self._stamps = stamps[self._order]
        self._codes = np.repeat(np.arange(len(rows.symbols)), np.diff(rows.bounds))[self._order]
        self._symbols = rows.symbols
        self._next = 0

    @property
    def last(self) -> int:
        """The stamp of the last row; 0 where there is none."""
        return int(self._stamps[-1]) if len(self._stamps) else 0

    def take(self, until: int, wanted: set[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Stamps and rows up to an instant of the symbols wanted."""
        end = int(np.searchsorted(self._stamps, until, "right"))
        begin, self._next = self._next, max(end, self._next)
        if begin == self._next or not wanted:
            return
        every = ALL in wanted
        listening = np.array([every or symbol in wanted for symbol in self._symbols], np.bool_)
        for start in range(begin, self._next, BLOCK_ROWS):
            block = slice(start, min(start + BLOCK_ROWS, self._next))
            chosen = np.flatnonzero(listening[self._codes[block]])
            rows = self._table.take(self._order[block][chosen]).to_pylist()
            yield from zip(self._stamps[block][chosen].tolist(), rows, strict=True)


class Playback:
    """A day's feed. Not safe to share among threads."""

    def __init__(self, world: World, day: date, start_ns: int = 0) -> None:
        """`start_ns`: nothing before it will be asked for; bars that are settled by then are not made."""
        self._faults = world.faults
        self._unsettled = start_ns - FORGOTTEN_AFTER
        self._hours = hours(day)
        tape = world.tape
        trades = tape.rows("trades", day)
        self._trades = Source(trades, "sip_ns")
        self._quotes = Source(tape.rows("quotes", day), "sip_ns")
        self._luld = Source(tape.rows("luld", day), "sip_ns")
        self._minutes = Source(tape.rows("minute", day), "start_ns", LENGTHS["minute"] + PUBLISHED_AFTER)
        self._traded = set(trades.symbols)
        self._untraded = set(tape.rows("minute", day).symbols) - self._traded
        self._uses = eligibility(world.sale_conditions, self._hours, world.faults.bars_by)
        self._days: dict[str, Day] = {}
        self._bars: dict[tuple[str, str, int], Bar] = {}
        self._due: list[tuple[int, str, str, int]] = []
        self._waiting: set[tuple[str, str, int]] = set()
        self._old: deque[tuple[int, tuple[str, str, int]]] = deque()
        self._sent_trades = 0
        self._last_sequence = 0

    @property
    def last(self) -> int:
        """The instant after which nothing comes."""
        sources = (self._trades, self._quotes, self._luld, self._minutes)
        return max(source.last for source in sources) + REPEATED_FOR

    def advance(self, until: int, topics: Topics) -> list[Event]:
        """The events up to an instant, in order, of the topics; of the others only the sums are kept."""
        events = [
            Event(at, "Q", row["symbol"], self._quote(row)) for at, row in self._of(self._quotes, "Q", until, topics)
        ]
        events += [
            Event(at, "LULD", row["symbol"], self._band(row)) for at, row in self._of(self._luld, "LULD", until, topics)
        ]
        for at, row in self._trades.take(until, {ALL}):
            events += self._publish(at - 1, topics)
            self._count(row)
            if _wanted(topics, "T", row["symbol"]) and self._is_sent(row):
                events.append(Event(at, "T", row["symbol"], self._trade(row)))
        events += self._publish(until, topics)
        for at, row in self._minutes.take(until, self._untraded):
            body = self._tape_minute(row)
            if _wanted(topics, "AM", row["symbol"]):
                events.append(Event(at, "AM", row["symbol"], body))
        return sorted(events, key=lambda event: event.at)

    def _of(self, source: Source, channel: str, until: int, topics: Topics) -> Iterator[tuple[int, dict[str, Any]]]:
        return source.take(until, topics.get(channel, set()))

    def _is_sent(self, row: Trade) -> bool:
        return row["correction"] not in CORRECTION_RECORDS or self._faults.send_cancels

    def _count(self, row: Trade) -> None:
        """A trade goes into the day's sums and its bars; those that it changes are due."""
        uses, symbol, at = self._uses(row), row["symbol"], stamp(row, self._faults.bars_by)
        day = self._days.setdefault(symbol, Day())
        if uses.volume:
            day.volume += row["size"]
            day.value += row["size"] * row["price"]
        if uses.open_close and not day.open and self._hours.regular(at):
            day.open = row["price"]
        if row["sip_ns"] < self._unsettled:
            return
        for channel, span in (("A", "second"), ("AM", "minute")):
            length = LENGTHS[span]
            start = at - at % length
            end = start + length
            if row["sip_ns"] > end + REPEATED_FOR:
                continue
            key = (channel, symbol, start)
            if key not in self._bars:
                self._bars[key] = Bar(start)
                self._old.append((row["sip_ns"] + FORGOTTEN_AFTER, key))
            bar = self._bars[key]
            if bar.add(row, uses, at) and bar.priced and key not in self._waiting:
                self._waiting.add(key)
                heapq.heappush(self._due, (max(end, row["sip_ns"]) + PUBLISHED_AFTER, *key))

    def _publish(self, until: int, topics: Topics) -> list[Event]:
        """The bars that are due by an instant; those that nothing can change any more are forgotten."""
        events = []
        while self._due and self._due[0][0] <= until:
            at, channel, symbol, start = heapq.heappop(self._due)
            key = (channel, symbol, start)
            self._waiting.discard(key)
            bar = self._bars[key]
            if _wanted(topics, channel, symbol):
                length = LENGTHS["second" if channel == "A" else "minute"]
                body = _bar_body(channel, symbol, bar, self._days[symbol], start + length)
                events.append(Event(at, channel, symbol, body))
        while self._old and self._old[0][0] <= until:
            del self._bars[self._old.popleft()[1]]
        return events

    def _tape_minute(self, row: dict[str, Any]) -> dict[str, Any]:
        day = self._days.setdefault(row["symbol"], Day())
        prices = (row["open"], row["high"], row["low"], row["close"])
        value = round((row["vwap"] or 0) * PRICE_UNIT * row["volume"]) if row["volume"] else 0
        day.volume += row["volume"]
        day.value += value
        if not day.open and self._hours.regular(row["start_ns"]):
            day.open = row["open"]
        bar = Bar(row["start_ns"], *prices, row["volume"], value, row["trades"])
        return _bar_body("AM", row["symbol"], bar, day, row["start_ns"] + LENGTHS["minute"])

    def _trade(self, row: Trade) -> dict[str, Any]:
        whole = row["size"] // SIZE_UNIT
        body: dict[str, Any] = {"ev": "T", "sym": row["symbol"]}
        if not self._faults.omit_trade_id:
            body["i"] = row["id"]
        body |= {
            "x": row["exchange"],
            "p": price(row["price"]),
            "s": whole if whole or self._faults.sub_share_size_zero else 1,
        }
        if row["conditions"]:
            body["c"] = row["conditions"]
        body |= {
            "t": row["sip_ns"] // MILLISECOND,
            "pt": (row["participant_ns"] or row["sip_ns"]) // MILLISECOND,
            "q": self._sequence(row["sequence_number"]),
            "z": row["tape"],
        }
        if row["trf_id"]:
            body |= {"trfi": row["trf_id"], "trft": row["trf_ns"] // MILLISECOND}
        return body | {"ds": decimal_shares(row["size"])}

    def _sequence(self, sequence: int) -> int:
        """A trade's sequence number, or the wrong one that is asked for."""
        self._sent_trades += 1
        if nth(self._sent_trades, self._faults.repeat_sequence_every) and self._last_sequence:
            sequence = self._last_sequence
        elif nth(self._sent_trades, self._faults.backward_sequence_every) and self._last_sequence:
            sequence = self._last_sequence - 1
        self._last_sequence = sequence
        return sequence

    def _quote(self, row: dict[str, Any]) -> dict[str, Any]:
        unit = SIZE_UNIT * LOT if self._faults.quote_sizes_in_lots else SIZE_UNIT
        body: dict[str, Any] = {"ev": "Q", "sym": row["symbol"]}
        if row["indicators"]:
            body["i"] = row["indicators"]
        if conditions := row["conditions"]:
            body["c"] = conditions if self._faults.quote_condition_list else conditions[0]
        return body | {
            "bx": row["bid_exchange"],
            "ax": row["ask_exchange"],
            "bp": price(row["bid_price"]),
            "ap": price(row["ask_price"]),
            "bs": row["bid_size"] // unit,
            "as": row["ask_size"] // unit,
            "t": row["sip_ns"] // MILLISECOND,
            "pt": (row["participant_ns"] or row["sip_ns"]) // MILLISECOND,
            "q": row["sequence_number"],
            "z": row["tape"],
        }

    def _band(self, row: dict[str, Any]) -> dict[str, Any]:
        return {
            "ev": "LULD",
            "h": price(row["high"]),
            "l": price(row["low"]),
            "i": row["indicators"] or [],
            "z": row["tape"],
            "T": row["symbol"],
            "t": row["sip_ns"] // (MILLISECOND if self._faults.luld_milliseconds else 1),
            "q": row["sequence_number"],
        }


def _wanted(topics: Topics, channel: str, symbol: str) -> bool:
    symbols = topics.get(channel, ())
    return ALL in symbols or symbol in symbols


def _bar_body(channel: str, symbol: str, bar: Bar, day: Day, end_ns: int) -> dict[str, Any]:
    return {
        "ev": channel,
        "sym": symbol,
        "v": bar.volume // SIZE_UNIT,
        "av": day.volume // SIZE_UNIT,
        "op": price(day.open),
        "vw": round(bar.vwap, 4),
        "o": price(bar.open),
        "c": price(bar.close),
        "h": price(bar.high),
        "l": price(bar.low),
        "a": day.vwap,
        "z": average_size(bar.volume, bar.trades),
        "s": bar.start_ns // MILLISECOND,
        "e": end_ns // MILLISECOND,
        "dv": decimal_shares(bar.volume),
        "dav": decimal_shares(day.volume),
    }
