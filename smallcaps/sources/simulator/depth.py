"""The book behind the best quotes: up to ten levels a side, around the quote of the same moment.

1. A book is shown with each quote whose prices are new or that goes dark. Quotes come once a second at most.
2. The first level is the quote. Behind it the next price is some ticks away, as many as a geometric draw says: half the name's
   usual spread on average, so that thin names have holes. A draw holds for a minute.
3. Sizes grow away from the best price, in whole lots, with noise that fades over some ten books. They are smaller where the
   price has been moving.
4. A drive eats the side that it moves towards; when it is over, that side fills up again within minutes. Spoofing lays size
   behind the other side's best price; it comes and goes, and is gone when the drive ends.

The book is drawn around the quote: no order has a place in a queue, and none is followed as the quote moves.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.signal import lfilter

from smallcaps.sources.simulator.arrivals import Floats, Ints
from smallcaps.sources.simulator.layout import SIZE_UNIT, TAPE
from smallcaps.sources.simulator.plan import SECOND_NS, DayPlan, Drive, generator_of
from smallcaps.sources.simulator.session import Quotes, usual_spread

LEVELS = 10
STREAM = 9
"""Last word of the seed: what else is drawn for a symbol's day does not depend on its book."""
GROWTH = 0.3
"""What a level's mean size has more than the one before it, in sizes of the first."""
NOISE, LASTING = 0.25, 0.9
"""Of the log size: what a book brings anew, and how much of the noise stays from book to book."""
FALLS, FOLLOWING, CALMEST = 0.4, 0.1, 2.0
"""How far the log size falls with the log of the mid's recent moves, over their median; how fast these are forgotten; the
greatest factor, its inverse being the least."""
EATEN, REFILL_SECONDS = 0.6, 90.0
SPOOFED_LEVELS, SPOOFED_SHARE = 4, 0.6
"""How deep spoofing lays its size, and the share of the books that show it."""
LOT = 100 * SIZE_UNIT
BID, ASK = 0, 1


def book_rows(plan: DayPlan, quotes: Quotes) -> pa.Table:
    """Rows of TAPE['book']: `plan`'s books of a day, each with the instant and the best prices and sizes of one of `quotes`."""
    shown = _shown(quotes)
    if not len(shown):
        return TAPE["book"].empty_table()
    generator = generator_of(*plan.seed, STREAM)
    number, dark = len(shown), quotes.halted[shown]
    second = (quotes.participant_ns[shown] - plan.hours.start_ns) // SECOND_NS
    best = np.stack([quotes.bid_price[shown], quotes.ask_price[shown]])
    first = np.stack([quotes.bid_size[shown], quotes.ask_size[shown]])
    price = best[:, :, None] + np.array([-1, 1])[:, None, None] * _away(generator, plan, second)
    size = np.concatenate([first[:, :, None], _behind(generator, plan, second, best, first)], axis=2)
    columns = {
        "symbol": pa.array([plan.symbol] * number, pa.string()),
        "published_ns": quotes.sip_ns[shown],
        "made_ns": quotes.participant_ns[shown],
        "sequence_number": np.arange(1, number + 1),
        "bids": _levels(price[BID], size[BID], dark),
        "asks": _levels(price[ASK], size[ASK], dark),
    }
    return pa.table([columns[name] for name in TAPE["book"].names], schema=TAPE["book"])


def _shown(quotes: Quotes) -> Ints:
    """The places of the quotes that come with a book."""
    new = (np.diff(quotes.bid_price, prepend=-1) != 0) | (np.diff(quotes.ask_price, prepend=-1) != 0)
    return np.flatnonzero(new | quotes.halted)


def _away(generator: np.random.Generator, plan: DayPlan, second: Ints) -> Ints:
    """How far a level lies from the best price, in price units, by side, book and level; 0 at the first."""
    tick, spread = usual_spread(plan)
    minute = second // 60
    draws = generator.geometric(1 / max(1.0, spread / 2), (2, int(minute[-1]) + 1, LEVELS - 1))
    away = np.cumsum(draws, axis=2)[:, minute] * tick
    return np.concatenate([np.zeros((2, len(second), 1), dtype=np.int64), away], axis=2)


def _behind(generator: np.random.Generator, plan: DayPlan, second: Ints, best: Ints, first: Ints) -> Ints:
    """Sizes of the levels behind the best price, by side, book and level."""
    number = len(second)
    fresh = NOISE * generator.standard_normal((2, number, LEVELS - 1))
    noise = lfilter([1.0], [1.0, -LASTING], fresh, axis=1)
    usual = np.median(first[first > 0]) / LOT
    mean = usual * (1 + GROWTH * np.arange(1, LEVELS))
    lots = mean * np.exp(noise) * _calm(best)[None, :, None]
    for drive in plan.drives:
        _drive(generator, lots, drive, second)
    return np.asarray(np.ceil(lots).astype(np.int64) * LOT)


def _calm(best: Ints) -> Floats:
    """A factor of the size by book: less than 1 where the mid has moved more of late than it usually does."""
    middle = best.sum(axis=0)
    # A dark quote has no mid: the last one stands.
    known = middle[np.maximum.accumulate(np.where(middle > 0, np.arange(len(middle)), 0))]
    moves = np.abs(np.diff(np.log(np.maximum(known, 1)), prepend=np.log(max(int(known[0]), 1))))
    recent = np.maximum(lfilter([FOLLOWING], [1.0, FOLLOWING - 1], moves), 1e-9)
    return np.asarray((recent / np.median(recent)) ** -FALLS).clip(1 / CALMEST, CALMEST)


def _drive(generator: np.random.Generator, lots: Floats, drive: Drive, second: Ints) -> None:
    """What a drive does to sizes, in place."""
    if not drive.move:
        return
    towards = ASK if drive.move > 0 else BID
    inside = (second >= drive.start) & (second < drive.end)
    if drive.spoof != 1:
        laid = inside & (generator.random(len(second)) < SPOOFED_SHARE)
        lots[1 - towards, laid, : SPOOFED_LEVELS - 1] *= drive.spoof
    else:
        since = np.maximum(second - drive.end, 0) / REFILL_SECONDS
        left = 1 - EATEN * np.where(second < drive.start, 0.0, np.where(inside, 1.0, np.exp(-since)))
        lots[towards] *= left[:, None]


def _levels(price: Ints, size: Ints, dark: NDArray[np.bool_]) -> pa.ListArray:
    """A side's levels as lists: none while halted, and none at a price that is not there."""
    there = (price > 0) & ~dark[:, None]
    offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
    levels = pa.StructArray.from_arrays([price[there], size[there]], ["price", "size"])
    return pa.ListArray.from_arrays(pa.array(offsets), levels)
