"""Who started a trade, by one of five rules, from the quote in force before it and the last change of price."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config.settings import MicrostructureSettings, SignRule
from smallcaps.microstructure.as_of import PUBLISHED


def with_tick(trades: DataFrame) -> DataFrame:
    """Trades of whole days with `tick`: the sign of the last change of price on the tape up to the trade; null before the first.
    The tape is in order of publication, so that no trade published later decides it.
    """
    order = Window.partitionBy("symbol", "session_date").orderBy(PUBLISHED, "sequence_number")
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
