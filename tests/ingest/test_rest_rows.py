"""Every endpoint's body becomes the rows that stand here; a bad value is refused by name."""

import gzip
import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.ingest.body_rows import REASONS, judged_rows
from smallcaps.lake import RULE, declared
from smallcaps.lake.quality import RECEIVED
from smallcaps.sources.endpoints import ENDPOINTS
from tests.sources.vendor_bodies import BODIES as VENDORS
from tests.sources.vendor_bodies import FRED_OBSERVATIONS, NANOSECONDS

pytestmark = pytest.mark.slow

FIRST, LAST, AS_OF = date(2015, 3, 20), date(2015, 3, 23), date(2015, 3, 25)
BODIES = VENDORS | {"macro_vintages": FRED_OBSERVATIONS}
PAGE = "content binary, symbol string, first date, last date, received_at timestamp, sha256 string, status int"
FROM_THE_REQUEST = ("endpoint", "as_of", "received_at", "source_sha256", "source_line", RULE, RECEIVED)


def judged(spark: SparkSession, name: str, body: Any) -> DataFrame:
    """The rows of one body that answers for symbol A, 2015-03-20 to 2015-03-23."""
    page = (bytearray(gzip.compress(json.dumps(body).encode())), "A", FIRST, LAST, datetime(2015, 3, 25), "f00", 200)
    return judged_rows(ENDPOINTS[name], spark.createDataFrame([page], PAGE), AS_OF)


def told(frame: DataFrame) -> list[dict[str, Any]]:
    """What the rows hold of their own, nulls left out, instants as UTC text."""
    instants = [name for name, type in frame.dtypes if type == "timestamp"]
    rows = frame.withColumns({name: F.col(name).cast("string") for name in instants}).orderBy("source_line").collect()
    return [
        {name: value for name, value in row.asDict(True).items() if value is not None and name not in FROM_THE_REQUEST}
        for row in rows
    ]


def dollars(**prices: str) -> dict[str, Decimal]:
    return {name: Decimal(price) for name, price in prices.items()}


DAY, NEXT = date(2015, 3, 20), date(2015, 3, 23)
DAY_BARS = [
    {
        "symbol": "A",
        "session_date": DAY,
        "window_start_ns": 1426824000000000000,  # 00:00 New York
        **dollars(open="10", high="11.25", low="9.75", close="10.5", volume="1234567.5", vwap="10.0512"),
        "transactions": 4321,
    },
    {
        "symbol": "A",
        "session_date": NEXT,
        "window_start_ns": 1427083200000000000,
        **dollars(open="10.5", high="10.5", low="10.5", close="10.5", volume="100"),
    },
]
HOUR_BARS = [
    {
        "symbol": "A",
        "session_date": DAY,
        "window_start_ns": 1426856400000000000,  # 09:00
        **dollars(open="1", high="2", low="1", close="2", volume="5", vwap="1.5"),
        "transactions": 3,
    }
]
MINUTE_BARS = [
    {
        "symbol": "A",
        "session_date": DAY,
        "window_start_ns": 1426858200000000000,  # 09:30
        **dollars(open="1", high="2", low="1", close="2", volume="0.0015", vwap="1.5"),
        "transactions": 1,
    }
]
INSTRUMENT = {
    "symbol": "A",
    "name": "Alpha Inc.",
    "market": "stocks",
    "locale": "us",
    "primary_exchange": "XNAS",
    "ticker_type": "CS",
    "active": True,
    "currency_name": "usd",
    "cik": "0000000001",
    "composite_figi": "BBG000000001",
    "share_class_figi": "BBG001000001",
}
EVENT = {"symbol": "A", "name": "Alpha Inc.", "composite_figi": "BBG000000001", "cik": "0000000001"}
EVENT |= {"event_type": "ticker_change"}
EXCHANGE = {"exchange_id": 4, "exchange_type": "TRF", "asset_class": "stocks", "locale": "us"}
SPLIT = {"symbol": "A", "execution_date": NEXT, "split_from": 1.0, "split_to": 1.0299, "vendor_id": "E1"}
DIVIDEND = {
    "symbol": "A",
    "vendor_id": "E2",
    "ex_dividend_date": DAY,
    "declaration_date": date(2015, 3, 1),
    "record_date": date(2015, 3, 22),
    "pay_date": date(2015, 3, 31),
    "cash_amount": 0.59375,
    "currency": "USD",
    "frequency": 4,
}
INSIDER = {
    "symbol": "A",
    "tickers": ["A", "A.B"],
    "accession_number": "0000000001-15-000002",
    "filing_date": NEXT,
    "filing_url": "https://www.sec.gov/2.txt",
    "period_of_report": DAY,
    "issuer_cik": "0000000001",
    "issuer_name": "Alpha Inc.",
    "owner_cik": "0000000009",
    "owner_name": "Doe Jane",
    "officer_title": "Chief Financial Officer",
    "is_director": False,
    "is_officer": True,
    "direct_or_indirect": "D",
    "footnotes": [{"id": "F1", "description": "A “trust”, of which\nshe knows."}],
}
REPORT = {
    "symbol": "A",
    "tickers": ["A", "A.B"],
    "cik": "0000000001",
    "timeframe": "quarterly",
    "period_end": date(2014, 12, 31),
    "filing_date": DAY,
    "fiscal_year": 2014,
    "fiscal_quarter": 4,
}

