"""A symbol's day, from orders to prints.

1. Orders arrive: the background's and each drive's (arrivals).
2. They move the efficient price; pauses follow from it (price).
3. Bid and offer stand around the efficient price, second by second, on the tick.
4. Each order becomes a print at the quote of its second; opening, closing and reopening auctions print at the price.
5. Prints are reported: on exchange at once, off exchange later, a few much later; each with its sale conditions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from smallcaps.sources.polygon.conditions import FORM_T, ODD_LOT, OFF_EXCHANGE, SWEEP
from smallcaps.sources.simulator.arrivals import (
    PRE_MINUTES,
    Floats,
    Ints,
    Orders,
    background_orders,
    burst_orders,
    day_curve,
    merged,
    slow_noise,
)
from smallcaps.sources.simulator.layout import PRICE_UNIT, SIZE_UNIT
from smallcaps.sources.simulator.plan import SECONDS, DayPlan, Pause
from smallcaps.sources.simulator.price import (
    FLOW_SHARE,
    OUTSIDE_VARIANCE,
    bridged,
    drive_path,
    flow_impact,
    limit_pauses,
    own_noise,
)

QUICK_MINUTES, QUICK_DEVIATION, SLOW_MINUTES = 8, 0.55, 70
"""Two slow noises in the rate of orders: their memory, and the standard deviation (log) of the first; the name's liquidity
has the second's."""
VOLATILITY_OF_ACTIVITY = 0.8
"""How far the log of a minute's standard deviation follows the log of its activity."""

STALE_SPREADS, RENEWED_AFTER_TRADE = 2.0, 0.1
"""A quote is renewed when the price has left it by so many usual spreads, and with this chance after a trade."""

DEPTH_FALLS = 0.6
"""How far the log of the displayed size falls with the log of the minute's volatility."""

TRADE_THROUGH_EXEMPT = 41
OFFICIAL_OPEN, OPENING, CLOSING, OFFICIAL_CLOSE, REOPENING = 16, 17, 8, 15, 28
AVERAGE_PRICE, DERIVATIVELY_PRICED, SOLD_LATE = 2, 10, 32
_OVERLAYS = ((1, FORM_T), (2, ODD_LOT), (4, SWEEP), (8, TRADE_THROUGH_EXEMPT))
CONDITION_SETS: tuple[tuple[int, ...], ...] = (
    *(tuple(condition for bit, condition in _OVERLAYS if number & bit) for number in range(16)),
    (OPENING,),
    (OFFICIAL_OPEN,),
    (CLOSING,),
    (OFFICIAL_CLOSE,),
    (REOPENING,),
    (AVERAGE_PRICE,),
    (DERIVATIVELY_PRICED,),
    (SOLD_LATE,),
)
"""A print's conditions are a number into this table: below 16 the sum of overlays, then the special ones."""
_SPECIAL = {conditions[0]: 16 + place for place, conditions in enumerate(CONDITION_SETS[16:])}

FACILITIES = np.array([201, 202, 203], dtype=np.int32)
VENUES = np.array([10, 11, 12, 19, 8, 21, 15, 7, 18, 2, 20], dtype=np.int32)
VENUE_SHARES = np.array([0.17, 0.14, 0.28, 0.09, 0.10, 0.08, 0.05, 0.03, 0.03, 0.01, 0.02])
TAPE_OF_LISTING = {10: 1, 1: 2, 11: 2, 12: 3}
OFF_EXCHANGE_ORDERS = 0.5
ODD_LOT_ORDERS = 0.585
LATE_REPORTS = 0.002


