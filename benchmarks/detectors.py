"""The minute detectors on millions of bars: ours against the same written naively in Spark, against DuckDB and Polars.

python benchmarks/detectors.py [--rows 3000000] [--rounds 3] [--times 5] [--memory] [--daily] [--trades] [--cluster]

Bars are simulated (benchmarks/detector_rows.py) into Parquet files that every engine reads, on two cores; every engine writes its
events to Parquet. First all make the events once, which warms them up, and must agree: on the keys of all events, and on their
numbers to 2 in 10⁸. Then they take turns; the figure is the median of the rounds, with the processor seconds beside, which a busy
machine distorts less than the clock. DuckDB is the faster of sliding frames and running sums. Shuffle and sort of the rows alone
are told too. The exit status says whether ours is three times as fast as naive Spark and takes at most twice as long as DuckDB.

`--times 5` also takes so many times the rows, `--memory` tells the most resident memory for both sizes, each in a process of its
own, `--daily` times the daily detectors on 2 million bars, `--trades` tape speed on as many trades as `--rows`, and `--cluster`
a standalone cluster on this machine, of one worker and of two with a core each. Each runs alone, in the place of the comparison.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import duckdb
import psutil
from detector_rivals import CONDITIONS, DUCKDB_MACROS, KEY, NUMBERS, polars_events, statement
from detector_rows import write_daily, write_market, write_trades
from footprint import peak_alone
from pyspark.sql import DataFrame, SparkSession

from smallcaps.config import Settings, load_settings
from smallcaps.detectors.detect import events
from smallcaps.detectors.registry import detectors_of
from smallcaps.spark import open_session
from smallcaps.spark.cluster import Cluster

CORES = 2
AT_LEAST_NAIVE, AT_MOST_DUCKDB, AT_MOST_GROWTH, AT_MOST_DAILY_SECONDS = 3.0, 2.0, 1.1, 120
DAILY_ROWS = 2_000_000
TO_COME = 1_500_000_000
"""Minute bars of the small caps in five years, for the projection."""


def frames(spark: SparkSession, market: Path) -> tuple[DataFrame, dict[str, DataFrame]]:
    """The bars, and what is expected of them."""
    expected = {"silver.baselines": "baselines", "silver.volume_curves": "curves"}
    read = spark.read.parquet
    return read(f"{market}/bars"), {table: read(f"{market}/{name}.parquet") for table, name in expected.items()}


def ours(spark: SparkSession, settings: Settings, market: Path, out: Path) -> None:
    """The product's statement."""
    bars, expected = frames(spark, market)
    events(bars, settings, "minute", expected).write.mode("overwrite").parquet(str(out))


def naive(spark: SparkSession, market: Path, out: Path) -> None:
    """The definitions by sliding frames, a query a detector, as each is written on its own."""
    _seen(spark, market)
    each = [spark.sql(statement(spark=True, running=False, detectors=[name])) for name in CONDITIONS]
    reduce(DataFrame.unionByName, each).write.mode("overwrite").parquet(str(out))


def naive_together(spark: SparkSession, market: Path, out: Path) -> None:
    """The same in one query, written by one who knows that detectors share their windows."""
    _seen(spark, market)
    spark.sql(statement(spark=True, running=False)).write.mode("overwrite").parquet(str(out))


def _seen(spark: SparkSession, market: Path) -> None:
    """The views that the rivals' text names."""
    bars, expected = frames(spark, market)
    for view, rows in zip(("bars", "baselines", "curves"), (bars, *expected.values()), strict=True):
        rows.createOrReplaceTempView(view)


def sort_alone(spark: SparkSession, market: Path) -> None:
    """What no statement of one shuffle and one sort in Spark can do without."""
    bars, _ = frames(spark, market)
    order = ("security_id", "session_date", "segment", "minute")
    bars.repartition("security_id", "session_date").sortWithinPartitions(*order).write.format("noop").mode(
        "overwrite"
    ).save()


def duck(market: Path, out: Path, running: bool) -> None:
    """The definitions in DuckDB."""
    connection = connected()
    connection.execute(DUCKDB_MACROS)
    for view, files in (("bars", "bars/*/*.parquet"), ("baselines", "baselines.parquet"), ("curves", "curves.parquet")):
        connection.execute(
            f"CREATE VIEW {view} AS SELECT * FROM read_parquet('{market}/{files}', hive_partitioning=true)"
        )
    out.mkdir(exist_ok=True)
    connection.execute(f"COPY ({statement(spark=False, running=running)}) TO '{out}/events.parquet' (FORMAT parquet)")


def polars(market: Path, out: Path) -> None:
    """The definitions in Polars."""
    out.mkdir(exist_ok=True)
    polars_events(market).write_parquet(out / "events.parquet")


def connected() -> duckdb.DuckDBPyConnection:
    """DuckDB with the cores that all have; Spark's instants are without a zone to it."""
    connection = duckdb.connect()
    connection.execute(f"SET threads={CORES}; SET TimeZone='UTC'")
    return connection


