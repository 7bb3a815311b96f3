"""A labelled past in which only the order of what happened tells what comes: buyers then sellers, or sellers then buyers.

Sixty sessions, a dozen minute events each. Before every event one stretch of buying and one of selling, of the same sizes, at
random moments. Where the sellers came first it continues with probability 0.85, else 0.15. Sums over the window say nothing.
"""

import datetime as dt

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession

from smallcaps.lake import Lake, declared
from smallcaps.refine.labels import calendar_frame
from tests.microstructure.tables import as_table
from tests.models.world import FIRST, LAST, SESSIONS, Row, event_row, label_row

EVENTS_A_SESSION = 12
SECONDS = 60
STRETCH = 10
CONTINUES, OTHERWISE = 0.85, 0.15
DETECTORS = ("price_momentum", "volume_spike")


def ordered_world() -> tuple[list[Row], list[Row], pd.DataFrame]:
    """Events, their 30-minute labels, and their rows of gold.event_sequences."""
    random = np.random.default_rng(5)
    events, labels, tapes = [], [], []
    for session in SESSIONS:
        for number in range(EVENTS_A_SESSION):
            sellers_first = bool(random.random() < 0.5)
            continues = bool(random.random() < (CONTINUES if sellers_first else OTHERWISE))
            ts = session["open_at"] + dt.timedelta(minutes=40 + 20 * number)
            given = {
                "symbol": f"S{number:02d}",
                "security_id": f"T:S{number:02d}:2024-01-02",
                "grain": "minute",
                "ts": ts,
                "known_at": ts + dt.timedelta(seconds=62),
                "strength": float(random.uniform(1, 2)),
                "dollar_volume": float(random.lognormal(12, 1)),
            }
            detector = DETECTORS[number % len(DETECTORS)]
            event = event_row(f"{random.integers(0, 2**62):016x}", session, detector, **given)
            outcome = "continuation" if continues else ("none" if random.random() < 1 / 3 else "reversal")
            end = event["known_at"] + dt.timedelta(minutes=30)
            told = {
                "return": 0.01 if continues else -0.01,
                "gave_back": bool(random.random() < 0.3),
                "halted": False,
                "exit_at": end,
                "sessions_to_exit": 0,
                "known_at": end,
            }
            events.append(event)
            labels.append(label_row(event, outcome, horizon="30m") | told)
            tapes.append(tape(random, event, sellers_first))
    return events, labels, pd.concat(tapes, ignore_index=True)


def tape(random: np.random.Generator, event: Row, sellers_first: bool) -> pd.DataFrame:
    """Second by second before an event: two stretches of trades of one side each, and little between."""
    first = int(random.integers(0, SECONDS // 2 - STRETCH))
    second = int(random.integers(SECONDS // 2, SECONDS - STRETCH))
    side = np.zeros(SECONDS)
    side[first : first + STRETCH] = -1 if sellers_first else 1
    side[second : second + STRETCH] = 1 if sellers_first else -1
    volume = 100.0 * np.abs(side) + 10.0
    bought = np.where(side > 0, volume, 5.0)
    rows = pd.DataFrame({"second": np.arange(-SECONDS, 0)})
    return rows.assign(
        event_id=event["event_id"],
        symbol=event["symbol"],
        session_date=event["session_date"],
        trades=np.where(side != 0, 5, 1),
        volume=volume,
        dollar_volume=10.0 * volume,
        bought=bought,
        sold=np.where(side < 0, volume, 5.0),
        high=10.0,
        low=10.0,
        last_price=10.0,
        quotes=1,
        bid_price=9.99,
        bid_size=200.0,
        ask_price=10.01,
        ask_size=200.0,
    )


def write_ordered(lake: Lake, spark: SparkSession) -> None:
    """The tables of the world."""
    events, labels, tapes = ordered_world()
    lake.replace("silver.calendar", calendar_frame(spark, FIRST, LAST), None, "test")
    lake.replace("gold.events", as_table(spark, "gold.events", events), None, "test")
    lake.replace("gold.event_labels", as_table(spark, "gold.event_labels", labels), None, "test")
    columns = [column.name for column in declared("gold.event_sequences").columns]
    rows = as_table(spark, "gold.event_sequences", tapes[columns].to_dict("records"))
    lake.replace("gold.event_sequences", rows, None, "test")
