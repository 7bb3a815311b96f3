"""Who is listed: common stocks of small companies, funds on the market and its sectors, a few warrants and preferreds.

Some are listed, delisted or renamed within the span; one ticker is reused by another company.
"""

import string
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from smallcaps.sources.simulator.plan import Liquidity, generator_of
from smallcaps.sources.simulator.settings import MarketSettings

SECTORS = (
    ("XLK", "Technology", "7372", "Services-Prepackaged Software"),
    ("XLV", "Health Care", "2834", "Pharmaceutical Preparations"),
    ("XLF", "Financials", "6022", "State Commercial Banks"),
    ("XLE", "Energy", "1311", "Crude Petroleum & Natural Gas"),
    ("XLI", "Industrials", "3569", "General Industrial Machinery & Equipment"),
    ("XLB", "Materials", "1040", "Gold and Silver Ores"),
    ("XLY", "Consumer Discretionary", "5651", "Retail-Family Clothing Stores"),
    ("XLP", "Consumer Staples", "2086", "Bottled & Canned Soft Drinks"),
    ("XLC", "Communication", "4899", "Communications Services"),
    ("XLU", "Utilities", "4911", "Electric Services"),
    ("XLRE", "Real Estate", "6798", "Real Estate Investment Trusts"),
)
"""Fund, sector, SIC code, SIC description. The funds have the tickers of those that real names are measured by."""
MARKET_FUND, SMALL_CAP_FUND = "SPY", "IWM"
TEST_SYMBOL = "ZVZZT"
SUFFIXES = {"WARRANT": "w", "PFD": "pA"}
"""What the vendor writes after the ticker of the company's stock."""

LIQUIDITY = {
    "liquid": Liquidity(30_000, 0.95, 0.5, 0.5, 1.0, 0.03, 0.25, 0.82),
    "mid": Liquidity(3_000, 1.6, 0.6, 0.15, 0.95, 0.02, 0.42, 0.8),
    "thin": Liquidity(470, 3.0, 0.8, 0.05, 0.7, 0.01, 0.6, 0.7),
    "still": Liquidity(25, 6.0, 0.8, 0.01, 0.1, 0.0, 0.5, 0.7),
}
CLASS_SHARES = {"liquid": 0.15, "mid": 0.40, "thin": 0.45}
BASE_VOLATILITY = {"liquid": 0.030, "mid": 0.038, "thin": 0.062, "still": 0.02}
VENUES = ((12, "XNAS", 0.72), (10, "XNYS", 0.18), (1, "XASE", 0.10))
"""Listing venue's id, its code, share of listings."""


@dataclass(frozen=True)
class Security:
    """A listing. `symbol` is its last ticker, `former` an earlier one that ended the day before `renamed`.

    `shares` and `free_float` are as of the last day; `price` ($) is where its history begins.
    """

    number: int
    symbol: str
    name: str
    kind: str
    venue: int
    mic: str
    composite_figi: str
    share_class_figi: str
    cik: str
    sector: int | None
    liquidity: str
    price: float
    shares: int
    free_float: int
    volatility: float
    beta: float
    sector_beta: float
    listed: date
    delisted: date | None = None
    former: str | None = None
    renamed: date | None = None

    def symbol_on(self, day: date) -> str | None:
        """Its ticker on `day`, None where it was not listed."""
        if day < self.listed or (self.delisted is not None and day >= self.delisted):
            return None
        return (
            self.former if self.former is not None and self.renamed is not None and day < self.renamed else self.symbol
        )


