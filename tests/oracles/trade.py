"""Oracle of the trade detector: one array entry for every elapsed second of a segment.

Written from docs/detectors.md alone. Trades that do not update volume, or carry a correction, are left out first: they
neither count nor set a price, and a second that has only such trades is not judged.
"""

import datetime as dt
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from .minute import seconds_since_four, tag_auctions, with_sessions
from .rounding import half_even, sig9

PARAMETERS = {
    "window_seconds": 10,
    "baseline_seconds": 1_800,
    "edge_seconds": 900,
    "least_trades": 10,
    "dispersion": 5.0,
    "tail": 1e-6,
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
    "relative_volume",
    "rvol_n",
]


@dataclass
class Usual:
    """What the sessions before let expect: the median number of trades of how many of them, and each minute's share."""

    bars: int
    median_trades: float | None
    shares: dict[int, float | None]


@cache
def critical(tenths: int, dispersion: float, tail: float) -> int:
    """Least count c with P(N ≥ c) < tail; N negative binomial, mean tenths/10, variance `dispersion` times that."""
    mean = tenths / 10
    p = 1 / dispersion
    n = mean * p / (1 - p)
    counts = np.arange(1_000 + int(20 * mean))
    return int(counts[stats.nbinom.sf(counts - 1, n, p) < tail][0])


def usual_count(usual: Usual | None, second: int) -> float | None:
    """What ten seconds of the minute let expect by the sessions before, None where they do not."""
    if usual is None:
        return None
    share = usual.shares.get(second // 60)
    return usual.median_trades * share / 6 or None if usual.median_trades is not None and share is not None else None


def segment_events(rows: pd.DataFrame, start: int, parameters: dict, usual: Usual | None) -> list[dict]:
    window = parameters["window_seconds"]
    size = rows.second.max() - start + 1
    trades = np.zeros(size, dtype=np.int64)  # index: seconds since the segment's start
    shares = np.zeros(size)
    last_price = np.full(size, np.nan)
    ts = {}
    for second, time, price, count in zip(rows.second, rows.ts.dt.floor("s"), rows.price, rows["size"], strict=True):
        i = second - start
        trades[i] += 1
        shares[i] += count
        last_price[i] = price
        ts[i] = time
    last_price = pd.Series(last_price).ffill().to_numpy()  # carried forward over silent seconds

    events, true_seconds = [], []
    for i in np.flatnonzero(trades):
        elapsed = i - window + 1  # seconds up to and including i - window
        expected = usual_count(usual, start + int(i)) if elapsed >= 0 else None
        of_history = expected is not None
        if expected is not None:
            tenths = math.ceil(sig9(10 * expected))
        elif elapsed >= parameters["baseline_seconds"] and (before := int(trades[:elapsed].sum())):
            expected = window * before / elapsed
            tenths = -(-10 * window * before // elapsed)  # ten times the expectation, rounded up
        else:
            continue  # nothing to expect: unknown
        count = int(trades[i - window + 1 : i + 1].sum())
        threshold = max(parameters["least_trades"], critical(tenths, parameters["dispersion"], parameters["tail"]))
        if count < threshold:
            continue
        recent = [j for j in true_seconds if j >= i - parameters["edge_seconds"]]
        true_seconds.append(i)
        if recent:
            continue
        events.append(
            {
                "ts": ts[i],
                "detector": "tape_speed",
                "direction": 0
                if elapsed < 1 or np.isnan(last_price[i - window])
                else int(np.sign(last_price[i] - last_price[i - window])),
                "strength": sig9(count / threshold),
                "price": last_price[i],
                "volume": half_even(shares[i - window + 1 : i + 1].sum()),
                "relative_volume": sig9(count / expected),
                "rvol_n": usual.bars if of_history else None,
            }
        )
    return events


def trade_events(
    trades: pd.DataFrame, parameters: dict | None = None, usual: dict[tuple[str, dt.date], Usual] | None = None
) -> pd.DataFrame:
    """Every tape-speed event. `usual` by symbol and session date."""
    unknown = set(parameters or {}) - set(PARAMETERS)
    if unknown:
        raise KeyError(f"unknown parameters {sorted(unknown)}")
    merged = PARAMETERS | (parameters or {})
    counted = trades[trades.eligible].sort_values(["ts", "sequence_number"], kind="stable")
    events = []
    for (symbol, date, _, start), rows in counted.groupby(["symbol", "session_date", "segment", "segment_start"]):
        found = segment_events(rows, start, merged, (usual or {}).get((symbol, date)))
        events += [{"symbol": symbol, "session_date": date} | e for e in found]
    return pd.DataFrame(events, columns=COLUMNS).sort_values(["symbol", "ts"], ignore_index=True)


# Real trades


def load_trades(root: Path | str, months: list[str]) -> pd.DataFrame:
    """Flat-file trades of the months ('2013/10') under `root`/trades_v1, labelled by their SIP time.

    Meant for files without condition codes: a trade is eligible when it has neither a condition nor a correction.
    """
    days = []
    for month in months:
        for path in sorted((Path(root) / "trades_v1" / month).glob("*.csv.gz")):
            rows = pd.read_csv(path, dtype={"ticker": str, "conditions": str}, keep_default_na=False)
            rows = rows.rename(columns={"ticker": "symbol"})
            rows["ts"] = pd.to_datetime(rows.sip_timestamp, utc=True)
            rows["eligible"] = (rows.conditions == "") & (rows.correction == 0)
            days.append(with_sessions(rows, dt.date.fromisoformat(path.name[:10])))
    trades = pd.concat(days, ignore_index=True)
    trades["segment_start"] *= 60
    trades["second"] = seconds_since_four(trades.ts)
    columns = ["symbol", "session_date", "session", "segment", "segment_start", "second", "ts", "sequence_number"]
    return trades[[*columns, "price", "size", "eligible"]].astype({"size": float})


def bars_from_trades(trades: pd.DataFrame) -> pd.DataFrame:
    """Minute bars of the eligible trades, as `minute_events` takes them."""
    ordered = trades[trades.eligible].sort_values(["ts", "sequence_number"], kind="stable")
    ordered = ordered.assign(minute=ordered.second // 60, segment_start=ordered.segment_start // 60)
    keys = ["symbol", "session_date", "session", "segment", "segment_start", "minute"]
    bars = ordered.groupby(keys, as_index=False).agg(
        ts=("ts", "first"),
        open=("price", "first"),
        high=("price", "max"),
        low=("price", "min"),
        close=("price", "last"),
        volume=("size", "sum"),
    )
    bars["ts"] = bars.ts.dt.floor("min")
    bars["volume"] = [half_even(volume) for volume in bars.volume]
    bars["is_auction"] = tag_auctions(bars)
    return bars
