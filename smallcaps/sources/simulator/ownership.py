"""Who owns what: forms 3 and 4 of insiders, 13F of institutions, in the vendor's fields (POLYGON.md 2.5).

A company has a few insiders. Each files a form 3 on becoming one, and a form 4 after each day on which he trades, is granted
shares or has some withheld. A few institutions hold some of the stocks and file what they hold after each quarter. Now and
then a filing is amended. Holdings are kept as shares of the company, so that splits change nothing in them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from smallcaps.sources.simulator.history import History
from smallcaps.sources.simulator.plan import generator_of
from smallcaps.sources.simulator.universe import Security

Record = dict[str, Any]
TRADE_CHANCE = 0.03
"""Chance that an insider files for a session."""
AMENDED, LATE, JOINED_WITHIN, BY_PLAN = 0.05, 0.05, 0.3, 0.3
"""Shares of filings that are amended and late, of insiders that come within the span, of sales under a plan."""
FORM_3_DAYS, FORM_4_SESSIONS, FORM_13F_DAYS = 10, 2, 45
"""Longest time to file in."""
QUARTERS = 6
_ROLES = (("Chief Executive Officer", True), ("Chief Financial Officer", False), (None, True), (None, True))
"""Office and whether he sits on the board, by place; whoever comes after is a ten-percent owner."""
_CODES = {"P": ("A", 0.35), "S": ("D", 0.4), "A": ("A", 0.15), "F": ("D", 0.1)}
"""Acquired or disposed of, and how often."""
_NAMES = ("Abbott", "Brandt", "Castillo", "Dunn", "Eriksen", "Fuchs", "Grant", "Hale", "Ito", "Jansen", "Khan", "Lowe")
_INSTITUTIONS = 6


def ownership(history: History) -> dict[str, list[Record]]:
    """Records by file name, in order of filing."""
    made: dict[str, list[Record]] = {"form_3": [], "form_4": [], "form_13f": _holdings(history)}
    for security in history.securities:
        if security.kind == "CS":
            for insider in _insiders(history, security):
                made["form_3"] += insider.joined()
                made["form_4"] += insider.changes()
    return {name: sorted(records, key=_filed) for name, records in made.items()}


def _filed(record: Record) -> tuple[str, str]:
    return record["filing_date"], record["accession_number"]


def _insiders(history: History, security: Security) -> Iterator["_Insider"]:
    generator = generator_of(history.settings.seed, 31, security.number)
    for place in range(int(generator.integers(3, 6))):
        inside = history.sessions[int(generator.integers(len(history.sessions)))].day
        since = (
            inside if generator.random() < JOINED_WITHIN else inside - timedelta(days=int(generator.integers(400, 900)))
        )
        owned = float(generator.uniform(0.001, 0.02)) if place < len(_ROLES) else float(generator.uniform(0.1, 0.2))
        name = f"{generator.choice(_NAMES)} {chr(65 + place)}."
        yield _Insider(history, security, place, name, since, owned)


@dataclass(frozen=True)
class _Insider:
    """`owned`: share of the company on becoming an insider."""

    history: History
    security: Security
    place: int
    name: str
    since: date
    owned: float

    def joined(self) -> list[Record]:
        """Form 3: shares, and of officers options; none where it would be filed after the last session."""
        generator = self._generator(32)
        filed = max(self.since + timedelta(days=int(generator.integers(1, FORM_3_DAYS + 1))), self.security.listed)
        shares = round(self.owned * self.history.shares_on(self.security, self.since))
        lines: list[Record] = [
            {"security_title": "Common Stock", "security_type": "non_derivative", "shares_owned": shares}
        ]
        if self._role[0] is not None:
            lines.append(
                {
                    "security_title": "Stock Option",
                    "security_type": "derivative",
                    "exercise_price": round(self.history.close_of(self.security, self.since), 2),
                    "underlying_security_title": "Common Stock",
                    "underlying_security_shares": float(shares // 2),
                    "footnotes": [{"id": "F1", "description": "The option vests in four annual instalments."}],
                }
            )
        return self._filing("3", 0, self.since, filed, lines)

    def changes(self) -> list[Record]:
        """Forms 4 and 4/A, as far as filed by the last session."""
        generator = self._generator(33)
        days = [hours.day for hours in self.history.sessions]
        owned, filings, made = self.owned, 0, []
        for session, day in enumerate(days):
            if generator.random() >= TRADE_CHANCE or day < self.since or self.security.symbol_on(day) is None:
                continue
            late = generator.random() < LATE
            wait = int(generator.integers(3, 10)) if late else int(generator.integers(1, FORM_4_SESSIONS + 1))
            lines, owned = self._trades(generator, day, owned, late)
            amended = generator.random() < AMENDED
            filings += 1
            if session + wait < len(days):
                made += self._filing("4", filings, day, days[session + wait], lines)
            if amended and session + wait + 2 < len(days):
                filings += 1
                corrected = [line | {"remarks": "Corrects the price."} for line in lines]
                original = {"date_of_original_submission": days[session + wait].isoformat()}
                made += self._filing("4/A", filings, day, days[session + wait + 2], corrected, original)
        return made

    def _trades(
        self, generator: np.random.Generator, day: date, owned: float, late: bool
    ) -> tuple[list[Record], float]:
        """The lines of a day's filing, and what is owned after it."""
        code = str(generator.choice(list(_CODES), p=[share for _, share in _CODES.values()]))
        direction, outstanding = _CODES[code][0], self.history.shares_on(self.security, day)
        price, lines = self.history.close_of(self.security, day), []
        for _ in range(int(generator.integers(1, 4)) if code in "PS" else 1):
            shares = max(round(owned * float(generator.uniform(0.01, 0.1)) * outstanding), 1)
            owned = max(owned + (shares if direction == "A" else -shares) / outstanding, 0.0)
            paid = round(price * float(generator.uniform(0.99, 1.01)), 4) if code != "A" else 0.0
            lines.append(
                {
                    "record_type": "transaction",
                    "security_title": "Common Stock",
                    "security_type": "non_derivative",
                    "transaction_date": day.isoformat(),
                    "transaction_code": code,
                    "transaction_acquired_disposed": direction,
                    "transaction_timeliness": "L" if late else "O",
                    "transaction_shares": float(shares),
                    "transaction_price_per_share": paid,
                    "transaction_value": round(shares * paid, 4),
                    "shares_owned_following_transaction": float(round(owned * outstanding)),
                    "equity_swap_involved": False,
                }
            )
        by_plan = code == "S" and bool(generator.random() < BY_PLAN)
        return [line | {"aff_10b5_one": by_plan} for line in lines], owned

    @property
    def _role(self) -> tuple[str | None, bool]:
        return _ROLES[self.place] if self.place < len(_ROLES) else (None, False)

    def _generator(self, stream: int) -> np.random.Generator:
        return generator_of(self.history.settings.seed, stream, self.security.number, self.place)

    def _filing(
        self, form: str, number: int, period: date, filed: date, lines: list[Record], more: Record | None = None
    ) -> list[Record]:
        """A record a line; none where it would be filed after the last session."""
        symbol = self.security.symbol_on(filed)
        if filed > self.history.sessions[-1].day or symbol is None:
            return []
        title, director = self._role
        owner = f"{6_000_000 + 10 * self.security.number + self.place:010d}"
        accession = f"{owner}-{filed:%y}-{number:06d}"
        common = {
            "accession_number": accession,
            "form_type": form,
            "filing_date": filed.isoformat(),
            "filing_url": f"https://example.com/filings/{self.security.cik}/{accession}.txt",
            "period_of_report": period.isoformat(),
            "issuer_cik": self.security.cik,
            "issuer_name": self.security.name.removesuffix(" Common Stock"),
            "tickers": [symbol],
            "owner_cik": owner,
            "owner_name": self.name,
            "officer_title": title,
            "is_director": director,
            "is_officer": title is not None,
            "is_ten_percent_owner": self.place >= len(_ROLES),
            "is_other": False,
            "direct_or_indirect": "D",
        }
        return [common | (more or {}) | line for line in lines]


