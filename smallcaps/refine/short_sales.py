"""Rule 201: a regular-hours trade at or below 90 % of the close before restricts short sales, that day and the next session."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

SHARE_OF_CLOSE = 0.9
_LIMIT = f"price <= {SHARE_OF_CLOSE} * prior_close"


def prior_closes(bars: DataFrame) -> DataFrame:
    """security_id, session_date and prior_close: the close of the bar before, in the shares of the day.

    `bars` are rows of silver.bars_1d, those before the first day wanted among them. A bar without volume has no close: what it
    shows was carried, over a split too.
    """
    before = Window.partitionBy("security_id").orderBy("session_date")
    carried = F.lag("close").over(before) * F.col("cumulative_factor") / F.lag("cumulative_factor").over(before)
    traded = bars.where("NOT zero_volume")
    return traded.select("security_id", "session_date", carried.alias("prior_close")).where("prior_close IS NOT NULL")


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
