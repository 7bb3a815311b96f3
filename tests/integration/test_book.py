"""Order books from files through bronze to silver: of a file written by hand, and of a simulated market."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.ingest.flatfiles import ingest_flatfiles
from smallcaps.lake import Lake
from smallcaps.refine.job import refine
from smallcaps.sources.polygon.bucket import Folder
from smallcaps.sources.simulator.layout import read_tape, tape_days
from tests.sources.vendor_files import compressed, csv_text, new_york_ns

pytestmark = pytest.mark.slow

DAY = date(2026, 10, 16)
COLUMNS = ("ticker", "asks", "bids", "made_timestamp", "published_timestamp", "sequence_number")
BIDS, ASKS = [{"price": 9.99, "size": 300}, {"price": 9.98, "size": 500}], [{"price": 10.01, "size": 200}]


def line(clock: str, number: int, **values: object) -> dict[str, str]:
    at = new_york_ns(str(DAY), clock)
    row = {"ticker": "DEEP", "asks": json.dumps(ASKS), "bids": json.dumps(BIDS), "made_timestamp": at - 1_000}
    row |= {"published_timestamp": at, "sequence_number": number}
    return {name: str(value) for name, value in (row | values).items()}


def test_a_line_that_is_no_book_is_refused_by_name_and_the_others_arrive(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    lines = [
        (line("10:00", 1), None),
        (line("10:01", 2, bids="[]", asks="[]", made_timestamp=0), None),
        (line("10:02", 3, bids="9.99"), "unparsable_number"),
        (line("10:03", 4, asks=""), "missing_value"),
        (line("10:04", 5, published_timestamp="soon"), "unparsable_number"),
        (line("10:05", 6, ticker=""), "missing_symbol"),
        (line("10:06", 7), None),
    ]
    path = tmp_path / "smallcaps" / "book_v1" / "2026" / "10" / f"{DAY}.csv.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(compressed(csv_text(COLUMNS, [row for row, _ in lines])))
    result = ingest_flatfiles(lake, settings, Folder(str(tmp_path)), ["book_v1"], DAY, DAY)
    assert (result.rows, result.rows_refused) == ({"bronze.book": 3}, 4)
    rows = lake.read("bronze.book").orderBy("source_line").collect()
    assert [row.source_line for row in rows] == [2, 3, 8]
    assert [tuple(level) for level in rows[0].bids] == [
        (Decimal("9.99"), Decimal(300)),
        (Decimal("9.98"), Decimal(500)),
    ]
    assert (rows[1].bids, rows[1].asks, rows[1].made_ns) == ([], [], None)
    refused = {row.source_line: row.rule for row in lake.read("ops.quarantine").collect()}
    assert refused == {place: rule for place, (_, rule) in enumerate(lines, start=2) if rule is not None}


def test_a_place_without_books_is_told_where_they_would_lie(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"Expected smallcaps/<kind>/YYYY/MM"):
        ingest_flatfiles(lake, settings, Folder(str(tmp_path)), ["book_v1"], DAY, DAY)


def test_the_simulated_markets_books_are_whole_in_silver_and_begin_with_the_best_quotes(
    spark: SparkSession, settings: Settings, simulated_market: Path, tmp_path: Path
) -> None:
    lake = Lake(str(tmp_path / "lake"), spark, suites=True)
    (day,) = tape_days(simulated_market, "book")
    kinds = ["quotes_v1", "book_v1"]
    ingest_flatfiles(lake, settings, Folder(str(simulated_market)), kinds, day, day)
    made = ["silver.calendar", "silver.securities", "silver.quotes", "silver.book"]
    counts = refine(lake, settings, day, day, made)
    tape = read_tape(simulated_market, "book", day)
    assert counts["silver.book"] == tape.num_rows > 1_000
    book = lake.read("silver.book")
    flags = ("is_at_nbbo", "is_two_sided", "is_crossed", "is_locked", "is_stale")
    told = book.select([F.avg(F.col(name).cast("int")).alias(name) for name in flags]).collect()[0].asDict()
    # Every book is drawn around the quote of its instant; a dark one has no side.
    assert told["is_at_nbbo"] == 1.0
    assert told["is_two_sided"] > 0.99
    assert (told["is_crossed"], told["is_locked"], told["is_stale"]) == (0, 0, 0)
    ordered = book.where("is_two_sided").where(
        "exists(sequence(1, size(bids) - 1), i -> bids[i].price >= bids[i - 1].price) "
        "OR exists(sequence(1, size(asks) - 1), i -> asks[i].price <= asks[i - 1].price)"
    )
    assert ordered.isEmpty()
    results = lake.read("ops.quality_results").where("table_name = 'silver.book' AND NOT success")
    assert [row.expectation for row in results.collect()] == []
