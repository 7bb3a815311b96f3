"""What volume and trades are to be expected of a name at a minute of a session, by the sessions before it.

expected volume of a minute = the name's median_volume × the minute's volume_share; likewise trades. The median is the name's
own; how a day spreads over its minutes is pooled over all names above the liquidity floor.
"""

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from smallcaps.refine.adjustments import with_factor
from smallcaps.refine.rounding import significant

SESSIONS = 20
MONTH_BEFORE_DAYS = 45
"""Calendar days that hold the 20 sessions that membership, baselines, differences and large prints look back at, and the one
before them.
"""
MINIMUM_SESSIONS = 10
"""With fewer behind it a median is none, nor is a curve of days of the usual length."""
MINUTES = 960
"""Of a session with its pre and post part: 04:00 to 20:00 New York."""
POOLED = ("volume", "transactions")
_PARTS_OF_ALL = 60
"""Divided by the minutes of a window of one to five it leaves no rest: what is smoothed stays whole."""


def baselines(bars: DataFrame, calendar: DataFrame, factors: DataFrame) -> DataFrame:
    """Rows of silver.baselines: a security and session on which, or on the one before which, it has a bar.

    `bars` are rows of silver.bars_1d and `calendar` sessions from SESSIONS before those wanted; `factors` as
    `adjustments.cumulative_factors` makes them.
    """
    traded = bars.selectExpr(
        *("security_id", "symbol", "session_number", "volume * cumulative_factor AS normal_volume"),
        "transactions",
    )
    following = traded.selectExpr("security_id", "symbol", "session_number + 1 AS session_number")
    by_session = Window.partitionBy("security_id").orderBy("session_number")
    before, same = by_session.rangeBetween(-SESSIONS, -1), by_session.rangeBetween(0, 0)
    rows = traded.unionByName(following, allowMissingColumns=True).withColumns(
        {
            "bars": F.count("normal_volume").over(before).cast("int"),
            "counted_bars": F.count("transactions").over(before).cast("int"),
            "normal": F.percentile("normal_volume", 0.5).over(before),
            "trades": F.percentile("transactions", 0.5).over(before),
            "traded": F.count("normal_volume").over(same) > 0,
        }
    )
    # Of a session on which it traded, the bar's row; else the one that follows the session before.
    rows = rows.where("normal_volume IS NOT NULL OR NOT traded").join(F.broadcast(_known(calendar)), "session_number")
    return with_factor(rows, factors, "session_date").selectExpr(
        *("security_id", "symbol", "session_date", "known_at", "bars", "counted_bars"),
        f"CASE WHEN bars >= {MINIMUM_SESSIONS} THEN normal / cumulative_factor END AS median_volume",
        f"CASE WHEN counted_bars >= {MINIMUM_SESSIONS} THEN trades END AS median_trades",
    )


def session_volumes(minutes: DataFrame, universe: DataFrame) -> DataFrame:
    """Rows of silver.session_volumes: what the names of `universe` above the floor traded together in each minute.

    `minutes` are rows of silver.bars_1m, `universe` of silver.universe, of the same days.
    """
    floored = universe.where("passes_floor").select("security_id", "session_date")
    pooled = minutes.where("session <> 'closed'").join(floored, ["security_id", "session_date"], "left_semi")
    return pooled.groupBy("session_date", "minute").agg(
        *(F.sum(one).alias(one) for one in POOLED), F.count("*").alias("bars")
    )


def volume_curves(volumes: DataFrame, calendar: DataFrame) -> DataFrame:
    """Rows of silver.volume_curves for the sessions of `calendar` that have MINIMUM_SESSIONS of their kind before them.

    `volumes` are rows of silver.session_volumes and `calendar` sessions from SESSIONS before those wanted. Days that close early
    are a kind of their own, of which one is enough: there are never ten within SESSIONS.
    """
    before = Window.partitionBy("early_close", "minute").orderBy("session_number").rangeBetween(-SESSIONS, -1)
    every_minute = _minutes(calendar).join(volumes, ["session_date", "minute"], "left")
    pooled = every_minute.withColumns({one: F.coalesce(F.sum(one).over(before), F.lit(0)) for one in POOLED})
    days = volumes.groupBy("session_date").agg(F.lit(1).alias("pooled"))
    of_kind = Window.partitionBy("early_close").orderBy("session_number").rangeBetween(-SESSIONS, -1)
    counted = calendar.join(days, "session_date", "left").select(
        "session_date", "early_close", F.count("pooled").over(of_kind).cast("int").alias("sessions")
    )
    enough = counted.where(f"sessions >= IF(early_close, 1, {MINIMUM_SESSIONS})").drop("early_close")
    around = Window.partitionBy("session_date", "session").orderBy("minute").rowsBetween(-2, 2)
    smooth = pooled.withColumns({one: _smoothed(one, around) for one in POOLED})
    latest = Window.partitionBy("session_date", "session").orderBy("minute").rowsBetween(-4, 0)
    five = F.when(F.count("*").over(latest) == 5, F.sum("volume").over(latest))
    day = Window.partitionBy("session_date")
    shares = smooth.withColumn("_volume_5m", F.try_divide(five, F.sum("volume").over(day))).withColumns(
        {f"_{one}": F.try_divide(one, F.sum(one).over(day)) for one in POOLED}
    )
    return (
        shares.join(F.broadcast(enough), "session_date")
        .join(F.broadcast(_known(calendar).drop("session_number")), "session_date")
        .selectExpr(
            *("session_date", "minute", "session", "known_at", "sessions"),
            f"{significant('_volume')} AS volume_share",
            f"{significant('_volume_5m')} AS volume_share_5m",
            f"{significant('_transactions')} AS trades_share",
        )
    )


def _known(calendar: DataFrame) -> DataFrame:
    """Sessions with known_at, the end of the one before; null for the first."""
    before = F.lag("post_close_at").over(Window.orderBy("session_number"))
    return calendar.select("session_number", "session_date", before.alias("known_at"))


def _minutes(calendar: DataFrame) -> DataFrame:
    """Every minute of every session, and the part of the session that it belongs to."""
    minutes = calendar.select("*", F.explode(F.sequence(F.lit(0), F.lit(MINUTES - 1))).alias("minute"))
    at = "timestampadd(MINUTE, minute, pre_open_at)"
    return minutes.selectExpr(
        *("session_date", "session_number", "early_close", "minute"),
        f"CASE WHEN {at} < open_at THEN 'pre' WHEN {at} < close_at THEN 'regular' ELSE 'post' END AS session",
    )


def _smoothed(column: str, around: WindowSpec) -> Column:
    """The mean over a window of at most five minutes, times _PARTS_OF_ALL so that it stays whole."""
    parts = F.lit(_PARTS_OF_ALL) / F.count("*").over(around)
    return F.sum(column).over(around) * parts.cast("bigint")
