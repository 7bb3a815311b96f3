"""How long after its evidence an alert is in its topic: minute bars and a tape at a given rate, broker and producer beside.

python benchmarks/live_latency.py [--symbols 2000] [--rates 5000] [--seconds 180] [--warm-minutes 70] [--rivals]
python benchmarks/live_latency.py --seconds 600 --burst 10

Bars of every symbol come together each minute, trades (a fifth) and quotes all the time; one bar and one trade in a thousand
begin a burst of volume or of trades. An hour of bars and a third of a minute of the tape come first and are not counted. Messages
are stamped as of a past session; measured is the time from the evidence's way into Kafka to the alert's, by the clocks of both,
beside it the length of micro-batches and how long detection took to catch up at the end.

With --burst so many times as many messages come for --burst-seconds, after a third of the time. Told, too: the most messages that
were unread, how many were at the end, and the memory of detection's processes when it had warmed up, at most, and at the end.

With --rivals the same load is given to plain Structured Streaming, which computes the day of each name that has news anew (no
seeds, nothing forgotten), and one message after the other to a consumer that runs the same declaration over its name's day: that
one is timed over some bars, since it would not keep up.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import psutil
from confluent_kafka import Consumer, TopicPartition
from footprint import resident_bytes
from pyspark.sql import functions as F
from pyspark.sql.streaming.listener import StreamingQueryProgress

from smallcaps.config import KafkaSettings, Settings, load_settings
from smallcaps.detectors.detect import events
from smallcaps.lake import TOPICS, Lake
from smallcaps.lake.quality import sound
from smallcaps.lake.topics import DEAD_LETTERS
from smallcaps.refine.bars import judged_vendor_minutes
from smallcaps.spark import open_session
from smallcaps.streaming.broker import Broker
from smallcaps.streaming.detection import Detection, day_began, detecting, load_day, named
from smallcaps.streaming.kafka import Outlet, client_options, make_topics, partitions_of, watermarks
from smallcaps.streaming.messages import read

DAY = date(2026, 10, 30)
OPEN_NS = int(datetime(2026, 10, 30, 13, 30, tzinfo=UTC).timestamp()) * 10**9
MINUTE_NS = 60 * 10**9
PARTS = ("latestOffset", "walCommit", "queryPlanning", "addBatch", "commitOffsets")
"""Of a micro-batch, as Spark names them; detection is in addBatch."""
TRADES_OF = 5
"""One of so many messages of the tape is a trade."""
SOURCE = f'"session_date":"{DAY}","schema_version":1,"source_sha256":"{"0" * 64}","source_line":1'


def stamp(ns: int) -> str:
    return datetime.fromtimestamp(ns // 1000 / 1e6, UTC).isoformat(timespec="microseconds")


class Producer:
    """Makes the messages."""

    def __init__(self, outlet: Outlet, symbols: int) -> None:
        self.outlet, self.names, self.luck = outlet, [f"S{number:04d}" for number in range(symbols)], random.Random(1)
        self.prices = dict.fromkeys(self.names, 5.0)
        self.sequence = 0
        self.bursting: list[tuple[str, int]] = []

    def bars(self, minute: int) -> None:
        """A bar of every symbol, of the minute that is over."""
        start = OPEN_NS + minute * MINUTE_NS
        for name in self.names:
            move = self.luck.gauss(0, 0.004)
            loud = self.luck.random() < 0.001
            self.prices[name] = price = min(15.0, max(1.5, self.prices[name] * (1 + move)))
            volume = self.luck.randint(500, 3000) * (60 if loud else 1)
            self.outlet.send(
                "bars",
                name,
                f'{{"event_ns":{start + MINUTE_NS},"received_at":"{stamp(start + MINUTE_NS)}","symbol":"{name}",'
                f'"window_start_ns":{start},"open":{price:.4f},"high":{price * 1.002:.4f},"low":{price * 0.998:.4f},'
                f'"close":{price:.4f},"volume":{volume},{SOURCE}}}'.encode(),
            )

    def tick(self, at_ns: int) -> None:
        """A trade or a quote of some symbol."""
        self.sequence += 1
        name = self.luck.choice(self.names)
        if self.sequence % TRADES_OF:
            body = (
                f'"bid_price":{self.prices[name] - 0.01:.2f},"bid_size":100,"ask_price":{self.prices[name]:.2f},"ask_size":100,'
                '"conditions":[],"indicators":[]'
            )
            self._send("quotes", name, at_ns, body)
            return
        if self.luck.random() < 0.001:
            self.bursting.append((name, 30))
        if self.bursting:
            name, left = self.bursting.pop()
            if left > 1:
                self.bursting.append((name, left - 1))
        body = f'"trade_id":"{self.sequence}","exchange":12,"price":{self.prices[name]:.2f},"size":100,"conditions":[]'
        self._send("trades", name, at_ns, body)

    def _send(self, topic: str, name: str, at_ns: int, body: str) -> None:
        said = (
            f'{{"event_ns":{at_ns},"received_at":"{stamp(at_ns)}","symbol":"{name}","sip_ns":{at_ns},"participant_ns":{at_ns},'
            f'"sequence_number":{self.sequence},{body},{SOURCE}}}'
        )
        self.outlet.send(topic, name, said.encode())


def produce(kafka: KafkaSettings, arguments: argparse.Namespace) -> None:
    """Warm up, say so, wait for a line, then keep the rate, and in a burst `burst` times it."""
    (rate,), seconds, warm_minutes = arguments.rates, arguments.seconds, arguments.warm_minutes
    with Outlet(kafka) as outlet:
        producer = Producer(outlet, arguments.symbols)
        for minute in range(warm_minutes):
            producer.bars(minute)
        begin = OPEN_NS + warm_minutes * MINUTE_NS
        for number in range(20 * rate):
            producer.tick(begin - 20 * 10**9 + number * 10**9 // rate)
        outlet.flush()
        print("warm", flush=True)
        sys.stdin.readline()
        started, done, minutes = time.monotonic(), 0, 0
        while (elapsed := time.monotonic() - started) < seconds:
            bursting = min(max(elapsed - seconds / 3, 0), arguments.burst_seconds)
            while done < (elapsed + (arguments.burst - 1) * bursting) * rate:
                producer.tick(begin + int(elapsed * 1e9))
                done += 1
            if elapsed >= 60 * minutes + 5:
                producer.bars(warm_minutes + minutes)
                minutes += 1
            outlet.look()
            time.sleep(0.005)
        print(f"sent {done / (time.monotonic() - started):.0f} a second", flush=True)


def prepare(lake: Lake, symbols: int) -> None:
    """What is to be expected of the symbols, and who they are."""
    spark = lake.spark
    names = spark.range(symbols).selectExpr("format_string('S%04d', id) AS symbol")
    lake.replace(
        "silver.securities",
        names.selectExpr(
            "symbol",
            "concat('X:', symbol) AS security_id",
            "DATE'2020-01-01' AS valid_from",
            "cast(NULL AS date) AS valid_to",
            *(
                f"cast(NULL AS {field.dataType.simpleString()}) AS {field.name}"
                for field in lake.empty("silver.securities").schema
                if field.name
                not in ("symbol", "security_id", "valid_from", "valid_to", "run_id", "identity_source", "first_seen")
            ),
            "'figi' AS identity_source",
            "DATE'2020-01-01' AS first_seen",
        ),
        None,
        "benchmark",
    )
    lake.replace(
        "silver.baselines",
        names.selectExpr(
            "concat('X:', symbol) AS security_id",
            "symbol",
            f"DATE'{DAY}' AS session_date",
            f"TIMESTAMP'{DAY} 08:00:00' AS known_at",
            "20 AS bars",
            "20 AS counted_bars",
            "700000D AS median_volume",
            "2000D AS median_trades",
        ),
        None,
        "benchmark",
    )


def alerts(kafka: KafkaSettings) -> list[tuple[str, float, float]]:
    """Of first alerts the grain, the seconds from the evidence's way into Kafka to the alert's, and when the former was."""
    consumer = Consumer(client_options(kafka) | {"group.id": "benchmark"})
    ends = watermarks(kafka, ["alerts"])
    consumer.assign([TopicPartition("alerts", partition, 0) for partition in partitions_of(kafka, "alerts")])
    found = []
    for message in consumer.consume(sum(high for _, high in ends.values()), timeout=30):
        said = json.loads(message.value())
        if said["revision"] == 0:
            produced = datetime.fromisoformat(said["produced_at"]).timestamp()
            found.append((said["grain"], message.timestamp()[1] / 1000 - produced, produced))
    consumer.close()
    return found


def behind(kafka: KafkaSettings, progress: StreamingQueryProgress) -> int:
    """Messages that a query has not read by its progress."""
    sources = json.loads(progress.json)["sources"]
    read = {topic: of_topic for source in sources for topic, of_topic in source["endOffset"].items()}
    high = watermarks(kafka, list(read))
    return sum(last - read[topic][str(partition)] for (topic, partition), (_, last) in high.items())


def recomputing(detection: Detection) -> None:
    """Have a detection compute the day of every key that changes: no seeds, nothing forgotten."""
    for tape in detection.tapes.values():
        tape.seed = lambda spare=0: None  # type: ignore[method-assign]
        tape.forget = lambda: None  # type: ignore[method-assign]


def one_by_one(lake: Lake, settings: Settings, kafka: KafkaSettings, count: int) -> float:
    """Seconds a bar takes a consumer that runs the minute detectors over the name's day for each message."""
    context, topic = load_day(lake, DAY), TOPICS["bars"]
    consumer = Consumer(client_options(kafka) | {"group.id": "one-by-one"})
    consumer.assign([TopicPartition("bars", partition, 0) for partition in partitions_of(kafka, "bars")])
    ends = watermarks(kafka, ["bars"])
    days: dict[bytes, list[tuple[object, ...]]] = {}
    messages = consumer.consume(sum(high for _, high in ends.values()), timeout=60)
    consumer.close()
    began, found = 0.0, 0
    for place, message in enumerate(messages):
        rows = days.setdefault(message.key(), [])
        rows.append((message.key(), message.value(), message.partition(), message.offset(), datetime.now(UTC)))
        if place == len(messages) - count:
            # What Spark compiles for the first one is not counted.
            began = time.perf_counter()
        if place >= len(messages) - count - 1:
            schema = "key binary, value binary, partition int, offset bigint, timestamp timestamp"
            said = sound(read(lake.spark.createDataFrame(rows, schema), topic))
            marked = said.withColumns({"source_sha256": F.lit(""), "source_line": F.col("kafka_offset")})
            bars = named(sound(judged_vendor_minutes(marked, context.calendar)), context.securities)
            found += len(events(bars, settings, "minute", context.expected).collect())
    return (time.perf_counter() - began) / count


