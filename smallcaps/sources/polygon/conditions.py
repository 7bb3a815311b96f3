"""The vendor's codes of trades, and its sale conditions: what a trade that carries one may change in a bar (POLYGON.md 5.2)."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

ODD_LOT, SWEEP, FORM_T = 37, 14, 12
CORRECTION_RECORDS = (10, 11, 12)
"""Values of `correction` on rows that cancel or correct an earlier one: no trades of their own (POLYGON.md 5.4)."""
OFF_EXCHANGE = 4
"""Exchange id of the reporting facilities (POLYGON.md 5.5)."""


@dataclass(frozen=True)
class TradeCondition:
    """One row of the vendor's table: the consolidated update rules."""

    id: int
    name: str
    updates_high_low: bool
    updates_open_close: bool
    updates_volume: bool


@cache
def trade_conditions() -> dict[int, TradeCondition]:
    """The sale conditions by id."""
    with (files("smallcaps.sources.polygon") / "trade_conditions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        int(row["id"]): TradeCondition(
            int(row["id"]),
            row["name"],
            *(row[use] == "1" for use in ("updates_high_low", "updates_open_close", "updates_volume")),
        )
        for row in rows
    }


def conditions_that_forbid(use: str) -> list[int]:
    """Sale conditions whose trades may not be used for `use` (updates_high_low, updates_open_close, updates_volume)."""
    return [condition.id for condition in trade_conditions().values() if not getattr(condition, use)]
