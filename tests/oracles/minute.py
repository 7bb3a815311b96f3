"""Oracle of the minute detectors: plain loops over every elapsed minute of a segment.

Written from docs/detectors.md alone, slow on purpose. Prices are integers of 1/10,000 $.

What is rounded by `sig9`: every named value that is compared or stored (VWAP, ATR_1m, σ, r, ρ, relative volume,
dollars, strength, the context), once, where it is defined; later formulas use the rounded value. Intermediate values
(expected volumes, ATR_5m) are not rounded. A condition "a ≥ k·b" is read as sig9(a / (k·b)) ≥ 1.
"""

import datetime as dt
import math
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

import exchange_calendars
import pandas as pd

from .rounding import half_even, sig9

NEW_YORK = ZoneInfo("America/New_York")
REGULAR_OPEN = 330  # 09:30, in minutes since 04:00
LAST_MINUTE = 959  # 19:59
OPENING_RANGES = (5, 15, 30)

PARAMETERS = {
    "edge_minutes": 15,
    "baseline_minutes": 30,
    "spike_multiple": 8.0,
    "spike_dollars": 50_000.0,
    "break_ticks": 2,
    "break_atr": 0.25,
    "break_volume": 1.5,
    "momentum_sigmas": 4.0,
    "momentum_return": 0.02,
    "momentum_minutes": 60,
    "momentum_bars": 15,
    "squeeze_deviations": 2.0,
    "squeeze_atr": 1.5,
    "squeeze_bars": 6,
    "squeeze_ticks": 4,
    "squeeze_volume": 1.5,
    "range_bars": 3,
    "range_ticks": 4,
    "range_width": 0.01,
    "range_relative_volume": 2.0,
}

COLUMNS = [
    "symbol",
    "session_date",
    "ts",
    "detector",
    "direction",
    "strength",
    "price",
    "volume",
    "dollar_volume",
    "pct_change",
    "atr",
    "vwap_distance",
    "relative_volume",
    "rvol_n",
    "minutes_since_open",
]


@dataclass
class Bar:
    """One traded minute."""

    minute: int
    ts: pd.Timestamp
    session: str
    open: int
    high: int
    low: int
    close: int
    volume: int
    is_auction: bool
    vwap: float | None = None  # of the session, this bar included
    vwap_since_0400: float | None = None

    @property
    def weighted(self) -> int:
        """Typical value: 30,000 times the bar's dollars."""
        return (self.high + self.low + self.close) * self.volume

    @property
    def tick(self) -> int:
        return 100 if self.close >= 10_000 else 1


@dataclass
class Segment:
    """A stretch of one session without a halt: every elapsed minute up to its last bar."""

    start: int
    bars: dict[int, Bar]
    grid: dict[int, Bar | None] = field(init=False)
    closes: dict[int, int | None] = field(init=False)

    def __post_init__(self) -> None:
        self.grid, self.closes = {}, {}
        last = None
        for minute in range(self.start, max(self.bars) + 1):
            bar = self.bars.get(minute)
            last = bar.close if bar else last
            self.grid[minute] = bar
            self.closes[minute] = last

    def traded(self, first: int, last: int) -> list[Bar]:
        """The bars within minutes [first, last] of this segment."""
        return [self.grid[m] for m in range(first, last + 1) if self.grid.get(m)]

    def volume(self, first: int, last: int) -> int:
        return sum(bar.volume for bar in self.traded(first, last))

    def close_at(self, minute: int) -> int | None:
        """The last close at or before a minute, None before the segment's first bar."""
        return self.closes.get(minute)


@dataclass
class Expected:
    """What the sessions before let expect: the median volume of how many of them, and the share of each minute and of the five
    that end with it.
    """

    bars: int
    median_volume: float | None
    shares: dict[int, float | None]
    shares_5m: dict[int, float | None]


