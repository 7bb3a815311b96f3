"""How large a name's trades were in the sessions before a day, against pandas over the trades themselves; and that nothing later
takes part.
"""

import math
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.calendar import sessions_between
from smallcaps.lake import declared
from smallcaps.refine.labels import calendar_frame
from smallcaps.refine.trade_sizes import earlier_quantiles, trade_sizes
from tests.microstructure.tables import as_table

DAYS = list(sessions_between(date(2019, 11, 1), date(2019, 12, 13))["session_date"])  # Thanksgiving is among them.
ASKED, LAST = DAYS[25], DAYS[28]
QUANTILE = 0.99
KEY = ["security_id", "session_date"]
BOUND = math.exp(-0.01)
ROUNDING = 1 + 1e-12


def world() -> pd.DataFrame:
    """Rows of silver.trades: what counts of seven names in and out of reach of ASKED, and beside it what does not count."""
    draw = np.random.default_rng(3)
    traded = {
        "FULL": DAYS,
        "THIN": DAYS[1::4],
        "YOUNG": DAYS[24:],
        "FIRST": DAYS[25:],  # nothing before ASKED
        "GONE": DAYS[:5],  # its last session is 21 before ASKED
        "GOING": DAYS[:6],  # its last session is 20 before ASKED
        "RENAMED": DAYS,
    }
    rows = []
    for name, days in traded.items():
        for day in days:
            count = int(draw.integers(1, 60))
            prices = np.round(draw.uniform(1, 20, count), 2)
            # Sizes of another order each session, so that one session more or less shows.
            sizes = np.ceil(np.exp(draw.normal(draw.uniform(2, 9), 1.5, count)))
            rows += [(name, day, price, size, True, False, True) for price, size in zip(prices, sizes, strict=True)]
            out = [(False, False, True), (True, True, True), (True, False, False)]
            rows += [(name, day, 20.0, 1e7, *flags) for flags in out]
    columns = ["symbol", "session_date", "price", "size", "updates_volume", "is_late", "is_whole_day"]
    frame = pd.DataFrame(rows, columns=columns).assign(security_id=lambda rows: "F:" + rows["symbol"])
    # Another ticker from a day on is the same security; an earlier version's rows do not say whether the day is whole.
    renamed = (frame["symbol"] == "RENAMED") & (frame["session_date"] >= DAYS[20])
    old = (frame["symbol"] == "FULL") & (frame["session_date"] == DAYS[10]) & frame["is_whole_day"]
    return frame.assign(
        symbol=frame["symbol"].mask(renamed, "AFTER"),
        is_whole_day=frame["is_whole_day"].astype(object).mask(old, None),
        size=[Decimal(int(size)) for size in frame["size"]],
    )


def counted(trades: pd.DataFrame) -> pd.DataFrame:
    """What counts, with its dollars."""
    whole = trades["is_whole_day"].map(lambda one: one is None or one)
    rows = trades[trades["updates_volume"] & ~trades["is_late"] & whole]
    return rows.assign(dollars=rows["price"] * rows["size"].astype(float))


def expected(trades: pd.DataFrame, day: date) -> dict[str, float]:
    """The exact quantile of each name that traded in the 20 sessions before a day."""
    place = DAYS.index(day)
    before = counted(trades)[lambda rows: rows["session_date"].isin(DAYS[max(0, place - 20) : place])]
    return before.groupby("security_id")["dollars"].quantile(QUANTILE).to_dict()


def quantiles(spark: SparkSession, sizes: DataFrame, *days: date) -> dict[date, dict[str, float]]:
    """What is found for every name on these days."""
    names = world()["security_id"].unique()
    asked = spark.createDataFrame(
        [(name, day) for name in names for day in days], "security_id string, session_date date"
    )
    found = earlier_quantiles(sizes, asked, calendar_frame(spark, DAYS[0], DAYS[-1]), QUANTILE)
    by_day: dict[date, dict[str, float]] = {day: {} for day in days}
    for row in found.collect():
        by_day[row.session_date][row.security_id] = row.dollars
    return by_day


@pytest.fixture(scope="module")
def sizes(spark: SparkSession) -> Iterator[DataFrame]:
    frame = trade_sizes(as_table(spark, "silver.trades", world())).persist()
    yield frame
    frame.unpersist()


def test_every_trade_that_counts_is_in_the_bucket_of_its_dollars(sizes: DataFrame) -> None:
    assert [column.name for column in declared("silver.trade_sizes").columns] == sizes.columns
    rows = counted(world())
    buckets = [math.floor(100 * math.log(dollars)) for dollars in rows["dollars"]]
    found = {tuple(row)[:3]: row.trades for row in sizes.collect()}
    assert found == Counter(zip(rows["security_id"], rows["session_date"], buckets, strict=True))


def test_a_quantile_is_of_the_20_sessions_before_and_at_most_a_hundredth_below(
    spark: SparkSession, sizes: DataFrame
) -> None:
    days = (DAYS[0], DAYS[1], ASKED, LAST)
    found = quantiles(spark, sizes, *days)
    assert found[DAYS[0]] == {}
    assert set(found[ASKED]) == {f"F:{name}" for name in ("FULL", "THIN", "YOUNG", "GOING", "RENAMED")}
    for day in days:
        exact = expected(world(), day)
        assert found[day].keys() == exact.keys()
        for name, dollars in found[day].items():
            assert exact[name] * BOUND / ROUNDING <= dollars <= exact[name] * ROUNDING, (name, day)
    # The bound is used: it is not that every trade happens to begin a bucket.
    assert min(found[LAST][name] / dollars for name, dollars in expected(world(), LAST).items()) < 0.999


def test_what_trades_on_the_day_or_later_or_longer_ago_changes_no_quantile(
    spark: SparkSession, sizes: DataFrame
) -> None:
    trades = world()
    place = DAYS.index(ASKED)
    inside = trades["session_date"].isin(DAYS[place - 20 : place])
    shocked = trades.assign(
        price=trades["price"].where(inside, 19.99), size=trades["size"].where(inside, Decimal(10**6))
    )
    other = trade_sizes(as_table(spark, "silver.trades", shocked))
    alone = trade_sizes(as_table(spark, "silver.trades", trades[inside]))
    before, after, cut = (quantiles(spark, one, ASKED, LAST) for one in (sizes, other, alone))
    assert before[ASKED] == after[ASKED] == cut[ASKED]
    assert before[LAST]["F:FULL"] != after[LAST]["F:FULL"]
