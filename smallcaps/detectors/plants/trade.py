"""Plants for the trade detector: trades are added to ten seconds, or taken out of them."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from smallcaps.detectors.plants.recipe import Array, Parameters, Recipe
from smallcaps.detectors.trade.tape_speed import critical_counts

WINDOW = 10


@dataclass(frozen=True)
class Tape:
    """A name's trades of a session that update volume, in order of time, an array a column, and what is expected.

    `second` counts from 04:00; `shares`: the curve's share of the trades of a minute, by minutes since 04:00, NaN where
    unknown; `median_trades` is NaN where unknown. `source`: the row that each trade was taken from; `shift`: by how many
    seconds it was moved.
    """

    second: Array
    part: Array
    segment_start: Array
    source: Array
    shift: Array
    median_trades: float
    shares: Array

    @property
    def time(self) -> Array:
        """What a trade's time is counted in."""
        return self.second

    def within(self, place: int, first: int, last: int) -> Array:
        """Places of the trades of its segment from one second to another."""
        return np.flatnonzero((self.part == self.part[place]) & (self.second >= first) & (self.second <= last))

    def expected(self, place: int) -> tuple[float, int] | None:
        """Trades to be expected of the ten seconds that end with it, and ten times that, rounded up."""
        second, start = int(self.second[place]), 60 * int(self.segment_start[place])
        elapsed = second - WINDOW + 1 - start
        usual = self.median_trades * self.shares[second // 60] / 6
        if elapsed >= 0 and usual > 0:
            return float(usual), math.ceil(round(10 * usual, 9))
        if elapsed < 1_800 or not (before := len(self.within(place, start, second - WINDOW))):
            return None
        return WINDOW * before / elapsed, -(-10 * WINDOW * before // elapsed)


def threshold(tape: Tape, place: int, parameters: Parameters) -> int | None:
    """Trades from which ten seconds are an event; None where nothing is expected, or more than the table holds."""
    expected = tape.expected(place)
    if expected is None:
        return None
    critical = _critical(parameters["tail_probability"], parameters["dispersion"]).get(expected[1])
    return None if critical is None else max(int(parameters["minimum_trades"]), critical)


@cache
def _critical(tail_probability: float, dispersion: float) -> dict[int, int]:
    return dict(critical_counts(tail_probability, dispersion))


def _fits(tape: Tape, place: int, parameters: Parameters) -> bool:
    return threshold(tape, place, parameters) is not None


def _burst(tape: Tape, place: int, multiple: float, direction: int, parameters: Parameters) -> Tape:
    least = threshold(tape, place, parameters)
    assert least is not None
    # Trades are whole: below the threshold not more than was meant, from it on not fewer.
    wanted = math.ceil(round(multiple * least, 6)) if multiple >= 1 else max(1, math.floor(multiple * least))
    last = int(tape.second[place])
    there = tape.within(place, last - WINDOW + 1, last)
    if len(there) >= wanted:
        # The latest stay, so that the last second has a trade.
        gone = there[np.argsort(tape.second[there], kind="stable")][: len(there) - wanted]
        kept = np.setdiff1d(np.arange(len(tape.second)), gone)
        added = np.array([], dtype=int)
    else:
        kept = np.arange(len(tape.second))
        added = np.arange(wanted - len(there)) % WINDOW
    places = np.concatenate([kept, np.full(len(added), place)])
    seconds = np.concatenate([tape.second[kept], last - added])
    shift = np.concatenate([tape.shift[kept], -added])
    order = np.argsort(seconds, kind="stable")
    return Tape(
        seconds[order],
        tape.part[places][order],
        tape.segment_start[places][order],
        tape.source[places][order],
        shift[order],
        tape.median_trades,
        tape.shares,
    )


def _count(tape: Tape, place: int) -> float:
    last = int(tape.second[place])
    return float(len(tape.within(place, last - WINDOW + 1, last)))


def _size(tape: Tape, place: int, parameters: Parameters) -> float:
    least = threshold(tape, place, parameters)
    return 0.0 if least is None else _count(tape, place) / least


RECIPES = (
    Recipe(
        "tape_speed",
        "trades of ten seconds, against the larger of 10 and the critical count",
        "nothing else is asked for; trades are spread over the seconds, at the last one's price, or taken out",
        "trades of ten seconds",
        _fits,
        _burst,
        _count,
        WINDOW - 1,
        two_sided=False,
        size=_size,
    ),
)
