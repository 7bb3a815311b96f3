"""Session labels at the edges of the day's parts, in winter, in summer and on a short day."""

from datetime import date

import pytest
from pyspark.sql import Row, SparkSession

from smallcaps.refine.labels import calendar_frame, label
from tests.sources.vendor_files import new_york_ns

WINTER, SUMMER, SHORT, HOLIDAY = "2016-01-15", "2015-07-15", "2015-11-27", "2015-11-26"

# clock, session, segment, segment_start, minute, second: minutes and seconds since 04:00, so that 09:30 is minute
# 5.5 · 60 = 330, 13:00 is 540, 16:00 is 720 and 20:00 would be 960.
FULL_DAY = [
    ("04:00", "pre", 0, 0, 0, 0),
    ("04:00:59.999999999", "pre", 0, 0, 0, 59),
    ("04:01", "pre", 0, 0, 1, 60),
    ("09:29:59", "pre", 0, 0, 329, 19799),
    ("09:29:59.999999999", "pre", 0, 0, 329, 19799),
    ("09:30", "regular", 1, 330, 330, 19800),
    ("12:59:59.999999999", "regular", 1, 330, 539, 32399),
    ("15:59:59", "regular", 1, 330, 719, 43199),
    ("15:59:59.999999999", "regular", 1, 330, 719, 43199),
    ("16:00", "post", 2, 720, 720, 43200),
    ("19:59:59", "post", 2, 720, 959, 57599),
    ("19:59:59.999999999", "post", 2, 720, 959, 57599),
]
SHORT_DAY = [
    ("09:30", "regular", 1, 330, 330, 19800),
    ("12:59:59.999999999", "regular", 1, 330, 539, 32399),
    ("13:00", "post", 2, 540, 540, 32400),
    ("16:00", "post", 2, 540, 720, 43200),
    ("19:59:59.999999999", "post", 2, 540, 959, 57599),
]
OPEN = [(day, *row) for day, rows in ((WINTER, FULL_DAY), (SUMMER, FULL_DAY), (SHORT, SHORT_DAY)) for row in rows]
CLOSED = [
    *(
        (day, clock)
        for day in (WINTER, SUMMER, SHORT)
        for clock in ("00:00", "03:59:59", "03:59:59.999999999", "20:00")
    ),
    *((day, clock) for day in (WINTER, SUMMER) for clock in ("20:00:00.000000001", "23:59:59")),
    *((HOLIDAY, clock) for clock in ("04:00", "09:30", "15:59:59", "16:00")),
]
# A second past or ahead of which the clock says nothing: 2128, 1970, and the ends of what nanoseconds can say.
STRANGE = {"2128": 5_000_000_000_000_000_000, "1970": 0, "last": 2**63 - 1, "first": -(2**63)}


@pytest.fixture(scope="module")
def labelled(spark: SparkSession) -> dict[tuple[str, str], Row]:
    """Every instant above, labelled in one frame, by day and clock."""
    instants = [(day, clock, new_york_ns(day, clock)) for day, clock, *_ in [*OPEN, *CLOSED]]
    rows = [(date.fromisoformat(day), clock, ns) for day, clock, ns in instants]
    frame = spark.createDataFrame(rows, "session_date date, clock string, sip_ns bigint")
    calendar = calendar_frame(spark, date(2015, 7, 1), date(2016, 1, 31))
    return {(row.session_date.isoformat(), row.clock): row for row in label(frame, calendar, "sip_ns").collect()}


@pytest.mark.parametrize(("day", "clock", "session", "segment", "segment_start", "minute", "second"), OPEN)
def test_an_instant_belongs_to_its_part_of_the_day(
    day: str,
    clock: str,
    session: str,
    segment: int,
    segment_start: int,
    minute: int,
    second: int,
    labelled: dict[tuple[str, str], Row],
) -> None:
    row = labelled[day, clock]
    assert (row.session, row.segment, row.segment_start, row.minute, row.second) == (
        *(session, segment, segment_start, minute, second),
    )


@pytest.mark.parametrize(("day", "clock"), CLOSED)
def test_an_instant_outside_the_hours_or_on_a_holiday_is_closed(
    day: str, clock: str, labelled: dict[tuple[str, str], Row]
) -> None:
    assert (labelled[day, clock].session, labelled[day, clock].segment) == ("closed", -1)


def test_time_before_04_00_counts_backwards(labelled: dict[tuple[str, str], Row]) -> None:
    # Half a second before 04:00 lies in second −1 and minute −1, as 03:59:59 does: not in second 0.
    for clock in ("03:59:59", "03:59:59.999999999"):
        assert (labelled[WINTER, clock].second, labelled[WINTER, clock].minute) == (-1, -1)


def test_a_day_that_is_no_session_has_no_number(labelled: dict[tuple[str, str], Row]) -> None:
    assert labelled[HOLIDAY, "09:30"].session_number is None
    # 2015-11-27 is the next session after 2015-11-25, 2016-01-15 the 33rd after it: 30 November to 31 December has 23
    # (24 weekdays less Christmas), 4 to 15 January has 10.
    assert labelled[WINTER, "09:30"].session_number - labelled[SHORT, "09:30"].session_number == 33


@pytest.mark.parametrize("name", STRANGE)
def test_an_instant_far_from_its_day_is_closed_and_stops_nothing(name: str, spark: SparkSession) -> None:
    frame = spark.createDataFrame([(date(2015, 7, 15), STRANGE[name])], "session_date date, sip_ns bigint")
    (row,) = label(frame, calendar_frame(spark, date(2015, 7, 15), date(2015, 7, 15)), "sip_ns").collect()
    assert row.session == "closed"


def test_a_range_without_sessions_has_an_empty_calendar(spark: SparkSession) -> None:
    assert calendar_frame(spark, date(2015, 11, 28), date(2015, 11, 29)).isEmpty()
