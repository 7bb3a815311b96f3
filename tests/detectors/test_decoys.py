"""Decoys: what narrowly misses a detector's thresholds, and moments of which only a lot decides."""

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.detectors.decoys import any_moments, clear_of, loosened, near_misses
from smallcaps.detectors.detect import chosen_detectors, events
from smallcaps.detectors.registry import GRAINS
from tests.detectors.frames import daily_frame, minute_frame, trade_frame, walk
from tests.detectors.test_daily import QUIET_DAYS, quiet_then
from tests.oracles import planted


def missed(frame: DataFrame, settings: Settings, grain: str) -> list[tuple[str, str]]:
    """Near misses as (symbol, detector)."""
    found = clear_of(near_misses(frame, settings, grain), events(frame, settings, grain))
    return sorted((row.symbol, row.detector) for row in found.collect())


def test_a_daily_threshold_missed_by_less_than_30_percent_is_a_near_miss(
    spark: SparkSession, settings: Settings
) -> None:
    names = [
        # Gaps of 10, 9.9, 7 and 6.9 %.
        quiet_then("AT", (11.0, 11.1, 10.9, 11.0, 100_000)),
        quiet_then("BELOW", (10.99, 11.1, 10.9, 11.0, 100_000)),
        quiet_then("LEAST", (10.7, 10.8, 10.6, 10.7, 100_000)),
        quiet_then("FAR", (10.69, 10.8, 10.6, 10.7, 100_000)),
        # A range of 1.6 times the threshold on 1.4 times the median volume, 70 % of 2; and one share less.
        quiet_then("RANGE", (10.0, 10.5, 9.7, 10.3, 140_000)),
        quiet_then("RANGENO", (10.0, 10.5, 9.7, 10.3, 139_999)),
    ]
    frame = daily_frame(spark, pd.concat(names, ignore_index=True))
    assert missed(frame, settings, "daily") == [("BELOW", "gap"), ("LEAST", "gap"), ("RANGE", "range_explosion")]


def test_each_minute_detector_has_its_planted_near_miss_and_its_event_is_none(
    spark: SparkSession, settings: Settings
) -> None:
    low = [bars.assign(symbol=f"LOW:{name}") for name, bars in planted.near_misses().items()]
    high = [bars.assign(symbol=f"HIGH:{name}") for name, (bars, _) in planted.planted().items()]
    found = missed(minute_frame(spark, pd.concat(low + high, ignore_index=True)), settings, "minute")
    own = [pair for pair in found if pair[0].split(":")[1] == pair[1]]
    assert own == sorted((f"LOW:{name}", name) for name in planted.near_misses())


def test_loosened_parameters_stay_in_their_ranges(settings: Settings) -> None:
    tight = settings.model_copy(update={"detectors": {"gap": {"threshold": 0.01}}})
    of = loosened(tight).detectors
    assert of["gap"] == {"threshold": 0.01}
    assert of["range_explosion"] == pytest.approx(
        {"multiple": 1.75, "minimum_move": 0.056, "minimum_relative_volume": 1.4}
    )
    assert of["tape_speed"] == pytest.approx({"minimum_trades": 7, "tail_probability": 1e-4, "dispersion": 5})
    for grain in GRAINS:
        assert chosen_detectors(loosened(settings), grain)


def test_any_moment_meets_the_guard_and_a_lot_decides_which(spark: SparkSession, settings: Settings) -> None:
    bars = quiet_then("QUIET", (10.0, 10.1, 9.9, 10.0, 100_000))
    cheap = quiet_then("CHEAP", (0.5, 0.5, 0.5, 0.5, 9_000_000), price=0.5)
    frame = daily_frame(spark, pd.concat([bars, cheap], ignore_index=True))
    found = any_moments(frame, settings, "daily", "seed", 1).toPandas()
    # Ten bars are to be there before: the 11th day is the first of 31, once a detector.
    assert set(found["symbol"]) == {"QUIET"}
    assert found.groupby("detector").size().to_dict() == dict.fromkeys(
        ("atr_breakout", "flush_reversal", "gap", "range_explosion"), QUIET_DAYS + 1 - 10
    )
    assert found["session_date"].min() == walk(11)[-1]
    gaps = found[found["detector"] == "gap"]
    # Of a gap only the open is known.
    assert set(gaps["known_at"].dt.strftime("%H:%M:%S")) == {"13:30:02"}
    assert set(found.loc[found["detector"] != "gap", "known_at"].dt.strftime("%H:%M:%S")) == {"20:00:02"}

    def drawn(seed: str) -> set[tuple[str, object]]:
        rows = any_moments(frame, settings, "daily", seed, 4).collect()
        return {(row.detector, row.session_date) for row in rows}

    one, other = drawn("seed"), drawn("another")
    assert one == drawn("seed")
    assert one != other
    assert 10 < len(one) < 60  # 31 of 124 are to be expected.


def test_any_minute_and_second_may_be_drawn_not_only_the_first_of_fifteen_minutes(
    spark: SparkSession, settings: Settings
) -> None:
    minutes = minute_frame(spark, planted.frame(planted.quiet(planted.REGULAR_OPEN, 40), "QUIET"))
    counted = any_moments(minutes, settings, "minute", "seed", 1).groupBy("detector").count().collect()
    # The auction's minute triggers nothing.
    assert {row["count"] for row in counted} == {39}
    assert len(counted) == 8
    ts = pd.date_range("2025-05-20 14:00", periods=30, freq="s", tz="UTC")
    seconds = pd.DataFrame({"ts": ts, "second": range(21_600, 21_630), "sequence_number": range(30)})
    trades = seconds.assign(symbol="TAPE", session_date=planted.DATE, session="regular", segment=1)
    trades = trades.assign(segment_start=planted.REGULAR_OPEN * 60, price=5.0, size=100.0, eligible=True)
    assert any_moments(trade_frame(spark, trades), settings, "trade", "seed", 1).count() == 30


def test_a_decoy_is_an_hour_from_every_event_of_its_detector_on_its_name(spark: SparkSession) -> None:
    shape = "detector string, security_id string, ts timestamp"

    def frame(*rows: tuple[str, str, str]) -> DataFrame:
        return spark.createDataFrame([*rows], "detector string, security_id string, at string").select(
            "detector", "security_id", F.to_timestamp("at").alias("ts")
        )

    known = frame(("spike", "A", "2024-01-02 15:00:00"))
    assert known.schema.simpleString() == spark.createDataFrame([], shape).schema.simpleString()
    moments = frame(
        ("spike", "A", "2024-01-02 14:00:00"),
        ("spike", "A", "2024-01-02 14:00:01"),
        ("spike", "A", "2024-01-02 15:59:59"),
        ("spike", "A", "2024-01-02 16:00:00"),
        ("spike", "B", "2024-01-02 15:00:00"),
        ("break", "A", "2024-01-02 15:00:00"),
    )
    left = clear_of(moments, known).selectExpr("detector", "security_id", "date_format(ts, 'HH:mm:ss')").collect()
    assert {tuple(row) for row in left} == {
        ("spike", "A", "14:00:00"),
        ("spike", "A", "16:00:00"),
        ("spike", "B", "15:00:00"),
        ("break", "A", "15:00:00"),
    }
