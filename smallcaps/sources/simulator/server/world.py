"""The market that is served: its folder, its clock, and what the vendor knows about it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from smallcaps.sources.simulator.layout import read_records
from smallcaps.sources.simulator.server.clock import SECOND, Clock, after, midnight, new_york_day
from smallcaps.sources.simulator.server.faults import Faults
from smallcaps.sources.simulator.server.served import Marks, Served
from smallcaps.sources.simulator.server.tape import Tape

Record = dict[str, Any]


@dataclass
class World:
    """`live`: the day that is being played; what lies after the clock is not known then. None: all of history is."""

    market: Path
    key: str
    access_key: str
    faults: Faults
    tape: Tape
    clock: Clock
    live: date | None = None
    served: Served = field(default_factory=Served)

    def now(self) -> int:
        """The market's instant, in ns: the clock's as far as the day goes that is played, or the end of the last day there is."""
        end = midnight(after(self.live or self.last_day)) - SECOND
        return end if self.live is None else min(self.clock.now(), end)

    @cached_property
    def last_day(self) -> date:
        """The last day that has bars."""
        days = self.tape.days("day") or self.tape.days("minute") or self.tape.days("trades")
        return days[-1] if days else date(1970, 1, 1)

    def today(self) -> date:
        """The day it is in New York."""
        return new_york_day(self.now())

    def records(self, name: str) -> list[Record]:
        """A reference file, read once."""
        if name not in self._files:
            self._files[name] = list(read_records(self.market / "reference" / f"{name}.jsonl"))
        return self._files[name]

    @cached_property
    def _files(self) -> dict[str, list[Record]]:
        return {}

    @cached_property
    def splits(self) -> dict[str, list[tuple[date, float]]]:
        """By ticker: day and what a price before it is multiplied with. Rows without a ratio change nothing."""
        found: defaultdict[str, list[tuple[date, float]]] = defaultdict(list)
        for row in self.records("splits"):
            old, new = row.get("split_from") or 0, row.get("split_to") or 0
            if old > 0 and new > 0:
                found[row["ticker"]].append((date.fromisoformat(row["execution_date"]), old / new))
        return dict(found)

    def factor(self, ticker: str, day: date, until: date | None = None) -> float:
        """What a price of `day` is multiplied with for the splits after it, as the vendor has them: up to `until`, else all
        (live: those executed by today).
        """
        until = until or (self.today() if self.live else date.max)
        factor = 1.0
        for executed, ratio in self.splits.get(ticker, ()):
            if day < executed <= until:
                factor *= ratio
        return factor

    @cached_property
    def sale_conditions(self) -> dict[int, Record]:
        """The consolidated update rules of trade conditions by id; conditions without rules are not in it."""
        return {
            row["id"]: row["update_rules"]["consolidated"]
            for row in self.records("conditions")
            if "trade" in row.get("data_types", ()) and row.get("update_rules")
        }

    def marks(self, kind: str, places: Iterable[tuple[date, int]]) -> list[Marks]:
        """Rows of a kind's days (day, row) as the account wants them."""
        by_day: defaultdict[date, list[int]] = defaultdict(list)
        for day, place in places:
            by_day[day].append(place)
        return [Marks((kind, day), self.tape.rows(kind, day).table.num_rows, rows) for day, rows in by_day.items()]
