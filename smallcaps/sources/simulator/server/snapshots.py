"""Snapshots: how every symbol stands now."""

from operator import eq
from typing import Any

from smallcaps.sources.simulator.layout import SIZE_UNIT
from smallcaps.sources.simulator.server.bars import LENGTHS, Row, bar_body, day_row, merged, tape_rows
from smallcaps.sources.simulator.server.clock import MILLISECOND, hours
from smallcaps.sources.simulator.server.records import COMPARISONS, known
from smallcaps.sources.simulator.server.ticks import last_row
from smallcaps.sources.simulator.server.wire import (
    Answer,
    Ask,
    Refusal,
    decimal_shares,
    envelope,
    not_found,
    plain_shares,
    price,
)
from smallcaps.sources.simulator.server.world import World

MOVERS, MOVERS_VOLUME = 20, 10_000
LIMIT, MAXIMUM = 10, 250
LOT = 100
TIMEFRAME = "REAL-TIME"


class State:
    """One symbol at the market's instant: its day, the day before (in today's terms), last minute, trade and quote."""

    def __init__(self, world: World, symbol: str) -> None:
        today, now = world.today(), world.now()
        self.symbol, self.now = symbol, now
        over = now >= hours(today).end
        minutes = tape_rows(world, "minute", today, symbol)
        known_minutes = [row for row in minutes if row.start_ns + LENGTHS["minute"] <= now]
        self.minutes = known_minutes
        self.day = day_row(world, symbol, today) if over else _day_so_far(known_minutes, hours(today).open)
        before = [day for day in world.tape.days("day") if day < today]
        self.previous = day_row(world, symbol, before[-1]) if before else None
        self.previous_factor = world.factor(symbol, before[-1], today) if before else 1.0
        self.trade = _of_today(last_row(world, "trades", symbol), hours(today).pre)
        self.quote = _of_today(last_row(world, "quotes", symbol), hours(today).pre)

    @property
    def last(self) -> float | None:
        """The last price, dollars."""
        if self.trade:
            return price(self.trade["price"])
        bar = self.minutes[-1] if self.minutes else self.day
        return price(bar.close) if bar else None

    @property
    def previous_close(self) -> float | None:
        """Dollars, in today's shares."""
        return round(price(self.previous.close) * self.previous_factor, 4) if self.previous else None

    @property
    def change(self) -> tuple[float, float]:
        """Since the previous close: dollars, percent; zeros where either is unknown."""
        if self.last is None or not self.previous_close:
            return 0.0, 0.0
        change = self.last - self.previous_close
        return round(change, 4), round(100 * change / self.previous_close, 4)

    @property
    def volume(self) -> int:
        """Of the day, in the tape's units."""
        return self.day.volume if self.day else 0


def _of_today(row: dict[str, Any] | None, since: int) -> dict[str, Any] | None:
    return row if row and row["sip_ns"] >= since else None


def _day_so_far(minutes: list[Row], open_ns: int) -> Row | None:
    """The day's bar: prices of regular hours, volume of all; none before the open."""
    regular = [row for row in minutes if row.start_ns >= open_ns]
    if not regular:
        return None
    return merged(regular[0].start_ns, regular)._replace(volume=sum(row.volume for row in minutes))


def _bar(row: Row | None, factor: float = 1.0) -> dict[str, Any]:
    """A bar without its time and count; zeros where there is none."""
    if row is None:
        return dict.fromkeys(("o", "h", "l", "c", "v", "vw"), 0)
    body = bar_body(row, factor)
    return {name: body.get(name, 0) for name in ("o", "h", "l", "c", "v", "vw")}


def ticker_body(state: State) -> dict[str, Any]:
    """A symbol in the old snapshots. Quote sizes are in lots of 100, as documented."""
    change, percent = state.change
    body: dict[str, Any] = {
        "ticker": state.symbol,
        "todaysChange": change,
        "todaysChangePerc": percent,
        "updated": state.trade["sip_ns"] if state.trade else state.now,
        "day": {**_bar(state.day), "dv": decimal_shares(state.volume)},
        "prevDay": _bar(state.previous, state.previous_factor),
    }
    if state.minutes:
        minute, whole = state.minutes[-1], sum(row.volume for row in state.minutes)
        body["min"] = {
            **_bar(minute),
            "av": whole // SIZE_UNIT,
            "n": minute.trades,
            "t": minute.start_ns // MILLISECOND,
            "dv": decimal_shares(minute.volume),
            "dav": decimal_shares(whole),
        }
    if trade := state.trade:
        body["lastTrade"] = {
            "c": trade["conditions"] or None,
            "i": trade["id"],
            "p": price(trade["price"]),
            "s": plain_shares(trade["size"]),
            "t": trade["sip_ns"],
            "x": trade["exchange"],
            "ds": decimal_shares(trade["size"]),
        }
    if quote := state.quote:
        body["lastQuote"] = {
            "p": price(quote["bid_price"]),
            "s": quote["bid_size"] // SIZE_UNIT // LOT,
            "P": price(quote["ask_price"]),
            "S": quote["ask_size"] // SIZE_UNIT // LOT,
            "t": quote["sip_ns"],
        }
    return body


def _symbols(world: World) -> list[str]:
    """Who has traded today."""
    today = world.today()
    return sorted({*world.tape.rows("day", today).symbols, *world.tape.rows("minute", today).symbols})


def _there(state: State) -> bool:
    return state.last is not None


