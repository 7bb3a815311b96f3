"""Judged rows of a table by day: the sound ones are its rows once they are committed, the refused ones are in quarantine."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from smallcaps.errors import BadData
from smallcaps.lake import RULE, Commit, Lake, recorded_run
from tests.microstructure.tables import as_table

TABLE = "silver.bars_1h"
MONDAY, TUESDAY, WEDNESDAY = date(2026, 10, 5), date(2026, 10, 6), date(2026, 10, 7)
REASONS = {"high_below_low": "the high is below the low"}


def judged(spark: SparkSession, *bars: tuple[str, date, float, str | None]) -> DataFrame:
    """An hour of 100 shares for each (symbol, day, price, rule that it breaks); one after another, the lines of a file."""
    rows = [
        {
            "security_id": f"T:{symbol}",
            "symbol": symbol,
            "session_date": day,
            "ts": datetime(day.year, day.month, day.day, 14, tzinfo=UTC),
            "session": "regular",
            **dict.fromkeys(("open", "high", "low", "close"), price),
            "volume": 100,
            "transactions": 1,
            "source": "vendor",
        }
        for symbol, day, price, _ in bars
    ]
    sources = [(symbol, day, rule, "abc", line) for line, (symbol, day, _, rule) in enumerate(bars, start=2)]
    beside = spark.createDataFrame(
        sources, f"symbol string, session_date date, {RULE} string, source_sha256 string, source_line bigint"
    )
    return as_table(spark, TABLE, rows).join(beside, ["symbol", "session_date"])


def replace(lake: Lake, frame: DataFrame, first: date, last: date, rows_in: int | None = None) -> Commit:
    with recorded_run(lake, "example", {}, "digest") as run:
        return run.replace_judged_days(TABLE, frame, REASONS, first, last, rows_in)


def content(lake: Lake) -> set[tuple[str, date, float]]:
    """What a reader other than Spark sees."""
    rows = DeltaTable(lake.location(TABLE)).to_pyarrow_table().to_pylist()
    return {(row["symbol"], row["session_date"], row["close"]) for row in rows}


def parquet_files(lake: Lake) -> set[Path]:
    return set(Path(lake.location(TABLE)).rglob("*.parquet"))


def test_sound_rows_take_the_place_of_the_days_and_refused_ones_are_in_quarantine(
    lake: Lake, spark: SparkSession
) -> None:
    before = judged(spark, ("A", MONDAY, 1.0, None), ("A", TUESDAY, 1.0, None), ("A", WEDNESDAY, 1.0, None))
    assert replace(lake, before, MONDAY, WEDNESDAY).rows == 3
    after = judged(
        spark,
        *(("B", TUESDAY, 3.0, None), ("A", MONDAY, 2.0, None), ("C", MONDAY, 9.0, "high_below_low")),
        *(("C", TUESDAY, 2.5, None), ("A", TUESDAY, 8.0, "high_below_low")),
    )
    for _ in range(2):
        assert replace(lake, after, MONDAY, TUESDAY, 5).rows == 3
        assert content(lake) == {
            ("A", MONDAY, 2.0),
            ("B", TUESDAY, 3.0),
            ("C", TUESDAY, 2.5),
            ("A", WEDNESDAY, 1.0),
        }
        assert {(row.symbol, row.session_date, row.close) for row in lake.read(TABLE).collect()} == content(lake)
        refused = lake.read("ops.quarantine").orderBy("source_line").collect()
        assert [(row.rule, row.reason, row.source_line) for row in refused] == [
            ("high_below_low", "the high is below the low", 4),
            ("high_below_low", "the high is below the low", 6),
        ]
        assert '"close":9.0' in refused[0].payload
    run = lake.read("ops.runs").orderBy("started_at").collect()[-1]
    assert (run.rows_in, run.rows_kept, run.rows_quarantined) == (5, 3, 2)


def test_a_day_without_sound_rows_is_empty_afterwards(lake: Lake, spark: SparkSession) -> None:
    replace(lake, judged(spark, ("A", MONDAY, 1.0, None), ("A", TUESDAY, 1.0, None)), MONDAY, TUESDAY)
    assert replace(lake, judged(spark, ("A", MONDAY, 1.0, "high_below_low")), MONDAY, MONDAY).rows == 0
    assert content(lake) == {("A", TUESDAY, 1.0)}


@pytest.mark.parametrize(
    ("days", "rows_in", "told"),
    [
        ((MONDAY, MONDAY), None, r"silver\.bars_1h: rows of 2026-10-06 are not of 2026-10-05 to 2026-10-05"),
        ((MONDAY, TUESDAY), 3, r"silver\.bars_1h: 3 rows came in and 2 were judged"),
    ],
)
def test_what_may_not_be_committed_leaves_the_table_and_its_folder_as_they_were(
    lake: Lake, spark: SparkSession, days: tuple[date, date], rows_in: int | None, told: str
) -> None:
    replace(lake, judged(spark, ("A", MONDAY, 1.0, None)), MONDAY, MONDAY)
    version, files = lake.version(TABLE), parquet_files(lake)
    rows = judged(spark, ("B", MONDAY, 2.0, None), ("B", TUESDAY, 2.0, None))
    with pytest.raises(BadData, match=told):
        replace(lake, rows, *days, rows_in)
    assert (lake.version(TABLE), parquet_files(lake)) == (version, files)


def test_a_suite_that_stops_leaves_no_file(lake: Lake, spark: SparkSession) -> None:
    lake.suites = True
    replace(lake, judged(spark, ("A", MONDAY, 1.0, None)), MONDAY, MONDAY)
    version, files = lake.version(TABLE), parquet_files(lake)
    rows = judged(spark, ("A", MONDAY, 2.0, None), ("B", MONDAY, -2.0, None))
    with pytest.raises(BadData, match="was left as it was"):
        replace(lake, rows, MONDAY, MONDAY)
    assert (lake.version(TABLE), parquet_files(lake)) == (version, files)
    (row,) = lake.read("ops.quarantine").collect()
    assert row.rule.startswith("suite:")
    assert '"symbol":"B"' in row.payload


def test_without_suites_a_row_that_does_not_meet_a_constraint_fails(lake: Lake, spark: SparkSession) -> None:
    with pytest.raises(PySparkException, match="a sound row does not meet"):
        replace(lake, judged(spark, ("A", MONDAY, -2.0, None)), MONDAY, MONDAY)
    assert content(lake) == set()
