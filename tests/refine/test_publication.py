"""When what is said of a day became public: sessions counted by hand, clocks of New York in both seasons."""

from datetime import UTC, date, datetime

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from smallcaps.refine.publication import FILING, SHORT_INTEREST, SHORT_VOLUME, Lag, end_of, publications, published


@pytest.fixture(scope="module")
def known() -> dict[Lag, pd.Series]:
    last = date(2015, 12, 31)
    return {lag: publications(lag, last).set_index("day")["known_at"] for lag in (SHORT_INTEREST, SHORT_VOLUME, FILING)}


@pytest.mark.parametrize(
    ("lag", "day", "expected"),
    [
        # A Friday: the eighth session after it is Wednesday 03-25, 20:00 in summer is 00:00 UTC of the next day.
        (SHORT_INTEREST, date(2015, 3, 13), datetime(2015, 3, 26, 0, tzinfo=UTC)),
        # Sessions after 11-13: 16, 17, 18, 19, 20, 23, 24, 25; 20:00 in winter is 01:00 UTC.
        (SHORT_INTEREST, date(2015, 11, 13), datetime(2015, 11, 26, 1, tzinfo=UTC)),
        # The last day of the calendar asked for: 01-01 is a holiday, so 4, 5, 6, 7, 8, 11, 12, 13 of January.
        (SHORT_INTEREST, date(2015, 12, 31), datetime(2016, 1, 14, 1, tzinfo=UTC)),
        # The Wednesday before Thanksgiving: the next session is the half day on Friday.
        (SHORT_VOLUME, date(2015, 11, 25), datetime(2015, 11, 27, 16, tzinfo=UTC)),
        (FILING, date(2015, 11, 25), datetime(2015, 11, 27, 9, tzinfo=UTC)),
        # Saturday, and Friday before it: both Monday, the day after the clocks went forward.
        (FILING, date(2015, 3, 7), datetime(2015, 3, 9, 8, tzinfo=UTC)),
        (FILING, date(2015, 3, 6), datetime(2015, 3, 9, 8, tzinfo=UTC)),
        (FILING, date(1990, 1, 2), datetime(1990, 1, 3, 9, tzinfo=UTC)),
    ],
)
def test_a_lag_counts_sessions_after_the_day(
    known: dict[Lag, pd.Series], lag: Lag, day: date, expected: datetime
) -> None:
    assert known[lag][day].to_pydatetime() == expected


def test_a_longer_calendar_changes_no_instant(known: dict[Lag, pd.Series]) -> None:
    longer = publications(FILING, date(2016, 6, 30)).set_index("day")["known_at"]
    assert longer.loc[: date(2015, 12, 31)].equals(known[FILING])


def test_days_out_of_the_calendar_have_no_instant_and_days_end_at_midnight_in_new_york(spark: SparkSession) -> None:
    days = [date(1989, 12, 29), date(2015, 3, 6), date(2015, 11, 25), date(2016, 1, 1)]
    frame = spark.createDataFrame([(day,) for day in days], "filed date")
    rows = published(frame, "filed", FILING, date(2015, 12, 31)).withColumn("end", end_of("filed"))
    seconds = rows.selectExpr("filed", "unix_seconds(known_at)", "unix_seconds(end)").orderBy("filed").collect()
    instants = [[value and datetime.fromtimestamp(value, UTC) for value in row[1:]] for row in seconds]
    assert [row[0] for row in instants] == [
        None,
        datetime(2015, 3, 9, 8, tzinfo=UTC),
        datetime(2015, 11, 27, 9, tzinfo=UTC),
        None,
    ]
    assert [row[1] for row in instants] == [
        datetime(1989, 12, 30, 5, tzinfo=UTC),
        datetime(2015, 3, 7, 5, tzinfo=UTC),
        datetime(2015, 11, 26, 5, tzinfo=UTC),
        datetime(2016, 1, 2, 5, tzinfo=UTC),
    ]
