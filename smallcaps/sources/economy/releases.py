"""When a figure was out: the day and minute in releases.csv where a source tells it, else the latest that is usual.

This is about the first figure of a period. Revisions have a day of their own in bronze.macro_vintages (realtime_start). Series
go by FRED's id or by our name (figures.py).
"""

import calendar
import csv
from datetime import date, datetime, timedelta
from functools import cache
from importlib.resources import files

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.calendar.sessions import NEW_YORK
from smallcaps.sources.economy.figures import FIGURES, Figure
from smallcaps.sources.economy.series import BY_NAME, CLOSURES, NEAR_CLOSURE_DAYS, SERIES, Grain, Release, Series

_NAMED: tuple[Series | Figure, ...] = (*SERIES, *FIGURES)
DATED = "series string, observation_date date, released_at timestamp"
RULES = "series string, monthly boolean, lag_days int, closes boolean, at string"


@cache
def released() -> dict[tuple[str, date], datetime]:
    """releases.csv: by release and first day of the period, the instant in New York time."""
    with (files("smallcaps.sources.economy") / "releases.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return {
        (row["release"], date.fromisoformat(row["period"])): datetime.fromisoformat(row["released_at"]).replace(
            tzinfo=NEW_YORK
        )
        for row in rows
    }


def known_at(series: str, observation_date: date) -> datetime:
    """From when on the first figure of a period was known. Raises KeyError for a series that is not declared."""
    one = BY_NAME[series]
    dated = released().get((one.release.name, observation_date))
    return dated or at_the_latest(one.release, one.grain, observation_date)


def at_the_latest(release: Release, grain: Grain, observation_date: date) -> datetime:
    """The end of the period, the release's lag, and what a closure adds: late rather than early."""
    end = observation_date
    if grain is Grain.MONTH:
        end = end.replace(day=calendar.monthrange(end.year, end.month)[1])
    days = release.lag_days
    if release.closes:
        days += sum(more for first, last, more in _waits() if first <= end <= last)
    return datetime.combine(end + timedelta(days=days), release.at, NEW_YORK)


def _waits() -> list[tuple[date, date, int]]:
    """Ends of periods that a closure delays, from and to, and by how many days."""
    near = timedelta(days=NEAR_CLOSURE_DAYS)
    return [(first - near, last + near, 2 * ((last - first).days + 1)) for first, last in CLOSURES]


def release_frames(spark: SparkSession) -> tuple[DataFrame, DataFrame]:
    """The same as two small frames to broadcast: dated releases by series and observation_date, and the rule of each series."""
    dated = [
        (series.name, period, instant)
        for series in _NAMED
        for (release, period), instant in released().items()
        if release == series.release.name
    ]
    rules = [
        (one.name, one.grain is Grain.MONTH, one.release.lag_days, one.release.closes, f"{one.release.at:%H:%M:%S}")
        for one in _NAMED
    ]
    return spark.createDataFrame(dated, DATED), spark.createDataFrame(rules, RULES)


def with_known_at(rows: DataFrame) -> DataFrame:
    """`rows` (series, observation_date, …) with the column `known_at`; null where the series is not declared. Pure."""
    dated, rules = release_frames(rows.sparkSession)
    joined = rows.join(F.broadcast(dated), ["series", "observation_date"], "left").join(
        F.broadcast(rules), "series", "left"
    )
    known = F.coalesce("released_at", F.expr(_AT_THE_LATEST))
    return joined.select(*(F.col(name) for name in rows.columns), known.alias("known_at"))


_END = "if(monthly, last_day(observation_date), observation_date)"
_MORE = " + ".join(
    f"if(closes AND {_END} BETWEEN DATE'{first}' AND DATE'{last}', {more}, 0)" for first, last, more in _waits()
)
_AT_THE_LATEST = (
    f"to_utc_timestamp(to_timestamp(concat(date_add({_END}, lag_days + {_MORE}), ' ', at)), 'America/New_York')"
)
