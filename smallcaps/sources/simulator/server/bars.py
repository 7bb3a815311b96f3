"""Bars over REST: ranges of any window, a whole market's day, the day before, open and close."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from smallcaps.sources.simulator.layout import SIZE_UNIT
from smallcaps.sources.simulator.server.aggregates import bars_of, eligibility
from smallcaps.sources.simulator.server.clock import (
    MILLISECOND,
    SECOND,
    after,
    hours,
    instant,
    midnight,
    new_york_day,
)
from smallcaps.sources.simulator.server.served import Marks
from smallcaps.sources.simulator.server.tape import ints
from smallcaps.sources.simulator.server.wire import Answer, Ask, Refusal, day_of, envelope, not_found, price, shares
from smallcaps.sources.simulator.server.world import World

LIMIT, MAXIMUM = 5_000, 50_000
LENGTHS = {"second": SECOND, "minute": 60 * SECOND, "hour": 3_600 * SECOND}
DAYS = {"day": 1, "week": 7}
MONTHS = {"month": 1, "quarter": 3, "year": 12}
SPANS = (*LENGTHS, *DAYS, *MONTHS)
TAPE_KIND = {"second": "trades", "minute": "minute", "hour": "hour"}


class Row(NamedTuple):
    """A bar in the tape's units, vwap in dollars. `base`: how many of the limit's base bars it takes; `place`: its row."""

    start_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    vwap: float
    trades: int
    base: int = 1
    place: int | None = None


def bar_body(row: Row, factor: float = 1.0) -> dict[str, Any]:
    """A bar on the wire; with a factor, prices are multiplied and volumes divided."""
    body: dict[str, Any] = {"v": shares(row.volume)}
    prices = {"o": row.open, "c": row.close, "h": row.high, "l": row.low}
    body |= {name: price(units) for name, units in prices.items()}
    if row.trades and not math.isnan(row.vwap):
        body["vw"] = round(row.vwap, 4)
    if factor != 1.0:
        body["v"] = round(body["v"] / factor, 6)
        body |= {name: round(body[name] * factor, 4) for name in (*prices, "vw") if name in body}
    body["t"] = row.start_ns // MILLISECOND
    if row.trades:
        body["n"] = row.trades
    return body


def rows_of(table: pa.Table, first: int = 0) -> list[Row]:
    """Bars of the tape, the first of which is row `first` of its day."""
    columns = [table[name].to_pylist() for name in ("start_ns", "open", "high", "low", "close", "volume")]
    columns += [table["vwap"].fill_null(math.nan).to_pylist(), table["trades"].to_pylist()]
    columns += [[1] * table.num_rows, [*range(first, first + table.num_rows)]]
    return [Row._make(values) for values in zip(*columns, strict=True)]


def tape_rows(world: World, kind: str, day: date, symbol: str) -> list[Row]:
    """A symbol's bars of a kind and day, in order."""
    rows = world.tape.rows(kind, day)
    return rows_of(rows.of(symbol), rows.span(symbol)[0])


def second_rows(world: World, day: date, symbol: str) -> list[Row]:
    """A symbol's bars of a second, made of its trades up to now."""
    uses = eligibility(world.sale_conditions, hours(day), world.faults.bars_by)
    trades = world.tape.rows("trades", day).of(symbol)
    known = trades.slice(0, int(np.searchsorted(ints(trades, "sip_ns"), world.now(), "right")))
    return [
        Row(bar.start_ns, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trades)
        for bar in bars_of(known.to_pylist(), uses, SECOND, world.faults.bars_by)
    ]


def _hour_rows(world: World, day: date, symbol: str) -> list[Row]:
    """Bars of an hour, each weighing as many base bars as it has minutes with trades."""
    rows = tape_rows(world, "hour", day, symbol)
    minutes = ints(world.tape.rows("minute", day).of(symbol), "start_ns")
    bounds = np.searchsorted(minutes, [row.start_ns for row in rows] + [row.start_ns + 3_600 * SECOND for row in rows])
    counts = bounds[len(rows) :] - bounds[: len(rows)]
    return [row._replace(base=max(int(count), 1)) for row, count in zip(rows, counts, strict=True)]


def merged(start_ns: int, rows: list[Row]) -> Row:
    """One bar of several, given in order."""
    volume = sum(row.volume for row in rows)
    value = sum(row.vwap * row.volume for row in rows if not math.isnan(row.vwap))
    return Row(
        start_ns,
        rows[0].open,
        max(row.high for row in rows),
        min(row.low for row in rows),
        rows[-1].close,
        volume,
        value / volume if volume else math.nan,
        sum(row.trades for row in rows),
        sum(row.base for row in rows),
    )


