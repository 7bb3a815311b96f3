"""Bodies shaped as the vendor's (POLYGON.md §2), values our own, and the requests they answer.

What is odd in them is what is odd on the wire: fields left out, numbers as 5.0, fractions, nanoseconds beyond 2^53.
"""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.sources.vendor_server import Answer

NOT_FOUND = Answer({"status": "NOT_FOUND", "request_id": "0", "message": "Ticker not found."}, 404)


def results(*records: Any, **more: Any) -> dict[str, Any]:
    return {"status": "OK", "request_id": "31d59dda", "results": list(records), **more}


# 2015-03-20 and 2015-03-23, 00:00 New York; hours and minutes of 2015-03-20, 09:30 on.
MARCH_20, MARCH_23 = 1426824000000, 1427083200000
HALF_PAST_NINE = 1426858200000
NANOSECONDS = 1426858200000123457
"""09:30:00.000123457 New York: a float would round it."""

BARS = {
    "day": results(
        {"v": 1234567.5, "vw": 10.0512, "o": 10, "c": 10.5, "h": 11.25, "l": 9.75, "t": MARCH_20, "n": 4321},
        {"v": 100.0, "o": 10.5, "c": 10.5, "h": 10.5, "l": 10.5, "t": MARCH_23},
        ticker="A",
        adjusted=False,
    ),
    "hour": results({"v": 5.0, "vw": 1.5, "o": 1, "c": 2, "h": 2, "l": 1, "t": HALF_PAST_NINE - 1800000, "n": 3}),
    "minute": results({"v": 0.0015, "vw": 1.5, "o": 1, "c": 2, "h": 2, "l": 1, "t": HALF_PAST_NINE, "n": 1}),
}
GROUPED = results(
    {"T": "A", "v": 7, "vw": 10.1, "o": 10, "c": 10.5, "h": 11, "l": 9.75, "t": MARCH_20 + 57600000, "n": 4},
    {"T": "ZVZZT", "v": 0, "o": 10, "c": 10, "h": 10, "l": 10, "t": MARCH_20 + 57600000},
)
TRADES = results(
    {
        "conditions": [12, 37],
        "exchange": 11,
        "id": "71",
        "participant_timestamp": NANOSECONDS - 1,
        "price": 10.0001,
        "sequence_number": 1065,
        "sip_timestamp": NANOSECONDS,
        "size": 0,
        "decimal_size": "0.740474",
        "tape": 3,
    },
    {
        "correction": 8,
        "exchange": 4,
        "id": "72",
        "participant_timestamp": NANOSECONDS,
        "price": 10,
        "sequence_number": 1066,
        "sip_timestamp": NANOSECONDS + 1,
        "size": 100,
        "tape": 3,
        "trf_id": 202,
        "trf_timestamp": NANOSECONDS + 2,
    },
)
QUOTES = results(
    {
        "ask_exchange": 12,
        "ask_price": 10.02,
        "ask_size": 300,
        "bid_exchange": 11,
        "bid_price": 10,
        "bid_size": 40,
        "conditions": [1],
        "indicators": [604],
        "participant_timestamp": NANOSECONDS - 5,
        "sequence_number": 7,
        "sip_timestamp": NANOSECONDS,
        "tape": 3,
    },
    {
        "ask_price": 0,
        "ask_size": 0,
        "bid_price": 9.99,
        "bid_size": 1,
        "participant_timestamp": NANOSECONDS,
        "sequence_number": 8,
        "sip_timestamp": NANOSECONDS + 1,
    },
)
_TICKER = {
    "ticker": "A",
    "name": "Alpha Inc.",
    "market": "stocks",
    "locale": "us",
    "primary_exchange": "XNAS",
    "type": "CS",
    "active": True,
    "currency_name": "usd",
    "cik": "0000000001",
    "composite_figi": "BBG000000001",
    "share_class_figi": "BBG001000001",
}
TICKERS = results({**_TICKER, "last_updated_utc": "2015-03-25T00:00:00Z"}, {"ticker": "BApA", "active": True})
DELISTED = results({"ticker": "GONE", "active": False, "delisted_utc": "2015-03-24T04:00:00Z"})
DETAILS = results() | {
    "results": {
        **_TICKER,
        "market_cap": 1.5e9,
        "phone_number": "(408) 555-0100",
        "address": {"address1": "1 ALPHA WAY", "city": "CUPERTINO", "state": "CA", "postal_code": "95014"},
        "branding": {"icon_url": "https://api.massive.com/icon.png"},
        "description": "Makes “alphas”.",
        "sic_code": "3571",
        "list_date": "1980-12-12",
        "round_lot": 100.0,
        "share_class_shares_outstanding": 16319440000,
        "weighted_shares_outstanding": 16334371000,
        "total_employees": 154000,
    }
}
EVENTS = results() | {
    "results": {
        "name": "Alpha Inc.",
        "composite_figi": "BBG000000001",
        "cik": "0000000001",
        "events": [
            {"ticker_change": {"ticker": "A"}, "type": "ticker_change", "date": "2012-06-11"},
            {"ticker_change": {"ticker": "OLDA"}, "type": "ticker_change", "date": "2004-05-18"},
        ],
    }
}
TYPES = results({"code": "CS", "description": "Common Stock", "asset_class": "stocks", "locale": "us"})
EXCHANGES = results(
    {"id": 4, "type": "TRF", "asset_class": "stocks", "locale": "us", "name": "FINRA NYSE TRF", "mic": "FINY"},
    {"id": 4, "type": "TRF", "asset_class": "stocks", "locale": "us", "name": "FINRA Nasdaq TRF", "mic": "FINN"},
)
CONDITIONS = results(
    {
        "id": 2,
        "type": "sale_condition",
        "name": "Average Price Trade",
        "asset_class": "stocks",
        "sip_mapping": {"CTA": "B", "UTP": "W"},
        "update_rules": {
            "consolidated": {"updates_high_low": False, "updates_open_close": False, "updates_volume": True},
            "market_center": {"updates_high_low": False, "updates_open_close": False, "updates_volume": True},
        },
        "data_types": ["trade", "bbo"],
        "legacy": True,
    }
)
OLD_SPLITS = results(
    {"id": "E1", "ticker": "A", "execution_date": "2015-03-23", "split_from": 1, "split_to": 1.0299},
)
SPLITS = results(
    {
        **OLD_SPLITS["results"][0],
        "adjustment_type": "stock_dividend",
        "historical_adjustment_factor": 0.970968,
    }
)
_DIVIDEND = {
    "id": "E2",
    "ticker": "A",
    "cash_amount": 0.59375,
    "currency": "USD",
    "declaration_date": "2015-03-01",
    "ex_dividend_date": "2015-03-20",
    "pay_date": "2015-03-31",
    "record_date": "2015-03-22",
    "frequency": 4,
}
OLD_DIVIDENDS = results({**_DIVIDEND, "dividend_type": "CD"})
DIVIDENDS = results(
    {
        **_DIVIDEND,
        "distribution_type": "recurring",
        "split_adjusted_cash_amount": 0.5765,
        "historical_adjustment_factor": 0.99,
    }
)
IPOS = results(
    {
        "ticker": "NEW",
        "issuer_name": "Newco",
        "ipo_status": "pending",
        "announced_date": "2015-03-01",
        "last_updated": "2015-03-02",
        "lowest_offer_price": 15.0,
        "highest_offer_price": 17,
        "max_shares_offered": 5000000,
        "currency_code": "USD",
        "security_type": "CS",
    },
    {"issuer_name": "Rumour plc", "ipo_status": "rumor", "last_updated": "2015-03-03"},
)
HOLIDAYS = [
    {"exchange": "NYSE", "name": "Good Friday", "date": "2015-04-03", "status": "closed"},
    {
        "exchange": "NYSE",
        "name": "Thanksgiving",
        "date": "2015-11-27",
        "status": "early-close",
        "open": "2015-11-27T14:30:00.000Z",
        "close": "2015-11-27T18:00:00.000Z",
    },
]
SHORT_INTEREST = results(
    {
        "ticker": "A",
        "settlement_date": "2015-03-20",
        "short_interest": 2006566,
        "avg_daily_volume": 1103490,
        "days_to_cover": 1.82,
    }
)
SHORT_VOLUME = results(
    {
        "ticker": "A",
        "date": "2015-03-20",
        "short_volume": 181219,
        "short_volume_ratio": 31.57,
        "total_volume": 574084.25,
        "exempt_volume": 1,
        "non_exempt_volume": 181218,
        "nyse_short_volume": 19,
        "nasdaq_carteret_short_volume": 179943,
        "nasdaq_carteret_short_volume_exempt": 1,
        "adf_short_volume": 0,
    }
)
FLOAT = results({"ticker": "A", "effective_date": "2015-03-01", "free_float": 14000000, "free_float_percent": 79.5})
_REPORT = {
    "cik": "0000000001",
    "tickers": ["A", "A.B"],
    "period_end": "2014-12-31",
    "filing_date": "2015-03-20",
    "fiscal_year": 2014.0,
    "fiscal_quarter": 4,
    "timeframe": "quarterly",
}
INCOME = results({**_REPORT, "revenue": 416161000000, "basic_earnings_per_share": -0.25, "a_new_word": "later"})
BALANCE = results({**_REPORT, "total_assets": 5.5e9})
CASH_FLOW = results({**_REPORT, "dividends": None, "net_income": 1})
RATIOS = results({"ticker": "A", "cik": "0000000001", "date": "2015-03-20", "price": 10.5, "market_cap": 1.5e9})
OLD_FINANCIALS = results(
    {
        "start_date": "2014-10-01",
        "end_date": "2014-12-31",
        "filing_date": "2015-03-20",
        "timeframe": "quarterly",
        "fiscal_period": "Q4",
        "fiscal_year": "2014",
        "cik": "0000000001",
        "tickers": ["A"],
        "source_filing_url": "https://api.massive.com/v1/reference/sec/filings/1",
        "financials": {
            "balance_sheet": {"assets": {"label": "Assets", "value": 2.1321e10, "unit": "USD", "order": 100}},
            "income_statement": {"revenues": {"label": "Revenues", "value": 3136, "unit": "USD", "order": 100}},
        },
    }
)
FILINGS = results(
    {
        "accession_number": "0000000001-15-000001",
        "cik": "0000000001",
        "ticker": "A",
        "form_type": "8-K",
        "filing_date": "2015-03-20",
        "filing_url": "https://www.sec.gov/1.txt",
        "issuer_name": "Alpha Inc.",
    }
)
_INSIDER = {
    "accession_number": "0000000001-15-000002",
    "filing_date": "2015-03-23",
    "filing_url": "https://www.sec.gov/2.txt",
    "period_of_report": "2015-03-20",
    "issuer_cik": "0000000001",
    "issuer_name": "Alpha Inc.",
    "owner_cik": "0000000009",
    "owner_name": "Doe Jane",
    "officer_title": "Chief Financial Officer",
    "is_director": False,
    "is_officer": True,
    "tickers": ["A", "A.B"],
    "direct_or_indirect": "D",
    "footnotes": [{"id": "F1", "description": "A “trust”, of which\nshe knows."}],
}
INSIDER_HOLDINGS = results(
    {**_INSIDER, "form_type": "3", "security_title": "Common Stock", "shares_owned": 1000.5},
    {
        "accession_number": "0000000001-15-000003",
        "filing_date": "2015-03-20",
        "form_type": "3/A",
        "date_of_original_submission": "2015-03-02",
        "security_title": "Options",
        "security_type": "derivative",
        "exercise_price": 9,
        "underlying_security_shares": 9000.0,
        "tickers": [],
    },
)
INSIDER_TRANSACTIONS = results(
    {
        **_INSIDER,
        "form_type": "4",
        "record_type": "transaction",
        "security_type": "non_derivative",
        "security_title": "Common Stock",
        "transaction_code": "P",
        "transaction_acquired_disposed": "A",
        "transaction_timeliness": "O",
        "transaction_date": "2015-03-20",
        "transaction_shares": 100.0,
        "transaction_price_per_share": 10.25,
        "transaction_value": 1025.0,
        "shares_owned_following_transaction": 1100.5,
        "aff_10b5_one": False,
        "equity_swap_involved": False,
        "not_subject_to_section_16": None,
    },
    {"accession_number": "0000000001-15-000004", "filing_date": "2015-03-20"},
)
INSTITUTIONAL_HOLDINGS = results(
    {
        "accession_number": "0000000007-15-000001",
        "cusip": "023135106",
        "file_number": "028-10000",
        "filer_cik": "0000000007",
        "filing_date": "2015-03-20",
        "filing_url": "https://www.sec.gov/7.txt",
        "film_number": "15123456",
        "form_type": "13F-HR",
        "investment_discretion": "DFND",
        "issuer_name": "ALPHA INC",
        "market_value": 3000000000,
        "other_managers": ["Doe Jane", "Roe, Richard"],
        "period": "2014-12-31",
        "put_call": "Put",
        "shares_or_principal_amount": 7724000,
        "shares_or_principal_type": "SH",
        "title_of_class": "COM",
        "voting_authority_none": 0,
        "voting_authority_shared": 0,
        "voting_authority_sole": 7724000,
    },
    {"accession_number": "0000000007-15-000002", "filing_date": "2015-03-23", "form_type": "13F-HR/A"},
)
NEWS = results(
    {
        "id": "n1",
        "publisher": {"name": "The Wire", "homepage_url": "https://wire.example/"},
        "title": "Alpha, “beta” – and\na line",
        "author": "N. N.",
        "published_utc": "2015-03-20T12:00:01Z",
        "article_url": "https://wire.example/1",
        "tickers": ["A", "BApA"],
        "keywords": ["earnings, raised"],
        "insights": [{"ticker": "A", "sentiment": "positive", "sentiment_reasoning": "It rose."}],
    },
    {"id": "n2", "published_utc": "2015-03-23T23:59:59Z", "title": "half a \ud83d pair", "tickers": []},
)
YIELDS = results(
    {"date": "2015-03-20", "yield_1_month": 0.05, "yield_10_year": 1.93},
    {"date": "2015-03-23", "yield_10_year": 1.92, "yield_1_month": None},
)
INFLATION = results({"date": "2015-03-20", "cpi": 235.976})
EXPECTATIONS = results({"date": "2015-03-20", "market_5_year": 1.6})
LABOUR = results({"date": "2015-03-20", "unemployment_rate": 5.4, "job_openings": 5109})
FRED_OBSERVATIONS = {
    "realtime_start": "2015-03-20",
    "realtime_end": "2015-03-23",
    "observation_start": "2000-01-01",
    "observation_end": "9999-12-31",
    "units": "lin",
    "output_type": 1,
    "file_type": "json",
    "order_by": "observation_date",
    "sort_order": "asc",
    "count": 3,
    "offset": 0,
    "limit": 100000,
    "observations": [
        {"realtime_start": "2015-03-20", "realtime_end": "2015-03-22", "date": "2015-02-01", "value": "5.5"},
        {"realtime_start": "2015-03-23", "realtime_end": "2015-03-23", "date": "2015-02-01", "value": "-0.25"},
        {"realtime_start": "2015-03-20", "realtime_end": "2015-03-23", "date": "2015-01-01", "value": "."},
    ],
}
"""FRED's answer, in its shape (fred.stlouisfed.org/docs/api/fred/series_observations.html)."""
SNAPSHOTS = {
    "count": 2,
    "status": "OK",
    "tickers": [
        {
            "ticker": "A",
            "day": {"c": 20.506, "h": 20.64, "l": 20.5, "o": 20.64, "v": 37216, "vw": 20.616, "dv": "37216.5"},
            "lastQuote": {"P": 20.6, "S": 22, "p": 20.5, "s": 13, "t": NANOSECONDS},
            "lastTrade": {"c": [14, 41], "i": "7167", "p": 20.506, "s": 2416, "t": NANOSECONDS + 1, "x": 4},
            "min": {"av": 37216, "c": 2, "h": 3, "l": 1, "o": 1.5, "v": 5000, "vw": 2.5, "t": MARCH_20, "n": 5},
            "prevDay": {"c": 20.63, "h": 21, "l": 20.5, "o": 20.79, "v": 292738, "vw": 20.6939},
            "todaysChange": -0.124,
            "todaysChangePerc": -0.601,
            "updated": NANOSECONDS + 2,
        },
        {"ticker": "BApA"},
    ],
}

