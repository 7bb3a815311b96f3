"""A market made by hand: four symbols, three days, ticks on the last. Every number in the tests is one of these."""

import gzip
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from smallcaps.sources.simulator.layout import TAPE, write_records, write_tape

THURSDAY, FRIDAY, MONDAY = date(2026, 6, 4), date(2026, 6, 5), date(2026, 6, 8)
DAYS = (THURSDAY, FRIDAY, MONDAY)
KEY = "key-of-the-simulated-market"
DOLLAR, SHARE = 10_000, 1_000_000
SECOND, MILLISECOND = 1_000_000_000, 1_000_000


def at(day: date, clock: str) -> int:
    """ns of a New York time of day; anything to the nanosecond after the dot."""
    whole, _, part = clock.partition(".")
    moment = datetime.fromisoformat(f"{day}T{whole}").replace(tzinfo=ZoneInfo("America/New_York"))
    return int(moment.timestamp()) * SECOND + int(part.ljust(9, "0") if part else 0)


def ms(day: date, clock: str) -> int:
    """The same in ms."""
    return at(day, clock) // MILLISECOND


def bar(symbol: str, start_ns: int, prices: str, volume: float, vwap: float, trades: int) -> dict[str, Any]:
    """A bar of the tape; prices are open, high, low, close in dollars."""
    named = dict(zip(("open", "high", "low", "close"), map(float, prices.split()), strict=True))
    return {
        "symbol": symbol,
        "start_ns": start_ns,
        **{name: round(price * DOLLAR) for name, price in named.items()},
        "volume": round(volume * SHARE),
        "vwap": vwap,
        "trades": trades,
    }


MINUTES = {
    "08:00": ("0.99 0.99 0.99 0.99", 100, 0.99, 1),
    "09:30": ("1.00 1.10 0.98 1.05", 1_000, 1.02, 10),
    "09:31": ("1.05 1.06 1.04 1.06", 500, 1.05, 5),
    "10:15": ("1.06 1.20 1.06 1.20", 2_000, 1.15, 20),
    "16:05": ("1.18 1.18 1.18 1.18", 50, 1.18, 1),
}
"""Of each symbol and day; on Monday ABCD's prices are ten times as high after its reverse split."""
HOURS = {
    "08:00": ("0.99 0.99 0.99 0.99", 100, 0.99, 1),
    "09:00": ("1.00 1.10 0.98 1.06", 1_500, 1.03, 15),
    "10:00": ("1.06 1.20 1.06 1.20", 2_000, 1.15, 20),
    "16:00": ("1.18 1.18 1.18 1.18", 50, 1.18, 1),
}
DAY = ("1.00 1.20 0.98 1.20", 3_650.5, 1.1, 37)
SYMBOLS = ("ABCD", "BApA", "LMNO", "WXYZ")


def _scaled(symbol: str, day: date, values: tuple[str, float, float, int]) -> tuple[str, float, float, int]:
    prices, volume, vwap, trades = values
    factor = {"ABCD": 10 if day == MONDAY else 1, "LMNO": 2, "WXYZ": 3}.get(symbol, 1)
    if symbol == "WXYZ" and day == MONDAY:
        factor = 2
    return " ".join(str(float(price) * factor) for price in prices.split()), volume, vwap * factor, trades


def bars(kind: str, day: date) -> list[dict[str, Any]]:
    """Rows of a kind and day, in the tape's order."""
    times = {"minute": MINUTES, "hour": HOURS, "day": {"00:00": DAY}}[kind]
    return [
        bar(symbol, at(day, f"{clock}:00"), *_scaled(symbol, day, values))
        for symbol in SYMBOLS
        for clock, values in times.items()
    ]


def trade(
    symbol: str,
    clock: str,
    price: float,
    size: float,
    number: int,
    conditions: tuple[int, ...] = (),
    participant: str | None = None,
    trf: int = 0,
    correction: int = 0,
) -> dict[str, Any]:
    """A trade of Monday. `number` is its id and its sequence number."""
    sip = at(MONDAY, clock)
    taken = at(MONDAY, participant) if participant else sip
    return {
        "symbol": symbol,
        "sip_ns": sip,
        "participant_ns": taken,
        "trf_ns": taken + 5 if trf else 0,
        "sequence_number": number,
        "id": str(number),
        "exchange": 4 if trf else 12,
        "trf_id": trf,
        "tape": 3,
        "price": round(price * DOLLAR),
        "size": round(size * SHARE),
        "conditions": list(conditions),
        "correction": correction,
    }