ROWS: dict[str, list[dict[str, Any]]] = {
    "tickers": [
        {**INSTRUMENT, "last_updated_at": "2015-03-25 00:00:00"},
        {"symbol": "BApA", "active": True},
    ],
    "delisted_tickers": [{"symbol": "GONE", "active": False, "delisted_at": "2015-03-24 04:00:00"}],
    "ticker_details": [
        {
            **INSTRUMENT,
            "market_cap": 1.5e9,
            "phone_number": "(408) 555-0100",
            "address1": "1 ALPHA WAY",
            "city": "CUPERTINO",
            "state": "CA",
            "postal_code": "95014",
            "icon_url": "https://api.massive.com/icon.png",
            "description": "Makes “alphas”.",
            "sic_code": "3571",
            "list_date": date(1980, 12, 12),
            "round_lot": 100,
            "share_class_shares_outstanding": Decimal(16319440000),
            "weighted_shares_outstanding": Decimal(16334371000),
            "total_employees": 154000,
        }
    ],
    "ticker_events": [
        {**EVENT, "event_date": date(2012, 6, 11), "ticker": "A"},
        {**EVENT, "event_date": date(2004, 5, 18), "ticker": "OLDA"},
    ],
    "ticker_types": [{"code": "CS", "description": "Common Stock", "asset_class": "stocks", "locale": "us"}],
    "exchanges": [
        {**EXCHANGE, "name": "FINRA NYSE TRF", "mic": "FINY"},
        {**EXCHANGE, "name": "FINRA Nasdaq TRF", "mic": "FINN"},
    ],
    "conditions": [
        {
            "condition_id": 2,
            "condition_type": "sale_condition",
            "name": "Average Price Trade",
            "asset_class": "stocks",
            "data_types": ["trade", "bbo"],
            "legacy": True,
            "sip_cta": "B",
            "sip_utp": "W",
            **{
                f"{tape}_updates_{what}": what == "volume"
                for tape in ("consolidated", "market_center")
                for what in ("high_low", "open_close", "volume")
            },
        }
    ],
    "splits": [{**SPLIT, "adjustment_type": "stock_dividend", "historical_adjustment_factor": 0.970968}],
    "old_splits": [SPLIT],
    "dividends": [
        {
            **DIVIDEND,
            "distribution_type": "recurring",
            "split_adjusted_cash_amount": 0.5765,
            "historical_adjustment_factor": 0.99,
        }
    ],
    "old_dividends": [{**DIVIDEND, "dividend_type": "CD"}],
    "ipos": [
        {
            "symbol": "NEW",
            "issuer_name": "Newco",
            "ipo_status": "pending",
            "announced_date": date(2015, 3, 1),
            "last_updated": date(2015, 3, 2),
            "lowest_offer_price": 15.0,
            "highest_offer_price": 17.0,
            "max_shares_offered": Decimal(5000000),
            "currency_code": "USD",
            "security_type": "CS",
        },
        {"issuer_name": "Rumour plc", "ipo_status": "rumor", "last_updated": date(2015, 3, 3)},
    ],
    "holidays": [
        {"exchange": "NYSE", "name": "Good Friday", "status": "closed", "holiday_date": date(2015, 4, 3)},
        {
            "exchange": "NYSE",
            "name": "Thanksgiving",
            "status": "early-close",
            "holiday_date": date(2015, 11, 27),
            "open_at": "2015-11-27 14:30:00",
            "close_at": "2015-11-27 18:00:00",
        },
    ],
    "short_interest": [
        {
            "symbol": "A",
            "settlement_date": DAY,
            "short_interest": 2006566,
            "avg_daily_volume": 1103490,
            "days_to_cover": 1.82,
        }
    ],
    "short_volume": [
        {
            "symbol": "A",
            "trade_date": DAY,
            "short_volume_ratio": 31.57,
            **dollars(
                short_volume="181219",
                total_volume="574084.25",
                exempt_volume="1",
                non_exempt_volume="181218",
                nyse_short_volume="19",
                nasdaq_carteret_short_volume="179943",
                nasdaq_carteret_short_volume_exempt="1",
                adf_short_volume="0",
            ),
        }
    ],
    "float": [
        {"symbol": "A", "effective_date": date(2015, 3, 1), "free_float": 14000000, "free_float_percent": 79.5},
    ],
    "income_statements": [{**REPORT, "items": {"revenue": 416161000000.0, "basic_earnings_per_share": -0.25}}],
    "balance_sheets": [{**REPORT, "items": {"total_assets": 5.5e9}}],
    "cash_flow_statements": [{**REPORT, "items": {"net_income": 1.0}}],
    "ratios": [
        {
            "symbol": "A",
            "cik": "0000000001",
            "period_end": DAY,
            "items": {"price": 10.5, "market_cap": 1.5e9},
        }
    ],
    "old_financials": [
        {
            "symbol": "A",
            "tickers": ["A"],
            "cik": "0000000001",
            "timeframe": "quarterly",
            "period_start": date(2014, 10, 1),
            "period_end": date(2014, 12, 31),
            "filing_date": DAY,
            "fiscal_year": 2014,
            "fiscal_period": "Q4",
            "filing_url": "https://api.massive.com/v1/reference/sec/filings/1",
            "items": {"balance_sheet.assets": 2.1321e10, "income_statement.revenues": 3136.0},
        }
    ],
    "filings": [
        {
            "symbol": "A",
            "accession_number": "0000000001-15-000001",
            "cik": "0000000001",
            "issuer_name": "Alpha Inc.",
            "form_type": "8-K",
            "filing_date": DAY,
            "filing_url": "https://www.sec.gov/1.txt",
        }
    ],
    "insider_holdings": [
        {
            **INSIDER,
            "form_type": "3",
            "security_title": "Common Stock",
            "shares_owned": Decimal("1000.5"),
        },
        {
            "accession_number": "0000000001-15-000003",
            "filing_date": DAY,
            "form_type": "3/A",
            "date_of_original_submission": date(2015, 3, 2),
            "security_title": "Options",
            "security_type": "derivative",
            "exercise_price": 9.0,
            "underlying_security_shares": Decimal("9000"),
            "tickers": [],
        },
    ],
    "insider_transactions": [
        {
            **INSIDER,
            "form_type": "4",
            "record_type": "transaction",
            "security_type": "non_derivative",
            "security_title": "Common Stock",
            "transaction_code": "P",
            "transaction_acquired_disposed": "A",
            "transaction_timeliness": "O",
            "transaction_date": DAY,
            "transaction_shares": Decimal("100"),
            "transaction_price_per_share": 10.25,
            "transaction_value": 1025.0,
            "shares_owned_following_transaction": Decimal("1100.5"),
            "aff_10b5_one": False,
            "equity_swap_involved": False,
        },
        {"accession_number": "0000000001-15-000004", "filing_date": DAY},
    ],
    "institutional_holdings": [
        {
            "accession_number": "0000000007-15-000001",
            "form_type": "13F-HR",
            "filing_date": DAY,
            "filing_url": "https://www.sec.gov/7.txt",
            "period": date(2014, 12, 31),
            "filer_cik": "0000000007",
            "file_number": "028-10000",
            "film_number": "15123456",
            "issuer_name": "ALPHA INC",
            "title_of_class": "COM",
            "cusip": "023135106",
            "market_value": 3_000_000_000,
            "shares_or_principal_amount": 7_724_000,
            "shares_or_principal_type": "SH",
            "put_call": "Put",
            "investment_discretion": "DFND",
            "other_managers": ["Doe Jane", "Roe, Richard"],
            "voting_authority_sole": 7_724_000,
            "voting_authority_shared": 0,
            "voting_authority_none": 0,
        },
        {"accession_number": "0000000007-15-000002", "filing_date": NEXT, "form_type": "13F-HR/A"},
    ],
    "news": [
        {
            "vendor_id": "n1",
            "published_at": "2015-03-20 12:00:01",
            "title": "Alpha, “beta” – and\na line",
            "author": "N. N.",
            "article_url": "https://wire.example/1",
            "keywords": ["earnings, raised"],
            "tickers": ["A", "BApA"],
            "insights": [{"ticker": "A", "sentiment": "positive", "sentiment_reasoning": "It rose."}],
            "publisher_name": "The Wire",
            "publisher_homepage_url": "https://wire.example/",
        },
        {"vendor_id": "n2", "published_at": "2015-03-23 23:59:59", "title": "half a ? pair", "tickers": []},
    ],
    "treasury_yields": [
        {"series": "yield_1_month", "observation_date": DAY, "value": 0.05},
        {"series": "yield_10_year", "observation_date": DAY, "value": 1.93},
        {"series": "yield_10_year", "observation_date": NEXT, "value": 1.92},
    ],
    "inflation": [{"series": "cpi", "observation_date": DAY, "value": 235.976}],
    "inflation_expectations": [{"series": "market_5_year", "observation_date": DAY, "value": 1.6}],
    "labor_market": [
        {"series": "unemployment_rate", "observation_date": DAY, "value": 5.4},
        {"series": "job_openings", "observation_date": DAY, "value": 5109.0},
    ],
    "snapshots": [
        {
            "symbol": "A",
            "updated_ns": NANOSECONDS + 2,
            "todays_change": -0.124,
            "todays_change_percent": -0.601,
            **{"day_open": 20.64, "day_high": 20.64, "day_low": 20.5, "day_close": 20.506, "day_vwap": 20.616},
            **{"previous_day_open": 20.79, "previous_day_high": 21.0, "previous_day_low": 20.5},
            **{"previous_day_close": 20.63, "previous_day_vwap": 20.6939},
            **{"minute_open": 1.5, "minute_high": 3.0, "minute_low": 1.0, "minute_close": 2.0, "minute_vwap": 2.5},
            **dollars(
                day_volume="37216.5",  # dv, for v has no fractions
                previous_day_volume="292738",
                minute_volume="5000",
                accumulated_volume="37216",
                last_trade_size="2416",
                bid_size="13",
                ask_size="22",
            ),
            "minute_start_ns": 1426824000000000000,
            "minute_transactions": 5,
            "last_trade_ns": NANOSECONDS + 1,
            "last_trade_price": 20.506,
            "last_trade_exchange": 4,
            "last_trade_id": "7167",
            "last_trade_conditions": [14, 41],
            "last_quote_ns": NANOSECONDS,
            "bid_price": 20.5,
            "ask_price": 20.6,
        },
        {"symbol": "BApA", "last_trade_conditions": []},
    ],
    "macro_vintages": [
        {
            "series": "A",  # What was asked for.
            "observation_date": date(2015, 2, 1),
            "value": 5.5,
            "realtime_start": DAY,
            "realtime_end": date(2015, 3, 22),
        },
        {
            "series": "A",
            "observation_date": date(2015, 2, 1),
            "value": -0.25,
            "realtime_start": NEXT,
            "realtime_end": NEXT,
        },
        {
            "series": "A",
            "observation_date": date(2015, 1, 1),
            "realtime_start": DAY,
            "realtime_end": NEXT,
        },
    ],
    "grouped_bars": [
        {
            "symbol": "A",
            "session_date": DAY,
            "window_start_ns": 1426881600000000000,  # 16:00
            **dollars(open="10", high="11", low="9.75", close="10.5", volume="7", vwap="10.1"),
            "transactions": 4,
        },
        {
            "symbol": "ZVZZT",
            "session_date": DAY,
            "window_start_ns": 1426881600000000000,
            **dollars(open="10", high="10", low="10", close="10", volume="0"),
        },
    ],
    **{f"day_bars{adjusted}": DAY_BARS for adjusted in ("", "_adjusted")},
    **{f"hour_bars{adjusted}": HOUR_BARS for adjusted in ("", "_adjusted")},
    **{f"minute_bars{adjusted}": MINUTE_BARS for adjusted in ("", "_adjusted")},
    "trades": [
        {
            "symbol": "A",
            "session_date": DAY,
            "sip_ns": NANOSECONDS,
            "participant_ns": NANOSECONDS - 1,
            "sequence_number": 1065,
            "trade_id": "71",
            "exchange": 11,
            "tape": 3,
            **dollars(price="10.0001", size="0.740474"),
            "conditions": [12, 37],
        },
        {
            "symbol": "A",
            "session_date": DAY,
            "sip_ns": NANOSECONDS + 1,
            "participant_ns": NANOSECONDS,
            "trf_ns": NANOSECONDS + 2,
            "sequence_number": 1066,
            "trade_id": "72",
            "exchange": 4,
            "trf_id": 202,
            "tape": 3,
            **dollars(price="10", size="100"),
            "conditions": [],
            "correction": 8,
        },
    ],
    "quotes": [
        {
            "symbol": "A",
            "session_date": DAY,
            "sip_ns": NANOSECONDS,
            "participant_ns": NANOSECONDS - 5,
            "sequence_number": 7,
            **dollars(bid_price="10", bid_size="40", ask_price="10.02", ask_size="300"),
            "bid_exchange": 11,
            "ask_exchange": 12,
            "tape": 3,
            "conditions": [1],
            "indicators": [604],
        },
        {
            "symbol": "A",
            "session_date": DAY,
            "sip_ns": NANOSECONDS + 1,
            "participant_ns": NANOSECONDS,
            "sequence_number": 8,
            **dollars(bid_price="9.99", bid_size="1", ask_price="0", ask_size="0"),
            "conditions": [],
            "indicators": [],
        },
    ],
}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_body_becomes_its_rows(name: str, spark: SparkSession) -> None:
    frame = judged(spark, name, BODIES[name])
    declared_types = {column.name: column.type for column in declared(ENDPOINTS[name].table).columns}
    assert {column: type for column, type in frame.dtypes if column not in (RULE, RECEIVED)} == declared_types
    assert told(frame) == ROWS[name]


