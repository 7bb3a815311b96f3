"""What one more day costs after 10, 100 and 300: refining a day that comes after so many.

python benchmarks/increment.py MARKET [--sessions 10 100 300] [--symbols 40] [--rounds 3]

The day is the last one of a simulated market (`smallcaps simulate build`) that has ticks, its first `--symbols` names. Bars of
days and minutes, trades and quotes of earlier days are that day again, each at its session's times. For each length of history
there is a lake of its own, whose history is refined first and not counted; then the day is, quality suites included, so many
times after a warm-up, and the least is the figure. Trades and quotes lie in the last ten days of history alone, so that 300
days fit a small disk: nothing that refines them looks back. The exit status says whether the day costs in proportion to itself:
after 30 times the history less than 1.5 times as much.
"""

import argparse
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from pyspark.sql import functions as F

from smallcaps.calendar import sessions_between
from smallcaps.config import Settings, load_settings
from smallcaps.ingest.flatfiles import ingest_flatfiles
from smallcaps.lake import Lake
from smallcaps.refine.job import refine
from smallcaps.sources.polygon.bucket import Folder
from smallcaps.sources.simulator.layout import tape_days
from smallcaps.spark import open_session

KINDS = ("day_aggs_v1", "minute_aggs_v1", "trades_v1", "quotes_v1")
TIMES = {
    "bronze.bars_1d": ("window_start_ns",),
    "bronze.bars_1m": ("window_start_ns",),
    "bronze.trades": ("sip_ns", "participant_ns", "trf_ns"),
    "bronze.quotes": ("sip_ns", "participant_ns", "trf_ns"),
}
"""Tables of bronze, and their columns that hold an instant."""
DAYS_OF_TICKS = 10
LIMIT = 1.5


def sessions_before(day: date, count: int) -> list[tuple[date, int]]:
    """So many sessions before a day, each with the seconds from its opening of the pre-market to that of the day."""
    found = sessions_between(day - timedelta(days=2 * count + 30), day)
    opens = dict(zip(found["session_date"], found["pre_open_at"], strict=True))
    return [(one, int((opens[day] - at).total_seconds())) for one, at in opens.items() if one < day][-count:]


def fill(lake: Lake, day: date, count: int, symbols: int) -> date:
    """Leave `symbols` names of the day's bronze and put it before the day `count` times over; returns the first day."""
    earlier = sessions_before(day, count)
    names = lake.read("bronze.trades").select("symbol").distinct().orderBy("symbol").limit(symbols).localCheckpoint()
    for table, instants in TIMES.items():
        here = earlier[-DAYS_OF_TICKS:] if table in ("bronze.trades", "bronze.quotes") else earlier
        moved = lake.spark.createDataFrame([*here, (day, 0)], "moved date, seconds bigint")
        rows = lake.read(table).join(F.broadcast(names), "symbol", "left_semi").crossJoin(F.broadcast(moved))
        there = [name for name in instants if name in rows.columns]
        shifted = {name: F.col(name) - F.col("seconds") * 1_000_000_000 for name in there}
        rows = rows.withColumns({**shifted, "session_date": F.col("moved")}).drop("moved", "seconds", "run_id")
        lake.replace(table, rows, None, "copies")
    return earlier[0][0]


def measured(market: Path, day: date, count: int, symbols: int, rounds: int, settings: Settings) -> float:
    """Seconds of refining the day after `count` sessions, at best."""
    lake = Lake(settings.lake, open_session(settings), suites=True)
    ingest_flatfiles(lake, settings, Folder(str(market)), KINDS, day, day, None)
    first = fill(lake, day, count, symbols)
    refine(lake, settings, first, day - timedelta(days=1))
    seconds = []
    for turn in range(rounds + 1):
        started = time.perf_counter()
        written = refine(lake, settings, day, day)
        seconds.append(time.perf_counter() - started)
        told = f"{sum(written.values()):,} rows{'' if turn else ', warm-up'}"
        print(f"  after {count} sessions: {seconds[-1]:.1f} s ({told})", flush=True)
    return min(seconds[1:])


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("market", type=Path)
    parser.add_argument("--sessions", type=int, nargs="+", default=[10, 100, 300])
    parser.add_argument("--symbols", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    day, taken = tape_days(asked.market, "trades")[-1], {}
    for count in asked.sessions:
        with tempfile.TemporaryDirectory() as folder:
            settings = load_settings(lake=f"{folder}/lake")
            taken[count] = measured(asked.market, day, count, asked.symbols, asked.rounds, settings)
    least, most = min(taken), max(taken)
    for count, seconds in taken.items():
        print(f"one more day after {count} sessions: {seconds:.1f} s")
    print(f"after {most} against {least}: {taken[most] / taken[least]:.2f}")
    return 0 if taken[most] <= LIMIT * taken[least] else 1


if __name__ == "__main__":
    sys.exit(main())
