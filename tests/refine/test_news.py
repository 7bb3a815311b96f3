"""News by ticker: when it was known, whose it is, and what the vendor changed."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.lake import RULE, declared
from smallcaps.lake.quality import RECEIVED
from smallcaps.refine.news import judged_news
from tests.refine.frames import collected, kept, refusals, snapshots

FRIDAY, SATURDAY, SUNDAY = (date(2015, 11, day) for day in (27, 28, 29))
NOON = datetime(2015, 11, 27, 17, tzinfo=UTC)
COLUMNS = ("article_id", "symbol", "version", "title", "sentiment", "known_at")
RENAMED = date(2015, 11, 27)
"""FB is META's symbol until the day before."""


def article(name: str, as_of: date, tickers: list[str] | None, at: datetime = NOON, **others: Any) -> dict[str, Any]:
    named = {
        "vendor_id": name,
        "as_of": as_of,
        "tickers": tickers,
        "published_at": at,
        "title": "first",
        "insights": [],
    }
    return named | others


def insight(ticker: str, sentiment: str) -> tuple[str, str, str]:
    return (ticker, sentiment, f"{sentiment} for {ticker}")


TWO = {"insights": [insight("B", "negative"), insight("A", "positive")]}
ARTICLES = [
    article("same", FRIDAY, ["A", "B", "A"], **TWO),
    article("same", SATURDAY, ["A", "B", "A"], **TWO),
    article("mended", FRIDAY, ["A"]),
    article("mended", SATURDAY, ["A"]),
    article("mended", SUNDAY, ["A", "B"], title="second"),
    # 00:30 UTC is Thursday evening in New York, when the symbol was still FB.
    article("night", FRIDAY, ["FB", "META"], datetime(2015, 11, 27, 0, 30, tzinfo=UTC)),
    article("market", FRIDAY, []),
    article("silent", FRIDAY, None),
    article("blank", FRIDAY, [""]),
    article("ahead", FRIDAY, ["A"], NOON + timedelta(days=1)),
    article("strange", FRIDAY, ["A"], insights=[insight("A", "furious")]),
    article("twice", FRIDAY, ["A"]),
    article("twice", FRIDAY, ["A"]),
]


def made(spark: SparkSession, articles: list[dict[str, Any]]) -> DataFrame:
    spells = [("A", "FIGIA", None, None), ("B", "FIGIB", None, None)]
    spells += [("FB", "FIGIM", None, RENAMED), ("META", "FIGIM", RENAMED, None)]
    securities = spark.createDataFrame(
        [(symbol, figi, since or date(1900, 1, 1), until, None) for symbol, figi, since, until in spells],
        "symbol string, security_id string, valid_from date, valid_to date, cik string",
    )
    return judged_news(snapshots(spark, "bronze.news", articles), securities)


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> list[dict[str, Any]]:
    return collected(made(spark, ARTICLES))


def test_a_row_an_article_and_ticker_known_a_minute_after_publication(rows: list[dict[str, Any]]) -> None:
    minute_later = datetime(2015, 11, 27, 17, 1, tzinfo=UTC)
    # Midnight after Sunday in New York, in winter.
    seen = datetime(2015, 11, 30, 5, tzinfo=UTC)
    assert [row for row in kept(rows, *COLUMNS) if row[0] in ("same", "mended")] == [
        ("mended", "A", 1, "first", None, minute_later),
        ("mended", "A", 2, "second", None, seen),
        ("mended", "B", 2, "second", None, seen),
        ("same", "A", 1, "first", "positive", minute_later),
        ("same", "B", 1, "first", "negative", minute_later),
    ]


def test_a_ticker_is_whoever_had_it_in_new_york_on_the_day_of_publication(rows: list[dict[str, Any]]) -> None:
    night = {(row["symbol"], row["security_id"], row[RULE]) for row in rows if row["article_id"] == "night"}
    assert night == {("FB", "FIGIM", None), ("META", None, "no_identity")}


def test_what_breaks_a_rule_is_refused_with_it_and_an_article_about_nobody_is_no_row(
    rows: list[dict[str, Any]],
) -> None:
    assert refusals(rows, "article_id") == {
        ("night", "no_identity"),
        ("ahead", "impossible_day"),
        ("strange", "unknown_sentiment"),
        ("twice", "duplicate_record"),
    }
    assert {row["article_id"] for row in rows}.isdisjoint({"market", "silent", "blank"})
    # What goes to quarantine is the article, once however many of its tickers are refused.
    assert [row[RECEIVED]["tickers"] for row in rows if row["symbol"] == "META"] == [["FB", "META"]]


def test_what_was_known_by_a_day_is_the_same_with_later_snapshots(
    spark: SparkSession, rows: list[dict[str, Any]]
) -> None:
    earlier = collected(made(spark, [one for one in ARTICLES if one["as_of"] < SUNDAY]))
    end = datetime(2015, 11, 29, 5, tzinfo=UTC)
    known = [row for row in rows if row[RULE] is None and row["known_at"] <= end]
    assert kept(known, *COLUMNS) == kept(earlier, *COLUMNS)
    assert len(known) == 5


def test_the_table_has_every_column(rows: list[dict[str, Any]]) -> None:
    assert {column.name for column in declared("silver.news").columns} <= set(rows[0])
