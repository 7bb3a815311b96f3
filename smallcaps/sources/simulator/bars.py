"""Bars from prints, by the vendor's rules: which prints may set a price or count as volume is their conditions' business.

Prices in regular hours never come from Form T prints; before the open and after the close they do, unless another condition
forbids it. The day's open, high, low and close are the regular session's, its volume is the whole day's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smallcaps.sources.polygon.conditions import FORM_T, trade_conditions
from smallcaps.sources.simulator.arrivals import Floats, Ints
from smallcaps.sources.simulator.layout import PRICE_UNIT
from smallcaps.sources.simulator.plan import Hours
from smallcaps.sources.simulator.session import CONDITION_SETS, Prints


def _may(use: str, ignoring: int | None = None) -> NDArray[np.bool_]:
    table = trade_conditions()
    return np.array(
        [
            all(getattr(table[condition], use) for condition in conditions if condition != ignoring)
            for conditions in CONDITION_SETS
        ]
    )


_HIGH_LOW = np.stack([_may("updates_high_low"), _may("updates_high_low", FORM_T)])
_OPEN_CLOSE = np.stack([_may("updates_open_close"), _may("updates_open_close", FORM_T)])
_VOLUME = _may("updates_volume")


@dataclass(frozen=True)
class Bars:
    """Bars in order of time, integers as layout.TAPE has them; `vwap` in $."""

    start_ns: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    vwap: Floats
    trades: Ints

    def where(self, keep: NDArray[np.bool_]) -> "Bars":
        """Those of them that `keep` marks."""
        return Bars(**{name: values[keep] for name, values in vars(self).items()})


def bars_of(prints: Prints, hours: Hours, width_ns: int) -> Bars:
    """Bars of `width_ns` from 04:00 on. A stretch without a print that may set a price has none."""
    prints = _as_made(prints)
    since = prints.participant_ns - hours.start_ns
    second = since // 1_000_000_000
    outside = ((second < hours.open) | (second >= hours.close)).astype(np.int64)
    return _rolled(prints, hours.start_ns + since // width_ns * width_ns, outside)


def day_bar(prints: Prints, hours: Hours, midnight_ns: int) -> Bars:
    """The day's bar, stamped 00:00 New York; none where no print may set its price."""
    # The closing auction prints a moment after the close and is the day's close.
    prints = _as_made(prints)
    return _rolled(prints, np.full(len(prints.sip_ns), midnight_ns), np.zeros(len(prints.sip_ns), dtype=np.int64))


def _as_made(prints: Prints) -> Prints:
    """The prints in the order in which they were made: a late report belongs to the bar of its trade."""
    return prints.taken(np.argsort(prints.participant_ns, kind="stable"))


def _rolled(prints: Prints, start: Ints, outside: Ints) -> Bars:
    high_low, open_close = _HIGH_LOW[outside, prints.conditions], _OPEN_CLOSE[outside, prints.conditions]
    volume = np.where(_VOLUME[prints.conditions], prints.size, 0)
    # Every print of a stretch counts as volume, but only a stretch with a price is a bar.
    starts, first = np.unique(start, return_index=True)
    last = np.concatenate([first[1:], [len(start)]])
    lowest = (
        np.minimum.reduceat(np.where(high_low, prints.price, np.iinfo(np.int64).max), first) if len(first) else first
    )
    highest = np.maximum.reduceat(np.where(high_low, prints.price, -1), first) if len(first) else first
    place = np.arange(len(start))
    opened = np.minimum.reduceat(np.where(open_close, place, len(start)), first) if len(first) else first
    closed = np.maximum.reduceat(np.where(open_close, place, -1), first) if len(first) else first
    there = (closed >= 0) & (highest >= 0)
    total = np.add.reduceat(volume, first)[there] if len(first) else first
    paid = np.add.reduceat(volume.astype(float) * prints.price, first)[there] if len(first) else first.astype(float)
    open_price, close_price = prints.price[opened[there]], prints.price[closed[there]]
    return Bars(
        starts[there],
        open_price,
        np.maximum(highest[there], np.maximum(open_price, close_price)),
        np.minimum(lowest[there], np.minimum(open_price, close_price)),
        close_price,
        total,
        np.round(paid / np.maximum(total, 1) / PRICE_UNIT, 4),
        (last - first)[there],
    )
