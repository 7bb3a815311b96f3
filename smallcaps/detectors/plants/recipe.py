"""What a recipe is: how a move of an exact size is put into the rows of a name's day, for one detector.

Everything here and in `daily`, `minute` and `trade` is measured from docs/detectors.md in numpy; nothing of it is the compiled
statement that is to be judged.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Parameters = Mapping[str, float]
Array = np.ndarray[Any, Any]

AMPLY = 3.0
"""What a detector asks for beside the size is planted at so many times its least."""
_PRICE_UNITS = 10_000


@dataclass(frozen=True)
class Recipe:
    """How to plant for one detector.

    `scaled`: what is made a multiple of the threshold; `held`: what the detector asks for beside it, and how it is made to hold.
    `fits(rows, place, parameters)`: whether the row at `place` can complete a plant. `plant(rows, place, multiple,
    direction, parameters)`: the rows with it, or None where no row can be made so. `naive(rows, place)`: what a rule of
    one line would measure at the row; `naive_rule` says it. `reach`: how far before its row a plant begins, in the grain's
    units of time. `two_sided`: whether the move has a direction that the event must have; `way(rows, place)`: the one that it
    must have there, where it is not free. `size(rows, place, parameters)`: measured in thresholds at any row, where a row beside
    the plant's own may reach the threshold by it and the market's own next moves.
    """

    detector: str
    scaled: str
    held: str
    naive_rule: str
    fits: Callable[[Any, int, Parameters], bool]
    plant: Callable[[Any, int, float, int, Parameters], Any]
    naive: Callable[[Any, int], float]
    reach: float
    two_sided: bool = True
    way: Callable[[Any, int], int] | None = None
    size: Callable[[Any, int, Parameters], float] | None = None


def away(price: float, start: float) -> float:
    """A price in whole 1/10,000 $, rounded away from `start`, so that the move is not less than was meant."""
    # What is a whole number but for the last bits of a double is meant to be one.
    units = round(price * _PRICE_UNITS, 6)
    return (math.ceil(units) if price >= start else math.floor(units)) / _PRICE_UNITS


def rounded(prices: Array) -> Array:
    """Prices in whole 1/10,000 $, at least one."""
    return np.asarray(np.maximum(np.round(prices, 4), 1 / _PRICE_UNITS))


def at_least(volume: float) -> int:
    """Whole shares or trades, not fewer than was meant."""
    return math.ceil(round(volume, 6))


def shared(volumes: Array, total: int) -> Array:
    """Volumes scaled to a total, in whole shares; what rounding leaves goes to the last."""
    scaled: Array = np.floor(volumes * (total / volumes.sum())).astype(np.int64)
    scaled[-1] += total - scaled.sum()
    return scaled
