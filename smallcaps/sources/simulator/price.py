"""The efficient price of a day, second by second, and the pauses that its jumps bring.

1. Common part: market and sector returns by minute, spread evenly over the minute's seconds.
2. Own noise: fat-tailed by minute, as volatile as the minute is active.
3. Impact: an order moves the price by its surprise, side − expected side, times a function of its size: sides are
   predictable, prices are not. Part of it stays, a larger part fades within a minute or so.
4. The sum is bent linearly in variance to meet the day's open, close and end.
5. Drives add the move that their own orders' impact was sized for.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from smallcaps.sources.simulator.arrivals import Floats, Ints
from smallcaps.sources.simulator.plan import PRE_SECONDS, SECONDS, DayPlan, Pause

FLOW_SHARE = 0.47
"""Share of the background's variance that order flow brings; the rest is news that no order carries."""
TAIL_FREEDOM = 3.1
"""Degrees of freedom of a minute's return: what gives the Hill index of DOMAIN.md."""
LAST_SIDE, RECENT_SIDES = 0.5, ((8, 0.25), (80, 0.2))
"""An order's expected side: so much of the last one, and of moving means over about so many orders. Fitted to the sides that
`arrivals` makes, so that surprises add up to about the variance asked for."""
FADING_IMPACT, FADING_SECONDS = 0.5, 40.0
"""The part of an order's impact that fades, as a multiple of what stays, and how fast: what makes minute returns reverse."""
OUTSIDE_VARIANCE = 0.06
"""Variance before the open and after the close, each, as a share of the regular session's."""

LIMIT_SECONDS, PAUSE_SECONDS, LONGEST_PAUSE = 15, 300, 2_492
EXTENDED_SHARE, EXTENSION_SECONDS = 0.32, 420.0
LATE_DOUBLING_SECONDS = 1_500
"""The last 25 minutes, in which the band of a name at or below $3 is doubled."""


def own_noise(generator: np.random.Generator, variance: Floats) -> Floats:
    """Log increments by second; `variance` is by minute after 04:00."""
    minutes = len(variance)
    scale = np.sqrt((TAIL_FREEDOM - 2) / generator.chisquare(TAIL_FREEDOM, minutes))
    return np.asarray(generator.standard_normal(minutes * 60) * np.repeat(np.sqrt(variance / 60) * scale, 60))


def flow_impact(seconds: Floats, side: Ints, size: Floats, variance: float) -> Floats:
    """Log increments by second that orders bring, scaled to a total `variance` over all of them."""
    if len(seconds) == 0:
        return np.zeros(SECONDS)
    predicted = LAST_SIDE * side
    for orders, weight in RECENT_SIDES:
        predicted = predicted + weight * lfilter([1 / orders], [1.0, 1 / orders - 1], side)
    expected = np.concatenate([[0.0], predicted[:-1]])
    surprise = (side - expected) * np.sqrt(size)
    scale = np.sqrt(variance / max(float(np.sum(surprise * surprise)), 1e-12))
    lasting = np.bincount(seconds.astype(np.int64), weights=scale * surprise, minlength=SECONDS)[:SECONDS]
    fading = lfilter([FADING_IMPACT], [1.0, -np.exp(-1 / FADING_SECONDS)], lasting)
    return np.asarray(lasting + np.diff(fading, prepend=0.0))


def drive_path(seconds: Floats, side: Ints, size: Floats, start: int, end: int, move: float) -> Floats:
    """Log price that a drive adds by second: its orders' impact, sized so that together they move the price by `move`."""
    path = np.zeros(SECONDS)
    toward = np.sign(move) * side * np.sqrt(size)
    total = float(toward.sum())
    if len(seconds) < 3 or total <= 0.2 * float(np.abs(toward).sum()):  # too few orders to carry it: an even ramp
        path[start:end] = np.linspace(0, move, end - start)
    else:
        steps = np.bincount(seconds.astype(np.int64), weights=toward / total * move, minlength=SECONDS)[:SECONDS]
        path = np.cumsum(steps)
    path[end:] = move
    return path


