"""Who started a trade: each trade beside quotes strictly before it, and its sign by one of five rules.

The as-of join is a union in one order and a running last quote: one shuffle and one sort, however many quotes there are
and however many offsets are asked for.
"""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config.settings import MicrostructureSettings, SignRule

TIME = "participant_ns"
QUOTE = "struct<bid:double,ask:double,quote_ns:bigint>"


def with_quotes(trades: DataFrame, quotes: DataFrame, offsets_ns: Mapping[str, int]) -> DataFrame:
    """`trades` with, for each name of `offsets_ns`, a struct column of that name: bid, ask and quote_ns of the last of
    `quotes` strictly before the trade's time + offset; null where there is none.

    `trades` are rows of silver.trades, no two alike in every column, `quotes` of silver.quotes.
    """
    asked = F.explode(
        F.array(
            *[
                F.struct(F.lit(name).alias("name"), F.lit(ns).cast("bigint").alias("ns"))
                for name, ns in offsets_ns.items()
            ]
        )
    )
    columns = trades.columns
    tape = (
        trades.select(
            F.struct(*columns).alias("_trade"), "symbol", "session_date", "sequence_number", asked.alias("_asked")
        )
        .withColumn("_at", F.col(f"_trade.{TIME}") + F.col("_asked.ns"))
        .withColumn("_quote", F.lit(None).cast(QUOTE))
        # At one instant a trade comes first: a quote of the same nanosecond was not before it.
        .withColumn("_kind", F.lit(0))
    )
    book = quotes.select(
        *("symbol", "session_date", "sequence_number"),
        F.col(TIME).alias("_at"),
        F.struct(F.col("bid_price").alias("bid"), F.col("ask_price").alias("ask"), F.col(TIME).alias("quote_ns")).alias(
            "_quote"
        ),
        F.lit(1).alias("_kind"),
    )
    before = (
        Window.partitionBy("symbol", "session_date")
        .orderBy("_at", "_kind", "sequence_number")
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    met = tape.unionByName(book, allowMissingColumns=True).withColumn(
        "_last", F.last("_quote", ignorenulls=True).over(before)
    )
    found = [F.max(F.when(F.col("_asked.name") == name, F.col("_last"))).alias(name) for name in offsets_ns]
    return (
        met.where("_kind = 0").groupBy("symbol", "session_date", "_trade").agg(*found).select("_trade.*", *offsets_ns)
    )


def with_tick(trades: DataFrame) -> DataFrame:
    """Trades of whole days with `tick`: the sign of the last change of price up to the trade; null before the first."""
    order = Window.partitionBy("symbol", "session_date").orderBy(TIME, "sequence_number")
    step = F.sign(F.col("price") - F.lag("price").over(order))
    so_far = order.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    moved = trades.withColumn("_step", F.when(step != 0, step))
    return moved.withColumn("tick", F.last("_step", ignorenulls=True).over(so_far).cast("int")).drop("_step")


def is_valid(micro: MicrostructureSettings) -> Column:
    """Whether a row of silver.quotes can be traded against: two sides, neither crossed nor locked, not too wide."""
    return F.expr(
        "is_two_sided AND NOT is_crossed AND NOT is_locked AND ask_price - bid_price "
        f"<= {micro.maximum_relative_spread}D * (ask_price + bid_price) / 2"
    )


def mid(quote: str) -> Column:
    """Mid price of a quote struct."""
    return (F.col(f"{quote}.bid") + F.col(f"{quote}.ask")) / 2


def trade_sign(rule: SignRule, price: Column, quote: str, tick: Column) -> Column:
    """+1 bought, −1 sold, null unknown, of a trade at `price` with the quote struct column `quote` before it and its `tick`.

    - quote: above the mid bought, below it sold, at it unknown;
    - tick: the sign of the last change of price;
    - lee_ready (Lee and Ready 1991): the quote rule, at the mid the tick rule;
    - emo (Ellis, Michaely and O'Hara 2000): at the offer bought, at the bid sold, else the tick rule;
    - clnv (Chakrabarty, Li, Nguyen and Van Ness 2007): from the bid up to 30 % of the spread sold, from the offer down as much
      bought, else the tick rule.

    A rule that has no quote goes by the tick, the quote rule by nothing. Prices are compared in whole 1/1,000,000 $, so that a
    trade at the mid is at the mid.
    """
    at, bid, ask = (_millionths(value) for value in (price, F.col(f"{quote}.bid"), F.col(f"{quote}.ask")))
    by_mid = F.when(2 * at > bid + ask, 1).when(2 * at < bid + ask, -1)
    thirds = 3 * (ask - bid)
    rules = {
        "quote": by_mid,
        "tick": tick,
        "lee_ready": F.coalesce(by_mid, tick),
        "emo": F.when(at == ask, 1).when(at == bid, -1).otherwise(tick),
        "clnv": F.when((10 * (ask - at)).between(0, thirds), 1)
        .when((10 * (at - bid)).between(0, thirds), -1)
        .otherwise(tick),
    }
    return rules[rule].cast("int")


def _millionths(price: Column) -> Column:
    """A price in 1/1,000,000 $; as a double it is exact below 9 billion $."""
    return F.rint(price * 1_000_000)
