"""Plants are as large as they say: the oracles measure them, and agree with the size at which a detector fires."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from smallcaps.config import LiquidityFloor
from smallcaps.detectors.plants import daily, minute, trade
from smallcaps.detectors.plants.daily import Series
from smallcaps.detectors.plants.minute import Day
from smallcaps.detectors.plants.recipe import Recipe, at_least, away, shared
from smallcaps.detectors.plants.trade import Tape
from smallcaps.detectors.registry import all_detectors
from smallcaps.serving.detection_plants import alone
from tests.oracles import planted
from tests.oracles.daily import daily_events
from tests.oracles.minute import minute_events
from tests.oracles.trade import Usual, trade_events

PARAMETERS = {one.name: one.resolve({}) for one in all_detectors()}
RECIPES = {one.detector: one for one in (*daily.RECIPES, *minute.RECIPES, *trade.RECIPES)}
SIZES = (0.5, 0.8, 1.0, 1.5, 3.0)
UNKNOWN = np.full(960, np.nan)


def test_every_detector_has_a_recipe_and_none_has_two() -> None:
    recipes = [one.detector for one in (*daily.RECIPES, *minute.RECIPES, *trade.RECIPES)]
    assert sorted(recipes) == sorted(one.name for one in all_detectors())


def test_a_price_is_rounded_away_from_where_it_came_from() -> None:
    assert away(5.00001, 5) == 5.0001
    assert away(4.99999, 5) == 4.9999
    assert away(0.1 + 0.2, 0.1) == 0.3  # 0.30000000000000004 was meant to be 0.3


def test_volumes_are_shared_in_whole_shares_and_lose_none() -> None:
    assert shared(np.array([1, 1, 1]), 10).tolist() == [3, 3, 4]
    assert at_least(8 * 0.1 * 10) == 8
    assert at_least(8.01) == 9


# The quiet day of the oracles: closes 4.99 and 5.01, 1,000 shares a minute, σ = 0.004, ATR 0.03.

PLACES = {
    "volume_spike": (planted.volume_spike(1_000), 431),
    "price_momentum": (planted.price_momentum(5.01), 431),
    "vwap_break": (planted.vwap_break(4.98), 395),
    "vwap_break_premarket": (planted.vwap_break_premarket(5.02), 65),
    "consolidation_break": (planted.consolidation_break(1_000), 400),
    **{f"opening_range_break_{n}": (planted.opening_range_break(n, 1_000, 1), 420) for n in (5, 15, 30)},
}


def day_of(bars: pd.DataFrame, median_volume: float = float("nan")) -> Day:
    columns = ("minute", "segment_start", "session", "is_auction", "open", "high", "low", "close", "volume")
    values = {name: bars[name].to_numpy() for name in columns}
    shares = {"volume_share": UNKNOWN, "volume_share_5m": UNKNOWN}
    return Day(**values, part=np.zeros(len(bars), dtype=int), median_volume=median_volume, shares=shares)


def bars_of(day: Day, bars: pd.DataFrame) -> pd.DataFrame:
    return bars.assign(**{name: getattr(day, name) for name in ("open", "high", "low", "close", "volume")})


def in_minute(recipe: Recipe, direction: int, multiple: float) -> tuple[pd.DataFrame, int, int]:
    """The quiet day with a plant, its minute, its direction."""
    bars, at = PLACES[recipe.detector]
    # 4 × 5,000 expected shares at $5 are worth $200,000: enough.
    day = day_of(bars)
    place = int(np.searchsorted(day.minute, at))
    assert recipe.fits(day, place, PARAMETERS[recipe.detector])
    way = direction if recipe.way is None else recipe.way(day, place)
    made = recipe.plant(day, place, multiple, way, PARAMETERS[recipe.detector])
    return bars_of(made, bars), at, way if recipe.two_sided else 0


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("multiple", SIZES)
@pytest.mark.parametrize("recipe", minute.RECIPES, ids=lambda one: one.detector)
def test_a_minute_detector_fires_at_the_plant_from_its_threshold_on_as_strongly_as_planted(
    recipe: Recipe, multiple: float, direction: int
) -> None:
    bars, at, way = in_minute(recipe, direction, multiple)
    events = minute_events(bars)
    own = events[events["detector"] == recipe.detector].to_dict("records")
    there = [one for one in own if at - 4 <= (one["ts"] - planted.FOUR).total_seconds() / 60 <= at]
    assert len(there) == (multiple >= 1)
    if multiple >= 1 and way:
        assert there[0]["direction"] == way
    # Above 1 five minutes may suffice before they are over.
    if multiple == 1 or (multiple > 1 and not recipe.reach):
        # A whole 1/10,000 $ is half a percent of a margin of two cents.
        assert multiple <= there[0]["strength"] <= 1.01 * multiple


# Forty sessions at 10 $ that swing by 4 % on 100,000 shares, then the day: ATR14 and the mean range are 0.4.


def quiet_days() -> pd.DataFrame:
    days = pd.bdate_range("2025-02-03", periods=45).difference(pd.to_datetime(["2025-02-17"]))[:41]
    return pd.DataFrame(
        {
            "symbol": "CALM",
            "session_date": days.date,
            "open": 10.0,
            "high": 10.2,
            "low": 9.8,
            "close": 10.1,
            "volume": 100_000.0,
        }
    )


def series_of(bars: pd.DataFrame) -> Series:
    prices = {name: bars[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
    return Series(session=np.arange(len(bars)), factor=np.ones(len(bars)), **prices)


@pytest.fixture(scope="module")
def daily_found() -> pd.DataFrame:
    """What the oracle finds on the last day of a copy for every detector, size and direction."""
    copies = []
    for recipe, multiple, direction in product(daily.RECIPES, SIZES, (1, -1)):
        bars = quiet_days()
        series, last = series_of(bars), len(bars) - 1
        assert recipe.fits(series, last, PARAMETERS[recipe.detector])
        made = recipe.plant(series, last, multiple, direction, PARAMETERS[recipe.detector])
        prices = {name: getattr(made, name) for name in ("open", "high", "low", "close", "volume")}
        copies.append(bars.assign(symbol=f"{recipe.detector}|{multiple}|{direction}", **prices))
    no_splits = pd.DataFrame({"symbol": pd.Series(dtype=str), "ex_date": [], "price_factor": []})
    events = daily_events(pd.concat(copies, ignore_index=True), no_splits)
    return events[events["session_date"] == quiet_days()["session_date"].iloc[-1]]


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("multiple", SIZES)
@pytest.mark.parametrize("recipe", daily.RECIPES, ids=lambda one: one.detector)
def test_a_daily_detector_fires_at_the_plant_from_its_threshold_on_as_strongly_as_planted(
    daily_found: pd.DataFrame, recipe: Recipe, multiple: float, direction: int
) -> None:
    of_copy = daily_found[daily_found["symbol"] == f"{recipe.detector}|{multiple}|{direction}"]
    own = of_copy[of_copy["detector"] == recipe.detector]
    assert len(own) == (multiple >= 1)
    if multiple >= 1:
        assert own["direction"].iloc[0] == direction
        # 8 % of 10 $ is twice its ATR, 2.5 times its mean range is more than 8 %, 10 % more than an ATR.
        assert own["strength"].iloc[0] == pytest.approx(multiple, rel=2e-2)


def test_a_plant_that_leaves_next_to_no_price_is_none() -> None:
    series = series_of(quiet_days())
    assert RECIPES["gap"].plant(series, 40, 9.5, -1, PARAMETERS["gap"]) is None


def test_a_series_knows_the_floor() -> None:
    floor = LiquidityFloor(minimum_price=1, maximum_price=20, minimum_dollar_volume=250_000, minimum_bars=10)
    bars = quiet_days()
    assert series_of(bars).passes(floor)  # 10.1 $, a million dollars a day
    assert not series_of(bars.tail(10)).passes(floor)  # nine bars before the last
    assert not series_of(bars.assign(close=20.5, high=21)).passes(floor)
    assert not series_of(bars.assign(volume=24_000)).passes(floor)  # 242,400 $


# A tape with a trade every four seconds from 09:30: by the segment 2.5 in ten seconds, critical count 43.


def tape_of(median_trades: float = float("nan")) -> Tape:
    second = np.arange(19_800, 19_800 + 7_200, 4)
    count = len(second)
    shares = np.full(960, 1 / 390)
    zeros = np.zeros(count, dtype=np.int64)
    return Tape(second, zeros, np.full(count, 330), np.arange(count), zeros, median_trades, shares)


def trades_of(tape: Tape) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": "TAPE",
            "session_date": planted.DATE,
            "session": "regular",
            "segment": 1,
            "segment_start": 19_800,
            "second": tape.second,
            "ts": planted.FOUR + pd.to_timedelta(tape.second, unit="s"),
            "sequence_number": np.arange(len(tape.second)),
            "price": 5.0,
            "size": 100.0,
            "eligible": True,
        }
    )


@pytest.mark.parametrize("median", [float("nan"), 5_850.0])
@pytest.mark.parametrize("multiple", SIZES)
def test_tape_speed_fires_at_the_plant_from_its_threshold_on(multiple: float, median: float) -> None:
    recipe, tape = RECIPES["tape_speed"], tape_of(median)
    place = 1_000
    made = recipe.plant(tape, place, multiple, 1, PARAMETERS["tape_speed"])
    at = int(tape.second[place])
    day = planted.DATE
    usual = Usual(20, median, dict.fromkeys(range(960), 1 / 390)) if median > 0 else None
    events = trade_events(trades_of(made), usual={("TAPE", day): usual} if usual else None)
    seconds = [(one - planted.FOUR).total_seconds() for one in events["ts"]]
    assert len(seconds) == (multiple >= 1)
    if multiple == 1:
        assert seconds == [at]
        assert events["strength"].iloc[0] == 1


def test_trades_are_taken_out_where_there_are_more_than_planted() -> None:
    tape = tape_of()
    busy = RECIPES["tape_speed"].plant(tape, 1_000, 3.0, 1, PARAMETERS["tape_speed"])
    at = int(tape.second[1_000])
    place = int(np.flatnonzero(busy.second == at)[-1])
    calm = RECIPES["tape_speed"].plant(busy, place, 0.5, 1, PARAMETERS["tape_speed"])
    within = [int(((one.second > at - 10) & (one.second <= at)).sum()) for one in (tape, busy, calm)]
    least = trade.threshold(tape, 1_000, PARAMETERS["tape_speed"])
    assert least is not None
    assert within == [3, 3 * least, least // 2]
    assert (calm.second == at).any()


@pytest.mark.parametrize("recipe", [one for one in minute.RECIPES if one.size], ids=lambda one: one.detector)
@pytest.mark.parametrize("multiple", SIZES)
def test_where_rows_can_be_measured_a_plant_measures_what_was_planted(recipe: Recipe, multiple: float) -> None:
    bars, at = PLACES[recipe.detector]
    day = day_of(bars)
    place = int(np.searchsorted(day.minute, at))
    made = recipe.plant(day, place, multiple, 1, PARAMETERS[recipe.detector])
    assert recipe.size is not None
    assert recipe.size(made, place, PARAMETERS[recipe.detector]) == pytest.approx(multiple, rel=0.01)


def test_no_plant_is_made_where_the_market_has_an_event_of_its_own_or_carries_a_near_miss_on() -> None:
    recipe, (bars, at) = RECIPES["price_momentum"], PLACES["price_momentum"]
    parameters = PARAMETERS[recipe.detector]
    day = day_of(bars)
    place = int(np.searchsorted(day.minute, at))
    assert alone(recipe, "minute", day, place, 1, parameters)
    eventful = recipe.plant(day, place, 1.5, 1, parameters)
    assert not alone(recipe, "minute", eventful, place + 15, 1, parameters)
    assert alone(recipe, "minute", eventful, place + 30, 1, parameters)
    going_on = day.with_bar(place + 1, day.close[place] * 1.02, float(day.volume[place]))
    assert not alone(recipe, "minute", going_on, place, 1, parameters)
    assert alone(recipe, "minute", going_on, place, -1, parameters)


def test_no_burst_is_planted_within_a_quarter_of_an_hour_of_the_tapes_own() -> None:
    recipe, tape = RECIPES["tape_speed"], tape_of()
    parameters = PARAMETERS[recipe.detector]
    place = int(np.searchsorted(tape.second, tape.second[0] + 4_000))
    assert recipe.fits(tape, place, parameters)
    assert alone(recipe, "trade", tape, place, 1, parameters)
    busy = recipe.plant(tape, place, 1.5, 1, parameters)
    soon, later = (int(np.searchsorted(busy.second, tape.second[place] + seconds)) for seconds in (890, 1_000))
    assert not alone(recipe, "trade", busy, soon, 1, parameters)
    assert alone(recipe, "trade", busy, later, 1, parameters)
