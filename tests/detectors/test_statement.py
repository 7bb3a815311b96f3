"""A statement's two texts say the same."""

import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.detectors.detect import events, statement_of
from smallcaps.detectors.statement import Statement
from tests.detectors.frames import minute_frame
from tests.oracles.planted import planted


def test_each_select_stands_in_the_next_ones_from(spark: SparkSession) -> None:
    three = Statement(
        {
            "numbers": "SELECT id FROM range(5)",
            "doubled": "SELECT numbers.*, 2 * id AS twice FROM numbers",
            "large": "SELECT twice FROM doubled WHERE twice > 5",
        }
    )
    assert str(three) == (
        "WITH numbers AS (\n  SELECT id FROM range(5)\n),\n"
        "doubled AS (\n  SELECT numbers.*, 2 * id AS twice FROM numbers\n)\n"
        "SELECT twice FROM doubled WHERE twice > 5"
    )
    assert [row.twice for row in spark.sql(three.nested).collect()] == [6, 8]
    assert spark.sql(three.nested).collect() == spark.sql(str(three)).collect()


@pytest.mark.parametrize("last", ["SELECT 1", "SELECT * FROM a JOIN (SELECT * FROM a)"])
def test_a_select_that_leaves_out_the_one_before_it_or_has_it_twice_is_refused(last: str) -> None:
    with pytest.raises(ValueError, match=r"b should select from a once, not [02] times"):
        _ = Statement({"a": "SELECT 1", "b": last}).nested


def test_what_detectors_sql_prints_gives_the_events_that_the_job_finds(spark: SparkSession, settings: Settings) -> None:
    bars, _ = planted()["volume_spike"]
    nested = events(minute_frame(spark, bars.assign(symbol="A")), settings, "minute")
    printed = spark.sql(str(statement_of(settings, "minute"))).select(*nested.columns)
    assert sorted(printed.collect()) == sorted(nested.collect()) != []
