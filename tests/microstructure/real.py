"""Real ticks of the sample (IBM, 2013-10-07), read with pandas and put into silver's columns without Spark."""

import datetime as dt
import functools
from decimal import Decimal

import numpy as np
import pandas as pd

from tests.conftest import SAMPLE

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
