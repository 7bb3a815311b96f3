"""Detection on the live tape: Kafka's bars and trades through the batch statement, alerts into Kafka.

The log is the state. A process that starts reads the day from its first message on, and what was told of it from the topic of
alerts: events that were told and stand are not told again, those that no longer stand are taken back. So nothing depends on a
checkpoint, and what was killed, upgraded or set otherwise is started again and goes on.

Messages are read and judged, labelled and named by the functions that refine history, in one plan that is made once. Each
micro-batch is a job of it, whose rows are given to a tape for each grain (detectors/tape.py). What that says is new, corrected or
retracted is sent before the batch counts as done.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery
from pyspark.sql.types import LongType, StructField, StructType

from smallcaps.calendar.sessions import NEW_YORK
from smallcaps.config import Settings
from smallcaps.detectors.detect import EXPECTED_VIEW, INPUT_TABLE, statement_of
from smallcaps.detectors.registry import GRAINS
from smallcaps.detectors.tape import Changes, Event, Tape
from smallcaps.detectors.window_calls import words
from smallcaps.lake import RULE, Lake, declared
from smallcaps.lake.declaration import Topic
from smallcaps.lake.quality import verdict
from smallcaps.lake.topics import BARS, LULD, QUOTES, TRADES
from smallcaps.refine.bars import judged_vendor_minutes, relabelled_minutes
from smallcaps.refine.labels import calendar_frame, relabel
from smallcaps.refine.securities import identify
from smallcaps.refine.ticks import judged_live_trades
from smallcaps.streaming.alerts import Alerts
from smallcaps.streaming.halted import LIGHT, WORD, Halts, with_light
from smallcaps.streaming.kafka import Outlet, Place, unread
from smallcaps.streaming.messages import columns_of, of_day, read, said_in, together
from smallcaps.streaming.query import messages_of, streaming

TOPIC: dict[str, Topic] = {"minute": BARS, "trade": TRADES}
"""The topic that a grain's rows come from."""
SPARE_ROWS = {"minute": 16, "trade": 60}
"""So many rows (seconds with trades) a key may have since its last seed, besides the look-back, before there are further ones,
which cost a pass.
"""
Evidence = dict[str, Any]
"""Of a message: when it happened (event_ns), came to us (received_at) and was put into its topic (produced_at)."""
_EVIDENCE = "concat_ws('|', coalesce(event_ns, 0), coalesce(unix_micros(received_at), 0), unix_micros(kafka_at), kafka_partition)"
"""Where a message lies and what it rests on, in a column that rows are known by to the functions of history."""
_BEYOND = "beyond"
_IDENTITY = "coalesce(security_id, concat('T:', symbol, ':', session_date))"
"""As `securities.unlisted` names a symbol that nobody listed, on the day on which it is seen first."""
_SINCE = "startingTimestamp"
MOST_MESSAGES = 200_000
"""Of a topic in a micro-batch; more only while a process catches up."""


@dataclass(frozen=True)
class Day:
    """What is known of a session before it opens, in the driver's hands."""

    day: date
    calendar: DataFrame
    securities: DataFrame
    known: frozenset[str]
    expected: Mapping[str, DataFrame]


def load_day(lake: Lake, day: date) -> Day:
    """The session's calendar, who the symbols are on it, and what is to be expected of them."""
    spark = lake.spark
    whose = _local(spark, lake.read("silver.securities").where(f"valid_from <= DATE'{day}'"))
    expected = {
        table: _local(spark, lake.read(table).where(F.col("session_date") == F.lit(day)))
        for table in EXPECTED_VIEW
        if lake.exists(table)
    }
    listed = whose.where(
        (F.coalesce("valid_to", F.lit(date(9999, 12, 30))) > F.lit(day)) & (F.col("identity_source") != "symbol")
    )
    known = listed.select("symbol").collect()
    return Day(day, calendar_frame(spark, day, day), whose, frozenset(row.symbol for row in known), expected)


