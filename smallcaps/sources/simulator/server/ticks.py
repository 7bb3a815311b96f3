"""Trades and quotes over REST, page by page along the time of the tape, and the last of each."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from smallcaps.sources.simulator.server.clock import after, midnight, new_york_day
from smallcaps.sources.simulator.server.tape import ints
from smallcaps.sources.simulator.server.wire import (
    Answer,
    Ask,
    Refusal,
    decimal_shares,
    envelope,
    instant_of,
    not_found,
    plain_shares,
    price,
)
from smallcaps.sources.simulator.server.world import World

LIMIT, MAXIMUM = 1_000, 50_000
FIRST, LAST = midnight(date(1970, 1, 2)), midnight(date(2200, 1, 1))


def trade_body(row: dict[str, Any]) -> dict[str, Any]:
    """A trade of `/v3/trades`. What the tape has as 0 or nothing is left out."""
    body = {
        "conditions": row["conditions"] or None,
        "correction": row["correction"] or None,
        "exchange": row["exchange"],
        "id": row["id"],
        "participant_timestamp": row["participant_ns"],
        "price": price(row["price"]),
        "sequence_number": row["sequence_number"],
        "sip_timestamp": row["sip_ns"],
        "size": plain_shares(row["size"]),
        "decimal_size": decimal_shares(row["size"]),
        "tape": row["tape"],
        "trf_id": row["trf_id"] or None,
        "trf_timestamp": row["trf_ns"] or None,
    }
    return {name: value for name, value in body.items() if value is not None}


def quote_body(row: dict[str, Any]) -> dict[str, Any]:
    """A quote of `/v3/quotes`; a side that is absent has price and size 0."""
    body: dict[str, Any] = {}
    for side in ("ask", "bid"):
        body[f"{side}_exchange"] = row[f"{side}_exchange"]
        body[f"{side}_price"] = price(row[f"{side}_price"])
        body[f"{side}_size"] = plain_shares(row[f"{side}_size"])
    body |= {name: row[name] for name in ("conditions", "indicators") if row[name]}
    return body | {
        "participant_timestamp": row["participant_ns"],
        "sequence_number": row["sequence_number"],
        "sip_timestamp": row["sip_ns"],
        "tape": row["tape"],
    }


BODIES = {"trades": trade_body, "quotes": quote_body}


@dataclass(frozen=True)
class Span:
    """A range of instants in ns, both ends included."""

    first: int
    last: int


def span_of(ask: Ask, now: int) -> Span:
    """The range of `timestamp` and its comparisons. Raises Refusal."""
    first, last = FIRST, min(now, LAST)
    for name, text in ask.params.items():
        base, _, comparison = name.partition(".")
        if base != "timestamp" or not text:
            continue
        ns, day = instant_of(name, text, 1)
        if not comparison:
            first, last = max(first, ns), min(last, midnight(after(day)) - 1 if day else ns)
        elif comparison in ("gte", "gt"):
            first = max(first, ns + (comparison == "gt"))
        elif comparison in ("lte", "lt"):
            last = min(last, ns - (comparison == "lt"))
    return Span(first, last)


def ticks(world: World, ask: Ask, kind: str) -> Answer:
    """`/v3/trades/{ticker}` or `/v3/quotes/{ticker}`.

    The cursor moves the range to the last instant given and counts the rows of that instant that were given (`ap`).
    """
    symbol, span = ask.parts["ticker"], span_of(ask, world.now())
    limit, newest_first = ask.limit(LIMIT, MAXIMUM), ask.order("desc")
    if (sort := ask.text("sort") or "timestamp") != "timestamp":
        raise Refusal(400, f"Cannot sort by '{sort}'; use timestamp")
    skipped = ask.position()
    wanted = skipped + limit + 1
    rows: list[tuple[date, int, dict[str, Any]]] = []
    days = (
        world.tape.between(kind, new_york_day(span.first), new_york_day(span.last)) if span.first <= span.last else []
    )
    for day in reversed(days) if newest_first else days:
        found, first = _part(*_within(world, kind, day, symbol, span), wanted - len(rows), newest_first)
        placed = [(day, first + number, row) for number, row in enumerate(found.to_pylist())]
        rows += reversed(placed) if newest_first else placed
        if len(rows) == wanted:
            break
    given = rows[skipped : skipped + limit]
    more = len(rows) == wanted
    body = envelope(
        results=[BODIES[kind](row) for _, _, row in given],
        next_url=_next(world, ask, [row["sip_ns"] for _, _, row in rows[:-1]], newest_first) if more else None,
    )
    return Answer(body, len(given), world.marks(kind, ((day, place) for day, place, _ in given)))


def _within(world: World, kind: str, day: date, symbol: str, span: Span) -> tuple[pa.Table, int]:
    """A symbol's rows of a day inside a range, and the place of the first of them in the day."""
    rows = world.tape.rows(kind, day)
    place, _ = rows.span(symbol)
    found = rows.of(symbol)
    first, end = np.searchsorted(ints(found, "sip_ns"), [span.first, span.last + 1]).tolist()
    return found.slice(first, end - first), place + first


