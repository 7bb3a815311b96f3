"""Trading halts: from the live feed's halts and resumptions, and from quotes that go dark.

1. Feed: a halt (17) lasts until the next resumption (18) of the symbol that day. It names Nasdaq's listings only.
2. Quotes: a halt lasts from a dark quote to the next one that is not. Dark is the condition of a pause, at any time, and in
   regular hours a quote without either side.
3. Halts of a symbol that overlap are one. A halt without an end was not lifted that day, as far as was heard.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.refine.labels import label
from smallcaps.refine.ticks import PAUSED

HALTED, RESUMED = 17, 18
_DAY = ("symbol", "session_date")
_PAUSE = f"coalesce(array_contains(conditions, {PAUSED}), false)"
SUSPECTED = f"{_PAUSE} OR (bid_price = 0 AND ask_price = 0)"
"""SQL condition over quotes: without one of these a symbol was not halted, as far as quotes tell."""
DARK = f"{_PAUSE} OR (bid_price = 0 AND ask_price = 0 AND session = 'regular')"
"""SQL condition over labelled quotes: nobody can trade."""


def feed_halts(luld: DataFrame) -> DataFrame:
    """Halts of bronze.luld: symbol, session_date, start_ns, end_ns (null: not resumed), source."""
    said = luld.withColumn(
        "word",
        F.when(F.array_contains("indicators", HALTED), "halt").when(F.array_contains("indicators", RESUMED), "resume"),
    )
    events = said.where("word IS NOT NULL").select(*_DAY, "sip_ns", "sequence_number", "word").distinct()
    return _stretches(events, F.col("word") == "halt", "feed")


def quote_halts(quotes: DataFrame, calendar: DataFrame) -> DataFrame:
    """The same of bronze.quotes."""
    suspected = quotes.where(SUSPECTED).select(*_DAY).distinct()
    # Few symbols are halted on a day, and only their quotes have to be put in order.
    labelled = label(quotes.join(F.broadcast(suspected), [*_DAY], "left_semi"), calendar, "sip_ns")
    return _stretches(
        labelled.where("session <> 'closed'").withColumn("is_dark", F.expr(DARK)), F.col("is_dark"), "quotes"
    )


def _stretches(events: DataFrame, stopped: Column, source: str) -> DataFrame:
    """Stretches from an event that is `stopped`, after one that is not, to the next that is not."""
    in_order = Window.partitionBy(*_DAY).orderBy("sip_ns", "sequence_number")
    turns = events.withColumn("_stopped", stopped).withColumn("_before", F.lag("_stopped", 1, False).over(in_order))
    ends = turns.where("_stopped <> _before").withColumn("end_ns", F.lead("sip_ns").over(in_order))
    return ends.where("_stopped").select(
        *_DAY, F.col("sip_ns").alias("start_ns"), "end_ns", F.lit(source).alias("source")
    )


def merged(halts: DataFrame) -> DataFrame:
    """Halts of all sources in silver.halts' columns but for security_id: those that overlap are one."""
    by_start = Window.partitionBy(*_DAY).orderBy("start_ns", "source")
    endless = F.coalesce("end_ns", F.lit(2**63 - 1))
    so_far = F.max(endless).over(by_start.rowsBetween(Window.unboundedPreceding, -1))
    number = F.sum(F.when(F.col("start_ns") <= so_far, 0).otherwise(1)).over(by_start)
    together = halts.withColumn("_number", number).groupBy(*_DAY, "_number")
    # A source that did not hear the end does not make a halt endless where another did.
    return together.agg(
        F.min("start_ns").alias("start_ns"),
        F.max("end_ns").alias("end_ns"),
        F.array_sort(F.collect_set("source")).alias("sources"),
    ).drop("_number")


def resumptions(halts: DataFrame, calendar: DataFrame) -> DataFrame:
    """symbol, session_date and resumed, the minutes (since 04:00) at which trading went on, in order; see `labels.label`."""
    minutes = label(halts.where("end_ns IS NOT NULL"), calendar, "end_ns").where("session <> 'closed'")
    return minutes.groupBy(*_DAY).agg(F.array_sort(F.collect_set("minute")).alias("resumed"))
