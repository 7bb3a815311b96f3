"""Quotes beside trades, ticks and Lee–Ready: by hand, against pandas on real ticks, and on arbitrary bursts."""

from typing import get_args

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from smallcaps.config.settings import SignRule
from smallcaps.microstructure.as_of import with_quotes
from smallcaps.microstructure.signing import mid, trade_sign, with_tick
from tests.microstructure import oracle
from tests.microstructure.real import ibm
from tests.microstructure.tables import as_table
from tests.microstructure.tape import KNOWN_NS, quote_at, trade_at

MILLISECOND = 1_000_000


@pytest.fixture(scope="module")
def quoted(spark: SparkSession) -> dict[str, dict]:
    """Trade id → its row, of one tape: quotes at 100, 200 (twice), 300 ns and 5 ms; times in ns after KNOWN."""

    def q(at: int, bid: float | None, ask: float | None, sequence: int, name: str = "A") -> dict:
        return quote_at(KNOWN_NS + at, bid, 100, ask, 100, name=name, sequence=sequence)

    def t(at: int, trade_id: str, name: str = "A", sequence: int = 1) -> dict:
        return trade_at(KNOWN_NS + at, 10.0, 100, name=name, sequence=sequence, trade_id=trade_id)

    quotes = [
        q(100, 1.0, 1.2, 5),
        # Two at one nanosecond, listed in the wrong order: 3.0 has the higher sequence number.
        q(200, 3.0, 3.2, 8),
        q(200, 2.0, 2.2, 7),
        q(300, None, 4.2, 9),
        q(5 * MILLISECOND, 5.0, 5.2, 10),
        q(0, 9.0, 9.2, 1, name="OTHER"),
    ]
    trades = [
        t(50, "before any quote"),
        t(100, "at the first quote"),
        t(101, "one ns after it"),
        # A trade's sequence number is far above or below the quotes': it must not matter.
        t(200, "at the double quote", sequence=10**9),
        t(201, "after the double quote"),
        t(301, "one-sided"),
        t(5 * MILLISECOND, "at the late quote"),
        t(50, "without a book", name="EMPTY"),
    ]
    offsets = {"quote": 0, "older": -100, "later": 5 * MILLISECOND}
    frame = with_quotes(as_table(spark, "silver.trades", trades), as_table(spark, "silver.quotes", quotes), offsets)
    rows = frame.withColumn("mid", mid("quote")).collect()
    assert len(rows) == len(trades)
    return {row["trade_id"]: row.asDict(recursive=True) for row in rows}


def bid(row: dict, name: str = "quote") -> float | None:
    return row[name]["bid"] if row[name] is not None else None


def test_a_quote_of_the_same_nanosecond_was_not_before_the_trade(quoted: dict[str, dict]) -> None:
    assert quoted["at the first quote"]["quote"] is None
    assert bid(quoted["one ns after it"]) == 1.0
    assert bid(quoted["at the double quote"]) == 1.0
    assert bid(quoted["at the late quote"]) is None
    assert quoted["at the late quote"]["quote"]["ask"] == 4.2


def test_of_several_quotes_at_one_instant_the_last_by_sequence_counts(quoted: dict[str, dict]) -> None:
    assert bid(quoted["after the double quote"]) == 3.0
    assert quoted["after the double quote"]["quote"]["quote_ns"] == KNOWN_NS + 200


def test_without_an_earlier_quote_there_is_none(quoted: dict[str, dict]) -> None:
    assert quoted["before any quote"]["quote"] is None
    assert quoted["before any quote"]["mid"] is None
    assert [quoted["without a book"][name] for name in ("quote", "older", "later")] == [None, None, None]


def test_an_offset_moves_the_instant_that_is_asked_about(quoted: dict[str, dict]) -> None:
    # 201 − 100 = 101 ns: strictly after the quote at 100. 200 − 100 = 100 ns: not.
    assert bid(quoted["after the double quote"], "older") == 1.0
    assert quoted["at the double quote"]["older"] is None
    # 50 ns + 5 ms lies 50 ns behind the quote at 5 ms.
    assert bid(quoted["before any quote"], "later") == 5.0
    # A horizon that ends exactly at a quote does not see it: 0 ns would, 100 − 100 ns does not.
    assert bid(quoted["at the first quote"], "later") == 5.0


