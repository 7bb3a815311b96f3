"""Where the vendor's bars and ours differ: each reason once, and nothing where they agree."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.lake import declared
from smallcaps.refine.differences import (
    adjusted,
    day_differences,
    incomplete_hours,
    isolated_minutes,
    minute_differences,
    moves_without_volume,
    outside_averages,
)
from tests.sources.vendor_files import new_york_ns

DAY = date(2015, 11, 24)
Bar = tuple[float, float, float, float, int]
USUAL: Bar = (10.0, 11.0, 9.0, 10.5, 300)


def at(clock: str) -> datetime:
    return datetime.fromtimestamp(new_york_ns("2015-11-24", clock) / 1e9, UTC)


def minutes(spark: SparkSession, bars: list[tuple[str, str, Bar]]) -> DataFrame:
    """Bars of (symbol, clock, prices and volume)."""
    rows = [(symbol, DAY, at(clock), *bar) for symbol, clock, bar in bars]
    columns = "symbol string, session_date date, ts timestamp, open double, high double, low double, close double"
    return spark.createDataFrame(rows, f"{columns}, volume bigint")


def trades(spark: SparkSession, *rows: tuple[str, str, str, int, str | None]) -> DataFrame:
    """Trades of (symbol, published, made, correction, withdrawn)."""
    full = [
        (symbol, DAY, *(new_york_ns("2015-11-24", clock) for clock in (published, made)), correction,
         None if withdrawn is None else new_york_ns("2015-11-24", withdrawn), "regular")
        for symbol, published, made, correction, withdrawn in rows
    ]  # fmt: skip
    return spark.createDataFrame(
        full,
        "symbol string, session_date date, sip_ns bigint, participant_ns bigint, correction int, withdrawn_ns bigint, "
        "session string",
    )


def higher(bar: Bar) -> Bar:
    return bar[0], bar[1] + 1, *bar[2:]


@pytest.fixture(scope="module")
def reasons(spark: SparkSession) -> dict[tuple[str, str], str]:
    ours = [("A", clock, USUAL) for clock in ("10:00", "10:01", "10:02", "10:03", "10:04", "10:05", "10:07", "10:20")]
    theirs = [
        ("A", "10:00", USUAL),
        ("A", "10:01", higher(USUAL)),  # A trade made at 10:01 was published at 10:20.
        ("A", "10:02", (*USUAL[:4], 200)),  # A trade of 10:02 was cancelled at 10:30.
        ("A", "10:03", higher(USUAL)),
        ("A", "10:05", USUAL),
        ("A", "10:06", USUAL),
        ("A", "10:07", (10.5, 11.0, 9.0, 10.0, 300)),
        ("B", "10:00", USUAL),  # No trades of it.
    ]
    seen = trades(
        spark,
        ("A", "10:00:01", "10:00:00", 0, None),
        ("A", "10:20:01", "10:01:59", 0, None),
        ("A", "10:02:01", "10:02:00", 8, "10:30:00"),
        ("A", "10:03:01", "10:03:00", 0, None),
        ("A", "10:05:01", "10:05:00", 8, "10:30:00"),  # Withdrawn, and it made no difference.
        ("C", "10:00:01", "10:00:00", 0, None),
    )
    bars = [*ours, ("C", "10:00", USUAL)]  # Of C the vendor has nothing all day.
    rows = minute_differences(minutes(spark, bars), minutes(spark, theirs), seen).collect()
    assert all(row.ours != row.vendor for row in rows)
    return {(row.symbol, row.ts.astimezone(UTC).strftime("%H:%M")): row.reason for row in rows}


def test_every_difference_has_its_reason_and_agreement_has_no_row(reasons: dict[tuple[str, str], str]) -> None:
    assert reasons == {
        ("A", "15:01"): "late_report",
        ("A", "15:02"): "withdrawn",
        ("A", "15:03"): "unexplained",
        ("A", "15:04"): "vendor_lacks_minute",
        ("A", "15:06"): "we_lack_minute",
        ("A", "15:07"): "order",
        ("A", "15:20"): "late_report",
    }
    (reason,) = (column for column in declared("ops.differences").columns if column.name == "reason")
    others = {"adjustment", "isolated_price", "minutes_missing", "vwap_outside", "move_without_volume"}
    assert set(reasons.values()) | others == set(reason.values)


def flat(price: float) -> Bar:
    return price, price, price, price, 100


def test_a_price_far_beyond_the_minutes_before_and_after_is_told(spark: SparkSession) -> None:
    bars = [
        ("HIGH", "10:00", flat(10.0)),
        ("HIGH", "10:01", (10.0, 10.8, 10.0, 10.0, 500)),  # 10.8 = 1.08 × 10
        ("HIGH", "10:05", flat(10.0)),
        ("NEAR", "10:00", flat(10.0)),
        ("NEAR", "10:01", (10.0, 10.79, 10.0, 10.0, 500)),
        ("NEAR", "10:02", flat(10.0)),
        ("LOW", "10:00", flat(10.8)),
        ("LOW", "10:01", (10.8, 10.8, 10.0, 10.8, 500)),  # 10 × 1.08 = 10.8
        ("LOW", "10:02", flat(10.8)),
        ("STEP", "10:00", flat(10.0)),
        ("STEP", "10:01", flat(12.0)),  # The next minute went along.
        ("STEP", "10:02", flat(12.0)),
        ("FIRST", "10:00", flat(12.0)),  # Nothing before it.
        ("FIRST", "10:01", flat(10.0)),
    ]
    found = isolated_minutes(minutes(spark, bars).withColumn("source", F.lit("vendor"))).collect()
    assert {(row.symbol, row.reason, row.ours, row.vendor.high) for row in found} == {
        ("HIGH", "isolated_price", None, 10.8),
        ("LOW", "isolated_price", None, 10.8),
    }
    (own, _) = isolated_minutes(minutes(spark, bars).withColumn("source", F.lit("trades"))).collect()
    assert own.vendor is None
    assert own.ours is not None


def test_an_hour_that_its_minutes_lack_round_lots_of_is_told(spark: SparkSession) -> None:
    def bar(symbol: str, clock: str, volume: int, transactions: int) -> tuple[object, ...]:
        return symbol, DAY, at(clock), 10.0, 10.0, 10.0, 10.0, volume, transactions

    columns = "symbol string, session_date date, ts timestamp, open double, high double, low double, close double"
    hours = [
        bar("NONE", "10:00", 5_000, 20),
        bar("WHOLE", "10:00", 6_000, 300),
        # 59 minutes of 100 shares in five trades each; the hour has 4 more trades in the one minute without a bar.
        bar("LACKS", "10:00", 5_900 + 400, 295 + 4),
        bar("ODD", "10:00", 5_900 + 399, 295 + 4),  # Fewer than 100 shares a trade: odd lots set no price.
        bar("BLOCK", "10:00", 5_900 + 9_000, 295 + 2),  # Two trades, fewer than 3 a minute: they may have set none.
        bar("BUSY", "10:00", 5_900 + 99, 295 + 5),  # Odd lots, but as many as in the minutes that have a bar.
    ]
    symbols = {"WHOLE": 60, "LACKS": 59, "ODD": 59, "BLOCK": 59, "BUSY": 59}
    of_minutes = [bar(symbol, f"10:{n:02}", 100, 5) for symbol, count in symbols.items() for n in range(count)]
    both = [
        spark.createDataFrame(rows, f"{columns}, volume bigint, transactions bigint") for rows in (hours, of_minutes)
    ]
    found = {row.symbol: row for row in incomplete_hours(*both).collect()}
    assert found.keys() == {"NONE", "LACKS", "BUSY"}
    assert found["NONE"].ours is None
    assert (found["LACKS"].ours.volume, found["LACKS"].vendor.volume) == (5_900.0, 6_300.0)


def test_mean_prices_outside_the_range_in_several_bars_are_told(spark: SparkSession) -> None:
    def rows(symbol: str, outside: tuple[int, ...], vwap: float, trades: int = 5) -> list[tuple[object, ...]]:
        return [
            (symbol, DAY, new_york_ns("2015-11-24", f"10:{n:02}"), *USUAL, vwap if n in outside else 10.0, trades)
            for n in range(12)
        ]

    bars = [
        *rows("HIGH", (2, 3, 5, 6), 11.011),  # 11 × 1.001; four of the bars 2 to 6, no further apart than four.
        *rows("LOW", (0, 1, 2, 3), 8.991),
        *rows("NEAR", (2, 3, 5, 6), 11.01),
        *rows("THREE", (2, 3, 5), 12.0),
        *rows("SPREAD", (0, 3, 6, 9), 12.0),  # Never four among nine, but around the 4th and the 7th bar three.
        *rows("SINGLE", (7,), 11.011, trades=1),
    ]
    columns = (
        "symbol string, session_date date, window_start_ns bigint, open double, high double, low double, close double"
    )
    frame = spark.createDataFrame(bars, f"{columns}, volume bigint, vwap double, transactions bigint")
    found = outside_averages(frame).collect()
    assert sorted((row.symbol, row.ts.astimezone(UTC).minute) for row in found) == [
        *(("HIGH", minute) for minute in (2, 3, 5, 6)),
        *(("LOW", minute) for minute in (0, 1, 2, 3)),
        ("SINGLE", 7),
    ]


def test_a_far_move_that_nobody_traded_on_is_told(spark: SparkSession) -> None:
    def rows(symbol: str, opens: float, volume: int, factor: float = 1.0) -> list[tuple[object, ...]]:
        at_open = datetime(2015, 11, 24, 14, 30, tzinfo=UTC)
        usual = [(symbol, symbol, DAY, n, at_open, 10.0, 10.0, 10.0, 10.0, 1_000, False, 1.0) for n in (1, 2)]
        return [*usual, (symbol, symbol, DAY, 3, at_open, *[opens] * 4, volume, False, factor)]

    bars = [
        *rows("LISTED", 5.0, 2_000, factor=0.5),
        *rows("MISSING", 6.67, 1_500),  # ln(6.67 / 10) = −0.405
        *rows("OTHER", 6.67, 1_500, factor=0.5),  # ln(6.67 / 5) = 0.288
        *rows("NEWS", 6.67, 4_600),  # $30,682 of usually $10,000
        *rows("LITTLE", 7.9, 1_000),  # ln 0.79 = −0.236
    ]
    columns = (
        "security_id string, symbol string, session_date date, session_number int, open_at timestamp, open double, high double, "
        "low double, close double, volume bigint, zero_volume boolean, cumulative_factor double"
    )
    found = moves_without_volume(spark.createDataFrame(bars, columns)).collect()
    assert sorted(row.symbol for row in found) == ["MISSING", "OTHER"]


def daily(spark: SparkSession) -> DataFrame:
    days = (date(2015, 11, 24), date(2015, 11, 25))
    rows = [(name, name, day, datetime(2015, 11, 24, 14, 30, tzinfo=UTC), 20.0, 22.0, 18.0, 20.0, 1_000, factor)
            for name in ("SAME", "TWICE", "NONE") for day, factor in zip(days, (1.0, 0.5), strict=True)]  # fmt: skip
    return spark.createDataFrame(
        rows,
        "security_id string, symbol string, session_date date, open_at timestamp, open double, high double, low double, "
        "close double, volume bigint, cumulative_factor double",
    ).where("symbol <> 'NONE' OR session_date = '2015-11-24'")


def factors(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([("SAME", 0.5), ("TWICE", 0.5)], "security_id string, factor double")


def test_bars_are_carried_into_the_shares_of_another_day(spark: SparkSession) -> None:
    rows = adjusted(daily(spark), factors(spark)).orderBy("symbol", "session_date").collect()
    assert [(row.symbol, row.close, row.volume, row.cumulative_factor) for row in rows] == [
        ("NONE", 20.0, 1_000, 1.0),
        ("SAME", 10.0, 2_000, 0.5),
        ("SAME", 20.0, 1_000, 0.5),
        ("TWICE", 10.0, 2_000, 0.5),
        ("TWICE", 20.0, 1_000, 0.5),
    ]
    assert all(row.close * row.volume == 20_000 for row in rows)


def test_adjusted_days_differ_where_the_vendor_applies_another_factor(spark: SparkSession) -> None:
    said = [
        ("SAME", date(2015, 11, 24), Decimal("10.0100")),  # Within the rounding.
        ("SAME", date(2015, 11, 25), Decimal("20.0000")),
        ("TWICE", date(2015, 11, 24), Decimal("5.0000")),  # The split is listed twice.
        ("TWICE", date(2015, 11, 25), Decimal("20.0000")),
        ("NONE", date(2015, 11, 24), Decimal("20.0000")),
        ("NONE", date(2015, 11, 25), Decimal("99.0000")),  # No bar of ours to compare with.
    ]
    prices = ", ".join(f"{name} decimal(18,6)" for name in ("open", "high", "low", "close"))
    rows = [(symbol, day, *[price] * 4, Decimal(1_000)) for symbol, day, price in said]
    vendor = spark.createDataFrame(rows, f"symbol string, session_date date, {prices}, volume decimal(20,6)")
    found = day_differences(daily(spark), factors(spark), vendor).collect()
    assert [(row.symbol, row.session_date, row.reason) for row in found] == [("TWICE", DAY, "adjustment")]
    assert (found[0].ours.close, found[0].vendor.close) == (10.0, 5.0)
