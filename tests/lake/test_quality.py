"""Judging rows: the first rule wins, unknown is broken, and nothing disappears."""

import hashlib
import json

from chispa import assert_df_equality
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from smallcaps.lake import RULE, Rule, judge, judge_repeats
from smallcaps.lake.quality import RECEIVED, refused

NEGATIVE = Rule("negative", "price < 0", "the price is negative")
SMALL = Rule("small", "price < 1", "the price is below 1")
ODD = Rule("odd_symbol", "symbol = 'X'", "the symbol is X")


def test_the_first_broken_rule_counts_and_unknown_is_broken(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [("A", 2.0), ("A", 0.5), ("A", -1.0), ("A", None), ("X", 2.0)], "symbol string, price double"
    )
    expected = [
        ("A", 2.0, None),
        ("A", 0.5, "small"),
        ("A", -1.0, "negative"),  # Also small: the first of the list counts.
        ("A", None, "negative"),  # null < 0 is unknown, which counts as broken.
        ("X", 2.0, "odd_symbol"),
    ]
    judged = judge(rows, [NEGATIVE, SMALL, ODD])
    assert_df_equality(judged, spark.createDataFrame(expected, f"symbol string, price double, {RULE} string"))


def test_a_rule_broken_earlier_stays(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [("A", -1.0, "before"), ("A", -1.0, None)], f"symbol string, price double, {RULE} string"
    )
    assert [row[RULE] for row in judge(rows, [NEGATIVE]).collect()] == ["before", "negative"]


def test_of_repeats_the_first_sound_row_is_kept(spark: SparkSession) -> None:
    schema = f"symbol string, line int, {RULE} string"
    rows = [
        ("A", 4, None),
        ("A", 2, "negative"),  # Unsound, so it is neither kept nor does it make line 3 a repeat.
        ("A", 3, None),
        ("a", 5, None),  # Another symbol.
        (None, 6, None),
        (None, 7, None),  # Null is a value like another.
    ]
    judged = judge_repeats(spark.createDataFrame(rows, schema), ("symbol",), ("line",), "repeat")
    expected = [
        ("A", 2, "negative"),
        ("A", 3, None),
        ("A", 4, "repeat"),
        ("a", 5, None),
        (None, 6, None),
        (None, 7, "repeat"),
    ]
    assert_df_equality(judged.orderBy("line"), spark.createDataFrame(expected, schema), ignore_row_order=True)


def test_refused_rows_carry_rule_reason_source_and_the_row_as_json(spark: SparkSession) -> None:
    schema = f"symbol string, price double, source_sha256 string, source_line int, {RULE} string"
    rows = [("A", 1.5, "f00", 2, None), ("NA", -1.0, "f00", 3, "negative"), ("B", None, "f00", 4, "unheard_of")]
    frame = refused(spark.createDataFrame(rows, schema), "silver.example", {"negative": NEGATIVE.reason})
    found = {row.source_line: row for row in frame.collect()}
    assert set(found) == {3, 4}
    assert found[3].quarantine_id == hashlib.sha256(b"silver.example|negative|f00|3").hexdigest()
    assert (found[3].table_name, found[3].rule, found[3].reason) == (
        "silver.example",
        "negative",
        "the price is negative",
    )
    assert json.loads(found[3].payload) == {"symbol": "NA", "price": -1.0, "source_sha256": "f00", "source_line": 3}
    assert found[4].reason == "unheard_of"


def test_a_row_that_carries_what_was_received_is_kept_as_received(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [("-1.x", "f00", 2, "bad")], f"text string, source_sha256 string, source_line int, {RULE} string"
    )
    judged = rows.select(RULE, "source_sha256", "source_line", F.struct("text").alias(RECEIVED))
    row = refused(judged, "silver.example", {"bad": "it is bad"}).collect()[0]
    assert json.loads(row.payload) == {"text": "-1.x"}