@dataclass
class Day:
    """One symbol and session date."""

    segments: list[Segment]
    bars: list[Bar]
    session_starts: dict[str, int]
    parameters: dict
    expected: Expected | None = None


def sign(x: float) -> int:
    return (x > 0) - (x < 0)


# Measurements at minute t of a segment


def expected_volume(day: Day, segment: Segment, last: int) -> float | None:
    """Mean volume of a minute from the segment's start up to and including `last`."""
    elapsed = last - segment.start + 1
    if elapsed < day.parameters["baseline_minutes"]:
        return None
    return segment.volume(segment.start, last) / elapsed


def usual(day: Day, shares: str, t: int) -> float | None:
    """What the sessions before let expect, None where they do not."""
    if day.expected is None:
        return None
    median, share = day.expected.median_volume, getattr(day.expected, shares).get(t)
    return median * share or None if median is not None and share is not None else None


def usual_5m(day: Day, segment: Segment, t: int) -> float | None:
    """The same of [t-4, t], all of which must lie in the segment."""
    return usual(day, "shares_5m", t) if t - 4 >= segment.start else None


def relative_volume(day: Day, segment: Segment, t: int) -> float | None:
    """Volume of [t-4, t] over what is usual, else over its expectation from the minutes up to t-5."""
    expected = usual_5m(day, segment, t)
    if expected is None:
        mean = expected_volume(day, segment, t - 5)
        expected = 5 * mean if mean else None
    if not expected:
        return None
    return sig9(segment.volume(t - 4, t) / expected)


def volume_multiple(day: Day, segment: Segment, t: int, factor: float) -> float | None:
    """The bar's own volume over `factor` times what is usual, else its expectation from the minutes up to t-1."""
    expected = usual(day, "shares", t) or expected_volume(day, segment, t - 1)
    if not expected:
        return None
    return sig9(segment.volume(t, t) / (factor * expected))


def dollars(segment: Segment, t: int) -> float:
    return sig9(sum(bar.weighted for bar in segment.traded(t - 4, t)) / 30_000)


def true_range(segment: Segment, bar: Bar) -> int:
    before = segment.close_at(bar.minute - 1)
    if before is None:
        return bar.high - bar.low
    return max(bar.high, before) - min(bar.low, before)


def atr_1m(segment: Segment, t: int) -> float | None:
    """Mean true range in dollars of the bars among the last 20 elapsed minutes."""
    ranges = [true_range(segment, bar) for bar in segment.traded(t - 19, t)]
    if len(ranges) < 10:
        return None
    return sig9(sum(ranges) / (10_000 * len(ranges)))


def log_return(segment: Segment, bar: Bar) -> float:
    before = segment.close_at(bar.minute - 1)
    return 0.0 if before is None else sig9(math.log(bar.close / before))


def sigma(day: Day, segment: Segment, t: int) -> float | None:
    """Root mean square return a minute over the 60 elapsed minutes before [t-4, t]."""
    span = day.parameters["momentum_minutes"]
    returns = [log_return(segment, bar) for bar in segment.traded(t - 4 - span, t - 5)]
    if len(returns) < day.parameters["momentum_bars"]:
        return None
    elapsed = min(span, (t - 5) - segment.start + 1)
    return sig9(math.sqrt(sum(r * r for r in returns) / elapsed))


def squeezed(day: Day, segment: Segment, t: int) -> bool:
    """Bollinger(20) inside Keltner(20), False while either is unknown."""
    closes = [segment.close_at(m) for m in range(t - 19, t + 1)]
    closes = [close for close in closes if close is not None]
    atr = atr_1m(segment, t)
    if len(closes) < 20 or atr is None:
        return False
    mean = sum(closes) / 20
    deviation = math.sqrt(sum((close - mean) ** 2 for close in closes) / 20) / 10_000
    return sig9(day.parameters["squeeze_deviations"] * deviation) < sig9(day.parameters["squeeze_atr"] * atr)


