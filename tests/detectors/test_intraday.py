"""Minute and trade detectors against oracles that are not Spark."""

from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.detectors.trade.tape_speed import critical_counts
from tests.conftest import SAMPLE
from tests.detectors.frames import assert_same_events, found, minute_frame, trade_frame
from tests.oracles import planted
from tests.oracles.minute import load_minute_bars, minute_events
from tests.oracles.trade import bars_from_trades, critical, load_trades, trade_events

KEY = ["symbol", "ts", "detector"]
TICKS = SAMPLE / "us_stocks_sip"


@pytest.fixture(scope="module")
def trades() -> pd.DataFrame:
    """The sample's trades."""
    return load_trades(TICKS, ["2013/10"])


def test_tape_speed_on_the_real_trades_is_the_oracles(
    spark: SparkSession, settings: Settings, trades: pd.DataFrame
) -> None:
    expected = trade_events(trades)
    assert len(expected) >= 10
    assert_same_events(found(trade_frame(spark, trades), settings, "trade"), expected, KEY)


def test_minute_detectors_on_bars_of_the_real_trades_are_the_oracles(
    spark: SparkSession, settings: Settings, trades: pd.DataFrame
) -> None:
    bars = bars_from_trades(trades)
    expected = minute_events(bars)
    assert len(expected) >= 10
    assert_same_events(found(minute_frame(spark, bars), settings, "minute"), expected, KEY)


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
@pytest.mark.private_data
def test_minute_detectors_on_a_month_of_small_caps_are_the_oracles(
    spark: SparkSession, settings: Settings, private_data: Path
) -> None:
    bars = load_minute_bars(private_data / "flatfiles" / "us_stocks_sip", ["2025/05"])
    expected = minute_events(bars)
    assert len(set(expected["detector"])) == 8
    assert_same_events(found(minute_frame(spark, bars), settings, "minute"), expected, KEY)


def test_windows_never_cross_a_halt(spark: SparkSession, settings: Settings) -> None:
    # The planted bars, which fire at 431, with a resumption from a halt there: the new segment has no history.
    bars, expected = planted.planted()["volume_spike"]
    assert expected == [(431, 1)]
    halted = bars.copy()
    halted.loc[halted["minute"] >= 431, ["segment", "segment_start"]] = [2, 431]
    rows = found(minute_frame(spark, halted), settings, "minute")
    assert "volume_spike" not in set(rows["detector"])
    assert_same_events(rows, minute_events(halted), KEY)


def test_an_auction_bar_triggers_nothing(spark: SparkSession, settings: Settings) -> None:
    bars, _ = planted.planted()["volume_spike"]
    tagged = bars.assign(is_auction=bars["minute"] == 431)
    rows = found(minute_frame(spark, tagged), settings, "minute")
    at = rows[(rows["detector"] == "volume_spike")]
    assert (at["ts"] != bars.loc[bars["minute"] == 431, "ts"].iloc[0]).all()


def test_critical_counts_are_the_least_whose_tail_is_small_enough() -> None:
    table = dict(critical_counts(1e-6, 5.0))
    assert len(table) == 20_000
    for tenths in (1, 2, 5, 10, 20, 50, 100, 500, 1_000, 3_000):
        assert table[tenths] == critical(tenths, 5.0, 1e-6)