BODIES: dict[str, Any] = {
    "tickers": TICKERS,
    "delisted_tickers": DELISTED,
    "ticker_details": DETAILS,
    "ticker_events": EVENTS,
    "ticker_types": TYPES,
    "exchanges": EXCHANGES,
    "conditions": CONDITIONS,
    "splits": SPLITS,
    "old_splits": OLD_SPLITS,
    "dividends": DIVIDENDS,
    "old_dividends": OLD_DIVIDENDS,
    "ipos": IPOS,
    "holidays": HOLIDAYS,
    "short_interest": SHORT_INTEREST,
    "short_volume": SHORT_VOLUME,
    "float": FLOAT,
    "income_statements": INCOME,
    "balance_sheets": BALANCE,
    "cash_flow_statements": CASH_FLOW,
    "ratios": RATIOS,
    "old_financials": OLD_FINANCIALS,
    "filings": FILINGS,
    "insider_holdings": INSIDER_HOLDINGS,
    "insider_transactions": INSIDER_TRANSACTIONS,
    "institutional_holdings": INSTITUTIONAL_HOLDINGS,
    "news": NEWS,
    "treasury_yields": YIELDS,
    "inflation": INFLATION,
    "inflation_expectations": EXPECTATIONS,
    "labor_market": LABOUR,
    "snapshots": SNAPSHOTS,
    "grouped_bars": GROUPED,
    **{f"{span}_bars{adjusted}": body for span, body in BARS.items() for adjusted in ("", "_adjusted")},
    "trades": TRADES,
    "quotes": QUOTES,
}
"""A body for each endpoint, asked for 2015-03-20 to 2015-03-23 and, where it names one, for symbol A."""


def content(name: str) -> bytes:
    return json.dumps(BODIES[name]).encode()


def query_of(path: str) -> dict[str, str]:
    """The query of a request, one value a name."""
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
