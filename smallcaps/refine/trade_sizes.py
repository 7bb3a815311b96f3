"""How large a name's trades were: counted by dollars each session, and quantiles of that over the sessions before a day.

Buckets are logarithmic, so that a session of any name is some hundred rows at most and sums over sessions are sums of counts.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.refine.baselines import SESSIONS
from smallcaps.refine.ticks import WHOLE_DAYS

BUCKETS_PER_E = 100
"""Into so many a factor of e is divided: a bucket ends 1.005 % above where it begins."""


def trade_sizes(trades: DataFrame) -> DataFrame:
    """Rows of silver.trade_sizes: the trades of a session that is here whole which count towards volume and were not reported
    late. `trades` are rows of silver.trades.
    """
    counted = trades.where(f"updates_volume AND NOT is_late AND {WHOLE_DAYS}")
    bucket = F.expr(f"cast(floor({BUCKETS_PER_E} * ln(price * cast(size AS double))) AS int)").alias("bucket")
    return counted.groupBy("security_id", "session_date", bucket).agg(F.count("*").alias("trades"))


def earlier_quantiles(sizes: DataFrame, days: DataFrame, calendar: DataFrame, quantile: float) -> DataFrame:
    """security_id, session_date and `dollars`: of each of `days` with a trade in the SESSIONS sessions before, their quantile,
    interpolated. A trade counts as where its bucket begins, so the result is up to 1 % below that of the trades, never above.

    `sizes` are rows of silver.trade_sizes, `days` distinct security_id and session_date, `calendar` rows of silver.calendar from
    SESSIONS before them on.
    """
    numbers = F.broadcast(calendar.select("session_date", "session_number"))
    before = F.explode(F.sequence(F.col("session_number") - SESSIONS, F.col("session_number") - 1))
    asked = days.join(numbers, "session_date").select("security_id", "session_date", before.alias("earlier"))
    earlier = sizes.join(numbers, "session_date").selectExpr(
        "security_id", "session_number AS earlier", f"exp(bucket / {BUCKETS_PER_E}D) AS dollars", "trades"
    )
    met = earlier.join(F.broadcast(asked), ["security_id", "earlier"])
    found = F.expr(f"percentile(dollars, {quantile}D, trades)").alias("dollars")
    return met.groupBy("security_id", "session_date").agg(found)
