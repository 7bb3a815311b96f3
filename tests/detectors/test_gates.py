"""Gates that no detector may fail: nothing leaks from the future, and a grain costs one shuffle and one sort."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.detectors.compiler import Rules, choose, compile_statement
from smallcaps.detectors.detect import chosen_detectors, events, rules_of, seeds_of
from smallcaps.detectors.registry import GRAINS, all_detectors, detectors_of
from smallcaps.errors import BadInput
from tests.conftest import SAMPLE
from tests.detectors.frames import daily_frame, expected_frames, found, minute_frame, trade_frame
from tests.detectors.test_daily import sample_market
from tests.oracles import planted
from tests.oracles.trade import bars_from_trades, load_trades

TICKS = SAMPLE / "us_stocks_sip"


@pytest.fixture(scope="module")
def market() -> pd.DataFrame:
    """80 names of the sample, without splits."""
    bars, splits = sample_market()
    names = sorted(set(bars["symbol"]) - set(splits["symbol"]))[::8][:80]
    return bars[bars["symbol"].isin(names)].reset_index(drop=True)


@pytest.fixture(scope="module")
def trades() -> pd.DataFrame:
    """The sample's trades of one day."""
    rows = load_trades(TICKS, ["2013/10"])
    return rows[rows["session_date"] == rows["session_date"].min()].reset_index(drop=True)


def shaken(frame: pd.DataFrame, later: pd.Series, columns: list[str]) -> pd.DataFrame:
    """`frame` with noise on the rows of `later`: prices ±30 %, volumes up to 20-fold, bars kept consistent."""
    random = np.random.default_rng(5)
    noisy = frame.copy()
    factor = random.uniform(0.7, 1.3, int(later.sum()))
    for column in columns:
        noisy.loc[later, column] = (noisy.loc[later, column] * factor).round(4)
    if "volume" in noisy:
        noisy.loc[later, "volume"] = (noisy.loc[later, "volume"] * random.uniform(0.1, 20, int(later.sum()))).round()
    return noisy


def same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(left.reset_index(drop=True), right.reset_index(drop=True))


def test_daily_events_up_to_a_day_need_no_later_day_and_no_later_shock_moves_them(
    spark: SparkSession, settings: Settings, market: pd.DataFrame
) -> None:
    cut = sorted(set(market["session_date"]))[200]
    whole = found(daily_frame(spark, market), settings, "daily")
    until = whole[whole["session_date"] <= cut]
    assert len(until) > 100
    same(found(daily_frame(spark, market[market["session_date"] <= cut]), settings, "daily"), until)
    noisy = shaken(market, market["session_date"] > cut, ["open", "high", "low", "close"])
    after = found(daily_frame(spark, noisy), settings, "daily")
    same(after[after["session_date"] <= cut], until)
    # The gate can fail: a shock of the cut day itself is seen.
    noisy_day = shaken(market, market["session_date"] >= cut, ["open", "high", "low", "close"])
    seen = found(daily_frame(spark, noisy_day), settings, "daily")
    assert not seen[seen["session_date"] <= cut].reset_index(drop=True).equals(until.reset_index(drop=True))


def test_intraday_events_up_to_a_minute_need_no_later_one_and_no_later_shock_moves_them(
    spark: SparkSession, settings: Settings, trades: pd.DataFrame
) -> None:
    bars = bars_from_trades(trades)
    for grain, frame, make, prices in (
        ("minute", bars, minute_frame, ["open", "high", "low", "close"]),
        ("trade", trades, trade_frame, ["price"]),
    ):
        # 14:30 New York; both grains know every row of a minute that ended before.
        cut = frame["ts"].dt.tz_convert("America/New_York").dt.hour * 60 + frame["ts"].dt.minute
        later = cut >= 14 * 60 + 30
        whole = found(make(spark, frame), settings, grain)
        limit = frame.loc[later, "ts"].min()
        until = whole[whole["ts"] < limit]
        assert len(until) > 1
        same(found(make(spark, frame[~later].reset_index(drop=True)), settings, grain), until)
        after = found(make(spark, shaken(frame, later, prices)), settings, grain)
        same(after[after["ts"] < limit], until)