def vwap(bars: list[Bar]) -> float | None:
    volume = sum(bar.volume for bar in bars)
    return sig9(sum(bar.weighted for bar in bars) / (30_000 * volume)) if volume else None


# Conditions: (strength, direction) where the condition is true, else None


def volume_spike(day: Day, segment: Segment, bar: Bar) -> tuple[float, int] | None:
    ratio = relative_volume(day, segment, bar.minute)
    if ratio is None or ratio < day.parameters["spike_multiple"]:
        return None
    if dollars(segment, bar.minute) < day.parameters["spike_dollars"]:
        return None
    before = segment.close_at(bar.minute - 5)
    return sig9(ratio / day.parameters["spike_multiple"]), 0 if before is None else sign(bar.close - before)


def side(bar: Bar, anchor: str) -> int | None:
    level = getattr(bar, anchor)
    return None if level is None else sign(bar.close / 10_000 - level)


def break_of(day: Day, segment: Segment, bar: Bar, anchor: str) -> tuple[float, int] | None:
    """A close through a VWAP after five minutes on its other side."""
    t, level, atr = bar.minute, getattr(bar, anchor), atr_1m(segment, bar.minute)
    if level is None or atr is None:
        return None
    direction = side(bar, anchor)
    margin = max(
        day.parameters["break_ticks"] * bar.tick / 10_000,
        day.parameters["break_atr"] * math.sqrt(5) * atr,
    )
    strength = sig9(abs(bar.close / 10_000 - level) / margin)
    if direction == 0 or strength < 1:
        return None
    before = [earlier for earlier in segment.bars.values() if earlier.minute <= t - 5]
    if not before:
        return None
    last_before = max(before, key=lambda earlier: earlier.minute)
    if any(side(earlier, anchor) != -direction for earlier in [last_before, *segment.traded(t - 5, t - 1)]):
        return None
    multiple = volume_multiple(day, segment, t, day.parameters["break_volume"])
    return (strength, direction) if multiple is not None and multiple >= 1 else None


def vwap_break(day: Day, segment: Segment, bar: Bar) -> tuple[float, int] | None:
    return break_of(day, segment, bar, "vwap") if bar.session == "regular" else None


def vwap_break_premarket(day: Day, segment: Segment, bar: Bar) -> tuple[float, int] | None:
    return break_of(day, segment, bar, "vwap_since_0400") if bar.session in ("pre", "regular") else None


def price_momentum(day: Day, segment: Segment, bar: Bar) -> tuple[float, int] | None:
    before, deviation = segment.close_at(bar.minute - 5), sigma(day, segment, bar.minute)
    if before is None or not deviation:
        return None
    change = sig9(math.log(bar.close / before))
    strength = sig9(abs(change) / (day.parameters["momentum_sigmas"] * deviation * math.sqrt(5)))
    if strength < 1 or abs(change) < day.parameters["momentum_return"]:
        return None
    return strength, sign(change)


def consolidation_break(day: Day, segment: Segment, bar: Bar) -> tuple[float, int] | None:
    t, count = bar.minute, day.parameters["squeeze_bars"]
    before = segment.traded(segment.start, t - 1)[-count:]
    if len(before) < count or not all(squeezed(day, segment, earlier.minute) for earlier in before):
        return None
    high, low = max(earlier.high for earlier in before), min(earlier.low for earlier in before)
    if high - low < day.parameters["squeeze_ticks"] * bar.tick:
        return None
    direction = (bar.close > high) - (bar.close < low)
    strength = volume_multiple(day, segment, t, day.parameters["squeeze_volume"])
    return (strength, direction) if direction and strength is not None and strength >= 1 else None


