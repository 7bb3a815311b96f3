"""Order books: what is refused, the flags, and the best quotes that a book is held against."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from smallcaps.lake import declared
from smallcaps.refine.book import judged_book, with_best_quotes
from smallcaps.refine.labels import calendar_frame
from tests.sources.vendor_files import new_york_ns

DAY = date(2015, 11, 24)
Levels = list[tuple[float | None, float | None]]
BIDS: Levels = [(9.99, 300), (9.97, 500)]
ASKS: Levels = [(10.01, 200), (10.02, 400)]


def ns(clock: str) -> int:
    return new_york_ns(str(DAY), clock)


def levels(side: Levels) -> list[tuple[Decimal | None, Decimal | None]]:
    return [tuple(None if value is None else Decimal(str(value)) for value in level) for level in side]  # type: ignore[misc]


def book(clock: str, number: int, bids: Levels = BIDS, asks: Levels = ASKS, **values: Any) -> dict[str, Any]:
    """A row of bronze.book, on the line of its number."""
    return {
        "symbol": "DEEP",
        "session_date": DAY,
        "published_ns": ns(clock),
        "made_ns": ns(clock) - 1_000,
        "sequence_number": number,
        "bids": levels(bids),
        "asks": levels(asks),
        "source_sha256": "a file",
        "source_line": number,
    } | values


def frame(spark: SparkSession, table: str, rows: list[dict[str, Any]]) -> DataFrame:
    columns = declared(table).columns
    schema = ", ".join(f"{column.name} {column.type}" for column in columns)
    return spark.createDataFrame([tuple(row.get(column.name) for column in columns) for row in rows], schema)


def quotes(spark: SparkSession, *rows: tuple[str, int, float | None, float | None]) -> DataFrame:
    """silver.quotes: clock, sequence number, bid, ask."""
    return frame(
        spark,
        "silver.quotes",
        [
            {"symbol": "DEEP", "session_date": DAY, "sip_ns": ns(clock), "sequence_number": number}
            | {"bid_price": bid, "ask_price": ask}
            for clock, number, bid, ask in rows
        ],
    )


def judged(spark: SparkSession, rows: list[dict[str, Any]], said: DataFrame | None = None) -> list[Row]:
    calendar = calendar_frame(spark, DAY, DAY)
    found = judged_book(frame(spark, "bronze.book", rows), said or quotes(spark), calendar)
    return found.orderBy("source_line").collect()


CASES: list[tuple[dict[str, Any], str | None]] = [
    (book("10:00", 1), None),
    (book("10:00:01", 2, bids=[], asks=[]), None),  # Halted: a book without levels.
    (book("10:00:02", 3, bids=[(10.05, 100)]), None),  # Crossed: kept and marked.
    (book("10:00:03", 4, bids=[(9.97, 500), (9.99, 300)]), "levels_in_disorder"),
    (book("10:00:04", 5, asks=[(10.01, 200), (10.01, 400)]), "levels_in_disorder"),
    (book("10:00:05", 6, asks=[(10.01, 0)]), "impossible_level"),
    (book("10:00:06", 7, bids=[(9.99, None)]), "impossible_level"),
    (book("10:00:07", 8, bids=[(-1.0, 100)]), "impossible_level"),
    (book("10:00:08", 9, asks=[(10 + 0.01 * step, 100) for step in range(11)]), "too_many_levels"),
    (book("10:00:09", 10, asks=[(10 + 0.01 * step, 100) for step in range(10)]), None),
    (book("10:00:10", 11, published_ns=ns("10:00") + 86_400 * 10**9), "wrong_day"),
    (
        book("10:00:11", 12, session_date=date(2015, 11, 26), published_ns=ns("10:00") + 2 * 86_400 * 10**9),
        "not_a_session",
    ),
    (book("10:00", 1, source_line=13), "duplicate_row"),
]


@pytest.fixture(scope="module")
def verdicts(spark: SparkSession) -> dict[int, Row]:
    return {row.source_line: row for row in judged(spark, [row for row, _ in CASES])}


@pytest.mark.parametrize(("line", "rule"), [(line, rule) for line, (_, rule) in enumerate(CASES, start=1)])
def test_a_book_is_refused_for_the_first_rule_that_it_breaks(
    line: int, rule: str | None, verdicts: dict[int, Row]
) -> None:
    assert verdicts[line]["_rule"] == rule


def test_a_book_is_labelled_and_its_levels_are_numbers(verdicts: dict[int, Row]) -> None:
    row = verdicts[1]
    assert (row.session, row.made_ns, row.published_ns - row.made_ns) == ("regular", ns("10:00") - 1_000, 1_000)
    assert [tuple(level) for level in row.bids] == [(9.99, 300.0), (9.97, 500.0)]
    assert [tuple(level) for level in row.asks] == [(10.01, 200.0), (10.02, 400.0)]


def test_one_that_is_empty_crossed_locked_or_stale_is_marked(spark: SparkSession) -> None:
    rows = judged(
        spark,
        [
            book("08:00", 1),
            book("10:00", 2, bids=[], asks=[]),
            book("10:01", 3, bids=[(10.02, 100)]),
            book("10:02", 4, bids=[(10.01, 100)]),
            book("10:03", 5, made_ns=ns("10:02")),  # 60 s, not over.
            book("10:04", 6, made_ns=ns("10:03") - 1),
            book("17:00", 7, made_ns=None),
        ],
    )
    flags = [(row.session, row.is_two_sided, row.is_crossed, row.is_locked, row.is_stale) for row in rows]
    assert flags == [
        ("pre", True, False, False, False),
        ("regular", False, False, False, False),
        ("regular", True, True, False, False),
        ("regular", True, False, True, False),
        ("regular", True, False, False, False),
        ("regular", True, False, False, True),
        ("post", True, False, False, False),
    ]
    assert rows[-1].made_ns == ns("17:00")


def test_a_book_is_held_against_the_last_quote_up_to_its_instant(spark: SparkSession) -> None:
    said = quotes(
        spark,
        ("10:00", 1, 9.99, 10.01),
        ("10:02", 2, 9.98, 10.01),  # Of the same instant as a book, …
        ("10:02", 3, 9.99, 10.02),  # … of which the last counts.
        ("10:04", 4, None, None),
    )
    rows = judged(
        spark,
        [
            book("09:59", 1),  # No quote yet.
            book("10:00", 2),
            book("10:01", 3, bids=[(9.98, 100)]),
            book("10:02", 4),
            book("10:03", 5, asks=[(10.02, 100)]),
            book("10:04", 6, bids=[], asks=[]),
            book("10:05", 7, asks=[]),
        ],
        said,
    )
    assert [row.is_at_nbbo for row in rows] == [None, True, False, False, True, True, False]


def test_quotes_of_another_symbol_or_day_say_nothing_and_no_book_is_lost(spark: SparkSession) -> None:
    books = frame(spark, "bronze.book", [book("10:00", 1), book("10:01", 2, symbol="OTHER")])
    said = quotes(spark, ("10:00", 1, 9.99, 10.01)).withColumn("session_date", F.lit(date(2015, 11, 25)))
    assert [row.nbbo for row in with_best_quotes(books, said).collect()] == [None, None]
    of_one = with_best_quotes(books, quotes(spark, ("10:00", 1, 9.99, 10.01))).orderBy("symbol").collect()
    assert [(row.symbol, row.nbbo and tuple(row.nbbo)) for row in of_one] == [("DEEP", (9.99, 10.01)), ("OTHER", None)]
