"""When orders come, and on which side: self-exciting arrivals in metaorders.

Immigrants come at a rate that follows the time of day and a slow random activity. Each has a Poisson number of children,
some at once (a sweep over several venues), some soon, some late, who have children in turn (a Hawkes process, made by its
branches). Immigrants' sides come in runs of heavy-tailed length (one parent order worked over many trades), children mostly take
their parent's side.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRE_MINUTES, SESSION_MINUTES = 330, 960
"""Minutes from 04:00 to 09:30 and to 20:00."""

AT_ONCE, SOON = 0.42, 0.40
"""Shares of children that come in the same instant, and within a second or so; the rest come within a minute."""
AT_ONCE_SECONDS, SOON_SECONDS, LATE_SECONDS = 2e-4, 0.35, 10.0
SAME_SIDE = 0.96
RUN_TAIL = 1.4
"""Pareto exponent of the length of a run of immigrants on one side: below 2, signs have long memory."""


@dataclass(frozen=True)
class Orders:
    """Orders in order of time: seconds after 04:00, side (+1 buys, −1 sells), and whether they came at once with another."""

    seconds: Floats
    side: Ints
    swept: NDArray[np.bool_]

    def where(self, keep: NDArray[np.bool_]) -> "Orders":
        """Those of them that `keep` marks."""
        return Orders(self.seconds[keep], self.side[keep], self.swept[keep])


def day_curve(open_minute: int, close_minute: int, end_minute: int, outside: float) -> Floats:
    """Relative rate of arrivals by minute after 04:00, mean 1 over the regular session.

    High at the open, lower at noon, rising to the close; `outside` is the share of the day's orders in each of the
    pre-market and, at half of that, after hours.
    """
    minutes = np.arange(SESSION_MINUTES, dtype=float)
    since_open, to_close = minutes - open_minute, close_minute - minutes
    regular = (since_open >= 0) & (to_close > 0)
    curve = np.where(regular, 1 + 1.35 * np.exp(-np.abs(since_open) / 24) + 0.75 * np.exp(-np.abs(to_close) / 24), 0.0)
    curve /= curve[regular].mean()
    pre = np.where(since_open < 0, np.exp(since_open / 90), 0.0)
    post = np.where((to_close <= 0) & (minutes < end_minute), np.exp(to_close / 45), 0.0)
    length = regular.sum()
    return np.asarray(curve + outside * length * (pre / pre.sum() + 0.5 * post / post.sum()))


def slow_noise(generator: np.random.Generator, length: int, memory: float, deviation: float) -> Floats:
    """A stationary first-order autoregression of standard `deviation` whose memory is `memory` steps."""
    keep = np.exp(-1 / memory)
    shocks = generator.standard_normal(length) * np.sqrt(1 - keep * keep)
    shocks[0] /= np.sqrt(1 - keep * keep)
    return np.asarray(deviation * lfilter([1.0], [1.0, -keep], shocks))


def background_orders(generator: np.random.Generator, rate: Floats, branching: float) -> Orders:
    """Orders whose mean number by minute after 04:00 is `rate`; each brings `branching` children on average."""
    counts = generator.poisson(rate * (1 - branching))
    minute = np.repeat(np.arange(len(rate), dtype=float), counts)
    roots = np.sort((minute + generator.random(len(minute))) * 60)
    return _with_children(generator, roots, _sides_in_runs(generator, len(roots)), branching)


def burst_orders(
    generator: np.random.Generator, start: float, end: float, count: float, buys: float, branching: float
) -> Orders:
    """About `count` extra orders between two seconds, `buys` being the chance that an immigrant buys."""
    number = generator.poisson(max(0.0, count) * (1 - branching))
    roots = np.sort(start + (end - start) * generator.random(number))
    side = np.where(generator.random(number) < buys, 1, -1)
    orders = _with_children(generator, roots, side, branching)
    return orders.where(orders.seconds < end)


def merged(parts: list[Orders]) -> tuple[Orders, Ints]:
    """All orders in order of time, and for each the number of the part that it comes from."""
    seconds = np.concatenate([part.seconds for part in parts])
    origin = np.repeat(np.arange(len(parts)), [len(part.seconds) for part in parts])
    order = np.argsort(seconds, kind="stable")
    side = np.concatenate([part.side for part in parts])[order]
    swept = np.concatenate([part.swept for part in parts])[order]
    return Orders(seconds[order], side, swept), origin[order]


def _sides_in_runs(generator: np.random.Generator, number: int) -> Ints:
    lengths = np.ceil(generator.pareto(RUN_TAIL, number) + 1e-9).astype(np.int64).clip(1, 400)
    sides = np.where(generator.random(number) < 0.5, 1, -1)
    needed = int(np.searchsorted(np.cumsum(lengths), number)) + 1
    return np.repeat(sides[:needed], lengths[:needed])[:number]


def _with_children(generator: np.random.Generator, roots: Floats, sides: Ints, branching: float) -> Orders:
    times, signs, swept = [roots], [sides], [np.zeros(len(roots), dtype=bool)]
    seconds, side = roots, sides
    while len(seconds):
        counts = generator.poisson(branching, len(seconds))
        number = int(counts.sum())
        kind = generator.random(number)
        scale = np.where(kind < AT_ONCE, AT_ONCE_SECONDS, np.where(kind < AT_ONCE + SOON, SOON_SECONDS, LATE_SECONDS))
        seconds = np.repeat(seconds, counts) + scale * generator.standard_exponential(number)
        side = np.repeat(side, counts) * np.where(generator.random(number) < SAME_SIDE, 1, -1)
        times.append(seconds)
        signs.append(side)
        swept.append(kind < AT_ONCE)
    together = np.concatenate(times)
    order = np.argsort(together, kind="stable")
    return Orders(together[order], np.concatenate(signs)[order], np.concatenate(swept)[order])