def bridged(steps: Floats, variance: Floats, plan: DayPlan) -> Floats:
    """Log price by second: the sum of `steps`, bent in proportion to `variance` (by second) to meet the plan's prices."""
    path = np.empty(SECONDS)
    anchors = np.log([plan.start_price, plan.open_price, plan.close_price, plan.end_price])
    bounds = (0, PRE_SECONDS, plan.hours.close, SECONDS)
    for first, last, begin, end in zip(bounds, bounds[1:], anchors, anchors[1:], strict=False):
        walk = np.cumsum(steps[first:last])
        share = np.cumsum(variance[first:last])
        share /= share[-1]
        path[first:last] = begin + walk + share * (end - begin - walk[-1])
    return path


def limit_pauses(
    generator: np.random.Generator, price: Floats, traded: NDArray[np.bool_], plan: DayPlan
) -> tuple[list[Pause], Floats, Floats]:
    """Limit-up-limit-down pauses of a regular session, and the bands (low, high in $, by second; nan where there are none).

    The reference is the mean price of the seconds with a trade among the last 300, within the stretch since the open or the
    last pause; its first value is the stretch's first price. 15 seconds on end outside the band pause trading for 5 minutes
    or, in about a third of the cases, longer. News pauses (plan.pauses) are passed over. Rule: DOMAIN.md, halts.
    """
    low, high = np.full(SECONDS, np.nan), np.full(SECONDS, np.nan)
    pauses: list[Pause] = []
    planned = sorted((pause.start, pause.end) for pause in plan.pauses)
    starts = [plan.hours.open, *(end for _, end in planned)]
    ends = [*(start for start, _ in planned), plan.hours.close]
    stretches = list(zip(starts, ends, strict=True))
    while stretches:
        first, last = stretches.pop(0)
        if last - first < LIMIT_SECONDS:
            continue
        below, above = _bands(price, traded, plan, first, last)
        outside = (price[first:last] < below) | (price[first:last] > above)
        runs = np.convolve(outside, np.ones(LIMIT_SECONDS), "valid") >= LIMIT_SECONDS - 0.5
        hits = np.flatnonzero(runs)
        stop = last
        if len(hits):
            stop = first + int(hits[0]) + LIMIT_SECONDS
            length = PAUSE_SECONDS
            if generator.random() < EXTENDED_SHARE:
                length += min(int(generator.exponential(EXTENSION_SECONDS)) + 1, LONGEST_PAUSE - PAUSE_SECONDS)
            pauses.append(Pause(stop, min(stop + length, plan.hours.close), "LUDP"))
            stretches.insert(0, (stop + length, last))
        low[first:stop], high[first:stop] = below[: stop - first], above[: stop - first]
    return pauses, low, high


def _bands(price: Floats, traded: NDArray[np.bool_], plan: DayPlan, first: int, last: int) -> tuple[Floats, Floats]:
    there = traded[first:last].astype(float)
    there[0] = 1.0
    sums = np.concatenate([[0.0], np.cumsum(there * price[first:last])])
    counts = np.concatenate([[0.0], np.cumsum(there)])
    now = np.arange(1, last - first + 1)
    before = np.maximum(now - 300, 0)
    count = counts[now] - counts[before]
    mean = np.where(count > 0, (sums[now] - sums[before]) / np.maximum(count, 1), np.nan)
    known = np.maximum.accumulate(np.where(count > 0, np.arange(len(mean)), 0))
    # The band in force in a second rests on what was traded before it.
    reference = np.concatenate([[price[first]], mean[known][:-1]])
    if plan.prior_close > 3:
        width = np.full(len(reference), 0.10)
    elif plan.prior_close >= 0.75:
        width = np.full(len(reference), 0.20)
    else:
        width = np.minimum(0.15 / reference, 0.75)
    if plan.prior_close <= 3:
        late = np.arange(first, last) >= plan.hours.close - LATE_DOUBLING_SECONDS
        width = np.where(late, 2 * width, width)
    return np.asarray(reference * (1 - np.minimum(width, 0.99))), np.asarray(reference * (1 + width))
