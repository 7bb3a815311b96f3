"""Who belongs to the small caps on a day, by what was known before it began.

1. A name is judged by its bar of the session before and the bars of 20 sessions up to it, all as traded.
2. Shares outstanding are those last filed, the float that last received; both are carried through the splits since, else a
   reverse split would make a company as many times as large until it files again.
3. Whoever fails a test is no member. What is not known fails nobody, and says so.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config.settings import LiquidityFloor, UniverseSettings
from smallcaps.refine.adjustments import with_factor

SESSIONS = 20


def universe(
    bars: DataFrame,
    calendar: DataFrame,
    securities: DataFrame,
    shares: DataFrame,
    floats: DataFrame,
    factors: DataFrame,
    floor: LiquidityFloor,
    settings: UniverseSettings,
) -> DataFrame:
    """Rows of silver.universe for the sessions of `calendar` but the first.

    `bars` are rows of silver.bars_1d from SESSIONS before; `shares` has security_id, known_at, filed_on and shares; `floats`
    security_id, known_at, received_on and free_float; `factors` as `adjustments.cumulative_factors` makes them.
    """
    trailing = Window.partitionBy("security_id").orderBy("session_number").rangeBetween(-(SESSIONS - 1), 0)
    judged = bars.withColumns(
        {
            "bars": F.count("*").over(trailing).cast("int"),
            "median_dollar_volume": F.percentile(F.col("close") * F.col("volume"), 0.5).over(trailing),
        }
    )
    in_order = Window.orderBy("session_date")
    days = calendar.select(
        "session_date",
        F.lead("session_date").over(in_order).alias("day"),
        F.col("post_close_at").alias("known_at"),
    ).where("day IS NOT NULL")
    base = judged.join(F.broadcast(days), "session_date").withColumnRenamed("session_date", "before")
    filed = _carried(base, shares, factors, "shares", "filed_on")
    known = _carried(filed, floats, factors, "free_float", "received_on")
    return _verdicts(_with_listing(known, securities, settings), floor, settings)


def _carried(base: DataFrame, said: DataFrame, factors: DataFrame, value: str, said_on: str) -> DataFrame:
    """`base` with the last `value` (and its day) known by known_at, in the shares of the day before."""
    following = F.lead("known_at").over(Window.partitionBy("security_id").orderBy("known_at", said_on))
    stretches = said.withColumn("until", following)
    told = with_factor(stretches, factors, said_on).select(
        "security_id",
        F.col("known_at").alias("since"),
        *("until", said_on),
        (F.col(value) * F.col("cumulative_factor")).alias(value),
    )
    holds = (
        (F.col("base.security_id") == F.col("told.security_id"))
        & (F.col("told.since") <= F.col("base.known_at"))
        & (F.col("told.until").isNull() | (F.col("base.known_at") < F.col("told.until")))
    )
    joined = base.alias("base").join(F.broadcast(told).alias("told"), holds, "left")
    return joined.select(
        "base.*", f"told.{said_on}", (F.col(f"told.{value}") / F.col("base.cumulative_factor")).alias(value)
    )


def _with_listing(base: DataFrame, securities: DataFrame, settings: UniverseSettings) -> DataFrame:
    listed = securities.where("identity_source <> 'symbol'").select(
        "security_id",
        "valid_from",
        (F.col("ticker_type").isin(*settings.types) & F.col("primary_exchange").isin(*settings.exchanges)).alias(
            "is_listed"
        ),
    )
    latest = F.max_by("is_listed", "valid_from").alias("is_listed")
    return base.join(F.broadcast(listed.groupBy("security_id").agg(latest)), "security_id", "left")


def _verdicts(known: DataFrame, floor: LiquidityFloor, settings: UniverseSettings) -> DataFrame:
    capital = F.col("close") * F.col("shares")
    tests: dict[str, Column] = {
        "passes_floor": F.col("close").between(floor.minimum_price, floor.maximum_price)
        & (F.col("median_dollar_volume") >= floor.minimum_dollar_volume)
        & (F.col("bars") >= floor.minimum_bars)
        & ~F.col("zero_volume"),
        "market_cap": capital,
        "is_small_cap": capital.between(settings.minimum_market_cap, settings.maximum_market_cap),
        "is_low_float": F.col("free_float") < settings.low_float,
    }
    rows = known.withColumns(tests)
    nothing_against = F.coalesce("is_small_cap", F.lit(True)) & F.coalesce("is_listed", F.lit(True))
    return rows.select(
        *("security_id", "symbol"),
        F.col("day").alias("session_date"),
        "known_at",
        F.col("close").alias("previous_close"),
        *("bars", "median_dollar_volume"),
        (~F.col("zero_volume")).alias("traded_before"),
        F.col("shares").alias("shares_outstanding"),
        F.col("filed_on").alias("shares_filed_on"),
        *("market_cap", "free_float", "passes_floor", "is_listed", "is_small_cap", "is_low_float"),
        (F.col("passes_floor") & nothing_against).alias("is_member"),
    )
