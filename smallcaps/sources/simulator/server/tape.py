"""The rows of a market's tape by symbol: mapped, not read, and found by where each symbol begins."""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from smallcaps.sources.simulator.layout import read_tape, symbol_bounds, tape_days


@dataclass(frozen=True)
class DayRows:
    """All rows of a kind and day; those of `symbols[i]` are from `bounds[i]` to `bounds[i + 1]`."""

    table: pa.Table
    symbols: list[str]
    bounds: list[int]

    def span(self, symbol: str) -> tuple[int, int]:
        """First row of a symbol and the row after its last; an empty span where it has none."""
        place = bisect_left(self.symbols, symbol)
        if place == len(self.symbols) or self.symbols[place] != symbol:
            return 0, 0
        return self.bounds[place], self.bounds[place + 1]

    def of(self, symbol: str) -> pa.Table:
        """The rows of a symbol."""
        first, end = self.span(symbol)
        return self.table.slice(first, end - first)


class Tape:
    """The tape of one market folder. What it has opened it keeps mapped; a few days' offsets are kept beside."""

    def __init__(self, market: Path) -> None:
        self._market = market
        self.days = cache(self._days)
        self.rows = lru_cache(maxsize=1024)(self._rows)

    def _days(self, kind: str) -> list[date]:
        """The days that have rows of a kind, in order."""
        return tape_days(self._market, kind)

    def between(self, kind: str, first: date, last: date) -> list[date]:
        """The days of a kind from `first` to `last`, both included."""
        return [day for day in self.days(kind) if first <= day <= last]

    def _rows(self, kind: str, day: date) -> DayRows:
        """The rows of a kind and day; none where there are none."""
        table = read_tape(self._market, kind, day)
        return DayRows(table, *symbol_bounds(table))


def ints(rows: pa.Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """A column of whole numbers."""
    column: np.ndarray[tuple[int], np.dtype[np.int64]] = rows[name].to_numpy()
    return column
