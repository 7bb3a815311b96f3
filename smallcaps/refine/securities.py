"""Who a symbol is. Until FIGIs are known, a symbol and the day it was first seen."""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def first_seen(frames: list[DataFrame]) -> DataFrame:
    """Rows of silver.securities for every symbol of `frames` (each with symbol and session_date)."""
    days = reduce(DataFrame.unionByName, [frame.select("symbol", "session_date") for frame in frames])
    return (
        days.groupBy("symbol")
        .agg(F.min("session_date").alias("first_seen"))
        .select(
            F.concat_ws(":", F.lit("T"), "symbol", F.col("first_seen").cast("string")).alias("security_id"),
            "symbol",
            "first_seen",
            F.lit("symbol").alias("identity_source"),
        )
    )


def unknown_symbols(candidates: DataFrame, securities: DataFrame) -> DataFrame:
    """The candidates whose symbol has no identity yet; an identity once given never moves."""
    return candidates.join(securities.select("symbol"), "symbol", "left_anti")


def identify(frame: DataFrame, securities: DataFrame) -> DataFrame:
    """`frame` with security_id by symbol."""
    return frame.join(F.broadcast(securities.select("symbol", "security_id")), "symbol", "left")
