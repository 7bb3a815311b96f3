"""The quote before each trade: ours against DuckDB's ASOF join and Polars' join_asof, on the same Parquet files.

python benchmarks/as_of.py [--quotes 50000000] [--rounds 3] [--shapes thin bursts giant wide]

Trades are a tenth of the quotes. Files lie as silver keeps them, one a session date, sorted by name and time. Four shapes: `thin`
(1,000 names on 20 days: 2,500 quotes and 250 trades each), `bursts` (100 names whose clock ticks in hundredths of a second, so
that many rows share an instant), `giant` (one name on one day) and `wide` (as thin, a fifth of the rows; trades with 99 more
columns beside the same without them). Each engine counts the quotes it found and sums their mids, which must agree; DuckDB takes
any quote of an instant where ours and Polars take the last by sequence_number, so that of bursts it need only find as many.
All is published when it is made. `offsets` is ours at eight instants around each trade, `handed` the part of ours that no join
in Python is without: Java reads the quotes, hands them to Python, which counts them. Rounds take turns after one that warms up;
the figure is the median.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from smallcaps.config import load_settings
from smallcaps.microstructure.as_of import with_quotes
from smallcaps.spark import open_session

CORES, WIDE, DAY_NS = 2, 99, 57_600_000_000_000
Found = tuple[int, float]
SHAPES = {
    "thin": (1_000, 20, 1),
    "bursts": (100, 20, 10_000_000),
    "giant": (1, 1, 1),
    "wide": (1_000, 20, 1),
}
"""Names, days, and the nanoseconds between two instants of the clock."""
NEEDED = ("symbol", "session_date", "participant_ns")


def write(folder: Path, quotes: int, names: int, days: int, tick_ns: int, more: int) -> None:
    """Make the quotes, and a tenth as many trades with `more` columns, under `folder`."""
    labels = pa.array([f"N{number:04d}" for number in range(names)])
    for number in range(days):
        random = np.random.default_rng([7, number])
        day = date(2026, 1, 5) + timedelta(days=number)
        for kind, rows in (("quotes", quotes // days), ("trades", quotes // days // 10)):
            name = np.sort(random.integers(0, names, rows))
            at = random.integers(0, DAY_NS // tick_ns, rows) * tick_ns
            at = 1_767_600_000_000_000_000 + number * 86_400 * 10**9 + at[np.lexsort((at, name))]
            mid = np.round(5 + np.cumsum(random.normal(0, 0.001, rows)).clip(-4, 4), 2)
            columns = {"symbol": labels.take(pa.array(name)), "participant_ns": at, "sip_ns": at}
            columns["sequence_number"] = np.arange(rows)
            if kind == "quotes":
                columns |= {"bid_price": mid - 0.01, "ask_price": mid + 0.01}
            else:
                columns |= {"price": mid} | {f"more_{place}": mid + place for place in range(more)}
            into = folder / kind / f"session_date={day}"
            into.mkdir(parents=True)
            pq.write_table(pa.table(columns), into / "part-0.parquet", compression="snappy")


def ours(spark: SparkSession, folder: Path, offsets: dict[str, int]) -> Found:
    """The product's join; every column of the trades goes through it and is looked at."""
    trades, quotes = (spark.read.parquet(f"{folder}/{kind}") for kind in ("trades", "quotes"))
    met = with_quotes(trades, quotes, offsets)
    looked_at = [f"max({name})" for name in trades.columns]
    row = met.selectExpr("count(quote.bid)", "sum((quote.bid + quote.ask) / 2)", *looked_at).first()
    return (row[0], row[1]) if row else (0, 0.0)


def handed(spark: SparkSession, folder: Path) -> Found:
    """All quotes from Java to Python, which counts them."""

    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch([pa.array([sum(map(len, batches))])], ["rows"])

    quotes = spark.read.parquet(f"{folder}/quotes").select(
        *NEEDED, "sip_ns", "sequence_number", "bid_price", "ask_price"
    )
    return sum(row[0] for row in quotes.mapInArrow(count, "rows bigint").collect()), 0.0