def test_more_history_than_the_look_back_changes_nothing(
    spark: SparkSession, settings: Settings, market: pd.DataFrame
) -> None:
    # 301 bars before the last one: from there on, one or two more bars in front are out of every window.
    days = sorted(set(market["session_date"]))
    last = days[-1]
    whole = found(daily_frame(spark, market), settings, "daily")
    short = found(daily_frame(spark, market[market["session_date"] > days[len(days) - 303]]), settings, "daily")
    expected = whole[whole["session_date"] == last]
    assert len(expected) > 0
    same(short[short["session_date"] == last], expected)


def stored(frame: DataFrame) -> DataFrame:
    """`frame` as if it came of a table: what makes its flag of a missing split is no part of the plan."""
    return frame.withColumn("possible_missing_split", F.lit(False))


def frame_of(grain: str, spark: SparkSession, market: pd.DataFrame, trades: pd.DataFrame) -> DataFrame:
    """A frame of each grain."""
    makers = {
        "daily": lambda: stored(daily_frame(spark, market)),
        "minute": lambda: minute_frame(spark, bars_from_trades(trades)),
        "trade": lambda: trade_frame(spark, trades),
    }
    return makers[grain]()


def plan_of(found: DataFrame) -> str:
    return str(found._jdf.queryExecution().executedPlan().toString()).split("== Initial Plan ==")[-1]


@pytest.mark.parametrize("grain", ["daily", "minute", "trade"])
def test_a_grain_costs_one_shuffle_and_one_sort_however_many_detectors(
    spark: SparkSession, settings: Settings, market: pd.DataFrame, trades: pd.DataFrame, grain: str
) -> None:
    plan = plan_of(events(frame_of(grain, spark, market, trades), settings, grain))
    assert plan.count("Exchange hashpartitioning") == 1, plan
    assert plan.count("Exchange") - plan.count("BroadcastExchange") == 1, plan
    assert plan.count("Sort [") == 1, plan


@pytest.mark.parametrize("grain", ["minute", "trade"])
def test_rows_of_whole_days_pass_no_column_on_for_what_is_carried(
    spark: SparkSession,
    settings: Settings,
    market: pd.DataFrame,
    trades: pd.DataFrame,
    grain: str,
    request: pytest.FixtureRequest,
) -> None:
    request.addfinalizer(lambda: spark.conf.unset("spark.sql.debug.maxToStringFields"))
    spark.conf.set("spark.sql.debug.maxToStringFields", 10_000)
    frame = frame_of(grain, spark, market, trades)
    seeds = seeds_of(frame, settings, grain).localCheckpoint()
    whole, piece = plan_of(events(frame, settings, grain)), plan_of(events(frame, settings, grain, None, seeds))
    assert "carried_" in piece
    assert "carried_" not in whole
    assert "seed_" not in whole


@pytest.mark.parametrize("grain", ["minute", "trade"])
def test_what_is_expected_costs_its_own_shuffle_and_no_other_of_the_rows(
    spark: SparkSession, settings: Settings, market: pd.DataFrame, trades: pd.DataFrame, grain: str
) -> None:
    """However large the baselines are: Spark is told, and may not broadcast anything of its own accord here."""
    day = trades["session_date"].min()
    days = pd.DataFrame([{"symbol": "IBM", "session_date": day, "bars": 20, "counted_bars": 20, "median_volume": 1e6}])
    curves = pd.DataFrame([{"session_date": day, "minute": 400, "volume_share": 0.001, "volume_share_5m": 0.005}])
    expected = expected_frames(spark, days.assign(median_trades=1e3), curves.assign(trades_share=0.001))
    rows = frame_of(grain, spark, market, trades)
    spark.conf.set("spark.sql.autoBroadcastJoinThreshold", -1)
    try:
        plan = plan_of(events(rows, settings, grain, expected))
    finally:
        spark.conf.unset("spark.sql.autoBroadcastJoinThreshold")
    assert plan.count("Exchange hashpartitioning(security_id") == 2, plan  # The rows, and the baselines.
    assert plan.count("Exchange") - plan.count("BroadcastExchange") == 2, plan
    assert plan.count("ShuffledHashJoin") == 1, plan
    assert plan.count("Sort [") == 1, plan


