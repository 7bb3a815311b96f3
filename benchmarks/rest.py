"""REST against the simulated vendor: requests a second, bodies a second into Delta, and whether the shared limit holds.

python benchmarks/rest.py MARKET [--requests 600] [--limit 90]

The server runs in a process of its own. 1. Our client and the vendor's official one ask for the same symbol-days of minute bars,
one after another, as fast as they can. 2. Our client's threads share one limit: 1, 2 and 8 of them. 3. Spark tasks share it by
parts: 1, 2 and 8 of them. 4. The ingest job: the same requests into bronze.bodies and bronze.bars_1m.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

KEY = "key-of-the-benchmark"


@contextlib.contextmanager
def served(market: Path) -> Iterator[str]:
    """The simulated vendor in a process of its own; gives its origin."""
    command = [sys.executable, "-m", "smallcaps.cli.app", "simulate", "serve", "--market", str(market)]
    environment = os.environ | {"POLYGON_API_KEY": KEY}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield next(line.split()[1] for line in process.stdout if line.startswith("REST"))
        finally:
            process.terminate()


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("market", type=Path)
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--limit", type=float, default=90.0)
    asked = parser.parse_args()
    from polygon import RESTClient

    from smallcaps.sources.polygon.rest import Pace, RestClient
    from smallcaps.sources.simulator.layout import read_tape, tape_days

    day = tape_days(asked.market, "minute")[-1]
    symbols = sorted(set(read_tape(asked.market, "day", day)["symbol"].to_pylist()))
    wanted = [symbols[place % len(symbols)] for place in range(asked.requests)]
    with served(asked.market) as origin:
        ours = RestClient(origin, KEY, Pace(1e6))
        official = RESTClient(KEY, base=origin)

        def ask(symbol: str) -> None:
            ours.get(
                f"/v2/aggs/ticker/{symbol}/range/1/minute/{day}/{day}",
                {"adjusted": False, "sort": "asc", "limit": 50_000},
            ).json()

        def ask_official(symbol: str) -> None:
            official.get_aggs(symbol, 1, "minute", str(day), str(day), adjusted=False, sort="asc", limit=50_000)

        rates: dict[str, float] = {}
        for _ in range(2):
            for name, work in (("official", ask_official), ("ours", ask)):
                started = time.perf_counter()
                for symbol in wanted:
                    work(symbol)
                rates[name] = max(rates.get(name, 0.0), len(wanted) / (time.perf_counter() - started))
        print(f"one after another: ours {rates['ours']:.0f}/s, official client {rates['official']:.0f}/s, "
              f"ratio {rates['ours'] / rates['official']:.2f}")  # fmt: skip
        for threads in (1, 2, 8):
            limited = RestClient(origin, KEY, Pace(asked.limit))
            started = time.perf_counter()
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda _, client=limited: client.get("/v1/marketstatus/now"), range(300)))
            print(f"limit {asked.limit:.0f}/s, {threads} threads: {300 / (time.perf_counter() - started):.1f}/s")
        on_spark(origin, asked.limit, symbols, day, asked.requests)
    return 0


def on_spark(origin: str, limit: float, symbols: list[str], day: object, requests: int) -> None:
    """Parts of the limit in Spark tasks, then the job."""
    import pyarrow as pa

    from smallcaps.config import load_settings
    from smallcaps.ingest.rest import ingest_endpoint, wanted
    from smallcaps.lake import Lake
    from smallcaps.sources.polygon.credentials import Key
    from smallcaps.sources.polygon.endpoints import ENDPOINTS
    from smallcaps.sources.polygon.rest import Pace, RestClient
    from smallcaps.spark import open_session

    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(lake=folder)
        vendor = settings.vendor.model_copy(update={"origin": origin, "requests_per_second": 1e6})
        settings = settings.model_copy(
            update={"vendor": vendor, "spark": settings.spark.model_copy(update={"master": "local[8]"})}
        )
        spark = open_session(settings)
        for tasks in (1, 2, 8):

            def ask(batches: object, parts: int = tasks) -> Iterator[pa.RecordBatch]:
                client = RestClient(origin, KEY, Pace(limit / parts))
                for batch in batches:
                    for _ in range(batch.num_rows):
                        client.get("/v1/marketstatus/now")
                    yield pa.RecordBatch.from_pydict({"count": [batch.num_rows], "at": [time.time()]})

            spark.range(tasks, numPartitions=tasks).count()
            frame = spark.range(0, 400, numPartitions=tasks)
            started = time.perf_counter()
            total = sum(row["count"] for row in frame.mapInArrow(ask, "count long, at double").collect())
            print(
                f"limit {limit:.0f}/s, {tasks} tasks: {total / (time.perf_counter() - started):.1f}/s, start included"
            )
        lake = Lake(folder, spark)
        want = wanted(day, day, symbols[:requests])
        started = time.perf_counter()
        result = ingest_endpoint(lake, settings, Key(KEY), ENDPOINTS["minute_bars"], want)
        seconds = time.perf_counter() - started
        print(
            f"ingest: {result.asked / seconds:.0f} bodies/s and {result.rows / seconds:,.0f} rows/s into Delta, all steps"
        )


if __name__ == "__main__":
    sys.exit(main())
