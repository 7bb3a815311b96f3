"""Real ticks of the sample (IBM, 2013-10-07), read with pandas and put into silver's columns without Spark."""

import datetime as dt
import functools
from decimal import Decimal

import numpy as np
import pandas as pd

from tests.conftest import SAMPLE
from tests.microstructure.tape import event

DAY = dt.date(2013, 10, 7)
MIDNIGHT_NS = pd.Timestamp(DAY, tz="UTC").value
FOUR_NS = MIDNIGHT_NS + 8 * 3600 * 10**9


def instant(clock: str) -> int:
    """Nanoseconds of a UTC clock time on the day."""
    return MIDNIGHT_NS + pd.Timedelta(f"{clock}:00").value


@functools.cache
def _file(kind: str) -> pd.DataFrame:
    path = SAMPLE / "us_stocks_sip" / f"{kind}_v1" / "2013" / "10" / "2013-10-07.csv.gz"
    rows = pd.read_csv(
        path, dtype={"ticker": str, "conditions": str}, keep_default_na=False, na_values={"conditions": [""]}
    )
    return rows[rows["ticker"] == "IBM"].reset_index(drop=True)


def ibm(first: str, end: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trades and quotes from `first` to before `end` (UTC clock times)."""
    return _trades(_between(_file("trades"), first, end)), _quotes(_between(_file("quotes"), first, end))


def _between(rows: pd.DataFrame, first: str, end: str) -> pd.DataFrame:
    at = rows["participant_timestamp"]
    return rows[(at >= instant(first)) & (at < instant(end))].reset_index(drop=True)


def _identity(rows: pd.DataFrame) -> dict:
    return {
        "security_id": "T:IBM:2013-10-07",
        "symbol": "IBM",
        "session_date": DAY,
        "ts": [moment.to_pydatetime() for moment in pd.to_datetime(rows["sip_timestamp"], utc=True).dt.floor("us")],
        "sip_ns": rows["sip_timestamp"],
        "participant_ns": rows["participant_timestamp"],
        "sequence_number": rows["sequence_number"],
        "session": "regular",
    }


def _trades(rows: pd.DataFrame) -> pd.DataFrame:
    conditions = [
        [int(code) for code in text.split(",")] if isinstance(text, str) else [] for text in rows["conditions"]
    ]
    return pd.DataFrame(
        _identity(rows)
        | {
            "trade_id": rows["id"].astype(str),
            "segment": 1,
            "segment_start": 330,
            "second": (rows["sip_timestamp"] - FOUR_NS) // 10**9,
            "price": rows["price"].astype(float),
            "size": [Decimal(str(size)) for size in rows["size"]],
            "exchange": rows["exchange"],
            "conditions": pd.Series(conditions, rows.index, dtype=object),
            "correction": 0,
            "updates_high_low": True,
            "updates_open_close": True,
            "updates_volume": True,
            "is_off_exchange": rows["exchange"] == 4,
            "is_odd_lot": rows["size"] < 100,
            "is_sweep": [14 in codes for codes in conditions],
            "is_late": False,
        }
    )


def _quotes(rows: pd.DataFrame) -> pd.DataFrame:
    bid, ask = (rows[f"{side}_price"].astype(float).where(rows[f"{side}_price"] > 0) for side in ("bid", "ask"))
    two_sided = bid.notna() & ask.notna()
    return pd.DataFrame(
        _identity(rows)
        | {
            "bid_price": bid.astype(object).replace({np.nan: None}),
            "bid_size": rows["bid_size"].astype(float),
            "ask_price": ask.astype(object).replace({np.nan: None}),
            "ask_size": rows["ask_size"].astype(float),
            "is_two_sided": two_sided,
            "is_crossed": two_sided & (bid > ask),
            "is_locked": two_sided & (bid == ask),
        }
    )


KNOWN = [dt.datetime(2013, 10, 7, 14, 6, 2, tzinfo=dt.UTC), dt.datetime(2013, 10, 7, 14, 8, 47, 250_000, tzinfo=dt.UTC)]
KINDS = ("REAL", "NOISE", "CUT", "SHUFFLED")


def spoilt() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Twenty minutes with work for every rule: some trades without volume, some blocks, unsound quotes, late publication."""
    trades, quotes = ibm("14:00", "14:20")
    trades.loc[::17, "updates_volume"] = False
    trades.loc[5::41, "size"] = Decimal(12_000)
    quotes.loc[3::29, ["bid_price", "is_crossed"]] = [500.0, True]
    quotes.loc[7::31, ["bid_price", "is_two_sided"]] = [None, False]
    quotes.loc[11::37, "ask_price"] = 900.0  # a spread of over half the mid
    # Published late, and after what was made later.
    trades.loc[2::13, "sip_ns"] += 1_500_000_000
    quotes.loc[4::11, "sip_ns"] += 700_000_000
    return trades, quotes


def published(frame: pd.DataFrame) -> pd.Series:
    """From when on a row is known."""
    return frame[["participant_ns", "sip_ns"]].max(axis=1)


def noisy(frame: pd.DataFrame, known_ns: int) -> pd.DataFrame:
    """The same with noise in what is published from known_at on: other prices, sizes and flags, and a third of the rows gone."""
    random = np.random.default_rng(5)
    changed = frame.copy()
    future = changed.index[published(changed) >= known_ns]
    for column in sorted({"price", "bid_price", "ask_price", "bid_size", "ask_size"} & set(changed.columns)):
        changed.loc[future, column] = changed.loc[future, column].astype(float) * random.lognormal(0, 0.01, len(future))
    if "size" in changed.columns:
        changed.loc[future, "size"] = [Decimal(int(size)) for size in random.integers(1, 90_000, len(future))]
        flags = ["is_sweep", "is_off_exchange", "is_odd_lot", "updates_volume"]
        changed.loc[future, flags] = random.random((len(future), len(flags))) < 0.5
    else:
        changed["is_crossed"] = changed["bid_price"].astype(float) > changed["ask_price"].astype(float)
    return changed.drop(random.choice(future, len(future) // 3, replace=False))


def worlds() -> dict[str, tuple[dict, pd.DataFrame, pd.DataFrame]]:
    """Name → its event, trades and quotes."""
    made = {}
    for place, known in enumerate(KNOWN):
        known_ns = pd.Timestamp(known).value
        for kind in KINDS:
            name = f"{kind}{place}"
            frames = spoilt()
            if kind == "NOISE":
                frames = tuple(noisy(frame, known_ns) for frame in frames)
            if kind == "CUT":
                frames = tuple(frame[published(frame) < known_ns] for frame in frames)
            if kind == "SHUFFLED":
                frames = tuple(frame.sample(frac=1, random_state=3) for frame in frames)
            one = event(name, known) | {"session_date": DAY}
            names = {"symbol": name, "security_id": one["security_id"]}
            made[name] = (one, *(frame.assign(**names).reset_index(drop=True) for frame in frames))
    return made
