"""Trades and quotes: checked, labelled, and what each may do to a bar by its sale conditions."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

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

_DAY = "to_date(from_utc_timestamp(timestamp_micros(sip_ns div 1000), 'America/New_York'))"
_TIME_RULES = (
    Rule("not_a_session", "session_number IS NULL", "New York did not trade that day"),
    Rule("wrong_day", f"{_DAY} <> session_date", "the time is not on the file's day"),
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
    DUPLICATE: "an earlier row has the same identity"
}

LATE_NS = 10_000_000_000


def eligibility(use: str) -> str:
    """SQL condition over conditions, session and correction: may the trade be used for `use`?

    A trade may where every one of its conditions allows it. Form T sets prices outside regular hours and never inside
    them; the vendor's table of conditions does not show that rule.
    """
    forbidden = ", ".join(map(str, conditions_that_forbid(use)))
    counted = f"IF(session IN ('pre', 'post'), array_remove(conditions, {FORM_T}), conditions)"
    records = ", ".join(map(str, CORRECTION_RECORDS))
    return f"NOT arrays_overlap({counted}, array({forbidden})) AND coalesce(correction, 0) NOT IN ({records})"


def judged_trades(trades: DataFrame, calendar: DataFrame) -> DataFrame:
    """bronze.trades rows judged and labelled, in silver.trades' columns but for security_id."""
    labelled = label(trades, calendar, "sip_ns")
    judged = judge_repeats(
        judge(labelled, TRADE_RULES), declared("silver.trades").key, ("source_sha256", "source_line"), DUPLICATE
    )
    return judged.select(
        *("_rule", "source_sha256", "source_line", "symbol", "session_date"),
        F.expr("timestamp_micros(sip_ns div 1000)").alias("ts"),
        "sip_ns",
        F.coalesce("participant_ns", "sip_ns").alias("participant_ns"),
        *("sequence_number", "trade_id", "session", "segment", "segment_start", "second"),
        F.col("price").cast("double").alias("price"),
        *("size", "exchange", "trf_id", "conditions"),
        F.coalesce("correction", F.lit(0)).alias("correction"),
        *(F.expr(eligibility(use)).alias(use) for use in ("updates_high_low", "updates_open_close", "updates_volume")),
        F.expr(f"exchange = {OFF_EXCHANGE} AND trf_id IS NOT NULL").alias("is_off_exchange"),
        F.expr(f"array_contains(conditions, {ODD_LOT}) OR size < 100").alias("is_odd_lot"),
        F.expr(f"array_contains(conditions, {SWEEP})").alias("is_sweep"),
        F.expr(f"sip_ns - coalesce(participant_ns, sip_ns) > {LATE_NS}L").alias("is_late"),
    )


def judged_quotes(quotes: DataFrame, calendar: DataFrame) -> DataFrame:
    """bronze.quotes rows judged and labelled, in silver.quotes' columns but for security_id."""
    labelled = label(quotes, calendar, "sip_ns")
    judged = judge_repeats(
        judge(labelled, QUOTE_RULES), declared("silver.quotes").key, ("source_sha256", "source_line"), DUPLICATE
    )

    def side(name: str) -> Column:
        return F.when(F.col(f"{name}_price") > 0, F.col(f"{name}_price").cast("double")).alias(f"{name}_price")

    two_sided = "bid_price > 0 AND ask_price > 0"
    return judged.select(
        *("_rule", "source_sha256", "source_line", "symbol", "session_date"),
        F.expr("timestamp_micros(sip_ns div 1000)").alias("ts"),
        "sip_ns",
        F.coalesce("participant_ns", "sip_ns").alias("participant_ns"),
        *("sequence_number", "session"),
        side("bid"),
        F.col("bid_size").cast("double").alias("bid_size"),
        side("ask"),
        F.col("ask_size").cast("double").alias("ask_size"),
        F.expr(two_sided).alias("is_two_sided"),
        F.expr(f"{two_sided} AND bid_price > ask_price").alias("is_crossed"),
        F.expr(f"{two_sided} AND bid_price = ask_price").alias("is_locked"),
    )
