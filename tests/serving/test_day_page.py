"""A day's page: every event with why, halts, what is not found again, and nothing from the data is markup."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.detectors.detect import explained_events
from smallcaps.errors import BadInput
from smallcaps.lake import Lake
from smallcaps.serving.day_page import DayData, collect, render
from smallcaps.serving.report_data import records
from tests.detectors.frames import minute_frame
from tests.microstructure.tables import as_table
from tests.oracles import planted


@pytest.fixture(scope="module")
def spike(spark: SparkSession, settings: Settings) -> dict[str, Any]:
    bars, _ = planted.planted()["volume_spike"]
    found = explained_events(minute_frame(spark, bars), settings, "minute").where("detector = 'volume_spike'")
    (event,) = records(found.toPandas())
    return event


@pytest.fixture
def data(settings: Settings, spike: dict[str, Any]) -> DayData:
    bars, _ = planted.planted()["volume_spike"]
    at = bars["ts"].dt.tz_convert("America/New_York").dt.tz_localize(None)
    minutes = bars.assign(at=at)[["at", "session", "open", "high", "low", "close", "volume"]]
    recorded = {spike["event_id"]: "volume_spike"}
    return DayData("SPIKE", planted.DATE, settings, pd.DataFrame(), minutes, [spike], recorded, [])


def test_an_event_is_shown_with_its_condition_in_numbers_and_what_they_were_compared_with(data: DayData) -> None:
    shown = render(data)
    assert "relative_volume &gt;= 8 AND dollars_5m &gt;= 50000" in shown
    assert "relative volume" in shown
    assert "11:12:02 New York" in shown  # Minute 431 after 04:00 is 11:11; its bar is known two seconds after its end.
    assert "not in gold.events" not in shown
    assert "not found again" not in shown


def test_events_that_one_side_alone_has_are_told(data: DayData) -> None:
    assert "not in gold.events" in render(replace(data, recorded={}))
    old = "0123456789abcdef" * 2
    shown = render(replace(data, recorded={**data.recorded, old: "vwap_break"}))
    assert "In gold.events and not found again" in shown
    assert f'vwap break <span class="id">{old}</span>' in shown


def test_a_day_without_events_says_so_and_a_symbol_is_no_markup(data: DayData) -> None:
    shown = render(replace(data, symbol="<b>X</b>", events=[], recorded={}))
    assert "No detector fired." in shown
    assert "<b>X</b>" not in shown
    assert "&lt;b&gt;X&lt;/b&gt;" in shown


def test_a_day_is_read_with_its_halts_and_in_its_own_shares(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    day, before = planted.DATE, date(2025, 5, 19)
    known = {"security_id": "T:SPIKE", "symbol": "SPIKE"}
    common = dict.fromkeys(("open", "high", "low", "close"), 10.0) | {"volume": 1_000, "zero_volume": False}
    common |= {"possible_missing_split": False, "session_number": 8_910}
    clock = {"open_at": datetime(2025, 5, 20, 13, 30, tzinfo=UTC), "close_at": datetime(2025, 5, 20, 20, tzinfo=UTC)}
    days = [
        {**known, **common, **clock, "session_date": before, "cumulative_factor": 1.0},
        {**known, **common, **clock, "session_date": day, "cumulative_factor": 0.1, "session_number": 8_911},
    ]
    begins = 1_747_750_000 * 10**9  # 10:06:40 New York
    halts = [{**known, "session_date": day, "start_ns": begins, "end_ns": None, "sources": ["feed"]}]
    lake.replace("silver.bars_1d", as_table(spark, "silver.bars_1d", days), None, "test")
    lake.replace("silver.halts", as_table(spark, "silver.halts", halts), None, "test")
    found = collect(lake, settings, "SPIKE", day)
    # One old share is ten new ones: a tenth of the price, ten times the shares.
    assert [tuple(row) for row in found.days[["close", "volume"]].itertuples(index=False)] == [
        (1.0, 10_000.0),
        (10.0, 1_000.0),
    ]
    # Nobody said that it was over: it lasts until the day ends.
    assert found.halts == [(pd.Timestamp("2025-05-20 10:06:40"), pd.Timestamp("2025-05-20 20:00"))]
    with pytest.raises(BadInput, match="no trades of spike on 2025-05-20"):
        collect(lake, settings, "spike", day)
