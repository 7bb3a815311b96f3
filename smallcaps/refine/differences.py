"""Where the vendor's bars and ours differ, and why.

Minutes: ours are of trades in the minute of their publication, as they stood then. The vendor's are of the minute in which the
trade was made, as it stands now. So a trade that was reported after its minute, and one that was withdrawn, explain a difference.
Adjusted days: ours carry the splits that were believed, the vendor's those that it lists.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_PRICES = ("open", "high", "low", "close")
_SAID = (*_PRICES, "volume")
_MINUTE = ("symbol", "session_date", "ts")
_MINUTE_NS = 60_000_000_000
ADJUSTMENT_TOLERANCE = 0.002
"""The vendor rounds adjusted prices to 1/10,000 $, and factors to a millionth."""


def minute_differences(ours: DataFrame, vendor: DataFrame, trades: DataFrame) -> DataFrame:
    """Rows of ops.differences (but for bar) of one-minute bars, on the symbol-days of which there are `trades` (silver.trades)
    and bars of the vendor's. `ours` and `vendor` have silver.bars_1m's columns.
    """
    day = ["symbol", "session_date"]
    both_there = trades.select(*day).distinct().join(vendor.select(*day).distinct(), day)
    own, theirs = (frame.join(F.broadcast(both_there), day, "left_semi") for frame in (ours, vendor))
    both = own.select(*_MINUTE, _said("ours")).join(theirs.select(*_MINUTE, _said("vendor")), list(_MINUTE), "full")
    different = both.where("NOT ours <=> vendor")
    seen = trades.where("session <> 'closed'").select(
        "symbol",
        "session_date",
        (F.col("withdrawn_ns").isNotNull() | (F.col("correction") != 0)).alias("withdrawn"),
        _minute("sip_ns").alias("published"),
        _minute("participant_ns").alias("made"),
    )
    late = F.col("published") != F.col("made")
    minutes = F.explode(F.array_distinct(F.array("published", "made"))).alias("ts")
    known = (
        seen.where(F.col("withdrawn") | late)
        .select("symbol", "session_date", minutes, "withdrawn", late.alias("late"))
        .groupBy(*_MINUTE)
        .agg(F.bool_or("withdrawn").alias("withdrawn"), F.bool_or("late").alias("late"))
    )
    reason = (
        F.when(F.col("withdrawn"), "withdrawn")
        .when(F.col("late"), "late_report")
        .when(F.expr("(ours.high, ours.low, ours.volume) = (vendor.high, vendor.low, vendor.volume)"), "order")
        .when(F.col("vendor").isNull(), "vendor_lacks_minute")
        .when(F.col("ours").isNull(), "we_lack_minute")
        .otherwise("unexplained")
    )
    return different.join(known, list(_MINUTE), "left").select(*_MINUTE, reason.alias("reason"), "ours", "vendor")


def adjusted(bars: DataFrame, factors: DataFrame) -> DataFrame:
    """Rows of silver.bars_1d in the shares of another day: prices and volume, with cumulative_factor that of the day.

    `factors` has security_id and factor, the product of the splits up to that day; a security without any has 1.
    """
    ratio = F.coalesce("factor", F.lit(1.0)) / F.col("cumulative_factor")
    prices = {name: F.col(name) * ratio for name in _PRICES}
    joined = bars.join(F.broadcast(factors), "security_id", "left")
    carried = prices | {"volume": F.col("volume") / ratio, "cumulative_factor": F.coalesce("factor", F.lit(1.0))}
    return joined.withColumns(carried).drop("factor")


def day_differences(bars: DataFrame, factors: DataFrame, vendor: DataFrame) -> DataFrame:
    """The same of adjusted daily bars: silver.bars_1d by `factors` as for `adjusted`, against rows of bronze.bars_1d_adjusted."""
    doubles = [F.col(name).cast("double").alias(name) for name in _SAID]
    said = vendor.select("symbol", "session_date", *doubles).select("symbol", "session_date", _said("vendor"))
    ours = adjusted(bars, factors).select("symbol", "session_date", F.col("open_at").alias("ts"), _said("ours"))
    apart = F.abs(F.ln(F.try_divide("vendor.close", "ours.close"))) > ADJUSTMENT_TOLERANCE
    different = ours.join(said, ["symbol", "session_date"]).where(apart)
    return different.select(*_MINUTE, F.lit("adjustment").alias("reason"), "ours", "vendor")


def _minute(ns: str) -> Column:
    return F.expr(f"timestamp_micros({ns} div {_MINUTE_NS}L * {_MINUTE_NS // 1000}L)")


def _said(whose: str) -> Column:
    """A bar's prices and volume as one value, null where there is no bar."""
    return F.struct(*[F.col(name).cast("double").alias(name) for name in _SAID]).alias(whose)
