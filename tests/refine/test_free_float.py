"""Free float: nothing before the first receipt, a row where the figure changed."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.lake import RULE, declared
from smallcaps.refine.free_float import judged_float
from tests.refine.frames import collected, kept, refusals, snapshots

FIRST, SECOND, THIRD = (date(2015, 12, day) for day in (1, 2, 3))
ENDS = {FIRST: datetime(2015, 12, 2, 5, tzinfo=UTC), THIRD: datetime(2015, 12, 4, 5, tzinfo=UTC)}
COLUMNS = ("security_id", "version", "symbol", "free_float", "effective_date", "known_at")
OLD, NEW = date(2015, 9, 30), date(2015, 11, 30)


def record(symbol: str, as_of: date, shares: int | None, **others: Any) -> dict[str, Any]:
    named = {"symbol": symbol, "as_of": as_of, "effective_date": OLD, "free_float_percent": 80.0}
    return named | {"free_float": shares} | others


RECORDS = [
    record("A", FIRST, 1000),
    record("A", SECOND, 1000, effective_date=NEW),
    record("A", THIRD, 1200, effective_date=NEW),
    record("OLDB", FIRST, 500),
    record("NEWB", SECOND, 500),
    record("LATE", THIRD, 7, free_float_percent=None, effective_date=None),
    record("MINUS", FIRST, -1),
    record("NONE", FIRST, None),
    record("SHARE", FIRST, 1, free_float_percent=101.0),
    record("AHEAD", FIRST, 1, effective_date=SECOND),
    record("NOBODY", FIRST, 1),
]


def made(spark: SparkSession, records: list[dict[str, Any]]) -> DataFrame:
    whose = "CASE WHEN symbol LIKE '%B' THEN 'B' WHEN symbol <> 'NOBODY' THEN symbol END AS security_id"
    return judged_float(snapshots(spark, "bronze.float", records).selectExpr("*", whose))


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> list[dict[str, Any]]:
    return collected(made(spark, RECORDS))


def test_a_figure_is_known_when_the_day_of_its_receipt_is_over(rows: list[dict[str, Any]]) -> None:
    assert kept(rows, *COLUMNS) == [
        # The second snapshot has the same figure, of a later day: no row.
        ("A", 1, "A", 1000, OLD, ENDS[FIRST]),
        ("A", 2, "A", 1200, NEW, ENDS[THIRD]),
        # A new symbol is no new figure.
        ("B", 1, "OLDB", 500, OLD, ENDS[FIRST]),
        ("LATE", 1, "LATE", 7, None, ENDS[THIRD]),
    ]


def test_what_breaks_a_rule_is_refused_with_it(rows: list[dict[str, Any]]) -> None:
    assert refusals(rows) == {
        ("MINUS", "impossible_figure"),
        ("NONE", "impossible_figure"),
        ("SHARE", "impossible_figure"),
        ("AHEAD", "impossible_day"),
        ("NOBODY", "no_identity"),
    }


def test_what_was_known_by_a_day_is_the_same_with_later_snapshots(
    spark: SparkSession, rows: list[dict[str, Any]]
) -> None:
    earlier = collected(made(spark, [one for one in RECORDS if one["as_of"] < THIRD]))
    known = [row for row in rows if row[RULE] is None and row["known_at"] < ENDS[THIRD]]
    assert kept(known, *COLUMNS) == kept(earlier, *COLUMNS)
    assert known


def test_the_table_has_every_column(rows: list[dict[str, Any]]) -> None:
    assert {column.name for column in declared("silver.float").columns} <= set(rows[0])
