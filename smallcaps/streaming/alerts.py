"""Alerts: what the detectors say, as messages; and what an earlier process said."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import functions as F

from smallcaps.config import KafkaSettings
from smallcaps.detectors.tape import Changes, Event
from smallcaps.lake import RULE, Lake, declared
from smallcaps.lake.declaration import Topic
from smallcaps.lake.topics import ALERTS
from smallcaps.streaming.kafka import Outlet, spark_options
from smallcaps.streaming.messages import encoded, read, sound_rows

_EVENT = [column.name for column in declared("gold.events").columns]
NEW, CORRECTED, RETRACTED = "new", "corrected", "retracted"


class Alerts:
    """Alerts of one day: sent, and numbered by event.

    `evidence` of an event is what `send` is given: when the last of what it rests on happened, came, and was put into its topic.
    """

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._revisions: dict[str, int] = {}
        self.sent = {NEW: 0, CORRECTED: 0, RETRACTED: 0}

    def told(self, lake: Lake, kafka: KafkaSettings, day: date, offsets: Mapping[str, str]) -> dict[str, Event]:
        """The day's events, by id, that stand by what gold has and the topic from `offsets` (options of Spark's source) on."""
        latest = latest_told(lake, kafka, ALERTS, day, offsets, ["kind", *_EVENT, "number", "revision"])
        self._revisions |= {event_id: row["revision"] for event_id, row in latest.items()}
        return {
            event_id: {name: row[name] for name in (*_EVENT, "number")}
            for event_id, row in latest.items()
            if row["kind"] != RETRACTED
        }

    def send(self, changes: Changes, evidence: Iterable[Mapping[str, Any]], known: frozenset[str]) -> None:
        """Send what changed and wait until it has arrived. `evidence` in the order of new, corrected, retracted events;
        `known` are the symbols that the vendor lists.
        """
        kinds = ((NEW, changes.new), (CORRECTED, changes.corrected), (RETRACTED, changes.retracted))
        told = [(kind, event) for kind, events in kinds for event in events]
        for (kind, event), rests_on in zip(told, evidence, strict=True):
            revision = self._revisions.get(event["event_id"], -1) + 1
            self._revisions[event["event_id"]] = revision
            row = {
                **event,
                **rests_on,
                "kind": kind,
                "revision": revision,
                "is_known_symbol": event["symbol"] in known,
                "sent_at": datetime.now(UTC),
            }
            self._outlet.send(ALERTS.name, event["symbol"], encoded(row, ALERTS))
            self.sent[kind] += 1
        if told:
            self._outlet.flush()


def latest_told(
    lake: Lake, kafka: KafkaSettings, topic: Topic, day: date, offsets: Mapping[str, str], columns: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Of each event of the day the row with the highest revision, by what the topic's table has and the topic from `offsets`
    (options of Spark's source) on.
    """
    raw = (
        lake.spark.read.format("kafka")
        .options(**spark_options(kafka), **offsets)
        .option("subscribe", f"{kafka.prefix}{topic.name}")
        .load()
    )
    rows = sound_rows(read(raw, topic).select(RULE, *columns)).to_pylist()
    if lake.exists(topic.table.name):
        kept = lake.read(topic.table.name).where(F.col("session_date") == F.lit(day))
        rows += kept.select(*columns).toArrow().to_pylist()
    of_day = (row for row in rows if row["session_date"] == day)
    return {row["event_id"]: row for row in sorted(of_day, key=lambda row: int(row["revision"]))}
