"""Trades and quotes, csv.gz → bronze: ours against DuckDB and Polars doing the same reading, filtering and Parquet writing.

python benchmarks/flatfiles.py MARKET [--symbols 200] [--rounds 3] [--times 1]

MARKET is a simulated market (`smallcaps simulate build`); its last day of ticks is used, `--times` over. Each competitor runs
in a process of its own on two cores, with the same files and the same list of symbols, alternating; the figure is the best of
the rounds. Ours does more: it keeps the raw file with its checksum, judges every row, and commits to Delta. At the end, the
resident memory of ours on a file and on one four times as large.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import psutil

KINDS = ("trades_v1", "quotes_v1")
CORES = 2
NUMBERS = {
    "trades_v1": {"price": "DECIMAL(18,6)", "size": "DECIMAL(20,6)"},
    "quotes_v1": dict.fromkeys(("bid_price", "ask_price", "bid_size", "ask_size"), "DECIMAL(18,6)"),
}
WHOLE = (
    "exchange",
    "sip_timestamp",
    "participant_timestamp",
    "sequence_number",
    "tape",
    "bid_exchange",
    "ask_exchange",
)


def place(market: Path, kind: str, day: date) -> Path:
    """Where a flat file lies under a root."""
    return market / "us_stocks_sip" / kind / f"{day:%Y/%m}" / f"{day}.csv.gz"


def ours(root: Path, day: date, symbols: list[str], out: Path) -> dict[str, int]:
    """The product's own job, session start left out."""
    from smallcaps.config import load_settings
    from smallcaps.ingest.flatfiles import ingest_flatfiles
    from smallcaps.lake import Lake
    from smallcaps.sources.polygon.bucket import Folder
    from smallcaps.spark import open_session

    settings = load_settings(lake=str(out))
    lake = Lake(settings.lake, open_session(settings))
    lake.spark.range(10).count()
    started = time.perf_counter()
    result = ingest_flatfiles(lake, settings, Folder(str(root)), KINDS, day, day, symbols)
    return {"seconds": time.perf_counter() - started, **result.rows}


def duckdb(root: Path, day: date, symbols: list[str], out: Path) -> dict[str, int]:
    """DuckDB: read_csv, filter, types, COPY to Parquet."""
    import duckdb as engine

    from smallcaps.sources.polygon.flatfiles import HEADERS

    connection = engine.connect()
    connection.execute(f"SET threads={CORES}")
    connection.execute("CREATE TABLE wanted AS SELECT unnest(?) AS ticker", [symbols])
    rows, started = {}, time.perf_counter()
    for kind in KINDS:
        columns = dict.fromkeys(HEADERS[kind], "VARCHAR")
        typed = [
            f"CAST({name} AS {NUMBERS[kind].get(name, 'BIGINT' if name in WHOLE else 'VARCHAR')}) AS {name}"
            for name in HEADERS[kind]
        ]
        connection.execute(
            f"COPY (SELECT {', '.join(typed)} FROM read_csv('{place(root, kind, day)}', header=true, columns={columns}, "
            f"nullstr='\\N') WHERE ticker IN (SELECT ticker FROM wanted)) TO '{out}/{kind}.parquet' (FORMAT parquet, "
            "COMPRESSION snappy)"
        )
        rows[kind] = connection.execute(f"SELECT count(*) FROM '{out}/{kind}.parquet'").fetchone()[0]
    return {"seconds": time.perf_counter() - started, **rows}


