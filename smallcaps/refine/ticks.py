"""Trades and quotes: checked, labelled, and what each may do to a bar by its sale conditions."""

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from smallcaps.calendar.sessions import new_york_day
from smallcaps.lake import Rule, declared, judge, judge_repeats
from smallcaps.refine.labels import label
from smallcaps.sources.polygon.conditions import (
    CORRECTION_RECORDS,
    FORM_T,
    ODD_LOT,
    OFF_EXCHANGE,
    SWEEP,
    conditions_that_forbid,
)

_TIME_RULES = (
    Rule("not_a_session", "session_number IS NULL", "New York did not trade that day"),
    Rule("wrong_day", f"{new_york_day('sip_ns')} <> session_date", "the time is not on the file's day"),
)
TRADE_RULES = (
    *_TIME_RULES,
    Rule("non_positive_price", "price <= 0", "the price is zero or negative"),
    Rule("non_positive_size", "size <= 0", "the size is zero or negative"),
)
QUOTE_RULES = (
    *_TIME_RULES,
    Rule(
        "negative_quote",
        "least(bid_price, ask_price, bid_size, ask_size) < 0",
        "a price or size is negative",
    ),
)
DUPLICATE = "duplicate_row"
REASONS = {rule.name: rule.reason for rule in (*TRADE_RULES, *QUOTE_RULES)} | {
    DUPLICATE: "another row has the same identity"
}

LATE_NS = 10_000_000_000
STALE_NS = 60_000_000_000
"""A quote that its venue made so long before the SIP published it says nothing about now."""
PAUSED = 43
"""Quote condition of a limit-up-limit-down pause (POLYGON.md 5.3)."""
WHOLE_DAYS = "coalesce(is_whole_day, true)"
"""SQL condition over silver.trades: rows of symbol-days that are here whole. Those of an earlier version's lake do not say."""
LOT = 100
IN_SHARES_FROM = date(2025, 11, 3)
"""From here on quote sizes are shares; before, on some days shares, on others round lots of 100 (POLYGON.md 5.6)."""
_IDENTITY = ("symbol", "session_date", "exchange", "trf_id", "trade_id", "sequence_number")
_IS_RECORD = f"coalesce(correction, 0) IN ({', '.join(map(str, CORRECTION_RECORDS))})"


def eligibility(use: str) -> str:
    """SQL condition over conditions, session and correction: may the trade be used for `use`?

    A trade may where every one of its conditions allows it. Form T sets prices outside regular hours and never inside
    them; the vendor's table of conditions does not show that rule.
    """
    forbidden = ", ".join(map(str, conditions_that_forbid(use)))
    counted = f"IF(session IN ('pre', 'post'), array_remove(conditions, {FORM_T}), conditions)"
    return f"NOT arrays_overlap({counted}, array({forbidden})) AND NOT {_IS_RECORD}"


def which_holds() -> tuple[Column, ...]:
    """The order of rows of bronze that are alike, the one that holds first: of files the earliest line; of messages the last one,
    which the vendor sent to put the others right.
    """
    return F.col("kafka_offset").isNotNull(), F.desc("kafka_offset"), F.col("source_sha256"), F.col("source_line")


def together(rows: DataFrame) -> DataFrame:
    """Rows of a name and day in one place: the search for repeats and the order in the files need no other shuffle."""
    return rows.repartition("session_date", "symbol")


def with_withdrawals(trades: DataFrame) -> DataFrame:
    """bronze.trades with withdrawn_ns: when the first record came that cancels or corrects the trade.

    The vendor also marks the trade itself, but afterwards: whoever goes by that mark looks ahead.
    """
    records = trades.where(_IS_RECORD).groupBy(*_IDENTITY).agg(F.min("sip_ns").alias("withdrawn_ns"))
    same = " AND ".join(f"trade.{name} <=> record.{name}" for name in _IDENTITY)
    # Four trades in 100,000 are withdrawn.
    joined = together(trades).alias("trade").join(F.broadcast(records).alias("record"), F.expr(same), "left")
    withdrawn = F.expr(f"CASE WHEN NOT {_IS_RECORD} THEN record.withdrawn_ns END")
    return joined.select("trade.*", withdrawn.alias("withdrawn_ns"))


