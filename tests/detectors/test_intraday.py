"""Minute and trade detectors against oracles that are not Spark."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.detectors.trade.tape_speed import critical_counts
from tests.conftest import SAMPLE
from tests.detectors.frames import assert_same_events, expected_frames, found, minute_frame, trade_frame
from tests.oracles import planted
from tests.oracles.minute import Expected, load_minute_bars, minute_events
from tests.oracles.rounding import sig9
from tests.oracles.trade import Usual, bars_from_trades, critical, load_trades, trade_events

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


def history(draw: np.random.Generator, names: set[tuple[str, date]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the sessions before say: of most names and days a median day, of most minutes of each day shares."""
    known = [name for name in sorted(names) if draw.random() < 0.8]
    days = pd.DataFrame(
        [
            {
                "symbol": symbol,
                "session_date": day,
                "bars": int(draw.integers(15, 21)),
                "counted_bars": int(draw.integers(10, 15)),
                "median_volume": None if draw.random() < 0.2 else float(draw.integers(0, 4_000_000)),
                "median_trades": None if draw.random() < 0.2 else float(draw.integers(0, 8_000)),
            }
            for symbol, day in known
        ]
    )
    shares = [(day, minute) for day in sorted({day for _, day in names}) for minute in range(0, 960) if minute % 17]
    curves = pd.DataFrame(shares, columns=["session_date", "minute"])
    for column in ("volume_share", "volume_share_5m", "trades_share"):
        values = pd.Series(draw.uniform(0, 0.005, len(curves))).map(sig9)
        curves[column] = values.where(draw.random(len(curves)) > 0.1)
    return days, curves


def by_minute(curves: pd.DataFrame, day: date, column: str) -> dict[int, float | None]:
    own = curves[curves["session_date"] == day]
    return {minute: None if pd.isna(share) else share for minute, share in zip(own["minute"], own[column], strict=True)}


def given(value: float) -> float | None:
    return None if pd.isna(value) else value


def test_what_is_expected_by_the_sessions_before_is_taken_where_it_is_known(
    spark: SparkSession, settings: Settings, trades: pd.DataFrame
) -> None:
    bars = bars_from_trades(trades)
    names = set(zip(bars["symbol"], bars["session_date"], strict=True))
    days, curves = history(np.random.default_rng(11), names)
    frames = expected_frames(spark, days, curves)

    usual = {
        (row.symbol, row.session_date): Expected(
            row.bars,
            given(row.median_volume),
            by_minute(curves, row.session_date, "volume_share"),
            by_minute(curves, row.session_date, "volume_share_5m"),
        )
        for row in days.itertuples()
    }
    minute = minute_events(bars, expected=usual)
    assert minute["rvol_n"].notna().any()
    assert_same_events(found(minute_frame(spark, bars), settings, "minute", frames), minute, KEY)

    counts = {
        (row.symbol, row.session_date): Usual(
            row.counted_bars, given(row.median_trades), by_minute(curves, row.session_date, "trades_share")
        )
        for row in days.itertuples()
    }
    trade = trade_events(trades, usual=counts)
    assert trade["rvol_n"].notna().any()
    assert_same_events(found(trade_frame(spark, trades), settings, "trade", frames), trade, KEY)


def test_a_name_with_history_is_judged_from_the_fifth_minute_of_a_segment(
    spark: SparkSession, settings: Settings
) -> None:
    bars = planted.frame(planted.quiet(planted.REGULAR_OPEN, 20) | {335: planted.bar(5.01, 40_000)}, "EARLY")
    day = bars["session_date"].iloc[0]
    days = pd.DataFrame(
        [
            {"symbol": "EARLY", "session_date": day, "bars": 20, "counted_bars": 0}
            | {"median_volume": 1_000_000.0, "median_trades": None}
        ]
    )
    # 5,000 shares in five minutes: the 44,000 from 331 to 335 are 8.8 times that.
    curves = pd.DataFrame(
        [
            {
                "session_date": day,
                "minute": minute,
                "volume_share": 0.001,
                "volume_share_5m": 0.005,
                "trades_share": None,
            }
            for minute in range(330, 350)
        ]
    )
    rows = found(minute_frame(spark, bars), settings, "minute", expected_frames(spark, days, curves))
    (spike,) = rows[rows["detector"] == "volume_spike"].to_dict("records")
    assert (spike["relative_volume"], spike["baseline"], spike["rvol_n"]) == (8.8, "history", 20)
    assert spike["minutes_since_open"] == 5
    assert "volume_spike" not in set(found(minute_frame(spark, bars), settings, "minute")["detector"])
    # In the fourth minute the five have not passed yet.
    sooner = bars.assign(volume=bars["volume"].where(bars["minute"] != 333, 40_000))
    again = found(minute_frame(spark, sooner), settings, "minute", expected_frames(spark, days, curves))
    assert list(again[again["detector"] == "volume_spike"]["minutes_since_open"]) == [4]


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
