"""Which requests are needed, and which are answered: frames by hand."""

from datetime import date, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.ingest.requests import answered, planned
from smallcaps.sources.economy.endpoints import MACRO_VINTAGES
from smallcaps.sources.polygon.endpoints import ENDPOINTS

pytestmark = pytest.mark.slow

AS_OF = date(2015, 4, 6)


def plan(spark: SparkSession, name: str, first: date, last: date, *symbols: str) -> list[tuple]:
    frame = spark.createDataFrame([(symbol,) for symbol in symbols], "symbol string") if symbols else None
    rows = planned(spark, ENDPOINTS[name], frame, first, last, AS_OF).orderBy("request").collect()
    return [tuple(row) for row in rows]


def test_a_market_is_one_request_with_its_range(spark: SparkSession) -> None:
    first, last = date(2015, 3, 1), date(2015, 3, 31)
    assert plan(spark, "dividends", first, last) == [
        (
            "/stocks/v1/dividends?ex_dividend_date.gte=2015-03-01&ex_dividend_date.lte=2015-03-31"
            "&limit=5000&sort=ex_dividend_date.asc",
            None,
            first,
            last,
        )
    ]


def test_a_day_is_a_session(spark: SparkSession) -> None:
    # 2015-04-03 is Good Friday, the next two days a weekend.
    rows = plan(spark, "grouped_bars", date(2015, 4, 2), date(2015, 4, 6))
    assert [(row[1], row[2], row[3]) for row in rows] == [
        (None, date(2015, 4, 2), date(2015, 4, 2)),
        (None, date(2015, 4, 6), date(2015, 4, 6)),
    ]
    assert rows[0][0].startswith("/v2/aggs/grouped/locale/us/market/stocks/2015-04-02?")
    assert plan(spark, "grouped_bars", date(2015, 4, 3), date(2015, 4, 5)) == []


def test_a_series_is_asked_year_by_year(spark: SparkSession) -> None:
    series = spark.createDataFrame([("UNRATE",)], "symbol string")
    plan = planned(spark, MACRO_VINTAGES, series, date(2024, 11, 30), date(2026, 2, 1), date(2026, 3, 1))
    rows = plan.orderBy("first").collect()
    assert [(row.first, row.last) for row in rows] == [
        (date(2024, 11, 30), date(2024, 12, 31)),
        (date(2025, 1, 1), date(2025, 12, 31)),
        (date(2026, 1, 1), date(2026, 2, 1)),
    ]
    assert rows[0].request == (
        "/fred/series/observations?file_type=json&limit=100000&observation_start=2000-01-01&realtime_end=2024-12-31"
        "&realtime_start=2024-11-30&series_id=UNRATE"
    )


def test_a_month_is_cut_at_the_ends_of_the_range(spark: SparkSession) -> None:
    rows = plan(spark, "minute_bars", date(2014, 11, 28), date(2015, 1, 5), "A")
    assert [(row[2], row[3]) for row in rows] == [
        (date(2014, 11, 28), date(2014, 11, 30)),
        (date(2014, 12, 1), date(2014, 12, 31)),
        (date(2015, 1, 1), date(2015, 1, 5)),
    ]
    assert "/range/1/minute/2014-12-01/2014-12-31?" in rows[1][0]


def test_symbols_are_asked_once_each_and_stay_within_their_place_in_the_path(spark: SparkSession) -> None:
    names = ("A", "BRK.A", "BApA", "BAPA", "A/B", "A B", "A+B", "Ä?x=1", "A")
    rows = plan(spark, "ticker_details", date(2015, 3, 1), date(2015, 3, 2), *names)
    paths = {symbol: request for request, symbol, _, _ in rows}
    assert len(rows) == len(paths) == 8
    assert {symbol: path.split("/")[4].removesuffix("?date=2015-04-06") for symbol, path in paths.items()} == {
        "A": "A",
        "BRK.A": "BRK.A",
        "BApA": "BApA",
        "BAPA": "BAPA",
        "A/B": "A%2FB",
        "A B": "A%20B",
        "A+B": "A%2BB",
        "Ä?x=1": "%C3%84%3Fx%3D1",
    }
    assert all(path.count("/") == 4 for path in paths.values())


# request, run, page, last_page, records, fault, minute of arrival
BODIES = [
    ("whole", "r1", 1, False, 3, None, 1),
    ("whole", "r1", 2, True, 2, None, 2),
    ("no end", "r1", 1, False, 3, None, 1),
    ("faulty", "r1", 1, True, 3, "why", 1),
    ("fault after a page", "r1", 1, False, 3, None, 1),
    ("fault after a page", "r1", 2, False, 3, "why", 2),
    ("gap", "r1", 1, False, 3, None, 1),
    ("gap", "r1", 3, True, 3, None, 3),
    ("second attempt", "r1", 1, False, 3, None, 1),
    ("second attempt", "r2", 1, False, 3, None, 5),
    ("second attempt", "r2", 2, True, 4, None, 6),
    ("ends in another run", "r1", 1, False, 3, None, 1),
    ("ends in another run", "r2", 2, True, 3, None, 5),
    ("answered twice", "r2", 1, True, 8, None, 5),
    ("answered twice", "r1", 1, True, 7, None, 1),
    ("nothing there", "r1", 1, True, 0, None, 1),
    ("not planned", "r1", 1, True, 9, None, 1),
]


def bodies(spark: SparkSession) -> DataFrame:
    """Page n has 100 + n bytes."""
    rows = [(*row[:-1], datetime(2015, 4, 6) + timedelta(minutes=row[-1])) for row in BODIES]
    schema = "request string, run_id string, page int, last_page boolean, records bigint, fault string, received_at timestamp"
    return spark.createDataFrame(rows, schema).selectExpr("*", "100L + page AS size_bytes")


def test_an_answer_is_whole_where_one_run_got_all_its_pages_without_a_fault(spark: SparkSession) -> None:
    day = date(2015, 4, 6)
    names = sorted({row[0] for row in BODIES} - {"not planned"} | {"never asked"})
    wanted = spark.createDataFrame(
        [(name, None, day, day) for name in names], "request string, symbol string, first date, last date"
    )
    found = answered(wanted, bodies(spark))
    assert found.columns == ["request", "symbol", "first", "last", "run_id", "pages", "bytes", "records"]
    assert {row.request: (row.run_id, row.pages, row.bytes, row.records) for row in found.collect()} == {
        "whole": ("r1", 2, 203, 5),
        "second attempt": ("r2", 2, 203, 7),
        "answered twice": ("r2", 1, 101, 8),
        "nothing there": ("r1", 1, 101, 0),
    }
