"""What one symbol's day is made from: where its price begins and ends, how much it trades, what is planted in it."""

from dataclasses import dataclass
from datetime import date

import numpy as np

SECONDS = 57_600
"""Seconds from 04:00 to 20:00 New York: the grid on which a day's price lives."""
SECOND_NS = 1_000_000_000
MINUTE_NS, HOUR_NS = 60 * SECOND_NS, 3_600 * SECOND_NS
PRE_SECONDS = 19_800
"""Seconds from 04:00 to 09:30."""


@dataclass(frozen=True)
class Hours:
    """A session: its day and the instant of 04:00 in ns; seconds after that of the open, the close and the end."""

    day: date
    start_ns: int
    open: int
    close: int
    end: int


@dataclass(frozen=True)
class Drive:
    """Extra orders from `start` to `end` (seconds after 04:00) that move the price by `move` (log), by their impact.

    `orders` is how many there are beside the background's, `quiet` what is left of the background's rate and noise (1: all),
    `size` a multiple of their size, `spoof` a multiple of the displayed size on the side away from the move.
    """

    start: int
    end: int
    move: float = 0.0
    orders: float = 0.0
    quiet: float = 1.0
    size: float = 1.0
    spoof: float = 1.0


@dataclass(frozen=True)
class Pause:
    """No trading from `start` to `end` (seconds after 04:00). `reason`: T1 for news, LUDP for a limit state."""

    start: int
    end: int
    reason: str


@dataclass(frozen=True)
class Liquidity:
    """How a name trades: orders in an average regular session, the usual spread in ticks and how much it varies (log),
    quote updates a second, the chance of an auction print, the share of orders in the pre-market, how much the rate of
    orders swings over an hour (log), and how many further orders one brings on average.
    """

    orders: float
    spread_ticks: float
    spread_deviation: float
    quotes_per_second: float
    auction: float
    outside: float
    unrest: float
    branching: float


@dataclass(frozen=True)
class DayPlan:
    """A symbol's day. Prices in $: `prior_close` (for the limit bands, in the day's shares), then the efficient price at 04:00,
    at the open, at the close and at the end without what the drives add. `volatility`: log, over the regular session.
    `round_lot`: median size of a round-lot order in lots of 100.
    """

    symbol: str
    hours: Hours
    seed: tuple[int, ...]
    prior_close: float
    start_price: float
    open_price: float
    close_price: float
    end_price: float
    volatility: float
    activity: float
    liquidity: Liquidity
    lots: float
    listing: int
    beta: float = 1.0
    sector: int | None = None
    sector_beta: float = 0.5
    drives: tuple[Drive, ...] = ()
    pauses: tuple[Pause, ...] = ()


def generator_of(*words: int) -> np.random.Generator:
    """A generator of its own for each sequence of words, the same on every machine and in every task."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
