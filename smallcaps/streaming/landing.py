"""Kafka → bronze: every message once, whatever is killed, deleted or full on the way.

What a table has says where to go on: rows keep their topic, partition and offset, and a commit has a micro-batch's rows whole or
not at all. No checkpoint is needed, so none can be lost. Messages that cannot be taken go to ops.dead_letters and to the topic
of that name, with the reason.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from smallcaps.config import Settings
from smallcaps.errors import FailedDependency
from smallcaps.lake import RULE, Run
from smallcaps.lake.declaration import Topic
from smallcaps.lake.quality import in_words, sound
from smallcaps.lake.runs import computed_once
from smallcaps.lake.topics import BARS, DEAD_LETTERS, LULD, NEWS, QUOTES, SECTOR, TRADES
from smallcaps.log import tell
from smallcaps.streaming.kafka import Outlet, topic_ids, watermarks
from smallcaps.streaming.letters import DEAD_BYTES
from smallcaps.streaming.messages import landed, read, rules_of
from smallcaps.streaming.query import messages_of, streaming

LANDED = (BARS, SECTOR, TRADES, QUOTES, LULD, NEWS)
MOST_MESSAGES = 500_000
_DEAD = "ops.dead_letters"


class Landing:
    """Messages of some topics on their way into bronze. `landed` and `refused` count since the start."""

    def __init__(self, run: Run, settings: Settings, outlet: Outlet, topics: Sequence[Topic] = LANDED) -> None:
        self.run, self.lake, self.settings, self.outlet, self.topics = run, run.lake, settings, outlet, topics
        self.ids = topic_ids(settings.kafka, [topic.name for topic in topics])
        self.known = {topic.name: self._offsets(topic) for topic in topics}
        """The last offset that landed, by topic and partition."""
        self.landed = self.refused = 0

    def _offsets(self, topic: Topic) -> dict[int, int]:
        table = topic.table.name
        if "kafka_offset" not in topic.table.schema.names or not self.lake.exists(table):
            return {}
        of_topic = self.lake.read(table).where(F.col("kafka_topic") == self.ids[topic.name])
        rows = of_topic.groupBy("kafka_partition").agg(F.max("kafka_offset").alias("last")).collect()
        return {row.kafka_partition: row.last for row in rows}

    def starting_offsets(self) -> str:
        """Where to go on, as Spark's source wants it. Messages that the broker has deleted before they landed are told of."""
        wanted: dict[str, dict[str, int]] = {}
        for (topic, partition), (low, _) in watermarks(self.settings.kafka, [one.name for one in self.topics]).items():
            following = self.known[topic].get(partition, -1) + 1
            if following < low:
                tell(f"{low - following} messages of {topic}, partition {partition}, were deleted before they landed.")
            wanted.setdefault(f"{self.settings.kafka.prefix}{topic}", {})[str(partition)] = max(low, following)
        return json.dumps(wanted)

    def facts(self) -> dict[str, Any]:
        """How it gets on."""
        return {"landed": self.landed, "refused": self.refused}

    def step(self, batch: DataFrame, number: int) -> None:
        """A micro-batch of Kafka's rows."""
        # It has a session of its own, by whose settings its writes are signed.
        self.lake.spark = batch.sparkSession
        if topic_ids(self.settings.kafka, list(self.ids)) != self.ids:
            raise FailedDependency(
                "A topic was made anew while its messages landed. Start landing again: it begins with the new one."
            )
        with computed_once(batch) as raw:
            there = {row.topic for row in raw.select("topic").distinct().collect()}
            for topic in self.topics:
                if (name := f"{self.settings.kafka.prefix}{topic.name}") in there:
                    self._land(topic, raw.where(F.col("topic") == name))

    def _land(self, topic: Topic, raw: DataFrame) -> None:
        with computed_once(read(_after(raw, self.known[topic.name]), topic)) as judged:
            self._bury(topic, judged.where(F.col(RULE).isNotNull()))
            rows = sound(judged).select(*landed(topic, self.ids[topic.name]))
            if "kafka_offset" in rows.columns:
                last = judged.groupBy("kafka_partition").agg(F.max("kafka_offset").alias("last")).collect()
                self.landed += self.run.append(topic.table.name, rows).rows
                self.known[topic.name] |= {row.kafka_partition: row.last for row in last}
            else:
                self.landed += self.run.add_missing(topic.table.name, rows).rows

    def _bury(self, topic: Topic, refused: DataFrame) -> None:
        """Put messages that cannot be taken where they are kept."""
        reasons = {rule.name: rule.reason for rule in rules_of(topic)}
        rows = refused.select(
            F.lit(self.ids[topic.name]).alias("kafka_topic"),
            *("kafka_partition", "kafka_offset"),
            F.col("kafka_at").alias("produced_at"),
            F.col(RULE).alias("rule"),
            in_words(reasons).alias("reason"),
            *("message_key", "message"),
        )
        if self.lake.exists(_DEAD):
            # What is refused tells nothing of where to go on, so it may come again.
            there = self.lake.read(_DEAD).where(F.col("kafka_topic") == self.ids[topic.name])
            rows = rows.join(
                there.select("kafka_partition", "kafka_offset"), ["kafka_partition", "kafka_offset"], "left_anti"
            )
        found = rows.collect()
        if not found:
            return
        for row in found:
            place = {"topic": topic.name, "partition": str(row.kafka_partition), "offset": str(row.kafka_offset)}
            key = None if row.message_key is None else bytes(row.message_key)
            message = b"" if row.message is None else bytes(row.message)
            self.outlet.send(
                DEAD_LETTERS[0], key, message[:DEAD_BYTES], {**place, "rule": row.rule, "reason": row.reason}
            )
        self.outlet.flush()
        self.refused += self.run.add_missing(_DEAD, self.lake.spark.createDataFrame(found, rows.schema)).rows


def _after(raw: DataFrame, known: Mapping[int, int]) -> DataFrame:
    """The messages that have not landed yet."""
    for partition, last in known.items():
        raw = raw.where((F.col("partition") != partition) | (F.col("offset") > last))
    return raw


@contextmanager
def landing(work: Landing, trigger: str) -> Iterator[StreamingQuery]:
    """The query, which goes on until the block ends or it fails; `trigger` as `10 seconds`."""
    options: dict[str, str | int] = {"startingOffsets": work.starting_offsets(), "maxOffsetsPerTrigger": MOST_MESSAGES}
    names = [topic.name for topic in work.topics]
    stream = messages_of(work.lake.spark, work.settings.kafka, names, options)
    with streaming(stream, "landing", trigger, work.step) as query:
        yield query
