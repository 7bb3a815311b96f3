"""Sessions against facts of the exchange's history."""

from datetime import UTC, date, datetime

import pandas as pd
import pytest

from smallcaps.calendar import is_session, session_number, sessions_between
from smallcaps.calendar.sessions import open_since


def one(day: date) -> dict[str, object]:
    return sessions_between(day, day).iloc[0].to_dict()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_winter_day_opens_at_14_30_utc() -> None:
    # New York is UTC−5: 04:00 → 09:00, 09:30 → 14:30, 16:00 → 21:00, 20:00 → 01:00 of the next day.
    session = one(date(2016, 1, 15))
    assert session["pre_open_at"] == utc("2016-01-15T09:00")
    assert session["open_at"] == utc("2016-01-15T14:30")
    assert session["close_at"] == utc("2016-01-15T21:00")
    assert session["post_close_at"] == utc("2016-01-16T01:00")
    assert not session["early_close"]


def test_a_summer_day_opens_at_13_30_utc() -> None:
    # New York is UTC−4: 04:00 → 08:00, 09:30 → 13:30, 16:00 → 20:00, 20:00 → 00:00 of the next day.
    session = one(date(2015, 7, 15))
    assert session["pre_open_at"] == utc("2015-07-15T08:00")
    assert session["open_at"] == utc("2015-07-15T13:30")
    assert session["close_at"] == utc("2015-07-15T20:00")
    assert session["post_close_at"] == utc("2015-07-16T00:00")


def test_the_market_is_open_from_its_open_until_before_its_close() -> None:
    opened, closed = utc("2015-07-15T13:30"), utc("2015-07-15T20:00")
    assert open_since(opened) == open_since(utc("2015-07-15T19:59:59")) == opened
    for instant in (utc("2015-07-15T13:29:59"), closed, utc("2015-07-18T15:00"), utc("2015-12-25T16:00")):
        assert open_since(instant) is None


@pytest.mark.parametrize(
    ("before", "after", "shift"),
    # Clocks went forward on Sunday 2015-03-08 and back on Sunday 2015-11-01.
    [(date(2015, 3, 6), date(2015, 3, 9), -1), (date(2015, 10, 30), date(2015, 11, 2), 1)],
)
def test_the_hours_move_with_daylight_saving(before: date, after: date, shift: int) -> None:
    for column in ("pre_open_at", "open_at", "close_at"):
        friday, monday = one(before)[column], one(after)[column]
        assert monday - friday == pd.Timedelta(days=3, hours=shift)


def test_the_day_after_thanksgiving_closes_at_one_and_thanksgiving_does_not_open() -> None:
    week = sessions_between(date(2015, 11, 25), date(2015, 11, 30))
    assert list(week["session_date"]) == [date(2015, 11, 25), date(2015, 11, 27), date(2015, 11, 30)]
    assert list(week["early_close"]) == [False, True, False]
    friday = week.iloc[1]
    # 13:00 at UTC−5; the pre- and post-market keep their hours.
    assert friday["close_at"] == utc("2015-11-27T18:00")
    assert friday["open_at"] == utc("2015-11-27T14:30")
    assert friday["post_close_at"] == utc("2015-11-28T01:00")


@pytest.mark.parametrize(
    "day",
    [
        date(2015, 12, 25),  # Christmas
        date(2015, 7, 3),  # Independence Day observed
        date(2016, 1, 18),  # Martin Luther King day
        date(2016, 3, 25),  # Good Friday
        date(2015, 11, 28),  # Saturday
        date(2012, 10, 29),  # hurricane Sandy
        date(2018, 12, 5),  # mourning for G. H. W. Bush
        date(1990, 1, 1),  # the day before numbering begins
    ],
)
def test_a_day_without_trading_is_no_session(day: date) -> None:
    assert not is_session(day)
    assert sessions_between(day, day).empty
    with pytest.raises(ValueError, match=r"not an XNYS session"):
        session_number(day)


def test_a_year_has_the_number_of_sessions_that_it_had() -> None:
    # 2015: 261 weekdays less New Year, MLK, Washington, Good Friday, Memorial, Independence (3 July), Labor,
    # Thanksgiving and Christmas = 252; its early closes were 27 November and 24 December.
    year = sessions_between(date(2015, 1, 1), date(2015, 12, 31))
    assert len(year) == 252
    assert list(year.loc[year["early_close"], "session_date"]) == [date(2015, 11, 27), date(2015, 12, 24)]


def test_numbers_begin_at_0_on_the_first_session_of_1990() -> None:
    assert session_number(date(1990, 1, 2)) == 0
    assert session_number(date(1990, 1, 3)) == 1


def test_numbers_are_consecutive_over_weekends_holidays_and_years() -> None:
    frame = sessions_between(date(2014, 12, 20), date(2016, 1, 10))
    first = session_number(frame["session_date"].iloc[0])
    assert list(frame["session_number"]) == list(range(first, first + len(frame)))
    assert session_number(date(2015, 11, 27)) - session_number(date(2015, 11, 25)) == 1
    assert session_number(date(2016, 1, 4)) - session_number(date(2015, 12, 31)) == 1


def test_a_days_number_does_not_depend_on_the_range_asked_for() -> None:
    day = date(2015, 6, 15)
    ranges = [(day, day), (date(2015, 6, 13), day), (date(2003, 9, 10), date(2015, 6, 30)), (day, date(2024, 12, 31))]
    numbers = set()
    for first, last in ranges:
        frame = sessions_between(first, last)
        numbers |= set(frame.loc[frame["session_date"] == day, "session_number"])
    assert numbers == {session_number(day)}


def test_a_range_without_sessions_has_the_same_columns_and_no_rows() -> None:
    weekend = sessions_between(date(2015, 11, 28), date(2015, 11, 29))
    assert weekend.empty
    assert list(weekend.columns) == list(sessions_between(date(2015, 11, 27), date(2015, 11, 27)).columns)


def test_days_of_the_near_future_are_known() -> None:
    assert is_session(date(2027, 1, 4))
    assert not is_session(date(2027, 1, 1))
