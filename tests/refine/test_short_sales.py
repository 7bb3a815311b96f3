"""Rule 201: who may not be sold short, since when, and until when."""

from datetime import UTC, date, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.refine.labels import calendar_frame
from smallcaps.refine.short_sales import prior_closes, restrictions

WEDNESDAY, FRIDAY, MONDAY = date(2015, 11, 25), date(2015, 11, 27), date(2015, 11, 30)  # Thursday is Thanksgiving.
CLOSE = datetime(2015, 11, 27, 18, tzinfo=UTC)
NS = 1_448_640_000_000_000_000  # 2015-11-27 16:00 UTC


def daily(spark: SparkSession) -> DataFrame:
    """Bars of Wednesday and Friday: close, low, factor."""
    rows = [
        *((name, WEDNESDAY, 10.0, 10.0, 1.0, False) for name in ("TICKS", "LATER", "CALM", "BARS", "EDGE", "DEAD")),
        ("SPLIT", WEDNESDAY, 10.0, 10.0, 1.0, False),
        ("TICKS", FRIDAY, 9.5, 8.0, 1.0, False),
        ("LATER", FRIDAY, 9.5, 8.0, 1.0, False),
        ("CALM", FRIDAY, 9.5, 8.0, 1.0, False),  # Its trades say that the low was not eligible.
        ("BARS", FRIDAY, 9.5, 8.9, 1.0, False),
        ("EDGE", FRIDAY, 9.5, 9.01, 1.0, False),
        ("DEAD", FRIDAY, 8.0, 8.0, 1.0, True),
        ("SPLIT", FRIDAY, 5.0, 4.6, 0.5, False),  # 10 $ are 5 $ in the new shares: 4.6 is above 4.5.
        ("NEW", FRIDAY, 5.0, 1.0, 1.0, False),
    ]
    columns = (
        "symbol string, session_date date, close double, low double, cumulative_factor double, zero_volume boolean"
    )
    frame = spark.createDataFrame(rows, columns)
    return frame.selectExpr("symbol AS security_id", "*", f"timestamp'{CLOSE.isoformat()}' AS close_at")


def ticks(spark: SparkSession) -> DataFrame:
    rows = [
        # symbol, ns after NS, price, session, may set high and low, withdrawn after so many seconds
        ("TICKS", 1, 9.01, "regular", True, None),
        ("TICKS", 3, 9.0, "regular", True, None),
        ("TICKS", 2, 8.9, "pre", True, None),
        ("TICKS", 4, 8.0, "regular", True, None),
        ("LATER", 1, 8.5, "regular", True, 0.5),
        ("LATER", 2, 8.6, "regular", True, 400.0),
        ("CALM", 1, 8.0, "regular", False, None),
        ("CALM", 2, 9.5, "regular", True, None),
    ]
    full = [
        (
            name,
            name,
            FRIDAY,
            NS + ns,
            ns,
            price,
            session,
            eligible,
            None if gone is None else NS + ns + int(gone * 10**9),
        )
        for name, ns, price, session, eligible, gone in rows
    ]
    return spark.createDataFrame(
        full,
        "security_id string, symbol string, session_date date, sip_ns bigint, sequence_number bigint, price double, "
        "session string, updates_high_low boolean, withdrawn_ns bigint",
    )


@pytest.fixture(scope="module")
def found(spark: SparkSession) -> dict[str, tuple]:
    bars = daily(spark)
    of_friday = bars.where("session_date = '2015-11-27'")
    calendar = calendar_frame(spark, FRIDAY, date(2015, 12, 4))
    rows = restrictions(ticks(spark), of_friday, prior_closes(bars), calendar).collect()
    assert {row.last_session for row in rows} == {MONDAY}
    assert {row.session_date for row in rows} == {FRIDAY}
    assert all(row.prior_close == 10.0 for row in rows)
    return {row.symbol: (row.price, row.triggered_ns, row.source) for row in rows} | {
        f"{row.symbol} known": row.known_at.astimezone(UTC) for row in rows
    }


def test_the_first_regular_trade_at_a_tenth_below_the_close_before_triggers(found: dict[str, tuple]) -> None:
    assert found["TICKS"] == (9.0, NS + 3, "trades")
    assert found["TICKS known"] == datetime(2015, 11, 27, 16, tzinfo=UTC)


def test_a_trade_that_was_withdrawn_at_once_does_not_and_one_that_was_withdrawn_later_does(
    found: dict[str, tuple],
) -> None:
    assert found["LATER"] == (8.6, NS + 2, "trades")


def test_where_there_are_trades_the_daily_low_says_nothing(found: dict[str, tuple]) -> None:
    assert "CALM" not in found


def test_without_trades_the_daily_low_triggers_and_is_known_at_the_close(found: dict[str, tuple]) -> None:
    assert found["BARS"] == (8.9, None, "bars")
    assert found["BARS known"] == CLOSE


@pytest.mark.parametrize("symbol", ["EDGE", "DEAD", "SPLIT", "NEW"])
def test_above_the_limit_without_volume_or_a_close_before_nothing_triggers(
    symbol: str, found: dict[str, tuple]
) -> None:
    assert symbol not in found


def test_a_low_at_the_limit_itself_triggers_and_a_close_of_more_than_twenty_days_ago_does_not(
    spark: SparkSession,
) -> None:
    """In floating numbers 0.9 · 3.3 = 2.9699999999999998 and 0.9 · 8.7 = 7.829999999999999."""
    before = {"AT": (3.3, 2), "AT2": (8.7, 2), "OVER": (3.3, 2), "RECENT": (10.0, 20), "LONG_AGO": (10.0, 21)}
    lows = {"AT": 2.97, "AT2": 7.83, "OVER": 2.9701, "RECENT": 9.0, "LONG_AGO": 1.0}
    rows = [(name, FRIDAY - timedelta(days), close, close) for name, (close, days) in before.items()]
    rows += [(name, FRIDAY, low, low) for name, low in lows.items()]
    bars = spark.createDataFrame(rows, "symbol string, session_date date, close double, low double").selectExpr(
        "symbol AS security_id",
        "*",
        "1D AS cumulative_factor",
        "false AS zero_volume",
        "current_timestamp() AS close_at",
    )
    none = ticks(spark).where("false")
    calendar = calendar_frame(spark, FRIDAY, MONDAY)
    found = restrictions(none, bars.where("session_date = '2015-11-27'"), prior_closes(bars), calendar)
    assert {row.symbol for row in found.collect()} == {"AT", "AT2", "RECENT"}
