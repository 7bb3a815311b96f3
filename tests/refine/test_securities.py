"""Identity: which security a symbol was on which day, from what the vendor lists and from the data themselves."""

from datetime import date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.lake import declared
from smallcaps.lake.quality import sound
from smallcaps.refine.securities import (
    BEGINNING,
    identify,
    identify_filer,
    judged_instruments,
    spells,
    unlisted,
)

JANUARY, MARCH, APRIL, MAY, JUNE, JULY = (date(2015, month, 2) for month in (1, 3, 4, 5, 6, 7))
AS_OF = date(2015, 8, 3)
EARLIER = date(2015, 8, 1)


def frame(spark: SparkSession, table: str, rows: list[dict[str, Any]]) -> DataFrame:
    """Rows of a bronze table; the rest is null, the body's lines count from 1."""
    columns = declared(table).columns
    full = [
        {"as_of": AS_OF, "source_sha256": "f00", "source_line": line} | row for line, row in enumerate(rows, start=1)
    ]
    schema = ", ".join(f"{column.name} {column.type}" for column in columns)
    return spark.createDataFrame([tuple(row.get(column.name) for column in columns) for row in full], schema)


def ticker(
    symbol: str, figi: str | None, cik: str | None = None, gone: date | None = None, **more: Any
) -> dict[str, Any]:
    delisted = None if gone is None else datetime(gone.year, gone.month, gone.day)
    return {
        **{"symbol": symbol, "composite_figi": figi, "cik": cik, "ticker_type": "CS", "active": gone is None},
        **{"delisted_at": delisted, **more},
    }


def change(figi: str | None, day: date, symbol: str, cik: str | None = None) -> dict[str, Any]:
    return {
        **{"symbol": symbol, "ticker": symbol, "composite_figi": figi, "cik": cik},
        **{"event_type": "ticker_change", "event_date": day},
    }


TICKERS = [
    ticker("META", "FIGI1"),
    ticker("LATE", "FIGI2", gone=APRIL),
    ticker("LATE", "FIGI3"),
    ticker("CIK", None, "0007"),
    ticker("NONE", None),
    ticker("TWICE", "FIGI4", "0001"),
    ticker("TWICE", "FIGI4", "0002"),
    ticker("OPEN", "FIGI5"),
    ticker("GONE", "FIGI6", gone=MAY),
    ticker("GONE", "FIGI7"),
    ticker("OLD", "FIGI8", as_of=EARLIER),
]
EVENTS = [
    change("FIGI1", MAY, "META"),
    change("FIGI1", JANUARY, "FB"),
    # The vendor names no FIGI here: the company is known by its CIK.
    change(None, MARCH, "CIK", "0007"),
]
DETAILS = [
    {"symbol": "LATE", "composite_figi": "FIGI3", "list_date": JUNE},
    {"symbol": "TWICE", "composite_figi": "FIGI4", "cik": "0002"},
    # Another company's details say nothing about this one's listing.
    {"symbol": "OPEN", "composite_figi": "FIGI9", "list_date": JULY},
]


@pytest.fixture(scope="module")
def known(spark: SparkSession) -> DataFrame:
    events, details = frame(spark, "bronze.ticker_events", EVENTS), frame(spark, "bronze.ticker_details", DETAILS)
    instruments = judged_instruments(frame(spark, "bronze.tickers", TICKERS), details)
    return spells(sound(instruments), events, details).cache()


def whose(known: DataFrame, symbol: str) -> list[tuple[str, date, date | None]]:
    rows = known.where(known.symbol == symbol).orderBy("valid_from").collect()
    return [(row.security_id, row.valid_from, row.valid_to) for row in rows]


def test_a_renamed_security_keeps_its_identity(known: DataFrame) -> None:
    assert whose(known, "FB") == [("FIGI1", JANUARY, MAY)]
    assert whose(known, "META") == [("FIGI1", MAY, None)]


def test_a_reused_symbol_is_one_security_until_it_is_delisted_and_another_from_its_listing(known: DataFrame) -> None:
    assert whose(known, "LATE") == [("FIGI2", BEGINNING, date(2015, 4, 3)), ("FIGI3", JUNE, None)]


def test_where_the_second_ones_listing_is_not_known_it_begins_when_the_first_one_ends(known: DataFrame) -> None:
    assert whose(known, "GONE") == [("FIGI6", BEGINNING, date(2015, 5, 3)), ("FIGI7", date(2015, 5, 3), None)]


def test_without_a_figi_a_security_is_known_by_cik_and_class(known: DataFrame) -> None:
    assert whose(known, "CIK") == [("C:0007:CS", MARCH, None)]
    sources = {row.symbol: row.identity_source for row in known.collect()}
    assert (sources["CIK"], sources["META"]) == ("cik", "figi")


def test_details_of_another_company_and_an_earlier_snapshot_count_for_nothing(known: DataFrame) -> None:
    assert whose(known, "OPEN") == [("FIGI5", BEGINNING, None)]
    assert whose(known, "OLD") == []
    assert whose(known, "NONE") == []


