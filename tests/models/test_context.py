"""What could be known of company and market: each fact is there once it is known, and not a moment before."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession

from smallcaps.models.context import FEATURES, TABLES, with_context
from tests.microstructure.tables import as_table
from tests.models.world import SESSIONS, Row, event_row

EVENT = SESSIONS[30]
KNOWN = EVENT["close_at"].to_pydatetime() + dt.timedelta(seconds=2)
ME = "T:SYM:2024-01-02"
BEFORE, AFTER = KNOWN - dt.timedelta(hours=1), KNOWN + dt.timedelta(microseconds=1)
DAY = EVENT["session_date"]


def day(back: int) -> dt.date:
    return DAY - dt.timedelta(days=back)


def facts(known_at: dt.datetime) -> dict[str, list[Row]]:
    """One fact a table, or as many as it takes, that became known at `known_at`, each unlike what a missing one gives."""
    said: Row = {"security_id": ME, "symbol": "SYM", "known_at": known_at}
    source = {"source_sha256": "0", "as_of": day(1)}
    return {
        "silver.universe": [
            said
            | {"session_date": DAY, "market_cap": 100e6, "free_float": 10e6, "is_low_float": True, "is_small_cap": True}
        ],
        "silver.short_interest": [said | source | {"settlement_date": day(20), "version": 1, "days_to_cover": 3.5}],
        "silver.short_volume": [
            said
            | source
            | {"session_date": day(1), "version": 1, "short_volume": Decimal(25), "total_volume": Decimal(100)}
        ],
        "silver.float": [said | source | {"version": 1, "free_float_percent": 60.0}],
        "silver.fundamentals": [
            said
            | {
                "period_end": day(60),
                "timeframe": "trailing_twelve_months",
                "filing_date": day(30),
                "version": 1,
                "revenue": 50e6,
            }
            | {"net_income": -10e6, "total_equity": 40e6, "cash": 20e6, "long_term_debt": 30e6, "as_of": day(1)}
        ],
        "silver.filings": [
            said
            | source
            | {
                "accession_number": "1",
                "filing_date": day(5),
                "version": 1,
                "takedowns_365d": 2,
                "has_open_registration": True,
            }
            | {"may_be_at_the_market": True, "reverse_splits_2y": 1}
        ],
        "silver.ownership": [
            said | source | _insider("P", 1000, 5.0) | {"line": 1},
            said | source | _insider("S", 200, 5.0) | {"line": 2},
            said | source | _insider("A", 9000, 5.0) | {"line": 3},
            *(
                said
                | source
                | {"kind": "institution", "form": "13F-HR", "accession_number": f"i{holder}", "line": 1, "version": 1}
                | {
                    "holder_cik": holder,
                    "entry": "holding",
                    "relations": [],
                    "is_amendment": False,
                    "filing_date": day(40),
                }
                for holder in ("7", "8")
            ),
        ],
        "silver.news": [
            said
            | source
            | {"article_id": article, "version": 1, "published_at": known_at, "title": "t", "sentiment": sentiment}
            for article, sentiment in (("a", "positive"), ("b", "negative"), ("c", "positive"), ("d", None))
        ],
        "silver.macro": [
            source
            | {
                "series": series,
                "observation_date": day(3),
                "grain": "day",
                "source": "fred",
                "version": 1,
                "value": value,
            }
            | {"known_at": known_at}
            for series, value in (
                *(("policy_rate_upper", 5.5), ("yield_10_year", 4.0), ("yield_2_year", 4.5)),
                *(("cpi_year_over_year", 3.0), ("unemployment_rate", 3.9)),
            )
        ],
        "silver.sectors": [
            said
            | {
                "session_date": day(back),
                "is_sector_known": True,
                "daily_return": 0.1 if back < 6 else -0.02,
                "market_return": 0.01,
                "small_cap_return": 0.02,
                "sector_return": 0.03,
            }
            | {"beta_small_cap": 1.5, "correlation_small_cap": 0.4}
            for back in range(1, 21)
        ],
        "silver.short_sale_restrictions": [said | {"session_date": day(1), "last_session": DAY, "triggered_ns": 1}],
    }


def _insider(code: str, shares: int, price: float) -> Row:
    return {
        "kind": "insider",
        "form": "4",
        "accession_number": "4",
        "version": 1,
        "entry": "transaction",
        "instrument": "non_derivative",
        "transaction_code": code,
        "shares": Decimal(shares),
        "price": price,
        "relations": ["officer"],
        "is_amendment": False,
        "filing_date": day(3),
    }


ABSENT = dict.fromkeys(FEATURES) | {"news_1d": 0.0, "news_7d": 0.0, "is_short_sale_restricted": 0.0}


def known(spark: SparkSession, *said: dict[str, list[Row]], **event: Any) -> Row:
    """The features of the event, by facts."""
    rows = {name: [row for one in said for row in one.get(name, [])] for name in TABLES}
    tables = {name: as_table(spark, name, rows[name]) for name in TABLES}
    events = as_table(spark, "gold.events", [event_row("e", EVENT, "atr_breakout", **event)])
    found = with_context(events, tables).collect()
    assert len(found) == 1
    return {name: found[0][name] for name in FEATURES}


def test_everything_that_is_known_is_told(spark: SparkSession) -> None:
    assert known(spark, facts(BEFORE)) == pytest.approx(
        {
            "log_market_cap": 18.420680743952367,
            "log_free_float": 16.11809565095832,
            "is_low_float": 1.0,
            "is_small_cap": 1.0,
            "free_float_percent": 60.0,
            "days_to_cover": 3.5,
            "short_volume_share": 0.25,
            "revenue_yield": 0.5,
            "earnings_yield": -0.1,
            "book_yield": 0.4,
            "cash_yield": 0.2,
            "debt_yield": 0.3,
            "days_since_filing": 5.0,
            "takedowns_365d": 2.0,
            "has_open_registration": 1.0,
            "may_be_at_the_market": 1.0,
            "reverse_splits_2y": 1.0,
            # 1,000 bought, 200 sold, at 5 $ of 100 million; a grant is neither.
            "insider_net_share": 4_000 / 100e6,
            "institutions": 2.0,
            "news_1d": 4.0,
            "news_7d": 4.0,
            "news_sentiment_7d": 1 / 3,
            "policy_rate": 5.5,
            "yield_10_year": 4.0,
            "term_spread": -0.5,
            "inflation": 3.0,
            "unemployment_rate": 3.9,
            "market_return": 0.01,
            "small_cap_return": 0.02,
            "sector_return": 0.03,
            "return_5d": 1.1**5 - 1,
            "return_20d": 1.1**5 * 0.98**15 - 1,
            "beta_small_cap": 1.5,
            "correlation_small_cap": 0.4,
            "is_short_sale_restricted": 1.0,
        }
    )


def test_what_becomes_known_a_microsecond_later_is_not_told(spark: SparkSession) -> None:
    assert known(spark, facts(AFTER)) == ABSENT
    assert known(spark, facts(KNOWN)) == known(spark, facts(BEFORE))


def test_nothing_that_comes_later_changes_what_was_known(spark: SparkSession) -> None:
    later = facts(AFTER)
    for name, rows in later.items():
        for row in rows:
            row["version" if "version" in row else "symbol"] = 2 if "version" in row else "SYM"
            # Each number another.
            row.update({key: value * 2 for key, value in row.items() if isinstance(value, float)})
        assert rows, name
    del later["silver.universe"]
    # A day's return is told once.
    later["silver.sectors"] = [
        row | {"session_date": row["session_date"] + dt.timedelta(days=20)} for row in later["silver.sectors"]
    ]
    assert known(spark, facts(BEFORE), later) == known(spark, facts(BEFORE))


def test_what_is_known_of_another_company_is_not_told(spark: SparkSession) -> None:
    of_market = {"policy_rate", "yield_10_year", "term_spread", "inflation", "unemployment_rate"}
    found = known(spark, facts(BEFORE), security_id="T:OTHER:2024-01-02")
    assert {name for name, value in found.items() if value != ABSENT[name]} == of_market


def test_the_last_of_several_counts_by_what_it_is_about_not_by_when_it_was_said(spark: SparkSession) -> None:
    earlier = facts(BEFORE)
    about = {
        **earlier["silver.short_interest"][0],
        "settlement_date": day(40),
        "days_to_cover": 99.0,
        "known_at": KNOWN,
    }
    corrected = {**earlier["silver.short_interest"][0], "version": 2, "days_to_cover": 4.0}
    one = known(spark, earlier, {"silver.short_interest": [about]})
    assert one["days_to_cover"] == 3.5
    assert known(spark, earlier, {"silver.short_interest": [about, corrected]})["days_to_cover"] == 4.0


def test_windows_end_where_they_say(spark: SparkSession) -> None:
    old = facts(KNOWN - dt.timedelta(days=2))
    assert (known(spark, old)["news_1d"], known(spark, old)["news_7d"]) == (0.0, 4.0)
    assert known(spark, facts(KNOWN - dt.timedelta(days=7)))["news_7d"] == 0.0
    assert known(spark, facts(KNOWN - dt.timedelta(days=90)))["insider_net_share"] is None
    assert known(spark, facts(KNOWN - dt.timedelta(days=135)))["institutions"] is None


def test_a_rating_counts_once_it_was_there_and_an_article_from_when_it_was_published(spark: SparkSession) -> None:
    said = facts(BEFORE)
    news = said["silver.news"]
    hindsight = [row | {"as_of": DAY} for row in news]
    assert known(spark, said | {"silver.news": hindsight})["news_sentiment_7d"] is None
    # A new version of an old article is no news, and counts as it now stands.
    old = [row | {"published_at": KNOWN - dt.timedelta(days=3)} for row in news]
    again = [row | {"version": 2, "sentiment": "negative"} for row in old]
    found = known(spark, said | {"silver.news": old + again})
    assert (found["news_1d"], found["news_7d"], found["news_sentiment_7d"]) == (0.0, 4.0, -1.0)


def test_a_corrected_filing_counts_as_corrected_and_a_sector_of_hindsight_not_at_all(spark: SparkSession) -> None:
    said = facts(BEFORE)
    insiders = [row for row in said["silver.ownership"] if row["kind"] == "insider"]
    granted = [row | {"version": 2, "transaction_code": "A"} for row in insiders]
    assert known(spark, said | {"silver.ownership": insiders + granted})["insider_net_share"] is None
    guessed = [row | {"is_sector_known": False} for row in said["silver.sectors"]]
    found = known(spark, said | {"silver.sectors": guessed})
    assert (found["sector_return"], found["market_return"]) == (None, 0.01)
    long_ago = said["silver.sectors"][5:]
    found = known(spark, said | {"silver.sectors": long_ago})
    assert (found["market_return"], found["return_5d"], found["beta_small_cap"]) == (None, None, 1.5)


def test_a_run_up_is_unknown_where_a_session_of_it_has_no_return(spark: SparkSession) -> None:
    rows = facts(BEFORE)["silver.sectors"]
    halted = [row | ({"daily_return": None} if row["session_date"] == day(7) else {}) for row in rows]
    found = known(spark, {"silver.sectors": halted})
    assert (found["return_5d"], found["return_20d"]) == (pytest.approx(1.1**5 - 1), None)


def test_a_quarters_income_is_no_years(spark: SparkSession) -> None:
    said = facts(BEFORE)
    quarter = said["silver.fundamentals"][0] | {
        "timeframe": "quarterly",
        "period_end": day(40),
        "revenue": 1e6,
        "cash": 1e6,
    }
    found = known(spark, said | {"silver.fundamentals": [*said["silver.fundamentals"], quarter]})
    assert (found["revenue_yield"], found["cash_yield"]) == (0.5, 0.01)