def judged_trades(
    trades: DataFrame, calendar: DataFrame, resumptions: DataFrame | None = None, windows: DataFrame | None = None
) -> DataFrame:
    """bronze.trades rows judged and labelled, in silver.trades' columns but for security_id; `resumptions` as for `label`,
    `windows` the bodies (source_sha256) that brought parts of days alone.
    """
    labelled = label(with_withdrawals(trades), calendar, "sip_ns", resumptions).withColumn("is_whole_day", F.lit(True))
    if windows is not None:
        parts = F.broadcast(windows.withColumn("is_part", F.lit(True)))
        marked = labelled.join(parts, "source_sha256", "left")
        labelled = marked.withColumn("is_whole_day", F.col("is_part").isNull()).drop("is_part")
    judged = judge_repeats(judge(labelled, TRADE_RULES), declared("silver.trades").key, which_holds(), DUPLICATE)
    return _as_silver(judged)


def judged_live_trades(trades: DataFrame, calendar: DataFrame, resumptions: DataFrame | None = None) -> DataFrame:
    """The same of trades of the live feed, each by itself: what cancels one and which comes again is known of many only."""
    alone = trades.withColumns({"withdrawn_ns": F.lit(None).cast("bigint"), "is_whole_day": F.lit(True)})
    return _as_silver(judge(label(alone, calendar, "sip_ns", resumptions), TRADE_RULES))


def _as_silver(judged: DataFrame) -> DataFrame:
    return judged.select(
        *("_rule", "source_sha256", "source_line", "symbol", "session_date"),
        F.expr("timestamp_micros(sip_ns div 1000)").alias("ts"),
        "sip_ns",
        F.coalesce("participant_ns", "sip_ns").alias("participant_ns"),
        *("sequence_number", "trade_id", "session", "segment", "segment_start", "second"),
        F.col("price").cast("double").alias("price"),
        *("size", "exchange", "trf_id", "conditions"),
        F.coalesce("correction", F.lit(0)).alias("correction"),
        "withdrawn_ns",
        *(F.expr(eligibility(use)).alias(use) for use in ("updates_high_low", "updates_open_close", "updates_volume")),
        F.expr(f"exchange = {OFF_EXCHANGE} AND trf_id IS NOT NULL").alias("is_off_exchange"),
        F.expr(f"array_contains(conditions, {ODD_LOT}) OR size < 100").alias("is_odd_lot"),
        F.expr(f"array_contains(conditions, {SWEEP})").alias("is_sweep"),
        F.expr(f"sip_ns - coalesce(participant_ns, sip_ns) > {LATE_NS}L").alias("is_late"),
        "is_whole_day",
    )


def size_units(quotes: DataFrame) -> DataFrame:
    """session_date and shares_a_unit (1 or 100) of the days before IN_SHARES_FROM: what a size of 1 means there.

    Sizes in shares were whole lots then, so on a day in shares nearly every size can be divided by 100.
    """
    sizes = quotes.where(F.col("session_date") < F.lit(IN_SHARES_FROM)).selectExpr(
        "session_date", "explode(array(bid_size, ask_size)) AS size"
    )
    in_lots = F.expr(f"avg(IF(size % {LOT} = 0, 1, 0)) < 0.5")
    unit = F.when(in_lots, LOT).otherwise(1).alias("shares_a_unit")
    return sizes.where("size > 0").groupBy("session_date").agg(unit)


def judged_quotes(quotes: DataFrame, calendar: DataFrame) -> DataFrame:
    """bronze.quotes rows judged and labelled, in silver.quotes' columns but for security_id."""
    in_units = together(quotes).join(F.broadcast(size_units(quotes)), "session_date", "left")
    labelled = label(in_units, calendar, "sip_ns")
    judged = judge_repeats(judge(labelled, QUOTE_RULES), declared("silver.quotes").key, which_holds(), DUPLICATE)

    def side(name: str) -> tuple[Column, Column]:
        price = F.when(F.col(f"{name}_price") > 0, F.col(f"{name}_price").cast("double"))
        size = (F.col(f"{name}_size") * F.coalesce("shares_a_unit", F.lit(1))).cast("double")
        return price.alias(f"{name}_price"), size.alias(f"{name}_size")

    two_sided = "bid_price > 0 AND ask_price > 0"
    return judged.select(
        *("_rule", "source_sha256", "source_line", "symbol", "session_date"),
        F.expr("timestamp_micros(sip_ns div 1000)").alias("ts"),
        "sip_ns",
        F.coalesce("participant_ns", "sip_ns").alias("participant_ns"),
        *("sequence_number", "session"),
        *side("bid"),
        *side("ask"),
        F.expr(two_sided).alias("is_two_sided"),
        F.expr(f"{two_sided} AND bid_price > ask_price").alias("is_crossed"),
        F.expr(f"{two_sided} AND bid_price = ask_price").alias("is_locked"),
        F.expr(f"sip_ns - coalesce(participant_ns, sip_ns) > {STALE_NS}L").alias("is_stale"),
        F.expr(f"coalesce(array_contains(conditions, {PAUSED}), false)").alias("is_paused"),
    )
