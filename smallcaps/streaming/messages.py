"""Messages of the live feed: how rows are written as JSON, and how they are read again and judged."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, partial, reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from smallcaps.calendar.sessions import new_york_day
from smallcaps.lake import RULE, Rule, declared_topic
from smallcaps.lake.declaration import KAFKA, Topic
from smallcaps.lake.quality import verdict

LARGEST_BYTES = 64 * 1024
"""No message of ours is larger; longer news texts are cut by the vendor."""
AHEAD_SECONDS = 60
"""By so much a clock may be wrong."""
BEHIND_DAYS = 7
"""What comes later than that belongs to history."""
CARRIED = ("kafka_partition", "kafka_offset", "kafka_at")
"""What is known of a message beside what it says: where it lies, and when it was put there."""
_CORRUPT = "_corrupt"
_AHEAD = f"unix_micros(least(received_at, kafka_at)) + {AHEAD_SECONDS}000000L"
_BEHIND = f"unix_micros(received_at) - {BEHIND_DAYS * 86_400}000000L"


def rules_of(topic: Topic) -> tuple[Rule, ...]:
    """What a message of a topic must not break, the first broken being the one that it is refused for."""
    required = " AND ".join(column.present for column in topic.columns if not column.nullable)
    day = (
        []
        if "session_date" not in topic.schema.names
        else [
            Rule(
                "wrong_day", f"{new_york_day('event_ns')} <> session_date", "it is not of the day on which it happened"
            ),
        ]
    )
    closed = topic.table.conditions
    return (
        Rule(
            "oversized", f"coalesce(octet_length(message), 0) > {LARGEST_BYTES}", f"it has over {LARGEST_BYTES} bytes"
        ),
        Rule(
            "unknown_schema",
            f"coalesce(schema_version <> {topic.version}, false)",
            f"its schema is not version {topic.version}",
        ),
        Rule("malformed", f"said IS NULL OR {_CORRUPT} IS NOT NULL", "it is no JSON object of the topic's schema"),
        Rule("missing_value", f"NOT ({required})", "a value that it must have is not there"),
        Rule("wrong_key", f"NOT (message_key <=> cast({topic.key} AS binary))", f"its key is not its {topic.key}"),
        Rule("far_future", f"event_ns div 1000 > {_AHEAD}", f"it happened over {AHEAD_SECONDS} s after it came"),
        Rule("far_past", f"event_ns div 1000 < {_BEHIND}", f"it happened over {BEHIND_DAYS} days before it came"),
        *day,
        *(Rule(f"breaks_{name}", f"NOT ({condition})", condition) for name, condition in closed.items()),
    )


def read(raw: DataFrame, topic: Topic) -> DataFrame:
    """Rows of Kafka's source (key, value, partition, offset, timestamp) as judged rows: the topic's columns, CARRIED,
    message_key and message.
    """
    parsing, judged = _columns(topic.name)
    # Behind a generator a message is parsed once; else it would be for each rule and column.
    return raw.select(parsing).select("*", "said.*").select(judged)


@cache
def _columns(name: str) -> tuple[list[Column], list[Column]]:
    """The columns of the two steps of reading a topic, made once: each takes dozens of calls of Java."""
    topic = declared_topic(name)
    schema = StructType([*topic.schema.fields, StructField(_CORRUPT, StringType())])
    nullable = StructType([StructField(field.name, field.dataType) for field in schema.fields])
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT}
    # Larger ones are not looked into.
    text = F.expr(f"CASE WHEN octet_length(value) <= {LARGEST_BYTES} THEN cast(value AS string) END")
    parsing = [
        F.col("key").alias("message_key"),
        F.col("value").alias("message"),
        F.col("partition").alias("kafka_partition"),
        F.col("offset").alias("kafka_offset"),
        F.col("timestamp").alias("kafka_at"),
        F.inline(F.array(F.struct(F.from_json(text, nullable, options).alias("said")))),
    ]
    names = [*(column.name for column in topic.columns), *CARRIED, "message_key", "message"]
    return parsing, [*map(F.col, names), verdict(rules_of(topic)).alias(RULE)]


def of_day(judged: DataFrame, day: date) -> DataFrame:
    """Judged rows; those of other days are not taken."""
    other = F.when(F.col("session_date") != F.lit(day), "other_day")
    return judged.withColumn(RULE, F.coalesce(RULE, other))


def sound_rows(judged: DataFrame) -> pa.Table:
    """The rows of a judged frame that break no rule, without the verdict, in the driver's hands.

    They are left out there: Spark takes many seconds to plan a filter by a verdict of many conditions with joins above it.
    """
    rows = judged.toArrow()
    return rows.filter(pc.is_null(rows[RULE])).drop_columns(RULE)


def together(parts: Sequence[DataFrame]) -> DataFrame:
    """Topics in one plan: rows of each with `topic`, its name, and its own columns (`columns_of`)."""
    return reduce(partial(DataFrame.unionByName, allowMissingColumns=True), parts)


def columns_of(topic: Topic, names: Collection[str]) -> list[Column]:
    """Columns as a topic's own, where several are together; `topic` among them."""
    own = [F.col(name).alias(f"{topic.name}:{name}") for name in names]
    return [F.lit(topic.name).alias("topic"), *own]


def said_in(rows: pa.Table, topic: Topic) -> pa.Table | None:
    """What messages of the topic say, of rows that are `together`; None where there are none."""
    said = rows.filter(pc.equal(rows["topic"], topic.name))
    own = [name for name in said.column_names if name.startswith(f"{topic.name}:")]
    return said.select(own).rename_columns([name.partition(":")[2] for name in own]) if len(said) else None


def written(frame: DataFrame, topic: Topic) -> DataFrame:
    """Rows of the topic's columns as `key` and `value`, in text; other columns stay beside them."""
    names = [column.name for column in topic.columns if column.name in frame.columns]
    value = F.to_json(F.struct(*names), {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"})
    others = [name for name in frame.columns if name not in names]
    return frame.select(F.col(topic.key).alias("key"), value.alias("value"), *others)


def encoded(row: Mapping[str, Any], topic: Topic) -> bytes:
    """A row in the driver's hands as a message; what is null is left out."""
    said = {column.name: row[column.name] for column in topic.columns if row.get(column.name) is not None}
    return json.dumps(said | {"schema_version": topic.version}, default=_plain, separators=(",", ":")).encode()


def landed(topic: Topic, topic_id: str) -> list[Column]:
    """The columns of the topic's table, of rows that were read; `topic_id` is the topic and the id that the broker gave it."""
    own = {name: F.col(name) for name in ("kafka_partition", "kafka_offset")} | {"kafka_topic": F.lit(topic_id)}
    kafka = [column.name for column in KAFKA]
    return [
        own[column.name].alias(column.name) if column.name in kafka else F.col(column.name)
        for column in topic.table.columns
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        # Six decimals of up to 15 digits are a double's own shortest text.
        return float(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is nothing that a message says")
