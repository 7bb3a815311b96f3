"""The page of the detectors' truth, of a lake so quiet that every plant above its threshold is found and none below."""

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from smallcaps.calendar import sessions_between
from smallcaps.cli.app import main
from smallcaps.detectors.registry import all_detectors
from smallcaps.lake import Lake
from smallcaps.models.evaluation import Estimate
from smallcaps.serving.detection_episodes import TARGETS
from smallcaps.serving.detection_page import interval, lead
from smallcaps.serving.detection_plants import accounted
from smallcaps.sources.simulator.layout import write_records
from tests.microstructure.tables import as_table
from tests.oracles import planted

DAY = planted.DATE
SESSIONS = sessions_between(date(2025, 3, 20), DAY)
OPEN_NS = (planted.FOUR + pd.Timedelta(minutes=planted.REGULAR_OPEN)).value
MINUTE_NS = 60 * 10**9
QUIET = (
    planted.volume_spike(1_000),
    planted.vwap_break(4.98),
    planted.vwap_break_premarket(5.02),
    *(planted.opening_range_break(length, 1_000, 1) for length in (5, 15, 30)),
)
"""Days of six names on which nothing much happens."""


def known(symbol: str) -> dict[str, Any]:
    return {"security_id": f"T:{symbol}", "symbol": symbol}


def daily_rows(symbol: str) -> list[dict[str, Any]]:
    """Sessions at 10 $ that swing by 4 % on 100,000 shares."""
    same = {"open": 10.0, "high": 10.2, "low": 9.8, "close": 10.1, "volume": 100_000, "cumulative_factor": 1.0}
    same |= {"zero_volume": False, "possible_missing_split": False}
    clock = ["session_date", "session_number", "open_at", "close_at"]
    return [known(symbol) | same | row for row in SESSIONS[clock].to_dict("records")]


def trade_rows() -> list[dict[str, Any]]:
    """A trade every four seconds for two hours."""
    same = {"session_date": DAY, "session": "regular", "segment": 1, "segment_start": 330, "price": 5.0}
    flags = ("updates_high_low", "updates_open_close", "updates_volume", "is_off_exchange", "is_odd_lot", "is_sweep")
    same |= dict.fromkeys(flags, True) | {
        "is_late": False,
        "correction": 0,
        "size": 100,
        "exchange": 4,
        "conditions": [],
    }
    return [
        known("SPIKE")
        | same
        | {
            "second": second,
            "sequence_number": second,
            "trade_id": str(second),
            "ts": planted.FOUR + pd.Timedelta(seconds=second),
        }
        | dict.fromkeys(("sip_ns", "participant_ns"), planted.FOUR.value + second * 10**9)
        for second in range(19_800, 27_000, 4)
    ]


@pytest.fixture
def place(spark: SparkSession, lake: Lake, tmp_path: Path) -> Path:
    """A market's folder with one episode, of the usual size, two minutes before an event of the lake."""
    bars = pd.concat(QUIET).astype({"volume": int})
    symbols = sorted(set(bars["symbol"]))
    rows = {
        "silver.calendar": SESSIONS.to_dict("records"),
        "silver.bars_1d": [row for symbol in symbols for row in daily_rows(symbol)],
        "silver.bars_1m": [known(row["symbol"]) | row | {"source": "vendor"} for row in bars.to_dict("records")],
        "silver.trades": trade_rows(),
        "silver.universe": [
            known(symbol)
            | {"session_date": DAY, "known_at": SESSIONS["post_close_at"].iloc[-2], "previous_close": 10.1, "bars": 20}
            | {"median_dollar_volume": 1e6, "traded_before": True, "passes_floor": True, "is_member": True}
            for symbol in [*symbols, "MOVED"]
        ],
        # How many trades are usual is known, but not when in the day: what to expect follows from the tape so far.
        "silver.baselines": [
            known("SPIKE")
            | {"session_date": DAY, "known_at": SESSIONS["post_close_at"].iloc[-2], "bars": 20, "counted_bars": 20}
            | {"median_volume": 100_000.0, "median_trades": 5_000.0}
        ],
        "gold.events": [
            known("MOVED")
            | {"event_id": "0" * 32, "session_date": DAY, "grain": "minute", "detector": "volume_spike"}
            | {"detector_version": 2, "params_hash": "x", "ts": pd.Timestamp(OPEN_NS + 32 * MINUTE_NS, tz="UTC")}
            | {
                "known_at": pd.Timestamp(OPEN_NS + 33 * MINUTE_NS, tz="UTC"),
                "direction": 1,
                "strength": 1.5,
                "price": 5.0,
            }
        ],
    }
    # Of MOVED one bar: it is above the floor and has an episode, so that no plant is put into it.
    rows["silver.bars_1m"].append(
        rows["silver.bars_1m"][0]
        | known("MOVED")
        | {"minute": 362, "ts": pd.Timestamp(OPEN_NS + 32 * MINUTE_NS, tz="UTC")}
    )
    for name, some in rows.items():
        lake.replace(name, as_table(spark, name, some), None, "test")
    market = tmp_path / "market"
    episode = {"symbol": "MOVED", "session_date": str(DAY), "kind": "squeeze", "outcome": "nothing", "direction": 1}
    episode |= {
        "onset_ns": OPEN_NS + 30 * MINUTE_NS,
        "peak_ns": OPEN_NS + 35 * MINUTE_NS,
        "multiple": 1.0,
        "near_miss": False,
    }
    write_records(market / "truth" / "episodes.jsonl", [episode])
    (market / "settings.json").write_text(json.dumps({"symbols": 7, "days": 43, "last_day": str(DAY), "seed": 7}))
    return market


