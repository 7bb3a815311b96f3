"""Daily bars and daily events by hand, on ten real sessions of which the sixth closes early.

Prices are sixteenths or coarser, so that every sum here is exact.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from smallcaps.calendar import sessions_between
from smallcaps.config import load_settings
from smallcaps.config.settings import LabelSettings
from smallcaps.labels.barriers import Aftermath, event_labels
from smallcaps.lake import declared
from tests.microstructure.tables import as_table

Row = dict[str, Any]
Prices = tuple[float, float, float, float]
"""Open, high, low, close."""

CALENDAR = sessions_between(dt.date(2024, 6, 26), dt.date(2024, 7, 10)).to_dict("records")
"""26, 27, 28 June, 1, 2, 3 (13:00), 5, 8, 9, 10 July 2024."""


def bar(name: str, session: Row, prices: Prices, factor: float = 1.0, volume: int = 1_000_000) -> Row:
    """A row of silver.bars_1d."""
    return {
        "security_id": f"T:{name}:2024-01-02",
        "symbol": name,
        "session_date": session["session_date"],
        "session_number": session["session_number"],
        "open_at": session["open_at"],
        "close_at": session["close_at"],
        **dict(zip(("open", "high", "low", "close"), prices, strict=True)),
        "volume": volume,
        "transactions": None,
        "zero_volume": volume == 0,
        "cumulative_factor": factor,
        "possible_missing_split": False,
    }


def daily_event(name: str, session: Row, direction: int, price: float, atr: float | None, **other: Any) -> Row:
    """A row of gold.events."""
    return dict.fromkeys(column.name for column in declared("gold.events").columns) | {
        "event_id": f"event of {name}",
        "symbol": name,
        "security_id": f"T:{name}:2024-01-02",
        "session_date": session["session_date"],
        "ts": session["close_at"],
        "known_at": session["close_at"] + dt.timedelta(seconds=2),
        "grain": "daily",
        "detector": "atr_breakout",
        "detector_version": 1,
        "params_hash": "0",
        "direction": direction,
        "strength": 1.5,
        "price": price,
        "atr": atr,
        **other,
    }


def labels_of(
    spark: SparkSession,
    events: Iterable[Row],
    days: Iterable[Row],
    rules: LabelSettings,
    minutes: Iterable[Row] = (),
    quotes: Iterable[Row] = (),
    halts: Iterable[Row] = (),
    parts_alone: frozenset[str] = frozenset(),
) -> DataFrame:
    """gold.event_labels of rows; of `parts_alone` windows of the day have been taken in alone."""
    told = list(quotes)
    # Trades of whole days came with the quotes, unless a test says otherwise.
    whole = [
        dict(zip(("symbol", "session_date"), name, strict=True))
        for name in {(row["symbol"], row["session_date"]) for row in told}
    ]
    named = {
        "gold.events": events,
        "silver.bars_1d": days,
        "silver.bars_1m": minutes,
        "silver.trades": [name | {"is_whole_day": name["symbol"] not in parts_alone} for name in whole],
        "silver.quotes": told,
        "silver.halts": halts,
    }
    after = Aftermath(*(as_table(spark, name, rows) for name, rows in named.items()))
    return event_labels(after, rules, load_settings().microstructure)


def by_key(labels: DataFrame) -> dict[tuple[str, float, str], Row]:
    """Labels by symbol, width and horizon."""
    rows = labels.collect()
    found = {(row["symbol"], row["barrier_width"], row["horizon"]): row.asDict() for row in rows}
    assert len(found) == len(rows)
    return found
