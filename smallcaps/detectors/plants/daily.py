"""Plants for the daily detectors: the last bar of a name's series is changed."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from smallcaps.config import LiquidityFloor
from smallcaps.detectors.plants.recipe import AMPLY, Array, Parameters, Recipe, at_least, away, rounded

_BACK = 0.8
"""Of a flush, what is bought back: above the half and the six tenths that the detector asks for by default."""
_MOST = 0.9
"""A plant that would take more of the price than this is none."""
_HALF_A_DAY = 0.5
"""From a session's close, the time of its bar, back to its open."""


@dataclass(frozen=True)
class Series:
    """A name's daily bars up to a day, as traded, oldest first: numbers of the sessions, prices ($), volumes and cumulative split
    factors, one array each.
    """

    session: Array
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    factor: Array

    @property
    def time(self) -> Array:
        """What a bar's time is counted in."""
        return self.session

    @cached_property
    def normal(self) -> Array:
        """What carries a price of each bar into shares of the last."""
        return np.asarray(self.factor[-1] / self.factor)

    @cached_property
    def previous_close(self) -> float:
        """Of the bar before the last, in shares of the last."""
        return float(self.close[-2] * self.normal[-2])

    @cached_property
    def within_20_sessions(self) -> Array:
        """Places of the bars of the 20 sessions before the last."""
        return np.flatnonzero(self.session[:-1] >= self.session[-1] - 20)

    @cached_property
    def median_volume(self) -> float:
        """Of those bars, in shares of the last."""
        some = self.within_20_sessions
        return float(np.median(self.volume[some] / self.normal[some]))

    @cached_property
    def mean_range(self) -> float:
        """Of high − low of the 20 bars before."""
        return float(((self.high - self.low) * self.normal)[-21:-1].mean())

    @cached_property
    def average_true_range(self) -> float | None:
        """Wilder's of 14, over the last 300 true ranges before the last bar; None below 30."""
        high, low, close = self.high * self.normal, self.low * self.normal, self.close * self.normal
        before = np.concatenate([[np.nan], close[:-1]])
        ranges = (np.fmax(high, before) - np.fmin(low, before))[:-1][-300:]
        if len(ranges) < 30:
            return None
        average = float(ranges[:14].mean())
        for one in ranges[14:]:
            average = (13 * average + float(one)) / 14
        return average

    def passes(self, floor: LiquidityFloor) -> bool:
        """Whether the last bar's name was above the liquidity floor the day before."""
        some = self.within_20_sessions
        return (
            len(some) >= max(floor.minimum_bars, 10)
            and floor.minimum_price <= self.close[-2] <= floor.maximum_price
            and self.session[-2] == self.session[-1] - 1
            and self.volume[-2] > 0
            and np.median(self.close[some] * self.volume[some]) >= floor.minimum_dollar_volume
        )

    def with_last(self, **values: float) -> "Series | None":
        """The series with values of its last bar replaced; None where they are no prices."""
        changed = {name: np.append(getattr(self, name)[:-1], value) for name, value in values.items()}
        made = replace(self, **changed)
        prices = [made.open[-1], made.high[-1], made.low[-1], made.close[-1]]
        return made if min(prices) > (1 - _MOST) * self.previous_close else None

    def busy(self, least: float) -> int:
        """The last bar's volume, but amply `least` times the median."""
        return max(int(self.volume[-1]), at_least(AMPLY * least * self.median_volume))


def _known(series: Series, place: int, parameters: Parameters) -> bool:
    return bool(series.median_volume > 0 and series.mean_range > 0)


def _with_atr(series: Series, place: int, parameters: Parameters) -> bool:
    return _known(series, place, parameters) and series.average_true_range is not None


