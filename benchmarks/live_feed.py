"""The live feed into Kafka: processor time an event, and how late events are handed over.

python benchmarks/live_feed.py [--rate 5000] [--seconds 30] [--symbols 500]

A process of its own sends trades and quotes, a frame every 20 ms, three quotes to a trade; a broker runs on this machine. The
figure is of the process that takes them: all of its threads, librdkafka's too.
"""

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

FRAME_SECONDS = 0.02
TRADE = {"ev": "T", "x": 4, "p": 12.845, "s": 40, "c": [12, 37], "z": 3, "trfi": 202, "ds": "40.0"}
QUOTE = {"ev": "Q", "i": [604], "bx": 15, "ax": 12, "bp": 12.83, "ap": 12.86, "bs": 80, "as": 80, "z": 3}


def serve(pipe: Connection, rate: int, symbols: int) -> None:
    """Send for as long as the process lives, from the first subscription on."""
    from websockets.asyncio.server import ServerConnection
    from websockets.asyncio.server import serve as listen
    from websockets.exceptions import ConnectionClosed

    names = [f"S{number:04}" for number in range(symbols)]
    share = max(1, round(rate * FRAME_SECONDS))

    def event(number: int, now_ms: int) -> dict[str, object]:
        kind = TRADE | {"i": str(number), "trft": now_ms} if number % 4 == 0 else QUOTE
        return kind | {"sym": names[number * 7919 % symbols], "t": now_ms, "pt": now_ms, "q": number}

    async def handle(socket: ServerConnection) -> None:
        await socket.send(json.dumps([{"ev": "status", "status": "connected", "message": "Connected Successfully"}]))
        await socket.recv()
        await socket.send(json.dumps([{"ev": "status", "status": "auth_success", "message": "authenticated"}]))
        topics = json.loads(await socket.recv())["params"].split(",")
        acks = [{"ev": "status", "status": "success", "message": f"subscribed to: {topic}"} for topic in topics]
        await socket.send(json.dumps(acks))
        number, next_at = 0, time.monotonic()
        while True:
            now_ms = time.time_ns() // 10**6
            try:
                await socket.send(json.dumps([event(number + place, now_ms) for place in range(share)]))
            except ConnectionClosed:
                return
            number += share
            next_at += FRAME_SECONDS
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))

    async def run() -> None:
        server = await listen(handle, "127.0.0.1", 0, compression=None)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.wait_closed()

    asyncio.run(run())


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--symbols", type=int, default=500)
    asked = parser.parse_args()
    from smallcaps.config import load_settings
    from smallcaps.lake import TOPICS
    from smallcaps.lake.topics import DEAD_LETTERS
    from smallcaps.sources.polygon.credentials import Key
    from smallcaps.streaming.broker import Broker
    from smallcaps.streaming.feed import ingest_live
    from smallcaps.streaming.kafka import make_topics

    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    sender = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, asked.rate, asked.symbols), daemon=True
    )
    sender.start()
    settings = load_settings()
    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder), settings.cache) as broker:
        make_topics(broker.kafka, [*((t.name, t.partitions, t.retention_hours) for t in TOPICS.values()), DEAD_LETTERS])
        vendor = settings.vendor.model_copy(update={"feed": f"ws://127.0.0.1:{ours.recv()}/stocks"})
        own = settings.model_copy(update={"vendor": vendor, "kafka": broker.kafka})
        started, used = time.monotonic(), time.process_time()
        statistics = ingest_live(own, Key("key-of-the-benchmark"), seconds=asked.seconds)
        took, used = time.monotonic() - started, time.process_time() - used
    count = statistics.messages.total()
    print(
        f"{count:,} events in {took:.1f} s: {count / took:,.0f} a second; {used / count * 1e6:.1f} µs of a core an event,"
    )
    print(
        f"{used / took:.0%} of a core; late by {statistics.lag} s, at most {statistics.longest_lag} s; {statistics.facts()}"
    )


if __name__ == "__main__":
    main()