TRADES = [
    trade("ABCD", "08:00:00.100000001", 9.90, 10, 1, (12, 37)),
    trade("ABCD", "09:30:00.200000000", 10.00, 1_000, 2, (25,)),
    trade("ABCD", "09:30:00.200000000", 10.02, 100, 3),
    trade("ABCD", "09:30:01.500000000", 10.50, 5, 4, (37,)),
    trade("ABCD", "09:30:30.000000000", 10.01, 0.740474, 5, (), "09:30:29.999", 202),
    trade("ABCD", "09:31:10.000000000", 10.05, 200, 6, (14, 41)),
    trade("ABCD", "09:31:30.000000000", 10.20, 300, 7, (), "09:30:40", 202),
    trade("ABCD", "09:32:00.000000000", 10.04, 100, 8, (), None, 0, 8),
    trade("ABCD", "09:33:00.000000000", 10.04, 100, 9, (), None, 0, 10),
    trade("ABCD", "09:50:00.000000000", 10.90, 400, 10, (), "09:31:05", 202),
    trade("ABCD", "16:00:00.000000000", 10.10, 500, 11, (8,)),
    trade("ABCD", "16:05:00.000000000", 10.15, 100, 12, (12,)),
    trade("LMNO", "09:30:05.000000000", 2.00, 100, 13),
    trade("LMNO", "09:30:05.000000001", 2.01, 100, 14),
]


def quote(symbol: str, clock: str, bid: float, ask: float, number: int, **lists: list[int]) -> dict[str, Any]:
    """A quote of Monday; a side with price 0 is absent."""
    sip = at(MONDAY, clock)
    return {
        "symbol": symbol,
        "sip_ns": sip,
        "participant_ns": sip - 1_000,
        "sequence_number": number,
        "bid_price": round(bid * DOLLAR),
        "bid_size": 300 * SHARE if bid else 0,
        "ask_price": round(ask * DOLLAR),
        "ask_size": 200 * SHARE if ask else 0,
        "bid_exchange": 12 if bid else 0,
        "ask_exchange": 11 if ask else 0,
        "tape": 3,
        "conditions": lists.get("conditions", []),
        "indicators": lists.get("indicators", []),
    }


QUOTES = [
    quote("ABCD", "08:00:00.000000000", 9.80, 0, 101, conditions=[2]),
    quote("ABCD", "09:30:00.100000000", 9.99, 10.01, 102, conditions=[1], indicators=[602, 604]),
    quote("ABCD", "09:31:00.000000000", 10.00, 10.03, 103),
    quote("LMNO", "09:30:04.000000000", 1.99, 2.01, 104),
]


def band(symbol: str, clock: str, low: float, high: float, indicator: int, number: int) -> dict[str, Any]:
    """An LULD row of Monday."""
    return {
        "symbol": symbol,
        "sip_ns": at(MONDAY, clock),
        "sequence_number": number,
        "high": round(high * DOLLAR),
        "low": round(low * DOLLAR),
        "tape": 3,
        "indicators": [indicator],
    }


LULD = [
    band("LMNO", "09:40:00.000000001", 1.6, 2.4, 17, 201),
    band("LMNO", "09:45:00.000000000", 1.6, 2.4, 18, 202),
]


def rule(number: int, name: str, high_low: bool, open_close: bool, volume: bool) -> dict[str, Any]:
    """A sale condition."""
    rules = {"updates_high_low": high_low, "updates_open_close": open_close, "updates_volume": volume}
    return {
        "id": number,
        "type": "sale_condition",
        "name": name,
        "asset_class": "stocks",
        "data_types": ["trade"],
        "sip_mapping": {"UTP": "X"} if number != 12 else {"CTA": "T", "UTP": "T"},
        "update_rules": {"consolidated": rules, "market_center": rules},
    }


