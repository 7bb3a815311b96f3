"""What became stale, told from the runs and from the rows that changed."""

from dataclasses import asdict
from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from smallcaps.errors import BadInput
from smallcaps.lake import Lake, recorded_run, stale, with_nulls
from tests.lake.frames import adjustments
from tests.lake.june import BARS, CALENDAR, FACTORS, FIRST, LAST, day, make, put
from tests.refine.frames import bronze_bars
from tests.sources.vendor_files import bar

pytestmark = pytest.mark.slow


def told(lake: Lake) -> dict[str, tuple[list[int], list[str]]]:
    """By table: which days of June are stale, and since what changed."""
    return {one.table: ([found.day for found in one.days], list(one.changed)) for one in stale(lake)}


@pytest.fixture
def ten_days(lake: Lake) -> Lake:
    """Bars of 1 to 12 June, and a calendar of them that was made of each day's own bars."""
    put(lake, {number: 5.0 + number / 10 for number in (1, 2, 3, 4, 5, 8, 9, 10, 11, 12)})
    make(lake, FIRST, LAST)
    return lake


def test_files_that_were_put_together_change_nothing_though_the_small_ones_are_gone(ten_days: Lake) -> None:
    put(ten_days, {15: 6.5}, where="session_date = DATE'2015-06-15'")
    make(ten_days, FIRST, LAST)
    small = ten_days.files(BARS)

    assert ten_days.compact(BARS, "upkeep") == (len(small), 1)
    for file in small:
        (Path(ten_days.location(BARS)) / file).unlink()
    assert told(ten_days) == {}

    put(ten_days, {16: 6.6}, where="session_date = DATE'2015-06-16'")
    ten_days.compact(BARS, "upkeep")
    assert told(ten_days) == {}
    put(ten_days, {3: 9.0}, where="session_date = DATE'2015-06-03'")
    assert told(ten_days) == {CALENDAR: ([3], [BARS])}


def test_nothing_is_stale_where_nothing_changed(ten_days: Lake) -> None:
    assert stale(ten_days) == []


def test_an_empty_lake_has_nothing_stale(lake: Lake) -> None:
    assert stale(lake) == []


def test_a_changed_row_makes_its_day_stale_and_no_other(ten_days: Lake) -> None:
    put(ten_days, {4: 9.0}, "session_date = DATE'2015-06-04'")
    assert told(ten_days) == {CALENDAR: ([4], [BARS])}


def test_a_day_published_again_with_the_same_rows_makes_nothing_stale(ten_days: Lake) -> None:
    before = ten_days.version(BARS)
    put(ten_days, {4: 5.4}, "session_date = DATE'2015-06-04'")
    assert ten_days.version(BARS) > before
    assert stale(ten_days) == []


def test_a_row_that_is_gone_or_doubled_makes_its_day_stale(ten_days: Lake, spark: SparkSession) -> None:
    put(ten_days, {}, "session_date = DATE'2015-06-02'")
    rows = [("2015-06-09", bar("A", "2015-06-09", close=5.9))] * 2
    ten_days.replace(BARS, bronze_bars(spark, BARS, rows), "session_date = DATE'2015-06-09'", "ingest")
    assert told(ten_days) == {CALENDAR: ([2, 9], [BARS])}


def test_what_was_made_again_is_no_longer_stale(ten_days: Lake) -> None:
    put(ten_days, {3: 9.0, 10: 9.0}, "session_date IN (DATE'2015-06-03', DATE'2015-06-10')")
    make(ten_days, day(10), day(11))
    assert told(ten_days) == {CALENDAR: ([3], [BARS])}
    make(ten_days, FIRST, LAST)
    assert stale(ten_days) == []


def test_a_later_day_makes_nothing_of_the_past_stale_unless_it_was_looked_at(lake: Lake) -> None:
    put(lake, dict.fromkeys((1, 2, 3, 4, 5), 5.0))
    make(lake, day(1), day(3), ahead=1)
    put(lake, {8: 5.0}, "session_date = DATE'2015-06-08'")
    assert stale(lake) == []
    # The run of 1 to 3 June looked one calendar day ahead: at the 4th.
    put(lake, {4: 6.0}, "session_date = DATE'2015-06-04'")
    assert told(lake) == {CALENDAR: ([3], [BARS])}


def test_a_change_reaches_forward_as_far_as_the_run_looked_back(lake: Lake) -> None:
    put(lake, dict.fromkeys((1, 2, 3, 4, 5, 8, 9, 10), 5.0))
    make(lake, day(3), day(10), back=4)
    put(lake, {2: 6.0}, "session_date = DATE'2015-06-02'")
    # 2 + 4 = 6 June, a Saturday; what is made begins with the 3rd.
    assert told(lake) == {CALENDAR: ([3, 4, 5], [BARS])}


