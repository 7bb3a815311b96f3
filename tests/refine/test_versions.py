"""Versions: what repeats is one row, what changes is another, and no later snapshot changes an earlier one."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from smallcaps.lake import RULE, Rule, judge
from smallcaps.refine.versions import versions

MONDAY = date(2015, 11, 23)
RULE_AT = datetime(2015, 11, 24, 12, tzinfo=UTC)
"""Tuesday 07:00 New York: after the end of Monday (05:00 UTC), before the end of Tuesday."""


def snapshots(spark: SparkSession, said: dict[str, list[int | None]]) -> DataFrame:
    """What is said of a key on Monday and the days after it: -1 is refused, None is not there."""
    rows = [
        (key, MONDAY + timedelta(days=day), RULE_AT, value, f"day {day}", line)
        for line, (key, values) in enumerate(said.items(), start=1)
        for day, value in enumerate(values)
        if value is not None
    ]
    schema = "key string, as_of date, known_at timestamp, value int, source_sha256 string, source_line bigint"
    return judge(spark.createDataFrame(rows, schema), [Rule("negative", "value < 0", "")])


def found(judged: DataFrame) -> dict[str, list[tuple[int, int, datetime]]]:
    """By key: version, value and known_at, in order."""
    rows = judged.where(f"{RULE} IS NULL").selectExpr("*", "unix_seconds(known_at) AS at").collect()
    by_key: dict[str, list[tuple[int, int, datetime]]] = {}
    for row in sorted(rows, key=lambda row: row.version):
        by_key.setdefault(row.key, []).append((row.version, row.value, datetime.fromtimestamp(row.at, UTC)))
    return by_key


def end_of(day: int) -> datetime:
    """Midnight New York, in winter."""
    return datetime(2015, 11, 24 + day, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def judged(spark: SparkSession) -> DataFrame:
    said: dict[str, list[int | None]] = {
        "same": [1, 1, 1],
        "changed": [1, 2, 2],
        "soon": [2, 2, 1],
        "back": [1, None, 2, 1],
        "late": [None, None, 7],
        "refused": [1, -1, 1, 2],
    }
    return versions(snapshots(spark, said), ["key"], ["value"]).cache()


def test_a_record_that_stays_is_one_row_known_by_rule(judged: DataFrame) -> None:
    rows = found(judged)
    assert rows["same"] == [(1, 1, RULE_AT)]
    # First heard of on Wednesday: it still stands for what was published on Tuesday.
    assert rows["late"] == [(1, 7, RULE_AT)]


def test_a_change_is_known_when_the_day_it_appeared_in_is_over(judged: DataFrame) -> None:
    rows = found(judged)
    assert rows["changed"] == [(1, 1, RULE_AT), (2, 2, end_of(1))]
    assert rows["soon"] == [(1, 2, RULE_AT), (2, 1, end_of(2))]
    assert rows["back"] == [(1, 1, RULE_AT), (2, 2, end_of(2)), (3, 1, end_of(3))]


def test_a_change_is_never_known_before_the_rule_says(spark: SparkSession) -> None:
    later = snapshots(spark, {"early": [1, 2]}).selectExpr(
        "* EXCEPT (known_at)", "known_at + INTERVAL 9 DAYS AS known_at"
    )
    at = RULE_AT + timedelta(days=9)
    assert found(versions(later, ["key"], ["value"]))["early"] == [(1, 1, at), (2, 2, at)]


def test_what_is_refused_stays_refused_and_makes_no_version(judged: DataFrame) -> None:
    assert found(judged)["refused"] == [(1, 1, RULE_AT), (2, 2, end_of(3))]
    (row,) = judged.where(f"{RULE} IS NOT NULL").collect()
    assert (row.key, row.value, row[RULE], row.version) == ("refused", -1, "negative", None)


def test_two_records_of_a_snapshot_with_the_same_key_are_a_repeat(spark: SparkSession) -> None:
    twice = snapshots(spark, {"a": [1], "b": [2]}).selectExpr("* EXCEPT (key)", "'a' AS key")
    rows = versions(twice, ["key"], ["value"]).orderBy("source_line").collect()
    assert [(row.value, row[RULE]) for row in rows] == [(1, None), (2, "duplicate_record")]


def test_later_snapshots_never_change_earlier_rows(spark: SparkSession) -> None:
    draw = random.Random(5)
    days = 6
    said = {f"k{n}": [draw.choice((1, 1, 2, -1, None)) for _ in range(days)] for n in range(40)}
    # Each cut of the history is a set of keys of its own, so that one statement makes them all.
    cuts = {f"{key}|{cut}": values[:cut] for key, values in said.items() for cut in range(1, days + 1)}
    rows = found(versions(snapshots(spark, cuts), ["key"], ["value"]))
    for key in said:
        whole = rows.get(f"{key}|{days}", [])
        for cut in range(1, days):
            part = rows.get(f"{key}|{cut}", [])
            assert whole[: len(part)] == part
            # What was known by the end of the cut's last day is all there.
            assert [row for row in whole[len(part) :] if row[0] > 1 and row[2] <= end_of(cut - 1)] == []


def test_the_order_of_rows_plays_no_part(spark: SparkSession, judged: DataFrame) -> None:
    def rows(frame: DataFrame) -> list[Row]:
        return sorted(frame.select("key", "version", "value", "source_sha256").collect(), key=str)

    shuffled = versions(snapshots(spark, {"back": [1, None, 2, 1]}).repartition(3, "as_of"), ["key"], ["value"])
    assert rows(shuffled) == rows(judged.where("key = 'back'"))
