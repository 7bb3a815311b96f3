"""Bars made of trades: which trades may change what (POLYGON.md 5.2), and the sums that do not depend on their order."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from smallcaps.sources.polygon.conditions import CORRECTION_RECORDS, FORM_T
from smallcaps.sources.simulator.layout import PRICE_UNIT, SIZE_UNIT
from smallcaps.sources.simulator.server.clock import Hours

Trade = dict[str, Any]


@dataclass(frozen=True)
class Uses:
    """What a trade may change."""

    high_low: bool
    open_close: bool
    volume: bool


NOTHING = Uses(False, False, False)


def eligibility(rules: Mapping[int, Mapping[str, bool]], hours: Hours, bars_by: str) -> Callable[[Trade], Uses]:
    """What a trade may change by the update rules of its conditions: what every one of them allows.

    Outside regular hours Form T sets prices; the table of conditions does not show that.
    """

    @cache
    def by_conditions(conditions: tuple[int, ...]) -> Uses:
        known = [rules[one] for one in conditions if one in rules]
        return Uses(*(all(rule[f"updates_{use}"] for rule in known) for use in ("high_low", "open_close", "volume")))

    def uses(trade: Trade) -> Uses:
        if trade["correction"] in CORRECTION_RECORDS:
            return NOTHING
        conditions = trade["conditions"] or ()
        # Strictly: a Form T print in the second of the close is one of the evening.
        if FORM_T in conditions and not hours.open <= stamp(trade, bars_by) < hours.close:
            conditions = (one for one in conditions if one != FORM_T)
        return by_conditions(tuple(conditions))

    return uses


def stamp(trade: Trade, bars_by: str) -> int:
    """The instant by which a bar takes a trade, in ns."""
    return int(trade["participant_ns"] or trade["sip_ns"]) if bars_by == "participant" else int(trade["sip_ns"])


@dataclass
class Bar:
    """Prices in 1/10,000 $, volume in 1/1,000,000 shares, `value` their product's sum; open and close by the earliest and
    latest trade that may set them. Without such a trade it is no bar.
    """

    start_ns: int
    open: int = 0
    high: int = 0
    low: int = 0
    close: int = 0
    volume: int = 0
    value: int = 0
    trades: int = 0
    first_ns: int | None = None
    last_ns: int = 0

    @property
    def priced(self) -> bool:
        """Whether any trade set open and close."""
        return self.close > 0

    @property
    def vwap(self) -> float:
        """Dollars; the close where nothing adds to the volume."""
        return self.value / self.volume / PRICE_UNIT if self.volume else self.close / PRICE_UNIT

    def add(self, trade: Trade, uses: Uses, at: int) -> bool:
        """Take a trade in; whether that changed anything."""
        price, size = trade["price"], trade["size"]
        if uses.volume:
            self.volume += size
            self.value += price * size
            self.trades += 1
        if uses.high_low:
            self.high = max(self.high, price)
            self.low = min(self.low or price, price)
        if uses.open_close:
            if self.first_ns is None or at < self.first_ns:
                self.first_ns, self.open = at, price
            if at >= self.last_ns:
                self.last_ns, self.close = at, price
        return uses != NOTHING


def bars_of(trades: Iterable[Trade], uses: Callable[[Trade], Uses], length_ns: int, bars_by: str) -> list[Bar]:
    """The bars of one symbol's trades, in order."""
    bars: dict[int, Bar] = {}
    for trade in trades:
        at = stamp(trade, bars_by)
        start = at - at % length_ns
        bars.setdefault(start, Bar(start)).add(trade, uses(trade), at)
    return [bars[start] for start in sorted(bars) if bars[start].priced]


def average_size(volume: int, trades: int) -> int | float:
    """Shares a trade; whole where the volume is, as a live feed has it."""
    shares = volume / SIZE_UNIT / max(trades, 1)
    return round(shares, 6) if volume % SIZE_UNIT else round(shares)