def security(ticker: str, name: str, listed: str, cik: str, delisted: str | None = None) -> dict[str, Any]:
    """A ticker as the file has it."""
    return {
        "ticker": ticker,
        "name": name,
        "market": "stocks",
        "locale": "us",
        "primary_exchange": "XNAS" if ticker != "WXYZ" else "XNYS",
        "type": "CS" if ticker != "BApA" else "PFD",
        "active": delisted is None,
        "currency_name": "usd",
        "cik": cik,
        "list_date": listed,
        **({"delisted_utc": f"{delisted}T00:00:00Z"} if delisted else {}),
    }


TICKERS = [
    security("ABCD", "Alphabet Soup Inc.", "2010-01-04", "0000000001"),
    security("BApA", "Bakery Preferred A", "2012-03-01", "0000000002"),
    security("LMNO", "Old Lemon Corp.", "2001-01-02", "0000000003", "2015-06-30"),
    security("LMNO", "Lemon Orchard Ltd.", "2020-05-01", "0000000004"),
    security("OLDY", "Oldy Renamed", "2005-05-02", "0000000005", "2026-06-05"),
    security("WXYZ", "Wax Zebra", "2026-06-08", "0000000006"),
]


def _details(record: dict[str, Any]) -> dict[str, Any]:
    return {
        **record,
        "address": {"address1": "1 Main Street", "city": "Reno", "postal_code": "89501", "state": "NV"},
        "branding": {"icon_url": "http://127.0.0.1/icon.png"},
        "round_lot": 100,
        "share_class_shares_outstanding": 5_000_000,
        "total_employees": 42,
    }


SPLITS = [
    {
        "id": "S1",
        "ticker": "ABCD",
        "execution_date": str(MONDAY),
        "split_from": 10,
        "split_to": 1,
        "adjustment_type": "reverse_split",
        "historical_adjustment_factor": 10.0,
    },
    *(
        {
            "id": f"S{number}",
            "ticker": "QRST",
            "execution_date": f"2020-01-{number:02}",
            "split_from": 1,
            "split_to": 2,
            "adjustment_type": "forward_split",
            "historical_adjustment_factor": 0.5,
        }
        for number in range(2, 14)
    ),
]
DIVIDENDS = [
    {
        "id": "D1",
        "ticker": "BApA",
        "cash_amount": 0.25,
        "currency": "USD",
        "declaration_date": "2026-05-01",
        "dividend_type": "CD",
        "distribution_type": "recurring",
        "ex_dividend_date": "2026-06-05",
        "frequency": 4,
        "pay_date": "2026-06-30",
        "record_date": "2026-06-05",
        "historical_adjustment_factor": 0.99,
        "split_adjusted_cash_amount": 0.25,
    }
]


def article(number: int, published: str, *tickers: str) -> dict[str, Any]:
    """A piece of news."""
    return {
        "id": f"N{number}",
        "title": f"News {number}",
        "author": "A. Writer",
        "published_utc": published,
        "article_url": f"http://127.0.0.1/{number}",
        "description": None,
        "keywords": ["earnings"],
        "tickers": list(tickers),
        "publisher": {"name": "Wire", "homepage_url": "http://127.0.0.1/"},
        "insights": [{"ticker": tickers[0], "sentiment": "positive", "sentiment_reasoning": "it rose"}],
    }


NEWS = [
    article(1, "2026-06-04T12:00:00Z", "ABCD"),
    article(2, "2026-06-05T12:00:00Z", "ABCD", "LMNO"),
    article(3, "2026-06-08T13:45:00Z", "LMNO"),
]


def _statement(period: str, quarter: int, filed: str) -> dict[str, Any]:
    return {
        "cik": "0000000001",
        "tickers": ["ABCD"],
        "period_end": period,
        "filing_date": filed,
        "fiscal_year": 2026,
        "fiscal_quarter": quarter,
        "timeframe": "quarterly",
        "revenue": 1_000_000,
        "total_assets": 9_000_000,
        "net_income": -5_000,
    }


STATEMENTS = [_statement("2025-12-31", 4, "2026-03-01"), _statement("2026-03-31", 1, "2026-05-10")]


def _insider(form: str, number: int, filed: str, *tickers: str, **more: Any) -> dict[str, Any]:
    return {
        "accession_number": f"0000000009-26-00000{number}",
        "form_type": form,
        "filing_date": filed,
        "issuer_cik": "0000000001",
        "owner_cik": f"000000000{number}",
        "tickers": list(tickers),
        "security_title": "Common Stock",
        "footnotes": [{"id": "F1", "description": "Held for the children."}],
        **more,
    }