def differing(one: Path, other: Path) -> int:
    """How many events only one of two folders has, or has otherwise."""
    same_key = " AND ".join(f"a.{name} = b.{name}" for name in KEY)
    unlike = " OR ".join(
        f"(a.{name} IS NULL) <> (b.{name} IS NULL) OR abs(a.{name} - b.{name}) > 2e-8 * abs(a.{name}) + 1e-12"
        for name in NUMBERS
    )
    row = (
        connected()
        .execute(
            f"SELECT count(*) FROM read_parquet('{one}/*.parquet') AS a FULL JOIN read_parquet('{other}/*.parquet') AS b "
            f"ON {same_key} WHERE a.detector IS NULL OR b.detector IS NULL OR {unlike} OR a.baseline IS DISTINCT FROM b.baseline"
        )
        .fetchone()
    )
    return row[0] if row else 0


def counted(out: Path) -> dict[str, int]:
    """Events of a folder by detector."""
    return dict(
        connected().execute(f"SELECT detector, count(*) FROM '{out}/*.parquet' GROUP BY 1 ORDER BY 1").fetchall()
    )


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock, and of the processors for this process and all below it."""

    def spent() -> float:
        here = psutil.Process()
        return sum(sum(one.cpu_times()[:2]) for one in (here, *here.children(recursive=True)))

    started, before = time.perf_counter(), spent()
    work()
    return time.perf_counter() - started, spent() - before


def taking_turns(engines: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """The median seconds of each; the processors' are printed beside."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for turn in range(rounds):
        for name, work in engines.items():
            taken[name].append(timed(work))
            print(f"  round {turn + 1}: {name} {taken[name][-1][0]:.2f} s", flush=True)
    medians = {}
    for name, pairs in taken.items():
        medians[name] = statistics.median(clock for clock, _ in pairs)
        cpu, best = statistics.median(cpu for _, cpu in pairs), min(clock for clock, _ in pairs)
        print(f"{name}: median {medians[name]:.2f} s, best {best:.2f} s, processors {cpu:.1f} s")
    return medians


def told_rate(rows: int, seconds: float) -> float:
    """Print and return the rows a second and core."""
    rate = rows / seconds / CORES
    print(f"ours: {rate:,.0f} rows a second and core")
    return rate


def told_projection(rows: int, seconds: float) -> None:
    """Print the rate of minute bars, and what follows for those to come."""
    print(f"{TO_COME:,} bars: {TO_COME / told_rate(rows, seconds) / 3600:.1f} core hours")


def compare(rows: int, rounds: int, folder: Path) -> bool:
    """Ours against the others; whether the bars are met."""
    settings, market = load_settings(lake=f"{folder}/lake"), folder / "market"
    made = write_market(market, rows)
    spark = open_session(settings)
    outs = {
        name: folder / name.replace(" ", "_")
        for name in ("ours", "naive", "naive together", "sliding", "running", "polars")
    }
    engines: dict[str, Callable[[], None]] = {
        "ours": lambda: ours(spark, settings, market, outs["ours"]),
        "naive": lambda: naive(spark, market, outs["naive"]),
        "naive together": lambda: naive_together(spark, market, outs["naive together"]),
        "sliding": lambda: duck(market, outs["sliding"], running=False),
        "running": lambda: duck(market, outs["running"], running=True),
        "polars": lambda: polars(market, outs["polars"]),
    }
    for name, work in engines.items():
        print(f"  warm-up: {name} {timed(work)[0]:.2f} s", flush=True)
    differences = {name: differing(outs["ours"], out) for name, out in outs.items()}
    found = counted(outs["ours"])
    print(f"{made:,} bars, {sum(found.values()):,} events: {', '.join(f'{name} {n:,}' for name, n in found.items())}")
    if wrong := {name: count for name, count in differences.items() if count}:
        print(f"events that differ from ours: {wrong}")
        return False
    if missing := {one.name for one in detectors_of("minute")} - set(found):
        print(f"no event of {', '.join(sorted(missing))}: these bars prove nothing")
        return False
    print("all engines: the same events")
    engines["shuffle and sort alone"] = lambda: sort_alone(spark, market)
    medians = taking_turns(engines, rounds)
    best = min(medians["sliding"], medians["running"])
    told_projection(made, medians["ours"])
    print(
        f"naive Spark / ours: {medians['naive'] / medians['ours']:.2f} (at least {AT_LEAST_NAIVE:.0f}), in one query: "
        f"{medians['naive together'] / medians['ours']:.2f}"
    )
    print(
        f"ours / DuckDB: {medians['ours'] / best:.2f} (at most {AT_MOST_DUCKDB:.0f}), ours / Polars: "
        f"{medians['ours'] / medians['polars']:.2f}, sort alone / DuckDB: {medians['shuffle and sort alone'] / best:.2f}"
    )
    return medians["naive"] >= AT_LEAST_NAIVE * medians["ours"] and medians["ours"] <= AT_MOST_DUCKDB * best