@dataclass(frozen=True)
class Prints:
    """Trades of a day in order of sip_ns: integers as layout.TAPE has them; `conditions` is a place in CONDITION_SETS."""

    sip_ns: Ints
    participant_ns: Ints
    trf_ns: Ints
    exchange: NDArray[np.int32]
    trf_id: NDArray[np.int32]
    price: Ints
    size: Ints
    conditions: NDArray[np.int8]

    def taken(self, places: Ints) -> "Prints":
        """The prints at `places`, in that order."""
        return Prints(**{name: values[places] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Quotes:
    """Best bid and offer updates of a day in order of sip_ns: integers as layout.TAPE has them."""

    sip_ns: Ints
    participant_ns: Ints
    bid_price: Ints
    bid_size: Ints
    bid_exchange: NDArray[np.int32]
    ask_price: Ints
    ask_size: Ints
    ask_exchange: NDArray[np.int32]
    halted: NDArray[np.bool_]


@dataclass(frozen=True)
class Session:
    """What came of a plan: prints, quotes, pauses, bands ($ by second, nan outside), efficient price ($ by second)."""

    prints: Prints
    quotes: Quotes | None
    pauses: tuple[Pause, ...]
    band_low: Floats
    band_high: Floats
    price: Floats


@dataclass(frozen=True)
class Course:
    """A day's orders with their sizes, and what they do to the efficient price ($ by second): pauses and bands beside it.

    `activity` is the rate of orders, `variance` that of the log price, both by minute; `traded` marks the seconds with an order.
    """

    orders: Orders
    size: Floats
    activity: Floats
    variance: Floats
    price: Floats
    traded: NDArray[np.bool_]
    pauses: tuple[Pause, ...]
    band_low: Floats
    band_high: Floats


def simulate_course(generator: np.random.Generator, plan: DayPlan, common: Floats) -> Course:
    """The orders and the price of `plan`. `common`: market and sector log returns by minute after 04:00, already times the
    symbol's betas.
    """
    activity, variance = _background(generator, plan)
    orders, origin, size = _orders(generator, plan, activity)
    price = np.exp(_log_price(generator, plan, common, variance, orders, origin, size))
    traded = np.bincount(orders.seconds.astype(np.int64), minlength=SECONDS)[:SECONDS] > 0
    pauses, low, high = limit_pauses(generator, price, traded, plan)
    every_pause = tuple(sorted((*plan.pauses, *pauses), key=lambda pause: pause.start))
    return Course(orders, size, activity, variance, price, traded, every_pause, low, high)


def generators_of(plan: DayPlan) -> list[np.random.Generator]:
    """For the course of a day, its prints and its quotes: none of them changes what another draws."""
    return [np.random.Generator(np.random.PCG64(child)) for child in np.random.SeedSequence(plan.seed).spawn(3)]


def simulate_session(plan: DayPlan, common: Floats, with_quotes: bool) -> Session:
    """The day of `plan`; `common` as for its course. The same plan gives the same prints, with quotes or without."""
    generator, for_prints, for_quotes = generators_of(plan)
    course = simulate_course(generator, plan, common)
    low, high = course.band_low, course.band_high
    held = np.clip(course.price, np.where(np.isnan(low), 0, low), np.where(np.isnan(high), np.inf, high))
    halted = np.zeros(SECONDS, dtype=bool)
    for pause in course.pauses:
        halted[pause.start : pause.end] = True
    book = _book(generator, plan, held, course.variance, course.activity, course.traded)
    prints = _prints(for_prints, plan, course.orders, course.size, held, book, halted, course.pauses)
    quotes = _quotes(for_quotes, plan, book, course.traded, halted) if with_quotes else None
    return Session(prints, quotes, course.pauses, low, high, held)


def _background(generator: np.random.Generator, plan: DayPlan) -> tuple[Floats, Floats]:
    """Rate of orders and variance of the log price by minute after 04:00."""
    hours = plan.hours
    noise = slow_noise(generator, SECONDS // 60, QUICK_MINUTES, QUICK_DEVIATION)
    noise += slow_noise(generator, SECONDS // 60, SLOW_MINUTES, plan.liquidity.unrest)
    mean = 0.5 * (QUICK_DEVIATION**2 + plan.liquidity.unrest**2)
    bounds = (hours.open // 60, hours.close // 60, hours.end // 60)
    curve = day_curve(*bounds, plan.liquidity.outside)
    length = (hours.close - hours.open) / 23_400
    rate = (
        curve
        * np.exp(noise - mean)
        * plan.liquidity.orders
        * length
        * plan.activity
        / ((hours.close - hours.open) / 60)
    )
    # The price moves in the pre-market even of a name that hardly trades there.
    usual = day_curve(*bounds, 0.02) * _opening_unrest(hours.open // 60)
    shape = usual * np.exp(2 * VOLATILITY_OF_ACTIVITY * noise - 2 * VOLATILITY_OF_ACTIVITY**2 * mean * 2)
    minute = np.arange(SECONDS // 60)
    variance = np.full(SECONDS // 60, 1e-12)
    for first, last, share in (
        (0, PRE_MINUTES, OUTSIDE_VARIANCE),
        (PRE_MINUTES, hours.close // 60, 1.0),
        (hours.close // 60, hours.end // 60, OUTSIDE_VARIANCE),
    ):
        there = (minute >= first) & (minute < last)
        variance[there] = share * plan.volatility**2 * shape[there] / usual[there].sum()
    for drive in plan.drives:
        if drive.quiet < 1:
            quiet = (minute >= drive.start // 60) & (minute < drive.end // 60)
            rate[quiet] *= drive.quiet
            variance[quiet] *= drive.quiet**2
    return rate, variance


def _opening_unrest(open_minute: int) -> Floats:
    """How much more the price moves for its orders just after the open, by minute after 04:00."""
    since = np.arange(SECONDS // 60) - open_minute
    return np.where(since >= 0, 1 + 9.0 * np.exp(-np.maximum(since, 0) / 8), 1.0)


def _orders(generator: np.random.Generator, plan: DayPlan, rate: Floats) -> tuple[Orders, Ints, Floats]:
    """Orders of the day, the part each comes from (0 background, then drives), and sizes in shares."""
    parts = [background_orders(generator, rate, plan.liquidity.branching)]
    for drive in plan.drives:
        buys = 0.5 + 0.42 * float(np.sign(drive.move))
        parts.append(burst_orders(generator, drive.start, drive.end, drive.orders, buys, plan.liquidity.branching))
    orders, origin = merged(parts)
    inside = orders.seconds < plan.hours.end - 1
    orders, origin = orders.where(inside), origin[inside]
    number = len(orders.seconds)
    odd = generator.random(number) < ODD_LOT_ORDERS
    small = np.minimum(np.floor(np.exp(2.6 + 1.1 * generator.standard_normal(number))) + 1, 99)
    lots = np.ceil(plan.lots * np.exp(0.9 * generator.standard_normal(number)))
    blocks = generator.random(number) < 0.0006
    lots = np.where(blocks, np.maximum(lots * 30, 100), np.minimum(lots, 80))
    multiple = np.array([1.0, *(drive.size for drive in plan.drives)])[origin]
    size = np.where(odd, small, 100 * np.ceil(lots * multiple))
    return orders, origin, size


def _log_price(
    generator: np.random.Generator,
    plan: DayPlan,
    common: Floats,
    variance: Floats,
    orders: Orders,
    origin: Ints,
    size: Floats,
) -> Floats:
    steps = np.repeat(common / 60, 60) + own_noise(generator, (1 - FLOW_SHARE) * variance)
    background = origin == 0
    total = FLOW_SHARE * float(variance.sum())
    steps += flow_impact(orders.seconds[background], orders.side[background], size[background], total)
    path = bridged(steps, np.repeat(variance / 60, 60), plan)
    for place, drive in enumerate(plan.drives, start=1):
        if drive.move:
            own = origin == place
            path = path + drive_path(
                orders.seconds[own], orders.side[own], size[own], drive.start, drive.end, drive.move
            )
    return np.asarray(path)


@dataclass(frozen=True)
class _Book:
    """Bid and offer in force by second and the tick, in price units; `refreshed` marks the seconds in which they were set,
    `unrest` is the log of a minute's volatility over the usual one.
    """

    bid: Ints
    ask: Ints
    tick: int
    refreshed: NDArray[np.bool_]
    unrest: Floats


def usual_spread(plan: DayPlan) -> tuple[int, float]:
    """The tick in price units, and the usual spread in ticks."""
    tick = PRICE_UNIT // 100 if plan.prior_close >= 1 else 1
    # Sub-dollar names quote in hundredths of a cent: their spread is a share of the price as that of others is.
    return tick, plan.liquidity.spread_ticks if tick > 1 else plan.liquidity.spread_ticks * 12


def _book(
    generator: np.random.Generator,
    plan: DayPlan,
    price: Floats,
    variance: Floats,
    rate: Floats,
    traded: NDArray[np.bool_],
) -> _Book:
    """The spread is whole ticks, wider where it is volatile. A quote stands until the price leaves it, a trade was made
    against it, or somebody cares to renew it: in a thin name that is seldom.
    """
    tick, ticks = usual_spread(plan)
    liquidity = plan.liquidity
    slow = slow_noise(generator, SECONDS // 10, 9, 0.75 * liquidity.spread_deviation)
    quick = generator.standard_normal(SECONDS // 10) * 0.66 * liquidity.spread_deviation
    usual = np.median(variance[plan.hours.open // 60 : plan.hours.close // 60])
    unrest = 0.5 * np.log(np.maximum(variance, 1e-12) / usual)
    volatile = np.repeat(0.5 * unrest, 6).clip(-0.5, 1.2)
    seconds = np.arange(SECONDS)
    outside = (seconds < plan.hours.open) | (seconds >= plan.hours.close)
    wide = np.repeat(np.log(ticks) + slow + quick + volatile, 10) + np.where(outside, 1.0, 0.0)
    spread = np.maximum(np.rint(np.exp(wide)), 1).astype(np.int64)
    middle = price * (PRICE_UNIT / tick)
    left = np.diff(np.floor(middle / max(1.0, STALE_SPREADS * ticks)), prepend=0) != 0
    chance = 1 - np.exp(-liquidity.quotes_per_second * np.repeat(rate / max(float(rate.mean()), 1e-12), 60))
    refreshed = left | (generator.random(SECONDS) < chance)
    refreshed[1:] |= traded[:-1] & (generator.random(SECONDS - 1) < RENEWED_AFTER_TRADE)
    refreshed[[0, plan.hours.open, plan.hours.close]] = True
    in_force = np.maximum.accumulate(np.where(refreshed, seconds, 0))
    bid = np.maximum(np.floor(middle - spread / 2 + 0.5), 1).astype(np.int64)
    return _Book(bid[in_force] * tick, (bid + spread)[in_force] * tick, tick, refreshed, unrest)


def _prints(
    generator: np.random.Generator,
    plan: DayPlan,
    orders: Orders,
    size: Floats,
    price: Floats,
    book: _Book,
    halted: NDArray[np.bool_],
    pauses: tuple[Pause, ...],
) -> Prints:
    hours, bid, ask = plan.hours, book.bid, book.ask
    second = orders.seconds.astype(np.int64)
    trading = ~halted[second]
    # A quote stands at the start of its second, a print comes after it.
    seconds = second + 0.05 + 0.95 * (orders.seconds - second)
    seconds, second, size = seconds[trading], second[trading], size[trading]
    side, swept = orders.side[trading], orders.swept[trading]
    number = len(seconds)
    off = generator.random(number) < OFF_EXCHANGE_ORDERS
    off |= (size >= 5_000) & (generator.random(number) < 0.6)
    where = generator.random(number)
    best = np.where(side > 0, ask[second], bid[second])
    middle = (bid[second] + ask[second]) // 2
    improved = best - side * np.minimum(1 + (generator.random(number) * 40).astype(np.int64), (ask - bid)[second] // 2)
    retail = off & (size < 100)
    print_price = np.where(retail & (where < 0.6), improved, np.where(off & ~retail & (where < 0.1), middle, best))
    overlay = np.where((second < hours.open) | (second >= hours.close), 1, 0)
    overlay += np.where(size < 100, 2, 0)
    sweeping = ~off & (swept | (generator.random(number) < 0.15))
    overlay += np.where(sweeping, 4, 0) + np.where(sweeping & (generator.random(number) < 0.7), 8, 0)
    conditions = overlay.astype(np.int8)
    odd_priced = off & (generator.random(number) < 0.02) & (overlay & 1 == 0) & (size >= 100)
    averaged = odd_priced & (generator.random(number) < 0.5)
    conditions[odd_priced] = _SPECIAL[DERIVATIVELY_PRICED]
    conditions[averaged] = _SPECIAL[AVERAGE_PRICE]
    # An average price is that of the half hour before.
    earlier = np.rint(price[np.maximum(second - 900, 0)] * PRICE_UNIT).astype(np.int64)
    print_price = np.where(averaged, earlier, print_price)
    fractional = off & (size < 100) & (generator.random(number) < 0.03)
    shares = np.rint(size * SIZE_UNIT).astype(np.int64)
    shares = np.where(fractional, np.maximum(1_500, shares // 7), shares)
    exchange = np.where(off, OFF_EXCHANGE, generator.choice(VENUES, number, p=VENUE_SHARES)).astype(np.int32)
    facility = np.where(off, generator.choice(FACILITIES, number, p=[0.25, 0.6, 0.15]), 0).astype(np.int32)
    participant = hours.start_ns + np.rint(seconds * 1e9).astype(np.int64)
    to_facility = (2e5 * generator.standard_exponential(number) + 5e4).astype(np.int64)
    late = off & (generator.random(number) < LATE_REPORTS) & (overlay & 1 == 0)
    delay = np.where(
        off, 1.2e7 * generator.standard_exponential(number), 2.5e5 * generator.standard_exponential(number)
    )
    left = (hours.close - 5 - second).clip(0)
    delay = np.where(late, 1e9 * np.minimum(10 + 900 * generator.standard_exponential(number), left), delay)
    conditions[late & (delay > 1e10)] = _SPECIAL[SOLD_LATE]
    sip = participant + to_facility * off + delay.astype(np.int64) + 15_000
    trf = np.where(off, participant + to_facility + (delay * 0.9).astype(np.int64), 0)
    auctions = _auctions(generator, plan, price, book.tick, pauses, float(size.sum()))
    columns = [
        np.concatenate([ours, theirs])
        for ours, theirs in zip(
            (sip, participant, trf, exchange, facility, print_price, shares, conditions), auctions, strict=True
        )
    ]
    prints = Prints(*columns)
    return prints.taken(np.argsort(prints.sip_ns, kind="stable"))


def _auctions(
    generator: np.random.Generator,
    plan: DayPlan,
    price: Floats,
    tick: int,
    pauses: tuple[Pause, ...],
    volume: float,
) -> list[NDArray[np.generic]]:
    """Opening, closing and reopening prints at the efficient price on the tick, and the exchange's official summaries.

    The summaries repeat an auction's price and size and count for nothing in a bar.
    """
    rows: list[tuple[float, int, float, int]] = []  # second, price, share of the volume, condition

    def at(second: int) -> int:
        return max(round(float(price[second]) * PRICE_UNIT / tick), 1) * tick

    opened, closed = generator.random(2) < plan.liquidity.auction
    last_pause = pauses[-1] if pauses else None
    delays = generator.random(4)
    if opened and not any(pause.start <= plan.hours.open < pause.end for pause in pauses):
        share = 0.004 + 0.02 * delays[0]
        second = plan.hours.open + 0.2 + 4 * delays[1]
        rows += [
            (second, at(plan.hours.open), share, OPENING),
            (second + 0.01, at(plan.hours.open), share, OFFICIAL_OPEN),
        ]
    for pause in pauses:
        if pause.end < plan.hours.close:
            rows.append((pause.end + 0.3, at(pause.end), 0.01, REOPENING))
    if closed or (last_pause is not None and last_pause.end >= plan.hours.close):
        share = 0.012 + 0.045 * delays[2]
        second = plan.hours.close + 0.1 + 0.8 * delays[3]
        final = at(plan.hours.close - 1)
        rows += [(second, final, share, CLOSING), (second + 0.02, final, share, OFFICIAL_CLOSE)]
    number = len(rows)
    participant = plan.hours.start_ns + np.array([int(row[0] * 1e9) for row in rows], dtype=np.int64)
    size = np.array([max(100 * round(row[2] * volume / 100), 100) * SIZE_UNIT for row in rows], dtype=np.int64)
    zeros = np.zeros(number, dtype=np.int64)
    return [
        participant + 40_000,
        participant,
        zeros,
        np.full(number, plan.listing, dtype=np.int32),
        zeros.astype(np.int32),
        np.array([row[1] for row in rows], dtype=np.int64),
        size,
        np.array([_SPECIAL[row[3]] for row in rows], dtype=np.int8),
    ]


def _quotes(
    generator: np.random.Generator, plan: DayPlan, book: _Book, traded: NDArray[np.bool_], halted: NDArray[np.bool_]
) -> Quotes:
    """An update where a quote was set and where a trade took of it; none while halted but at the edges."""
    hours = plan.hours
    edges = np.diff(halted.astype(np.int8), prepend=0) != 0
    # The quote of a second with a trade is shown before it.
    shown = (((book.refreshed | traded) & ~halted) | edges) & (np.arange(SECONDS) < hours.end)
    second = np.flatnonzero(shown)
    number = len(second)
    depth = 1 + generator.geometric(0.35, (2, number)) * np.maximum(1, plan.lots / 2)
    pressure = lfilter([0.3], [1.0, -0.7], generator.standard_normal(number))
    calm = np.exp(-DEPTH_FALLS * book.unrest[second // 60]).clip(0.3, 2.0)
    lots = np.ceil(depth * calm * np.exp(np.stack([pressure, -pressure]) * 0.5))
    for drive in plan.drives:
        if drive.spoof != 1 and drive.move:
            away = 0 if drive.move < 0 else 1
            inside = (second >= drive.start) & (second < drive.end) & (generator.random(number) < 0.6)
            lots[1 - away, inside] *= drive.spoof
    dark = halted[second]
    size = np.where(dark, 0, lots * 100).astype(np.int64) * SIZE_UNIT
    participant = hours.start_ns + np.rint((second + 0.03 * generator.random(number)) * 1e9).astype(np.int64)
    venues = generator.choice(VENUES, (2, number), p=VENUE_SHARES).astype(np.int32)
    return Quotes(
        participant + 20_000,
        participant,
        np.where(dark, 0, book.bid[second]),
        size[0],
        venues[0],
        np.where(dark, 0, book.ask[second]),
        size[1],
        venues[1],
        dark,
    )
