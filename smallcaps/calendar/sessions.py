"""XNYS sessions as a small frame, numbered so that `n sessions ago` is arithmetic."""

import functools
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import exchange_calendars
import pandas as pd

NEW_YORK = ZoneInfo("America/New_York")


def new_york_day(instant_ns: str) -> str:
    """SQL for New York's day of an instant, which is SQL for nanoseconds."""
    return f"to_date(from_utc_timestamp(timestamp_micros({instant_ns} div 1000), '{NEW_YORK.key}'))"


FIRST_SESSION = "1990-01-02"
"""Where numbering begins: a fixed day, so that numbers never change. The vendor's history starts in 2003."""

PRE_OPEN = time(4)
POST_CLOSE = time(20)


@functools.cache
def _calendar(last: str) -> exchange_calendars.ExchangeCalendar:
    return exchange_calendars.get_calendar("XNYS", start=FIRST_SESSION, end=last)


def _calendar_through(day: date) -> exchange_calendars.ExchangeCalendar:
    """The calendar up to the end of `day`'s year, made once a year asked for."""
    return _calendar(f"{max(day.year, 1990)}-12-31")


def is_session(day: date) -> bool:
    """Whether New York traded on `day`."""
    return pd.Timestamp(day) in _calendar_through(day).sessions


def session_number(day: date) -> int:
    """The ordinal of the session `day`, 0 on 1990-01-02. Raises ValueError where `day` is no session."""
    calendar = _calendar_through(day)
    if pd.Timestamp(day) not in calendar.sessions:
        raise ValueError(f"{day} is not an XNYS session")
    return int(calendar.sessions.get_loc(pd.Timestamp(day)))


def sessions_between(first: date, last: date) -> pd.DataFrame:
    """Sessions from `first` to `last`, both included.

    Columns: session_date (date), session_number (int, 0 on 1990-01-02), pre_open_at, open_at, close_at, post_close_at
    (UTC instants: 04:00, 09:30, 16:00 or the early close, 20:00 New York), early_close (bool).
    """
    calendar = _calendar_through(last)
    schedule = calendar.schedule.loc[pd.Timestamp(first) : pd.Timestamp(last)]
    days = [stamp.date() for stamp in schedule.index]
    first_number = int(calendar.sessions.searchsorted(pd.Timestamp(first)))

    def hours(clock: time) -> list[datetime]:
        return [datetime.combine(day, clock, NEW_YORK).astimezone(ZoneInfo("UTC")) for day in days]

    open_at = pd.to_datetime(schedule["open"].to_numpy(), utc=True)
    close_at = pd.to_datetime(schedule["close"].to_numpy(), utc=True)
    return pd.DataFrame(
        {
            "session_date": pd.Series(days, dtype=object),
            "session_number": range(first_number, first_number + len(days)),
            "pre_open_at": pd.to_datetime(hours(PRE_OPEN), utc=True),
            "open_at": open_at,
            "close_at": close_at,
            "post_close_at": pd.to_datetime(hours(POST_CLOSE), utc=True),
            "early_close": (close_at - open_at) < timedelta(hours=6, minutes=30),
        }
    )


def session_of(instant: datetime) -> pd.DataFrame:
    """As `sessions_between`, the session of the day that it is in New York; no row on a day without one."""
    day = instant.astimezone(NEW_YORK).date()
    return sessions_between(day, day)


def open_since(instant: datetime) -> datetime | None:
    """Since when the market has been open at an instant, UTC: its regular hours; None where it is not."""
    hours = session_of(instant)
    here = hours[(hours["open_at"] <= instant) & (instant < hours["close_at"])]
    return None if here.empty else here["open_at"].iloc[0].to_pydatetime()
