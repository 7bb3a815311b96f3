"""Who belongs to the small caps on a day: every test by itself, and nothing known later."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from smallcaps.calendar import sessions_between
from smallcaps.config import Settings
from smallcaps.refine.labels import calendar_frame
from smallcaps.refine.universe import universe

DAYS = list(sessions_between(date(2015, 3, 2), date(2015, 3, 31))["session_date"])  # 22 sessions
BEFORE, DAY = DAYS[-2], DAYS[-1]
MILLION = 1_000_000.0
FILED = DAYS[10]
EVENING = datetime(2015, 3, 31, 0, 0, tzinfo=UTC)  # 2015-03-30 20:00 New York, in summer time


def bars(spark: SparkSession) -> DataFrame:
    """A name a test: close, shares a day, and on which days it has a bar."""
    usual = ("USUAL", "LARGE", "SMALL", "UNFILED", "SPLIT", "FUND", "ABROAD", "REFILED", "FLOAT")
    names: dict[str, tuple[float, int, list[date]]] = dict.fromkeys(usual, (5.0, 100_000, DAYS))
    names |= {
        "CHEAP": (0.99, 1_000_000, DAYS),
        "DEAR": (20.01, 100_000, DAYS),
        "QUIET": (5.0, 49_999, DAYS),
        "YOUNG": (5.0, 100_000, DAYS[-10:]),  # Nine bars before the day.
        "OLDER": (5.0, 100_000, DAYS[-11:]),
        "ABSENT": (5.0, 100_000, [day for day in DAYS if day != BEFORE]),
        "STILL": (5.0, 100_000, DAYS),
    }
    calendar = {row.session_date: row.session_number for row in calendar_frame(spark, DAYS[0], DAYS[-1]).collect()}
    rows = [
        (
            *(f"F:{name}", name, day, calendar[day], close),
            0 if name == "STILL" and day == BEFORE else volume,
            name == "STILL" and day == BEFORE,
            0.1 if name == "SPLIT" and day >= DAYS[15] else 1.0,
        )
        for name, (close, volume, days) in names.items()
        for day in days
    ]
    return spark.createDataFrame(
        rows,
        "security_id string, symbol string, session_date date, session_number int, close double, volume bigint, "
        "zero_volume boolean, cumulative_factor double",
    )


def at(day: date, hour: int = 12) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


SHARES = [
    ("USUAL", at(FILED), FILED, 20 * MILLION),
    ("USUAL", at(DAY), DAY, 1 * MILLION),  # Known on the day itself: too late.
    ("LARGE", at(FILED), FILED, 401 * MILLION),  # 2.005 billion $
    ("SMALL", at(FILED), FILED, 9.9 * MILLION),  # 49.5 million $
    ("SPLIT", at(FILED), FILED, 2 * MILLION),  # Ten new shares for one old since: 20 million.
    ("FUND", at(FILED), FILED, 20 * MILLION),
    ("ABROAD", at(FILED), FILED, 20 * MILLION),
    ("REFILED", at(FILED), FILED, 20 * MILLION),
    ("REFILED", at(DAYS[12]), DAYS[12], 500 * MILLION),
]
FLOATS = [
    ("FLOAT", at(FILED), FILED, 19.9 * MILLION),
    ("USUAL", at(FILED), FILED, 20 * MILLION),
    ("SPLIT", at(FILED), FILED, 1.9 * MILLION),
    ("LARGE", at(DAY), DAY, 1 * MILLION),
]


def listed(spark: SparkSession) -> DataFrame:
    rows = [
        (f"F:{name}", name, "figi", date(2010, 1, 4), kind, exchange)
        for name, kind, exchange in (
            *((name, "CS", "XNAS") for name in ("USUAL", "LARGE", "SMALL", "UNFILED", "SPLIT", "CHEAP", "REFILED")),
            ("FUND", "ETF", "ARCX"),
            ("ABROAD", "CS", "OOTC"),
        )
    ]
    columns = "security_id string, symbol string, identity_source string, valid_from date, ticker_type string"
    return spark.createDataFrame(rows, f"{columns}, primary_exchange string")


def said(spark: SparkSession, rows: list[tuple[Any, ...]], day: str, value: str) -> DataFrame:
    full = [(f"F:{name}", *rest) for name, *rest in rows]
    return spark.createDataFrame(full, f"security_id string, known_at timestamp, {day} date, {value} double")


def found(spark: SparkSession, settings: Settings, last: date = DAY) -> dict[str, Row]:
    factors = [("F:SPLIT", DAYS[15], date(9999, 12, 31), 0.1)]
    rows = universe(
        bars(spark).where(f"session_date <= DATE'{last}'"),
        calendar_frame(spark, BEFORE, DAY),
        listed(spark),
        said(spark, SHARES, "filed_on", "shares"),
        said(spark, FLOATS, "received_on", "free_float"),
        spark.createDataFrame(factors, "security_id string, from_date date, to_date date, cumulative_factor double"),
        settings.floor,
        settings.universe,
    ).collect()
    of_day = [row for row in rows if row.session_date == DAY]
    assert len({row.symbol for row in of_day}) == len(of_day)
    return {row.symbol: row for row in of_day}


@pytest.fixture(scope="module")
def rows(spark: SparkSession, settings: Settings) -> dict[str, Row]:
    return found(spark, settings)


def test_whoever_passes_every_test_is_a_member_and_what_is_not_known_fails_nobody(rows: dict[str, Row]) -> None:
    members = {name for name, row in rows.items() if row.is_member}
    assert members == {"USUAL", "UNFILED", "SPLIT", "OLDER", "FLOAT"}
    assert {name for name, row in rows.items() if not row.passes_floor} == {"CHEAP", "DEAR", "QUIET", "YOUNG", "STILL"}
    assert "ABSENT" not in rows


def test_the_market_cap_is_the_raw_close_by_the_shares_last_filed_in_todays_shares(rows: dict[str, Row]) -> None:
    capital = {name: rows[name].market_cap for name in ("USUAL", "LARGE", "SMALL", "SPLIT", "UNFILED")}
    assert capital == {"USUAL": 100e6, "LARGE": 2_005e6, "SMALL": 49.5e6, "SPLIT": 100e6, "UNFILED": None}
    small = {name: rows[name].is_small_cap for name in ("USUAL", "LARGE", "SMALL", "SPLIT", "UNFILED", "REFILED")}
    assert small == {"USUAL": True, "LARGE": False, "SMALL": False, "SPLIT": True, "UNFILED": None, "REFILED": False}
    assert (rows["USUAL"].shares_filed_on, rows["REFILED"].shares_filed_on) == (FILED, DAYS[12])


def test_the_float_is_unknown_before_it_was_received(rows: dict[str, Row]) -> None:
    assert (rows["FLOAT"].is_low_float, rows["USUAL"].is_low_float, rows["LARGE"].is_low_float) == (True, False, None)
    assert (rows["SPLIT"].free_float, rows["SPLIT"].is_low_float) == (19 * MILLION, True)


def test_kind_and_exchange_count_where_the_vendor_lists_them(rows: dict[str, Row]) -> None:
    known = {name: rows[name].is_listed for name in ("USUAL", "FUND", "ABROAD", "FLOAT")}
    assert known == {"USUAL": True, "FUND": False, "ABROAD": False, "FLOAT": None}


def test_bars_and_dollars_are_those_of_twenty_sessions(rows: dict[str, Row]) -> None:
    assert (rows["USUAL"].bars, rows["YOUNG"].bars, rows["OLDER"].bars) == (20, 9, 10)
    assert rows["QUIET"].median_dollar_volume == 249_995.0
    assert rows["USUAL"].known_at.astimezone(UTC) == EVENING
    assert (rows["STILL"].traded_before, rows["USUAL"].traded_before) == (False, True)


def test_the_days_own_bars_change_nothing(spark: SparkSession, settings: Settings, rows: dict[str, Row]) -> None:
    assert found(spark, settings, BEFORE) == rows