def test_a_one_sided_quote_has_no_mid(quoted: dict[str, dict]) -> None:
    assert quoted["one-sided"]["quote"] == {"bid": None, "ask": 4.2, "quote_ns": KNOWN_NS + 300}
    assert quoted["one-sided"]["mid"] is None
    assert quoted["one ns after it"]["mid"] == pytest.approx(1.1)


def test_trades_keep_their_columns_and_other_names_keep_their_books(quoted: dict[str, dict]) -> None:
    row = quoted["one ns after it"]
    expected = trade_at(KNOWN_NS + 101, 10.0, 100, name="A", sequence=1, trade_id="one ns after it")
    assert {name: row[name] for name in expected if name != "ts"} == {
        name: value for name, value in expected.items() if name != "ts"
    }
    assert all(bid(row) != 9.0 for row in quoted.values())


def test_a_zero_tick_carries_the_last_change_of_price(spark: SparkSession) -> None:
    # Up, flat, flat, down, flat; the last two share their nanosecond and go by sequence number.
    prices = [(1, 5.00), (2, 5.01), (3, 5.01), (4, 5.01), (5, 5.00), (6, 5.00)]
    rows = [trade_at(KNOWN_NS + min(place, 5), price, 100, name="A", sequence=place) for place, price in prices]
    rows += [trade_at(KNOWN_NS + place, 7.0, 100, name="FLAT", sequence=place) for place in (1, 2)]
    rows.reverse()
    found = {
        (row["symbol"], row["sequence_number"]): row["tick"]
        for row in with_tick(as_table(spark, "silver.trades", rows)).collect()
    }
    assert [found["A", place] for place, _ in prices] == [None, 1, 1, 1, -1, -1]
    # Nothing changed yet: unknown, and another name's price is no earlier price.
    assert [found["FLAT", place] for place in (1, 2)] == [None, None]


RULES = ("lee_ready", "quote", "tick", "emo", "clnv")


def test_each_rule_signs_as_its_authors_say(spark: SparkSession) -> None:
    cases = [
        # price, bid, ask, tick; then lee_ready, quote, tick, emo, clnv
        (10.07, 10.00, 10.10, -1, 1, 1, -1, -1, 1),  # 70 % of the spread: just within the upper 30 %
        (10.0699, 10.00, 10.10, -1, 1, 1, -1, -1, -1),
        (10.03, 10.00, 10.10, 1, -1, -1, 1, 1, -1),  # 30 %
        (10.0301, 10.00, 10.10, 1, -1, -1, 1, 1, 1),
        (10.10, 10.00, 10.10, -1, 1, 1, -1, 1, 1),  # at the offer
        (10.00, 10.00, 10.10, 1, -1, -1, 1, -1, -1),  # at the bid
        (10.11, 10.00, 10.10, -1, 1, 1, -1, -1, -1),  # above the offer
        (9.99, 10.00, 10.10, 1, -1, -1, 1, 1, 1),  # below the bid
        (10.05, 10.00, 10.10, 1, 1, None, 1, 1, 1),  # at the mid
        (10.05, 10.00, 10.10, None, None, None, None, None, None),
        # (0.29 + 0.30) / 2 is a little more than 0.295 in binary.
        (0.295, 0.29, 0.30, -1, -1, None, -1, -1, -1),
        (10.05, None, None, -1, -1, None, -1, -1, -1),  # no quote
        (10.05, None, None, None, None, None, None, None, None),
    ]
    columns = ", ".join(f"{rule} int" for rule in RULES)
    frame = spark.createDataFrame(cases, f"price double, bid double, ask double, tick_sign int, {columns}")
    frame = frame.withColumn("quoted", F.struct("bid", "ask"))
    frame = frame.withColumns(
        {f"by_{rule}": trade_sign(rule, F.col("price"), "quoted", F.col("tick_sign")) for rule in RULES}
    )
    for row in frame.collect():
        assert {rule: row[f"by_{rule}"] for rule in RULES} == {rule: row[rule] for rule in RULES}, row


def test_the_settings_name_every_rule() -> None:
    assert get_args(SignRule) == RULES


