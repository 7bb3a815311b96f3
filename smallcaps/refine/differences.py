"""Where the vendor's bars and ours differ, and why; and where bars contradict one another.

Minutes: ours are of trades in the minute of their publication, as they stood then. The vendor's are of the minute in which the
trade was made, as it stands now. So a trade that was reported after its minute, and one that was withdrawn, explain a difference.
Adjusted days: ours carry the splits that were believed, the vendor's those that it lists.
Hours: the vendor's against its own minutes. Trades that set no price make no minute bar, and those are odd lots, single large
ones apart; round lots by the dozen that no minute has, or as many trades as in minutes with a bar, are minutes that are missing.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

ISOLATED = 0.08
"""How far a price must lie beyond those of the minutes before and after to be told of, as a share."""
ROUND_LOT = 100
TRADES_A_MINUTE = 3
"""Trades without a minute bar, for each minute that has none, from which on they are too many to have set no price."""
OUTSIDE, BARS_AROUND, BARS_OUTSIDE = 0.001, 4, 4
"""How far a mean price must lie outside its bar's range, as a share, and in how many of the bars around, itself included: odd
lots count in the mean and set neither high nor low, so now and then it lies a little outside. A single trade's never does.
"""
MOVE, SESSIONS_BEFORE, USUAL_TIMES = 0.25, 20, 3.0
"""An overnight return (its logarithm) that comes with no more than so many times the usual dollars of a day (the median of those
before) is a split's rather than the market's.
"""
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


def isolated_minutes(minutes: DataFrame) -> DataFrame:
    """The same of minutes of silver.bars_1m with a price that neither the minute with trades before nor the one after came near:
    a bad print, or a thin name's luck. Told when the day is over; no column of the bars, which must not look ahead.
    """
    by_time = Window.partitionBy("symbol", "session_date").orderBy("ts")
    around = {
        f"_{side}_{name}": F.expr(f"{side}({name})").over(by_time)
        for side in ("lag", "lead")
        for name in ("high", "low")
    }
    too_high = f"high >= {1 + ISOLATED} * greatest(_lag_high, _lead_high)"
    too_low = f"low * {1 + ISOLATED} <= least(_lag_low, _lead_low)"
    both = "_lag_high IS NOT NULL AND _lead_high IS NOT NULL"
    found = minutes.withColumns(around).where(f"{both} AND ({too_high} OR {too_low})")
    return found.select(*_MINUTE, F.lit("isolated_price").alias("reason"), *_whose(F.col("source") == "trades"))


def incomplete_hours(hours: DataFrame, minutes: DataFrame) -> DataFrame:
    """The same of the vendor's hours (sound rows in silver.bars_1h's columns) that its own `minutes` (silver.bars_1m's) lack."""
    rolled = minutes.groupBy("symbol", F.date_trunc("hour", "ts").alias("ts")).agg(
        F.count("*").alias("_minutes"),
        F.sum("transactions").alias("_transactions"),
        F.struct(
            F.min_by("open", "ts").alias("open"),
            F.max("high").alias("high"),
            F.min("low").alias("low"),
            F.max_by("close", "ts").alias("close"),
            F.sum("volume").cast("double").alias("volume"),
        ).alias("ours"),
    )
    trades = "(transactions - _transactions)"
    lacking = (
        f"{trades} > 0 AND {trades} >= {TRADES_A_MINUTE} * (60 - _minutes) AND "
        f"(volume - ours.volume >= {ROUND_LOT} * {trades} OR {trades} * _minutes >= _transactions * (60 - _minutes))"
    )
    compared = hours.join(rolled, ["symbol", "ts"], "left").where(f"ours IS NULL OR ({lacking})")
    return compared.select(*_MINUTE, F.lit("minutes_missing").alias("reason"), "ours", _said("vendor"))


def outside_averages(bars: DataFrame) -> DataFrame:
    """The same of vendor's bars (symbol, session_date, window_start_ns, prices, vwap, transactions) whose mean price is outside
    low–high though they are of a single trade, or as those of their neighbours are, too.
    """
    around = (
        Window.partitionBy("symbol", "session_date").orderBy("window_start_ns").rowsBetween(-BARS_AROUND, BARS_AROUND)
    )
    outside = f"vwap >= high * {1 + OUTSIDE} OR vwap <= low * {1 - OUTSIDE}"
    # Flat files tell none.
    told = bars.where("vwap IS NOT NULL")
    counted = told.withColumn("_outside", F.expr(f"count_if({outside})").over(around))
    return counted.where(f"({outside}) AND (_outside >= {BARS_OUTSIDE} OR transactions = 1)").select(
        "symbol",
        "session_date",
        F.expr("timestamp_micros(window_start_ns div 1000)").alias("ts"),
        F.lit("vwap_outside").alias("reason"),
        F.lit(None).alias("ours"),
        _said("vendor"),
    )


def moves_without_volume(bars: DataFrame) -> DataFrame:
    """The same of silver.bars_1d: days that open far from the last close, in the day's shares, and on which no more was traded
    than usual. A split is missing or has another ratio, or something was distributed.
    """
    by_day = Window.partitionBy("security_id").orderBy("session_number")
    before = by_day.rowsBetween(-SESSIONS_BEFORE, -1)
    marked = bars.where("NOT zero_volume").withColumns(
        {
            "_close": F.expr("lag(close / cumulative_factor)").over(by_day) * F.col("cumulative_factor"),
            "_days": F.count("*").over(before),
            "_dollars": F.expr("percentile(close * volume, 0.5D)").over(before),
        }
    )
    moved = f"abs(ln(try_divide(open, _close))) >= {MOVE} AND _days >= 2 AND close * volume <= {USUAL_TIMES} * _dollars"
    return marked.where(moved).select(
        "symbol",
        "session_date",
        F.col("open_at").alias("ts"),
        F.lit("move_without_volume").alias("reason"),
        F.lit(None).alias("ours"),
        _said("vendor"),
    )


def _whose(is_ours: Column) -> tuple[Column, Column]:
    """The row's bar as ours or as the vendor's."""
    return F.when(is_ours, _said("bar")).alias("ours"), F.when(~is_ours, _said("bar")).alias("vendor")


def _minute(ns: str) -> Column:
    return F.expr(f"timestamp_micros({ns} div {_MINUTE_NS}L * {_MINUTE_NS // 1000}L)")


def _said(whose: str) -> Column:
    """A bar's prices and volume as one value, null where there is no bar."""
    return F.struct(*[F.col(name).cast("double").alias(name) for name in _SAID]).alias(whose)