def grow(rows: int, times: int, rounds: int, folder: Path) -> bool:
    """Whether so many times the rows take at most a tenth more than so many times as long."""
    settings = load_settings(lake=f"{folder}/lake")
    spark = open_session(settings)
    markets = {}
    for factor in (1, times):
        markets[f"{factor} x"] = folder / f"market{factor}"
        write_market(markets[f"{factor} x"], factor * rows)
    engines: dict[str, Callable[[], None]] = {
        name: lambda market=market: ours(spark, settings, market, folder / "out") for name, market in markets.items()
    }
    for work in engines.values():
        work()
    one, more = taking_turns(engines, rounds).values()
    told_projection(times * rows, more)
    print(f"{times} times the rows: {more / one:.2f} times as long (at most {AT_MOST_GROWTH * times:.1f})")
    return more <= AT_MOST_GROWTH * times * one


def _alone(market: Path, folder: Path, where: dict[str, str], rounds: int, told: Path) -> None:
    """Ours in a process of its own: `told` gets the median seconds of the rounds."""
    os.environ.update(where)
    settings = load_settings(lake=f"{folder}/lake")
    spark = open_session(settings)
    seconds = [timed(lambda: ours(spark, settings, market, folder / "out"))[0] for _ in range(rounds + 1)]
    told.write_text(str(statistics.median(seconds[1:])))
    spark.stop()


def alone(market: Path, folder: Path, where: dict[str, str], rounds: int) -> tuple[float, int]:
    """The median seconds of ours in a process of its own that has `where` in its environment, and the most resident memory of it
    and all below it.
    """
    told = folder / "seconds"
    peak = peak_alone(_alone, market, folder, where, rounds, told)
    return float(told.read_text()), peak


def remember(rows: int, times: int, rounds: int, folder: Path) -> bool:
    """Whether memory stays the same for so many times the rows."""
    peaks = {}
    for factor in (1, times):
        write_market(folder / f"market{factor}", factor * rows)
        _, peaks[factor] = alone(folder / f"market{factor}", folder, {}, rounds)
        print(f"{factor * rows:,} rows: at most {peaks[factor] / 1e9:.2f} GB resident", flush=True)
    print(f"{times} times the rows: {peaks[times] / peaks[1]:.2f} times the memory")
    return peaks[times] <= 1.5 * peaks[1]


def scale(rows: int, rounds: int, folder: Path) -> bool:
    """One worker against two, a core each."""
    market, seconds = folder / "market", {}
    made = write_market(market, rows)
    for workers in (1, 2):
        with Cluster(folder / f"cluster{workers}", load_settings().cache, memory="2g").start(workers) as cluster:
            seconds[workers], _ = alone(market, folder, cluster.told, rounds)
        print(
            f"{workers} worker(s) of one core: {seconds[workers]:.2f} s, {made / seconds[workers]:,.0f} rows a second",
            flush=True,
        )
    print(f"two workers are {seconds[1] / seconds[2]:.2f} times as fast as one")
    return seconds[1] > 1.5 * seconds[2]


def single(grain: str, rows: int, rounds: int, folder: Path) -> float:
    """The median seconds of the only engine of a grain."""
    settings = load_settings(lake=f"{folder}/lake")
    made = {"daily": write_daily, "trade": write_trades}[grain](folder / "rows", rows)
    spark = open_session(settings)

    def work() -> None:
        rows = spark.read.parquet(str(folder / "rows"))
        events(rows, settings, grain).write.mode("overwrite").parquet(str(folder / "out"))

    work()
    print(f"{made:,} rows, events: {counted(folder / 'out')}")
    seconds = taking_turns({grain: work}, rounds)[grain]
    told_rate(made, seconds)
    return seconds


def main() -> int:
    """Run and print; the exit status says whether the bars are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", type=int, default=1)
    for name in ("memory", "daily", "trades", "cluster"):
        parser.add_argument(f"--{name}", action="store_true")
    asked = parser.parse_args()
    print(f"load before: {', '.join(f'{load:.1f}' for load in os.getloadavg())}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.memory:
            met = remember(asked.rows, max(asked.times, 5), asked.rounds, folder)
        elif asked.daily:
            met = single("daily", DAILY_ROWS, asked.rounds, folder) <= AT_MOST_DAILY_SECONDS
        elif asked.trades:
            met = single("trade", asked.rows, asked.rounds, folder) > 0
        elif asked.cluster:
            met = scale(asked.rows, asked.rounds, folder)
        elif asked.times > 1:
            met = grow(asked.rows, asked.times, asked.rounds, folder)
        else:
            met = compare(asked.rows, asked.rounds, folder)
    print(f"load after: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
