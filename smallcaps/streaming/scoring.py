"""Scoring on the live tape: alerts → what the registered model expects of them, into the topic of signals.

An alert is scored when all that was published before it has been read: microstructure, company and market are then looked up by
the functions that make training sets, and the model gives its probabilities. The log is the state, as for detection: a process
that starts reads the day from its first message, scores what has no signal yet when it comes by, and leaves the rest.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.streaming.query import StreamingQuery
from pyspark.sql.types import StructType

from smallcaps.config import Settings
from smallcaps.lake import RULE, Lake, between, declared
from smallcaps.lake.topics import ALERTS, LULD, QUOTES, SIGNALS, TRADES
from smallcaps.microstructure.features import CONTEXT, event_features
from smallcaps.microstructure.job import Around
from smallcaps.microstructure.sequences import event_sequences
from smallcaps.microstructure.windows import NANOSECONDS
from smallcaps.models.champion import FOLLOWED, Champion
from smallcaps.models.frozen import INPUT_TABLES, event_inputs
from smallcaps.models.scoring import matrix
from smallcaps.refine.labels import calendar_frame
from smallcaps.streaming.alerts import RETRACTED, latest_told
from smallcaps.streaming.detection import load_day, since_ms
from smallcaps.streaming.halted import IS_DARK, WORD, Halts, with_light
from smallcaps.streaming.kafka import Outlet, Place, unread
from smallcaps.streaming.messages import columns_of, encoded, of_day, read, said_in, together
from smallcaps.streaming.query import messages_of, streaming
from smallcaps.streaming.surroundings import Surroundings, kept_of

_TAPE = (TRADES.name, QUOTES.name)
CONTEXT_SECONDS = 600.0
"""After which company and market are looked up in the lake again."""
BEHIND_SECONDS = 180.0
"""By so much detection may be behind scoring; quotes are kept for longer by as much."""
MOST_MESSAGES = 100_000
"""Of a topic in a micro-batch."""
MOST_AT_ONCE = 200
"""Alerts of a step."""
HISTORY_DAYS = 30
"""In which an event is looked for to warm up with."""
MADE_UP = {"sequence_number": 1, "conditions": [], "price": Decimal(1), "size": Decimal(100)} | {
    f"{side}_{name}": Decimal(1) for side in ("bid", "ask") for name in ("price", "size")
}
_MADE_HERE = ("gold.event_features", "gold.event_sequences")
_EVENT = [column.name for column in declared("gold.events").columns]
_ALERT = ["kind", "revision", "event_ns", "received_at", "sent_at", *_EVENT]
Alert = dict[str, Any]


class Scoring:
    """The model of some grains over the alerts of one day."""

    def __init__(self, lake: Lake, settings: Settings, day: date, champion: Champion, outlet: Outlet) -> None:
        self.lake, self.spark, self.settings, self.champion, self.outlet = lake, lake.spark, settings, champion, outlet
        self.day = load_day(lake, day)
        self.around = Surroundings(lake.spark, settings.microstructure, self.day)
        self.halts = Halts(lake.spark, day, self.day.calendar)
        self.scored = self.signals = self.not_whole = 0
        self.seconds: float | None = None
        self._waiting: dict[str, Alert] = {}
        self._told: dict[str, int] = {}
        self._ends: dict[Place, int] = {}
        self._since: int | None = None
        self._read: dict[Place, int] = {}
        self._reached: dict[Place, int] = {}
        self._passed: deque[tuple[float, int]] = deque()
        self._context = self._look_up()
        self._looked_up_at = time.monotonic()

    def resume(self, offsets: Mapping[str, str]) -> None:
        """Take up which alerts have their signals, and wait for the moments of the others."""
        kafka, day = self.settings.kafka, self.day.day
        self._since = since_ms(offsets)
        self._ends = unread(kafka, _TAPE, self._since, {})
        told = latest_told(self.lake, kafka, SIGNALS, day, offsets, ["event_id", "session_date", "revision"])
        self._told = {event_id: row["revision"] for event_id, row in told.items()}
        for alert in latest_told(self.lake, kafka, ALERTS, day, offsets, _ALERT).values():
            self._hear(alert)

    def warm_up(self) -> None:
        """Look an event of history up, with a trade and a quote that are made up: what Spark compiles to do so, the first alert
        would wait for.
        """
        before = [self.day.day - timedelta(days=days) for days in (HISTORY_DAYS, 1)]
        grains = F.col("grain").isin(*self.champion.definition.grains)
        events = self._rows("gold.events").where(between("session_date", *before)).where(grains).select(_EVENT)
        for event in events.limit(1).toArrow().to_pylist():
            day, at = event["session_date"], _known_ns(event) - NANOSECONDS
            past = replace(self.day, day=day, calendar=calendar_frame(self.spark, day, day))
            around = Surroundings(self.spark, self.settings.microstructure, past)
            when = {"sip_ns": at, "participant_ns": at, "symbol": event["symbol"], "session_date": day}
            for topic in (TRADES, QUOTES):
                row = pa.Table.from_pylist([when | MADE_UP], to_arrow_schema(kept_of(topic)))
                around.take(topic, row)
            self._inputs(self._around([event], around))

    def facts(self) -> dict[str, Any]:
        """How it gets on."""
        return {
            "day": self.day.day.isoformat(),
            "model": self.champion.model.name,
            "scored": self.scored,
            "signals": self.signals,
            "not_whole": self.not_whole,
            "waiting": len(self._waiting),
            "seconds": self.seconds,
            "catching_up": bool(self._ends),
            **self.around.counts(),
        }

    def messages(self, options: Mapping[str, str | int]) -> DataFrame:
        """What comes: a row a message, with `topic`, `partition`, `offset`, why it is not taken (RULE), and what it says in
        columns of its topic. Alerts are asked for first, so that what they rest on is there when they are.
        """
        quotes = [*kept_of(QUOTES).names, IS_DARK]
        says = ((ALERTS, _ALERT), (TRADES, kept_of(TRADES).names), (QUOTES, quotes), (LULD, WORD))
        place = [F.col("kafka_partition").alias("partition"), F.col("kafka_offset").alias("offset")]
        each = []
        for topic, names in says:
            raw = messages_of(self.spark, self.settings.kafka, [topic.name], options)
            said = of_day(read(raw, topic), self.day.day)
            said = with_light(said, self.day.calendar) if topic is QUOTES else said
            each.append(said.select(*place, RULE, *columns_of(topic, names)))
        return together(each)

    def step(self, batch: DataFrame, number: int) -> None:
        """A micro-batch of `messages`."""
        came = batch.toArrow()
        for place, last in _greatest(came, ["topic", "partition"], "offset"):
            self._read[place] = last
        taken = came.filter(pc.is_null(came[RULE]))
        alerts, trades, quotes, words = (said_in(taken, topic) for topic in (ALERTS, TRADES, QUOTES, LULD))
        for topic, said in ((TRADES, trades), (QUOTES, quotes)):
            if said is not None:
                self.around.take(topic, said)
                for (partition,), at in _greatest(said, ["kafka_partition"], "sip_ns"):
                    place = topic.name, partition
                    self._reached[place] = max(at, self._reached.get(place, 0))
        self.halts.hear(words, quotes)
        for alert in [] if alerts is None else alerts.sort_by("revision").to_pylist():
            self._hear(alert)
        if any(len(came.filter(pc.equal(came["topic"], name))) >= MOST_MESSAGES for name in _TAPE):
            # It is behind: what was published before an alert may not have been read.
            self._ends = unread(self.settings.kafka, _TAPE, self._since, self._read)
        self._ends = {place: end for place, end in self._ends.items() if self._read.get(place, -1) + 1 < end}
        self.champion.look()
        reached_ns = self._reached_ns()
        due = [alert for alert in self._waiting.values() if not self._ends or _known_ns(alert) <= reached_ns]
        for start in range(0, len(due), MOST_AT_ONCE):
            self._score(due[start : start + MOST_AT_ONCE])
        self._forget(reached_ns)

    def _forget(self, reached_ns: int) -> None:
        """Drop quotes that alerts of now cannot need, nor those of the last BEHIND_SECONDS: detection may be behind, and where a
        day is played faster than it was that is a long stretch of it.
        """
        now = time.monotonic()
        self._passed.append((now, reached_ns))
        while len(self._passed) > 1 and self._passed[1][0] <= now - BEHIND_SECONDS:
            self._passed.popleft()
        at, passed_ns = self._passed[0]
        if at <= now - BEHIND_SECONDS:
            self.around.forget(passed_ns)

    def _reached_ns(self) -> int:
        """Until when the tape has been read everywhere; where nothing is left to read, its newest moment."""
        if self._ends:
            return min(self._reached.get(place, 0) for place in self._ends)
        return max(self._reached.values(), default=0)

    def _hear(self, alert: Alert) -> None:
        """Wait for an alert's moment, unless it has its signal, or the model is of other events."""
        event_id, is_scored = alert["event_id"], alert["event_id"] in self._told
        if alert["grain"] not in self.champion.definition.grains or self._told.get(event_id, -1) >= alert["revision"]:
            return
        if alert["kind"] == RETRACTED and not is_scored:
            self._waiting.pop(event_id, None)
        else:
            self._waiting[event_id] = alert

    def _score(self, alerts: Sequence[Alert]) -> None:
        """Give alerts their signals."""
        standing = [
            alert for alert in alerts if alert["kind"] != RETRACTED and self.around.has_all_of(_known_ns(alert))
        ]
        expected = self._expected(standing) if standing else {}
        for alert in alerts:
            told = expected.get(alert["event_id"], {})
            likely = told.get(FOLLOWED)
            row = {
                **{name: alert[name] for name in SIGNALS.table.schema.names if name in alert},
                **told,
                "model": self.champion.model.name,
                "threshold": self.champion.threshold,
                "is_signal": likely is not None and likely >= self.champion.threshold,
                "alerted_at": alert["sent_at"],
                "sent_at": datetime.now(UTC),
            }
            self.outlet.send(SIGNALS.name, alert["symbol"], encoded(row, SIGNALS))
            self._told[alert["event_id"]] = alert["revision"]
            self._waiting.pop(alert["event_id"])
            self.scored += bool(told)
            self.signals += row["is_signal"]
            self.not_whole += not told and alert["kind"] != RETRACTED
            self.seconds = round((row["sent_at"] - alert["sent_at"]).total_seconds(), 3)
        self.outlet.flush()

    def _expected(self, alerts: Sequence[Alert]) -> dict[str, dict[str, Any]]:
        """By event the probabilities of the model's targets and the `reasons`; events of which it knows nothing are left out."""
        model = self.champion.model.event_model
        known = self._inputs(self._around(alerts, self.around))
        known = known.filter(pc.is_valid(known[model.reads]))
        if not len(known):
            return {}
        rows = matrix(known[model.reads].combine_chunks(), len(model.input_names))
        found = model.probabilities(rows)
        added = model.contributions(FOLLOWED, rows)
        expected = {}
        for place, event_id in enumerate(known["event_id"].to_pylist()):
            most = np.argsort(-np.abs(added[place]), kind="stable")[: self.settings.signals.reasons]
            reasons = [
                {
                    "input": model.input_names[one],
                    "value": None if np.isnan(value := rows[place, one]) else float(value),
                    "adds": float(added[place, one]),
                }
                for one in most
            ]
            expected[event_id] = {target: float(found[target][place]) for target in found} | {"reasons": reasons}
        return expected

    def _around(self, alerts: Sequence[Alert], tape: Surroundings) -> Around:
        """Alerts as events, and what the tape has around them."""
        schema = StructType([field for field in declared("gold.events").schema.fields if field.name in _EVENT])
        events = self.spark.createDataFrame([tuple(alert[name] for name in _EVENT) for alert in alerts], schema)
        symbols = {alert["symbol"] for alert in alerts}
        context = {name: self._context[name] for name in CONTEXT} | {"silver.halts": self.halts.halts()}
        return Around(events, tape.trades(symbols), tape.quotes(symbols), context)

    def _inputs(self, around: Around) -> pa.Table:
        """event_id, `inputs` and `sequence` of the events, by the functions that make training sets."""
        made = {"gold.event_features": event_features, "gold.event_sequences": event_sequences}
        if self.champion.model.event_model.reads == "inputs":
            made.pop("gold.event_sequences")
        tables = {name: self.lake.empty(name) for name in _MADE_HERE}
        for name, rows_of in made.items():
            found = rows_of(around, self.settings.microstructure)
            tables[name] = self.spark.createDataFrame(found.toArrow(), found.schema)
        inputs = event_inputs(around.events, {**self._of_companies(), **tables}, self.champion.definition)
        return inputs.select("event_id", "inputs", "sequence").toArrow()

    def _of_companies(self) -> Mapping[str, DataFrame]:
        """Company and market, looked up again where that was long ago."""
        if time.monotonic() - self._looked_up_at > CONTEXT_SECONDS:
            self.let_go()
            self._context, self._looked_up_at = self._look_up(), time.monotonic()
        return self._context

    def let_go(self) -> None:
        """Free what is kept in memory of companies and market."""
        for frame in self._context.values():
            frame.unpersist()

    def _look_up(self) -> dict[str, DataFrame]:
        """What the lake knows of companies and market, and of what is usual, in memory."""
        day, found = self.day.day, {}
        for name in (set(INPUT_TABLES) | set(CONTEXT)) - set(_MADE_HERE):
            rows = self._rows(name)
            if name in CONTEXT:
                rows = rows.where(between("session_date", day - timedelta(days=CONTEXT[name]), day))
            found[name] = rows.persist()
        return found

    def _rows(self, name: str) -> DataFrame:
        """A table's; none where it was not written yet."""
        return self.lake.read(name) if self.lake.exists(name) else self.lake.empty(name)


def _greatest(rows: pa.Table, keys: Sequence[str], column: str) -> Iterator[tuple[Any, int]]:
    """By keys the greatest value of a column."""
    found = pa.TableGroupBy(rows, keys).aggregate([(column, "max")])
    yield from zip(
        zip(*(found[key].to_pylist() for key in keys), strict=True), found[f"{column}_max"].to_pylist(), strict=True
    )


def _known_ns(alert: Alert) -> int:
    known_at: datetime = alert["known_at"]
    return round(known_at.timestamp() * 1e6) * 1_000


@contextmanager
def scoring(work: Scoring, trigger: str, since: Mapping[str, str]) -> Iterator[StreamingQuery]:
    """The query, which goes on until the block ends or it fails; `since` as `detection.day_began` makes it."""
    work.warm_up()
    work.resume(since)
    stream = work.messages({**since, "maxOffsetsPerTrigger": MOST_MESSAGES})
    try:
        with streaming(stream, "scoring", trigger, work.step) as query:
            yield query
    finally:
        work.let_go()
