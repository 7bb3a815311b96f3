"""What surveillance sees of a minute: against pandas, and the same whatever came later."""

import datetime as dt
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from smallcaps.calendar import sessions_between
from smallcaps.config import Settings
from smallcaps.microstructure.surveillance import INPUTS, TABLES, VOLATILITY_SESSIONS, surveillance
from smallcaps.refine.labels import calendar_frame
from tests.microstructure.tables import as_table

Row = dict[str, Any]
*SESSIONS, LATER = sessions_between(dt.date(2025, 1, 2), dt.date(2025, 3, 4)).to_dict("records")
SESSION = SESSIONS[-1]
DAY = SESSION["session_date"]
FOUR_NS = SESSION["pre_open_at"].value
OPEN = 330
MINUTES, CUT = 75, 50
"""Minutes of the tape, and after how many the copy of a name ends that knows no more."""
DELAY = 2
NAMES = {"CALM": 5.0, "THIN": 0.8}


def who(name: str) -> Row:
    return {"security_id": f"T:{name}:2025-01-02", "symbol": name, "session_date": DAY}


def tape(name: str, quotes_a_minute: float, minutes: int) -> dict[str, list[Row]]:
    """Random quotes, books and minute bars of a name. The first `minutes` of two lengths are alike."""
    random = np.random.default_rng([7, len(name), ord(name[0])])
    rows: dict[str, list[Row]] = {"silver.quotes": [], "silver.book": [], "silver.bars_1m": []}
    price, number = 10.0, 0
    for minute in range(OPEN, OPEN + MINUTES):
        there = minute < OPEN + minutes
        for second in sorted(random.uniform(0, 60, random.poisson(quotes_a_minute))):
            number += 1
            at = FOUR_NS + minute * 60 * 10**9 + int(second * 1e9)
            price = round(price + random.choice([-0.01, 0, 0.01]), 2)
            crossed = random.random() < 0.1
            bid, ask = (price + 0.05, price) if crossed else (price - 0.01, price + 0.01)
            sizes = [float(size) for size in random.integers(1, 20, 8) * 100]
            clock = {"ts": pd.Timestamp(at // 1_000, unit="us", tz="UTC").to_pydatetime(), "sequence_number": number}
            said = (
                who(name)
                | clock
                | {"session": "regular", "is_two_sided": True, "is_crossed": crossed, "is_locked": False}
            )
            levels = [
                [{"price": bid + sign * 0.01 * place, "size": size} for place, size in enumerate(some)]
                for sign, some in ((-1, sizes[:4]), (1, sizes[4:]))
            ]
            if there:
                quoted = {"bid_price": bid, "bid_size": sizes[0], "ask_price": ask, "ask_size": sizes[4]}
                rows["silver.quotes"].append(said | quoted | {"sip_ns": at, "participant_ns": at})
                rows["silver.book"].append(
                    said | {"published_ns": at, "made_ns": at, "bids": levels[0], "asks": levels[1], "is_stale": False}
                )
        if random.random() < 0.7 and there:
            begins = pd.Timestamp(FOUR_NS // 1_000 + minute * 60_000_000, unit="us", tz="UTC").to_pydatetime()
            prices = dict.fromkeys(("open", "high", "low", "close"), price)
            bar = {"ts": begins, "session": "regular", "segment": 1, "segment_start": OPEN, "minute": minute} | prices
            traded = {"volume": int(random.integers(1, 900)), "transactions": int(random.integers(1, 20))}
            rows["silver.bars_1m"].append(who(name) | bar | traded | {"is_auction": False, "source": "vendor"})
    return rows


RETURNS = [None if day in (3, 20) else round(math.sin(day) / 30, 4) for day in range(25)]
"""Of the 25 sessions before the day; two have none."""


def daily(name: str) -> list[Row]:
    """The returns of the sessions before, and the day's own and one later, which are not known yet."""
    returns = [*RETURNS, 9.0, 99.0]
    sessions = [*SESSIONS[-1 - len(RETURNS) :], LATER]
    funds = {"market_fund": "SPY", "small_cap_fund": "IWM", "n": 60}
    return [
        who(name)
        | funds
        | {
            "session_date": session["session_date"],
            "known_at": session["close_at"].to_pydatetime(),
            "daily_return": told,
        }
        for session, told in zip(sessions, returns, strict=True)
    ]


@pytest.fixture(scope="module")
def rows() -> dict[str, list[Row]]:
    """Each name whole, and a copy of it that ends early."""
    found: dict[str, list[Row]] = {name: [] for name in TABLES if name != "silver.calendar"}
    for name, quotes_a_minute in NAMES.items():
        for minutes, called in ((MINUTES, name), (CUT, f"{name}.CUT")):
            for table, some in tape(name, quotes_a_minute, minutes).items():
                found[table] += [row | who(called) for row in some]
            found["silver.sectors"] += daily(called)
            usual = {"known_at": SESSION["pre_open_at"].to_pydatetime(), "bars": 20, "counted_bars": 20}
            found["silver.baselines"].append(who(called) | usual | {"median_volume": 50_000.0, "median_trades": 900.0})
    return found


@pytest.fixture(scope="module")
def seen(spark: SparkSession, settings: Settings, rows: dict[str, list[Row]]) -> pd.DataFrame:
    tables = {name: as_table(spark, name, some) for name, some in rows.items()}
    tables["silver.calendar"] = calendar_frame(spark, SESSIONS[0]["session_date"], DAY)
    frame = surveillance(tables, settings.microstructure, DELAY)
    found = frame.toPandas().sort_values(["symbol", "ts"], ignore_index=True)
    return found.assign(
        minute=(found["ts"].astype("datetime64[us]").astype("int64") // 60_000_000) - FOUR_NS // 60_000_000_000
    )


def test_every_minute_with_a_sound_quote_is_there_once_and_known_when_its_bar_is(
    seen: pd.DataFrame, rows: dict[str, list[Row]]
) -> None:
    sound = {
        (row["symbol"], (row["sip_ns"] - FOUR_NS) // 60_000_000_000)
        for row in rows["silver.quotes"]
        if not row["is_crossed"]
    }
    assert sorted(zip(seen["symbol"], seen["minute"], strict=True)) == sorted(sound)
    assert set(seen["known_at"] - seen["ts"]) == {pd.Timedelta(seconds=60 + DELAY)}
    assert set(seen["session_number"]) == {SESSION["session_number"]}


def test_what_is_seen_is_what_pandas_finds(seen: pd.DataFrame, rows: dict[str, list[Row]]) -> None:
    for name in NAMES:
        ours = seen[seen["symbol"] == name].set_index("minute")
        expected = oracle({table: [row for row in some if row["symbol"] == name] for table, some in rows.items()})
        pd.testing.assert_frame_equal(
            ours[list(INPUTS)], expected[list(INPUTS)], rtol=1e-9, atol=1e-12, check_names=False, check_dtype=False
        )
        assert ours[list(INPUTS)].notna().any().all(), name


def test_nothing_that_comes_later_changes_a_minute(seen: pd.DataFrame) -> None:
    for name in NAMES:
        whole, cut = (
            seen[seen["symbol"] == called].set_index("minute")[list(INPUTS)] for called in (name, f"{name}.CUT")
        )
        assert 0 < len(cut) < len(whole)
        pd.testing.assert_frame_equal(cut, whole.loc[cut.index])


def test_without_books_history_and_baselines_the_rest_is_the_same(
    spark: SparkSession, settings: Settings, rows: dict[str, list[Row]], seen: pd.DataFrame
) -> None:
    tables = {
        name: as_table(spark, name, [row for row in some if row["symbol"] == "CALM"]) for name, some in rows.items()
    }
    tables |= {name: tables[name].limit(0) for name in ("silver.book", "silver.sectors", "silver.baselines")}
    tables["silver.calendar"] = calendar_frame(spark, SESSIONS[0]["session_date"], DAY)
    found = surveillance(tables, settings.microstructure, DELAY).toPandas().sort_values("ts", ignore_index=True)
    gone = [one for one, sql in INPUTS.items() if "deep_" in sql or "volatility" in sql or "median_volume" in sql]
    assert found[gone].isna().all().all()
    kept = [one for one in INPUTS if one not in gone]
    pd.testing.assert_frame_equal(found[kept], seen[seen["symbol"] == "CALM"][kept].reset_index(drop=True))


def oracle(rows: dict[str, list[Row]]) -> pd.DataFrame:
    """INPUTS by minute, of one name's rows, by loops over minutes."""
    quotes = pd.DataFrame([row for row in rows["silver.quotes"] if not row["is_crossed"]])
    books = pd.DataFrame(rows["silver.book"])
    bars = pd.DataFrame(rows["silver.bars_1m"]).set_index("minute")
    quotes["minute"] = (quotes["sip_ns"] - FOUR_NS) // 60_000_000_000
    books["minute"] = (books["published_ns"] - FOUR_NS) // 60_000_000_000
    for side in ("bid", "ask"):
        books[f"{side}_size"] = [sum(level["size"] for level in levels[1:4]) for levels in books[f"{side}s"]]
    each = (
        quotes.groupby("minute")
        .apply(minute_of, include_groups=False)
        .join(books.groupby("minute").apply(sizes_of, include_groups=False).add_prefix("deep_"), how="outer")
    )
    each = each.join(bars[["volume", "transactions"]], how="outer").sort_index()
    each = each.fillna({"volume": 0, "transactions": 0, "quotes": 0})
    known = [math.log1p(told) for told in RETURNS[-VOLATILITY_SESSIONS:] if told is not None]
    volatility = float(np.std(known, ddof=1))
    quoted = each[each["quotes"] > 0]
    return pd.DataFrame({minute: inputs_of(each, minute, volatility) for minute in quoted.index}).T


def sizes_of(some: pd.DataFrame) -> pd.Series:
    bid, ask = some["bid_size"], some["ask_size"]
    return pd.Series(
        {
            "imbalance": ((bid - ask) / (bid + ask)).mean(),
            **{f"{side}_size": some[f"{side}_size"].mean() for side in ("bid", "ask")},
            **{f"{side}_flicker": np.log(some[f"{side}_size"]).std(ddof=0) for side in ("bid", "ask")},
        }
    )


def minute_of(some: pd.DataFrame) -> pd.Series:
    mid = (some["bid_price"] + some["ask_price"]) / 2
    spread = (some["ask_price"] - some["bid_price"]) / mid
    return pd.concat([pd.Series({"quotes": len(some), "mid": mid.iloc[-1], "spread": spread.mean()}), sizes_of(some)])


def inputs_of(each: pd.DataFrame, minute: int, volatility: float) -> dict[str, float]:
    elapsed = minute - OPEN + 1
    so_far, before = each.loc[:minute], each.loc[: minute - 5]
    last = {minutes: each.loc[minute - minutes + 1 : minute] for minutes in (5, 30)}
    now = each.loc[minute]
    steps = np.sign(each["mid"].dropna().diff()).reindex(each.index).loc[minute - 29 : minute]
    found: dict[str, float] = {"minutes_since_regular_open": minute - OPEN}
    for minutes in (5, 15, 30, 60):
        first = each.loc[minute - minutes : minute, "mid"].dropna().iloc[0]
        found[f"run_{minutes}m"] = math.log(now["mid"] / first) / volatility if elapsed > minutes else math.nan
    found["above_low"] = math.log(now["mid"] / so_far["mid"].min()) / volatility
    found["below_high"] = math.log(so_far["mid"].max() / now["mid"]) / volatility
    found["direction_30m"] = steps.mean()
    found["log_relative_volume_30m"] = log_of(last[30]["volume"].sum(), 50_000 * 30 / 390)
    for name, column in (("volume", "volume"), ("trade", "transactions"), ("quote", "quotes")):
        found[f"{name}_pace_5m"] = log_of(last[5][column].sum() / 5, ratio(before[column].sum(), max(elapsed - 5, 0)))
    sizes = {
        key: ratio(some["volume"].sum(), some["transactions"].sum())
        for key, some in (("30", last[30]), ("all", so_far))
    }
    found["trade_size_30m"] = log_of(sizes["30"], sizes["all"])
    found["spread_5m"] = log_of(last[5]["spread"].mean(), before["spread"].mean())
    for prefix in ("", "deep_"):
        found[f"{prefix}imbalance_1m"] = now[f"{prefix}imbalance"]
        found[f"{prefix}imbalance_5m"] = last[5][f"{prefix}imbalance"].mean()
        for side in ("bid", "ask"):
            weight = f"{prefix}{side}_size"
            found[f"{prefix}{side}_weight_5m"] = log_of(last[5][weight].mean(), before[weight].mean())
            found[f"{prefix}{side}_flicker_5m"] = last[5][f"{prefix}{side}_flicker"].mean()
    full = {"direction_30m": 30, "log_relative_volume_30m": 30, "trade_size_30m": 30}
    full |= {name: 5 for name in found if "imbalance_5m" in name or "flicker_5m" in name}
    return {name: math.nan if elapsed < full.get(name, 0) else value for name, value in found.items()}


def ratio(one: float, other: float) -> float:
    return one / other if other else math.nan


def log_of(one: float, other: float) -> float:
    share = ratio(one, other)
    return math.log(share) if share > 0 else math.nan