def _gap(series: Series, place: int, multiple: float, direction: int, parameters: Parameters) -> Series | None:
    before = series.previous_close
    opened = away(before * (1 + direction * multiple * parameters["threshold"]), before)
    shift = opened / series.open[-1]
    moved = {name: float(rounded(getattr(series, name)[-1] * shift)) for name in ("high", "low", "close")}
    return series.with_last(
        open=opened, high=max(moved["high"], opened), low=min(moved["low"], opened), close=moved["close"]
    )


def _range(series: Series, place: int, multiple: float, direction: int, parameters: Parameters) -> Series | None:
    least = max(parameters["multiple"] * series.mean_range, parameters["minimum_move"] * series.previous_close)
    opened, high, low, close = (float(getattr(series, name)[-1]) for name in ("open", "high", "low", "close"))
    if high == low:
        high, low, close = opened + 0.5, opened - 0.5, opened + 0.25
    stretch = multiple * least / (high - low)
    # About the open, so that the bar keeps its shape; the close goes the way that is wanted.
    if direction * (close - opened) < 0:
        high, low, close = 2 * opened - low, 2 * opened - high, 2 * opened - close
    high, low, close = (opened + (price - opened) * stretch for price in (high, low, close))
    if round(close, 4) == round(opened, 4):
        return None
    high, low = away(high, opened), away(low, high)
    return series.with_last(
        high=high, low=low, close=min(max(round(close, 4), low), high),
        volume=series.busy(parameters["minimum_relative_volume"]),
    )  # fmt: skip


def _breakout(series: Series, place: int, multiple: float, direction: int, parameters: Parameters) -> Series | None:
    before = series.previous_close
    atr = series.average_true_range
    assert atr is not None
    least = max(parameters["multiple"] * atr, parameters["minimum_move"] * before)
    close = away(before + direction * multiple * least, before)
    return series.with_last(
        close=close,
        high=max(float(series.high[-1]), close),
        low=min(float(series.low[-1]), close),
        volume=series.busy(parameters["minimum_relative_volume"]),
    )


def _flush(series: Series, place: int, multiple: float, direction: int, parameters: Parameters) -> Series | None:
    opened, atr = float(series.open[-1]), series.average_true_range
    depth = multiple * max(parameters["minimum_move"] * opened, 0.0 if atr is None else atr)
    extreme = away(opened - direction * depth, opened)
    close = round(extreme + _BACK * (opened - extreme), 4)
    volume = series.busy(parameters["minimum_relative_volume"])
    return series.with_last(high=max(opened, extreme), low=min(opened, extreme), close=close, volume=volume)


RECIPES = (
    Recipe(
        "gap",
        "|open / previous close − 1|",
        "nothing else is asked for; the day's other prices are shifted with the open",
        "|open / previous close − 1|, no floor, no splits",
        _known,
        _gap,
        lambda series, place: float(abs(series.open[-1] / series.close[-2] - 1)),
        _HALF_A_DAY,
    ),
    Recipe(
        "range_explosion",
        "high − low, against the larger of 2.5 mean ranges and 8 % of the previous close",
        "relative volume three times its least; the bar is stretched about its open",
        "(high − low) / previous close",
        _known,
        _range,
        lambda series, place: float((series.high[-1] - series.low[-1]) / series.close[-2]),
        _HALF_A_DAY,
    ),
    Recipe(
        "atr_breakout",
        "|close − previous close|, against the larger of 2 ATR14 and 8 % of the previous close",
        "relative volume three times its least",
        "|close / previous close − 1|",
        _with_atr,
        _breakout,
        lambda series, place: float(abs(series.close[-1] / series.close[-2] - 1)),
        _HALF_A_DAY,
    ),
    Recipe(
        "flush_reversal",
        "depth from the open, against the larger of ATR14 (where known) and 10 % of the open",
        "eight tenths are taken back and relative volume is three times its least",
        "largest distance of high or low from the open, as a share of it",
        _known,
        _flush,
        lambda series, place: float(
            max(series.high[-1] - series.open[-1], series.open[-1] - series.low[-1]) / series.open[-1]
        ),
        _HALF_A_DAY,
    ),
)
