"""The days of every security before any order is made: factor and own returns, splits, dividends, episodes.

Each symbol's days hang together here, so that afterwards every symbol-day can be made alone and anywhere.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date

import numpy as np

from smallcaps.calendar.sessions import sessions_between
from smallcaps.sources.simulator.arrivals import PRE_MINUTES, Floats, slow_noise
from smallcaps.sources.simulator.episodes import Episode, plant
from smallcaps.sources.simulator.plan import HOUR_NS, PRE_SECONDS, SECONDS, DayPlan, Hours, generator_of
from smallcaps.sources.simulator.settings import MarketSettings
from smallcaps.sources.simulator.universe import LIQUIDITY, SECTORS, Security, universe

MARKET_VOLATILITY, SECTOR_VOLATILITY, FUND_NOISE = 0.008, 0.006, 0.0015
OVERNIGHT_SHARE = 0.3
"""Share of a day's own variance that comes over night."""
OWN_TAIL = 7.0
REVERSE_SPLIT_BELOW, FORWARD_SPLIT_ABOVE = 3.0, 8.0
SPLIT_SHARE, DIVIDEND_SHARE = 0.04, 0.1
"""Shares of common stocks that split, or pay a dividend, once in the span."""
FEWEST = 4
"""So many of them at least."""
HOT_CHANCE, HOT_MULTIPLE = 0.012, 3.0
"""A name is in everybody's mouth on so many days: so many times as many orders, and as restless."""
SETTLE_SESSIONS = 2
"""No episode in a name's first sessions."""


@dataclass(frozen=True)
class Split:
    """`old` shares become `new` before `day` opens."""

    number: int
    symbol: str
    day: date
    old: int
    new: int


@dataclass(frozen=True)
class Dividend:
    """`amount` $ a share, ex on `day`."""

    number: int
    symbol: str
    day: date
    amount: float


@dataclass(frozen=True)
class History:
    """The market before its orders. `closes` ($, efficient, in the shares of the day; nan where not listed) is by number
    and session.
    """

    settings: MarketSettings
    sessions: list[Hours]
    securities: list[Security]
    plans: list[DayPlan]
    episodes: list[Episode]
    splits: list[Split]
    dividends: list[Dividend]
    closes: Floats

    def close_of(self, security: Security, day: date) -> float:
        """The last close up to `day` in the shares of its day; where it begins before that."""
        place = bisect_right(self.sessions, day, key=lambda hours: hours.day)
        known = self.closes[security.number, :place]
        known = known[~np.isnan(known)]
        return float(known[-1]) if len(known) else security.price

    def shares_on(self, security: Security, day: date) -> int:
        """Shares outstanding on `day`: those of the last day, taken back through the splits since."""
        shares = float(security.shares)
        for split in self.splits:
            if split.number == security.number and split.day > day:
                shares *= split.old / split.new
        return round(shares)


