"""Halts as they are heard, bit by bit: what stands at the end is what history says, however the messages came."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.lake import RULE
from smallcaps.lake.topics import LULD, QUOTES
from smallcaps.refine.labels import calendar_frame
from smallcaps.streaming.halted import LIGHT, Halts, with_light
from smallcaps.streaming.messages import encoded, of_day, read, sound_rows
from tests.sources.vendor_files import new_york_ns
from tests.streaming.test_messages import RAW

DAY = date(2015, 11, 24)
OPEN = 330
"""Minutes from 04:00 to 09:30."""


def words(spark: SparkSession, *rows: dict[str, Any]) -> pa.Table:
    return sound_rows(of_day(read(heard(spark, LULD, *rows), LULD), DAY))


def light(spark: SparkSession, *rows: dict[str, Any]) -> pa.Table:
    said = of_day(read(heard(spark, QUOTES, *rows), QUOTES), DAY)
    return sound_rows(with_light(said, calendar_frame(spark, DAY, DAY)).select(RULE, *LIGHT))


@pytest.fixture
def halts(spark: SparkSession) -> Halts:
    return Halts(spark, DAY, calendar_frame(spark, DAY, DAY))


def row(symbol: str, clock: str, number: int, day: date = DAY) -> dict[str, Any]:
    at = new_york_ns(day.isoformat(), clock)
    return {
        **{"event_ns": at, "sip_ns": at, "received_at": datetime.fromtimestamp(at // 10**9, UTC), "symbol": symbol},
        **{"session_date": day, "sequence_number": number, "source_sha256": "0" * 64, "source_line": 1},
    }


def word(symbol: str, clock: str, number: int, *indicators: int, day: date = DAY) -> dict[str, Any]:
    bands = {"high": Decimal(1), "low": Decimal(1), "tape": 3, "indicators": list(indicators)}
    return row(symbol, clock, number, day) | bands


def quote(symbol: str, clock: str, number: int, price: int = 10) -> dict[str, Any]:
    sides = {f"{side}_{name}": Decimal(price) for side in ("bid", "ask") for name in ("price", "size")}
    return row(symbol, clock, number) | sides | {"bid_exchange": 12, "ask_exchange": 12, "conditions": [1], "tape": 3}


def heard(spark: SparkSession, topic: Any, *rows: dict[str, Any]) -> DataFrame:
    """Rows as Kafka's source gives them."""
    came = datetime(2015, 11, 24, 21, tzinfo=UTC) + timedelta(hours=1)
    return spark.createDataFrame(
        [(one["symbol"].encode(), encoded(one, topic), 0, offset, came) for offset, one in enumerate(rows)], RAW
    )


def test_a_resumption_is_told_when_it_is_heard_and_once(spark: SparkSession, halts: Halts) -> None:
    assert halts.hear(None, None) == set()
    assert halts.hear(words(spark, word("A", "10:05", 2, 17), word("B", "10:05", 3)), None) == set()
    assert halts.resumed == {}
    assert halts.hear(words(spark, word("A", "10:10:01", 4, 18, 15)), None) == {"A"}
    assert halts.resumed == {"A": [OPEN + 40]}
    # Heard by a second listener, and one of another day.
    again = word("A", "10:10:01", 4, 18, 15)
    assert halts.hear(words(spark, again, word("C", "10:00", 1, 17, day=date(2015, 11, 23))), None) == set()
    assert [(one.symbol, one.resumed) for one in halts.frame().collect()] == [("A", [OPEN + 40])]
    assert halts.frame({"B"}).isEmpty()


def test_quotes_that_go_dark_and_are_lit_again_are_a_halt_across_batches(spark: SparkSession, halts: Halts) -> None:
    batches = [
        [quote("A", "09:31", 1), quote("B", "09:31", 2)],
        [quote("A", "10:00", 3, 0), quote("B", "10:00", 4)],
        [quote("A", "10:01", 5, 0)],
        [quote("A", "10:05:30", 6), quote("A", "10:05:40", 7)],
    ]
    told = [halts.hear(None, light(spark, *batch)) for batch in batches]
    assert told == [set(), set(), set(), {"A"}]
    assert halts.resumed == {"A": [OPEN + 35]}


def test_a_quote_that_comes_late_changes_what_was_told(spark: SparkSession, halts: Halts) -> None:
    halts.hear(None, light(spark, quote("A", "10:00", 1, 0), quote("A", "10:05", 5)))
    assert halts.resumed == {"A": [OPEN + 35]}
    assert halts.hear(None, light(spark, quote("A", "10:03", 3))) == {"A"}
    assert halts.resumed == {"A": [OPEN + 33]}


def test_both_sources_of_one_halt_are_one(spark: SparkSession, halts: Halts) -> None:
    bands = words(spark, word("A", "10:00", 1, 17), word("A", "10:05", 9, 18))
    quotes = light(spark, quote("A", "10:00:01", 2, 0), quote("A", "10:05:02", 8))
    assert halts.hear(bands, quotes) == {"A"}
    assert halts.resumed == {"A": [OPEN + 35]}
