"""What the page of a market shows, read from its folder: one day of the tape after another, sums kept, rows let go."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from smallcaps.calendar.sessions import NEW_YORK
from smallcaps.sources.simulator.arrivals import Floats, Ints
from smallcaps.sources.simulator.facts import (
    CLASSES,
    FEWEST_MINUTES,
    MINUTES,
    classes_of,
    hours_of,
    regular_bars,
    spread_times,
    symbol_slices,
)
from smallcaps.sources.simulator.layout import PRICE_UNIT, SIZE_UNIT, read_records, read_settings, read_tape, tape_days
from smallcaps.sources.simulator.plan import MINUTE_NS

LAGS = 20
"""Longest lag of an autocorrelation, traded minutes."""
MOST_TICKS = 15
"""Spreads of so many ticks and more are one."""
MINUTES_BEFORE, MINUTES_AFTER = 45, 150
"""What is shown of an episode: minutes before its onset and after its peak."""

_STEP = 0.02
"""Width of the bins in which sizes of returns are counted, log10."""
_SMALLEST, _BINS = -400, 600
"""Number of the first bin (its returns are 10^(−8)), how many there are."""
_SCALES = np.arange(-40, 91)
"""Bins of the tail's chart: 10^(−0.8) to 10^1.8 standard deviations."""


@dataclass(frozen=True)
class Shape:
    """Figures of one class of names. Returns are of one traded minute to the next within a regular session.

    `names`: how many it has; `volume`: mean share of the day's volume by minute after the open; `correlations` and
    `absolute_correlations`: of returns and of their absolute values at lags 1 … LAGS, median over names; `sizes` and
    `survival`: in a name's standard deviations, and the share of returns at least that large; `spreads`: share of time at a
    spread of 0 … MOST_TICKS ticks, mean over symbol-days. Empty where there is nothing to measure it on.
    """

    names: int
    volume: Floats
    correlations: Floats
    absolute_correlations: Floats
    sizes: Floats
    survival: Floats
    spreads: Floats


@dataclass(frozen=True)
class Story:
    """A planted episode (its record of the truth table) with what is around it.

    `bars`: at (New York, naive), open, high, low, close ($), volume (shares) by minute; `halts`: their starts and ends
    (New York, naive).
    """

    episode: dict[str, Any]
    bars: pd.DataFrame
    halts: list[tuple[pd.Timestamp, pd.Timestamp]]

    @property
    def onset(self) -> pd.Timestamp:
        """Where it begins, New York, naive."""
        return new_york(self.episode["onset_ns"])

    @property
    def peak(self) -> pd.Timestamp:
        """Where its own move ends, New York, naive."""
        return new_york(self.episode["peak_ns"])


@dataclass(frozen=True)
class MarketData:
    """Everything on the page but the facts. `settings`: settings.json; `days`: the sessions; `rows`: by kind of tape;
    `securities`, `episodes`, `faults`, `halts`: records of the truth table; `shapes` by class, liquid first.
    """

    settings: dict[str, Any]
    days: list[date]
    tick_days: list[date]
    rows: dict[str, int]
    securities: list[dict[str, Any]]
    episodes: list[dict[str, Any]]
    faults: list[dict[str, Any]]
    halts: list[dict[str, Any]]
    shapes: dict[str, Shape]
    stories: list[Story]


def collect(market: Path) -> MarketData:
    """Read the market in a folder. Raises BadInput where there is none."""
    settings = read_settings(market)
    securities, episodes, faults, halts = (
        list(read_records(market / "truth" / f"{name}.jsonl")) for name in ("securities", "episodes", "faults", "halts")
    )
    return MarketData(
        settings=settings,
        days=tape_days(market, "minute"),
        tick_days=tape_days(market, "quotes"),
        rows={
            kind: sum(read_tape(market, kind, day).num_rows for day in tape_days(market, kind))
            for kind in ("minute", "trades", "quotes")
        },
        securities=securities,
        episodes=episodes,
        faults=faults,
        halts=halts,
        shapes=shapes_of(market),
        stories=list(_stories(market, chosen(episodes), halts)),
    )