def session_hours(last: date, count: int) -> list[Hours]:
    """The `count` sessions up to `last`, which counts if it is one."""
    frame = sessions_between(date(last.year - 2 - count // 200, 1, 1), last).tail(count)
    hours = []
    for row in frame.to_dict("records"):
        start = row["pre_open_at"]
        close = int((row["close_at"] - start).total_seconds())
        # After hours end four hours after the close.
        hours.append(Hours(row["session_date"], start.value, PRE_SECONDS, close, min(close + 14_400, SECONDS)))
    return hours


def midnight_ns(hours: Hours) -> int:
    """00:00 New York of the session's day."""
    return hours.start_ns - 4 * HOUR_NS


def factor_minutes(seed: int, day: date) -> Floats:
    """Log returns by minute after 04:00 of the market (row 0) and, on top of it, of each sector (rows 1…): regular hours."""
    generator = generator_of(seed, 3, day.toordinal())
    minutes = np.zeros((1 + len(SECTORS), SECONDS // 60))
    scale = np.array([MARKET_VOLATILITY, *[SECTOR_VOLATILITY] * len(SECTORS)])[:, None] / np.sqrt(390)
    regular = slice(PRE_MINUTES, PRE_MINUTES + 390)
    minutes[:, regular] = scale * generator.standard_normal((1 + len(SECTORS), 390))
    return minutes


def common_minutes(plan: DayPlan, factors: Floats) -> Floats:
    """The part of a symbol's day that the factors bring, by minute."""
    sector = np.zeros_like(factors[0]) if plan.sector is None else factors[1 + plan.sector]
    return np.asarray(plan.beta * factors[0] + plan.sector_beta * sector)


def make_history(settings: MarketSettings) -> History:
    """Everything that is settled before the orders; the same settings give the same history."""
    sessions = session_hours(settings.last_day, settings.days)
    days = [hours.day for hours in sessions]
    securities = universe(settings, days)
    generator = generator_of(settings.seed, 4)
    market = MARKET_VOLATILITY * generator.standard_t(5, len(days)) / np.sqrt(5 / 3)
    sectors = SECTOR_VOLATILITY * generator.standard_t(5, (len(SECTORS), len(days))) / np.sqrt(5 / 3)
    floats = np.log([security.free_float for security in securities if security.kind in ("CS", "ADRC")])
    history = History(settings, sessions, securities, [], [], [], [], np.full((len(securities), len(sessions)), np.nan))
    stocks = [security.number for security in securities if security.kind == "CS"]
    splitting, paying = (
        {int(number) for number in generator.permutation(stocks)[: max(FEWEST, round(share * len(stocks)))]}
        for share in (SPLIT_SHARE, DIVIDEND_SHARE)
    )
    for security in securities:
        factors = security.beta * market
        if security.sector is not None:
            factors = factors + security.sector_beta * sectors[security.sector]
        score = float(np.clip((np.log(security.free_float) - floats.mean()) / max(floats.std(), 1e-9), -2.5, 2.5))
        _days_of(history, security, factors, score, security.number in splitting, security.number in paying)
    return history


def _days_of(
    history: History, security: Security, factors: Floats, float_score: float, splits: bool, pays: bool
) -> None:
    """Append one security's days to `history`."""
    settings, sessions = history.settings, history.sessions
    generator = generator_of(settings.seed, 5, security.number)
    number = len(sessions)
    fund = security.kind == "ETF"
    volatility = (
        np.full(number, FUND_NOISE) if fund else security.volatility * np.exp(slow_noise(generator, number, 8, 0.3))
    )
    tails = generator.standard_t(OWN_TAIL, (2, number)) / np.sqrt(OWN_TAIL / (OWN_TAIL - 2))
    overnight = 0.4 * factors + np.sqrt(OVERNIGHT_SHARE) * volatility * tails[0]
    regular = 0.6 * factors + np.sqrt(1 - OVERNIGHT_SHARE) * volatility * tails[1]
    activity = np.exp(slow_noise(generator, number, 5, 0.4)) * (1 + 1.2 * np.minimum(np.abs(tails[1]), 4) / 2)
    liquidity = LIQUIDITY[security.liquidity]
    pay_session, split_session = (int(place) for place in generator.integers(1, number, 2))
    price, returns, carried = security.price, [0.0] * 5, [0.0, 0.0]
    for place, hours in enumerate(sessions):
        ratio_drawn, episode_drawn, hot_drawn = generator.random(3)
        symbol = security.symbol_on(hours.day)
        if symbol is None:
            continue
        if splits and place == split_session:
            old, new = _ratio(price, ratio_drawn)
            history.splits.append(Split(security.number, symbol, hours.day, old, new))
            price *= old / new
        night = float(overnight[place])
        if pays and place == pay_session:
            history.dividends.append(Dividend(security.number, symbol, hours.day, round(0.012 * price, 2)))
            night += float(np.log1p(-0.012))
        opened = price * float(np.exp(night))
        closed = opened * float(np.exp(regular[place] + carried[0]))
        episode = None
        if security.kind in ("CS", "ADRC") and place >= SETTLE_SESSIONS and episode_drawn < settings.episodes / 1_000:
            episode = plant(
                generator,
                f"{security.number:05d}-{hours.day:%Y%m%d}",
                security.number,
                symbol,
                hours,
                liquidity.orders / 390,
                float_score,
                float(sum(returns[-5:])),
                settings.hidden_share,
            )
            history.episodes.append(episode)
        hot = HOT_MULTIPLE if hot_drawn < HOT_CHANCE and not fund else 1.0
        ended = closed * float(np.exp(0.1 * volatility[place] * tails[0, place]))
        history.plans.append(
            DayPlan(
                symbol,
                hours,
                (settings.seed, 6, security.number, hours.day.toordinal()),
                price,
                price * float(np.exp(0.25 * night)),
                opened,
                closed,
                ended,
                hot * float(volatility[place]) * (1.0 if episode is None else 1 + 0.7 * episode.multiple),
                hot * float(activity[place]) * (1.0 if episode is None else 1 + 0.5 * episode.multiple),
                liquidity,
                _lots(price),
                security.venue,
                security.beta,
                security.sector,
                security.sector_beta,
                () if episode is None else episode.shape.drives,
                () if episode is None else episode.shape.pauses,
            )
        )
        total = 0.0 if episode is None else episode.total_move
        carried = [carried[1], 0.0] if episode is None else [carried[1] + episode.carry[0], episode.carry[1]]
        returns.append(float(np.log(ended / price)) + total)
        history.closes[security.number, place] = closed * np.exp(total)
        price = ended * float(np.exp(total))


def _lots(price: float) -> float:
    """Median size of a round-lot order in lots: cheap shares trade in larger numbers."""
    return float(np.clip(12 / price, 1, 12))


def _ratio(price: float, drawn: float) -> tuple[int, int]:
    """Old and new shares of a split at `price`: cheap names bring themselves above the exchange's minimum."""
    if price < REVERSE_SPLIT_BELOW:
        return (5, 8, 10, 20)[int(drawn * 4)], 1
    return (1, 2) if price > FORWARD_SPLIT_ABOVE else (2, 3) if drawn < 0.5 else (4, 1)