@dataclass(frozen=True)
class Window:
    """A range of windows as asked for: span, multiplier, both ends snapped (ns, both included)."""

    span: str
    multiplier: int
    first: int
    last: int

    def start_of(self, ns: int) -> int:
        """Where the window that holds a bar begins. Windows are counted from the range's own beginning."""
        if self.span in LENGTHS:
            length = LENGTHS[self.span] * self.multiplier
            return ns - (ns - self.first) % length
        anchor, day = new_york_day(self.first), new_york_day(ns)
        if self.span in DAYS:
            return midnight(day - timedelta((day - anchor).days % (DAYS[self.span] * self.multiplier)))
        months = day.year * 12 + day.month - anchor.year * 12 - anchor.month
        return midnight(_months_on(anchor, months - months % (MONTHS[self.span] * self.multiplier)))


def _months_on(first: date, months: int) -> date:
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return date(year, month + 1, 1)


def _window_days(span: str, day: date) -> tuple[date, date]:
    """First and last day of the calendar window of a span that holds a day; weeks begin on Sunday."""
    if span == "week":
        first = day - timedelta((day.weekday() + 1) % 7)
        return first, after(first, 6)
    if span in MONTHS:
        first = date(day.year, (day.month - 1) // MONTHS[span] * MONTHS[span] + 1, 1)
        return first, _months_on(first, MONTHS[span]) - timedelta(1)
    return day, day


def window_of(ask: Ask) -> Window:
    """The range that a request means. Raises Refusal."""
    span, multiplier = ask.parts["span"], ask.parts["multiplier"]
    if span not in SPANS:
        raise Refusal(400, f"The parameter 'timespan' must be one of {', '.join(SPANS)}")
    if not multiplier.isdecimal() or int(multiplier) < 1:
        raise Refusal(400, "The parameter 'multiplier' must be a positive number")
    (first, _), (last, last_day) = (_bound(name, ask.parts[name]) for name in ("from", "to"))
    if (midnight(after(last_day)) - 1 if last_day else last) < first:
        raise Refusal(400, "The parameter 'to' cannot be a time that occurs before 'from'")
    if span in LENGTHS:
        length = LENGTHS[span]
        end = midnight(after(last_day)) if last_day else last - last % length + length
        return Window(span, int(multiplier), first - first % length, end - 1)
    (start, _), (_, end_day) = (_window_days(span, new_york_day(ns)) for ns in (first, last))
    return Window(span, int(multiplier), midnight(start), midnight(after(end_day)) - 1)


def _bound(name: str, text: str) -> tuple[int, date | None]:
    """An end of a range: ns, and the day if it was given as one."""
    try:
        if text.removeprefix("-").isdecimal():
            ns = int(text) * MILLISECOND
            new_york_day(ns)
            return ns, None
        day = date.fromisoformat(text)
        return midnight(day), day
    except (ValueError, OverflowError) as error:
        said = f"Could not parse the time parameter: '{name}'. Use YYYY-MM-DD or Unix MS Timestamps"
        raise Refusal(400, said) from error


def _base_rows(world: World, symbol: str, window: Window, newest_first: bool) -> Iterator[tuple[date, Row]]:
    """The bars from which the windows are made, in the order asked for, that are over by now."""
    kind = TAPE_KIND.get(window.span, "day")
    read: Callable[[World, date, str], list[Row]] = {"trades": second_rows, "hour": _hour_rows}.get(
        kind, lambda world, day, symbol: tape_rows(world, kind, day, symbol)
    )
    now = world.now()
    days = world.tape.between(kind, new_york_day(window.first), new_york_day(window.last))
    for day in reversed(days) if newest_first else days:
        rows = read(world, day, symbol)
        for row in reversed(rows) if newest_first else rows:
            end = row.start_ns + LENGTHS[window.span] if window.span in LENGTHS else hours(day).end
            if window.first <= row.start_ns <= window.last and end <= now:
                yield day, row


def aggregates(world: World, ask: Ask) -> Answer:
    """`/v2/aggs/ticker/{ticker}/range/{multiplier}/{span}/{from}/{to}`.

    The limit counts base bars (minutes for hours, days for weeks); of the windows that it cuts only whole ones are given,
    at least one, and next_url begins at the next.
    """
    symbol, window = ask.parts["ticker"], window_of(ask)
    adjusted, newest_first = ask.flag("adjusted", True), ask.order("asc", "sort")
    limit = ask.limit(LIMIT, MAXIMUM)
    groups: list[tuple[int, list[tuple[date, Row]]]] = []
    scanned, more = 0, False
    for day, row in _base_rows(world, symbol, window, newest_first):
        start = window.start_of(row.start_ns)
        if not groups or groups[-1][0] != start:
            groups.append((start, []))
        groups[-1][1].append((day, row))
        scanned += row.base
        if scanned > limit and len(groups) > 1:
            more = True
            break
    cut = groups.pop() if more else None
    results, places, keys = [], [], []
    for start, members in groups:
        if newest_first:
            members.reverse()
        day = members[0][0]
        row = members[0][1] if window.multiplier == 1 and len(members) == 1 else merged(start, [r for _, r in members])
        body = bar_body(row, world.factor(symbol, day) if adjusted else 1.0)
        body["t"] = start // MILLISECOND
        results.append(body)
        if row.place is None:
            keys.append((symbol, window.multiplier, window.span, start))
        else:
            places.append((day, row.place))
    queried = sum(row.base for _, members in groups for _, row in members)
    body = envelope(
        ticker=symbol,
        queryCount=queried,
        resultsCount=len(results),
        adjusted=adjusted,
        results=results or None,
        count=len(results),
        next_url=_next(ask, groups, cut, newest_first, world) if cut else None,
    )
    endpoint = f"/v2/aggs/ticker/{{ticker}}/range/{window.multiplier}/{window.span}?adjusted={str(adjusted).lower()}"
    marks = world.marks(TAPE_KIND.get(window.span, "day"), places)
    return Answer(body, len(results), marks, keys, endpoint)


def _next(
    ask: Ask,
    groups: list[tuple[int, list[tuple[date, Row]]]],
    cut: tuple[int, list[tuple[date, Row]]],
    newest_first: bool,
    world: World,
) -> str:
    """The next page: the path's `from` (newest first: its `to`) is moved to where this page ends."""
    if world.faults.repeat_cursor and "ap" in ask.params:
        return ask.next_url({})
    parts = dict(ask.parts)
    if newest_first:
        parts["to"] = str(groups[-1][0] // MILLISECOND - 1)
    else:
        parts["from"] = str(cut[0] // MILLISECOND)
    path = "/v2/aggs/ticker/{ticker}/range/{multiplier}/{span}/{from}/{to}".format(**parts)
    return ask.next_url({"ap": ask.position() + len(groups)}, path)


def grouped(world: World, ask: Ask) -> Answer:
    """`/v2/aggs/grouped/locale/us/market/stocks/{date}`: every symbol's day; `t` is 16:00 New York."""
    day, adjusted = day_of("date", ask.parts["date"]), ask.flag("adjusted", True)
    over = hours(day).end <= world.now()
    table = world.tape.rows("day", day).table if over else world.tape.rows("day", day).table.slice(0, 0)
    results = [
        {
            "T": symbol,
            **bar_body(row._replace(start_ns=instant(day, 16)), world.factor(symbol, day) if adjusted else 1.0),
        }
        for symbol, row in zip(table["symbol"].to_pylist(), rows_of(table), strict=True)
    ]
    body = envelope(
        queryCount=len(results),
        resultsCount=len(results),
        adjusted=adjusted,
        results=results or None,
        count=len(results),
    )
    marks = [Marks(("day", day), table.num_rows, slice(None))] if results else []
    endpoint = f"/v2/aggs/grouped/locale/us/market/stocks/{{date}}?adjusted={str(adjusted).lower()}"
    return Answer(body, len(results), marks, endpoint=endpoint)


def day_row(world: World, symbol: str, day: date) -> Row | None:
    """A symbol's bar of a day."""
    rows = tape_rows(world, "day", day, symbol)
    return rows[0] if rows else None


def previous(world: World, ask: Ask) -> Answer:
    """`/v2/aggs/ticker/{ticker}/prev`: the last day that is over."""
    symbol, adjusted = ask.parts["ticker"], ask.flag("adjusted", True)
    over = [day for day in world.tape.days("day") if hours(day).end <= world.now()]
    row = day_row(world, symbol, over[-1]) if over else None
    results = []
    if row is not None:
        factor = world.factor(symbol, over[-1]) if adjusted else 1.0
        results.append({"T": symbol, **bar_body(row._replace(start_ns=instant(over[-1], 16)), factor)})
    body = envelope(
        ticker=symbol,
        queryCount=len(results),
        resultsCount=len(results),
        adjusted=adjusted,
        results=results or None,
        count=len(results),
    )
    return Answer(body, len(results), keys=[(symbol, over[-1])] if results else [])


def open_close(world: World, ask: Ask) -> Answer:
    """`/v1/open-close/{ticker}/{date}`: a flat object."""
    symbol, day = ask.parts["ticker"], day_of("date", ask.parts["date"])
    row = day_row(world, symbol, day) if hours(day).end <= world.now() else None
    if row is None:
        raise not_found("Data not found.")
    factor = world.factor(symbol, day) if ask.flag("adjusted", True) else 1.0
    times, minutes = hours(day), tape_rows(world, "minute", day, symbol)
    before = [minute for minute in minutes if minute.start_ns < times.open]
    later = [minute for minute in minutes if minute.start_ns >= times.close]

    def dollars(units: int) -> float:
        return round(price(units) * factor, 4)

    body = {
        "status": "OK",
        "from": str(day),
        "symbol": symbol,
        **{name: dollars(getattr(row, name)) for name in ("open", "high", "low", "close")},
        "volume": round(row.volume / SIZE_UNIT / factor, 6),
        **({"afterHours": dollars(later[-1].close)} if later else {}),
        **({"preMarket": dollars(before[0].open)} if before else {}),
    }
    return Answer(body, 1, keys=[(symbol, day)])
