"""Uniqueness of labels by hand, against counting moment by moment, and name by name in Spark."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from smallcaps.labels.uniqueness import place, uniqueness, with_uniqueness


def of(*lives: tuple[float, float]) -> list[float]:
    begins, ends = (np.array(side, dtype=float) for side in zip(*lives, strict=True))
    return [float(one) for one in uniqueness(begins, ends)]


def test_a_label_alone_is_unique_and_two_of_one_time_are_half() -> None:
    assert of((1, 5)) == [1.0]
    assert of((1, 5), (1, 5)) == [0.5, 0.5]
    assert of((1, 2), (3, 4)) == [1.0, 1.0]
    # One ends as the other begins: no time is shared.
    assert of((1, 2), (2, 4)) == [1.0, 1.0]


def test_what_is_shared_counts_for_as_long_as_it_is_shared() -> None:
    # (1, 5): one hour alone, two with one other, one with two others: (1 + 2/2 + 1/3) / 4.
    assert of((1, 5), (2, 6), (4, 5)) == pytest.approx([(1 + 2 / 2 + 1 / 3) / 4, (2 / 2 + 1 / 3 + 1) / 4, 1 / 3])


def test_a_label_that_ends_as_it_begins_shares_its_moment() -> None:
    assert of((2, 2), (1, 3)) == [0.5, 1.0]
    assert of((2, 2)) == [1.0]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), min_size=1, max_size=25))
def test_it_is_what_counting_every_moment_gives(lives: list[tuple[int, int]]) -> None:
    spans = [(begin, begin + length) for begin, length in lives]
    expected = []
    for begin, end in spans:
        sharing = [sum(one <= moment < other for one, other in spans) for moment in range(begin, end)]
        expected.append(sum(1 / count for count in sharing) / (end - begin))
    assert of(*spans) == pytest.approx(expected)


def test_names_share_nothing_and_every_other_column_stays(spark: SparkSession) -> None:
    rows = [("a", "X", 1.0, 3.0), ("b", "X", 2.0, 4.0), ("c", "Y", 1.0, 4.0)]
    found = with_uniqueness(
        spark.createDataFrame(rows, "event_id string, security_id string, begins double, ends double")
    )
    assert {row["event_id"]: row["uniqueness"] for row in found.collect()} == {"a": 0.75, "b": 0.75, "c": 1.0}
    assert found.columns == ["event_id", "security_id", "begins", "ends", "uniqueness"]


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        # New York is four hours behind UTC in July, five in January.
        (dt.datetime(2024, 7, 1, 8, tzinfo=dt.UTC), 100.0),
        (dt.datetime(2024, 7, 1, 16, tzinfo=dt.UTC), 100.5),
        (dt.datetime(2024, 1, 2, 17, tzinfo=dt.UTC), 100.5),
        (dt.datetime(2024, 7, 1, 7, tzinfo=dt.UTC), 100.0),
        (dt.datetime(2024, 7, 1, 23, 59, 59, tzinfo=dt.UTC), 100 + 57_599 / 57_600),
    ],
)
def test_the_clock_runs_from_four_to_eight_in_the_evening(
    moment: dt.datetime, expected: float, spark: SparkSession
) -> None:
    frame = spark.createDataFrame([(100, moment)], "session int, moment timestamp")
    assert frame.select(place(F.col("session"), F.col("moment"))).collect()[0][0] == pytest.approx(expected)
