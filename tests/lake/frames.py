"""Rows of a small declared table with a constraint: silver.adjustments."""

from datetime import date

from pyspark.sql import DataFrame, SparkSession

SCHEMA = (
    "security_id string, symbol string, execution_date date, price_factor double, checked_against_price boolean, "
    "source_sha256 string"
)
DAY = date(2015, 6, 1)


def adjustments(spark: SparkSession, *rows: tuple[str | None, date, float | None]) -> DataFrame:
    """One row for each (symbol, execution date, factor)."""
    full = [(f"T:{symbol}", symbol, day, factor, True, "abc") for symbol, day, factor in rows]
    return spark.createDataFrame(full, SCHEMA)


def content(frame: DataFrame) -> set[tuple[str, date, float]]:
    """What `adjustments` was given."""
    return {(row.symbol, row.execution_date, row.price_factor) for row in frame.collect()}
