"""The vendor's known faults (POLYGON.md 6), put in on purpose and written down."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from smallcaps.sources.polygon.conditions import OFF_EXCHANGE
from smallcaps.sources.simulator.bars import Bars
from smallcaps.sources.simulator.history import History
from smallcaps.sources.simulator.layout import PRICE_UNIT
from smallcaps.sources.simulator.plan import HOUR_NS, MINUTE_NS, SECOND_NS, Hours, generator_of
from smallcaps.sources.simulator.session import FACILITIES, Prints

BAD_PRINT, CANCELLED = "bad_print", "cancelled_trade"
MISSING_MINUTE, BARS_STOP, WRONG_HOUR, VWAP_OUTSIDE = "missing_minute", "bars_stop", "wrong_hour_bar", "vwap_outside"
DUPLICATE_ROWS, REPUBLISHED = "duplicate_rows", "republished_file"
SPLIT_MISSING, SPLIT_DOUBLED, SPLIT_WRONG = "split_missing", "split_doubled", "split_wrong_ratio"
REUSED_TICKER, TWO_COMPANIES = "reused_ticker", "ticker_listed_twice"
TICK_FAULTS = (CANCELLED,)
LIVELY, BUSY = 2_000, 15_000
"""Orders a day from which on a name shows its faults; where a minute without a trade is none, from which on it lacks one."""
LATE_SECONDS = 900
"""How late a bad print is reported."""
DAY_FAULTS = (BAD_PRINT, MISSING_MINUTE, BARS_STOP, WRONG_HOUR, VWAP_OUTSIDE, DUPLICATE_ROWS)
SPLIT_FAULTS = (SPLIT_MISSING, SPLIT_DOUBLED, SPLIT_WRONG)


@dataclass(frozen=True)
class Fault:
    """One fault. `second` (after 04:00) and `amount` say where and how much, for the kinds that have either."""

    kind: str
    symbol: str
    session_date: date
    second: int = 0
    amount: float = 0.0

    def record(self) -> dict[str, Any]:
        """As it goes into the truth table."""
        return {
            "kind": self.kind,
            "symbol": self.symbol,
            "session_date": self.session_date.isoformat(),
            "second": self.second,
            "amount": round(self.amount, 6),
        }


def plan_faults(history: History) -> list[Fault]:
    """Some of every kind, none where the settings want none. Stocks that trade enough to show them get them."""
    settings = history.settings
    if not settings.faults:
        return []
    generator = generator_of(settings.seed, 7)
    stocks = [security for security in history.securities if security.kind in ("CS", "ADRC")]
    symbols = {symbol for security in stocks for symbol in (security.symbol, security.former)}
    lively = [plan for plan in history.plans if plan.symbol in symbols and plan.liquidity.orders >= LIVELY]
    busy = {(episode.symbol, episode.session_date) for episode in history.episodes}
    each = max(2, len(history.plans) // 1_500)
    faults = []
    ticked = {hours.day for hours in history.sessions[len(history.sessions) - settings.tick_days :]}
    for kind in (*DAY_FAULTS, *TICK_FAULTS):
        least = BUSY if kind == MISSING_MINUTE else LIVELY
        pool = [plan for plan in lively if plan.liquidity.orders >= least]
        pool = [plan for plan in pool if kind not in TICK_FAULTS or plan.hours.day in ticked]
        places = generator.permutation(len(pool))
        chosen = [
            pool[int(place)] for place in places if (pool[int(place)].symbol, pool[int(place)].hours.day) not in busy
        ]
        for plan in chosen[:each]:
            busy.add((plan.symbol, plan.hours.day))
            second = int(generator.integers(plan.hours.open + 1_800, plan.hours.close - 1_800))
            amount = float(generator.choice([-1, 1]) * generator.uniform(0.10, 0.30))
            faults.append(Fault(kind, plan.symbol, plan.hours.day, second, amount))
    for place, split in enumerate(history.splits[: 2 * len(SPLIT_FAULTS)]):
        # Every second split stays as it is.
        if place % 2 == 0:
            faults.append(Fault(SPLIT_FAULTS[place // 2 % len(SPLIT_FAULTS)], split.symbol, split.day))
    by_symbol: dict[str, list[date]] = {}
    for security in history.securities:
        by_symbol.setdefault(security.symbol, []).append(security.listed)
    faults += [Fault(REUSED_TICKER, symbol, max(days)) for symbol, days in by_symbol.items() if len(days) > 1]
    faults.append(Fault(TWO_COMPANIES, stocks[len(stocks) // 2].symbol, history.sessions[-1].day))
    faults.append(Fault(REPUBLISHED, lively[0].symbol, history.sessions[len(history.sessions) // 2].day))
    return sorted(faults, key=lambda fault: (fault.kind, fault.session_date, fault.symbol))


def with_bad_prints(prints: Prints, hours: Hours, faults: list[Fault]) -> Prints:
    """`prints` with an off-exchange print far from the market for each fault, without a condition that would exclude it."""
    for fault in faults:
        if fault.kind != BAD_PRINT or not len(prints.sip_ns):
            continue
        at = hours.start_ns + fault.second * SECOND_NS
        near = min(int(np.searchsorted(prints.sip_ns, at)), len(prints.sip_ns) - 1)
        one = {
            "sip_ns": at,
            "participant_ns": at - LATE_SECONDS * SECOND_NS,
            "trf_ns": at - 1_000_000,
            "exchange": OFF_EXCHANGE,
            "trf_id": FACILITIES[1],
            "price": max(int(prints.price[near] * (1 + fault.amount)), 1),
            "size": 300 * 1_000_000,
            "conditions": 0,
        }
        place = int(np.searchsorted(prints.sip_ns, at, side="right"))
        prints = Prints(**{name: np.insert(getattr(prints, name), place, value) for name, value in one.items()})
    return prints


def with_bar_faults(bars: Bars, width_ns: int, hours: Hours, faults: list[Fault]) -> Bars:
    """`bars` of one symbol with its faults: the hour's busiest minute or all after a moment missing, a wrong hour."""
    for fault in faults:
        at = hours.start_ns + fault.second * SECOND_NS
        if width_ns == MINUTE_NS and fault.kind in (MISSING_MINUTE, BARS_STOP):
            hit = bars.start_ns >= at
            if fault.kind == MISSING_MINUTE:
                # The busiest of its hour: one in which few trade may be a minute without a bar anyway.
                of_hour = np.where(bars.start_ns // HOUR_NS == at // HOUR_NS, bars.volume, -1)
                hit = np.arange(len(of_hour)) == np.argmax(of_hour) if len(of_hour) else hit
            bars = bars.where(~hit)
        if width_ns == MINUTE_NS and fault.kind == VWAP_OUTSIDE:
            hit = np.abs(bars.start_ns - at) < 5 * MINUTE_NS
            bars = replace(bars, vwap=np.where(hit, np.round(bars.high * 1.002 / PRICE_UNIT, 4), bars.vwap))
        if width_ns == HOUR_NS and fault.kind == WRONG_HOUR:
            hit = bars.start_ns == at // HOUR_NS * HOUR_NS
            high = np.where(hit, (bars.high * (1 + abs(fault.amount))).astype(np.int64), bars.high)
            bars = replace(bars, high=high)
    return bars
