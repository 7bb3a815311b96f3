"""Sectors: who is of which and since when it is known, returns by hand, betas against pandas, and what was planted."""

from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.calendar import sessions_between
from smallcaps.lake import declared
from smallcaps.refine.sectors import (
    FUNDS,
    LEAST,
    LOOK_BACK_DAYS,
    MARKET,
    SESSIONS,
    SMALL_CAP,
    classified,
    fund_returns,
    sector_codes,
    sectors,
    with_return,
)
from smallcaps.sources.simulator import universe
from smallcaps.sources.simulator.history import make_history
from smallcaps.sources.simulator.settings import MarketSettings
from tests.detectors.frames import daily_frame
from tests.oracles.rounding import sig9
from tests.refine.frames import snapshots

DAYS = list(sessions_between(date(2019, 1, 2), date(2019, 12, 31))["session_date"])
MEASURES = [f"{kind}_{name}" for name in ("market", "small_cap", "sector") for kind in ("beta", "correlation")]


def bars_of(closes: dict[str, list[float | None]], first: int = 0) -> pd.DataFrame:
    """Daily bars of closes from a session on; no bar where there is none."""
    rows = [
        {"symbol": symbol, "session_date": DAYS[first + place], "close": close, "volume": 1_000}
        for symbol, series in closes.items()
        for place, close in enumerate(series)
        if close is not None
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(**dict.fromkeys(("open", "high", "low"), frame["close"]))


def silver(spark: SparkSession, bars: pd.DataFrame, splits: pd.DataFrame | None = None) -> DataFrame:
    return daily_frame(spark, bars, splits).withColumn("zero_volume", F.col("volume") == 0)


def details(spark: SparkSession, *said: tuple[str, date, str | None]) -> DataFrame:
    """Rows of bronze.ticker_details: whose (as `daily_frame` names it), as of when, and the code."""
    rows = [
        {"symbol": name, "composite_figi": f"T:{name}", "as_of": day, "sic_code": code, "source_line": line}
        for line, (name, day, code) in enumerate(said, start=1)
    ]
    return snapshots(spark, "bronze.ticker_details", rows)


def made(spark: SparkSession, bars: DataFrame, *said: tuple[str, date, str | None]) -> pd.DataFrame:
    frame = sectors(bars, classified(details(spark, *said)), fund_returns(bars))
    return frame.toPandas().sort_values(["symbol", "session_date"], ignore_index=True)


def walk(seed: int, count: int, volatility: float = 0.02) -> list[float | None]:
    steps = volatility * np.random.default_rng(seed).standard_normal(count)
    return [float(close) for close in 10 * np.exp(np.cumsum(steps))]


def test_every_code_has_one_sector_on_every_day_and_the_table_knows_it() -> None:
    codes = sector_codes()
    for day in (date(2010, 1, 4), date(2016, 9, 16), date(2016, 9, 19), date(2018, 9, 21), date(2018, 9, 24)):
        ranges = sorted((first, last) for first, last, begin, end, _ in codes if begin <= day < end)
        assert all(one[1] < other[0] for one, other in pairwise(ranges))
        # Nobody is coded 1100 or 1800; what is of the state or of no kind is left out.
        covered = {group for first, last in ranges for group in range(first // 100, last // 100 + 1)}
        assert set(range(1, 90)) - covered == {11, 18, 19, 68, 69, 77}
    columns = {column.name: column for column in declared("silver.sectors").columns}
    assert {sector for *_, sector in codes} == set(FUNDS) == set(columns["sector"].values)


def test_a_simulated_company_is_of_the_sector_whose_fund_it_moves_with() -> None:
    assert (universe.MARKET_FUND, universe.SMALL_CAP_FUND) == (MARKET, SMALL_CAP)
    for fund, _, code, _ in universe.SECTORS:
        (sector,) = [
            sector for first, end, _, to, sector in sector_codes() if first <= int(code) <= end and to.year > 2026
        ]
        assert FUNDS[sector] == fund


def test_a_code_is_known_on_the_day_after_it_was_said_and_before_that_by_hindsight(spark: SparkSession) -> None:
    said = [
        ("MOVED", date(2019, 3, 1), "2834"),
        ("MOVED", date(2019, 4, 1), "2834"),
        ("MOVED", date(2019, 5, 1), None),
        ("MOVED", date(2019, 6, 3), "7372"),
        ("REIT", date(2019, 3, 1), "6798"),
        ("SHELL", date(2019, 3, 1), "9995"),
        ("MUTE", date(2019, 3, 1), None),
    ]
    rows = classified(details(spark, *said)).orderBy("security_id", "valid_from").collect()
    begin, end = date(1900, 1, 1), date(9999, 12, 31)
    assert [tuple(row) for row in rows] == [
        ("T:MOVED", "2834", date(2019, 3, 2), "health_care", begin, date(2019, 6, 4)),
        ("T:MOVED", "7372", date(2019, 6, 4), "technology", date(2019, 6, 4), end),
        ("T:REIT", "6798", date(2019, 3, 2), "financials", begin, date(2016, 9, 19)),
        ("T:REIT", "6798", date(2019, 3, 2), "real_estate", date(2016, 9, 19), end),
        ("T:SHELL", "9995", date(2019, 3, 2), None, begin, end),
    ]
    # 2019-03-01, 03-04, 06-03 and 06-04 are sessions.
    names = ("MOVED", "SHELL", "MUTE", "XLF")
    days = [date(2019, 3, 1), date(2019, 3, 4), date(2019, 6, 3), date(2019, 6, 4)]
    bars = pd.concat([bars_of({name: [10.0] for name in names}, DAYS.index(day)) for day in days])
    found = made(spark, silver(spark, bars), *said).set_index(["symbol", "session_date"])
    columns = ["sector", "sector_fund", "is_sector_known"]

    def of(name: str) -> list[tuple[Any, ...]]:
        told = found.loc[name][columns].astype(object)
        return [tuple(row) for row in told.where(told.notna(), None).to_numpy()]

    before, after = ("health_care", "XLV"), ("technology", "XLK")
    assert of("MOVED") == [(*before, False), (*before, True), (*before, True), (*after, True)]
    assert of("SHELL") == [(None, None, False), *[(None, None, True)] * 3]
    assert of("MUTE") == [(None, None, None)] * 4
    assert of("XLF") == [("financials", "XLF", True)] * 4


def test_a_return_is_from_session_to_session_in_the_shares_of_the_day(spark: SparkSession) -> None:
    bars = bars_of(
        {
            "PLAIN": [10.0, 11.0, 9.9],
            # 1 for 2 on the second day: 20 is 10 in the new shares.
            "SPLIT": [20.0, 10.2, 10.2],
            "ABSENT": [10.0, None, 11.0, 12.1],
            "CARRIED": [10.0, 10.0, 11.0, 12.1],
            # Twice the price over night and no split on file.
            "DOUBLE": [10.0, 20.0, 21.0],
        }
    )
    bars.loc[(bars["symbol"] == "CARRIED") & (bars["session_date"] == DAYS[1]), "volume"] = 0
    splits = pd.DataFrame({"symbol": ["SPLIT"], "ex_date": [DAYS[1]], "price_factor": [0.5]})
    rows = with_return(silver(spark, bars, splits)).orderBy("symbol", "session_date").collect()
    found: dict[str, list[float | None]] = {}
    for row in rows:
        found.setdefault(row.symbol, []).append(None if row.daily_return is None else round(row.daily_return, 12))
    assert found == {
        "PLAIN": [None, 0.1, -0.1],
        "SPLIT": [None, 0.02, 0.0],
        "ABSENT": [None, None, 0.1],
        "CARRIED": [None, None, None, 0.1],
        "DOUBLE": [None, None, 0.05],
    }


@pytest.fixture(scope="module")
def market(spark: SparkSession) -> DataFrame:
    """Silver bars of 130 sessions: funds, names with gaps, one that begins late, one that splits."""
    draw = np.random.default_rng(3)
    closes = {symbol: walk(seed, 130, 0.01) for seed, symbol in enumerate((MARKET, SMALL_CAP, "XLV", "XLK"))}
    closes |= {symbol: walk(10 + seed, 130, 0.04) for seed, symbol in enumerate(("WHOLE", "GAPS", "SPLIT", "OTHER"))}
    closes["GAPS"] = [None if draw.random() < 0.2 else close for close in closes["GAPS"]]
    closes["XLV"][70] = None
    closes["LATE"] = [*[None] * 60, *walk(20, 70)]
    closes["SPLIT"] = [close * (2 if place < 80 else 1) for place, close in enumerate(closes["SPLIT"]) if close]
    splits = pd.DataFrame({"symbol": ["SPLIT"], "ex_date": [DAYS[80]], "price_factor": [0.5]})
    return silver(spark, bars_of(closes), splits).cache()


CODES = [(name, date(2019, 1, 2), "2834") for name in ("WHOLE", "GAPS", "SPLIT", "LATE")]


@pytest.fixture(scope="module")
def rows(spark: SparkSession, market: DataFrame) -> pd.DataFrame:
    return made(spark, market, *CODES)


def test_betas_and_correlations_are_those_of_pandas(market: DataFrame, rows: pd.DataFrame) -> None:
    bars = market.toPandas()
    bars["adjusted"] = bars["close"] / bars["cumulative_factor"]
    prices = bars.pivot(index="session_date", columns="symbol", values="adjusted")
    returns = prices / prices.shift(1) - 1
    expected = {}
    for name in prices.columns:
        sector = {"XLV": "XLV", "XLK": "XLK"}.get(name, "XLV" if (name, DAYS[0], "2834") in CODES else None)
        for kind, fund in {"market": MARKET, "small_cap": SMALL_CAP, "sector": sector}.items():
            other = returns[fund] if fund else returns[name] * np.nan
            own, other = returns[name].where(other.notna()), other.where(returns[name].notna())
            rolling = own.rolling(SESSIONS, min_periods=LEAST)
            expected[name, f"beta_{kind}"] = rolling.cov(other) / other.rolling(SESSIONS, min_periods=LEAST).var()
            expected[name, f"correlation_{kind}"] = rolling.corr(other)
        expected[name, "n"] = returns[name].rolling(SESSIONS, min_periods=0).count()
    compared = 0
    for name, found in rows.set_index("session_date").groupby("symbol"):
        for measure in (*MEASURES, "n"):
            told = expected[name, measure].reindex(found.index)
            np.testing.assert_allclose(
                found[measure].astype(float), told, rtol=1e-7, atol=1e-12, err_msg=f"{name} {measure}"
            )
            compared += int(told.notna().sum())
    assert compared > 4_000
    # Of what is told nothing has more than nine digits.
    told = rows[MEASURES].stack()
    assert list(told) == [sig9(value) for value in told]


def test_a_row_has_the_returns_it_was_measured_by_and_is_known_at_the_close(
    market: DataFrame, rows: pd.DataFrame
) -> None:
    closes = market.toPandas().sort_values(["symbol", "session_date"])["close_at"]
    assert list(rows["known_at"]) == list(closes)
    of = rows.set_index(["symbol", "session_date"])
    day = DAYS[100]
    for name in ("WHOLE", "GAPS", "OTHER"):
        own = of.loc[name]["market_return"]
        assert own.equals(of.loc[MARKET]["daily_return"].reindex(own.index))
    assert of.loc["WHOLE", day]["sector_return"] == of.loc["XLV", day]["daily_return"]
    assert of.loc["WHOLE", day]["small_cap_return"] == of.loc[SMALL_CAP, day]["daily_return"]
    assert tuple(of.loc["XLV", day][["beta_sector", "correlation_sector"]]) == (1.0, 1.0)
    assert np.isnan(of.loc["OTHER", day]["beta_sector"])


def test_forty_sessions_that_both_have_are_enough_and_thirty_nine_are_not(rows: pd.DataFrame) -> None:
    late = rows[rows["symbol"] == "LATE"].set_index("session_date")["beta_market"]
    # Its first bar is on session 60, so the fortieth return on session 100.
    assert late[: DAYS[99]].isna().all()
    assert late[DAYS[100] :].notna().all()
    # The sector's fund lacks the returns of sessions 70 and 71.
    sector = rows[rows["symbol"] == "LATE"].set_index("session_date")["beta_sector"]
    assert (sector[: DAYS[101]].isna().all(), sector[DAYS[102] :].notna().all()) == (True, True)


def test_what_never_moved_has_no_correlation_and_a_fund_that_never_moved_no_beta(spark: SparkSession) -> None:
    bars = bars_of({MARKET: [100.0] * 45, SMALL_CAP: walk(1, 45), "STILL": [5.0] * 45, "MOVING": walk(2, 45)})
    frame = made(spark, silver(spark, bars))
    last = frame[frame["session_date"] == DAYS[44]].set_index("symbol")
    assert last.loc["MOVING", ["beta_market", "correlation_market"]].isna().all()
    assert last.loc["MOVING", ["beta_small_cap", "correlation_small_cap"]].notna().all()
    assert last.loc["STILL", "beta_small_cap"] == 0
    assert np.isnan(last.loc["STILL", "correlation_small_cap"])


def test_a_day_is_the_same_whatever_comes_after_it_and_whatever_lies_before_what_it_looks_back_at(
    spark: SparkSession, market: DataFrame, rows: pd.DataFrame
) -> None:
    for place in (45, 71, 80, 101):
        day = DAYS[place]
        until = made(spark, market.where(F.col("session_date") <= day), *CODES)
        pd.testing.assert_frame_equal(until, rows[rows["session_date"] <= day].reset_index(drop=True))
    first = DAYS[110]
    near = market.where(F.datediff(F.lit(first), "session_date") <= LOOK_BACK_DAYS)
    assert near.agg(F.min("session_date")).collect()[0][0] > DAYS[1]
    found = made(spark, near, *CODES)
    pd.testing.assert_frame_equal(
        found[found["session_date"] >= first].reset_index(drop=True),
        rows[rows["session_date"] >= first].reset_index(drop=True),
    )


def test_noise_after_a_day_changes_nothing_up_to_it(spark: SparkSession, market: DataFrame, rows: pd.DataFrame) -> None:
    day = DAYS[100]
    shocked = {
        name: F.when(F.col("session_date") > day, F.col(name) * 3).otherwise(F.col(name)) for name in ("open", "close")
    }
    found = made(spark, market.withColumns(shocked), *CODES)
    pd.testing.assert_frame_equal(found[found["session_date"] <= day], rows[rows["session_date"] <= day])
    assert not found["beta_market"].equals(rows["beta_market"])


def test_the_look_back_holds_every_session_that_a_row_needs() -> None:
    days = pd.Series(pd.to_datetime(sessions_between(date(1990, 1, 2), date(2030, 12, 31))["session_date"]))
    assert (days - days.shift(SESSIONS)).dt.days.max() <= LOOK_BACK_DAYS


def test_names_are_shuffled_and_sorted_once(spark: SparkSession, market: DataFrame) -> None:
    classes = classified(details(spark, *CODES)).localCheckpoint()
    funds = fund_returns(market).localCheckpoint()
    plan = sectors(market.localCheckpoint(), classes, funds)._jdf.queryExecution().executedPlan().toString()
    assert plan.count("Exchange") - plan.count("BroadcastExchange") == 1, plan
    assert plan.count("Sort [") == 1, plan


@pytest.mark.slow
def test_betas_find_those_that_were_planted(spark: SparkSession, compiled: None) -> None:
    """Four windows that do not overlap, of 200 stocks whose own moves are four to eight times the market's.

    One window knows a beta to about 0.045 / (0.008 · √60) = 0.7, four to 0.35. The planted ones have a deviation of 0.35, so at
    best the correlation is about √½, and episodes disturb it. By chance it would lie within ±0.21 (three times 1 / √200).
    """
    history = make_history(MarketSettings(symbols=200, days=241, last_day=date(2026, 10, 30), seed=7, tick_days=0))
    names = {
        one.number: one.symbol if one.kind == "ETF" else f"N{one.number}"
        for one in history.securities
        if one.kind in ("ETF", "CS")
    }
    days = [hours.day for hours in history.sessions]
    places = [(number, place) for number in names for place in np.flatnonzero(~np.isnan(history.closes[number]))]
    closes = [float(history.closes[number, place]) for number, place in places]
    bars = pd.DataFrame(
        {
            "symbol": [names[number] for number, _ in places],
            "session_date": [days[place] for _, place in places],
            **dict.fromkeys(("open", "high", "low", "close"), closes),
            "volume": 1_000,
        }
    )
    splits = pd.DataFrame(
        [(names[one.number], one.day, one.old / one.new) for one in history.splits if one.number in names],
        columns=["symbol", "ex_date", "price_factor"],
    )
    daily = silver(spark, bars, splits)
    nothing = classified(details(spark).limit(0))
    frame = sectors(daily, nothing, fund_returns(daily)).where(F.col("session_date").isin(days[60::60]))
    found = frame.select("symbol", "beta_market", "correlation_market").toPandas()
    counted = found.groupby("symbol")["beta_market"].agg(["mean", "count"])
    whole = counted[counted["count"] == 4]["mean"]
    planted = pd.Series({names[one.number]: one.beta for one in history.securities if one.number in names})
    stocks = [name for name in whole.index if name.startswith("N")]
    assert len(stocks) > 150
    assert np.corrcoef(whole[stocks], planted[stocks])[0, 1] > 0.45
    assert abs((whole[stocks] - planted[stocks]).mean()) < 0.1
    # Funds have a beta of 1 and next to no moves of their own but for their sector's.
    assert (whole[list(FUNDS.values())] - 1).abs().max() < 0.25
    assert found[found["symbol"] == SMALL_CAP]["correlation_market"].min() > 0.9
