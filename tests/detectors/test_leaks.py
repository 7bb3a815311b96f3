"""Leakage gates on every detector and every row: truncation, future shock and warm-up; and leaks that they must catch.

Each row of the planted days is a cut. A copy of its day up to the cut, and one with a few shaken rows after it, are securities
of their own, so that one statement tries all cuts at once.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.calendar import sessions_between
from smallcaps.config import Settings
from smallcaps.detectors.compiler import choose, compile_statement, look_back, seed_columns
from smallcaps.detectors.declaration import Detector, Feature, Grain
from smallcaps.detectors.detect import chosen_detectors, events, no_seeds, rules_of
from smallcaps.detectors.registry import GRAINS, detectors_of
from smallcaps.refine.bars import judged_vendor_minutes
from smallcaps.refine.labels import calendar_frame
from tests.detectors.frames import daily_frame, expected_frames, found, minute_frame, trade_frame
from tests.oracles import planted

pytestmark = pytest.mark.usefixtures("compiled")

MAKERS = {"daily": daily_frame, "minute": minute_frame, "trade": trade_frame}
ORDER = {"daily": "session_date", "minute": "ts", "trade": "second"}
PRICES = {"daily": ["open", "high", "low", "close"], "minute": ["open", "high", "low", "close"], "trade": ["price"]}
AFTERWARDS = 5
"""Rows after a cut that the shock shakes."""
TRUNCATION, SHOCK = "truncation", "shock"
HISTORY = " with history"
IDENTITY = ["event_id", "symbol", "security_id"]

Expected = dict[str, DataFrame] | None
Run = Callable[[pd.DataFrame], pd.DataFrame]


def quiet(price: float, days: int) -> list[tuple[float, float, float, float, int]]:
    return [(price, price + 0.1, price - 0.1, price, 100_000)] * days


def planted_days() -> pd.DataFrame:
    """Each of the daily detectors fires, flush reversal both ways; see the comments."""
    bars = [
        *quiet(10.0, 40),
        (11.5, 11.6, 11.4, 11.5, 100_000),  # Gap of 15 %.
        *quiet(11.5, 20),
        (11.5, 13.5, 11.4, 13.4, 500_000),  # Ten times the usual range, 16.5 % up, on five times the volume.
        *quiet(13.4, 20),
        (13.4, 13.5, 11.4, 13.2, 500_000),  # 2 $ down from the open, 1.80 $ back.
        *quiet(13.4, 14),
        (13.4, 15.4, 13.3, 13.6, 500_000),  # Its mirror.
        *quiet(13.4, 4),
    ]
    frame = pd.DataFrame(bars, columns=["open", "high", "low", "close", "volume"])
    days = sessions_between(dt.date(2015, 3, 20), dt.date(2016, 3, 20))["session_date"]
    return frame.assign(symbol="DAYS", session_date=list(days[: len(frame)]))


def planted_minutes() -> pd.DataFrame:
    """The planted day of each minute detector, up to 12 minutes after its event."""
    days = [
        bars[bars["minute"] <= fired[-1][0] + 12].assign(symbol=name)
        for name, (bars, fired) in planted.planted().items()
    ]
    return pd.concat(days, ignore_index=True)


def planted_trades() -> pd.DataFrame:
    """A trade every 20 seconds from 09:30 on; after 1,900 seconds 100 of them in four seconds."""
    start = 60 * planted.REGULAR_OPEN
    seconds = [*range(start, start + 1_900, 20), *sorted([*range(start + 1_905, start + 1_909)] * 25)]
    seconds += range(start + 1_920, start + 2_000, 20)
    rows = pd.DataFrame({"second": seconds})
    nanoseconds = rows.groupby("second").cumcount() * 1_000_000
    return rows.assign(
        symbol="TAPE",
        session_date=planted.DATE,
        ts=planted.FOUR + pd.to_timedelta(rows["second"], "s") + pd.to_timedelta(nanoseconds, "ns"),
        sequence_number=range(len(rows)),
        session="regular",
        segment=1,
        segment_start=start,
        price=[5.0 + 0.01 * (number % 3) for number in range(len(rows))],
        size=100.0,
        eligible=True,
    )


PLANTED = {"daily": planted_days, "minute": planted_minutes, "trade": planted_trades}


def usual(spark: SparkSession, rows: pd.DataFrame, volumes: dict[str, float] | None = None) -> Expected:
    """What the sessions before let expect: 1,000 shares a minute (or such a share of `volumes`) and three trades."""
    days = rows[["symbol", "session_date"]].drop_duplicates()
    medians = 1e6 if volumes is None else days["symbol"].map(volumes)
    days = days.assign(bars=20, counted_bars=20, median_volume=medians, median_trades=3_000.0)
    curves = [
        {"session_date": day, "minute": minute, "volume_share": 0.001, "volume_share_5m": 0.005, "trades_share": 0.001}
        for day in set(rows["session_date"])
        for minute in range(480)
    ]
    return expected_frames(spark, days, pd.DataFrame(curves))


def copies(rows: pd.DataFrame, grain: str) -> pd.DataFrame:
    """`rows`, and for each symbol and place in it a copy that ends there and one that is shaken afterwards, named
    `symbol|gate|place`.
    """
    chance = np.random.default_rng(7)
    parts = [rows]
    for symbol, own in rows.groupby("symbol"):
        places = own[ORDER[grain]].rank(method="dense").to_numpy() - 1
        for place in range(int(places.max()) + 1):
            parts.append(own[places <= place].assign(symbol=f"{symbol}|{TRUNCATION}|{place}"))
            shaken = own[places <= place + AFTERWARDS].assign(symbol=f"{symbol}|{SHOCK}|{place}")
            later = (places > place)[: len(shaken)]
            factor = chance.uniform(0.7, 1.3, int(later.sum()))
            for column in PRICES[grain]:
                shaken.loc[later, column] = (shaken.loc[later, column] * factor).round(4)
            if "volume" in shaken:
                shaken.loc[later, "volume"] = chance.integers(10, 1_000_000, int(later.sum()))
            parts.append(shaken)
    return pd.concat(parts, ignore_index=True)


def caught(run: Run, rows: pd.DataFrame, grain: str) -> dict[str, set[str]]:
    """By gate, the detectors of which an event at or before a cut is another without what came after the cut, or with other rows
    there.
    """
    found_ = run(copies(rows, grain))
    # A moment that both sides have, on the event and on the row: the session, the minute, the second.
    found_["at"] = found_["session_date"] if grain == "daily" else found_["ts"]
    named = found_["symbol"].str.split("|", expand=True).reindex(columns=range(3))
    found_ = found_.assign(symbol=named[0], gate=named[1], place=named[2])
    told = [name for name in found_.columns if name not in (*IDENTITY, "gate", "place", "at")]
    leaks: dict[str, set[str]] = {TRUNCATION: set(), SHOCK: set()}
    for symbol, own in rows.groupby("symbol"):
        of_symbol = found_[found_["symbol"] == symbol]
        whole = of_symbol[of_symbol["gate"].isna()]
        moments = own["session_date"] if grain == "daily" else own["ts"].dt.floor("s")
        for place, moment in enumerate(sorted(set(moments))):
            expected = facts(whole[whole["at"] <= moment], told)
            for gate in leaks:
                copy = of_symbol[(of_symbol["gate"] == gate) & (of_symbol["place"] == str(place))]
                differing = expected ^ facts(copy[copy["at"] <= moment], told)
                leaks[gate] |= {detector for detector, _ in differing}
    return leaks


def facts(rows: pd.DataFrame, columns: list[str]) -> set[tuple[str, str]]:
    """Events as their detector and everything that is told of them."""
    return {(row["detector"], repr([row[name] for name in columns])) for row in rows.to_dict("records")}


@pytest.mark.parametrize("grain", ["daily", "minute", "trade"])
def test_whatever_the_row_what_comes_after_it_changes_no_event_up_to_it(
    spark: SparkSession, settings: Settings, grain: str
) -> None:
    """Intraday days are there twice, once with the sessions before to expect by."""
    once, fired = PLANTED[grain](), set()
    rows = once if grain == "daily" else pd.concat([once, once.assign(symbol=once["symbol"] + HISTORY)])

    def run(frame: pd.DataFrame) -> pd.DataFrame:
        known = usual(spark, frame[frame["symbol"].str.contains(HISTORY)]) if grain != "daily" else None
        events_ = found(MAKERS[grain](spark, frame), settings, grain, known)
        fired.update(zip(events_["detector"], events_["symbol"].isin(once["symbol"]), strict=True))
        assert set(events_["baseline"].dropna()) == ({"history"} if grain == "daily" else {"history", "session"})
        return events_

    assert caught(run, rows.reset_index(drop=True), grain) == {TRUNCATION: set(), SHOCK: set()}
    # A detector that never fires would pass any gate.
    assert {name for name, alone in fired if alone} == {detector.name for detector in detectors_of(grain)}


def leaky(name: str, feature: str) -> Detector:
    """A detector that fires where a feature is true."""
    features = (Feature(f"{name}_seen", f"coalesce({feature}, false)"),)
    return Detector(name, 1, "any", "A leak", (), f"{name}_seen", "1D", "1", features)


def run_of(spark: SparkSession, settings: Settings, grain: Grain, detectors: Sequence[Detector], expected=None) -> Run:
    """How those detectors are run over rows of a grain."""
    rules = rules_of(settings)

    def run(rows: pd.DataFrame) -> pd.DataFrame:
        frame = MAKERS[grain.name](spark, rows)
        events(frame, settings, grain.name, None if expected is None else expected(rows))  # It makes the views.
        own = choose([replace(one, grain=grain.name) for one in detectors], {}, rules)
        no_seeds(frame, grain, seed_columns(grain, own, rules)).createOrReplaceTempView("seeds")
        found_ = spark.sql(compile_statement(grain, own, rules).nested).toPandas()
        return found_.assign(ts=found_["ts"].dt.tz_localize("UTC"))

    return run


def test_daily_leaks_are_caught_by_both_gates(spark: SparkSession, settings: Settings) -> None:
    """The next day's close, a frame that reaches over the day, the highest of the whole series."""
    by_day = GRAINS["daily"].windows["by_day"]
    windows = {
        "around": f"{by_day} ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING",
        "all_days": f"{by_day} ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    }
    grain = replace(GRAINS["daily"], windows={**GRAINS["daily"].windows, **windows})
    leaks = [
        leaky("lead_leak", "lead(close) OVER by_day > close * 1.05D"),
        leaky("following_leak", "avg(close) OVER around > close * 1.05D"),
        leaky("aggregate_leak", "close = max(close) OVER all_days"),
    ]
    names = {leak.name for leak in leaks}
    assert caught(run_of(spark, settings, grain, leaks), planted_days(), "daily") == {TRUNCATION: names, SHOCK: names}


def test_minute_leaks_are_caught_by_both_gates_and_so_is_a_baseline_of_the_same_day(
    spark: SparkSession, settings: Settings
) -> None:
    order = GRAINS["minute"].windows["segment_rows"]
    windows = {
        "around": f"{order} RANGE BETWEEN 5 PRECEDING AND 2 FOLLOWING",
        "all_minutes": f"{order} ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    }
    grain = replace(GRAINS["minute"], windows={**GRAINS["minute"].windows, **windows}, edge=None)
    leaks = [
        leaky("lead_leak", "lead(close) OVER segment_rows > close * 1.002D"),
        leaky("following_leak", "sum(volume) OVER around > 7500"),
        leaky(
            "aggregate_leak",
            "volume BETWEEN 0.01D * sum(volume) OVER all_minutes AND 0.02D * sum(volume) OVER all_minutes",
        ),
        leaky("same_day_leak", "volume BETWEEN 0.01D * median_volume AND 0.02D * median_volume"),
    ]

    def of_the_same_day(rows: pd.DataFrame) -> Expected:
        return usual(spark, rows, rows.groupby("symbol")["volume"].sum().astype(float).to_dict())

    bars = planted_minutes()
    bars = bars[bars["symbol"] == "consolidation_break"]
    names = {leak.name for leak in leaks}
    run = run_of(spark, settings, grain, leaks, of_the_same_day)
    assert caught(run, bars, "minute") == {TRUNCATION: names, SHOCK: names}


def series(days: int, last: tuple[float, float, float, float, int], symbol: str) -> pd.DataFrame:
    """So many restless days, and one as given."""
    chance = np.random.default_rng(days)
    sessions = list(sessions_between(dt.date(2010, 1, 4), dt.date(2016, 6, 30))["session_date"])[-days - 1 :]
    reach = 0.05 + 0.1 * (np.arange(days)[::-1] % 17) / 17  # By distance from the end, so that longer ones agree there.
    bars = [(10.0, 10 + one, 10 - one, 10.0, int(90_000 + 1e6 * one)) for one in reach]
    frame = pd.DataFrame([*bars, last], columns=["open", "high", "low", "close", "volume"])
    wild = frame.index < len(frame) - 1 - WARM_UP
    frame.loc[wild, "high"] = frame.loc[wild, "high"] * chance.uniform(1, 3, int(wild.sum()))
    return frame.assign(symbol=symbol, session_date=sessions)


WARM_UP = 301
LAST = {
    "GAP": (11.5, 11.6, 11.4, 11.5, 100_000),
    "RANGE": (10.0, 12.0, 9.9, 11.9, 900_000),
    "FLUSH": (10.0, 10.1, 8.5, 9.9, 900_000),
    "BLOW_OFF": (10.0, 11.5, 9.9, 10.1, 900_000),
}


def warm_up(run: Run) -> list[set[tuple[str, str]]]:
    """The last day's events after one, two and five times the look-back of history."""
    rows = [series(times * WARM_UP, bar, f"{symbol}|{times}") for times in (1, 2, 5) for symbol, bar in LAST.items()]
    found_ = run(pd.concat(rows, ignore_index=True))
    last = found_[found_["session_date"] == rows[0]["session_date"].max()]
    named = last["symbol"].str.split("|", expand=True)
    last = last.assign(symbol=named[0], times=named[1])
    told = [name for name in last.columns if name not in ("event_id", "security_id", "times")]
    return [facts(last[last["times"] == times], told) for times in ("1", "2", "5")]


def test_once_twice_and_five_times_the_look_back_of_history_give_the_same_events(
    spark: SparkSession, settings: Settings
) -> None:
    assert look_back(GRAINS["daily"], chosen_detectors(settings, "daily"), rules_of(settings)) == WARM_UP
    once, twice, five_times = warm_up(lambda rows: found(daily_frame(spark, rows), settings, "daily"))
    assert once == twice == five_times
    assert {detector for detector, _ in once} == {detector.name for detector in detectors_of("daily")}


def test_a_mean_since_the_beginning_is_caught_by_the_warm_up(spark: SparkSession, settings: Settings) -> None:
    by_day = GRAINS["daily"].windows["by_day"]
    since = {"since_ever": f"{by_day} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"}
    grain = replace(GRAINS["daily"], windows={**GRAINS["daily"].windows, **since})
    leak = leaky("endless_leak", "high - low > 0.7D * avg(high - low) OVER since_ever")
    once, twice, five_times = warm_up(run_of(spark, settings, grain, [leak]))
    assert not once == twice == five_times


@pytest.mark.parametrize("grain", ["minute", "trade"])
def test_sessions_before_change_no_intraday_event(spark: SparkSession, settings: Settings, grain: str) -> None:
    """Their windows never leave the session: no day before it, two, five of them give the same."""
    assert GRAINS[grain].stays_in_session
    rows = PLANTED[grain]()

    busy = {name: 3 * rows[name] for name in ("price", "close", "high", "open", "low", "volume") if name in rows}
    parts = [
        rows.assign(
            symbol=f"{days}|" + rows["symbol"],
            session_date=planted.DATE - dt.timedelta(ago),
            ts=rows["ts"] - pd.Timedelta(days=ago),
            **(busy if ago else {}),
        )
        for days in (0, 2, 5)
        for ago in range(days + 1)
    ]
    found_ = found(MAKERS[grain](spark, pd.concat(parts, ignore_index=True)), settings, grain)
    of_day = found_[found_["session_date"] == planted.DATE]
    named = of_day["symbol"].str.split("|", expand=True)
    of_day = of_day.assign(days=named[0], symbol=named[1])
    told = [name for name in of_day.columns if name not in ("event_id", "security_id", "days")]
    alone, two, five = (facts(of_day[of_day["days"] == days], told) for days in ("0", "2", "5"))
    assert alone == two == five
    assert {detector for detector, _ in alone} == {detector.name for detector in detectors_of(grain)}


def fired_by(settings: Settings, frame: DataFrame) -> set[tuple[str, int]]:
    """Detectors and minutes of the events of a minute frame."""
    rows = found(frame, settings, "minute")
    minutes = (rows["ts"] - planted.FOUR).dt.total_seconds() // 60
    return set(zip(rows["detector"], minutes.astype(int), strict=True))


def test_a_minute_without_a_bar_is_judged_by_the_minutes_there_are(spark: SparkSession, settings: Settings) -> None:
    """Of the planted days every second minute is taken away, of a thinner one all but every fifth: the event's own stays."""
    days = planted.planted()
    bars, ((at, _),) = days["price_momentum"]
    kept = bars[((at - bars["minute"]) % 2 == 0) | (bars["minute"] == at - 5)]
    # Closes of the hour are 5.01 and their returns 0, but for minute 426, whose close of 4.99 is what 431 is held against.
    assert ("price_momentum", at) in fired_by(settings, minute_frame(spark, kept))
    thin = bars[(at - bars["minute"]) % 5 == 0]
    # 12 bars in the hour before, 15 are asked for.
    assert "price_momentum" not in {name for name, _ in fired_by(settings, minute_frame(spark, thin))}


def test_on_a_half_day_the_afternoon_is_the_post_session(spark: SparkSession, settings: Settings) -> None:
    """28 November 2025 closes at 13:00: the minutes of a spike at 13:40 are of a segment that begins at 540."""
    half = dt.date(2025, 11, 28)
    opening = pd.Timestamp(2025, 11, 28, 4, tz="America/New_York").tz_convert("UTC")
    volumes = dict.fromkeys(range(500, 600), 1000) | {580: 40_000}
    starts = [int((opening + pd.Timedelta(minutes=minute)).value) for minute in volumes]
    raw = spark.createDataFrame(
        [
            ("HALF", half, start, 5.0, 5.01, 4.99, 5.0, volume)
            for start, volume in zip(starts, volumes.values(), strict=True)
        ],
        "symbol string, session_date date, window_start_ns bigint, open double, high double, low double, close double, "
        "volume bigint",
    )
    columns = {"vwap": "decimal(18,6)", "transactions": "bigint", "source_sha256": "string", "source_line": "bigint"}
    columns["kafka_offset"] = "bigint"
    vendor = raw.selectExpr("*", *[f"cast(NULL AS {kind}) AS {name}" for name, kind in columns.items()])
    labelled = judged_vendor_minutes(vendor, calendar_frame(spark, half, half)).where("_rule IS NULL")
    bounds = labelled.groupBy("session").agg({"minute": "min", "segment_start": "max"}).collect()
    assert {row.session: (row["min(minute)"], row["max(segment_start)"]) for row in bounds} == {
        "regular": (500, 330),
        "post": (540, 540),
    }
    rows = found(labelled.withColumn("security_id", F.lit("T:HALF")), settings, "minute")
    (spike,) = rows[rows["detector"] == "volume_spike"].to_dict("records")
    # 44,000 shares in five minutes, 1,000 a minute expected since 13:00.
    assert (spike["relative_volume"], spike["minutes_since_open"], spike["baseline"]) == (8.8, 40, "session")


def test_a_listing_fires_daily_from_its_eleventh_bar_on(spark: SparkSession, settings: Settings) -> None:
    """A gap on the tenth day of one, on the eleventh of another; neither has an ATR yet."""
    sessions = list(sessions_between(dt.date(2015, 3, 20), dt.date(2015, 4, 20))["session_date"])
    columns = ["open", "high", "low", "close", "volume"]
    names = [
        pd.DataFrame([*quiet(10.0, days), (11.5, 11.6, 11.4, 11.5, 100_000)], columns=columns).assign(
            symbol=symbol, session_date=sessions[: days + 1]
        )
        for symbol, days in (("TENTH", 9), ("ELEVENTH", 10))
    ]
    rows = found(daily_frame(spark, pd.concat(names, ignore_index=True)), settings, "daily")
    assert rows[["symbol", "detector", "rvol_n"]].values.tolist() == [["ELEVENTH", "gap", 10]]
    assert rows["atr"].isna().all()