def _holdings(history: History) -> list[Record]:
    """13F of every institution and quarter, as far as filed by the last session."""
    last = history.sessions[-1].day
    ends = [date(year, month, day) for year in range(last.year - 2, last.year + 1) for month, day in _QUARTER_ENDS]
    made = []
    for place in range(_INSTITUTIONS):
        generator = generator_of(history.settings.seed, 34, place)
        shares = {
            security.number: float(generator.uniform(0.0005, 0.05))
            for security in history.securities
            if security.kind in ("CS", "ADRC") and generator.random() < 0.6
        }
        # Some are quick; the last one takes all the time there is.
        wait = timedelta(days=FORM_13F_DAYS * (place + 1) // _INSTITUTIONS)
        for end in [end for end in ends if end <= last][-QUARTERS:]:
            shares = {
                number: share * float(np.exp(0.2 * generator.standard_normal())) for number, share in shares.items()
            }
            positions = [
                position
                for security in history.securities
                if security.number in shares and security.symbol_on(end) is not None
                for position in _positions(history, generator, security, end, shares[security.number])
            ]
            amended, filed = generator.random() < AMENDED * 2, _weekday(end + wait)
            made += _report(place, "13F-HR", end, filed, positions)
            if amended:
                made += _report(place, "13F-HR/A", end, _weekday(filed + timedelta(days=12)), positions[:1])
    return [record for record in made if record["filing_date"] <= last.isoformat()]


_QUARTER_ENDS = ((3, 31), (6, 30), (9, 30), (12, 31))


def _weekday(day: date) -> date:
    """The day, or the Friday before it."""
    return day - timedelta(days=max(day.weekday() - 4, 0))


def _positions(
    history: History, generator: np.random.Generator, security: Security, end: date, share: float
) -> list[Record]:
    """The stock, and now and then a put on some of it."""
    price, held = history.close_of(security, end), round(min(share, 0.2) * history.shares_on(security, end))
    stock = {
        "issuer_name": security.name.removesuffix(" Common Stock").upper(),
        "title_of_class": "COM",
        "cusip": f"SIM{security.number:06d}",
        "market_value": round(held * price),
        "shares_or_principal_amount": held,
        "shares_or_principal_type": "SH",
        "investment_discretion": "SOLE",
        "voting_authority_sole": held,
        "voting_authority_shared": 0,
        "voting_authority_none": 0,
    }
    if generator.random() >= 0.03:
        return [stock]
    half = {"shares_or_principal_amount": held // 2, "market_value": round(held // 2 * price), "put_call": "Put"}
    return [stock, stock | half | {"voting_authority_sole": 0}]


def _report(place: int, form: str, end: date, filed: date, positions: list[Record]) -> list[Record]:
    filer = f"{7_000_000 + place:010d}"
    accession = f"{filer}-{filed:%y}-{filed.timetuple().tm_yday:06d}"
    common = {
        "accession_number": accession,
        "form_type": form,
        "filing_date": filed.isoformat(),
        "filing_url": f"https://example.com/filings/{filer}/{accession}.txt",
        "filer_cik": filer,
        "file_number": f"028-{10_000 + place}",
        "period": end.isoformat(),
    }
    return [common | position for position in positions]
