"""A small labelled past with a signal in it: sixty sessions, sixteen events a session.

An event's strength lies between 1 and 2. Above 1.5 it continues with probability 0.85, else 0.15; a third of the others
end as `none`. Every third event gives back, whatever it is like: nothing foretells exhaustion. `vwap_distance`, which no
model may use for daily events, holds the answer: it is the leak to be planted.
"""

import datetime as dt
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from smallcaps.calendar import sessions_between
from smallcaps.lake import Lake, declared
from smallcaps.refine.labels import calendar_frame
from tests.microstructure.tables import as_table

Row = dict[str, Any]
FIRST, LAST = dt.date(2024, 1, 2), dt.date(2024, 4, 5)
_ALL = sessions_between(FIRST, LAST).to_dict("records")
SESSIONS, LATER = _ALL[:60], _ALL[60:]
EVENTS_A_SESSION = 16
DETECTORS = ("atr_breakout", "flush_reversal", "gap", "range_explosion")
CONTINUES, OTHERWISE = 0.85, 0.15


def event_row(event_id: str, session: Row, detector: str, **values: Any) -> Row:
    is_gap = detector == "gap"
    ts = session["open_at"] if is_gap else session["close_at"]
    row = dict.fromkeys(column.name for column in declared("gold.events").columns)
    return row | {
        "event_id": event_id,
        "symbol": "SYM",
        "security_id": "T:SYM:2024-01-02",
        "session_date": session["session_date"],
        "ts": ts,
        "known_at": ts + dt.timedelta(seconds=2),
        "grain": "daily",
        "detector": detector,
        "detector_version": 1,
        "params_hash": "0",
        "direction": 1,
        "strength": 1.5,
        "price": 10.0,
        "volume": None if is_gap else 1_000_000,
        "dollar_volume": 1_000_000.0,
        "pct_change": 0.1,
        "gap_pct": 0.1,
        "atr": 0.5,
        "relative_volume": None if is_gap else 3.0,
        "rvol_n": 20,
        "baseline": "history",
        "possible_missing_split": False,
        **values,
    }


def label_row(event: Row, outcome: str, width: float = 1.0, horizon: str = "5d") -> Row:
    row = dict.fromkeys(column.name for column in declared("gold.event_labels").columns)
    return row | {
        "event_id": event["event_id"],
        "symbol": event["symbol"],
        "session_date": event["session_date"],
        "barrier_width": width,
        "horizon": horizon,
        "outcome": outcome,
        "weight": 0.0 if outcome in ("unresolved", "censored") else 1.0,
        "delisted": False,
    }


def fuller(labels: list[Row]) -> list[Row]:
    """With what a dataset keeps of a label: out two sessions later, of `none` after five."""
    places = {session["session_date"]: place for place, session in enumerate(SESSIONS)}
    rows = []
    for number, label in enumerate(labels):
        after = 5 if label["outcome"] == "none" else 2
        end, horizon = (SESSIONS[min(places[label["session_date"]] + many, len(SESSIONS) - 1)] for many in (after, 5))
        told = {"return": 0.01 * (number % 7 - 3), "gave_back": number % 3 == 0, "halted": False}
        rows.append(
            label | told | {"exit_at": end["close_at"], "sessions_to_exit": after, "known_at": horizon["close_at"]}
        )
    return rows


def world() -> tuple[list[Row], list[Row]]:
    """Events and their labels of the asked width and horizon."""
    random = np.random.default_rng(11)
    events, labels = [], []
    for session in SESSIONS:
        for number in range(EVENTS_A_SESSION):
            strength = float(random.uniform(1, 2))
            continues = random.random() < (CONTINUES if strength > 1.5 else OTHERWISE)
            direction = int(random.choice([-1, 1]))
            detector = DETECTORS[number % len(DETECTORS)]
            symbol = f"S{random.integers(0, 80):02d}"
            given = {
                "symbol": symbol,
                "security_id": f"T:{symbol}:2024-01-02",
                "direction": direction,
                "strength": strength,
                "price": float(random.uniform(1, 20)),
                "dollar_volume": float(random.lognormal(14, 1)),
                "pct_change": direction * float(random.uniform(0.08, 0.3)),
                "gap_pct": float(random.normal(0, 0.05)),
                "atr": float(random.uniform(0.1, 1)),
                "relative_volume": None if detector == "gap" else float(random.lognormal(1, 0.5)),
                "vwap_distance": float(continues),
            }
            # Ids that say nothing about time.
            event = event_row(f"{random.integers(0, 2**62):016x}", session, detector, **given)
            events.append(event)
            labels.append(
                label_row(event, "continuation" if continues else ("none" if random.random() < 1 / 3 else "reversal"))
            )
    return events, fuller(labels)


def write(lake: Lake, spark: SparkSession, events: list[Row], labels: list[Row]) -> None:
    """gold.events, gold.event_labels and silver.calendar of the world."""
    lake.replace("silver.calendar", calendar_frame(spark, FIRST, LAST), None, "test")
    lake.replace("gold.events", as_table(spark, "gold.events", events), None, "test")
    write_labels(lake, spark, labels)


def write_labels(lake: Lake, spark: SparkSession, labels: list[Row]) -> None:
    """Other widths and horizons say the opposite: who trains on them finds the signal upside down."""
    turned = {"continuation": "reversal", "reversal": "continuation", "none": "continuation"}
    opposite = [label | {"outcome": turned.get(label["outcome"], label["outcome"])} for label in labels]
    others = [label | {"barrier_width": 2.0} for label in opposite] + [label | {"horizon": "3d"} for label in opposite]
    lake.replace("gold.event_labels", as_table(spark, "gold.event_labels", labels + others), None, "test")