def _local(spark: SparkSession, frame: DataFrame) -> DataFrame:
    """A small frame in the driver's hands: no batch reads files."""
    return spark.createDataFrame(frame.toArrow(), frame.schema)


class Detection:
    """The detectors of some grains over the messages of one day."""

    def __init__(self, lake: Lake, settings: Settings, day: date, grains: Sequence[str], outlet: Outlet) -> None:
        self.spark, self.settings, self.grains = lake.spark, settings, list(grains)
        self.context = load_day(lake, day)
        self.tapes = {grain: self._tape(grain) for grain in grains}
        self.halts = Halts(lake.spark, day, self.context.calendar)
        self.alerts = Alerts(outlet)
        self.batches = 0
        self.barred: dict[str, set[str]] = {grain: set() for grain in grains}
        """Securities with a row beyond what a grain's statement computes with: the batch job leaves their day out of it, too."""
        self._lake = lake
        self._told: dict[str, Event] = {}
        self._ends: dict[Place, int] = {}

    def _tape(self, grain: str) -> Tape:
        table = declared(INPUT_TABLE[grain])
        used = words(str(statement_of(self.settings, grain))) | {*table.key, *GRAINS[grain].key}
        schema = StructType([field for field in table.schema.fields if field.name in used])
        return Tape(self.spark, schema, table.key, self.settings, grain, self.context.expected)

    def resume(self, offsets: Mapping[str, str]) -> None:
        """Take up what was told of the day before this process began. Until all is read that the topics have now nothing is told:
        what one message says may be taken back by the next. Then what stands is compared with what was told.
        """
        kafka, names = self.settings.kafka, [topic.name for topic in topics_of(self.grains)]
        self._ends = unread(kafka, names, since_ms(offsets), {})
        self._told = self.alerts.told(self._lake, kafka, self.context.day, offsets)

    def _catch_up(self, came: pa.Table) -> None:
        """Tell what is to be told once the topics' ends are reached."""
        places = pc.list_element(pc.split_pattern(came["evidence"], "|"), 3)
        for topic, partition, offset in zip(
            *(one.to_pylist() for one in (came["topic"], places, came["source_line"])), strict=True
        ):
            if offset + 1 >= self._ends.get((topic, int(partition)), 0):
                self._ends.pop((topic, int(partition)), None)
        if self._ends:
            return
        stands = {event["event_id"]: event for tape in self.tapes.values() for event in tape.events_that_stand()}
        changes = Changes()
        changes.add(self._told, stands)
        self.alerts.send(changes, map(_of_event, changes.events), self.context.known)

    def facts(self) -> dict[str, Any]:
        """How it gets on."""
        return {
            "day": self.context.day.isoformat(),
            "batches": self.batches,
            "alerts": sum(self.alerts.sent.values()),
            **self.alerts.sent,
            "too_late": sum(tape.too_late for tape in self.tapes.values()),
            "barred": sum(map(len, self.barred.values())),
            "catching_up": bool(self._ends),
        }

    def messages(self, options: Mapping[str, str | int]) -> DataFrame:
        """What comes: a row a message, with `topic`, `evidence`, `source_line` (its offset), why it is not taken (RULE), and what
        it says in columns of its topic. Rows that a grain's statement does not compute with are marked by _BEYOND.
        """
        kafka, each = self.settings.kafka, []
        for topic in topics_of(self.grains):
            said = of_day(read(messages_of(self.spark, kafka, [topic.name], options), topic), self.context.day)
            marks = {"source_sha256": F.expr(_EVIDENCE), "source_line": F.col("kafka_offset")}
            each.append(self._said_by(topic, said.withColumns(marks)))
        return together(each)

    def _said_by(self, topic: Topic, said: DataFrame) -> DataFrame:
        """A topic's part of `messages`."""
        calendar = self.context.calendar
        place = [F.col("source_sha256").alias("evidence"), F.col("source_line")]
        if topic is LULD:
            return said.select(*place, RULE, *columns_of(topic, WORD))
        if topic is QUOTES:
            return with_light(said, calendar).select(*place, RULE, *columns_of(topic, LIGHT))
        (grain,) = (grain for grain in self.grains if TOPIC[grain] is topic)
        judge_rows = judged_vendor_minutes if grain == "minute" else judged_live_trades
        # Without resumptions, which change from batch to batch: few rows are of a symbol that has one.
        rows = named(judge_rows(said, calendar), self.context.securities)
        beyond = verdict(GRAINS[grain].limits).isNotNull().alias(_BEYOND)
        return rows.select(*place, RULE, beyond, *columns_of(topic, self.tapes[grain].schema.names))

    def step(self, batch: DataFrame, number: int) -> None:
        """A micro-batch of `messages`."""
        came = batch.toArrow()
        taken = came.filter(pc.is_null(came[RULE]))
        changed = self.halts.hear(said_in(taken, LULD), said_in(taken, QUOTES))
        for grain, tape in self.tapes.items():
            rows, evidence = self._rows(grain, taken)
            if changed:
                again = self._relabelled(grain, _of_symbols(tape.rows, changed))
                rows = pa.concat_tables([again, rows.select(again.column_names)], promote_options="default")
                evidence = [*[None] * len(again), *evidence]
            self._detect(grain, tape, rows, evidence)
        was_behind = bool(self._ends)
        if was_behind:
            self._catch_up(came)
        for grain, tape in self.tapes.items():
            tape.seed(SPARE_ROWS[grain])
            # While it catches up a halt may be heard of long after the trades that it labels.
            if grain == "trade" and not was_behind:
                tape.forget()
        self.batches += 1

    def _rows(self, grain: str, taken: pa.Table) -> tuple[pa.Table, list[str | None]]:
        """Rows of a grain's topic in the order of their arrival, in the columns of its tape, and what each rests on."""
        topic = TOPIC[grain]
        of_topic = taken.filter(pc.equal(taken["topic"], topic.name)).sort_by("source_line")
        rows = said_in(of_topic, topic)
        if rows is None:
            return self.tapes[grain].rows.slice(0, 0), []
        self._bar(grain, rows.filter(of_topic[_BEYOND]))
        barred = pc.is_in(rows["security_id"], pa.array(sorted(self.barred[grain]), pa.string()))
        rows, evidence = rows.filter(pc.invert(barred)), of_topic["evidence"].filter(pc.invert(barred)).to_pylist()
        if of_halted := {*self.halts.resumed} & {*rows["symbol"].to_pylist()}:
            resumed = pc.is_in(rows["symbol"], pa.array(sorted(of_halted), pa.string()))
            where = np.argsort(np.append(np.flatnonzero(pc.invert(resumed)), np.flatnonzero(resumed)), kind="stable")
            again = self._relabelled(grain, rows.filter(resumed))
            others = rows.filter(pc.invert(resumed))
            together = [others, again.select(rows.column_names)]
            rows = pa.concat_tables(together, promote_options="default").take(where)
        return rows, evidence

    def _bar(self, grain: str, beyond: pa.Table) -> None:
        """Leave securities out of a grain that have rows beyond its limits, and take back what was told of them."""
        new = {*beyond["security_id"].to_pylist()} - self.barred[grain]
        if not new:
            return
        self.barred[grain] |= new
        gone = self.tapes[grain].bar({(security, self.context.day) for security in new})
        if not self._ends:
            self.alerts.send(Changes(retracted=gone), map(_of_event, gone), self.context.known)

    def _relabelled(self, grain: str, rows: pa.Table) -> pa.Table:
        """Rows in their order, with the resumptions that their symbols have now."""
        schema = self.tapes[grain].schema
        resumed = self.halts.frame({*rows["symbol"].to_pylist()})
        numbered = rows.select(schema.names).append_column("_place", pa.array(range(len(rows)), pa.int64()))
        frame = self.spark.createDataFrame(numbered, StructType([*schema.fields, StructField("_place", LongType())]))
        if grain == "minute":
            again = relabelled_minutes(frame, self.context.calendar, resumed)
        else:
            again = relabel(frame, self.context.calendar, "sip_ns", resumed)
        return again.toArrow().sort_by("_place").drop_columns("_place")

    def _detect(self, grain: str, tape: Tape, rows: pa.Table, evidence: Sequence[str | None]) -> None:
        piece = tape.piece(rows)
        if piece is None:
            return
        changes = tape.stand(piece, tape.events(piece))
        if changes.events and not self._ends:
            self.alerts.send(changes, self._rests_on(rows, evidence, tape, changes.events), self.context.known)
        tape.keep(piece)

    def _rests_on(
        self, rows: pa.Table, evidence: Sequence[str | None], tape: Tape, events: Sequence[Event]
    ) -> list[Evidence]:
        """For each event the evidence that came last among the batch's rows of its key up to its own."""
        wanted = {tuple(event[name] for name in tape.key) for event in events}
        keys = zip(*(rows[name].to_pylist() for name in tape.key), strict=True)
        of_key: dict[tuple[Any, ...], list[tuple[int, Evidence]]] = {}
        for key, number, one in zip(keys, rows[tape.order].to_pylist(), evidence, strict=True):
            if key in wanted and one is not None:
                of_key.setdefault(key, []).append((number, _evidence(one)))
        found = []
        for event in events:
            known = of_key.get(tuple(event[name] for name in tape.key), [])
            # Where a resumption alone changed the labels of rows, it is the news: nothing else came.
            upto = [one for number, one in known if number <= event["number"]] or [one for _, one in known]
            found.append(max(upto, key=lambda one: one["event_ns"], default=_of_event(event)))
        return found


