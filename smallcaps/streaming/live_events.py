"""Alerts and signals → gold: each once (gold.event_revisions, gold.signals), and the events that stand (gold.live_events)."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from smallcaps.config import Settings
from smallcaps.lake import Run
from smallcaps.lake.quality import sound
from smallcaps.lake.runs import computed_once
from smallcaps.lake.topics import ALERTS, SIGNALS
from smallcaps.streaming.alerts import RETRACTED
from smallcaps.streaming.messages import read
from smallcaps.streaming.query import messages_of, streaming

REVISIONS, STANDING = "gold.event_revisions", "gold.live_events"
MOST_ALERTS = 2_000
LATEST = 1_000
QUANTILES = (0.5, 0.95, 0.99)


class LiveEvents:
    """Alerts and signals on their way into gold. One that comes twice, or again from the topic's beginning, changes nothing.

    `read` counts alerts since the start.
    """

    def __init__(self, run: Run, settings: Settings) -> None:
        self.run, self.lake, self.settings = run, run.lake, settings
        self.read = 0
        self._seconds: deque[float] = deque(maxlen=LATEST)

    def facts(self) -> dict[str, Any]:
        """How it gets on; `alert_seconds`: from the evidence's way into Kafka to an event's first alert, the LATEST of them, by
        quantile; null where there was none.
        """
        seconds = [*self._seconds]
        told = {str(one): round(float(np.quantile(seconds, one)), 3) for one in QUANTILES} if seconds else None
        return {"alerts_read": self.read, "alert_seconds": told}

    def step(self, batch: DataFrame, number: int) -> None:
        """A micro-batch of the topics' rows."""
        # It has a session of its own, by whose settings its writes are signed.
        self.lake.spark = batch.sparkSession
        with computed_once(batch) as raw:
            there = {row.topic for row in raw.select("topic").distinct().collect()}
            for topic, keep in ((ALERTS, self._keep_alerts), (SIGNALS, self._keep_signals)):
                if (name := f"{self.settings.kafka.prefix}{topic.name}") in there:
                    keep(sound(read(raw.where(F.col("topic") == name), topic)))

    def _keep_signals(self, said: DataFrame) -> None:
        # Computed first: with the rules of the topic in it Spark plans the merge for minutes.
        with computed_once(said) as signals:
            self.run.add_missing(SIGNALS.table.name, signals.select(*[column.name for column in SIGNALS.table.columns]))

    def _keep_alerts(self, said: DataFrame) -> None:
        with computed_once(said) as alerts:
            waited = "(unix_micros(sent_at) - unix_micros(produced_at)) / 1e6D AS seconds"
            told = alerts.selectExpr("session_date", "revision", waited).collect()
            if not told:
                return
            self.run.add_missing(REVISIONS, alerts.select(*[column.name for column in ALERTS.table.columns]))
        # Whole days, which are partitions of some thousand rows.
        days = ", ".join(sorted({f"DATE'{row.session_date}'" for row in told}))
        where = f"session_date IN ({days})"
        self.run.replace(STANDING, standing(self.lake.read(REVISIONS).where(where)), where)
        self.read += len(told)
        self._seconds += [row.seconds for row in told if row.revision == 0]


def standing(revisions: DataFrame) -> DataFrame:
    """Rows of gold.live_events: of each event the last alert, if it did not take it back."""
    latest_first = Window.partitionBy("event_id").orderBy(F.desc("revision"))
    last = revisions.withColumn("_place", F.row_number().over(latest_first)).where("_place = 1")
    return last.where(F.col("kind") != RETRACTED).drop("_place", "kind", "run_id")


@contextmanager
def keeping(work: LiveEvents, trigger: str) -> Iterator[StreamingQuery]:
    """The query, which goes on until the block ends or it fails. It begins with the topics' first messages: they are few."""
    options: dict[str, str | int] = {"startingOffsets": "earliest", "maxOffsetsPerTrigger": MOST_ALERTS}
    names = [ALERTS.name, SIGNALS.name]
    stream = messages_of(work.lake.spark, work.settings.kafka, names, options)
    with streaming(stream, "live-events", trigger, work.step) as query:
        yield query