def test_of_a_symbol_listed_twice_the_company_that_the_details_name_is_believed(spark: SparkSession) -> None:
    details = frame(spark, "bronze.ticker_details", DETAILS)
    judged = judged_instruments(frame(spark, "bronze.tickers", TICKERS), details).collect()
    assert [(row.cik, row["_rule"]) for row in judged if row.symbol == "TWICE"] == [
        ("0002", None),
        ("0001", "ticker_listed_twice"),
    ]
    assert {row.symbol for row in judged if row["_rule"]} == {"TWICE"}


SEEN = "symbol string, session_date date"


def days(spark: SparkSession, *rows: tuple[str, date]) -> DataFrame:
    return spark.createDataFrame(list(rows), SEEN)


def nobody(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], declared("silver.securities").schema)


def test_days_that_no_spell_covers_belong_to_the_symbol_and_its_first_day(
    spark: SparkSession, known: DataFrame
) -> None:
    data = days(spark, ("NONE", MAY), ("NONE", APRIL), ("none", MAY), ("LATE", MARCH), ("LATE", MAY), ("FB", JULY))
    found = unlisted(known, data, nobody(spark)).orderBy("security_id").collect()
    assert [(row.security_id, row.valid_from, row.valid_to) for row in found] == [
        ("T:FB:2015-07-02", MAY, None),  # Somebody else has it since FB became META.
        ("T:LATE:2015-05-02", date(2015, 4, 3), JUNE),  # Between the two companies.
        ("T:NONE:2015-04-02", BEGINNING, None),
        ("T:none:2015-05-02", BEGINNING, None),
    ]


def test_a_first_day_once_given_never_moves(spark: SparkSession, known: DataFrame) -> None:
    before = unlisted(known, days(spark, ("A", APRIL)), nobody(spark))
    after = unlisted(known, days(spark, ("A", MARCH), ("B", MARCH)), before)
    assert sorted(row.security_id for row in after.collect()) == ["T:A:2015-04-02", "T:B:2015-03-02"]


def test_a_symbol_that_comes_to_be_listed_is_the_listed_security_from_then_on(
    spark: SparkSession, known: DataFrame
) -> None:
    before = unlisted(known.where("false"), days(spark, ("META", JUNE), ("META", APRIL)), nobody(spark))
    assert [row.security_id for row in before.collect()] == ["T:META:2015-04-02"]
    after = unlisted(known, days(spark, ("META", JUNE)), before)
    assert [(row.security_id, row.valid_to) for row in after.collect()] == [("T:META:2015-04-02", MAY)]


def test_a_row_belongs_to_whoever_had_the_symbol_that_day(spark: SparkSession, known: DataFrame) -> None:
    data = days(spark, ("FB", APRIL), ("FB", MAY), ("META", MAY), ("LATE", APRIL), ("LATE", JUNE), ("meta", MAY))
    rows = identify(data, known).collect()
    assert {(row.symbol, row.session_date): row.security_id for row in rows} == {
        ("FB", APRIL): "FIGI1",
        ("FB", MAY): None,
        ("META", MAY): "FIGI1",
        ("LATE", APRIL): "FIGI2",  # Its last day.
        ("LATE", JUNE): "FIGI3",
        ("meta", MAY): None,
    }
    assert len(rows) == 6


def test_a_filing_belongs_to_whoever_has_the_symbol_now_else_to_whoever_had_it_then(
    spark: SparkSession, known: DataFrame
) -> None:
    dead = spark.createDataFrame(
        [("FIGI0", "DEAD", JANUARY, MAY, "0010")],
        "security_id string, symbol string, valid_from date, valid_to date, cik string",
    )
    known = known.unionByName(dead, allowMissingColumns=True)
    filed = spark.createDataFrame(
        [
            ("META", None, MARCH, AS_OF, "the vendor names it by its symbol of today"),
            ("FB", None, MARCH, AS_OF, "nobody has the symbol now"),
            ("TWICE", "0002", MARCH, AS_OF, "the same company"),
            ("TWICE", "0009", MARCH, AS_OF, "another company"),
            ("LATE", None, APRIL, AS_OF, "reused, and nothing tells the companies apart"),
            ("DEAD", "0010", JUNE, AS_OF, "delisted, and still filing"),
            ("DEAD", "0009", JUNE, AS_OF, "another company than the delisted one"),
        ],
        "symbol string, cik string, filing_date date, as_of date, why string",
    )
    assert {row.why: row.security_id for row in identify_filer(filed, known).collect()} == {
        "the vendor names it by its symbol of today": "FIGI1",
        "nobody has the symbol now": "FIGI1",
        "the same company": "FIGI4",
        "another company": None,
        "reused, and nothing tells the companies apart": "FIGI3",
        "delisted, and still filing": "FIGI0",
        "another company than the delisted one": None,
    }
