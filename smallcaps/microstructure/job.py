"""What the jobs of this room share: rows of intraday events, made of the trades and quotes around them, written as a whole."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from pyspark import StorageLevel
from pyspark.sql import DataFrame

from smallcaps.config import Settings
from smallcaps.config.settings import MicrostructureSettings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, between, recorded_run


@dataclass(frozen=True)
class Around:
    """Events, of their days silver.trades and silver.quotes, and other tables by name, which may be empty."""

    events: DataFrame
    trades: DataFrame
    quotes: DataFrame
    context: Mapping[str, DataFrame] = field(default_factory=dict)


Rows = Callable[[Around, MicrostructureSettings], DataFrame]
"""Intraday events and what is around them → a table's rows."""


def write_around_events(
    lake: Lake,
    settings: Settings,
    first: date,
    last: date,
    job: str,
    table: str,
    rows: Rows,
    told: str,
    context: Mapping[str, int] = {},
) -> int:
    """Replace `table` from `first` to `last` as a run of `job`; returns the rows written. `told` is the run's note, with {events}
    and {rows}; `context` names the other tables that `rows` looks at, and how many calendar days before `first`.

    Raises BadInput where there are no trades or quotes in silver.
    """
    with recorded_run(lake, job, {"from": first, "to": last}, settings.digest()) as run:
        days = between("session_date", first, last)
        of_days = run.read_days("gold.events", first, last)
        events = of_days.where("grain <> 'daily'").persist(StorageLevel.MEMORY_AND_DISK)
        if missing := [name for name in ("silver.trades", "silver.quotes") if not lake.exists(name)]:
            raise BadInput(f"{' and '.join(missing)} not written yet: {job} need trades and quotes.")
        trades, quotes = (run.read_days(name, first, last) for name in ("silver.trades", "silver.quotes"))
        others = {
            name: run.read_days_or_empty(name, first - timedelta(days=before), last) for name, before in context.items()
        }
        around = Around(events, trades, quotes, others)
        written = run.replace(table, rows(around, settings.microstructure), days).rows
        run.note = told.format(events=events.count(), rows=written)
        events.unpersist()
        return written