def test_a_row_says_where_it_comes_from(spark: SparkSession) -> None:
    rows = judged(spark, "ticker_events", BODIES["ticker_events"]).orderBy("source_line").collect()
    assert [(row.endpoint, row.as_of, row.source_sha256, row.source_line) for row in rows] == [
        ("ticker_events", AS_OF, "f00", 1),
        ("ticker_events", AS_OF, "f00", 2),
    ]


def good(name: str) -> dict[str, Any]:
    return BODIES[name]["results"][0]


# Values put into a good record, and the rule that the record then breaks.
REFUSED: dict[str, list[tuple[dict[str, Any], str]]] = {
    "minute_bars": [
        ({"o": None}, "missing_value"),
        ({"t": ""}, "missing_value"),
        ({"o": "ten"}, "unparsable_value"),
        ({"t": 1426858200000.5}, "unparsable_value"),
        ({"t": 1 << 60}, "unparsable_value"),  # In nanoseconds it is no bigint.
        ({"n": True}, "unparsable_value"),
        ({"v": 1e300}, "unparsable_value"),
        ({"c": {"price": 1}}, "unparsable_value"),
        ({"t": good("minute_bars")["t"] + 7 * 86_400_000}, "outside_request"),
    ],
    "trades": [({"conditions": [12, "x"]}, "unparsable_value"), ({"conditions": {"a": 1}}, "unparsable_value")],
    "dividends": [
        ({"pay_date": "2015-13-01"}, "unparsable_value"),
        ({"pay_date": "2015-03"}, "unparsable_value"),  # Part of a date is no date.
        ({"cash_amount": float("nan")}, "unparsable_value"),
        ({"ex_dividend_date": ""}, "missing_value"),
        ({"ex_dividend_date": "2015-03-24"}, "outside_request"),
    ],
    "news": [({"tickers": "A"}, "unparsable_value"), ({"published_utc": "yesterday"}, "unparsable_value")],
    "conditions": [({"legacy": "perhaps"}, "unparsable_value")],
    "income_statements": [({"revenue": 1e400}, "unparsable_value")],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_value_is_refused_with_what_it_breaks_and_its_neighbours_are_kept(name: str, spark: SparkSession) -> None:
    bad = [good(name) | values for values, _ in REFUSED[name]]
    rows = judged(spark, name, {"results": [*bad, good(name)]}).orderBy("source_line").collect()
    assert [row[RULE] for row in rows] == [*(rule for _, rule in REFUSED[name]), None]
    assert {rule for _, rule in REFUSED[name]} <= set(REASONS)
