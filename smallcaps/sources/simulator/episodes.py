"""What is planted: extraordinary moves, driven through orders, each with what comes after it and how likely that was.

Nothing here knows of a detector. A size is a multiple, continuous from half to three, of a usual size of its kind, so
that some lie just below whatever threshold one sets, and some far above. What follows is drawn:

    x = strength · (√(1 − h) · observable + √h · hidden),   both standard, h the hidden share
    P(continuation) = (1 − NOTHING) · logistic(x),   P(reversal) = (1 − NOTHING) · logistic(−x),   P(nothing) = NOTHING

`observable` is a fixed mix of what anybody could know at the onset: the float, the return of the five sessions before,
and the time of the day. `best_continuation` is P(continuation) given the observable part alone: no model can do better.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from smallcaps.sources.simulator.plan import PRE_SECONDS, Drive, Hours, Pause

NOTHING = 0.3
STRENGTH = 1.8
OBSERVABLE_WEIGHTS = (-0.6, -0.6, 0.53)
"""Of log float, five-day return and time of day, each standard: few shares, no run-up and a late hour make moves go on."""
SMALLEST, LARGEST = 0.5, 3.0
NEAR_MISS = 0.75
"""Multiples from here to 1 count as near-misses of the usual size."""

CONTINUATION_MINUTES = (45, 150)
"""How long a continuation takes."""
MINUTE = 60
FOLLOWS_AFTER_SECONDS = 2 * MINUTE
"""Between the peak and what follows it, at least."""


@dataclass(frozen=True)
class Shape:
    """How an episode is carried out: its drives and pauses, and the seconds after 04:00 of its onset and its end."""

    drives: tuple[Drive, ...]
    pauses: tuple[Pause, ...]
    onset: int
    peak: int


@dataclass(frozen=True)
class Episode:
    """One planted episode. `move` is the log price change from onset to peak, `multiple` its size in usual sizes of its kind,
    `after` the log change that follows on the day and `carry` on the two sessions after it, `outcome` what was drawn
    (continuation, reversal, nothing) with the probabilities from which it was drawn. Seconds count from 04:00 New York.
    """

    episode_id: str
    number: int
    symbol: str
    kind: str
    session_date: date
    direction: int
    multiple: float
    move: float
    shape: Shape
    outcome: str
    after: float
    carry: tuple[float, float]
    continuation: float
    reversal: float
    best_continuation: float
    observables: tuple[float, float, float]
    hidden: float
    manipulation: bool

    @property
    def near_miss(self) -> bool:
        """Whether its size is just under the usual one of its kind."""
        return NEAR_MISS <= self.multiple < 1

    @property
    def total_move(self) -> float:
        """Log price change that it leaves at the end of its day."""
        return self.move + self.after


Maker = Callable[[np.random.Generator, float, float, Hours, float], Shape]


@dataclass(frozen=True)
class Kind:
    """A kind of episode: its share among all, its usual size (log change), the chance that it goes up, how fast a reversal
    is (minutes), how it is made (generator, move, multiple, hours, orders a minute), whether it is manipulation.
    """

    share: float
    usual: float
    up: float
    reversal_minutes: tuple[int, int]
    make: Maker
    manipulation: bool = False


def _between(generator: np.random.Generator, low: float, high: float) -> int:
    return int(generator.uniform(low, high))


def _orders(rate: float, seconds: float, times: float, least: float = 60) -> float:
    """Orders of a drive: `times` the usual rate a minute, but enough to be seen in a thin name."""
    return max(least, rate * seconds / MINUTE * times)


def _gap(generator: np.random.Generator, move: float, multiple: float, hours: Hours, rate: float) -> Shape:
    start = _between(generator, PRE_SECONDS - 150 * MINUTE, PRE_SECONDS - 40 * MINUTE)
    end = start + _between(generator, 10 * MINUTE, 25 * MINUTE)
    return Shape((Drive(start, end, move, _orders(rate, end - start, 3 * multiple, 80)),), (), start, PRE_SECONDS)


def _pump(generator: np.random.Generator, move: float, multiple: float, hours: Hours, rate: float) -> Shape:
    start = hours.open + _between(generator, 10 * MINUTE, 110 * MINUTE)
    end = start + _between(generator, 25 * MINUTE, 80 * MINUTE)
    return Shape(
        (Drive(start, end, move, _orders(rate, end - start, 3 + 2 * multiple, 200), size=1.3),), (), start, end
    )


def _flush(generator: np.random.Generator, move: float, multiple: float, hours: Hours, rate: float) -> Shape:
    start = hours.open + _between(generator, 2 * MINUTE, 45 * MINUTE)
    end = start + _between(generator, 3 * MINUTE, 12 * MINUTE)
    return Shape((Drive(start, end, move, _orders(rate, end - start, 5 + 3 * multiple, 90), size=1.2),), (), start, end)


def _opening_drive(generator: np.random.Generator, move: float, multiple: float, hours: Hours, rate: float) -> Shape:
    start = hours.open + 5
    end = start + _between(generator, 4 * MINUTE, 20 * MINUTE)
    return Shape((Drive(start, end, move, _orders(rate, end - start, 3 + 2 * multiple, 80)),), (), start, end)


def _squeeze(generator: np.random.Generator, move: float, multiple: float, hours: Hours, rate: float) -> Shape:
    onset = hours.open + _between(generator, 4 * MINUTE, 90 * MINUTE)
    drives, start = [], onset
    for share in (0.2, 0.3, 0.5):
        end = start + _between(generator, 2 * MINUTE, 7 * MINUTE)
        drives.append(
            Drive(start, end, share * move, _orders(rate, end - start, (4 + 3 * multiple) * (0.6 + share), 60))
        )
        start = end + _between(generator, 3 * MINUTE, 8 * MINUTE)
    return Shape(tuple(drives), (), onset, drives[-1].end)


def _consolidation(generator: np.random.Generator, move: float, multiple: float, hours: Hours, rate: float) -> Shape:
    onset = hours.open + _between(generator, 75 * MINUTE, 140 * MINUTE)
    still = Drive(onset - _between(generator, 40 * MINUTE, 70 * MINUTE), onset, quiet=0.35)
    end = onset + _between(generator, 3 * MINUTE, 7 * MINUTE)
    return Shape((still, Drive(onset, end, move, _orders(rate, end - onset, 5 + 3 * multiple, 50))), (), onset, end)


def _burst(generator: np.random.Generator, move: float, multiple: float, hours: Hours, rate: float) -> Shape:
    onset = hours.open + _between(generator, 30 * MINUTE, 150 * MINUTE)
    end = onset + _between(generator, 8, 30)
    usual = 20 + 1.2 * rate
    return Shape((Drive(onset, end, move, multiple * usual),), (), onset, end)


def _halt(generator: np.random.Generator, move: float, multiple: float, hours: Hours, rate: float) -> Shape:
    onset = hours.open + _between(generator, 20 * MINUTE, 120 * MINUTE)
    pause = Pause(onset + 25, onset + 25 + _between(generator, 10 * MINUTE, 40 * MINUTE), "T1")
    resumed = pause.end + _between(generator, 60, 240)
    drives = (
        Drive(onset, onset + 25, 0.15 * move, _orders(rate, 25, 20, 40)),
        Drive(pause.end, resumed, 0.85 * move, _orders(rate, resumed - pause.end, 10 + 5 * multiple, 80)),
    )
    return Shape(drives, (pause,), onset, resumed)


def _spoof(generator: np.random.Generator, move: float, multiple: float, hours: Hours, rate: float) -> Shape:
    onset = hours.open + _between(generator, 30 * MINUTE, 150 * MINUTE)
    end = onset + _between(generator, 3 * MINUTE, 8 * MINUTE)
    return Shape((Drive(onset, end, move, _orders(rate, end - onset, 1.5, 30), spoof=12.0),), (), onset, end)


KINDS: dict[str, Kind] = {
    "gap": Kind(0.20, 0.10, 0.6, (8, 60), _gap),
    "pump_and_dump": Kind(0.08, 0.20, 1.0, (8, 30), _pump, manipulation=True),
    "flush_and_reversal": Kind(0.14, 0.10, 0.25, (20, 90), _flush),
    "opening_drive": Kind(0.16, 0.05, 0.55, (30, 120), _opening_drive),
    "squeeze": Kind(0.10, 0.15, 1.0, (20, 90), _squeeze),
    "consolidation_break": Kind(0.10, 0.03, 0.5, (15, 60), _consolidation),
    "tape_burst": Kind(0.08, 0.006, 0.5, (10, 60), _burst),
    "halt_and_resume": Kind(0.07, 0.15, 0.6, (20, 90), _halt),
    "spoof": Kind(0.07, 0.01, 0.5, (3, 15), _spoof, manipulation=True),
}


def plant(
    generator: np.random.Generator,
    episode_id: str,
    number: int,
    symbol: str,
    hours: Hours,
    rate: float,
    float_score: float,
    five_day_return: float,
    hidden_share: float,
) -> Episode:
    """A random episode on a day. `rate`: the name's orders a minute; `float_score`: its log float, standard in the universe."""
    name = str(generator.choice(list(KINDS), p=[kind.share for kind in KINDS.values()]))
    kind = KINDS[name]
    direction = 1 if generator.random() < kind.up else -1
    multiple = float(np.exp(generator.uniform(np.log(SMALLEST), np.log(LARGEST))))
    # A name cannot lose more than a good part of its value in one move.
    move = max(float(direction * np.log1p(kind.usual * multiple)), -0.45)
    shape = kind.make(generator, move, multiple, hours, rate)
    hour = (shape.onset - hours.open) / 3_600
    observables = (float_score, float(np.clip(five_day_return / 0.12, -2.5, 2.5)), float(np.clip(hour - 1, -2, 2)))
    observable = float(np.dot(OBSERVABLE_WEIGHTS, observables))
    hidden = float(generator.standard_normal())
    x = STRENGTH * (np.sqrt(1 - hidden_share) * observable + np.sqrt(hidden_share) * hidden)
    continuation, reversal = (1 - NOTHING) * _logistic(x), (1 - NOTHING) * _logistic(-x)
    drawn = float(generator.random())
    outcome = "continuation" if drawn < continuation else "reversal" if drawn < continuation + reversal else "nothing"
    sign = {"continuation": 1, "reversal": -1, "nothing": 0}[outcome]
    amount = sign * float(generator.uniform(0.55, 1.1)) * move
    shape, after = _followed(
        generator, shape, amount, hours, rate, kind.reversal_minutes if outcome == "reversal" else CONTINUATION_MINUTES
    )
    return Episode(
        episode_id,
        number,
        symbol,
        name,
        hours.day,
        direction,
        multiple,
        move,
        shape,
        outcome,
        after,
        (0.35 * amount, 0.15 * amount),
        continuation,
        reversal,
        best_continuation(observable, hidden_share),
        observables,
        hidden,
        kind.manipulation,
    )


def _followed(
    generator: np.random.Generator, shape: Shape, amount: float, hours: Hours, rate: float, minutes: tuple[int, int]
) -> tuple[Shape, float]:
    """`shape` with the drive that brings the outcome, and the log change that it brings."""
    start = shape.peak + _between(generator, FOLLOWS_AFTER_SECONDS, 20 * MINUTE)
    end = min(start + _between(generator, MINUTE * minutes[0], MINUTE * minutes[1]), hours.close - 10)
    if not amount or end - start < 2 * MINUTE:
        return shape, 0.0
    drive = Drive(start, end, amount, _orders(rate, end - start, 1.5, 40))
    return Shape((*shape.drives, drive), shape.pauses, shape.onset, shape.peak), amount


def best_continuation(observable: float, hidden_share: float) -> float:
    """P(continuation) with the hidden part integrated out (Gauss–Hermite): the best that can be known at the onset."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    x = STRENGTH * (np.sqrt(1 - hidden_share) * observable + np.sqrt(hidden_share) * nodes)
    return float((1 - NOTHING) * np.sum(weights * _logistic(x)) / np.sum(weights))


def _logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))
