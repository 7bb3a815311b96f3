"""Economic figures by vintage: a first figure when it comes out, revised ones later, in the fields of FRED's archive.

They are of the declared series (sources/economy/series.py) and move nothing in the market. A day without trading has "." for a
figure, as FRED has it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from smallcaps.calendar.sessions import sessions_between
from smallcaps.sources.economy.series import SERIES, Grain, Series
from smallcaps.sources.simulator.plan import generator_of

Record = dict[str, Any]
MONTHS, DAYS = 30, 90
"""How far back figures go, by grain."""
STILL_IN_FORCE = "9999-12-31"


@dataclass(frozen=True)
class _Shape:
    """Level at the start, growth and noise a period, size of a revision, how many there are, decimals."""

    level: float
    growth: float
    noise: float
    revision: float = 0.0
    revisions: int = 0
    decimals: int = 2


_RATE = _Shape(4.2, 0.0, 0.04)
_SHAPES = {
    "CPIAUCSL": _Shape(320, 0.7, 0.3, decimals=3),
    "CPILFESL": _Shape(328, 0.7, 0.2, decimals=3),
    "PPIFIS": _Shape(147, 0.3, 0.4, 0.2, 1, 3),
    "PPIACO": _Shape(258, 0.4, 1.5, 0.6, 1, 3),
    "PAYEMS": _Shape(158_000, 120, 60, 30, 2, 0),
    "UNRATE": _Shape(4.1, 0.0, 0.1, decimals=1),
    "CES0500000003": _Shape(35, 0.1, 0.03, 0.01, 1, 2),
    "JTSJOL": _Shape(7_600, 0, 150, 60, 1, 0),
    "DFEDTARU": _Shape(4.0, 0.0, 0.0),
    "DFEDTARL": _Shape(3.75, 0.0, 0.0),
    "GACDFSA066MSFRBPHI": _Shape(5, 0.0, 9, decimals=1),
    "GACDISA066MSFRBNY": _Shape(3, 0.0, 10, decimals=1),
}


def vintages(first: date, last: date, seed: int) -> list[Record]:
    """Every figure of a market from `first` to `last` and its revisions, as far as they are out on `last`."""
    return [
        record
        for place, series in enumerate(SERIES)
        for record in _series(series, first, last, generator_of(seed, 40, place))
    ]


def in_force(records: list[Record]) -> dict[tuple[str, str], float]:
    """Of `vintages` the figures that stand on the last day, by series and day."""
    return {
        (record["series_id"], record["date"]): float(record["value"])
        for record in records
        if record["realtime_end"] == STILL_IN_FORCE and record["value"] != "."
    }


def _series(series: Series, first: date, last: date, generator: np.random.Generator) -> Iterator[Record]:
    shape = _SHAPES.get(series.name, _RATE)
    periods = _months(last) if series.grain is Grain.MONTH else _weekdays(first, last)
    open_days = set(sessions_between(periods[0], last)["session_date"])
    out = [_out(series, period, place, periods) for place, period in enumerate(periods)]
    noise = shape.noise * generator.standard_normal(len(periods))
    # A yield's noise stays, a month's is its own.
    path = shape.growth * np.arange(len(periods)) + (np.cumsum(noise) if shape is _RATE else noise)
    for place, period in enumerate(periods):
        figure = shape.level + float(path[place])
        closed = series.grain is Grain.DAY and shape is _RATE and period not in open_days
        # Each is corrected when the next periods come out.
        figures = [*(figure + shape.revision * generator.standard_normal(shape.revisions)), figure]
        days = [day for day in out[place : place + len(figures)] if day <= last]
        for number, day in enumerate(days):
            ends = days[number + 1] - timedelta(days=1) if number + 1 < len(days) else None
            yield {
                "series_id": series.name,
                "date": period.isoformat(),
                "value": "." if closed else f"{figures[number]:.{shape.decimals}f}",
                "realtime_start": day.isoformat(),
                "realtime_end": ends.isoformat() if ends else STILL_IN_FORCE,
            }


def _months(last: date) -> list[date]:
    """First days of the months up to that of `last`."""
    count = 12 * last.year + last.month
    return [date(number // 12, number % 12 + 1, 1) for number in range(count - MONTHS, count)]


def _weekdays(first: date, last: date) -> list[date]:
    days = [first + timedelta(days=number) for number in range(-DAYS, (last - first).days + 1)]
    return [day for day in days if day.weekday() < 5]


def _out(series: Series, period: date, place: int, periods: list[date]) -> date:
    """When the first figure of a period comes out: a weekday, well before the lag that is declared as the latest."""
    if series.grain is Grain.DAY:
        following = periods[place + 1] if place + 1 < len(periods) else period + timedelta(days=1)
        return following if series.release.lag_days > 1 else period
    next_month = (period + timedelta(days=31)).replace(day=1)
    day = next_month + timedelta(days=series.release.lag_days * 2 // 3 or -12)
    return day - timedelta(days=max(day.weekday() - 4, 0))