@dataclass(frozen=True)
class Load:
    """What was seen while messages came, by micro-batch: its parts' milliseconds, messages that were unread after it, bytes of
    memory, rows that were kept of each grain. `alerts` are pairs of a grain and seconds.
    """

    sent: str
    parts: list[Mapping[str, int]]
    unread: list[int]
    memory: list[int]
    kept: list[dict[str, int]]
    seconds_behind: float
    alerts: list[tuple[str, float]]

    def show(self) -> None:
        """Print it."""
        lengths = [one["triggerExecution"] / 1000 for one in self.parts]
        medians = {name: statistics.median(one.get(name, 0) for one in self.parts) for name in PARTS}
        print(
            f"{self.sent}: micro-batches {statistics.median(lengths):.2f} s "
            f"({', '.join(f'{name} {ms / 1000:.2f}' for name, ms in medians.items())}), "
            f"at most {max(lengths):.2f} s; caught up {self.seconds_behind:.1f} s after the end\n"
            f"  unread after a micro-batch {max(self.unread):,} at most, {self.unread[-1]:,} at the end; "
            f"memory {' / '.join(f'{one / 1e9:.2f}' for one in (self.memory[0], max(self.memory), self.memory[-1]))} GB; "
            f"rows kept {self.kept[-1]}",
            flush=True,
        )
        for grain in ("minute", "trade"):
            seconds = [one for name, one in self.alerts if name == grain]
            if seconds:
                p50, p99 = np.quantile(seconds, [0.5, 0.99])
                print(
                    f"  {grain}: {len(seconds)} alerts, p50 {p50:.2f} s, p99 {p99:.2f} s, at most {max(seconds):.2f} s",
                    flush=True,
                )


