"""Small tapes by hand: rows of silver.trades, silver.quotes and gold.events around one instant, and pandas beside them.

Times are seconds relative to KNOWN (14:00 UTC, 10:00 in New York); `ns` makes nanoseconds of them.
"""

import datetime as dt
from decimal import Decimal
from typing import Any

import pandas as pd

from smallcaps.lake import declared

DAY = dt.date(2025, 5, 20)
KNOWN = dt.datetime(2025, 5, 20, 14, 0, 0, tzinfo=dt.UTC)
KNOWN_NS = int(KNOWN.timestamp()) * 1_000_000_000
FOUR_NS = KNOWN_NS - 6 * 3600 * 1_000_000_000
"""04:00 New York of DAY."""

Row = dict[str, Any]


def ns(seconds: float) -> int:
    return KNOWN_NS + round(seconds * 1_000_000_000)


def trade(at: float, price: float, size: float, *, name: str = "TAPE", sequence: int = 0, **other: Any) -> Row:
    return trade_at(ns(at), price, size, name=name, sequence=sequence or round(at * 1_000) + 10_000_000, **other)


def trade_at(time_ns: int, price: float, size: float, *, name: str, sequence: int, **other: Any) -> Row:
    """A regular round lot on exchange 11, published when it was made."""
    sip_ns = other.get("sip_ns", time_ns)
    return {
        "security_id": f"T:{name}:2025-01-02",
        "symbol": name,
        "session_date": DAY,
        "ts": pd.Timestamp(sip_ns // 1_000, unit="us", tz="UTC").to_pydatetime(),
        "sip_ns": sip_ns,
        "participant_ns": time_ns,
        "sequence_number": sequence,
        "trade_id": str(sequence),
        "session": "regular",
        "segment": 1,
        "segment_start": 330,
        "second": (sip_ns - FOUR_NS) // 1_000_000_000,
        "price": price,
        "size": Decimal(str(size)),
        "exchange": 11,
        "conditions": [],
        "correction": 0,
        "updates_high_low": True,
        "updates_open_close": True,
        "updates_volume": True,
        "is_off_exchange": False,
        "is_odd_lot": False,
        "is_sweep": False,
        "is_late": False,
    } | other


def quote(
    at: float,
    bid: float | None,
    bid_size: float,
    ask: float | None,
    ask_size: float,
    *,
    name: str = "TAPE",
    sequence: int = 0,
    **other: Any,
) -> Row:
    number = sequence or round(at * 1_000) + 20_000_000
    return quote_at(ns(at), bid, bid_size, ask, ask_size, name=name, sequence=number) | other


def quote_at(
    time_ns: int, bid: float | None, bid_size: float, ask: float | None, ask_size: float, *, name: str, sequence: int
) -> Row:
    two_sided = bid is not None and ask is not None
    return {
        "security_id": f"T:{name}:2025-01-02",
        "symbol": name,
        "session_date": DAY,
        "ts": pd.Timestamp(time_ns // 1_000, unit="us", tz="UTC").to_pydatetime(),
        "sip_ns": time_ns,
        "participant_ns": time_ns,
        "sequence_number": sequence,
        "session": "regular",
        "bid_price": bid,
        "bid_size": float(bid_size),
        "ask_price": ask,
        "ask_size": float(ask_size),
        "is_two_sided": two_sided,
        "is_crossed": bool(two_sided and bid > ask),
        "is_locked": bool(two_sided and bid == ask),
    }


def event(name: str = "TAPE", known_at: dt.datetime = KNOWN, grain: str = "minute", event_id: str | None = None) -> Row:
    """A row of gold.events; of it only identity, name, day, grain and known_at matter here."""
    return dict.fromkeys(column.name for column in declared("gold.events").columns) | {
        "event_id": event_id or f"event of {name}",
        "symbol": name,
        "security_id": f"T:{name}:2025-01-02",
        "session_date": DAY,
        "ts": known_at - dt.timedelta(seconds=62),
        "known_at": known_at,
        "grain": grain,
        "detector": "volume_spike",
        "detector_version": 1,
        "params_hash": "0",
        "direction": 1,
        "strength": 1.0,
        "price": 10.0,
    }
