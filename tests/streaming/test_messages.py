"""Messages: what is written is read again as it was, what cannot be taken is refused for the first reason that there is."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from jsonschema import Draft202012Validator
from pyspark.sql import DataFrame, SparkSession

from smallcaps.lake import RULE
from smallcaps.lake.quality import sound
from smallcaps.lake.topics import ALERTS, BARS, LULD, NEWS, QUOTES, TRADES
from smallcaps.streaming.messages import LARGEST_BYTES, encoded, read, written

AT = datetime(2026, 1, 5, 15, 30, tzinfo=UTC)
AT_NS = int(AT.timestamp()) * 10**9
TRADE: dict[str, Any] = {
    "event_ns": AT_NS,
    "received_at": AT + timedelta(microseconds=1500),
    "symbol": "ABCw",
    "session_date": date(2026, 1, 5),
    "sip_ns": AT_NS,
    "participant_ns": AT_NS - 7,
    "sequence_number": 2**53 + 1,
    "trade_id": 'a "b"',
    "exchange": 4,
    "price": Decimal("12.345678"),
    "size": Decimal("100.000001"),
    "conditions": [12, 37],
    "source_sha256": "0" * 64,
    "source_line": 1,
}
RAW = "key binary, value binary, partition int, offset bigint, timestamp timestamp"


def raw(spark: SparkSession, *messages: tuple[bytes | None, bytes | None]) -> DataFrame:
    """As Kafka's source gives them."""
    rows = [(key, value, 0, offset, AT + timedelta(hours=1)) for offset, (key, value) in enumerate(messages)]
    return spark.createDataFrame(rows, RAW)


def test_a_row_is_read_as_it_was_written_by_python_and_by_spark(spark: SparkSession) -> None:
    value = encoded(TRADE, TRADES)
    Draft202012Validator(json.loads(TRADES.json_schema)).validate(json.loads(value))
    (row,) = read(raw(spark, (b"ABCw", value)), TRADES).collect()
    assert row[RULE] is None
    assert {name: row[name] for name in TRADE} == TRADE | {"received_at": row["received_at"]}
    assert row["received_at"].timestamp() == TRADE["received_at"].timestamp()
    assert (row["trf_id"], row["kafka_partition"], row["kafka_offset"]) == (None, 0, 0)

    columns = [column.name for column in TRADES.columns]
    (again,) = written(read(raw(spark, (b"ABCw", value)), TRADES).select(*columns, "kafka_offset"), TRADES).collect()
    assert (again["key"], again["kafka_offset"]) == ("ABCw", 0)
    Draft202012Validator(json.loads(TRADES.json_schema)).validate(json.loads(again["value"]))
    (twice,) = read(raw(spark, (b"ABCw", again["value"].encode())), TRADES).collect()
    assert [twice[name] for name in columns] == [row[name] for name in columns]


def said(**changes: Any) -> bytes:
    """The trade with other values; None leaves one out."""
    values = json.loads(encoded(TRADE, TRADES)) | changes
    return json.dumps({name: value for name, value in values.items() if value is not None}).encode()


CASES: list[tuple[bytes | None, bytes | None, str | None]] = [
    (b"ABCw", b"\xff\xfe not text", "malformed"),
    (b"ABCw", b"[1, 2]", "malformed"),
    (b"ABCw", b"", "malformed"),
    (b"ABCw", None, "malformed"),
    (b"ABCw", said()[:-5], "malformed"),
    (b"ABCw", said(price="cheap"), "malformed"),
    (b"ABCw", said(price=1e15), "malformed"),
    (b"ABCw", said(exchange=2**40), "malformed"),
    (b"ABCw", said(trade_id="x" * LARGEST_BYTES), "oversized"),
    (b"ABCw", said(schema_version=2), "unknown_schema"),
    (b"ABCw", json.dumps({"schema_version": 9, "anything": {"else": 1}}).encode(), "unknown_schema"),
    (b"ABCw", said(schema_version=None), "missing_value"),
    (b"ABCw", said(sip_ns=None), "missing_value"),
    (b"ABC", said(), "wrong_key"),
    (None, said(), "wrong_key"),
    (b"ABCw", said(event_ns=AT_NS + 61 * 10**9), "far_future"),
    (b"ABCw", said(event_ns=2**63 - 1), "far_future"),
    (b"ABCw", said(event_ns=AT_NS - 8 * 86_400 * 10**9), "far_past"),
    (b"ABCw", said(session_date="2026-01-06"), "wrong_day"),
    (b"ABCw", said(unheard_of=1), None),
    (b"ABCw", said(), None),
]


def test_what_cannot_be_taken_is_refused_with_a_reason(spark: SparkSession) -> None:
    rows = read(raw(spark, *((key, value) for key, value, _ in CASES)), TRADES).orderBy("kafka_offset").collect()
    for (key, value, rule), row in zip(CASES, rows, strict=True):
        assert row[RULE] == rule, value
        assert (row["message"], row["message_key"]) == (value, key)


def test_every_topic_of_ours_can_be_read(spark: SparkSession) -> None:
    for topic in (TRADES, QUOTES, BARS, LULD, NEWS, ALERTS):
        (row,) = read(raw(spark, (b"A", b"{}")), topic).collect()
        assert row[RULE] == "missing_value"


def test_a_message_is_parsed_once_however_many_rules_look_at_it(spark: SparkSession, capsys: Any) -> None:
    sound(read(raw(spark, (b"ABCw", said())), TRADES)).where("session_date > DATE'2026-01-01'").explain()
    assert capsys.readouterr().out.count("from_json") == 1
