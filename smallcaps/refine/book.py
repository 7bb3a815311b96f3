"""Order books: checked, labelled, and held against the best quotes of their moment."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.calendar.sessions import new_york_day
from smallcaps.lake import Rule, declared, judge, judge_repeats
from smallcaps.refine.labels import label
from smallcaps.refine.ticks import DUPLICATE, STALE_NS, which_holds

LEVELS = 10
RULES = (
    Rule("not_a_session", "session_number IS NULL", "New York did not trade that day"),
    Rule(
        "wrong_day",
        f"{new_york_day('published_ns')} <> session_date",
        "the time is not on the file's day",
    ),
    Rule(
        "impossible_level",
        "exists(concat(bids, asks), level -> NOT coalesce(level.price > 0 AND level.size > 0, false))",
        "a level has no price or size above zero",
    ),
    Rule(
        "levels_in_disorder",
        "bids.price <> sort_array(array_distinct(bids.price), false) OR asks.price <> sort_array(array_distinct(asks.price))",
        "prices do not lead away from the best one, or one is there twice",
    ),
    Rule("too_many_levels", f"size(bids) > {LEVELS} OR size(asks) > {LEVELS}", f"a side has over {LEVELS} levels"),
)
REASONS = {rule.name: rule.reason for rule in RULES} | {DUPLICATE: "another row has the same identity"}
_DAY = ("symbol", "session_date")


def with_best_quotes(book: DataFrame, quotes: DataFrame) -> DataFrame:
    """bronze.book with nbbo, a struct of bid_price and ask_price: those of the last of silver.quotes up to its publication.

    Null where there is none that day. A quote of the same instant is in force already.
    """
    with_books = quotes.join(F.broadcast(book.select(*_DAY).distinct()), [*_DAY], "left_semi")
    said = with_books.select(
        *_DAY, "sequence_number", F.col("sip_ns").alias("_at"), F.struct("bid_price", "ask_price").alias("nbbo")
    )
    books = book.withColumns({"_at": F.col("published_ns"), "_is_book": F.lit(True)})
    together = books.unionByName(said.withColumn("_is_book", F.lit(False)), allowMissingColumns=True)
    in_order = Window.partitionBy(*_DAY).orderBy("_at", "_is_book", "sequence_number")
    known = together.withColumn("nbbo", F.last("nbbo", ignorenulls=True).over(in_order))
    return known.where("_is_book").drop("_at", "_is_book")


def judged_book(book: DataFrame, quotes: DataFrame, calendar: DataFrame) -> DataFrame:
    """bronze.book rows judged and labelled, in silver.book's columns but for security_id; `quotes` is silver.quotes."""
    labelled = label(with_best_quotes(book, quotes), calendar, "published_ns")
    judged = judge_repeats(judge(labelled, RULES), declared("silver.book").key, which_holds(), DUPLICATE)
    bid, ask = "get(bids, 0).price", "get(asks, 0).price"
    two_sided = "size(bids) > 0 AND size(asks) > 0"
    return judged.select(
        *("_rule", "source_sha256", "source_line", "symbol", "session_date"),
        F.expr("timestamp_micros(published_ns div 1000)").alias("ts"),
        "published_ns",
        F.coalesce("made_ns", "published_ns").alias("made_ns"),
        *("sequence_number", "session"),
        *(F.col(side).cast("array<struct<price:double,size:double>>").alias(side) for side in ("bids", "asks")),
        F.expr(two_sided).alias("is_two_sided"),
        F.expr(f"{two_sided} AND {bid} > {ask}").alias("is_crossed"),
        F.expr(f"{two_sided} AND {bid} = {ask}").alias("is_locked"),
        F.expr(f"published_ns - coalesce(made_ns, published_ns) > {STALE_NS}L").alias("is_stale"),
        F.expr(
            f"CASE WHEN nbbo IS NOT NULL THEN nbbo.bid_price <=> cast({bid} AS double) "
            f"AND nbbo.ask_price <=> cast({ask} AS double) END"
        ).alias("is_at_nbbo"),
    )