def test_a_second_partitioning_would_be_noticed_by_the_plan_gate(
    spark: SparkSession, settings: Settings, market: pd.DataFrame
) -> None:
    frame = events(stored(daily_frame(spark, market)), settings, "daily").groupBy("detector").count()
    plan = frame._jdf.queryExecution().executedPlan().toString()
    assert plan.count("Exchange hashpartitioning") == 2


def test_events_have_one_id_each_and_the_same_one_whenever_computed(
    spark: SparkSession, settings: Settings, market: pd.DataFrame
) -> None:
    first = found(daily_frame(spark, market), settings, "daily")
    again = found(daily_frame(spark, market.sample(frac=1, random_state=3)), settings, "daily")
    assert first["event_id"].is_unique
    same(first, again)


def test_a_parameter_is_part_of_the_event_and_only_of_its_own_detector(
    spark: SparkSession, settings: Settings, market: pd.DataFrame
) -> None:
    wider = settings.model_copy(update={"detectors": {**settings.detectors, "gap": {"threshold": 0.2}}})
    usual = found(daily_frame(spark, market), settings, "daily")
    changed = found(daily_frame(spark, market), wider, "daily")
    assert set(usual.loc[usual["detector"] == "gap", "params_hash"]).isdisjoint(
        changed.loc[changed["detector"] == "gap", "params_hash"]
    )
    same(usual[usual["detector"] != "gap"], changed[changed["detector"] != "gap"])
    expected = usual[(usual["detector"] == "gap") & (usual["gap_pct"].abs() >= 0.2)]
    assert len(changed[changed["detector"] == "gap"]) == len(expected) > 0


def test_unknown_parameters_detectors_and_values_out_of_range_are_refused(settings: Settings) -> None:
    rules = rules_of(settings)
    with pytest.raises(BadInput, match="no parameter thresold"):
        choose(detectors_of("daily"), {"gap": {"thresold": 0.1}}, rules)
    with pytest.raises(BadInput, match=r"outside 0\.01–1\.0"):
        choose(detectors_of("daily"), {"gap": {"threshold": 10}}, rules)
    with pytest.raises(BadInput, match="do not exist: gaps"):
        chosen_detectors(settings.model_copy(update={"detectors": {"gaps": {}}}), "daily")


def test_every_detector_is_declared_completely_and_once() -> None:
    names = [detector.name for detector in all_detectors()]
    assert len(names) == len(set(names)) == 13
    for detector in all_detectors():
        assert detector.grain in GRAINS
        assert detector.summary
        for parameter in detector.parameters:
            assert parameter.minimum <= parameter.default <= parameter.maximum
            assert parameter.unit
            assert parameter.comment


def test_a_statement_holds_only_what_its_detectors_need(settings: Settings) -> None:
    rules: Rules = rules_of(settings)
    gap = str(
        compile_statement(
            GRAINS["daily"], choose([d for d in detectors_of("daily") if d.name == "gap"], {}, rules), rules
        )
    )
    assert "mean_range" not in gap
    assert "median_dollars" in gap


def fired_minutes(
    spark: SparkSession, settings: Settings, days: dict[str, pd.DataFrame]
) -> dict[str, list[tuple[int, int]]]:
    """For each planted day, where and in which direction its own detector fired; all days in one statement."""
    together = pd.concat([bars.assign(symbol=name) for name, bars in days.items()], ignore_index=True)
    rows = found(minute_frame(spark, together), settings, "minute")
    rows = rows[rows["detector"] == rows["symbol"]].merge(together[["symbol", "ts", "minute"]], on=["symbol", "ts"])
    return {name: [(row.minute, row.direction) for row in rows[rows["symbol"] == name].itertuples()] for name in days}


def test_planted_bars_fire_once_where_planted_and_near_misses_never(spark: SparkSession, settings: Settings) -> None:
    plants = planted.planted()
    fired = fired_minutes(spark, settings, {name: bars for name, (bars, _) in plants.items()})
    assert fired == {name: expected for name, (_, expected) in plants.items()}
    misses = fired_minutes(spark, settings, planted.near_misses())
    assert misses == {name: [] for name in plants}
