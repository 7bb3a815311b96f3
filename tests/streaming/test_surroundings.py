"""What is kept around alerts: of quotes what a window can need, and nothing else."""

from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.lake import declared
from smallcaps.lake.topics import QUOTES
from smallcaps.microstructure.windows import NANOSECONDS
from smallcaps.refine.labels import calendar_frame
from smallcaps.streaming.detection import Day
from smallcaps.streaming.messages import read, sound_rows
from smallcaps.streaming.surroundings import FORGET_SECONDS, SPARE_SECONDS, Surroundings
from tests.sources.vendor_files import new_york_ns
from tests.streaming.test_halted import DAY, heard, quote


@pytest.fixture
def around(spark: SparkSession, settings: Settings) -> Surroundings:
    nobody = spark.createDataFrame([], declared("silver.securities").schema)
    return Surroundings(
        spark, settings.microstructure, Day(DAY, calendar_frame(spark, DAY, DAY), nobody, frozenset(), {})
    )


def sides(symbol: str, clock: str, number: int, bid: str, ask: str) -> dict[str, Any]:
    return quote(symbol, clock, number) | {"bid_price": Decimal(bid), "ask_price": Decimal(ask)}


def kept(around: Surroundings) -> set[tuple[str, int]]:
    return {(row.symbol, row.sequence_number) for row in around.quotes(["A", "B", "C"]).collect()}


def test_before_a_window_the_last_quote_stays_and_the_last_that_can_be_met(
    spark: SparkSession, settings: Settings, around: Surroundings
) -> None:
    window = settings.microstructure.seconds_before + SPARE_SECONDS
    around.forget(new_york_ns(DAY.isoformat(), "09:30"))
    assert around.counts()["quotes"] == 0
    rows = [
        sides("A", "10:00", 1, "9.99", "10.01"),
        sides("A", "10:01", 2, "9.98", "10.01"),  # the last sound one
        sides("A", "10:02", 3, "10.02", "10.01"),  # crossed
        sides("A", "10:03", 4, "10.03", "10.01"),  # and the last
        sides("B", "10:00", 5, "4.99", "5.01"),
        sides("B", "10:04", 6, "4.98", "5.01"),
        sides("C", "10:00", 7, "2.00", "2.01"),  # all there is
        sides("A", "11:00", 8, "9.99", "10.01"),
    ]
    around.take(QUOTES, sound_rows(read(heard(spark, QUOTES, *rows), QUOTES)))
    assert around.counts()["quotes"] == len(rows)
    reached = new_york_ns(DAY.isoformat(), "11:00")
    around.forget(reached)
    assert kept(around) == {("A", 2), ("A", 4), ("B", 6), ("C", 7), ("A", 8)}
    # A window that ends earlier, and one that is not whole any more.
    assert around.has_all_of(reached - SPARE_SECONDS * NANOSECONDS)
    assert not around.has_all_of(reached - (SPARE_SECONDS + 1) * NANOSECONDS)
    # Nothing is looked for again until some time has gone by.
    around.forget(reached + (FORGET_SECONDS - 1) * NANOSECONDS)
    assert around.has_all_of(reached - SPARE_SECONDS * NANOSECONDS)
    around.forget(reached + (window + 1) * NANOSECONDS)
    assert kept(around) == {("A", 8), ("B", 6), ("C", 7)}