def chosen(episodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The largest episode of each kind, by kind, and the near-miss that missed by the least."""
    by_size = sorted(episodes, key=lambda episode: (-episode["multiple"], episode["episode_id"]))
    largest: dict[str, dict[str, Any]] = {}
    for episode in by_size:
        largest.setdefault(episode["kind"], episode)
    taken = {episode["episode_id"] for episode in largest.values()}
    missed = [episode for episode in by_size if episode["near_miss"] and episode["episode_id"] not in taken]
    return [*(largest[kind] for kind in sorted(largest)), *missed[:1]]


@dataclass
class Moments:
    """Sums from which the autocorrelation of a series of days follows: pairs lie within a day, moments are of all days."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    pairs: Floats = field(default_factory=lambda: np.zeros(LAGS))
    products: Floats = field(default_factory=lambda: np.zeros(LAGS))
    ends: Floats = field(default_factory=lambda: np.zeros(LAGS))

    def add(self, values: Floats) -> None:
        """Take in a day."""
        count = len(values)
        running = np.concatenate([[0.0], np.cumsum(values)])
        products = np.correlate(values, values, "full")[count : count + LAGS]
        left = np.maximum(count - np.arange(1, LAGS + 1), 0)
        self.count += count
        self.total += float(running[-1])
        self.squares += float(values @ values)
        self.pairs += left
        self.products[: len(products)] += products
        # The first values of the pairs and the second ones.
        self.ends += running[left] + running[-1] - running[count - left]

    @property
    def mean(self) -> float:
        """Of the values."""
        return self.total / self.count

    @property
    def variance(self) -> float:
        """Of the values, biased; 0 where rounding made it negative."""
        return max(self.squares / self.count - self.mean**2, 0.0)

    def correlations(self) -> Floats:
        """At lags 1 … LAGS; NaN where no day is long enough or nothing varies."""
        with np.errstate(divide="ignore", invalid="ignore"):
            products = self.products - self.mean * self.ends
            result: Floats = (products / self.pairs + self.mean**2) / self.variance
        return np.where(self.pairs > 0, result, np.nan)


@dataclass
class _Name:
    """Sums of one name's returns: moments of them and of their absolute values, and how many are of which size."""

    plain: Moments = field(default_factory=Moments)
    absolute: Moments = field(default_factory=Moments)
    sizes: Ints = field(default_factory=lambda: np.zeros(_BINS, dtype=np.int64))

    def add(self, returns: Floats) -> None:
        absolute = np.abs(returns)
        self.plain.add(returns)
        self.absolute.add(absolute)
        place = np.floor(np.log10(absolute[absolute > 0]) / _STEP).astype(np.int64) - _SMALLEST
        self.sizes += np.bincount(place.clip(0, _BINS - 1), minlength=_BINS)


def shapes_of(market: Path) -> dict[str, Shape]:
    """The shape of each class of names that the market has."""
    classes = classes_of(market)
    names: dict[str, _Name] = defaultdict(_Name)
    seen: dict[str, set[str]] = defaultdict(set)
    volumes: dict[str, Floats] = defaultdict(lambda: np.zeros(MINUTES))
    for symbol, minute, rows in regular_bars(market, classes):
        seen[classes[symbol]].add(symbol)
        returns = np.diff(np.log(rows["close"].to_numpy() / PRICE_UNIT))
        if len(returns) >= FEWEST_MINUTES:
            names[symbol].add(returns)
        volume = rows["volume"].to_numpy()
        if volume.sum():
            volumes[classes[symbol]][minute] += volume / volume.sum()
    spreads = _spreads(market, classes)
    shapes = {}
    for group in CLASSES:
        if not seen[group]:
            continue
        own = [name for symbol, name in names.items() if classes[symbol] == group and name.plain.variance]
        sizes, survival = _survival(own)
        shapes[group] = Shape(
            len(seen[group]),
            # Each symbol-day has added 1 in all.
            volumes[group] / volumes[group].sum() if group in volumes else np.empty(0),
            _median([name.plain.correlations() for name in own]),
            _median([name.absolute.correlations() for name in own]),
            sizes,
            survival,
            spreads.get(group, np.empty(0)),
        )
    return shapes


def _median(of_names: list[Floats]) -> Floats:
    """By lag over names, without the lags that no name has."""
    if not of_names:
        return np.empty(0)
    table = np.array(of_names)
    known = ~np.isnan(table).all(axis=0)
    result: Floats = np.nanmedian(table[:, known], axis=0)
    return result


def _survival(names: Iterable[_Name]) -> tuple[Floats, Floats]:
    """Sizes in standard deviations, and the share of returns that are at least that large, of names scaled alike."""
    counts, returns = np.zeros(_BINS), 0
    for name in names:
        deviation = round(float(np.log10(np.sqrt(name.plain.variance))) / _STEP)
        counts += np.roll(name.sizes, -deviation)
        returns += name.plain.count
    if not returns:
        return np.empty(0), np.empty(0)
    shares = np.cumsum(counts[::-1])[::-1][_SCALES - _SMALLEST] / returns
    there = shares > 0
    sizes: Floats = np.power(10.0, _SCALES * _STEP)
    return sizes[there], shares[there]


def _spreads(market: Path, classes: dict[str, str]) -> dict[str, Floats]:
    hours = hours_of(market)
    shares: dict[str, list[Floats]] = defaultdict(list)
    for day in tape_days(market, "quotes"):
        for symbol, quotes in symbol_slices(read_tape(market, "quotes", day)):
            found = spread_times(quotes, hours[day]) if symbol in classes else None
            if found is not None:
                ticks, lasts = found
                time = np.bincount(ticks.clip(0, MOST_TICKS), weights=lasts, minlength=MOST_TICKS + 1)
                shares[classes[symbol]].append(time / time.sum())
    return {group: np.mean(of_days, axis=0) for group, of_days in shares.items()}


def _stories(market: Path, episodes: list[dict[str, Any]], halts: list[dict[str, Any]]) -> Iterator[Story]:
    """One a episode that has a bar. Episodes are few: each reads its own day."""
    for episode in episodes:
        rows = read_tape(market, "minute", date.fromisoformat(episode["session_date"]))
        bars = _bars(
            rows.filter(pc.equal(rows["symbol"], episode["symbol"])),
            episode["onset_ns"] - MINUTES_BEFORE * MINUTE_NS,
            episode["peak_ns"] + MINUTES_AFTER * MINUTE_NS,
        )
        if bars.empty:
            continue
        own = [
            (new_york(halt["start_ns"]), new_york(halt["end_ns"]))
            for halt in halts
            if (halt["symbol"], halt["session_date"]) == (episode["symbol"], episode["session_date"])
        ]
        yield Story(episode, bars, own)


def _bars(rows: pa.Table, first_ns: int, last_ns: int) -> pd.DataFrame:
    frame = rows.to_pandas()
    frame = frame[frame["start_ns"].between(first_ns, last_ns)]
    prices = {name: frame[name] / PRICE_UNIT for name in ("open", "high", "low", "close")}
    at = pd.to_datetime(frame["start_ns"], utc=True).dt.tz_convert(NEW_YORK).dt.tz_localize(None)
    return pd.DataFrame({"at": at, **prices, "volume": frame["volume"] / SIZE_UNIT}).reset_index(drop=True)


def new_york(instant_ns: int) -> pd.Timestamp:
    """An instant in ns since 1970 UTC as New York time without a zone, as the charts' axes want it."""
    return pd.Timestamp(instant_ns, tz="UTC").tz_convert(NEW_YORK).tz_localize(None)
