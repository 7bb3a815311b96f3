"""When what the vendor says of a day became public: known_at by rule, since it gives no publication time itself.

A lag is a number of XNYS sessions after a day and a clock of New York. Each lag is late rather than early: what is known at
known_at was known to everybody then. When it really reached us plays no part.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from smallcaps.calendar import sessions_between
from smallcaps.calendar.sessions import FIRST_SESSION, NEW_YORK, POST_CLOSE, PRE_OPEN
from smallcaps.lake import Rule

_BEYOND = timedelta(days=60)
"""Holds more sessions than any lag, whatever closed New York."""


@dataclass(frozen=True)
class Lag:
    """Public from `clock` New York of the `sessions`-th session after the day."""

    sessions: int
    clock: time


SHORT_INTEREST = Lag(8, POST_CLOSE)
"""FINRA publishes about 8 business days after settlement (DOMAIN.md, Time), at an hour of its own: the evening is late enough."""
SHORT_VOLUME = Lag(1, time(11))
"""FINRA has a day's files that evening, the vendor's day files appear the next morning (DOMAIN.md, Time)."""
FILING = Lag(1, PRE_OPEN)
"""A filing is public when EDGAR accepts it (DOMAIN.md, Time), up to 22:00 on the day: later than the last trade of it."""
NEWS_DELAY = timedelta(seconds=60)
"""From publication to whoever reads it by machine, the vendor's own way included; it stamps articles to the second."""


def publications(lag: Lag, last: date) -> pd.DataFrame:
    """For every day from 1990-01-02 to `last`: day, and known_at of what is said of it."""
    first = date.fromisoformat(FIRST_SESSION)
    days = [stamp.date() for stamp in pd.date_range(first, last)]
    sessions = sessions_between(first, last + _BEYOND)["session_date"].to_numpy()
    following = sessions[np.searchsorted(sessions, np.array(days, dtype=object), side="right") + lag.sessions - 1]
    known_at = [datetime.combine(session, lag.clock, NEW_YORK).astimezone(UTC) for session in following]
    return pd.DataFrame({"day": pd.Series(days, dtype=object), "known_at": pd.to_datetime(known_at, utc=True)})


def published(frame: DataFrame, day: str, lag: Lag, last: date) -> DataFrame:
    """`frame` with known_at of what happened on the day in column `day`; null before 1990-01-02 and after `last`."""
    known = frame.sparkSession.createDataFrame(publications(lag, last), "_day date, known_at timestamp")
    return frame.join(F.broadcast(known), F.col(day) == F.col("_day"), "left").drop("_day")


def end_of(day: str) -> Column:
    """The instant at which the day in column `day` ends in New York."""
    return F.to_utc_timestamp(F.date_add(day, 1), str(NEW_YORK))


def impossible_day(day: str) -> Rule:
    """The rule on a snapshot's day: known_at must be there, and nothing is said of days to come."""
    return Rule("impossible_day", f"known_at IS NULL OR {day} > as_of", IMPOSSIBLE_DAY)


IMPOSSIBLE_DAY = "the day is before 1990 or after the day as of which the vendor said so"