def everyone(world: World, ask: Ask) -> Answer:
    """`…/tickers`: all symbols, or those of `tickers` that exist."""
    wanted = ask.text("tickers")
    symbols = [one for one in _symbols(world) if wanted is None or one in wanted.split(",")]
    tickers = [ticker_body(state) for state in (State(world, symbol) for symbol in symbols) if _there(state)]
    body = envelope(tickers=tickers, count=len(tickers))
    return Answer(body, len(tickers), keys=[one["ticker"] for one in tickers])


def one(world: World, ask: Ask) -> Answer:
    """`…/tickers/{ticker}`."""
    state = State(world, ask.parts["ticker"])
    if not _there(state):
        raise not_found("Ticker not found.")
    return Answer(envelope(ticker=ticker_body(state)), 1, keys=[state.symbol])


def movers(world: World, ask: Ask) -> Answer:
    """`…/gainers` or `…/losers`: the twenty that changed most, of those that traded 10,000 shares."""
    direction = ask.parts["direction"]
    if direction not in ("gainers", "losers"):
        raise Refusal(400, "The parameter 'direction' must be gainers or losers")
    sign = 1 if direction == "gainers" else -1
    states = [State(world, symbol) for symbol in _symbols(world)]
    moved = [state for state in states if state.volume >= MOVERS_VOLUME * SIZE_UNIT and sign * state.change[1] > 0]
    moved.sort(key=lambda state: -sign * state.change[1])
    tickers = [ticker_body(state) for state in moved[:MOVERS]]
    return Answer(envelope(tickers=tickers), len(tickers), keys=[one["ticker"] for one in tickers])


def universal_body(world: World, symbol: str) -> dict[str, Any]:
    """A symbol in the universal snapshot; an error object where it is unknown."""
    state = State(world, symbol)
    if not _there(state):
        return {"ticker": symbol, "error": "NOT_FOUND", "message": "Ticker not found."}
    change, percent = state.change
    day, times = _bar(state.day), hours(world.today())
    session = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
    trading = times.open <= state.now < times.close
    outside = times.pre <= state.now < times.end
    body: dict[str, Any] = {
        "ticker": symbol,
        "type": "stocks",
        "name": _name(world, symbol),
        "market_status": "open" if trading else "extended_hours" if outside else "closed",
        "session": {
            "price": state.last,
            "change": change,
            "change_percent": percent,
            **{name: day[key] for key, name in session.items()},
            "previous_close": state.previous_close or 0,
            "decimal_volume": decimal_shares(state.volume),
        },
    }
    if state.minutes:
        minute = state.minutes[-1]
        names = {**session, "vw": "vwap"}
        body["last_minute"] = {
            **{names[key]: value for key, value in _bar(minute).items()},
            "transactions": minute.trades,
            "decimal_volume": decimal_shares(minute.volume),
            "last_updated": minute.start_ns,
        }
    if trade := state.trade:
        body["last_trade"] = {
            "id": trade["id"],
            "price": price(trade["price"]),
            "size": trade["size"] // SIZE_UNIT,
            "decimal_size": decimal_shares(trade["size"]),
            "exchange": trade["exchange"],
            **({"conditions": trade["conditions"]} if trade["conditions"] else {}),
            "last_updated": trade["sip_ns"],
            "participant_timestamp": trade["participant_ns"],
            "sip_timestamp": trade["sip_ns"],
            "timeframe": TIMEFRAME,
        }
    if quote := state.quote:
        body["last_quote"] = {
            **{side: price(quote[f"{side}_price"]) for side in ("bid", "ask")},
            **{f"{side}_size": plain_shares(quote[f"{side}_size"]) for side in ("bid", "ask")},
            **{f"{side}_exchange": quote[f"{side}_exchange"] for side in ("bid", "ask")},
            "midpoint": (price(quote["bid_price"]) + price(quote["ask_price"])) / 2,
            "last_updated": quote["sip_ns"],
            "timeframe": TIMEFRAME,
        }
    return body


def _name(world: World, symbol: str) -> str:
    today = str(world.today())
    named = [row.get("name", "") for row in world.records("tickers") if row["ticker"] == symbol and known(row, today)]
    return named[-1] if named else ""


def universal(world: World, ask: Ask) -> Answer:
    """`/v3/snapshot`: the symbols of `ticker.any_of`, or those in a range, page by page."""
    limit, greatest_first = ask.limit(LIMIT, MAXIMUM), ask.order("asc")
    listed = ask.text("ticker.any_of")
    symbols = list(dict.fromkeys(listed.split(","))) if listed else _symbols(world)
    if len(symbols) > MAXIMUM and listed:
        raise Refusal(400, f"The parameter 'ticker.any_of' names more than {MAXIMUM} tickers")
    if listed:
        limit = ask.limit(MAXIMUM, MAXIMUM)
    for name, holds in {"": eq, **COMPARISONS}.items():
        if bound := ask.text(f"ticker.{name}".rstrip(".")):
            symbols = [symbol for symbol in symbols if holds(symbol, bound)]
    if (ask.text("type") or "stocks") != "stocks":
        symbols = []
    symbols.sort(reverse=greatest_first)
    position = ask.position()
    given = symbols[position : position + limit]
    results = [universal_body(world, symbol) for symbol in given]
    more = position + limit < len(symbols)
    body = envelope(results=results, next_url=ask.next_url({"ap": position + limit}) if more else None)
    return Answer(body, len(results), keys=given)
