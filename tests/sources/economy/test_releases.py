"""When a figure was out: dated where a source tells it, else late rather than early; the same in Python and in Spark."""

import csv
from datetime import UTC, date, datetime
from importlib.resources import files

import pytest
from pyspark.sql import SparkSession

from smallcaps.sources.economy.releases import known_at, released, with_known_at
from smallcaps.sources.economy.series import BY_NAME, SERIES, Grain


@pytest.mark.parametrize(
    ("series", "observation", "known"),
    [
        # Dated: 08:30 New York is 12:30 UTC in summer, 13:30 in winter.
        ("PAYEMS", date(2022, 5, 1), datetime(2022, 6, 3, 12, 30)),
        ("UNRATE", date(2021, 11, 1), datetime(2021, 12, 3, 13, 30)),
        ("JTSJOL", date(2020, 7, 1), datetime(2020, 9, 9, 14, 0)),
        # Moved by a closure of the government, as the office said.
        ("CPIAUCSL", date(2025, 9, 1), datetime(2025, 10, 24, 12, 30)),
        # Undated: 2024-05-31 and 15 days, 2024-02-29 and 22 days (summer time since March 10).
        ("PAYEMS", date(2024, 5, 1), datetime(2024, 6, 15, 12, 30)),
        ("CPILFESL", date(2024, 2, 1), datetime(2024, 3, 22, 12, 30)),
        # Undated near a closure of 43 days: 2025-09-30, 30 days and twice 43.
        ("PPIFIS", date(2025, 9, 1), datetime(2026, 1, 24, 13, 30)),
        # The Federal Reserve does not close: the end of the month; a day and five days; a day and one.
        ("GACDISA066MSFRBNY", date(2025, 10, 1), datetime(2025, 10, 31, 22, 0)),
        ("DGS10", date(2024, 1, 12), datetime(2024, 1, 17, 23, 0)),
        ("DFEDTARU", date(2024, 9, 19), datetime(2024, 9, 20, 22, 0)),
    ],
)
def test_a_figure_is_known_from_then_on(series: str, observation: date, known: datetime, spark: SparkSession) -> None:
    assert known_at(series, observation).astimezone(UTC).replace(tzinfo=None) == known
    rows = spark.createDataFrame([(series, observation, 1.0)], "series string, observation_date date, value double")
    (row,) = with_known_at(rows).selectExpr("*", "cast(known_at AS string) AS told").collect()
    assert (row.series, row.value, row.told) == (series, 1.0, str(known))


def test_a_series_that_is_not_declared_is_known_at_no_time(spark: SparkSession) -> None:
    rows = spark.createDataFrame([("NAPM", date(2015, 1, 1))], "series string, observation_date date")
    assert with_known_at(rows).collect()[0].known_at is None
    with pytest.raises(KeyError):
        known_at("NAPM", date(2015, 1, 1))


def test_every_dated_release_is_of_a_declared_series_has_a_source_and_comes_after_its_period() -> None:
    with (files("smallcaps.sources.economy") / "releases.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert len(rows) == len(released())
    names = {series.release.name for series in SERIES if series.grain is Grain.MONTH}
    for row in rows:
        assert row["release"] in names
        assert row["source"].startswith("https://")
        assert row["period"].endswith("-01")
        assert row["released_at"][:7] > row["period"][:7]


def test_no_undated_figure_is_known_before_a_dated_one_of_its_release_came_out() -> None:
    # The lag must not be shorter than any delay of which there is a record.
    for (release, period), instant in released().items():
        (series, *_) = [one for one in SERIES if one.release.name == release]
        days = (instant.date() - period).days
        allowed = 31 + series.release.lag_days + (86 if series.release.closes and period.year in (2013, 2025) else 0)
        assert days <= allowed, (release, period)


def test_series_are_named_once_and_say_why() -> None:
    assert len(BY_NAME) == len(SERIES)
    assert all(series.what and series.why for series in SERIES)
