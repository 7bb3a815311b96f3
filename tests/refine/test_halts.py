"""Halts: from the feed, from dark quotes, from both; and the segments that resumptions begin."""

from datetime import date
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from smallcaps.lake import declared
from smallcaps.refine.halts import feed_halts, merged, quote_halts, resumptions
from smallcaps.refine.labels import calendar_frame, label
from tests.refine.frames import bronze_quotes
from tests.sources.vendor_files import new_york_ns, quote

DAY = "2015-11-24"
TUESDAY = date(2015, 11, 24)


def at(clock: str) -> int:
    return new_york_ns(DAY, clock)


def luld(spark: SparkSession, *rows: tuple[str, str, int, list[int]]) -> DataFrame:
    """Rows of (symbol, clock, sequence number, indicators)."""
    columns = declared("bronze.luld").columns
    full: list[dict[str, Any]] = [
        {
            **{"symbol": symbol, "session_date": TUESDAY, "sip_ns": at(clock), "sequence_number": number},
            **{"high": Decimal(1), "low": Decimal(1), "indicators": indicators, "tape": 3},
            **{"source_sha256": "f00", "source_line": line},
        }
        for line, (symbol, clock, number, indicators) in enumerate(rows, start=1)
    ]
    schema = ", ".join(f"{column.name} {column.type}" for column in columns)
    return spark.createDataFrame([tuple(row.get(column.name) for column in columns) for row in full], schema)


def dark(symbol: str, clock: str, number: int, conditions: str = "43") -> dict[str, str]:
    nothing = dict.fromkeys(("bid_price", "bid_size", "ask_price", "ask_size"), "0")
    return quote(symbol, DAY, clock, number, conditions=conditions) | nothing


def halts_of(frame: DataFrame) -> list[tuple[str, int, int | None]]:
    return [(row.symbol, row.start_ns, row.end_ns) for row in frame.orderBy("symbol", "start_ns").collect()]


def calendar(spark: SparkSession) -> DataFrame:
    return calendar_frame(spark, TUESDAY, TUESDAY)


def test_a_halt_of_the_feed_lasts_until_the_next_resumption(spark: SparkSession) -> None:
    frame = luld(
        spark,
        ("A", "10:00", 1, []),
        ("A", "10:05", 2, [17]),
        ("A", "10:05", 2, [17]),  # Heard by two listeners.
        ("A", "10:06", 3, [17]),  # Still halted.
        ("A", "10:10:01", 4, [18, 15]),
        ("A", "15:58", 5, [17]),
        ("B", "09:31", 1, [18]),  # Nobody heard its halt.
    )
    assert halts_of(feed_halts(frame)) == [("A", at("10:05"), at("10:10:01")), ("A", at("15:58"), None)]


def test_quotes_are_dark_by_condition_at_any_time_and_by_empty_sides_in_regular_hours(spark: SparkSession) -> None:
    quotes = [
        dark("A", "04:00", 1, "1"),  # Before the open many names have no quote.
        quote("A", DAY, "09:30", 2),
        dark("A", "10:00", 3),
        dark("A", "10:01", 4),
        quote("A", DAY, "10:05:00.5", 5),
        dark("A", "11:00", 6, ""),
        quote("A", DAY, "11:10", 7),
        quote("A", DAY, "12:00", 8) | {"ask_price": "0.0", "ask_size": "0"},  # One side is a quote.
        dark("B", "08:00", 1),
        quote("B", DAY, "08:05", 2),
        quote("C", DAY, "10:00", 1),
        dark("D", "15:59", 1),
        dark("E", "23:00", 1),
    ]
    frame = bronze_quotes(spark, [(DAY, row) for row in quotes])
    assert halts_of(quote_halts(frame, calendar(spark))) == [
        ("A", at("10:00"), at("10:05:00.5")),
        ("A", at("11:00"), at("11:10")),
        ("B", at("08:00"), at("08:05")),
        ("D", at("15:59"), None),
    ]


def test_halts_that_overlap_are_one(spark: SparkSession) -> None:
    rows = [
        ("A", at("10:00:01"), at("10:05"), "feed"),
        ("A", at("10:00"), at("10:05:02"), "quotes"),
        ("A", at("10:20"), at("10:25"), "feed"),
        ("B", at("10:00"), None, "feed"),
        ("B", at("10:01"), at("10:06"), "quotes"),
        ("C", at("15:58"), None, "quotes"),
    ]
    frame = spark.createDataFrame(
        [(symbol, TUESDAY, *rest) for symbol, *rest in rows],
        "symbol string, session_date date, start_ns bigint, end_ns bigint, source string",
    )
    found = merged(frame).orderBy("symbol", "start_ns").collect()
    assert [(row.symbol, row.start_ns, row.end_ns, row.sources) for row in found] == [
        ("A", at("10:00"), at("10:05:02"), ["feed", "quotes"]),
        ("A", at("10:20"), at("10:25"), ["feed"]),
        ("B", at("10:00"), at("10:06"), ["feed", "quotes"]),
        ("C", at("15:58"), None, ["quotes"]),
    ]


def test_every_resumption_begins_a_segment(spark: SparkSession) -> None:
    halts = spark.createDataFrame(
        [
            ("A", TUESDAY, at("08:00"), at("08:10")),
            ("A", TUESDAY, at("10:00"), at("10:05:30")),
            ("A", TUESDAY, at("11:00"), at("11:05")),
            ("A", TUESDAY, at("15:58"), None),
        ],
        "symbol string, session_date date, start_ns bigint, end_ns bigint",
    )
    resumed = resumptions(halts, calendar(spark))
    assert [row.resumed for row in resumed.collect()] == [[250, 365, 425]]
    clocks = ("07:59", "08:10", "09:29", "09:30", "10:04:59", "10:05:00", "10:05:30", "11:05", "16:00", "21:00")
    instants = spark.createDataFrame(
        [(symbol, TUESDAY, at(clock)) for symbol in "AB" for clock in clocks],
        "symbol string, session_date date, ns bigint",
    )
    rows = label(instants, calendar(spark), "ns", resumed).orderBy("symbol", "ns").collect()
    segments = {symbol: [(row.segment, row.segment_start) for row in rows if row.symbol == symbol] for symbol in "AB"}
    # Minutes since 04:00: the open is 330, the close 720.
    assert segments["A"] == [
        *((0, 0), (1, 250), (1, 250), (2, 330), (2, 330), (3, 365), (3, 365), (4, 425), (5, 720), (-1, 0)),
    ]
    assert segments["B"] == [*((0, 0),) * 3, *((1, 330),) * 5, (2, 720), (-1, 0)]