def _part(found: pa.Table, first: int, count: int, newest_first: bool) -> tuple[pa.Table, int]:
    """At most `count` of the rows: the first of them, or the last."""
    if found.num_rows <= count:
        return found, first
    if newest_first:
        return found.slice(found.num_rows - count), first + found.num_rows - count
    return found.slice(0, count), first


def _next(world: World, ask: Ask, passed: list[int], newest_first: bool) -> str:
    """The next page: from the last instant passed, without the rows of it that were given."""
    if world.faults.repeat_cursor and "ap" in ask.params:
        return ask.next_url({})
    last = passed[-1]
    return ask.next_url({"timestamp.lte" if newest_first else "timestamp.gte": last, "ap": passed.count(last)})


def last_row(world: World, kind: str, symbol: str) -> dict[str, Any] | None:
    """The newest row of a symbol by now; None where it has none."""
    span = Span(FIRST, world.now())
    for day in reversed(world.tape.between(kind, new_york_day(span.first), new_york_day(span.last))):
        found, _ = _within(world, kind, day, symbol, span)
        if found.num_rows:
            row: dict[str, Any] = found.slice(found.num_rows - 1).to_pylist()[0]
            return row
    return None


def last_trade(world: World, ask: Ask) -> Answer:
    """`/v2/last/trade/{ticker}`."""
    row = last_row(world, "trades", ask.parts["ticker"])
    if row is None:
        raise not_found("Data not found.")
    results = {
        "T": row["symbol"],
        "c": row["conditions"] or None,
        "ds": decimal_shares(row["size"]),
        "e": row["correction"] or None,
        "f": row["trf_ns"] or None,
        "i": row["id"],
        "p": price(row["price"]),
        "q": row["sequence_number"],
        "r": row["trf_id"] or None,
        "s": plain_shares(row["size"]),
        "t": row["sip_ns"],
        "x": row["exchange"],
        "y": row["participant_ns"],
        "z": row["tape"],
    }
    body = envelope(results={name: value for name, value in results.items() if value is not None})
    return Answer(body, 1, keys=[(row["symbol"], row["sip_ns"], row["sequence_number"])])


def last_quote(world: World, ask: Ask) -> Answer:
    """`/v2/last/nbbo/{ticker}`: lower case for the bid, upper case for the ask."""
    row = last_row(world, "quotes", ask.parts["ticker"])
    if row is None:
        raise not_found("Data not found.")
    results = {
        "T": row["symbol"],
        "p": price(row["bid_price"]),
        "s": plain_shares(row["bid_size"]),
        "x": row["bid_exchange"],
        "P": price(row["ask_price"]),
        "S": plain_shares(row["ask_size"]),
        "X": row["ask_exchange"],
        **({"c": row["conditions"]} if row["conditions"] else {}),
        **({"i": row["indicators"]} if row["indicators"] else {}),
        "q": row["sequence_number"],
        "t": row["sip_ns"],
        "y": row["participant_ns"],
        "z": row["tape"],
    }
    return Answer(envelope(results=results), 1, keys=[(row["symbol"], row["sip_ns"], row["sequence_number"])])