def universe(settings: MarketSettings, sessions: list[date]) -> list[Security]:
    """Every security that is listed on any of `sessions`, in order of number."""
    generator = generator_of(settings.seed, 1)
    taken = {MARKET_FUND, SMALL_CAP_FUND, *(fund for fund, *_ in SECTORS)}
    old = sessions[0] - timedelta(days=1_500)
    funds = [_fund(number, symbol, name, sector, old) for number, (symbol, name, sector) in enumerate(_fund_names())]
    stocks = [_stock(generator, len(funds) + place, taken, old) for place in range(settings.symbols)]
    stocks = _with_changes(generator, stocks, sessions, taken)
    listed = [*funds, *stocks]
    for kind in ["WARRANT", "PFD"] * max(1, settings.symbols // 80):
        parent = stocks[int(generator.integers(len(stocks)))]
        if parent.symbol + SUFFIXES[kind] not in taken and parent.former is None:
            taken.add(parent.symbol + SUFFIXES[kind])
            listed.append(_other(generator, len(listed), parent, kind))
    return [*listed, _test_symbol(listed[-1], len(listed))] if settings.faults else listed


def _fund_names() -> list[tuple[str, str, int | None]]:
    return [
        (MARKET_FUND, "Whole Market Fund", None),
        (SMALL_CAP_FUND, "Small Cap Fund", None),
        *((fund, f"{sector} Sector Fund", number) for number, (fund, sector, *_) in enumerate(SECTORS)),
    ]


def _fund(number: int, symbol: str, name: str, sector: int | None, listed: date) -> Security:
    return Security(
        number, symbol, name, "ETF", 11, "ARCX", *_identifiers(number), sector, "liquid", 60.0 + 7 * number, 80_000_000,
        79_000_000, 0.0, 1.0, 0.0 if sector is None else 1.0, listed,
    )  # fmt: skip


def _identifiers(number: int) -> tuple[str, str, str]:
    """Composite FIGI, share class FIGI, CIK: of the right shape, of nobody."""
    return f"BBG0SIM{number:05d}", f"BBG1SIM{number:05d}", f"{9_000_000 + number:010d}"


def _ticker(generator: np.random.Generator, taken: set[str]) -> str:
    while True:
        length = int(generator.choice([3, 4], p=[0.2, 0.8]))
        # Up to V: every fund has one of the letters W to Y, the exchanges' test symbols a Z.
        letters = [string.ascii_uppercase[int(place)] for place in generator.integers(0, 22, length)]
        symbol = "".join(letters)
        if symbol not in taken:
            taken.add(symbol)
            return symbol


_FIRST = ("Alder", "Basalt", "Cobalt", "Delphi", "Ember", "Fathom", "Garnet", "Harbor", "Indigo", "Juniper", "Kestrel",
          "Lumen", "Meridian", "Nimbus", "Onyx", "Pioneer", "Quarry", "Ridge", "Summit", "Tundra")  # fmt: skip
_SECOND = ("Bio", "Data", "Energy", "Foods", "Health", "Labs", "Logistics", "Metals", "Networks", "Robotics", "Systems",
           "Therapeutics")  # fmt: skip


def _stock(generator: np.random.Generator, number: int, taken: set[str], listed: date) -> Security:
    symbol = _ticker(generator, taken)
    name = f"{generator.choice(_FIRST)} {generator.choice(_SECOND)} {number} Inc. Common Stock"
    liquidity = str(generator.choice(list(CLASS_SHARES), p=list(CLASS_SHARES.values())))
    price = float(np.clip(np.exp(generator.normal(1.75, 0.75)), 0.6, 40))
    capital = float(np.exp(generator.uniform(np.log(50e6), np.log(2e9))))
    shares = int(capital / price)
    place = int(generator.choice(len(VENUES), p=[share for *_, share in VENUES]))
    volatility = BASE_VOLATILITY[liquidity] * (5 / price) ** 0.2 * float(np.exp(0.15 * generator.standard_normal()))
    return Security(
        number,
        symbol,
        name,
        "CS" if generator.random() < 0.93 else "ADRC",
        *VENUES[place][:2],
        *_identifiers(number),
        int(generator.integers(len(SECTORS))),
        liquidity,
        round(price, 4),
        shares,
        int(shares * generator.uniform(0.25, 0.95)),
        volatility,
        float(np.clip(generator.normal(1.1, 0.35), 0.2, 2.2)),
        float(np.clip(generator.normal(0.6, 0.25), 0, 1.3)),
        listed,
    )


def _with_changes(
    generator: np.random.Generator, stocks: list[Security], sessions: list[date], taken: set[str]
) -> list[Security]:
    """Of every 100 stocks: 2 listed, 2 delisted, 2 renamed within the span; the first one delisted lends its ticker again."""
    if len(sessions) < 8:
        return stocks
    each = max(1, len(stocks) // 50)
    chosen = [int(place) for place in generator.permutation(len(stocks))[: 3 * each + 1]]
    inside = [int(place) for place in generator.integers(3, len(sessions) - 3, 3 * each)]
    changed = list(stocks)
    for place, session in zip(chosen[:each], inside[:each], strict=True):
        changed[place] = replace(changed[place], listed=sessions[session])
    for place, session in zip(chosen[each : 2 * each], inside[each : 2 * each], strict=True):
        changed[place] = replace(changed[place], delisted=sessions[session])
    for place, session in zip(chosen[2 * each : 3 * each], inside[2 * each : 3 * each], strict=True):
        changed[place] = replace(changed[place], former=_ticker(generator, taken), renamed=sessions[session])
    first, second = chosen[each], chosen[3 * each]
    gone = max(1, len(sessions) // 4)
    changed[first] = replace(changed[first], delisted=sessions[gone])
    changed[second] = replace(changed[second], symbol=changed[first].symbol, listed=sessions[len(sessions) // 2])
    return changed


def _test_symbol(pattern: Security, number: int) -> Security:
    """One of the exchanges' test symbols: in every file, in no list."""
    return replace(
        pattern, number=number, symbol=TEST_SYMBOL, name="", kind="TEST", venue=12, mic="XNAS", liquidity="still",
        price=10.0, volatility=0.02, sector=None, beta=0.0, sector_beta=0.0, delisted=None, listed=date(2003, 9, 10),
    )  # fmt: skip


def _other(generator: np.random.Generator, number: int, parent: Security, kind: str) -> Security:
    words = {"WARRANT": "Warrant", "PFD": "Preferred Stock Series A"}[kind]
    figi, class_figi, _ = _identifiers(number)
    price = {"WARRANT": max(0.2, parent.price * 0.15), "PFD": 24.0}[kind]
    return replace(
        parent,
        number=number,
        symbol=parent.symbol + SUFFIXES[kind],
        name=parent.name.replace("Common Stock", words),
        kind=kind,
        composite_figi=figi,
        share_class_figi=class_figi,
        liquidity="still",
        price=round(price, 4),
        shares=parent.shares // 10,
        free_float=parent.shares // 12,
        volatility=BASE_VOLATILITY["still"],
        beta=float(generator.uniform(0.1, 0.6)),
    )
