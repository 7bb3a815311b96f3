"""Whether the live tape says what the batch job says of the same day.

Implementation: the batch statement over the messages that landed, of each bar and trade the last. It must say what
gold.live_events has, in every column of every event. Arrival: gold.events, made of the vendor's files, which have what came too
late, was withdrawn or never came; what differs here is measured, not wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.detectors.detect import INPUT_TABLE, events, within_limits
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, declared
from smallcaps.lake.quality import sound
from smallcaps.lake.topics import BARS
from smallcaps.refine.bars import judged_vendor_minutes
from smallcaps.refine.halts import feed_halts, merged, quote_halts, resumptions
from smallcaps.refine.ticks import judged_live_trades
from smallcaps.streaming.detection import Day, load_day, named
from smallcaps.streaming.live_events import REVISIONS, STANDING

Rows = Mapping[str, Mapping[str, Any]]
"""Events by id."""


@dataclass(frozen=True)
class Comparison:
    """How many events of a detector both sides have, only one has, or both have otherwise."""

    detector: str
    both: int
    missing: int
    extra: int
    different: int

    @property
    def is_same(self) -> bool:
        """Nothing differs."""
        return not (self.missing or self.extra or self.different)


@dataclass(frozen=True)
class Parity:
    """A day's report. Latencies are seconds at the 50th, 95th and 99th percentile and at most, of events' first alerts: from the
    exchange's stamp that completed the evidence, and from its way into Kafka; null where there was no alert.
    """

    day: date
    implementation: list[Comparison]
    arrival: list[Comparison] | None
    from_exchange: list[float] | None
    from_kafka: list[float] | None

    @property
    def differences(self) -> int:
        """Of the implementation."""
        return sum(one.missing + one.extra + one.different for one in self.implementation)


def parity(lake: Lake, settings: Settings, day: date, grains: Sequence[str]) -> Parity:
    """Compare. Raises BadInput where nothing of the day landed."""
    context = load_day(lake, day)
    live = _events(lake, STANDING, day, grains)
    resumed = _resumptions(lake, context)
    expected: dict[str, Mapping[str, Any]] = {}
    for grain in grains:
        rows = within_limits(_rows(lake, grain, context, resumed), grain)
        found = events(rows, settings, grain, context.expected)
        expected |= _by_id(found)
    arrival = None
    if lake.exists("gold.events") and (history := _events(lake, "gold.events", day, grains)):
        arrival = compared(history, live)
    return Parity(day, compared(expected, live), arrival, *_latencies(lake, day))


def compared(expected: Rows, found: Rows) -> list[Comparison]:
    """By detector, what is expected and what was found."""
    detectors = sorted({str(event["detector"]) for rows in (expected, found) for event in rows.values()})
    return [_of_detector(one, expected, found) for one in detectors]


def _of_detector(detector: str, expected: Rows, found: Rows) -> Comparison:
    here, there = (
        {key: event for key, event in rows.items() if event["detector"] == detector} for rows in (expected, found)
    )
    both = here.keys() & there.keys()
    different = sum(here[key] != there[key] for key in both)
    return Comparison(detector, len(both) - different, len(here.keys() - both), len(there.keys() - both), different)


def _events(lake: Lake, table: str, day: date, grains: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    if not lake.exists(table):
        return {}
    rows = lake.read(table).where((F.col("session_date") == F.lit(day)) & F.col("grain").isin(*grains))
    return _by_id(rows)


def _by_id(rows: DataFrame) -> dict[str, Mapping[str, Any]]:
    columns = [column.name for column in declared("gold.events").columns]
    return {event["event_id"]: event for event in rows.select(*columns).toArrow().to_pylist()}


def _landed(lake: Lake, table: str, day: date) -> DataFrame:
    if not lake.exists(table):
        return lake.empty(table)
    return lake.read(table).where(F.col("session_date") == F.lit(day)).where("kafka_offset IS NOT NULL")


def _rows(lake: Lake, grain: str, context: Day, resumed: DataFrame) -> DataFrame:
    """What landed of a grain, as silver has it: of each bar and trade the last that is sound."""
    table = "bronze.bars_1m" if grain == "minute" else "bronze.trades"
    rows = _landed(lake, table, context.day)
    if grain == "minute":
        rows = rows.where(F.col("kafka_topic").contains(f"{BARS.name}:"))
    if rows.isEmpty():
        raise BadInput(f"Nothing of {context.day} landed for the {grain} detectors. Does `smallcaps live land` run?")
    judge_rows = judged_vendor_minutes if grain == "minute" else judged_live_trades
    judged = judge_rows(rows.withColumn("source_line", F.col("kafka_offset")), context.calendar, resumed)
    latest_first = Window.partitionBy(*declared(INPUT_TABLE[grain]).key).orderBy(F.desc("source_line"))
    last = sound(judged).withColumn("_place", F.row_number().over(latest_first)).where("_place = 1")
    return named(last, context.securities)


def _resumptions(lake: Lake, context: Day) -> DataFrame:
    of_feed = feed_halts(_landed(lake, "bronze.luld", context.day))
    of_quotes = quote_halts(_landed(lake, "bronze.quotes", context.day), context.calendar)
    return resumptions(merged(of_feed.unionByName(of_quotes)), context.calendar)


def _latencies(lake: Lake, day: date) -> tuple[list[float] | None, list[float] | None]:
    if not lake.exists(REVISIONS):
        return None, None
    first = lake.read(REVISIONS).where((F.col("session_date") == F.lit(day)) & (F.col("revision") == 0))
    sent = "unix_micros(sent_at)"
    rows = first.selectExpr(
        f"({sent} - event_ns div 1000) / 1e6D AS exchange", f"({sent} - unix_micros(produced_at)) / 1e6D AS kafka"
    ).toArrow()
    if not len(rows):
        return None, None
    exchange, kafka = ([float(one) for one in _quantiles(rows[name].to_numpy())] for name in ("exchange", "kafka"))
    return exchange, kafka


def _quantiles(seconds: Any) -> Any:
    return np.quantile(seconds, [0.5, 0.95, 0.99, 1])