def measure(
    settings: Settings, lake: Lake, broker: Broker, arguments: argparse.Namespace, rate: int, rival: bool = False
) -> Load:
    """One rate, on a broker of its own."""
    settings = settings.model_copy(update={"kafka": broker.kafka})
    make_topics(broker.kafka, [(topic.name, 4, 48) for topic in TOPICS.values()] + [DEAD_LETTERS])
    told = ("symbols", "seconds", "warm_minutes", "burst", "burst_seconds")
    options = [f"--{name.replace('_', '-')}={getattr(arguments, name)}" for name in told]
    producer = subprocess.Popen(
        [sys.executable, __file__, f"--produce={broker.address}", f"--rates={rate}", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert producer.stdout is not None
    assert producer.stdin is not None
    assert producer.stdout.readline() == "warm\n"
    with Outlet(settings.kafka, linger_ms=0) as outlet:
        detection = Detection(lake, settings, DAY, arguments.grains.split(","), outlet)
        if rival:
            recomputing(detection)
        with detecting(detection, "0 seconds", day_began(None)) as query:
            query.processAllAvailable()
            began = time.time()
            producer.stdin.write("go\n")
            producer.stdin.flush()
            others = [psutil.Process(broker.pid), psutil.Process(producer.pid)]
            last, parts, unread, memory, kept = -1, [], [], [], []
            while producer.poll() is None:
                time.sleep(0.2)
                progress = query.lastProgress
                if progress and progress["batchId"] != last and progress["numInputRows"]:
                    last = progress["batchId"]
                    parts.append(progress["durationMs"])
                    unread.append(behind(settings.kafka, progress))
                    memory.append(resident_bytes(psutil.Process()) - sum(map(resident_bytes, others)))
                    kept.append({grain: len(tape.rows) for grain, tape in detection.tapes.items()})
            ended = time.time()
            query.processAllAvailable()
            seconds_behind = time.time() - ended
    counted = [(grain, seconds) for grain, seconds, at in alerts(broker.kafka) if at >= began]
    sent = f"{rate:,} a second, {arguments.symbols:,} bars a minute ({producer.stdout.read().strip()})"
    return Load(sent, parts, unread, memory, kept, seconds_behind, counted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=2_000)
    parser.add_argument("--rates", type=int, nargs="+", default=[5_000])
    parser.add_argument("--seconds", type=int, default=180)
    parser.add_argument("--warm-minutes", type=int, default=70)
    parser.add_argument("--burst", type=float, default=1.0)
    parser.add_argument("--burst-seconds", type=int, default=60)
    parser.add_argument("--grains", default="minute,trade")
    parser.add_argument("--rivals", action="store_true")
    parser.add_argument("--produce", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.produce:
        kafka = load_settings().kafka.model_copy(update={"servers": arguments.produce})
        produce(kafka, arguments)
        return
    with tempfile.TemporaryDirectory() as root:
        settings = load_settings(lake=f"{root}/lake")
        lake = Lake(settings.lake, open_session(settings, "latency"))
        prepare(lake, arguments.symbols)
        for rate in arguments.rates:
            with Broker(Path(root) / f"broker-{rate}", settings.cache) as broker:
                measure(settings, lake, broker, arguments, rate).show()
            if not arguments.rivals:
                continue
            print("computing each name's day anew:", flush=True)
            with Broker(Path(root) / f"broker-{rate}-rival", settings.cache) as broker:
                measure(settings, lake, broker, arguments, rate, rival=True).show()
                seconds = one_by_one(lake, settings, broker.kafka, 10)
            needed = arguments.symbols / 60
            print(f"one message after the other: {seconds:.2f} s a bar, where {needed:.0f} come a second", flush=True)


if __name__ == "__main__":
    main()
