"""Rule 201: a regular-hours trade at or below 90 % of the close before restricts short sales, that day and the next session."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.refine.bars import LOOK_BACK_DAYS
from smallcaps.refine.rounding import significant

SHARE_OF_CLOSE = 0.9
# Rounded: 0.9 · 3.30 is less than 2.97 in floating numbers, and one trigger in forty is at the limit itself.
_LIMIT = f"price <= {significant(f'({SHARE_OF_CLOSE}D * prior_close)')}"


def prior_closes(bars: DataFrame) -> DataFrame:
    """security_id, session_date and prior_close: the close of the bar before, in the shares of the day.

    `bars` are rows of silver.bars_1d, those of LOOK_BACK_DAYS before the first day wanted among them; a close from longer ago
    restricts nobody. A bar without volume has no close: what it shows was carried, over a split too.
    """
    before = Window.partitionBy("security_id").orderBy("session_date")
    carried = F.lag("close").over(before) * F.col("cumulative_factor") / F.lag("cumulative_factor").over(before)
    age = F.datediff("session_date", F.lag("session_date").over(before)).alias("age")
    traded = bars.where("NOT zero_volume").select("security_id", "session_date", carried.alias("prior_close"), age)
    return traded.where(F.col("age") <= LOOK_BACK_DAYS).drop("age")


def restrictions(trades: DataFrame, bars: DataFrame, prior: DataFrame, calendar: DataFrame) -> DataFrame:
    """Rows of silver.short_sale_restrictions: by the trades of symbol-days that have any, else by daily bars.

    A trade counts that may set high and low and that nobody had withdrawn within its second. `calendar` goes on to the session
    after the last day.
    """
    key = ["security_id", "session_date"]
    told = trades.where(
        "session = 'regular' AND updates_high_low AND coalesce(withdrawn_ns - sip_ns > 1000000000L, true)"
    )
    first = F.min_by(F.struct("price", "sip_ns"), F.struct("sip_ns", "sequence_number")).alias("first")
    by_trades = (
        told.join(prior, key)
        .where(_LIMIT)
        .groupBy(*key, "symbol", "prior_close")
        .agg(first)
        .selectExpr(
            *(*key, "symbol", "prior_close", "first.price AS price", "first.sip_ns AS triggered_ns"),
            "timestamp_micros(first.sip_ns div 1000) AS known_at",
            "'trades' AS source",
        )
    )
    lows = bars.where("NOT zero_volume").withColumnRenamed("low", "price").join(prior, key).where(_LIMIT)
    by_bars = lows.join(told.select(*key).distinct(), key, "left_anti").selectExpr(
        *(*key, "symbol", "prior_close", "price", "cast(NULL AS bigint) AS triggered_ns"),
        "close_at AS known_at",
        "'bars' AS source",
    )
    following = F.lead("session_date").over(Window.orderBy("session_date"))
    last = F.broadcast(calendar.select("session_date", following.alias("last_session")))
    return by_trades.unionByName(by_bars).join(last, "session_date")