def polars(root: Path, day: date, symbols: list[str], out: Path) -> dict[str, int]:
    """Polars: scan_csv, filter, types, sink to Parquet."""
    import polars as engine

    from smallcaps.sources.polygon.flatfiles import HEADERS

    rows, started = {}, time.perf_counter()
    for kind in KINDS:
        types = {
            name: engine.Decimal(20, 6) if name in NUMBERS[kind] else engine.Int64 if name in WHOLE else engine.String
            for name in HEADERS[kind]
        }
        frame = engine.scan_csv(place(root, kind, day), schema=dict.fromkeys(HEADERS[kind], engine.String))
        frame = frame.filter(engine.col("ticker").is_in(symbols)).with_columns(
            [engine.col(name).cast(kind_of) for name, kind_of in types.items() if kind_of != engine.String]
        )
        frame.sink_parquet(out / f"{kind}.parquet", compression="snappy")
        rows[kind] = engine.scan_parquet(out / f"{kind}.parquet").select(engine.len()).collect().item()
    return {"seconds": time.perf_counter() - started, **rows}


def alone(work: Callable[..., dict[str, int]], *arguments: object) -> tuple[dict[str, int], int]:
    """`work` in a process of its own; returns what it says, and the most resident memory of it and all below it."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, work, arguments))
    process.start()
    peak, done = [0], threading.Event()

    def watch() -> None:
        root = psutil.Process(process.pid)
        while not done.wait(0.2):
            try:
                family = [root, *root.children(recursive=True)]
                # The JVM takes the heap it was given; what grows with a file are the Python workers.
                resident = sum(one.memory_info().rss for one in family if "java" not in one.name())
                peak[0] = max(peak[0], resident)
            except psutil.NoSuchProcess:
                continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    said = receiver.recv()
    process.join()
    done.set()
    watcher.join()
    return said, peak[0]


def _send(sender: object, work: Callable[..., dict[str, int]], arguments: tuple[object, ...]) -> None:
    os.environ["POLARS_MAX_THREADS"] = str(CORES)
    sender.send(work(*arguments))


def larger(root: Path, day: date, times: int, folder: Path) -> Path:
    """A root whose files hold the day's rows `times` times: gzip members one after another."""
    for kind in KINDS:
        source, target = place(root, kind, day), place(folder, kind, day)
        target.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(source) as file:
            file.readline()
            body = gzip.compress(file.read(), 5)
        with target.open("wb") as file:
            file.write(source.read_bytes())
            for _ in range(times - 1):
                file.write(body)
    return folder


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("market", type=Path)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", type=int, default=1)
    asked = parser.parse_args()
    from smallcaps.sources.simulator.layout import read_records, read_tape, tape_days

    day = tape_days(asked.market, "trades")[-1]
    listed = sorted(record["symbol"] for record in read_records(asked.market / "truth" / "securities.jsonl"))
    symbols = listed[: asked.symbols]
    total = asked.times * sum(read_tape(asked.market, kind.removesuffix("_v1"), day).num_rows for kind in KINDS)
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = larger(asked.market, day, asked.times, Path(folder))
        size = sum(place(root, kind, day).stat().st_size for kind in KINDS)
        print(f"{day}: {total:,} rows in {size / 1e6:,.1f} MB of gzip, {len(symbols)} of {len(listed)} symbols")
        for _ in range(asked.rounds):
            for work in (ours, duckdb, polars):
                with tempfile.TemporaryDirectory() as out:
                    said, _ = alone(work, root, day, symbols, Path(out))
                print(f"  {work.__name__:7s} {json.dumps(said)}", flush=True)
                best[work.__name__] = min(best.get(work.__name__, 1e9), said["seconds"])
    for name, seconds in best.items():
        print(f"{name:7s} {seconds:7.2f} s  {total / seconds / 1e6:6.2f} M rows/s")
    rival = min(best["duckdb"], best["polars"])
    print(f"ours / better rival: {best['ours'] / rival:.2f}")
    peaks = {}
    for times in (1, 4):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as out:
            root = larger(asked.market, day, times, Path(folder))
            _, peaks[times] = alone(ours, root, day, symbols, Path(out))
        print(f"resident memory of the Python side, file × {times}: {peaks[times] / 1e6:,.0f} MB")
    print(f"growth for a file four times as large: {peaks[4] / peaks[1]:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
