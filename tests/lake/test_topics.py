"""Topics: what a message holds, how others read it, and that its version tells when that changes."""

import hashlib
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from smallcaps.errors import BadInput
from smallcaps.lake import REGISTRY, TOPICS, declared_topic
from smallcaps.lake.declaration import KAFKA, Column, Table, Topic
from smallcaps.lake.dictionary import data_dictionary

ENVELOPE = ["schema_version", "event_ns", "received_at"]
VERSIONS = {
    "trades": (1, "6b02edc5cef1"),
    "quotes": (1, "9a4f1009ad0c"),
    "bars": (1, "41ffbeb2914e"),
    "luld": (1, "b3731b55c379"),
    "news": (1, "3042479dc6b7"),
    "sector": (1, "41ffbeb2914e"),
    "book": (1, "9062ad170b99"),
    "alerts": (1, "3c3222e4c581"),
    "signals": (1, "7269be7230f0"),
}
"""Version and digest of names and types. Where the digest of a topic differs its columns were changed: raise its version, since a
consumer goes by that, and write both down here."""

every = pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)


def test_the_topics_are_those_of_the_live_feed_each_lands_in_a_declared_table() -> None:
    assert {name: topic.table.name for name, topic in TOPICS.items()} == {
        "trades": "bronze.trades",
        "quotes": "bronze.quotes",
        "bars": "bronze.bars_1m",
        "luld": "bronze.luld",
        "news": "bronze.news",
        "sector": "bronze.bars_1m",
        "book": "bronze.book",
        "alerts": "gold.event_revisions",
        "signals": "gold.signals",
    }
    assert all(topic.table is REGISTRY[topic.table.name] for topic in TOPICS.values())


@every
def test_a_message_holds_the_envelope_and_every_column_that_the_table_has_once(topic: Topic) -> None:
    names = [column.name for column in topic.columns]
    assert names[:3] == ENVELOPE
    assert len(set(names)) == len(names)
    columns = {column.name: (column.type, column.unit, column.nullable) for column in topic.columns}
    own = [column for column in topic.table.columns if column not in KAFKA]
    landed = {column.name: (column.type, column.unit, column.nullable) for column in own}
    assert landed.items() <= columns.items()
    assert columns.keys() - landed.keys() - {*ENVELOPE} == {column.name for column in topic.also}
    assert topic.key == "symbol"
    assert columns["symbol"][0] == "string"
    assert topic.comment
    assert topic.partitions > 0
    assert topic.retention_hours > 0


@every
def test_a_topic_whose_columns_change_has_another_version(topic: Topic) -> None:
    spelled = [f"{column.name} {column.type} {column.nullable}" for column in topic.columns]
    digest = hashlib.sha256("\n".join(spelled).encode()).hexdigest()[:12]
    assert (topic.version, digest) == VERSIONS[topic.name]


def test_a_topic_without_its_key_is_refused() -> None:
    table = Table("bronze.x", "x", "ingest", (Column("name", "string", "Name"),), ("name",))
    with pytest.raises(ValueError, match="named: the key symbol is no column"):
        Topic("named", "x", table, 1, 1)


def test_a_topic_that_is_not_declared_is_refused_with_those_that_are() -> None:
    assert declared_topic("book").table.name == "bronze.book"
    with pytest.raises(BadInput, match=r"no topic 'books'. Topics: trades, quotes, bars, luld, news, sector, book"):
        declared_topic("books")


BOOK: dict[str, Any] = {
    "schema_version": 1,
    "event_ns": 1793368800123456789,
    "received_at": datetime(2026, 10, 30, 14, 0, 0, 125_000, tzinfo=UTC),
    "symbol": "ABC",
    "session_date": date(2026, 10, 30),
    "published_ns": 1793368800123456789,
    "made_ns": None,
    "sequence_number": 7,
    "bids": [(Decimal("9.990000"), Decimal("300.000000")), (Decimal("9.980001"), Decimal("0.500000"))],
    "asks": [],
    "source_sha256": "f00",
    "source_line": 1,
}


def message(spark: SparkSession, topic: Topic, values: dict[str, Any]) -> str:
    row = tuple(values[column.name] for column in topic.columns)
    frame = spark.createDataFrame([row], topic.schema)
    (text,) = frame.select(F.to_json(F.struct("*"), {"ignoreNullFields": "false"})).collect()[0]
    return str(text)


def test_a_message_is_read_back_as_it_was_written_to_the_last_digit(spark: SparkSession) -> None:
    topic = TOPICS["book"]
    text = message(spark, topic, BOOK)
    assert '"event_ns":1793368800123456789' in text
    assert '"price":9.980001' in text
    read = spark.createDataFrame([(text,)], "text string").select(
        F.from_json("text", topic.schema, {"mode": "FAILFAST"}).alias("row")
    )
    (row,) = read.select("row.*").withColumn("received_at", F.unix_micros("received_at")).collect()
    expected = BOOK | {"received_at": int(BOOK["received_at"].timestamp() * 1_000_000)}
    found = row.asDict(recursive=True)
    assert [tuple(level.values()) for level in found.pop("bids")] == expected["bids"]
    assert found == {name: value for name, value in expected.items() if name != "bids"}


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("no symbol", {"symbol": None}),
    ("another version", {"schema_version": 2}),
    ("a number as text", {"sequence_number": "7"}),
    ("beyond 64 bits", {"event_ns": 2**63}),
    ("a fraction", {"published_ns": 1.5}),
    ("a list of numbers", {"bids": [9.99]}),
    ("a name that is not declared", {"depth": 10}),
]


def test_others_read_it_by_its_json_schema(spark: SparkSession) -> None:
    topic = TOPICS["book"]
    schema = json.loads(topic.json_schema)
    Draft202012Validator.check_schema(schema)
    assert schema["properties"]["published_ns"]["description"] == "When the book was published [ns since 1970 UTC]"
    judge = Draft202012Validator(schema)
    sound = json.loads(message(spark, topic, BOOK))
    judge.validate(sound)
    assert [what for what, change in CHANGES if judge.is_valid(sound | change)] == []
    without = {name: value for name, value in sound.items() if name != "session_date"}
    assert not judge.is_valid(without)


@every
def test_every_topic_has_a_schema_for_spark_and_for_others(topic: Topic, spark: SparkSession) -> None:
    assert spark.createDataFrame([], topic.schema).columns == [column.name for column in topic.columns]
    schema = json.loads(topic.json_schema)
    Draft202012Validator.check_schema(schema)
    assert list(schema["properties"]) == [column.name for column in topic.columns]
    of_source = {"source_sha256", "source_line"} & {column.name for column in topic.table.columns}
    assert {*ENVELOPE, *of_source} <= {*schema["required"]}


def test_the_dictionary_tells_of_every_topic() -> None:
    section = data_dictionary().split("## Topics of the live feed")[1]
    assert all(
        f"| {name} | {topic.version} | symbol | {topic.table.name} |" in section for name, topic in TOPICS.items()
    )
