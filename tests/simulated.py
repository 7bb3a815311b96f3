"""The market that tests share: small, with everything in it."""

from datetime import date

from smallcaps.sources.simulator.settings import MarketSettings

SMALL_MARKET = MarketSettings(
    symbols=24, days=8, last_day=date(2026, 10, 16), seed=5, tick_days=1, tick_symbols=3, episodes=150
)
