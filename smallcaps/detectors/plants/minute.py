"""Plants for the minute detectors: the bars that end with a traded minute are changed; prices after it are shifted with it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from smallcaps.detectors.plants.recipe import AMPLY, Array, Parameters, Recipe, at_least, away, rounded, shared

_LARGEST = 3.0
"""Multiple that must be possible at a VWAP, which a far close pulls after itself."""
_HALVINGS = 60


@dataclass(frozen=True)
class Day:
    """A name's minute bars of a session in order of time, an array a column, and what the sessions before let expect.

    `part` numbers the segments of the day; `shares`: the curve's share of a minute and of the five that end with it, by
    minutes since 04:00, NaN where unknown; `median_volume` is NaN where unknown.
    """

    minute: Array
    part: Array
    segment_start: Array
    session: Array
    is_auction: Array
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    median_volume: float
    shares: dict[str, Array]

    @property
    def time(self) -> Array:
        """What a bar's time is counted in."""
        return self.minute

    def within(self, place: int, first: int, last: int) -> Array:
        """Places of the bars of its segment from one minute to another."""
        same = self.part == self.part[place]
        return np.flatnonzero(same & (self.minute >= first) & (self.minute <= last))

    def five(self, place: int) -> Array:
        """Places of the bars of the five minutes that end with it."""
        return self.within(place, int(self.minute[place]) - 4, int(self.minute[place]))

    def close_before(self, place: int, minutes: int) -> float | None:
        """The last close of the segment so many minutes before or earlier."""
        some = self.within(place, 0, int(self.minute[place]) - minutes)
        return float(self.close[some[-1]]) if len(some) else None

    def expected(self, place: int, minutes: int) -> float | None:
        """Volume to be expected of the 1 or 5 minutes that end with it: by the sessions before, else by the segment so far."""
        minute, start = int(self.minute[place]), int(self.segment_start[place])
        name = "volume_share" if minutes == 1 else "volume_share_5m"
        usual = self.median_volume * self.shares[name][minute]
        if usual > 0 and minute - start >= minutes - 1:
            return float(usual)
        elapsed = minute - minutes + 1 - start
        if elapsed < 30:
            return None
        volume = float(self.volume[self.within(place, start, minute - minutes)].sum())
        return minutes * volume / elapsed or None

    def true_range(self, place: int) -> float:
        """Of a bar, against the close of the bar of its segment before."""
        high, low = float(self.high[place]), float(self.low[place])
        if place and self.part[place - 1] == self.part[place]:
            return max(high, float(self.close[place - 1])) - min(low, float(self.close[place - 1]))
        return high - low

    def average_range(self, place: int) -> float | None:
        """Mean true range of the bars of the 20 minutes that end with it; None below 10."""
        some = self.within(place, int(self.minute[place]) - 19, int(self.minute[place]))
        return float(np.mean([self.true_range(one) for one in some])) if len(some) >= 10 else None

    def sigma(self, place: int) -> float | None:
        """Deviation of one-minute log returns over the hour before the five minutes that end with it; None if unknown or 0."""
        end = int(self.minute[place]) - 5
        some = self.within(place, end - 59, end)
        if len(some) < 15:
            return None
        first = self.within(place, 0, end)[0]
        squares = sum(math.log(self.close[one] / self.close[one - 1]) ** 2 for one in some if one != first)
        return math.sqrt(squares / min(60, end + 1 - int(self.segment_start[place]))) or None

    def _vwap(self, since: Array) -> Array:
        """Of each bar, over the bars from `since` (a place for each) up to it."""
        typical = np.concatenate([[0.0], np.cumsum((self.high + self.low + self.close) / 3 * self.volume)])
        shares = np.concatenate([[0.0], np.cumsum(self.volume.astype(float))])
        ends = np.arange(1, len(self.minute) + 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((typical[ends] - typical[since]) / (shares[ends] - shares[since]))

    @cached_property
    def session_vwap(self) -> Array:
        """Of the session's bars up to each bar."""
        return self._vwap(np.array([np.flatnonzero(self.session == one)[0] for one in self.session]))

    @cached_property
    def day_vwap(self) -> Array:
        """Of the bars since 04:00 up to each bar."""
        return self._vwap(np.zeros(len(self.minute), dtype=int))

    def squeezed(self, place: int) -> bool:
        """Whether two deviations of 20 closes, carried forward, are less than 1.5 mean true ranges."""
        minute, average = int(self.minute[place]), self.average_range(place)
        own = self.within(place, 0, minute)
        if average is None or self.minute[own[0]] > minute - 19:
            return False
        at = np.searchsorted(self.minute[own], np.arange(minute - 19, minute + 1), side="right") - 1
        return bool(2 * np.std(self.close[own][at]) < 1.5 * average)

    def with_bar(self, place: int, close: float, volume: float) -> "Day":
        """The day with a bar that opens where the last one of its segment closed; later prices are shifted with its close."""
        opened = float(self.close[place - 1])
        shift = close / float(self.close[place])
        made = {name: getattr(self, name).astype(float) for name in ("open", "high", "low", "close")}
        for prices in made.values():
            prices[place + 1 :] = rounded(prices[place + 1 :] * shift)
        made["open"][place], made["close"][place] = opened, close
        made["high"][place], made["low"][place] = max(opened, close), min(opened, close)
        volumes = self.volume.copy()
        volumes[place] = volume
        return replace(self, **made, volume=volumes)

    def with_volume(self, places: Array, total: int) -> "Day":
        """The day with the volumes of some bars scaled to a total."""
        volumes = self.volume.copy()
        volumes[places] = shared(volumes[places], total)
        return replace(self, volume=volumes)


def _tick(price: float) -> float:
    return 0.01 if price >= 1 else 0.0001


def _spike_fits(day: Day, place: int, parameters: Parameters) -> bool:
    expected = day.expected(place, 5)
    if expected is None or day.volume[place] <= 0:
        return False
    # From 1 on the money is there; below 1 it makes no difference.
    return (
        parameters["multiple"] * expected * float(day.low[day.five(place)].min()) >= 1.5 * parameters["minimum_dollars"]
    )


def _spike(day: Day, place: int, multiple: float, direction: int, parameters: Parameters) -> Day:
    return _with_five(day, place, multiple * parameters["multiple"])


def _with_five(day: Day, place: int, relative_volume: float) -> Day:
    expected = day.expected(place, 5)
    assert expected is not None
    return day.with_volume(day.five(place), at_least(relative_volume * expected))


def _spike_size(day: Day, place: int, parameters: Parameters) -> float:
    expected = day.expected(place, 5)
    return 0.0 if expected is None else _five_minute_volume(day, place) / (parameters["multiple"] * expected)


def _momentum_size(day: Day, place: int, parameters: Parameters) -> float:
    sigma = day.sigma(place)
    if sigma is None:
        return 0.0
    return _five_minute_return(day, place) / max(
        parameters["sigmas"] * sigma * math.sqrt(5), parameters["minimum_move"]
    )


def _momentum_fits(day: Day, place: int, parameters: Parameters) -> bool:
    return day.close_before(place, 5) is not None and day.sigma(place) is not None


def _momentum(day: Day, place: int, multiple: float, direction: int, parameters: Parameters) -> Day:
    start, sigma = day.close_before(place, 5), day.sigma(place)
    assert start is not None
    assert sigma is not None
    move = direction * multiple * max(parameters["sigmas"] * sigma * math.sqrt(5), parameters["minimum_move"])
    made = day
    # As much of the way as minutes have passed; each bar shifts what follows, so that the next begins where it ends.
    for one in day.five(place):
        share = (int(day.minute[one]) - int(day.minute[place]) + 5) / 5
        made = made.with_bar(int(one), away(start * math.exp(move * share), start), float(day.volume[one]))
    return made


def _break_fits(vwap: str, sessions: tuple[str, ...]) -> Callable[[Day, int, Parameters], bool]:
    def fits(day: Day, place: int, parameters: Parameters) -> bool:
        if day.session[place] not in sessions or day.expected(place, 1) is None or day.average_range(place) is None:
            return False
        side = _side(day, place, vwap)
        return bool(side) and _break(vwap)(day, place, _LARGEST, -side, parameters) is not None

    return fits


def _side(day: Day, place: int, vwap: str) -> int:
    """On which side of the VWAP the five minutes before it and the last bar before those are; 0 where not all on one."""
    minute = int(day.minute[place])
    earlier = day.within(place, 0, minute - 5)
    if not len(earlier):
        return 0
    some = np.concatenate([earlier[-1:], day.within(place, minute - 5, minute - 1)])
    sides = set(np.sign(day.close[some] - getattr(day, vwap)[some]).tolist())
    return int(sides.pop()) if len(sides) == 1 else 0


def _break(vwap: str) -> Callable[[Day, int, float, int, Parameters], Day | None]:
    def plant(day: Day, place: int, multiple: float, direction: int, parameters: Parameters) -> Day | None:
        expected = day.expected(place, 1)
        assert expected is not None
        volume = max(int(day.volume[place]), at_least(AMPLY * parameters["minimum_relative_volume"] * expected))
        first = 0 if vwap == "day_vwap" else int(np.flatnonzero(day.session == day.session[place])[0])
        typical = (day.high + day.low + day.close)[first:place] / 3
        dollars, shares = float((typical * day.volume[first:place]).sum()), float(day.volume[first:place].sum())
        opened = float(day.close[place - 1])
        ranges = [
            day.true_range(int(one))
            for one in day.within(place, int(day.minute[place]) - 19, int(day.minute[place]) - 1)
        ]

        def size(close: float) -> float:
            """Distance from the VWAP that the close itself is part of, in margins; negative on the old side."""
            own = (max(opened, close) + min(opened, close) + close) / 3
            level = (dollars + own * volume) / (shares + volume)
            atr = float(np.mean([*ranges, abs(close - opened)]))
            margin = max(parameters["minimum_ticks"] * _tick(close), parameters["atr_share"] * math.sqrt(5) * atr)
            return direction * (close - level) / margin

        near, far = opened, opened * (3 if direction > 0 else 0.2)
        if size(far) < multiple or size(near) >= multiple:
            return None
        for _ in range(_HALVINGS):
            middle = (near + far) / 2
            near, far = (near, middle) if size(middle) >= multiple else (middle, far)
        return day.with_bar(place, away(far, opened), volume)

    return plant


def _box(day: Day, place: int) -> Array | None:
    """Places of the six bars of the segment before, where there are so many."""
    some = day.within(place, 0, int(day.minute[place]) - 1)[-6:]
    return some if len(some) == 6 else None


def _consolidation_fits(day: Day, place: int, parameters: Parameters) -> bool:
    box = _box(day, place)
    if box is None or day.expected(place, 1) is None:
        return False
    high, low = float(day.high[box].max()), float(day.low[box].min())
    wide = round(high - low, 6) >= parameters["minimum_ticks"] * _tick(high)
    return wide and all(day.squeezed(int(one)) for one in box)


def _consolidation_size(day: Day, place: int, parameters: Parameters) -> float:
    if not _consolidation_fits(day, place, parameters):
        return 0.0
    box, expected = _box(day, place), day.expected(place, 1)
    assert box is not None
    assert expected is not None
    outside = day.close[place] > day.high[box].max() or day.close[place] < day.low[box].min()
    return _own_volume(day, place) / (parameters["minimum_relative_volume"] * expected) if outside else 0.0


def _consolidation(day: Day, place: int, multiple: float, direction: int, parameters: Parameters) -> Day:
    box, expected = _box(day, place), day.expected(place, 1)
    assert box is not None
    assert expected is not None
    high, low = float(day.high[box].max()), float(day.low[box].min())
    edge = high if direction > 0 else low
    beyond = max(2 * _tick(edge), 0.25 * (high - low))
    volume = at_least(multiple * parameters["minimum_relative_volume"] * expected)
    return day.with_bar(place, away(edge + direction * beyond, edge), volume)


def _range_fits(minutes: int) -> Callable[[Day, int, Parameters], bool]:
    def fits(day: Day, place: int, parameters: Parameters) -> bool:
        regular = np.flatnonzero(day.session == "regular")
        if not len(regular) or day.session[place] != "regular" or day.volume[place] <= 0:
            return False
        end = int(day.segment_start[regular[0]]) + minutes
        opening, later = regular[day.minute[regular] < end], regular[day.minute[regular] >= end]
        if len(opening) < 3:
            return False
        high, low = float(day.high[opening].max()), float(day.low[opening].min())
        beyond = later[(day.close[later] > high) | (day.close[later] < low)]
        width = round(high - low, 6)
        enough = width >= parameters["minimum_ticks"] * _tick(float(day.close[place]))
        enough = enough and width >= parameters["minimum_width"] * float(day.open[opening[0]])
        return bool(len(beyond) and beyond[0] == place and enough and day.expected(place, 5) is not None)

    return fits


def _range(day: Day, place: int, multiple: float, direction: int, parameters: Parameters) -> Day:
    return _with_five(day, place, multiple * parameters["minimum_relative_volume"])


def _five_minute_volume(day: Day, place: int) -> float:
    return float(day.volume[day.five(place)].sum())


def _own_volume(day: Day, place: int) -> float:
    return float(day.volume[place])


def _five_minute_return(day: Day, place: int) -> float:
    start = day.close_before(place, 5)
    return 0.0 if start is None else abs(math.log(day.close[place] / start))


def _vwap_recipe(detector: str, vwap: str, sessions: tuple[str, ...], named: str) -> Recipe:
    return Recipe(
        detector,
        f"|close − VWAP| {named}, against the larger of 2 ticks and ¼ ATR of 5 minutes",
        "the minute's volume three times its least, at a bar before which five minutes were on the other side",
        "|close / VWAP − 1|",
        _break_fits(vwap, sessions),
        _break(vwap),
        lambda day, place: float(abs(day.close[place] / getattr(day, vwap)[place] - 1)),
        0,
        way=lambda day, place: -_side(day, place, vwap),
    )


RECIPES = (
    Recipe(
        "volume_spike",
        "shares of five minutes, against 8 times what is expected of them",
        "where 8 times what is expected is worth 1.5 times the least dollars; prices stay",
        "shares of five minutes",
        _spike_fits,
        _spike,
        _five_minute_volume,
        4,
        two_sided=False,
        size=_spike_size,
    ),
    Recipe(
        "price_momentum",
        "log return of five minutes, against the larger of 4σ√5 and 2 %",
        "nothing else is asked for; each traded minute goes its share of the way, later prices are shifted",
        "|return of five minutes|",
        _momentum_fits,
        _momentum,
        _five_minute_return,
        4,
        size=_momentum_size,
    ),
    _vwap_recipe("vwap_break", "session_vwap", ("regular",), "of the session"),
    _vwap_recipe("vwap_break_premarket", "day_vwap", ("pre", "regular"), "since 04:00"),
    Recipe(
        "consolidation_break",
        "shares of the minute, against 1.5 times what is expected of it",
        "at a bar after six squeezed ones whose range suffices; its close is put a quarter of their range beyond it",
        "shares of the minute",
        _consolidation_fits,
        _consolidation,
        _own_volume,
        0,
        size=_consolidation_size,
    ),
    *(
        Recipe(
            f"opening_range_break_{minutes}",
            "shares of five minutes, against 2 times what is expected of them",
            "at the day's own first close beyond the range, where that is wide enough; prices stay",
            "shares of five minutes",
            _range_fits(minutes),
            _range,
            _five_minute_volume,
            4,
            two_sided=False,
        )
        for minutes in (5, 15, 30)
    ),
)