def test_a_change_before_what_was_read_touches_nothing(lake: Lake) -> None:
    put(lake, dict.fromkeys((1, 2, 3, 4, 5), 5.0))
    make(lake, day(4), day(5), back=1)
    put(lake, {1: 6.0}, "session_date = DATE'2015-06-01'")
    assert stale(lake) == []


def test_a_new_split_makes_the_days_from_its_execution_on_stale(ten_days: Lake, spark: SparkSession) -> None:
    with recorded_run(ten_days, "refine", {"table": FACTORS}, "settings") as run:
        run.replace(FACTORS, adjustments(spark, ("A", day(2), 0.5)), None)
    make(ten_days, FIRST, LAST, reads=[FACTORS])
    assert stale(ten_days) == []
    later = adjustments(spark, ("A", day(2), 0.5), ("B", day(10), 10.0))
    ten_days.replace(FACTORS, later, None, "later")
    assert told(ten_days) == {CALENDAR: ([10, 11, 12], [FACTORS])}


def test_a_table_that_was_not_there_is_a_change_when_it_comes(ten_days: Lake, spark: SparkSession) -> None:
    make(ten_days, FIRST, LAST, reads=[FACTORS])
    ten_days.replace(FACTORS, adjustments(spark, ("A", day(11), 0.5)), None, "later")
    assert told(ten_days) == {CALENDAR: ([11, 12], [FACTORS])}


def securities(spark: SparkSession, valid_to: date | None, as_of: date) -> DataFrame:
    columns = "security_id string, symbol string, valid_from date, valid_to date, identity_source string, as_of date"
    rows = [("BBG1", "A", day(1), valid_to, "figi", as_of)]
    return spark.createDataFrame(rows, columns)


def test_the_end_of_a_spell_touches_the_days_after_it_alone(ten_days: Lake, spark: SparkSession) -> None:
    name = "silver.securities"
    ten_days.replace(name, with_nulls(securities(spark, None, day(5)), name), None, "first")
    make(ten_days, FIRST, LAST, reads=[name])
    # Said again a day later, that is no change.
    ten_days.replace(name, with_nulls(securities(spark, None, day(6)), name), None, "second")
    assert stale(ten_days) == []
    ten_days.replace(name, with_nulls(securities(spark, day(10), day(7)), name), None, "third")
    assert told(ten_days) == {CALENDAR: ([10, 11, 12], [name])}


def test_a_table_made_as_a_whole_is_stale_as_a_whole(lake: Lake, spark: SparkSession) -> None:
    put(lake, {1: 5.0, 2: 5.0})
    with recorded_run(lake, "refine", {"table": FACTORS, "from": FIRST, "to": LAST}, "settings") as run:
        run.read(BARS)
        run.replace(FACTORS, adjustments(spark, ("A", day(2), 0.5)), None)
    assert stale(lake) == []
    put(lake, {2: 6.0}, "session_date = DATE'2015-06-02'")
    (one,) = stale(lake)
    assert asdict(one) == {
        "table": FACTORS,
        "job": "refine",
        "arguments": {"table": FACTORS, "from": "2015-06-01", "to": "2015-06-12"},
        "days": (),
        "changed": (BARS,),
    }


def test_a_version_whose_log_is_gone_counts_as_changed(ten_days: Lake) -> None:
    put(ten_days, {4: 9.0}, "session_date = DATE'2015-06-04'")
    log = Path(ten_days.location(BARS)) / "_delta_log"
    # As Delta's clean-up leaves it: a checkpoint of the present, and nothing before.
    DeltaTable(ten_days.location(BARS)).create_checkpoint()
    for old in (0, 1):
        (log / f"{old:020}.json").unlink()
    found = told(ten_days)
    assert found == {CALENDAR: ([1, 2, 3, 4, 5, 8, 9, 10, 11, 12], [BARS])}


def test_days_are_told_as_stretches_of_sessions(ten_days: Lake) -> None:
    put(
        ten_days,
        {4: 9.0, 5: 9.0, 8: 9.0, 11: 9.0},
        "session_date IN (DATE'2015-06-04', DATE'2015-06-05', DATE'2015-06-08', DATE'2015-06-11')",
    )
    (one,) = stale(ten_days)
    # A weekend lies between the 5th and the 8th.
    assert one.ranges == [(day(4), day(8)), (day(11), day(11))]


def test_an_unknown_table_is_refused(ten_days: Lake) -> None:
    with pytest.raises(BadInput, match=r"silver\.nothing"):
        stale(ten_days, ["silver.nothing"])