def opening_range_break(day: Day, segment: Segment, bar: Bar, length: int) -> tuple[float, int] | None:
    """The first close beyond the range of the regular session's first minutes, halts or not."""
    regular = [other for other in day.bars if other.session == "regular"]
    opening = [other for other in regular if other.minute < REGULAR_OPEN + length]
    if bar.session != "regular" or len(opening) < day.parameters["range_bars"]:
        return None
    high, low = max(other.high for other in opening), min(other.low for other in opening)
    later = [other for other in regular if other.minute >= REGULAR_OPEN + length]
    beyond = [other for other in later if other.close > high or other.close < low]
    if not beyond or beyond[0] is not bar:
        return None
    width = high - low
    if width < day.parameters["range_ticks"] * bar.tick:
        return None
    if sig9(width / opening[0].open) < day.parameters["range_width"]:
        return None
    ratio = relative_volume(day, segment, bar.minute)
    if ratio is None or ratio < day.parameters["range_relative_volume"]:
        return None
    return sig9(ratio / day.parameters["range_relative_volume"]), 1 if bar.close > high else -1


CONDITIONS = {
    "volume_spike": volume_spike,
    "vwap_break": vwap_break,
    "vwap_break_premarket": vwap_break_premarket,
    "price_momentum": price_momentum,
    "consolidation_break": consolidation_break,
    **{
        f"opening_range_break_{n}": lambda day, segment, bar, n=n: opening_range_break(day, segment, bar, n)
        for n in OPENING_RANGES
    },
}


# Days and events


def day_of(
    rows: pd.DataFrame, session_starts: dict[str, int], parameters: dict, expected: Expected | None = None
) -> Day:
    """One symbol's day as segments, with the running VWAPs of every bar."""
    bars_of: dict[tuple[int, int], dict[int, Bar]] = {}
    for row in rows.sort_values("minute").itertuples():
        prices = [half_even(price, 4) for price in (row.open, row.high, row.low, row.close)]
        bar = Bar(row.minute, row.ts, row.session, *prices, int(row.volume), bool(row.is_auction))
        segment_bars = bars_of.setdefault((row.segment, row.segment_start), {})
        if bar.minute in segment_bars:
            raise ValueError(f"two bars in minute {bar.minute}")
        segment_bars[bar.minute] = bar
    segments = [Segment(start, bars) for (_, start), bars in sorted(bars_of.items())]
    bars = [bar for segment in segments for bar in segment.bars.values()]
    for i, bar in enumerate(bars):
        so_far = bars[: i + 1]
        bar.vwap = vwap([other for other in so_far if other.session == bar.session])
        bar.vwap_since_0400 = vwap(so_far)
    return Day(segments, bars, session_starts, parameters, expected)


def context(day: Day, segment: Segment, bar: Bar) -> dict:
    """What every minute event carries beside its detector, direction and strength."""
    before = segment.close_at(bar.minute - 5)
    return {
        "ts": bar.ts,
        "price": bar.close / 10_000,
        "volume": segment.volume(bar.minute - 4, bar.minute),
        "dollar_volume": dollars(segment, bar.minute),
        "pct_change": None if before is None else sig9(bar.close / before - 1),
        "atr": atr_1m(segment, bar.minute),
        "vwap_distance": None if bar.vwap is None else sig9(bar.close / 10_000 / bar.vwap - 1),
        "relative_volume": relative_volume(day, segment, bar.minute),
        "rvol_n": None if usual_5m(day, segment, bar.minute) is None else day.expected.bars,
        "minutes_since_open": bar.minute - day.session_starts[bar.session],
    }


def day_events(day: Day) -> list[dict]:
    events = []
    for segment in day.segments:
        for detector, condition in CONDITIONS.items():
            true_minutes: list[int] = []
            for bar in segment.bars.values():
                fired = None if bar.is_auction else condition(day, segment, bar)
                if fired is None:
                    continue
                recent = [m for m in true_minutes if m >= bar.minute - day.parameters["edge_minutes"]]
                true_minutes.append(bar.minute)
                if not recent:
                    strength, direction = fired
                    events.append(
                        {"detector": detector, "direction": direction, "strength": strength}
                        | context(day, segment, bar)
                    )
    return events


