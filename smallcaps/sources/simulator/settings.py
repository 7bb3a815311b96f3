"""What a market is made from. The same settings give the same bytes."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from smallcaps.errors import BadInput


@dataclass(frozen=True)
class MarketSettings:
    """`symbols`: common stocks; funds, warrants and preferreds come on top. `days`: sessions up to `last_day`.

    Ticks (trades and quotes) are kept for the last `tick_days` sessions: of the first `tick_symbols` stocks and of every symbol
    with something planted on those days. `episodes`: planted, a thousand symbol-days. `hidden_share`: how much of what decides an
    outcome nobody can observe. `faults`: whether the vendor's known faults are put in.
    """

    symbols: int = 300
    days: int = 30
    last_day: date = date(2026, 10, 30)
    seed: int = 7
    tick_days: int = 2
    tick_symbols: int = 40
    episodes: float = 20.0
    hidden_share: float = 0.5
    faults: bool = True

    def __post_init__(self) -> None:
        limits = {"symbols": (10, 5_000), "days": (2, 1_300), "tick_days": (0, self.days), "tick_symbols": (0, 5_000)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise BadInput(f"{name} must be from {low} to {high}, not {getattr(self, name)}.")
        if not 0 <= self.hidden_share <= 1 or not 0 <= self.episodes <= 500:
            raise BadInput("hidden_share must be from 0 to 1 and episodes from 0 to 500 a thousand symbol-days.")

    def described(self) -> dict[str, Any]:
        """As it goes into settings.json."""
        return asdict(self) | {"last_day": self.last_day.isoformat()}