def named(rows: DataFrame, securities: DataFrame) -> DataFrame:
    """`rows` with security_id, also of symbols that nobody listed."""
    return identify(rows, securities).withColumn("security_id", F.expr(_IDENTITY))


def _of_symbols(rows: pa.Table, symbols: Collection[str]) -> pa.Table:
    return rows.filter(pc.is_in(rows["symbol"], pa.array(sorted(symbols), pa.string())))


def _evidence(text: str) -> Evidence:
    event_ns, received, produced, _ = map(int, text.split("|"))
    return {"event_ns": event_ns, "received_at": _instant(received), "produced_at": _instant(produced)}


def _of_event(event: Event) -> Evidence:
    """Where it is not known what came last: when the event could be known."""
    known_at = event["known_at"]
    return {"event_ns": int(known_at.timestamp()) * 10**9, "received_at": known_at, "produced_at": datetime.now(UTC)}


def _instant(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def topics_of(grains: Sequence[str]) -> list[Topic]:
    """The topics that detectors of these grains listen to."""
    return [*(TOPIC[grain] for grain in grains), LULD, QUOTES]


def since_ms(offsets: Mapping[str, str]) -> int | None:
    """The instant of `day_began`'s options, in ms of 1970; None: from the first message on."""
    return int(offsets[_SINCE]) if _SINCE in offsets else None


def day_began(day: date | None) -> dict[str, str]:
    """Options of Spark's source: from the messages on that came on New York's `day`; None: from the first that is kept."""
    if day is None:
        return {"startingOffsets": "earliest"}
    midnight = datetime(day.year, day.month, day.day, tzinfo=NEW_YORK)
    return {
        _SINCE: str(int(midnight.timestamp() * 1000)),
        "startingOffsetsByTimestampStrategy": "latest",
    }


@contextmanager
def detecting(detection: Detection, trigger: str, since: Mapping[str, str]) -> Iterator[StreamingQuery]:
    """The query, which goes on until the block ends or it fails; `since` as `day_began` makes it, `trigger` as `0 seconds`."""
    detection.resume(since)
    stream = detection.messages({**since, "maxOffsetsPerTrigger": MOST_MESSAGES})
    with streaming(stream, f"detection-{'-'.join(detection.grains)}", trigger, detection.step) as query:
        yield query