def _holding(number: int, form: str, filed: str, shares: int) -> dict[str, Any]:
    return {
        "accession_number": f"0000000007-26-00000{number}",
        "form_type": form,
        "filing_date": filed,
        "filer_cik": "0000000007",
        "period": "2026-03-31",
        "cusip": "SIM000001",
        "shares_or_principal_amount": shares,
        "market_value": shares * 12,
        "put_call": None,
    }


def _figure(series: str, day: str, value: str, start: str, end: str) -> dict[str, Any]:
    return {"series_id": series, "date": day, "value": value, "realtime_start": start, "realtime_end": end}


REFERENCE: dict[str, list[dict[str, Any]]] = {
    "tickers": TICKERS,
    "ticker_details": [_details(record) for record in TICKERS],
    "ticker_types": [
        {"code": "CS", "description": "Common Stock", "asset_class": "stocks", "locale": "us"},
        {"code": "ETF", "description": "Exchange Traded Fund", "asset_class": "stocks", "locale": "us"},
        {"code": "INDEX", "description": "Index", "asset_class": "indices", "locale": "us"},
    ],
    "exchanges": [
        {"id": 4, "type": "TRF", "name": "FINRA NYSE", "asset_class": "stocks", "locale": "us", "mic": "XADF"},
        {"id": 4, "type": "TRF", "name": "FINRA Nasdaq", "asset_class": "stocks", "locale": "us", "mic": "XADF"},
        {"id": 12, "type": "exchange", "name": "Nasdaq", "asset_class": "stocks", "locale": "us", "mic": "XNAS"},
    ],
    "conditions": [
        rule(8, "Closing Prints", True, True, True),
        rule(12, "Form T", False, False, True),
        rule(14, "Intermarket Sweep", True, True, True),
        rule(25, "Opening Prints", True, True, True),
        rule(37, "Odd Lot", False, False, True),
        rule(41, "Trade Thru Exempt", True, True, True),
        *({**rule(number, f"Condition {number}", True, True, True)} for number in range(1, 7)),
        {"id": 1, "type": "quote_condition", "name": "Regular", "asset_class": "stocks", "data_types": ["nbbo"]},
    ],
    "ticker_events": [
        {
            "ids": ["ABCD", "OLDY", "BBG000000001"],
            "name": "Alphabet Soup Inc.",
            "composite_figi": "BBG000000001",
            "cik": "0000000001",
            "events": [
                {"type": "ticker_change", "date": "2026-06-05", "ticker_change": {"ticker": "ABCD"}},
                {"type": "ticker_change", "date": "2005-05-02", "ticker_change": {"ticker": "OLDY"}},
            ],
        }
    ],
    "splits": SPLITS,
    "dividends": DIVIDENDS,
    "ipos": [
        {
            "ticker": "WXYZ",
            "issuer_name": "Wax Zebra",
            "listing_date": "2026-06-08",
            "ipo_status": "history",
            "security_type": "CS",
            "last_updated": "2026-06-08",
            "final_issue_price": 3.0,
        },
        {
            "ticker": "LMNO",
            "issuer_name": "Lemon Orchard Ltd.",
            "listing_date": "2020-05-01",
            "ipo_status": "history",
            "security_type": "CS",
            "last_updated": "2020-05-01",
        },
    ],
    "holidays": [
        {"exchange": "NYSE", "name": "Memorial Day", "date": "2026-05-25", "status": "closed"},
        {"exchange": "NYSE", "name": "Juneteenth", "date": "2026-06-19", "status": "closed"},
    ],
    "related_companies": [{"ticker": "ABCD", "results": [{"ticker": "LMNO"}, {"ticker": "WXYZ"}]}],
    "news": NEWS,
    "short_interest": [
        {
            "ticker": ticker,
            "settlement_date": day,
            "short_interest": 100_000,
            "avg_daily_volume": 50_000,
            "days_to_cover": 2.0,
        }
        for ticker in ("ABCD", "LMNO")
        for day in ("2026-05-15", "2026-05-29")
    ],
    "short_volume": [
        {"ticker": "ABCD", "date": str(day), "short_volume": 40, "total_volume": 100, "short_volume_ratio": 40.0}
        for day in DAYS
    ],
    "float": [
        {"ticker": "ABCD", "free_float": 4_000_000, "free_float_percent": 80.0, "effective_date": "2026-05-10"},
        {"ticker": "LMNO", "free_float": 9_000_000, "free_float_percent": 90.0, "effective_date": "2026-05-11"},
    ],
    "income_statements": STATEMENTS,
    "balance_sheets": STATEMENTS,
    "cash_flow_statements": STATEMENTS,
    "ratios": [
        {"ticker": "ABCD", "cik": "0000000001", "date": "2026-06-08", "price": 12.0, "market_cap": 60_000_000},
        {"ticker": "LMNO", "cik": "0000000004", "date": "2026-06-08", "price": 2.4, "market_cap": 24_000_000},
    ],
    "financials": [
        {
            "tickers": ["ABCD"],
            "cik": "0000000001",
            "company_name": "Alphabet Soup Inc.",
            "sic": "2000",
            "start_date": "2026-01-01",
            "end_date": "2026-03-31",
            "filing_date": "2026-05-10",
            "timeframe": "quarterly",
            "fiscal_period": "Q1",
            "fiscal_year": "2026",
            "financials": {
                "income_statement": {"revenues": {"label": "Revenues", "value": 1_000_000, "unit": "USD", "order": 100}}
            },
        }
    ],
    "filings": [
        {
            "accession_number": f"0000000001-26-00000{number}",
            "cik": "0000000001",
            "ticker": "ABCD",
            "form_type": form,
            "filing_date": f"2026-0{number}-10",
            "filing_url": "http://127.0.0.1/filing",
            "issuer_name": "Alphabet Soup Inc.",
        }
        for number, form in ((3, "10-K"), (5, "10-Q"), (6, "8-K"))
    ],
    "form_3": [_insider("3", 1, "2026-05-20", "ABCD", shares_owned=500.0)],
    "form_4": [
        _insider("4", 2, "2026-06-04", "ABCD", transaction_code="P", transaction_shares=100.0),
        _insider("4", 3, "2026-06-05", "LMNO", "WXYZ", transaction_code="S", transaction_shares=7.5),
        _insider("4/A", 2, "2026-06-08", "ABCD", transaction_code="P", date_of_original_submission="2026-06-04"),
    ],
    "form_13f": [_holding(1, "13F-HR", "2026-05-15", 1_000), _holding(2, "13F-HR/A", "2026-06-05", 900)],
    "fred_vintages": [
        _figure("PAYEMS", "2026-03-01", "157990", "2026-04-03", "2026-05-07"),
        _figure("PAYEMS", "2026-03-01", "158010", "2026-05-08", "9999-12-31"),
        _figure("PAYEMS", "2026-04-01", "158100", "2026-05-08", "9999-12-31"),
        _figure("DGS10", "2026-05-25", ".", "2026-05-26", "9999-12-31"),
    ],
    "treasury_yields": [{"date": str(day), "yield_1_year": 4.1, "yield_10_year": 4.5} for day in DAYS],
    "inflation": [{"date": "2026-04-01", "cpi": 330.1, "cpi_core": 331.2}],
    "inflation_expectations": [{"date": "2026-04-01", "market_5_year": 2.3, "model_1_year": 2.6}],
    "labor_market": [{"date": "2026-04-01", "unemployment_rate": 4.2, "job_openings": 7_200.0}],
}


def flat_file(market: Path, kind: str, day: date) -> Path:
    """Where a flat file lies."""
    return market / "us_stocks_sip" / kind / f"{day:%Y/%m}" / f"{day}.csv.gz"


def write_market(market: Path) -> None:
    """Write all of it."""
    for day in DAYS:
        for kind in ("day", "hour", "minute"):
            write_tape(market, kind, day, pa.Table.from_pylist(bars(kind, day), TAPE[kind]))
        for kind in ("day_aggs_v1", "trades_v1"):
            path = flat_file(market, kind, day)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = f"ticker,volume\n{kind},{day}\n" + "filler,1\n" * 1_000
            path.write_bytes(gzip.compress(text.encode(), mtime=0))
    for kind, rows in (("trades", TRADES), ("quotes", QUOTES), ("luld", LULD)):
        write_tape(market, kind, MONDAY, pa.Table.from_pylist(rows, TAPE[kind]))
    for name, records in REFERENCE.items():
        write_records(market / "reference" / f"{name}.jsonl", records)
