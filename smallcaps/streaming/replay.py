"""A day of the lake played into the topics: what was published, in the order in which it was, as fast as one likes.

Bars are silver's, whatever they were made of, trades, quotes and bands bronze's. A message says `received_at` the instant of its
publication; that of its way into Kafka is the message's own time.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from pathlib import Path
from threading import Event

import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake
from smallcaps.lake.declaration import Topic
from smallcaps.lake.topics import BARS, LULD, QUOTES, TRADES
from smallcaps.streaming.kafka import Outlet
from smallcaps.streaming.messages import written

MINUTE_NS = 60_000_000_000
ROWS_AT_ONCE = 5_000
TELL_SECONDS = 2.0
REPLAYED = (BARS, TRADES, QUOTES, LULD)


@dataclass(frozen=True)
class Disorder:
    """What goes wrong on the way: shares of messages that come late (by up to `lateness_seconds` of the day), twice or never,
    and of bars that come wrong first and right as late as late ones do. Told by `seed`.
    """

    late: float = 0
    doubled: float = 0
    dropped: float = 0
    revised: float = 0
    lateness_seconds: float = 30
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("late", "doubled", "dropped", "revised"):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise BadInput(f"--{name} {share:g} is no share from 0 to 1.")
        if self.lateness_seconds < 0:
            raise BadInput(f"--lateness {self.lateness_seconds:g} s is no time.")

    def applied(self, rows: DataFrame) -> DataFrame:
        """Rows with `at_ns` as they come."""
        luck = {
            name: F.rand(self.seed + place)
            for place, name in enumerate(("_late", "_doubled", "_dropped", "_revised", "_by"))
        }
        by = F.expr(f"cast(_by * {int(self.lateness_seconds * 1e9)}L AS bigint)")
        drawn = rows.withColumns(luck).where(F.col("_dropped") >= self.dropped)
        revised = F.col("_revised") < self.revised if "volume" in rows.columns else F.lit(False)
        late = F.when((F.col("_late") < self.late) | revised, F.col("at_ns") + by).otherwise(F.col("at_ns"))
        there = drawn.withColumn("at_ns", late)
        again = there.where(F.col("_doubled") < self.doubled).withColumn("at_ns", F.col("at_ns") + by)
        parts = [there, again]
        if "volume" in rows.columns:
            parts.append(drawn.where(revised).withColumn("volume", F.expr("cast(2 * volume AS decimal(20,6))")))
        return reduce(DataFrame.unionByName, parts).select(*rows.columns)


def published(lake: Lake, settings: Settings, topic: Topic, day: date) -> DataFrame:
    """Rows of the topic's columns of a day, with `at_ns`, when they were published. Raises BadInput where the lake has none."""
    rows = lake.read(_table(topic)).where(F.col("session_date") == F.lit(day))
    if topic is BARS:
        delay = settings.publication_delay_seconds * 1_000_000_000
        identity = "sha2(concat_ws('|', 'silver.bars_1m', symbol, unix_micros(ts)), 256)"
        start = "unix_micros(ts) * 1000L"
        rows = rows.withColumns(
            {
                "window_start_ns": F.expr(start),
                "event_ns": F.expr(f"{start} + {MINUTE_NS}L"),
                "at_ns": F.expr(f"{start} + {MINUTE_NS + delay}L"),
                "source_sha256": F.expr(identity),
                "source_line": F.lit(1).cast("bigint"),
            }
        )
    else:
        rows = rows.withColumns({"event_ns": F.col("sip_ns"), "at_ns": F.col("sip_ns")})
    known = {column.name: column.type for column in topic.columns}
    values = [F.col(name).cast(known[name]).alias(name) for name in known if name in rows.columns]
    return rows.select(*values, "at_ns")


def _table(topic: Topic) -> str:
    return "silver.bars_1m" if topic is BARS else topic.table.name


def replay(
    lake: Lake,
    settings: Settings,
    outlet: Outlet,
    day: date,
    speed: float | None,
    topics: Sequence[Topic] = REPLAYED,
    disorder: Disorder | None = None,
    symbols: Sequence[str] | None = None,
    told: Callable[[int, int], None] = lambda sent, total: None,
    stopping: Event | None = None,
) -> dict[str, int]:
    """Play the day, until `stopping` is set; returns the messages sent by topic.

    `speed` times as fast as it was; None: as fast as it goes.
    `told` is called with messages sent and their total. Raises BadInput where the lake has none of the day.
    """
    if speed is not None and speed <= 0:
        raise BadInput(f"--speed {speed:g} is no speed.")
    parts = []
    for topic in topics:
        if lake.exists(_table(topic)):
            rows = published(lake, settings, topic, day)
            if symbols is not None:
                rows = rows.where(F.col("symbol").isin(*symbols))
            rows = (disorder or Disorder()).applied(rows)
            rows = rows.withColumns(
                {"received_at": F.expr("timestamp_micros(at_ns div 1000)"), "schema_version": F.lit(topic.version)}
            )
            order = "sequence_number" if "sequence_number" in rows.columns else "window_start_ns"
            spelled = written(rows.withColumn("_order", F.col(order)), topic)
            parts.append(spelled.select(F.lit(topic.name).alias("topic"), "key", "value", "at_ns", "_order"))
    with tempfile.TemporaryDirectory(prefix="replay-") as scratch:
        whole = Path(scratch) / "day"
        if parts:
            together = reduce(DataFrame.unionByName, parts)
            together.orderBy("at_ns", "_order").drop("_order").write.parquet(str(whole))
        files = sorted(whole.glob("*.parquet"))
        total = sum(pq.ParquetFile(file).metadata.num_rows for file in files)
        if not total:
            raise BadInput(f"The lake has nothing of {day} to replay ({', '.join(topic.name for topic in topics)}).")
        return _played(files, outlet, speed, total, told, stopping or Event())


def _played(
    files: Sequence[Path],
    outlet: Outlet,
    speed: float | None,
    total: int,
    told: Callable[[int, int], None],
    stopping: Event,
) -> dict[str, int]:
    sent: dict[str, int] = {}
    began: tuple[int, float] | None = None
    told_at = 0.0
    for topic, key, value, at_ns in _messages(files):
        if speed is not None:
            first, started = began = began or (at_ns, time.monotonic())
            due = started + (at_ns - first) / 1e9 / speed
            while (wait := due - time.monotonic()) > 0 and not stopping.is_set():
                outlet.look()
                time.sleep(min(wait, 0.05))
        if stopping.is_set():
            break
        outlet.send(topic, key, value.encode())
        sent[topic] = sent.get(topic, 0) + 1
        if time.monotonic() - told_at > TELL_SECONDS:
            told_at = time.monotonic()
            told(sum(sent.values()), total)
    outlet.flush()
    told(sum(sent.values()), total)
    return sent


def _messages(files: Sequence[Path]) -> Iterator[tuple[str, str, str, int]]:
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(ROWS_AT_ONCE, columns=["topic", "key", "value", "at_ns"]):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