def duck(folder: Path) -> Found:
    """DuckDB's join."""
    connection = duckdb.connect()
    connection.execute(f"SET threads={CORES}")
    trades, quotes = (
        f"(SELECT {', '.join((*NEEDED, *columns))} FROM read_parquet('{folder}/{kind}/*/*.parquet', hive_partitioning=true))"
        for kind, columns in (("trades", ("price",)), ("quotes", ("bid_price", "ask_price")))
    )
    row = connection.execute(
        f"SELECT count(q.bid_price), sum((q.bid_price + q.ask_price) / 2) FROM {trades} AS t ASOF LEFT JOIN {quotes} AS q "
        "ON t.symbol = q.symbol AND t.session_date = q.session_date AND t.participant_ns > q.participant_ns"
    ).fetchone()
    return (row[0], row[1]) if row else (0, 0.0)


def polars_join(folder: Path) -> Found:
    """Polars' join, which wants its rows in order of time."""
    trades, quotes = (
        polars.scan_parquet(f"{folder}/{kind}/*/*.parquet", hive_partitioning=True)
        .select(*NEEDED, *columns)
        .sort("participant_ns", maintain_order=True)
        for kind, columns in (("trades", ("price",)), ("quotes", ("bid_price", "ask_price")))
    )
    met = trades.join_asof(
        quotes, on="participant_ns", by=["symbol", "session_date"], allow_exact_matches=False, check_sortedness=False
    )
    bid, ask = polars.col("bid_price"), polars.col("ask_price")
    return met.select(bid.count().alias("count"), ((bid + ask) / 2).sum().alias("sum")).collect().row(0)


def alike(one: Found, other: Found, all_ties_too: bool) -> bool:
    """Whether two engines found the same."""
    return one[0] == other[0] and (not all_ties_too or abs(one[1] - other[1]) <= 1e-9 * abs(other[1]))


def taken_in_turns(work: dict[str, Callable[[], Found]], rounds: int) -> tuple[dict[str, float], dict[str, Found]]:
    """Median seconds and what was found, of each."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    found: dict[str, Found] = {}
    for number in range(rounds + 1):
        for name, run in work.items():
            started = time.perf_counter()
            found[name] = run()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(some) for name, some in seconds.items()}, found


def compare(spark: SparkSession, shape: str, folder: Path, quotes: int, rounds: int) -> bool:
    """Print a shape's figures; whether all agree."""
    now = {"quote": 0}
    around = now | {f"at_{place}": (place - 4) * 10**9 for place in range(7)}
    if shape == "wide":
        for more in (0, WIDE):
            write(folder / str(more), quotes // 5, *SHAPES[shape], more)
        work = {str(more): lambda more=more: ours(spark, folder / str(more), now) for more in (0, WIDE)}
        seconds, found = taken_in_turns(work, rounds)
        wide, narrow = seconds[str(WIDE)], seconds["0"]
        told = f"{WIDE} more columns of trades {wide:.1f} s, none {narrow:.1f} s: {wide / narrow:.2f}"
        print(f"{shape:7} {quotes // 5:,} quotes: {told}", flush=True)
        return alike(found["0"], found[str(WIDE)], True)
    write(folder, quotes, *SHAPES[shape], 0)
    work = {
        "ours": lambda: ours(spark, folder, now),
        "offsets": lambda: ours(spark, folder, around),
        "handed": lambda: handed(spark, folder),
        "duckdb": lambda: duck(folder),
        "polars": lambda: polars_join(folder),
    }
    seconds, found = taken_in_turns(work, rounds)
    better = min(seconds["duckdb"], seconds["polars"])
    told = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    print(
        f"{shape:7} {quotes:,} quotes: {told}; ours / the better of the others {seconds['ours'] / better:.2f}",
        flush=True,
    )
    same = alike(found["ours"], found["polars"], True) and alike(found["ours"], found["duckdb"], shape != "bursts")
    return same and alike(found["ours"], found["offsets"], True)


def main() -> int:
    """Compare; the exit status says whether all engines found the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quotes", type=int, default=50_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        spark = open_session(load_settings(lake=f"{root}/lake"))
        same = [compare(spark, shape, Path(root) / shape, asked.quotes, asked.rounds) for shape in asked.shapes]
    if not all(same):
        print("The engines do not agree.")
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
