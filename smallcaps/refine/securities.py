"""Who a symbol was, and when: a security may change its symbol, and a symbol may be another security's later.

1. Instruments: what the vendor lists as of the latest day it was asked, active and delisted. Of two rows with the same symbol
   and FIGI only one is believed.
2. Spells: a security had a symbol from one ticker event to the next, the last one until it was delisted. Without events it
   begins with its listing, or at BEGINNING where that is not known. Spells of a symbol never overlap: a later one
   begins when the earlier one ends.
3. Days with data that no spell covers belong to a security of their own, one for each stretch between spells: `T:`, symbol, and
   the day it was first seen. That day is kept: data of earlier days that arrive later do not move it.
"""

from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.lake import Rule, declared, judge, with_nulls

BEGINNING = date(1900, 1, 1)
"""Where a spell begins whose begin nobody knows."""
NO_IDENTITY = Rule("no_identity", "security_id IS NULL", "nobody is known who had the symbol that day")
LISTED_TWICE = Rule(
    "ticker_listed_twice",
    "_place > 1",
    "another row has the same symbol and FIGI, and the details do not name this one's CIK",
)
REASONS = {LISTED_TWICE.name: LISTED_TWICE.reason}
_COLUMNS = tuple(column.name for column in declared("silver.securities").columns)
_END = "coalesce(valid_to, DATE'9999-12-31')"


def latest(frame: DataFrame) -> DataFrame:
    """The rows of a snapshot table that were asked for last."""
    return frame.join(F.broadcast(frame.agg(F.max("as_of").alias("as_of"))), "as_of")


def own_identity() -> Column:
    """security_id of a row of the vendor's that names a FIGI or a CIK with its type; null of one that names neither."""
    by_cik = F.concat(F.lit("C:"), "cik", F.lit(":"), F.coalesce("ticker_type", F.lit("")))
    return F.coalesce("composite_figi", by_cik)


def judged_instruments(tickers: DataFrame, details: DataFrame) -> DataFrame:
    """The latest rows of bronze.tickers, judged, with security_id, identity_source, delisted_on.

    A row that names neither FIGI nor CIK has no identity of its own (null): its days are left to step 3.
    """
    named = latest(details).select("symbol", F.col("cik").alias("_named")).distinct()
    rows = (
        latest(tickers)
        .join(F.broadcast(named), "symbol", "left")
        .withColumn("security_id", own_identity())
        .withColumn("identity_source", F.expr("CASE WHEN composite_figi IS NOT NULL THEN 'figi' ELSE 'cik' END"))
        .withColumn("delisted_on", F.to_date("delisted_at"))
    )
    same = Window.partitionBy("symbol", "security_id")
    order = (F.coalesce(F.col("cik") == F.col("_named"), F.lit(False)).desc(), "cik", "source_sha256", "source_line")
    place = F.when(F.col("security_id").isNotNull(), F.row_number().over(same.orderBy(*order))).otherwise(1)
    return judge(rows.withColumn("_place", place), [LISTED_TWICE]).drop("_place", "_named")


def spells(instruments: DataFrame, events: DataFrame, details: DataFrame) -> DataFrame:
    """Sound instruments as rows of silver.securities: which security had which symbol, from when to when."""
    known = instruments.where("security_id IS NOT NULL").withColumn("company", F.coalesce("composite_figi", "cik"))
    changes = (
        latest(events)
        .where("event_type = 'ticker_change' AND ticker IS NOT NULL")
        .select(
            F.coalesce("composite_figi", "cik").alias("company"),
            F.col("ticker").alias("symbol"),
            F.col("event_date").alias("valid_from"),
        )
        .distinct()
    )
    of_security = Window.partitionBy("security_id").orderBy("valid_from", "symbol")
    with_events = (
        known.drop("symbol")
        .dropDuplicates(["security_id"])
        .join(changes, "company")
        .withColumn("valid_to", F.lead("valid_from").over(of_security))
    )
    listings = latest(details).select("symbol", "composite_figi", "list_date").dropDuplicates(["symbol"])
    without_events = (
        known.join(with_events.select("security_id").distinct(), "security_id", "left_anti")
        .join(listings, ["symbol", "composite_figi"], "left")
        .withColumn("valid_from", F.coalesce("list_date", F.lit(BEGINNING)))
        .withColumn("valid_to", F.lit(None).cast("date"))
    )
    together = with_events.unionByName(without_events, allowMissingColumns=True)
    return _apart(together.withColumn("valid_to", F.coalesce("valid_to", F.date_add("delisted_on", 1))))


