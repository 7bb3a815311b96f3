"""Small planted days: each minute detector fires once at a known minute, and does not at 0.95 of its threshold.

The background is a quiet name. Minute after minute it trades 1,000 shares; closes alternate between 4.99 (even minutes)
and 5.01 (odd minutes), each bar reaching one tick above and below its close. So
- VWAP is 5.00 after every even number of minutes, and the typical price of a bar is its close;
- every true range is 0.03, ATR_1m 0.03, ¼·ATR_5m 0.0168: the VWAP margin is 2 ticks, 0.02;
- every one-minute return is ±ln(5.01/4.99), so σ = 0.004;
- Bollinger's half-width is 0.02, Keltner's 0.045: squeezed; six bars range over 4.98–5.02, exactly 4 ticks;
- expected_1m is 1,000 and expected_5m 5,000.
Only the named detector is asserted; others may fire on the same frame.
"""

import datetime as dt
from zoneinfo import ZoneInfo

import pandas as pd

DATE = dt.date(2025, 5, 20)
FOUR = pd.Timestamp(2025, 5, 20, 4, tz=ZoneInfo("America/New_York")).tz_convert("UTC")
REGULAR_OPEN = 330

Bars = dict[int, dict]
Planted = tuple[pd.DataFrame, list[tuple[int, int]]]


def quiet(first: int, minutes: int) -> Bars:
    return {m: bar(4.99 if m % 2 == 0 else 5.01) for m in range(first, first + minutes)}


def bar(close: float, volume: int = 1_000, reach: float = 0.01) -> dict:
    """A bar that opens at its close and reaches as far above as below it."""
    high, low = round(close + reach, 4), round(close - reach, 4)
    return {"open": close, "high": high, "low": low, "close": close, "volume": volume}


def frame(bars: Bars, symbol: str, session: str = "regular") -> pd.DataFrame:
    """One session without a halt, starting at its first bar's minute."""
    start = {"pre": 0, "regular": REGULAR_OPEN}[session]
    rows = [
        {
            "symbol": symbol,
            "session_date": DATE,
            "session": session,
            "segment": 0 if session == "pre" else 1,
            "segment_start": start,
            "minute": minute,
            "ts": FOUR + pd.Timedelta(minutes=minute),
            **values,
            "is_auction": session == "regular" and minute == start,
        }
        for minute, values in sorted(bars.items())
    ]
    return pd.DataFrame(rows)


def volume_spike(volume: int) -> pd.DataFrame:
    """Minute 431, one tick pair above minute 426: four quiet minutes and `volume` against an expected 5,000."""
    bars = quiet(REGULAR_OPEN, 150)
    bars[431]["volume"] = volume
    return frame(bars, "SPIKE")


def vwap_break(close: float) -> pd.DataFrame:
    """60 quiet minutes (VWAP 5.00), five at 4.98 below it, then 2,000 shares at `close`.

    VWAP is then (60·5 + 5·4.98 + 2·close)/67, so close − VWAP = (65·close − 324.9)/67.
    """
    bars = quiet(REGULAR_OPEN, 120) | {m: bar(4.98) for m in range(390, 395)} | {395: bar(close, 2_000)}
    return frame(bars, "VWAP")


def vwap_break_premarket(close: float) -> pd.DataFrame:
    """The same upside down and before the open: close − VWAP = (65·close − 325.1)/67."""
    bars = quiet(0, 120) | {m: bar(5.02) for m in range(60, 65)} | {65: bar(close, 2_000)}
    return frame(bars, "EARLY", "pre")


def price_momentum(close: float) -> pd.DataFrame:
    """Minute 431 against 4.99 in minute 426: 4·σ·√5 = 4·√5·ln(5.01/4.99) = 0.0357771."""
    bars = quiet(REGULAR_OPEN, 150) | {431: bar(close)}
    return frame(bars, "MOVE")


def consolidation_break(volume: int) -> pd.DataFrame:
    """A close at 4.97, below the squeezed 4.98–5.02, on `volume` against 1.5 × 1,000."""
    bars = quiet(REGULAR_OPEN, 120) | {400: bar(4.97, volume)}
    return frame(bars, "COIL")


def opening_range_break(length: int, volume: int, direction: int) -> pd.DataFrame:
    """A range of 4.95–5.05 set in the last minute before `length`, first left in minute 420 on 4,000 + `volume` shares.

    2 % of the first open, so wide enough; before that minute it is 4.98–5.02, under 1 %. A second, ten times busier
    break in minute 450 is not judged.
    """
    bars = quiet(REGULAR_OPEN, 150)
    bars[REGULAR_OPEN + length - 1] |= {"high": 5.05, "low": 4.95}
    bars[420] = bar(round(5.00 + 0.06 * direction, 2), volume)
    bars[450] = bar(round(5.00 + 0.06 * direction, 2), 10 * volume)
    return frame(bars, f"RANGE{length}")


def planted() -> dict[str, Planted]:
    """Detector → (bars, the (minute, direction) of its events)."""
    return {
        "volume_spike": (volume_spike(36_000), [(431, 1)]),  # 40,000 / 5,000 = 8
        "vwap_break": (vwap_break(5.0191), [(395, 1)]),  # 1.3415 / 67 = 0.02002
        "vwap_break_premarket": (vwap_break_premarket(4.9809), [(65, -1)]),  # −0.02002
        "price_momentum": (price_momentum(5.1718), [(431, 1)]),  # ln(5.1718/4.99) = 0.03579
        "consolidation_break": (consolidation_break(1_500), [(400, -1)]),
        "opening_range_break_5": (opening_range_break(5, 6_000, 1), [(420, 1)]),  # 10,000 / 5,000 = 2
        "opening_range_break_15": (opening_range_break(15, 6_000, -1), [(420, -1)]),
        "opening_range_break_30": (opening_range_break(30, 6_000, 1), [(420, 1)]),
    }


def near_misses() -> dict[str, pd.DataFrame]:
    """Detector → bars of the same shape at 0.95 of the threshold."""
    return {
        "volume_spike": volume_spike(34_000),  # 38,000 / 5,000 = 7.6
        "vwap_break": vwap_break(5.0180),  # 1.27 / 67 = 0.01896
        "vwap_break_premarket": vwap_break_premarket(4.9820),  # −0.01896
        "price_momentum": price_momentum(5.1625),  # ln(5.1625/4.99) = 0.03398
        "consolidation_break": consolidation_break(1_425),
        "opening_range_break_5": opening_range_break(5, 5_500, 1),  # 9,500 / 5,000 = 1.9
        "opening_range_break_15": opening_range_break(15, 5_500, -1),
        "opening_range_break_30": opening_range_break(30, 5_500, 1),
    }
