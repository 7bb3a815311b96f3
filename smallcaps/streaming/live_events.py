"""Alerts and signals → gold: each once (gold.event_revisions, gold.signals), and the events that stand (gold.live_events)."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from smallcaps.config import Settings
from smallcaps.lake import Run, sql_literal
from smallcaps.lake.quality import sound
from smallcaps.lake.runs import computed_once
from smallcaps.lake.topics import ALERTS, SIGNALS
from smallcaps.streaming.alerts import RETRACTED
from smallcaps.streaming.messages import read
from smallcaps.streaming.query import streaming

REVISIONS, STANDING = "gold.event_revisions", "gold.live_events"
MOST_ALERTS = 2_000


class LiveEvents:
    """Alerts and signals on their way into gold. One that comes twice, or again from the topic's beginning, changes nothing."""

    def __init__(self, run: Run, prefix: str) -> None:
        self.run, self.lake, self._prefix = run, run.lake, prefix

    def step(self, batch: DataFrame, number: int) -> None:
        """A micro-batch of the topics' rows."""
        # It has a session of its own, by whose settings its writes are signed.
        self.lake.spark = batch.sparkSession
        with computed_once(batch) as raw:
            there = {row.topic for row in raw.select("topic").distinct().collect()}
            for topic, keep in ((ALERTS, self._keep_alerts), (SIGNALS, self._keep_signals)):
                if (name := f"{self._prefix}{topic.name}") in there:
                    keep(sound(read(raw.where(F.col("topic") == name), topic)))

    def _keep_signals(self, signals: DataFrame) -> None:
        self.run.add_missing(SIGNALS.table.name, signals.select(*[column.name for column in SIGNALS.table.columns]))

    def _keep_alerts(self, said: DataFrame) -> None:
        with computed_once(said) as alerts:
            told = alerts.select("event_id", "session_date").distinct().collect()
            if not told:
                return
            self.run.add_missing(REVISIONS, alerts.select(*[column.name for column in ALERTS.table.columns]))
        days = ", ".join(f"DATE'{day}'" for day in sorted({row.session_date for row in told}))
        ids = ", ".join(sorted(sql_literal(row.event_id) for row in told))
        where = f"session_date IN ({days}) AND event_id IN ({ids})"
        self.run.replace(STANDING, standing(self.lake.read(REVISIONS).where(where)), where)


def standing(revisions: DataFrame) -> DataFrame:
    """Rows of gold.live_events: of each event the last alert, if it did not take it back."""
    latest_first = Window.partitionBy("event_id").orderBy(F.desc("revision"))
    last = revisions.withColumn("_place", F.row_number().over(latest_first)).where("_place = 1")
    return last.where(F.col("kind") != RETRACTED).drop("_place", "kind", "run_id")


@contextmanager
def keeping(run: Run, settings: Settings, trigger: str) -> Iterator[StreamingQuery]:
    """The query, which goes on until the block ends or it fails. It begins with the topics' first messages: they are few."""
    options: dict[str, str | int] = {"startingOffsets": "earliest", "maxOffsetsPerTrigger": MOST_ALERTS}
    work = LiveEvents(run, settings.kafka.prefix)
    names = [ALERTS.name, SIGNALS.name]
    with streaming(run.lake.spark, settings.kafka, "live-events", names, options, trigger, work.step) as query:
        yield query
