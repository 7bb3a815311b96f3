"""Whatever the pieces are in which rows arrive, the events are those of the whole."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.detectors.detect import numbered_events
from smallcaps.detectors.pieces import _piece, advanced, events_from
from smallcaps.detectors.testing import PIECE, Disorder, Stream, arriving, assert_invariant, copies
from tests.conftest import SAMPLE
from tests.detectors.frames import daily_frame, expected_frames, minute_frame, trade_frame
from tests.detectors.test_daily import sample_market
from tests.detectors.test_intraday import history
from tests.oracles import planted
from tests.oracles.trade import bars_from_trades, load_trades

BARS = ("security_id", "session_date", "minute")


@pytest.fixture(scope="module")
def days() -> pd.DataFrame:
    """Rows of the minute grain: the planted days, one of them halted, and two real ones with pre- and post-market."""
    plants = [bars.assign(symbol=name) for name, (bars, _) in planted.planted().items()]
    halted = planted.planted()["consolidation_break"][0].assign(symbol="HALTED")
    halted.loc[halted["minute"] >= 360, ["segment", "segment_start"]] = [2, 360]
    real = bars_from_trades(load_trades(SAMPLE / "us_stocks_sip", ["2013/10"]))
    return pd.concat([*plants, halted, real], ignore_index=True)


def minutes(spark: SparkSession, settings: Settings, days: pd.DataFrame, count: int) -> tuple[pd.DataFrame, Stream]:
    """The days `count` times, with a history for most of them."""
    rows = copies(minute_frame(spark, days).toPandas(), count)
    names = {
        (name.removeprefix("T:"), day) for name, day in zip(rows["security_id"], rows["session_date"], strict=True)
    }
    expected = expected_frames(spark, *history(np.random.default_rng(3), names))
    return rows, Stream(spark, minute_frame(spark, days).schema, BARS, settings, "minute", expected)


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_minute_events_are_those_of_the_whole_day_whatever_the_pieces(
    spark: SparkSession, settings: Settings, days: pd.DataFrame
) -> None:
    rows, stream = minutes(spark, settings, days, 10)
    splittings = len(rows.drop_duplicates(["security_id", "session_date"]))
    assert splittings >= 100
    found = assert_invariant(rows, 6, np.random.default_rng(1), stream, Disorder(late=0.08, killed=0.15))
    assert found > splittings
    # The seeds were of use: many stand when the last piece has come.
    assert stream.seeds is not None
    assert len(stream.seeds) > splittings / 2


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_trade_events_are_those_of_the_whole_day_whatever_the_pieces(spark: SparkSession, settings: Settings) -> None:
    trades = load_trades(SAMPLE / "us_stocks_sip", ["2013/10"])
    frame = trade_frame(spark, trades[(trades["symbol"] == "IBM") & (trades["session_date"] == date(2013, 10, 8))])
    identity = ("security_id", "session_date", "sip_ns", "sequence_number")
    stream = Stream(spark, frame.schema, identity, settings, "trade")
    assert assert_invariant(frame.toPandas(), 4, np.random.default_rng(4), stream, Disorder()) == 6


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_daily_events_are_those_of_all_days_whatever_the_pieces(spark: SparkSession, settings: Settings) -> None:
    bars, splits = sample_market()
    bars = bars[bars["symbol"].isin(sorted(set(bars["symbol"]))[::40])]
    frame = daily_frame(spark, bars, splits)
    stream = Stream(spark, frame.schema, ("security_id", "session_date"), settings, "daily")
    assert assert_invariant(frame.toPandas(), 4, np.random.default_rng(5), stream, Disorder()) > 50


def test_a_piece_is_computed_of_a_few_rows_and_its_seed_and_a_wrong_seed_would_be_noticed(
    spark: SparkSession, settings: Settings, days: pd.DataFrame
) -> None:
    of_one = days[days["symbol"] == "opening_range_break_30"]
    rows = minute_frame(spark, of_one)
    start = spark.createDataFrame(of_one.assign(first=330)[["symbol", "session_date", "first"]].head(1))
    start = start.selectExpr("'T:' || symbol AS security_id", "session_date", "first")
    early = rows.where("minute < 415")
    seeds = advanced(early, start, settings, "minute", 79).cache()
    assert [row.after for row in seeds.collect()] == [335]
    changed = start.withColumn("first", F.lit(415))
    # The 79 rows before the one that changed are there, and those after the seed.
    piece, used = _piece(rows, changed, settings, "minute", seeds)
    assert piece.agg(F.min("minute"), F.count("*")).first() == (336, 330 + 150 - 336)
    assert used is not None
    assert used.count() == 1
    whole = numbered_events(rows, settings, "minute").where("number >= 415")
    found = events_from(rows, changed, settings, "minute", None, seeds)
    at_420 = found.where("detector = 'opening_range_break_30'").collect()
    assert [row.number for row in at_420] == [420]
    assert sorted(row.event_id for row in found.collect()) == sorted(row.event_id for row in whole.collect())
    # The range was set in minute 359, which the piece has; the volume before it hasn't.
    wrong = seeds.withColumn("seed_volume_so_far", F.lit(10**6).cast("bigint"))
    spoilt = events_from(rows, changed, settings, "minute", None, wrong)
    assert sorted(row.event_id for row in spoilt.collect()) != sorted(row.event_id for row in found.collect())


def test_a_row_that_comes_later_than_the_seed_can_take_has_its_key_computed_from_the_first_row_on(
    spark: SparkSession, settings: Settings, days: pd.DataFrame
) -> None:
    rows = minute_frame(spark, days[days["symbol"] == "volume_spike"])
    key = rows.select("security_id", "session_date").distinct()
    seeds = advanced(rows, key.withColumn("first", F.lit(330)), settings, "minute", 79)
    (after,) = (row.after for row in seeds.collect())
    for first, seeded in ((after + 80, True), (after + 79, False), (after, False)):
        piece, used = _piece(rows, key.withColumn("first", F.lit(first)), settings, "minute", seeds)
        assert used is not None
        assert (used.count() == 1) is seeded
        assert piece.agg(F.min("minute")).first() == (after + 1 if seeded else 330,)
    # A row up to the seed changed: the seed no longer holds.
    late = key.withColumn("first", F.lit(after))
    assert advanced(rows.where("minute < 400"), late, settings, "minute", 79, None, seeds).count() == 0


def test_arrivals_end_as_the_rows_are_and_come_late_doubled_wrong_and_in_empty_pieces(days: pd.DataFrame) -> None:
    rows = copies(days.assign(security_id="T:" + days["symbol"]), 3)
    came = arriving(rows, "minute", 6, np.random.default_rng(1), Disorder())
    last = came.drop_duplicates(list(BARS), keep="last").drop(columns=PIECE)
    expected = rows.sort_values(list(BARS), ignore_index=True)
    pd.testing.assert_frame_equal(last.sort_values(list(BARS), ignore_index=True)[expected.columns], expected)
    assert len(came) > 1.05 * len(rows)
    assert came[came.duplicated([*BARS, "volume"])].shape[0] > 0.02 * len(rows)
    assert (came.groupby("security_id")[PIECE].nunique() < 6).any()
    in_order = came.drop_duplicates(list(BARS), keep="first").groupby("security_id")
    assert not in_order["minute"].apply(lambda minute: minute.is_monotonic_increasing).any()