def minute_events(
    bars: pd.DataFrame, parameters: dict | None = None, expected: dict[tuple[str, dt.date], Expected] | None = None
) -> pd.DataFrame:
    """Every event of the minute detectors; the frames' columns are those of docs/detectors.md.

    `expected` by symbol and session date; without it nothing is known of the sessions before.

    A session starts at the least `segment_start` any symbol has in it on that date (pre 0, regular 330).
    """
    unknown = set(parameters or {}) - set(PARAMETERS)
    if unknown:
        raise KeyError(f"unknown parameters {sorted(unknown)}")
    merged = PARAMETERS | (parameters or {})
    events = []
    for (symbol, date), rows in bars.groupby(["symbol", "session_date"], sort=True):
        post = bars[(bars.session_date == date) & (bars.session == "post")].segment_start
        starts = {"pre": 0, "regular": REGULAR_OPEN, "post": post.min()}
        day = day_of(rows, starts, merged, (expected or {}).get((symbol, date)))
        events += [{"symbol": symbol, "session_date": date} | e for e in day_events(day)]
    frame = pd.DataFrame(events, columns=COLUMNS)
    return frame.sort_values(["symbol", "ts", "detector"], ignore_index=True)


# Real bars


def close_minute(date: dt.date) -> int:
    """The regular close of a session, in minutes since 04:00 New York."""
    calendar = exchange_calendars.get_calendar("XNYS", start="2003-01-02")
    close = calendar.session_close(pd.Timestamp(date)).tz_convert(NEW_YORK)
    return (close.hour - 4) * 60 + close.minute


def label(second: int, close: int) -> tuple[str, int, int] | None:
    """(session, segment, its start in minutes) of a second since 04:00 on a day without halts."""
    if not 0 <= second < (LAST_MINUTE + 1) * 60:
        return None
    if second < REGULAR_OPEN * 60:
        return "pre", 0, 0
    return ("regular", 1, REGULAR_OPEN) if second < close * 60 else ("post", 2, close)


def seconds_since_four(ts: pd.Series) -> pd.Series:
    local = ts.dt.tz_convert(NEW_YORK)
    return (local.dt.hour - 4) * 3600 + local.dt.minute * 60 + local.dt.second


def with_sessions(frame: pd.DataFrame, date: dt.date) -> pd.DataFrame:
    """`frame` (with a ts) plus session_date, session, segment, segment_start in minutes; other hours dropped."""
    close = close_minute(date)
    labels = [label(second, close) for second in seconds_since_four(frame.ts)]
    kept = frame[[found is not None for found in labels]].copy()
    kept["session_date"] = date
    found = [one for one in labels if one]
    for i, column in enumerate(["session", "segment", "segment_start"]):
        kept[column] = [one[i] for one in found]
    return kept


def tag_auctions(bars: pd.DataFrame) -> pd.Series:
    """The first minute of the regular session and the first of the post session."""
    return bars.session.isin(["regular", "post"]) & (bars.minute == bars.segment_start)


def load_minute_bars(root: Path | str, months: list[str]) -> pd.DataFrame:
    """Flat-file bars of the months ('2025/05') under `root`/minute_aggs_v1, labelled; halts are not looked up."""
    days = []
    for month in months:
        for path in sorted((Path(root) / "minute_aggs_v1" / month).glob("*.csv.gz")):
            rows = pd.read_csv(path, dtype={"ticker": str}, keep_default_na=False, na_values={"transactions": [""]})
            rows = rows.rename(columns={"ticker": "symbol"})
            rows["ts"] = pd.to_datetime(rows.window_start, utc=True)
            days.append(with_sessions(rows, dt.date.fromisoformat(path.name[:10])))
    bars = pd.concat(days, ignore_index=True)
    bars["minute"] = seconds_since_four(bars.ts) // 60
    bars["is_auction"] = tag_auctions(bars)
    return bars.drop(columns=["window_start", "transactions"])
