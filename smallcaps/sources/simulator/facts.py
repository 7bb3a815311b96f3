"""Stylised facts of a market, measured on its tape as anybody could, beside the ranges of DOMAIN.md."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smallcaps.sources.polygon.conditions import OFF_EXCHANGE
from smallcaps.sources.simulator.arrivals import Floats, Ints
from smallcaps.sources.simulator.history import session_hours
from smallcaps.sources.simulator.layout import (
    PRICE_UNIT,
    SIZE_UNIT,
    read_records,
    read_settings,
    read_tape,
    symbol_bounds,
    tape_days,
)
from smallcaps.sources.simulator.plan import MINUTE_NS, SECOND_NS, Hours
from smallcaps.sources.simulator.session import CLOSING

CLASSES = ("liquid", "mid", "thin")
MINUTES = 390
"""Of a whole regular session."""
FEWEST_MINUTES = 20
"""Traded minutes that a symbol-day needs to say anything about its returns."""
FEWEST_PAUSES = 40
"""Pauses that a market needs for shares among them to mean something."""
TAIL = 0.02
CORRELATION, ABSOLUTE_CORRELATION = "autocorrelation of 1-minute returns", "the same of absolute returns"
"""Names of facts, before their lag."""


@dataclass(frozen=True)
class Fact:
    """A measured figure and the range in which a real market has it. `basis`: M measured on real data, K common knowledge."""

    name: str
    group: str
    value: float
    low: float
    high: float
    basis: str

    @property
    def holds(self) -> bool:
        """Whether the figure lies in its range."""
        return self.low <= self.value <= self.high


Range = tuple[float, float]
_EMPTY: dict[str, Range] = {"liquid": (0, 0.01), "mid": (0.2, 0.4), "thin": (0.65, 0.75)}
_FLAT: dict[str, Range] = {"liquid": (0.02, 0.10), "mid": (0.22, 0.40), "thin": (0.58, 0.68)}


def hill(values: Floats, share: float = TAIL) -> float:
    """Hill's tail index of the largest `share` of absolute values."""
    largest = np.sort(np.abs(values))[::-1]
    count = max(int(len(largest) * share), 5)
    return float(1 / np.mean(np.log(largest[:count] / largest[count])))


def measure(market: Path) -> list[Fact]:
    """The facts of the market in a folder. Those of ticks are left out where it keeps none, those of pauses where there are few.

    Raises BadInput where there is no market.
    """
    read_settings(market)
    classes = classes_of(market)
    return [
        *_bar_facts(market, classes),
        *_day_facts(market, classes),
        *_tick_facts(market, classes),
        *_halt_facts(market),
    ]


def classes_of(market: Path) -> dict[str, str]:
    """The class of liquidity of each stock, by symbol: funds and others are left out."""
    return {
        record["symbol"]: record["liquidity"]
        for record in read_records(market / "truth" / "securities.jsonl")
        if record["kind"] in ("CS", "ADRC")
    }