def signed(spark: SparkSession, trades: pd.DataFrame, quotes: pd.DataFrame, offsets: dict[str, int]) -> pd.DataFrame:
    """Spark's answer, one row a (symbol, sequence_number)."""
    frame = with_quotes(
        with_tick(as_table(spark, "silver.trades", trades)), as_table(spark, "silver.quotes", quotes), offsets
    )
    frame = frame.withColumn("sign", trade_sign("lee_ready", F.col("price"), "quote", F.col("tick")))
    columns = [
        F.col(f"{name}.{part}").alias(f"{name}_{part}") for name in offsets for part in ("bid", "ask", "quote_ns")
    ]
    # Through Python objects: Arrow would turn nanoseconds with gaps into floats and lose their last digits.
    rows = frame.select("symbol", "sequence_number", "tick", "sign", *columns).collect()
    names = [
        "symbol",
        "sequence_number",
        "tick",
        "sign",
        *(f"{n}_{p}" for n in offsets for p in ("bid", "ask", "quote_ns")),
    ]
    return pd.DataFrame([tuple(row) for row in rows], columns=names, dtype=object)


def expected(trades: pd.DataFrame, quotes: pd.DataFrame, offsets: dict[str, int]) -> pd.DataFrame:
    """pandas' answer in the same form."""
    tick = oracle.ticks(trades)
    parts = {"symbol": trades["symbol"], "sequence_number": trades["sequence_number"], "tick": tick}
    now = oracle.asof_quotes(trades, quotes, 0)
    parts["sign"] = oracle.signs(trades["price"], now["bid"], now["ask"], tick)
    for name, offset in offsets.items():
        found = oracle.asof_quotes(trades, quotes, offset)
        parts |= {f"{name}_{part}": found[part] for part in ("bid", "ask", "quote_ns")}
    return pd.DataFrame(parts)


def assert_alike(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    key = ["symbol", "sequence_number"]
    assert len(found) == len(wanted)
    left, right = (
        frame.astype({name: float for name in frame.columns if name not in key}) for frame in (found, wanted)
    )
    left, right = (frame.sort_values(key, ignore_index=True)[list(wanted.columns)] for frame in (left, right))
    pd.testing.assert_frame_equal(left, right, check_dtype=False, check_exact=True)


def test_quotes_and_signs_of_twenty_real_minutes_are_what_pandas_finds(spark: SparkSession) -> None:
    trades, quotes = ibm("14:00", "14:20")
    assert len(trades) > 500
    assert len(quotes) > 2_000
    # The sample's clock ticks in milliseconds, so that trades and quotes do meet at one instant.
    assert trades["participant_ns"].isin(quotes["participant_ns"]).sum() > 50
    offsets = {"quote": 0, "older": -5 * MILLISECOND, "later_1": 1_000 * MILLISECOND, "later_60": 60_000 * MILLISECOND}
    found, wanted = signed(spark, trades, quotes, offsets), expected(trades, quotes, offsets)
    assert_alike(found, wanted)
    assert set(wanted["sign"].dropna()) == {1.0, -1.0}


PRICES = st.sampled_from([9.98, 9.99, 10.0, 10.01, 10.02])
INSTANTS = st.integers(0, 6)
"""Few nanoseconds for many rows: bursts of equal timestamps."""

NAMES = st.fixed_dictionaries(
    {
        "trades": st.lists(st.tuples(INSTANTS, PRICES), max_size=8),
        "quotes": st.lists(st.tuples(INSTANTS, PRICES, st.sampled_from([0.01, 0.02, 0.04])), max_size=8),
    }
)
"""One name's day: often thin, sometimes without trades or without quotes."""


@hypothesis_settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    database=None,
    # Each try is a Spark query: what fails is small enough to be read as it is.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(tapes=st.lists(NAMES, min_size=25, max_size=30))
def test_thin_names_and_bursts_meet_the_quotes_that_pandas_finds(spark: SparkSession, tapes: list[dict]) -> None:
    trades, quotes = [], []
    for number, tape in enumerate(tapes):
        for place, (at, price) in enumerate(tape["trades"]):
            trades.append(trade_at(KNOWN_NS + at, price, 100, name=f"S{number}", sequence=1 + 7 * place % 11))
        for place, (at, price, spread) in enumerate(tape["quotes"]):
            quotes.append(
                quote_at(
                    KNOWN_NS + at,
                    price,
                    100,
                    round(price + spread, 2),
                    100,
                    name=f"S{number}",
                    sequence=1 + 7 * place % 11,
                )
            )
    if not trades or not quotes:
        return
    offsets = {"quote": 0, "older": -2, "later": 3}
    trade_frame, quote_frame = pd.DataFrame(trades), pd.DataFrame(quotes)
    assert_alike(signed(spark, trade_frame, quote_frame, offsets), expected(trade_frame, quote_frame, offsets))
