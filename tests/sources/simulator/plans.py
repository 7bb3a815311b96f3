"""A symbol's day to try things on."""

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np

from smallcaps.sources.simulator.history import session_hours
from smallcaps.sources.simulator.plan import DayPlan, Hours
from smallcaps.sources.simulator.universe import LIQUIDITY

FULL_DAY = session_hours(date(2026, 10, 30), 1)[0]
HALF_DAY = session_hours(date(2026, 11, 27), 1)[0]
NO_COMMON = np.zeros(960)

PLAN = DayPlan(
    symbol="ABC",
    hours=FULL_DAY,
    seed=(1, 2, 3),
    prior_close=5.0,
    start_price=5.0,
    open_price=5.1,
    close_price=5.2,
    end_price=5.25,
    volatility=0.03,
    activity=1.0,
    liquidity=LIQUIDITY["mid"],
    lots=2.0,
    listing=12,
)


def plan(seed: int = 3, hours: Hours = FULL_DAY, **changes: Any) -> DayPlan:
    """PLAN with changes."""
    return replace(PLAN, seed=(1, 2, seed), hours=hours, **changes)