def test_every_detector_is_meant_for_some_kind_of_episode() -> None:
    assert set(TARGETS) == {one.name for one in all_detectors()}


def test_a_plant_is_found_by_an_event_in_its_direction_and_time_and_a_second_one_is_a_duplicate() -> None:
    columns = ["key", "direction", "at", "first", "last"]
    copies = pd.DataFrame(
        [("up", 1, 100, 60, 150), ("any", 0, 100, 60, 150), ("down", -1, 100, 60, 150)], columns=columns
    )
    events = [("up", 80, 1), ("up", 140, 1), ("up", 151, 1), ("any", 110, -1), ("down", 100, 1), ("none", 100, 1)]
    account = accounted(copies, pd.DataFrame(events, columns=["key", "at", "direction"]), unit=10)
    assert account["found"].tolist() == [True, True, False]
    assert account["duplicates"].tolist() == [1, 0, 0]
    assert account["delay"].tolist()[:2] == [-2, 1]
    assert math.isnan(account["delay"].iloc[2])


def test_shares_and_leads_are_written_with_their_intervals() -> None:
    assert interval(Estimate(0.931, 0.897, 0.96)) == "93 % (90–96)"
    assert interval(Estimate(0.5, math.nan, math.nan)) == "50 %"
    assert interval(Estimate(math.nan, math.nan, math.nan)) == "–"
    assert lead(Estimate(0.12, -0.03, 0.2)) == "+12 (−3 to +20)"
    assert lead(Estimate(0.12, math.nan, math.nan)) == "+12"
    assert lead(None) == "–"


@pytest.mark.slow
def test_on_a_quiet_market_each_plant_above_the_threshold_is_found_and_none_below(
    place: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SMALLCAPS_LAKE", lake.root)
    page, figures = place / "pages" / "truth.html", place / "truth.json"
    asked = ["detectors", "truth", "--market", str(place), "--plants", "3", "--page", str(page), "--json", str(figures)]
    assert main(asked) == 0
    shown = capsys.readouterr().out
    assert "volume_spike" in shown
    assert "nan" not in shown
    told = json.loads(figures.read_text())
    assert {one["detector"] for one in told["planted"]} == set(TARGETS)
    for one in told["planted"]:
        shares = {curve["multiple"]: curve["found"]["value"] for curve in one["curve"]}
        assert one["curve"][0]["plants"] == 3, one["detector"]
        assert [shares[size] for size in (0, 0.5, 0.8)] == [0, 0, 0], one["detector"]
        assert [shares[size] for size in (1.0, 1.5, 3.0)] == [1, 1, 1], one["detector"]
    (spike,) = (one for one in told["found"] if one["detector"] == "volume_spike")
    assert (spike["score"]["alerts"], spike["score"]["episodes"], spike["score"]["matched"]) == (1, 1, 1)
    assert spike["score"]["delay"] == [2, 2, 2]
    shown = page.read_text(encoding="utf-8")
    assert "seed 7" in shown
    assert np.char.count(shown, 'class="chart"') >= 13
