"""Reference records of a market, in the fields and order in which the vendor's REST gives them (POLYGON.md 2.4, 2.5)."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from smallcaps.calendar.sessions import sessions_between
from smallcaps.sources.economy.figures import FIGURES
from smallcaps.sources.economy.series import Grain
from smallcaps.sources.polygon.conditions import trade_conditions
from smallcaps.sources.simulator import faults as fault_kinds
from smallcaps.sources.simulator.faults import Fault
from smallcaps.sources.simulator.history import History
from smallcaps.sources.simulator.layout import write_records
from smallcaps.sources.simulator.macro import in_force, vintages
from smallcaps.sources.simulator.ownership import ownership
from smallcaps.sources.simulator.plan import generator_of
from smallcaps.sources.simulator.session import VENUES as TRADING_VENUES
from smallcaps.sources.simulator.universe import SECTORS, Security

Record = dict[str, Any]
NEWS_BEFORE = {"gap": 0.7, "halt_and_resume": 0.9, "pump_and_dump": 0.5, "squeeze": 0.4, "flush_and_reversal": 0.3}
"""Chance that an episode of a kind is preceded by news; unrelated news comes besides."""
UNRELATED_NEWS = 0.04
"""News items a symbol and session that precede nothing."""
_VENUE_NAMES = {
    1: ("NYSE American, LLC", "XASE", "A"), 2: ("Nasdaq OMX BX, Inc.", "XBOS", "B"), 7: ("Cboe EDGA", "EDGA", "J"),
    8: ("Cboe EDGX", "EDGX", "K"), 10: ("New York Stock Exchange", "XNYS", "N"), 11: ("NYSE Arca, Inc.", "ARCX", "P"),
    12: ("Nasdaq", "XNAS", "T"), 15: ("Investors' Exchange", "IEXG", "V"), 18: ("Cboe BYX", "BATY", "Y"),
    19: ("Cboe BZX", "BATS", "Z"), 20: ("MIAX Pearl", "EPRL", "H"), 21: ("Members Exchange", "MEMX", "U"),
}  # fmt: skip
_FACILITY_NAMES = (
    "FINRA NYSE TRF",
    "FINRA Nasdaq TRF Carteret",
    "FINRA Nasdaq TRF Chicago",
    "FINRA Alternative Display",
)


def write_reference(history: History, faults: list[Fault], notes: list[Record], market: Path) -> None:
    """Write every reference file of the layout. `notes`: what came of each symbol-day (see build)."""
    made = _Reference(history, faults, notes)
    for name, records in made.files().items():
        write_records(market / "reference" / f"{name}.jsonl", records)


class _Reference:
    """The records, each kind made from the history and the volumes that came of it."""

    def __init__(self, history: History, faults: list[Fault], notes: list[Record]) -> None:
        self.history = history
        self.faults = faults
        self.first, self.last = history.sessions[0].day, history.sessions[-1].day
        self.listed = [security for security in history.securities if security.kind != "TEST"]
        self.stocks = [security for security in self.listed if security.kind in ("CS", "ADRC")]
        self.companies = [security for security in self.listed if security.kind == "CS"]
        self.days = [hours.day for hours in history.sessions]
        self.notes = sorted(notes, key=lambda note: (note["session_date"], note["symbol"]))
        self.volumes: dict[str, list[tuple[date, int]]] = defaultdict(list)
        for note in self.notes:
            self.volumes[note["symbol"]].append((date.fromisoformat(note["session_date"]), note["volume"]))

    def files(self) -> dict[str, Iterable[Record]]:
        """Records by file name."""
        return {
            "tickers": self.tickers(),
            "ticker_details": self.ticker_details(),
            "ticker_types": ticker_types(),
            "exchanges": exchanges(),
            "conditions": conditions(),
            "ticker_events": self.ticker_events(),
            "splits": self.splits(),
            "dividends": self.dividends(),
            "ipos": self.ipos(),
            "holidays": self.holidays(),
            "related_companies": self.related_companies(),
            "news": self.news(),
            "short_interest": self.short_interest(),
            "short_volume": self.short_volume(),
            "float": self.float(),
            **self.financials(),
            "filings": self.filings(),
            **ownership(self.history),
            **self.economy(),
        }

    def economy(self) -> dict[str, list[Record]]:
        """FRED's archive, and what the vendor has of the economy."""
        seed = self.history.settings.seed
        archive = vintages(self.first, self.last, seed)
        return {"fred_vintages": archive, **economy(self.first, self.last, seed, in_force(archive))}

    def generator(self, stream: int, number: int = 0) -> np.random.Generator:
        return generator_of(self.history.settings.seed, 20 + stream, number)

    def tickers(self) -> Iterator[Record]:
        twice = {fault.symbol for fault in self.faults if fault.kind == fault_kinds.TWO_COMPANIES}
        for security in sorted(self.listed, key=lambda one: (one.symbol, one.number)):
            record = self._ticker(security)
            yield record
            if security.symbol in twice:
                yield record | {"cik": f"{8_000_000 + security.number:010d}"}

    def _ticker(self, security: Security) -> Record:
        active = security.delisted is None
        record = {
            "ticker": security.symbol,
            "name": security.name,
            "market": "stocks",
            "locale": "us",
            "primary_exchange": security.mic,
            "type": security.kind,
            "active": active,
            "currency_name": "usd",
            "cik": security.cik,
            "composite_figi": security.composite_figi,
            "share_class_figi": security.share_class_figi,
            "last_updated_utc": f"{self.last}T06:00:00Z",
            "list_date": security.listed.isoformat(),
        }
        return record if active else record | {"delisted_utc": f"{security.delisted}T00:00:00Z"}

    def ticker_details(self) -> Iterator[Record]:
        for security in sorted(self.listed, key=lambda one: (one.symbol, one.number)):
            sector = SECTORS[security.sector] if security.sector is not None else None
            shares = self.history.shares_on(security, self.last)
            record = self._ticker(security) | {
                "description": f"{security.name} of the simulated market.",
                "homepage_url": f"https://{security.symbol.lower()}.example.com",
                "phone_number": "555-0100",
                "address": {
                    "address1": "1 Simulation Way",
                    "city": "Springfield",
                    "state": "NY",
                    "postal_code": "10001",
                },
                "branding": {"logo_url": f"https://example.com/{security.symbol}/logo.svg"},
                "total_employees": 50 + security.number * 7,
                "share_class_shares_outstanding": shares,
                "weighted_shares_outstanding": shares,
                "market_cap": round(shares * self.history.close_of(security, self.last), 2),
                "round_lot": 100,
                "ticker_root": security.symbol.rstrip("wpA")
                if security.kind in ("WARRANT", "PFD")
                else security.symbol,
            }
            yield record if sector is None else record | {"sic_code": sector[2], "sic_description": sector[3].upper()}

    def ticker_events(self) -> Iterator[Record]:
        for security in self.listed:
            if security.former is not None and security.renamed is not None:
                changes = [(security.renamed, security.symbol), (security.listed, security.former)]
            else:
                changes = [(security.listed, security.symbol)]
            yield {
                "ids": [security.composite_figi, *(symbol for _, symbol in changes)],
                "name": security.name,
                "composite_figi": security.composite_figi,
                "cik": security.cik,
                "events": [
                    {"type": "ticker_change", "date": day.isoformat(), "ticker_change": {"ticker": symbol}}
                    for day, symbol in changes
                ],
            }

    def splits(self) -> Iterator[Record]:
        wrong = {
            (fault.symbol, fault.session_date): fault.kind
            for fault in self.faults
            if fault.kind in fault_kinds.SPLIT_FAULTS
        }
        listed = []
        for split in self.history.splits:
            kind = wrong.get((split.symbol, split.day))
            if kind == fault_kinds.SPLIT_MISSING:
                continue
            old, new = (split.old, split.new) if kind != fault_kinds.SPLIT_WRONG else (split.new, split.old * 3)
            listed += [(split, old, new)] * (2 if kind == fault_kinds.SPLIT_DOUBLED else 1)
        for place, (split, old, new) in enumerate(sorted(listed, key=lambda one: (one[0].day, one[0].symbol))):
            later = [one for one in listed if one[0].symbol == split.symbol and one[0].day >= split.day]
            factor = float(np.prod([before / after for _, before, after in later]))
            yield {
                "id": _hash("split", split.symbol, split.day, place),
                "ticker": split.symbol,
                "execution_date": split.day.isoformat(),
                "split_from": old,
                "split_to": new,
                "adjustment_type": "forward_split" if new > old else "reverse_split",
                "historical_adjustment_factor": round(factor, 6),
            }

    def dividends(self) -> Iterator[Record]:
        for one in sorted(self.history.dividends, key=lambda dividend: (dividend.day, dividend.symbol)):
            yield {
                "id": _hash("dividend", one.symbol, one.day),
                "ticker": one.symbol,
                "ex_dividend_date": one.day.isoformat(),
                "record_date": one.day.isoformat(),
                "declaration_date": (one.day - timedelta(days=21)).isoformat(),
                "pay_date": (one.day + timedelta(days=14)).isoformat(),
                "cash_amount": one.amount,
                "currency": "USD",
                "frequency": 4,
                "dividend_type": "CD",
                "distribution_type": "recurring",
                "split_adjusted_cash_amount": one.amount,
                "historical_adjustment_factor": round(1 - 0.012, 6),
            }

    def ipos(self) -> Iterator[Record]:
        for security in sorted(self.stocks, key=lambda one: (one.listed, one.symbol)):
            if security.listed < self.first:
                continue
            announced = security.listed - timedelta(days=20)
            yield {
                "ticker": security.symbol,
                "issuer_name": security.name.removesuffix(" Common Stock"),
                "isin": f"US0SIM{security.number:06d}",
                "us_code": f"SIM{security.number:06d}",
                "announced_date": announced.isoformat(),
                "issue_start_date": announced.isoformat(),
                "issue_end_date": (security.listed - timedelta(days=1)).isoformat(),
                "listing_date": security.listed.isoformat(),
                "last_updated": security.listed.isoformat(),
                "ipo_status": "history",
                "currency_code": "USD",
                "final_issue_price": round(security.price, 2),
                "lowest_offer_price": round(security.price * 0.9, 2),
                "highest_offer_price": round(security.price * 1.1, 2),
                "lot_size": 100,
                "min_shares_offered": security.free_float // 2,
                "max_shares_offered": security.free_float,
                "shares_outstanding": security.shares,
                "total_offer_size": round(security.free_float * security.price, 2),
                "primary_exchange": security.mic,
                "security_type": security.kind,
                "security_description": "Common Stock",
            }

    def holidays(self) -> Iterator[Record]:
        """Closures and early closes of the year after the last session."""
        until = date(self.last.year + 1, 12, 31)
        sessions = sessions_between(self.last + timedelta(days=1), until)
        open_days = {row["session_date"]: row for row in sessions.to_dict("records")}
        day = self.last + timedelta(days=1)
        while day <= until:
            row = open_days.get(day)
            for exchange in ("NYSE", "NASDAQ"):
                if day.weekday() < 5 and row is None:
                    yield {"exchange": exchange, "name": "Holiday", "date": day.isoformat(), "status": "closed"}
                elif row is not None and row["early_close"]:
                    yield {
                        "exchange": exchange,
                        "name": "Early close",
                        "date": day.isoformat(),
                        "status": "early-close",
                        "open": _utc(row["open_at"]),
                        "close": _utc(row["close_at"]),
                    }
            day += timedelta(days=1)

    def related_companies(self) -> Iterator[Record]:
        for security in self.stocks:
            near = [
                one.symbol for one in self.stocks if one.sector == security.sector and one.symbol != security.symbol
            ]
            yield {"ticker": security.symbol, "results": [{"ticker": symbol} for symbol in near[:5]]}

    def news(self) -> list[Record]:
        """What precedes some episodes, and what precedes nothing; in order of publication."""
        generator = self.generator(1)
        starts = {hours.day: hours.start_ns for hours in self.history.sessions}
        items = []
        for episode in self.history.episodes:
            if generator.random() < NEWS_BEFORE.get(episode.kind, 0.0):
                onset = starts[episode.session_date] // 1_000_000_000 + episode.shape.onset
                minutes = float(generator.uniform(1, 25))
                tone = "positive" if episode.direction > 0 else "negative"
                items.append((int(onset - 60 * minutes), episode.symbol, tone))
        for note in self.notes:
            if generator.random() < UNRELATED_NEWS:
                at = note["start_ns"] // 1_000_000_000 + int(generator.integers(0, 57_600))
                items.append((at, note["symbol"], str(generator.choice(["positive", "neutral", "negative"]))))
        return [_news(place, *item) for place, item in enumerate(sorted(items))]

    def short_interest(self) -> Iterator[Record]:
        """On the 15th and the last day of each month, on or before which there was a session."""
        settlements = sorted(
            {max(day for day in self.days if day <= limit) for limit in _month_marks(self.first, self.last)}
        )
        for security in sorted(self.stocks, key=lambda one: (one.symbol, one.number)):
            generator = self.generator(2, security.number)
            share = float(generator.beta(1.5, 12))
            for day in settlements:
                if (symbol := security.symbol_on(day)) is None:
                    continue
                share = float(np.clip(share * np.exp(0.15 * generator.standard_normal()), 0.002, 0.6))
                seen = [volume for when, volume in self.volumes[symbol] if when <= day][-20:]
                average = max(int(np.mean(seen)), 1) if seen else 1
                shorted = int(share * security.free_float)
                yield {
                    "ticker": symbol,
                    "settlement_date": day.isoformat(),
                    "short_interest": shorted,
                    "avg_daily_volume": average,
                    "days_to_cover": round(max(shorted / average, 1.0), 2),
                }

    def short_volume(self) -> Iterator[Record]:
        generator = self.generator(3)
        for note in self.notes:
            total = note["off_exchange_volume"]
            short = int(total * generator.uniform(0.25, 0.6))
            carteret, chicago = int(short * 0.6), int(short * 0.15)
            exempt = int(short * 0.002)
            yield {
                "ticker": note["symbol"],
                "date": note["session_date"],
                "short_volume": short,
                "short_volume_ratio": round(100 * short / total, 2) if total else 0.0,
                "total_volume": total,
                "exempt_volume": exempt,
                "non_exempt_volume": short - exempt,
                "nyse_short_volume": short - carteret - chicago,
                "nyse_short_volume_exempt": exempt,
                "nasdaq_carteret_short_volume": carteret,
                "nasdaq_carteret_short_volume_exempt": 0,
                "nasdaq_chicago_short_volume": chicago,
                "nasdaq_chicago_short_volume_exempt": 0,
                "adf_short_volume": 0,
                "adf_short_volume_exempt": 0,
            }

    def float(self) -> Iterator[Record]:
        split_on = {split.number: split.day for split in sorted(self.history.splits, key=lambda split: split.day)}
        first = self.history.sessions[0].day
        for security in sorted(self.stocks, key=lambda one: (one.symbol, one.number)):
            if security.delisted is None:
                yield {
                    "ticker": security.symbol,
                    # The figure holds since the last split, or from the start.
                    "effective_date": split_on.get(security.number, first).isoformat(),
                    "free_float": security.free_float,
                    "free_float_percent": round(100 * security.free_float / security.shares, 2),
                }

    def quarters(self, security: Security) -> list[tuple[date, date, int, int]]:
        """Ends of the last six quarters that were filed up to the last session, when, fiscal year and quarter."""
        ends = sorted(date(self.last.year - back, month, day) for back in (0, 1, 2) for month, day in _QUARTER_ENDS)
        filed = [(end, end + timedelta(days=20 + security.number % 25)) for end in ends]
        return [(end, when, end.year, end.month // 3) for end, when in filed if when <= self.last][-6:]

    def financials(self) -> dict[str, list[Record]]:
        made: dict[str, list[Record]] = {
            name: [] for name in ("income_statements", "balance_sheets", "cash_flow_statements", "ratios", "financials")
        }
        for security in sorted(self.companies, key=lambda one: (one.symbol, one.number)):
            generator = self.generator(4, security.number)
            revenue = security.price * security.shares * float(generator.uniform(0.05, 0.4))
            for end, filed, year, quarter in self.quarters(security):
                revenue *= float(np.exp(0.08 * generator.standard_normal()))
                statements = _statements(generator, revenue, self.history.shares_on(security, end))
                common = {
                    "tickers": [security.symbol],
                    "cik": security.cik,
                    "period_end": end.isoformat(),
                    "filing_date": filed.isoformat(),
                    "fiscal_year": year,
                    "fiscal_quarter": quarter,
                    "timeframe": "quarterly",
                }
                for name, items in statements.items():
                    made[name].append(common | items)
                made["financials"].append(_old_tree(security, end, filed, year, quarter, statements))
            made["ratios"].append(self._ratios(security, statements))
        return made

    def _ratios(self, security: Security, statements: dict[str, Record]) -> Record:
        price = self.history.close_of(security, self.last)
        shares = self.history.shares_on(security, self.last)
        seen = [volume for _, volume in self.volumes[security.symbol]][-30:]
        balance, income = statements["balance_sheets"], statements["income_statements"]
        return {
            "ticker": security.symbol,
            "cik": security.cik,
            "date": self.last.isoformat(),
            "price": round(price, 4),
            "average_volume": int(np.mean(seen)) if seen else 0,
            "market_cap": round(price * shares, 2),
            "earnings_per_share": income["diluted_earnings_per_share"],
            "price_to_sales": round(price * shares / (4 * income["revenue"]), 4),
            "price_to_book": round(price * shares / balance["total_equity"], 4),
            "debt_to_equity": round(
                balance["long_term_debt_and_capital_lease_obligations"] / balance["total_equity"], 4
            ),
            "current": round(balance["total_current_assets"] / balance["total_current_liabilities"], 4),
            "enterprise_value": round(
                price * shares
                + balance["long_term_debt_and_capital_lease_obligations"]
                - balance["cash_and_equivalents"],
                2,
            ),
        }

    def filings(self) -> list[Record]:
        filed = []
        for security in self.companies:
            generator = self.generator(5, security.number)
            forms = [(when, "10-K" if quarter == 4 else "10-Q") for _, when, _, quarter in self.quarters(security)]
            for form, share in (("S-3", 0.15), ("424B5", 0.12), ("8-K", 0.8), ("S-1", 0.05)):
                if generator.random() < share:
                    forms.append((self.days[int(generator.integers(len(self.days)))], form))
            for place, (when, form) in enumerate(sorted(forms)):
                accession = f"{security.cik}-{when:%y}-{place:06d}"
                filed.append(
                    {
                        "accession_number": accession,
                        "cik": security.cik,
                        "ticker": security.symbol,
                        "issuer_name": security.name.removesuffix(" Common Stock"),
                        "form_type": form,
                        "filing_date": when.isoformat(),
                        "filing_url": f"https://example.com/filings/{security.cik}/{accession}.txt",
                    }
                )
        return sorted(filed, key=lambda record: (record["filing_date"], record["accession_number"]))


_QUARTER_ENDS = ((3, 31), (6, 30), (9, 30), (12, 31))


def _statements(generator: np.random.Generator, revenue: float, shares: int) -> dict[str, Record]:
    """The three statements of a quarter, whose lines add up."""
    cost = revenue * float(generator.uniform(0.3, 0.8))
    operating = revenue * float(generator.uniform(0.15, 0.7))
    income = revenue - cost - operating
    cash, receivables, fixed = (revenue * float(factor) for factor in generator.uniform(0.3, 2.5, 3))
    payable, debt = (revenue * float(factor) for factor in generator.uniform(0.2, 1.2, 2))
    assets = cash + receivables + fixed
    equity = assets - payable - debt
    if equity <= 0:
        debt, equity = debt + equity - 0.1 * assets, 0.1 * assets
    invested, financed = -revenue * 0.05, revenue * float(generator.uniform(-0.05, 0.2))
    flow = income + revenue * 0.03

    def rounded(**items: float) -> Record:
        return {name: round(value, 2) for name, value in items.items()}

    return {
        "income_statements": rounded(
            revenue=revenue,
            cost_of_revenue=cost,
            gross_profit=revenue - cost,
            total_operating_expenses=operating,
            operating_income=income,
            consolidated_net_income_loss=income,
            net_income_loss_attributable_common_shareholders=income,
            basic_shares_outstanding=shares,
            diluted_shares_outstanding=shares,
            basic_earnings_per_share=income / shares,
            diluted_earnings_per_share=income / shares,
        ),
        "balance_sheets": rounded(
            cash_and_equivalents=cash,
            receivables=receivables,
            total_current_assets=cash + receivables,
            property_plant_equipment_net=fixed,
            total_assets=assets,
            accounts_payable=payable,
            total_current_liabilities=payable,
            long_term_debt_and_capital_lease_obligations=debt,
            total_liabilities=payable + debt,
            total_equity=equity,
            total_liabilities_and_equity=assets,
        ),
        "cash_flow_statements": rounded(
            net_income=income,
            net_cash_from_operating_activities=flow,
            net_cash_from_investing_activities=invested,
            net_cash_from_financing_activities=financed,
            change_in_cash_and_equivalents=flow + invested + financed,
        ),
    }


def _old_tree(
    security: Security, end: date, filed: date, year: int, quarter: int, statements: dict[str, Record]
) -> Record:
    """The same quarter as the retired endpoint has it."""

    def tree(items: Record) -> Record:
        return {
            name: {"label": name.replace("_", " ").title(), "order": 100 * place, "unit": "USD", "value": value}
            for place, (name, value) in enumerate(items.items(), start=1)
        }

    return {
        "cik": security.cik,
        "company_name": security.name,
        "tickers": [security.symbol],
        "start_date": (end - timedelta(days=90)).isoformat(),
        "end_date": end.isoformat(),
        "filing_date": filed.isoformat(),
        "acceptance_datetime": f"{filed}T20:05:00Z",
        "timeframe": "quarterly",
        "fiscal_period": f"Q{quarter}",
        "fiscal_year": str(year),
        "source_filing_url": f"https://example.com/filings/{security.cik}",
        "financials": {
            "income_statement": tree(statements["income_statements"]),
            "balance_sheet": tree(statements["balance_sheets"]),
            "cash_flow_statement": tree(statements["cash_flow_statements"]),
        },
    }


def ticker_types() -> list[Record]:
    """The kinds of securities."""
    kinds = {
        "CS": "Common Stock", "PFD": "Preferred Stock", "WARRANT": "Warrant", "RIGHT": "Rights", "ETF": "Exchange Traded Fund",
        "ADRC": "American Depository Receipt Common", "UNIT": "Unit", "FUND": "Fund", "SP": "Structured Product",
    }  # fmt: skip
    return [
        {"code": code, "description": words, "asset_class": "stocks", "locale": "us"} for code, words in kinds.items()
    ]


def exchanges() -> list[Record]:
    """The venues; four facilities share id 4, as at the vendor."""
    venues = [
        {
            "id": number,
            "type": "exchange",
            "asset_class": "stocks",
            "locale": "us",
            "name": _VENUE_NAMES[number][0],
            "mic": _VENUE_NAMES[number][1],
            "operating_mic": _VENUE_NAMES[number][1],
            "participant_id": _VENUE_NAMES[number][2],
            "url": "https://example.com",
        }
        for number in sorted({1, *map(int, TRADING_VENUES)})
    ]
    facilities = [
        {"id": 4, "type": "TRF", "asset_class": "stocks", "locale": "us", "name": name, "mic": "FINR",
         "operating_mic": "FINR", "participant_id": "D", "url": "https://example.com"}
        for name in _FACILITY_NAMES
    ]  # fmt: skip
    return [*venues, *facilities]


def conditions() -> list[Record]:
    """Sale conditions with their update rules, and two quote conditions, of which one repeats a trade condition's id."""
    sale = [
        {
            "id": one.id,
            "type": "sale_condition",
            "name": one.name,
            "asset_class": "stocks",
            "data_types": ["trade"],
            "sip_mapping": {"CTA": chr(64 + one.id % 26 + 1), "UTP": chr(64 + one.id % 26 + 1)},
            "update_rules": {
                scope: {
                    "updates_high_low": one.updates_high_low,
                    "updates_open_close": one.updates_open_close,
                    "updates_volume": one.updates_volume,
                }
                for scope in ("consolidated", "market_center")
            },
            "legacy": False,
        }
        for one in trade_conditions().values()
    ]
    quote = [
        {"id": number, "type": "quote_condition", "name": name, "asset_class": "stocks", "data_types": ["bbo", "nbbo"],
         "sip_mapping": {"CTA": "R", "UTP": "R"}, "legacy": False}
        for number, name in ((1, "Regular, Two-Sided Open"), (43, "LULD Trading Pause"))
    ]  # fmt: skip
    return [*sale, *quote]


def economy(first: date, last: date, seed: int, known: dict[tuple[str, str], float]) -> dict[str, list[Record]]:
    """Yields by session day; inflation, expectations and labour by month, two years back.

    `known` are the archive's figures by FRED's id and day: what FRED has too the vendor has from there.
    """
    generator = generator_of(seed, 30)
    # A day's yields come out on the day after it.
    days = [str(day) for day in sessions_between(first - timedelta(days=60), last)["session_date"]]
    days = [day for day in days if ("DGS10", day) in known]
    level = 4.2 + np.cumsum(0.04 * generator.standard_normal(len(days)))
    slopes = {"1_month": 0.6, "3_month": 0.5, "6_month": 0.35, "1_year": 0.1, "2_year": -0.2, "3_year": -0.2,
              "5_year": -0.1, "7_year": 0.0, "10_year": 0.1, "20_year": 0.5, "30_year": 0.5}  # fmt: skip
    yields = [
        {
            "date": day,
            **{f"yield_{name}": round(float(value) + add, 2) for name, add in slopes.items()},
            **_archived(known, day, Grain.DAY),
        }
        for day, value in zip(days, level, strict=True)
    ]
    # A month's figures appear in the next month: the last ones are not out yet.
    months = [str(date(last.year - 2 + place // 12, place % 12 + 1, 1)) for place in range(36)]
    months = [month for month in months if ("UNRATE", month) in known]
    growth = np.cumsum(0.002 + 0.001 * generator.standard_normal(len(months)))
    noise = generator.standard_normal((3, len(months)))
    inflation, expectations, labour = [], [], []
    for place, month in enumerate(months):
        index = 300 * float(np.exp(growth[place]))
        inflation.append(
            {
                "date": month,
                "cpi": round(index, 3),
                "cpi_core": round(index * 1.03, 3),
                "cpi_year_over_year": round(2.6 + 0.2 * float(noise[0, place]), 2),
                "pce": round(index * 0.41, 3),
                "pce_core": round(index * 0.42, 3),
                "pce_spending": round(19_000 + 60 * place, 1),
            }
        )
        expectations.append(
            {
                "date": month,
                "market_5_year": round(2.3 + 0.1 * float(noise[1, place]), 2),
                "market_10_year": round(2.35 + 0.08 * float(noise[1, place]), 2),
                "forward_years_5_to_10": round(2.4, 2),
                "model_1_year": round(2.7 + 0.1 * float(noise[1, place]), 2),
                "model_5_year": 2.6,
                "model_10_year": 2.5,
                "model_30_year": 2.6,
            }
        )
        labour.append(
            {
                "date": month,
                "labor_force_participation_rate": round(62.5 + 0.05 * float(noise[2, place]), 1),
                **_archived(known, month, Grain.MONTH),
            }
        )
    return {
        "treasury_yields": yields,
        "inflation": inflation,
        "inflation_expectations": expectations,
        "labor_market": labour,
    }


def _archived(known: dict[tuple[str, str], float], day: str, grain: Grain) -> Record:
    """What is out of the series of a grain that FRED has too, under the vendor's names."""
    both = [(one.vendor, one.fred) for one in FIGURES if one.grain is grain and one.vendor and one.fred]
    return {name: known[series, day] for name, series in both if (series, day) in known}


def _month_marks(first: date, last: date) -> list[date]:
    """The 15th and the last day of each month from `first` on that lie up to `last`."""
    marks, day = [], first
    while day <= last:
        if day.day == 15 or (day + timedelta(days=1)).day == 1:
            marks.append(day)
        day += timedelta(days=1)
    return marks


def _news(place: int, at: int, symbol: str, tone: str) -> Record:
    words = {"positive": "raises guidance", "negative": "announces an offering", "neutral": "presents at a conference"}[
        tone
    ]
    published = datetime.fromtimestamp(at, ZoneInfo("UTC"))
    return {
        "id": _hash("news", symbol, at, place),
        "publisher": {
            "name": "Simulated Wire",
            "homepage_url": "https://example.com/",
            "logo_url": "https://example.com/logo.svg",
            "favicon_url": "https://example.com/favicon.ico",
        },
        "title": f"{symbol} {words}",
        "author": "The simulator",
        "published_utc": f"{published:%Y-%m-%dT%H:%M:%SZ}",
        "article_url": f"https://example.com/news/{place}",
        "tickers": [symbol],
        "image_url": f"https://example.com/news/{place}.png",
        "description": f"{symbol} {words}, the company said. Simulated.",
        "keywords": ["simulated", tone],
        "insights": [{"ticker": symbol, "sentiment": tone, "sentiment_reasoning": f"The company {words}."}],
    }


def _utc(stamp: Any) -> str:
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.000Z"


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()
