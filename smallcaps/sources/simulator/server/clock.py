"""Market time: when it is in New York, and how fast a day is played."""

import time
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache

from smallcaps.calendar.sessions import NEW_YORK, sessions_between

SECOND = 1_000_000_000
MILLISECOND = 1_000_000


@lru_cache(maxsize=8192)
def midnight(day: date) -> int:
    """00:00 New York of a day, in ns."""
    return int(datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).timestamp()) * SECOND


def instant(day: date, hour: int, minute: int = 0) -> int:
    """A time of day in New York, in ns."""
    return int(datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK).timestamp()) * SECOND


def new_york_day(ns: int) -> date:
    """The day on which an instant falls in New York. Raises OverflowError or ValueError outside the calendar."""
    return datetime.fromtimestamp(ns // SECOND, NEW_YORK).date()


def after(day: date, days: int = 1) -> date:
    """So many days later."""
    return day + timedelta(days=days)


@dataclass(frozen=True)
class Hours:
    """A day's session in ns: 04:00, 09:30, the close (16:00, or early), 20:00 New York."""

    pre: int
    open: int
    close: int
    end: int

    def regular(self, ns: int) -> bool:
        """Whether an instant is in regular hours; the closing print at the close itself is."""
        return self.open <= ns < self.close + SECOND


@lru_cache(maxsize=1024)
def hours(day: date) -> Hours:
    """The session of a day; the usual hours where New York did not trade."""
    known = sessions_between(day, day)
    close = instant(day, 16) if known.empty else int(known["close_at"].iloc[0].timestamp()) * SECOND
    return Hours(instant(day, 4), instant(day, 9, 30), close, instant(day, 20))


@dataclass
class Clock:
    """The market's time: stands at `start_ns` until it is started, then runs `speed` times as fast as ours; 0: never runs."""

    start_ns: int
    speed: float = 0.0
    _started: float | None = field(default=None, repr=False)

    def start(self) -> None:
        """Let it run; a second call changes nothing."""
        if self._started is None:
            self._started = time.monotonic()

    def now(self) -> int:
        """The market's instant, in ns."""
        if self._started is None:
            return self.start_ns
        return self.start_ns + int((time.monotonic() - self._started) * self.speed * SECOND)
