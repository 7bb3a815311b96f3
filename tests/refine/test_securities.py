"""Identity: a symbol and the day it was first seen, given once."""

from datetime import date

from chispa import assert_df_equality
from pyspark.sql import SparkSession

from smallcaps.refine.securities import first_seen, identify, unknown_symbols

MARCH, APRIL, MAY = date(2015, 3, 2), date(2015, 4, 1), date(2015, 5, 1)
SEEN = "symbol string, session_date date"
IDENTITY = "security_id string, symbol string, first_seen date, identity_source string"


def test_a_symbol_is_known_by_its_first_day_in_any_frame_and_case_matters(spark: SparkSession) -> None:
    bars = spark.createDataFrame([("BCPC", MAY), ("BCPC", APRIL), ("NA", MAY)], SEEN)
    trades = spark.createDataFrame([("BCPC", MARCH), ("BCpC", APRIL)], SEEN)
    expected = [
        ("T:BCPC:2015-03-02", "BCPC", MARCH, "symbol"),
        ("T:BCpC:2015-04-01", "BCpC", APRIL, "symbol"),
        ("T:NA:2015-05-01", "NA", MAY, "symbol"),
    ]
    assert_df_equality(
        first_seen([bars, trades]),
        spark.createDataFrame(expected, IDENTITY),
        ignore_row_order=True,
        ignore_nullable=True,
    )


def test_an_identity_once_given_never_moves(spark: SparkSession) -> None:
    given = first_seen([spark.createDataFrame([("A", APRIL)], SEEN)])
    earlier = first_seen([spark.createDataFrame([("A", MARCH), ("B", MARCH)], SEEN)])
    assert [row.security_id for row in unknown_symbols(earlier, given).collect()] == ["T:B:2015-03-02"]
    named = identify(spark.createDataFrame([("A", MARCH)], SEEN), given).collect()
    assert [row.security_id for row in named] == ["T:A:2015-04-01"]