def _apart(spells: DataFrame) -> DataFrame:
    """Spells of a symbol, cut so that none overlaps another: what ended earlier comes first, what is open gives way."""
    of_symbol = Window.partitionBy("symbol").orderBy(F.expr(_END), "valid_from", "security_id")
    ended = spells.withColumn("valid_to", F.coalesce("valid_to", F.lead("valid_from").over(of_symbol)))
    begun = ended.withColumn("valid_from", F.greatest("valid_from", F.lag("valid_to").over(of_symbol)))
    return with_nulls(begun.where(f"valid_from < {_END}"), "silver.securities").select(*_COLUMNS)


def unlisted(spells: DataFrame, days: DataFrame, before: DataFrame) -> DataFrame:
    """Rows of silver.securities for the stretches of a symbol between spells in which there are data.

    `days` has symbol and session_date; `before` is silver.securities as it was, whose first_seen days are kept.
    """
    seen = (
        days.select("symbol", F.col("session_date").alias("day"), F.lit(False).alias("is_kept"))
        .distinct()
        .unionByName(
            before.where("identity_source = 'symbol'").selectExpr("symbol", "first_seen AS day", "true AS is_kept")
        )
    )
    around = seen.alias("seen").join(F.broadcast(spells).alias("spell"), "symbol", "left")
    between = around.groupBy("symbol", "day", "is_kept").agg(
        F.expr(f"coalesce(bool_or(spell.valid_from <= day AND day < {_END}), false)").alias("is_covered"),
        F.expr("max(spell.valid_to) FILTER (WHERE spell.valid_to <= day)").alias("after"),
        F.expr("min(spell.valid_from) FILTER (WHERE spell.valid_from > day)").alias("valid_to"),
    )
    first_seen = F.coalesce(F.expr("min(day) FILTER (WHERE is_kept)"), F.min("day"))
    stretches = (
        between.where("NOT is_covered")
        .groupBy("symbol", F.coalesce("after", F.lit(BEGINNING)).alias("valid_from"), "valid_to")
        .agg(first_seen.alias("first_seen"))
    )
    named = stretches.withColumns(
        {
            "security_id": F.concat_ws(":", F.lit("T"), "symbol", F.col("first_seen").cast("string")),
            "identity_source": F.lit("symbol"),
        }
    )
    return with_nulls(named, "silver.securities").select(*_COLUMNS)


def days_with_data(frames: list[DataFrame]) -> DataFrame:
    """symbol and session_date of every row of `frames`, each once."""
    return reduce(
        DataFrame.unionByName, [frame.select("symbol", "session_date").distinct() for frame in frames]
    ).distinct()


def identify(frame: DataFrame, securities: DataFrame, day: str = "session_date", by_cik: bool = False) -> DataFrame:
    """`frame` (with symbol) with security_id: who the symbol was on the day in column `day`; null where nobody is known.

    `by_cik`: nobody either where both sides name a CIK and not the same.
    """
    whose = F.broadcast(securities.select("symbol", "security_id", "valid_from", "valid_to", "cik"))
    spell = (
        (F.col("frame.symbol") == F.col("whose.symbol"))
        & (F.col(f"frame.{day}") >= F.col("whose.valid_from"))
        & (F.col(f"frame.{day}") < F.coalesce("whose.valid_to", F.expr("DATE'9999-12-31'")))
    )
    if by_cik:
        spell &= F.coalesce(F.col("frame.cik") == F.col("whose.cik"), F.lit(True))
    return frame.alias("frame").join(whose.alias("whose"), spell, "left").select("frame.*", "whose.security_id")


def identify_filer(filed: DataFrame, securities: DataFrame) -> DataFrame:
    """`filed` (with symbol, cik, filing_date, as_of) with security_id: who has the symbol on the as_of day, else who had it on
    the filing's, else who had it last before; never a company of another CIK.

    The vendor names a company by its symbol of today. A company that is delisted has none, its last one may be another's, and
    it may go on filing.
    """
    now = identify(filed, securities, "as_of", by_cik=True).withColumnRenamed("security_id", "_now")
    then = identify(now, securities, "filing_date", by_cik=True).withColumnRenamed("security_id", "_then")
    ended = securities.where("cik IS NOT NULL AND valid_to IS NOT NULL")
    last = ended.groupBy("symbol", "cik").agg(F.max_by(F.struct("security_id", "valid_to"), "valid_to").alias("_last"))
    before = F.expr("CASE WHEN _last.valid_to <= filing_date THEN _last.security_id END")
    joined = then.join(F.broadcast(last), ["symbol", "cik"], "left")
    return joined.withColumn("security_id", F.coalesce("_now", "_then", before)).drop("_now", "_then", "_last")
