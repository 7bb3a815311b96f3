"""Short volume off exchange: when a day's figures were known, and what is refused."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.lake import RULE, declared
from smallcaps.refine.labels import calendar_frame
from smallcaps.refine.publication import SHORT_VOLUME, published
from smallcaps.refine.short_volume import judged_short_volume
from tests.refine.frames import collected, kept, refusals, snapshots

WEDNESDAY, THANKSGIVING, FRIDAY, MONDAY = (date(2015, 11, day) for day in (25, 26, 27, 30))
COLUMNS = ("symbol", "session_date", "version", "short_volume", "known_at")


def record(
    symbol: str, day: date, as_of: date, short: str | None, total: str = "100", exempt: str | None = None
) -> Any:
    figures = {"short_volume": short, "total_volume": total, "exempt_volume": exempt}
    numbers = {name: None if text is None else Decimal(text) for name, text in figures.items()}
    return {"symbol": symbol, "trade_date": day, "as_of": as_of, **numbers}


RECORDS = [
    record("A", WEDNESDAY, WEDNESDAY, "40.5", exempt="0.5"),
    record("A", WEDNESDAY, FRIDAY, "40.5", exempt="0.5"),
    record("A", FRIDAY, FRIDAY, "50"),
    record("A", WEDNESDAY, MONDAY, "41", exempt="0.5"),
    record("A", THANKSGIVING, FRIDAY, "50"),
    record("MORE", WEDNESDAY, FRIDAY, "101"),
    record("MINUS", WEDNESDAY, FRIDAY, "-1"),
    record("NONE", WEDNESDAY, FRIDAY, None),
    record("EXEMPT", WEDNESDAY, FRIDAY, "5", exempt="6"),
    record("AHEAD", FRIDAY, WEDNESDAY, "5"),
    record("NOBODY", WEDNESDAY, FRIDAY, "5"),
]


def made(spark: SparkSession, records: list[dict[str, Any]]) -> DataFrame:
    rows = snapshots(spark, "bronze.short_volume", records).withColumnRenamed("trade_date", "session_date")
    whose = rows.selectExpr("*", "CASE WHEN symbol <> 'NOBODY' THEN symbol END AS security_id")
    known = published(whose, "session_date", SHORT_VOLUME, max(record["as_of"] for record in records))
    return judged_short_volume(known, calendar_frame(spark, WEDNESDAY, MONDAY))


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> list[dict[str, Any]]:
    return collected(made(spark, RECORDS))


def test_a_days_figures_are_known_at_eleven_of_the_next_session(rows: list[dict[str, Any]]) -> None:
    assert kept(rows, *COLUMNS) == [
        # Thursday is a holiday; 11:00 in winter is 16:00 UTC.
        ("A", WEDNESDAY, 1, Decimal("40.5"), datetime(2015, 11, 27, 16, tzinfo=UTC)),
        ("A", WEDNESDAY, 2, Decimal("41"), datetime(2015, 12, 1, 5, tzinfo=UTC)),
        ("A", FRIDAY, 1, Decimal("50"), datetime(2015, 11, 30, 16, tzinfo=UTC)),
    ]


def test_what_breaks_a_rule_is_refused_with_it(rows: list[dict[str, Any]]) -> None:
    assert refusals(rows) == {
        ("A", "not_a_session"),
        ("MORE", "impossible_figure"),
        ("MINUS", "impossible_figure"),
        ("NONE", "impossible_figure"),
        ("EXEMPT", "impossible_figure"),
        ("AHEAD", "impossible_day"),
        ("NOBODY", "no_identity"),
    }
    # 11 records, of which one repeats another.
    assert len(rows) == len(RECORDS) - 1


def test_what_was_known_by_a_day_is_the_same_with_later_snapshots(
    spark: SparkSession, rows: list[dict[str, Any]]
) -> None:
    earlier = collected(made(spark, [one for one in RECORDS if one["as_of"] < MONDAY]))
    end = datetime(2015, 11, 30, 16, tzinfo=UTC)
    known = [row for row in rows if row[RULE] is None and row["known_at"] <= end]
    assert kept(known, *COLUMNS) == kept(earlier, *COLUMNS)


def test_the_table_has_every_column(rows: list[dict[str, Any]]) -> None:
    assert {column.name for column in declared("silver.short_volume").columns} <= set(rows[0])
