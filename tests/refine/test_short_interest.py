"""Short interest: whose it is, when it was known, and what is refused."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.lake import RULE, declared
from smallcaps.refine.publication import SHORT_INTEREST, published
from smallcaps.refine.short_interest import judged_short_interest
from tests.refine.frames import collected, kept, refusals, snapshots

SETTLED = date(2015, 11, 13)
KNOWN = datetime(2015, 11, 26, 1, tzinfo=UTC)
"""20:00 New York of the eighth session after it (test_publication)."""
FIRST, SECOND, THIRD = (date(2015, 12, day) for day in (1, 2, 3))


def record(symbol: str, as_of: date, short: int | None, **others: Any) -> dict[str, Any]:
    named = {"symbol": symbol, "settlement_date": SETTLED, "avg_daily_volume": 100, "days_to_cover": 2.0}
    return named | {"short_interest": short, "as_of": as_of} | others


RECORDS = [
    record("A", FIRST, 200),
    record("A", SECOND, 200),
    record("A", THIRD, 300, days_to_cover=3.0),
    record("BARE", FIRST, 0, avg_daily_volume=None, days_to_cover=None),
    record("MINUS", FIRST, -1),
    record("NONE", FIRST, None),
    record("VOLUME", FIRST, 1, avg_daily_volume=-5),
    record("AHEAD", FIRST, 1, settlement_date=SECOND),
    record("ANCIENT", FIRST, 1, settlement_date=date(1989, 12, 29)),
    record("NOBODY", FIRST, 1),
    record("TWICE", FIRST, 1),
    record("TWICE", FIRST, 2),
]


def made(spark: SparkSession, records: list[dict[str, Any]]) -> DataFrame:
    rows = snapshots(spark, "bronze.short_interest", records)
    whose = rows.selectExpr("*", "CASE WHEN symbol <> 'NOBODY' THEN symbol END AS security_id")
    known = published(whose, "settlement_date", SHORT_INTEREST, max(record["as_of"] for record in records))
    return judged_short_interest(known)


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> list[dict[str, Any]]:
    return collected(made(spark, RECORDS))


COLUMNS = ("symbol", "version", "short_interest", "days_to_cover", "known_at")


def test_a_figure_is_known_eight_sessions_later_and_a_changed_one_when_it_was_seen(rows: list[dict[str, Any]]) -> None:
    assert [row for row in kept(rows, *COLUMNS) if row[0] != "TWICE"] == [
        ("A", 1, 200, 2.0, KNOWN),
        ("A", 2, 300, 3.0, datetime(2015, 12, 4, 5, tzinfo=UTC)),
        ("BARE", 1, 0, None, KNOWN),
    ]


def test_what_breaks_a_rule_is_refused_with_it(rows: list[dict[str, Any]]) -> None:
    assert refusals(rows) == {
        ("MINUS", "impossible_figure"),
        ("NONE", "impossible_figure"),
        ("VOLUME", "impossible_figure"),
        ("AHEAD", "impossible_day"),
        ("ANCIENT", "impossible_day"),
        ("NOBODY", "no_identity"),
        ("TWICE", "duplicate_record"),
    }


def test_every_record_is_a_version_a_repeat_of_one_or_refused(rows: list[dict[str, Any]]) -> None:
    # A of the second snapshot says what the first said.
    assert len(rows) == len(RECORDS) - 1


def test_what_was_known_by_a_day_is_the_same_with_later_snapshots(
    spark: SparkSession, rows: list[dict[str, Any]]
) -> None:
    earlier = collected(made(spark, [one for one in RECORDS if one["as_of"] < THIRD]))
    end = datetime(2015, 12, 3, 5, tzinfo=UTC)
    known = [row for row in rows if row[RULE] is None and row["known_at"] <= end]
    assert kept(known, *COLUMNS) == kept(earlier, *COLUMNS)


def test_the_table_has_every_column(rows: list[dict[str, Any]]) -> None:
    assert {column.name for column in declared("silver.short_interest").columns} <= set(rows[0])