def symbol_slices(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Each symbol's rows of a table that is sorted by symbol."""
    symbols, bounds = symbol_bounds(rows)
    for symbol, (start, end) in zip(symbols, pairwise(bounds), strict=True):
        yield symbol, rows.slice(start, end - start)


def hours_of(market: Path) -> dict[date, Hours]:
    """The hours of each session of a market."""
    days = tape_days(market, "minute")
    return {hours.day: hours for hours in session_hours(days[-1], len(days))}


def regular_bars(market: Path, classes: dict[str, str]) -> Iterator[tuple[str, Ints, pa.Table]]:
    """Symbol, minutes after the open and the bars themselves, of each symbol-day of `classes`, day after day.

    Early closes are left out, as is what lies outside of regular hours.
    """
    for day, hours in hours_of(market).items():
        if hours.close - hours.open != MINUTES * 60:
            continue
        for symbol, rows in symbol_slices(read_tape(market, "minute", day)):
            if symbol in classes:
                minute = (rows["start_ns"].to_numpy() - hours.start_ns) // MINUTE_NS - hours.open // 60
                regular = (minute >= 0) & (minute < MINUTES)
                yield symbol, minute[regular], rows.filter(pa.array(regular))


@dataclass
class _Pool:
    """Sums over the days of one name."""

    minutes: int = 0
    traded: int = 0
    flat: int = 0
    returns: list[Floats] | None = None


def _bar_facts(market: Path, classes: dict[str, str]) -> list[Fact]:
    pools: dict[str, _Pool] = defaultdict(_Pool)
    curve: dict[str, Floats] = {name: np.zeros(MINUTES) for name in CLASSES}
    for symbol, minute, rows in regular_bars(market, classes):
        pool = pools[symbol]
        pool.minutes += MINUTES
        pool.traded += len(minute)
        pool.flat += int((rows["high"].to_numpy() == rows["low"].to_numpy()).sum())
        returns = np.diff(np.log(rows["close"].to_numpy() / PRICE_UNIT))
        if len(returns) >= FEWEST_MINUTES:
            pool.returns = [*(pool.returns or []), returns]
        volume = np.zeros(MINUTES)
        volume[minute] = rows["volume"].to_numpy()
        if volume.sum():
            curve[classes[symbol]] += volume / volume.sum()
    facts = []
    for name in CLASSES:
        own = [pool for symbol, pool in pools.items() if classes[symbol] == name]
        if not own:
            continue
        minutes, traded, flat = (sum(getattr(pool, what) for pool in own) for what in ("minutes", "traded", "flat"))
        facts.append(Fact("regular minutes without a bar", name, 1 - traded / minutes, *_EMPTY[name], "M"))
        facts.append(Fact("bars with one price", name, flat / traded, *_FLAT[name], "M"))
        of_names = [pool.returns for pool in own if pool.returns]
        facts.append(_typical(f"{CORRELATION}, lag 1", name, of_names, _correlation(1), -0.31, -0.18))
        facts.append(_typical(f"{ABSOLUTE_CORRELATION}, lag 1", name, of_names, _correlation(1, np.abs), 0.13, 0.35))
        facts.append(_typical(f"{ABSOLUTE_CORRELATION}, lag 10", name, of_names, _correlation(10, np.abs), 0.04, 0.08))
        facts.append(_typical("Hill index of 1-minute returns", name, of_names, _tail, 3.5, 5.0))
    together = curve["liquid"] + curve["mid"]
    noon = together[150:210].mean()
    facts.append(
        Fact("volume a minute: first 30 / noon hour", "liquid, mid", together[:30].mean() / noon, 1.5, 2.1, "M")
    )
    facts.append(
        Fact("volume a minute: last 30 / noon hour", "liquid, mid", together[360:].mean() / noon, 1.05, 1.75, "M")
    )
    return facts


def _typical(
    what: str,
    group: str,
    of_names: list[list[Floats]],
    of_name: Callable[[list[Floats]], float],
    low: float,
    high: float,
) -> Fact:
    """The median over names."""
    return Fact(what, group, float(np.median([of_name(days) for days in of_names])), low, high, "M")


def _correlation(lag: int, seen: Callable[[Floats], Floats] = lambda values: values) -> Callable[[list[Floats]], float]:
    """Autocorrelation over a name's days: pairs within a day, moments over all of them."""

    def of(days: list[Floats]) -> float:
        values = [seen(day) for day in days]
        mean = np.mean(np.concatenate(values))
        pairs = [(day[lag:] - mean) * (day[:-lag] - mean) for day in values if len(day) > lag]
        return float(np.mean(np.concatenate(pairs)) / np.var(np.concatenate(values))) if pairs else float("nan")

    return of


def _tail(days: list[Floats]) -> float:
    return hill(np.concatenate(days))


def _day_facts(market: Path, classes: dict[str, str]) -> list[Fact]:
    closes: dict[str, list[float]] = defaultdict(list)
    split = {record["symbol"] for record in read_records(market / "truth" / "splits.jsonl")}
    for day in tape_days(market, "day"):
        rows = read_tape(market, "day", day)
        for symbol, close in zip(rows["symbol"].to_pylist(), rows["close"].to_pylist(), strict=True):
            if symbol in classes and symbol not in split:
                closes[symbol].append(close / PRICE_UNIT)
    returns = [np.diff(np.log(series)) for series in closes.values() if len(series) > 5]
    typical = [(values, np.median(np.abs(values))) for values in returns]
    scaled = np.concatenate([values / size for values, size in typical if size])
    return [Fact("Hill index of daily returns, names scaled alike", "all", hill(scaled), 2.5, 3.5, "K")]


def _tick_facts(market: Path, classes: dict[str, str]) -> list[Fact]:
    sessions = hours_of(market)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for day in tape_days(market, "trades"):
        quotes = dict(symbol_slices(read_tape(market, "quotes", day)))
        for symbol, rows in symbol_slices(read_tape(market, "trades", day)):
            if symbol in classes and symbol in quotes:
                for name, value in _of_ticks(rows, quotes[symbol], sessions[day]).items():
                    found[name, classes[symbol]].append(value)

    def fact(name: str, key: str, group: str, low: float, high: float, basis: str) -> Fact:
        values = [value for one in (CLASSES if group == "all" else (group,)) for value in found[key, one]]
        return Fact(name, group, float(np.nanmedian(values)), low, high, basis)

    if not found:
        return []
    return [
        fact("autocorrelation of trade signs, lag 1", "sign_1", "liquid", 0.45, 0.75, "M"),
        fact("autocorrelation of trade signs, lag 10", "sign_10", "liquid", 0.06, 0.5, "M"),
        fact("variation of waiting times (deviation / mean)", "variation", "liquid", 2.8, 3.5, "M"),
        fact("trades in the same millisecond as the one before", "same", "liquid", 0.20, 0.37, "M"),
        fact("time at a spread of one tick", "one_tick", "liquid", 0.70, 1.0, "K"),
        fact("median spread in ticks", "spread_50", "thin", 2, 4, "K"),
        fact("95th percentile of the spread in ticks", "spread_95", "thin", 8, 15, "K"),
        fact("off-exchange share of volume", "off", "all", 0.45, 0.60, "K"),
        fact("odd lots' share of trades", "odd", "all", 0.30, 0.60, "K"),
        fact("odd lots' share of volume", "odd_volume", "all", 0.02, 0.10, "K"),
        fact("closing print's share of the day's volume", "closing", "liquid", 0.01, 0.06, "M"),
    ]


def _of_ticks(trades: pa.Table, quotes: pa.Table, hours: Hours) -> dict[str, float]:
    at = (trades["participant_ns"].to_numpy() - hours.start_ns) / SECOND_NS
    regular = (at >= hours.open) & (at < hours.close)
    size = trades["size"].to_numpy() / SIZE_UNIT
    volume = size.sum()
    lists = trades["conditions"]
    odd = size < 100
    place = pc.list_parent_indices(lists).to_numpy()
    closing = place[pc.equal(pc.list_flatten(lists), CLOSING).to_numpy(zero_copy_only=False)]
    when = np.sort(at[regular])
    waits = np.diff(when)
    facts = {
        "off": float(size[trades["exchange"].to_numpy() == OFF_EXCHANGE].sum() / volume),
        "odd": float(odd.mean()),
        "odd_volume": float(size[odd].sum() / volume),
        "closing": float(size[closing].sum() / volume) if len(closing) else float("nan"),
    }
    if len(waits) >= 500:
        facts["variation"] = float(waits.std() / waits.mean())
        facts["same"] = float((np.diff(np.floor(when * 1_000)) == 0).mean())
        signs = _signs(trades, quotes)[regular]
        facts["sign_1"], facts["sign_10"] = (float(np.corrcoef(signs[lag:], signs[:-lag])[0, 1]) for lag in (1, 10))
    return facts | _spreads(quotes, hours)


def _signs(trades: pa.Table, quotes: pa.Table) -> Ints:
    """Lee and Ready: against the middle of the quote before, else as the last price change."""
    before = np.searchsorted(quotes["participant_ns"].to_numpy(), trades["participant_ns"].to_numpy()) - 1
    middle = (quotes["bid_price"].to_numpy() + quotes["ask_price"].to_numpy())[before.clip(0)] / 2
    price = trades["price"].to_numpy()
    change = np.sign(np.diff(price, prepend=price[0]))
    moved = np.maximum.accumulate(np.where(change != 0, np.arange(len(price)), 0))
    return np.where(price > middle, 1, np.where(price < middle, -1, change[moved])).astype(np.int64)


def spread_times(quotes: pa.Table, hours: Hours) -> tuple[Ints, Floats] | None:
    """The spread in ticks of each quote of the regular session and the seconds that it lasts.

    None for names outside of $1 to $10, and where there are fewer than 20 such quotes.
    """
    at = (quotes["participant_ns"].to_numpy() - hours.start_ns) / SECOND_NS
    bid, ask = quotes["bid_price"].to_numpy(), quotes["ask_price"].to_numpy()
    inside = (at >= hours.open) & (at < hours.close) & (bid > 0)
    if inside.sum() < 20 or not PRICE_UNIT <= np.median(bid[inside]) <= 10 * PRICE_UNIT:
        return None
    return ((ask - bid) // (PRICE_UNIT // 100))[inside], np.diff(np.append(at[inside], hours.close))


def _spreads(quotes: pa.Table, hours: Hours) -> dict[str, float]:
    found = spread_times(quotes, hours)
    if found is None:
        return {}
    ticks, lasts = found
    order = np.argsort(ticks)
    share = np.cumsum(lasts[order]) / lasts.sum()
    return {
        "one_tick": float(lasts[ticks == 1].sum() / lasts.sum()),
        "spread_50": float(ticks[order][np.searchsorted(share, 0.5)]),
        "spread_95": float(ticks[order][np.searchsorted(share, 0.95)]),
    }


def _halt_facts(market: Path) -> list[Fact]:
    sessions = hours_of(market)
    pauses = []
    for halt in read_records(market / "truth" / "halts.jsonl"):
        if halt["reason"] == "LUDP":
            hours = sessions[date.fromisoformat(halt["session_date"])]
            begin, end = ((halt[name] - hours.start_ns) / SECOND_NS for name in ("start_ns", "end_ns"))
            pauses.append((begin - hours.open, end - begin))
    return pause_facts(pauses)


def pause_facts(pauses: list[tuple[float, float]]) -> list[Fact]:
    """The facts of limit pauses, each given by its seconds after the open and its length in seconds; none where there are few."""
    if len(pauses) < FEWEST_PAUSES:
        return []
    begin, length = np.array(pauses).T
    early, long = float(np.mean(begin < 1_800)), float(np.mean(length > 300))
    return [
        Fact("limit pauses before 10:00", "all", early, 0.33, 0.63, "M, one day"),
        Fact("limit pauses longer than 300 s", "all", long, 0.20, 0.44, "M, one day"),
    ]
