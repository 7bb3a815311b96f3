"""What happened second by second around an event, for models that read sequences.

1. Trades of an event's window are signed and summed by second; quotes leave the last sound one of each second. 2. Every second of
the window has a row; price and quote stand until the next one. What was made before the event and published after it counts
when it was published: rows of seconds below 0 hold what was known at the event.
"""

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.config.settings import MicrostructureSettings
from smallcaps.lake import Lake, declared
from smallcaps.microstructure.as_of import TIME, with_quotes
from smallcaps.microstructure.job import Around, write_around_events
from smallcaps.microstructure.signing import is_valid, trade_sign, with_tick
from smallcaps.microstructure.windows import NANOSECONDS, event_windows, in_any_window

_KEY = ["symbol", "session_date"]
_BEST = ("bid_price", "bid_size", "ask_price", "ask_size")


def event_sequences(around: Around, micro: MicrostructureSettings) -> DataFrame:
    """gold.event_sequences (without run_id) of intraday rows of gold.events. Pure.

    An event without a trade in its window has no rows.
    """
    windows = F.broadcast(event_windows(around.events.where("grain <> 'daily'"), micro))
    names = F.broadcast(windows.select(*_KEY).distinct())
    counted = around.trades.where("updates_volume AND NOT is_late").join(names, _KEY, "left_semi")
    book = around.quotes.join(names, _KEY, "left_semi").where(is_valid(micro))
    of_trades = _of_trades(counted, book, windows, micro)
    of_quotes = _of_quotes(book, windows, micro)
    # One second more in front, for the quote that stood when the window began.
    seconds = F.explode(F.sequence(F.lit(-micro.seconds_before - 1), F.lit(micro.seconds_after - 1))).alias("second")
    traded = of_trades.select("event_id").distinct()
    grid = windows.select("event_id", *_KEY, seconds).join(traded, "event_id", "left_semi")
    so_far = Window.partitionBy("event_id").orderBy("second").rowsBetween(Window.unboundedPreceding, 0)
    standing = {name: F.last(name, ignorenulls=True).over(so_far) for name in ("last_price", "best")}
    rows = grid.join(of_trades, ["event_id", "second"], "left").join(of_quotes, ["event_id", "second"], "left")
    filled = rows.withColumns(standing).where(F.col("second") >= -micro.seconds_before)
    filled = filled.select("*", *[F.col(f"best.{name}").alias(name) for name in _BEST])
    counts = filled.fillna(0, ["trades", "volume", "dollar_volume", "bought", "sold", "quotes"])
    return counts.select(*[column.name for column in declared("gold.event_sequences").columns])


def _second(published: str) -> Column:
    """The second of the window, 0 beginning at known_at, in which a row counts."""
    moment = f"IF({published} >= known_ns AND {TIME} < known_ns, known_ns, {TIME})"
    return F.expr(f"cast(floor(({moment} - known_ns) / {NANOSECONDS}D) AS int)")


def _of_trades(counted: DataFrame, book: DataFrame, windows: DataFrame, micro: MicrostructureSettings) -> DataFrame:
    """Sums of an event's seconds with a trade."""
    looked_at = counted.select(*_KEY, TIME, "sip_ns", "sequence_number", "price", "size")
    wanted = in_any_window(with_tick(looked_at), windows)
    signed = with_quotes(wanted, book, {"quote": 0}).withColumns(
        {
            "sign": trade_sign(micro.sign_rule, F.col("price"), "quote", F.col("tick")),
            "shares": F.col("size").cast("double"),
        }
    )
    met = (
        signed.join(windows, _KEY)
        .where(f"{TIME} >= start_ns AND {TIME} < end_ns")
        .withColumn("second", _second("sip_ns"))
    )
    columns = {
        "trades": "count(*)",
        "volume": "sum(shares)",
        "dollar_volume": "sum(price * shares)",
        "bought": "sum(shares) FILTER (WHERE sign = 1)",
        "sold": "sum(shares) FILTER (WHERE sign = -1)",
        "high": "max(price)",
        "low": "min(price)",
        "last_price": f"max_by(price, struct({TIME}, sequence_number))",
    }
    return met.groupBy("event_id", "second").agg(*[F.expr(sql).alias(name) for name, sql in columns.items()])


def _of_quotes(book: DataFrame, windows: DataFrame, micro: MicrostructureSettings) -> DataFrame:
    """The last sound quote of an event's seconds, and how many there were; of those before the window in the second before it."""
    met = book.join(windows, _KEY).where(F.col(TIME) < F.col("end_ns")).withColumn("at", _second("sip_ns"))
    second = F.greatest("at", F.lit(-micro.seconds_before - 1)).alias("second")
    return met.groupBy("event_id", second).agg(
        F.count("*").alias("quotes"), F.max_by(F.struct(*_BEST), F.struct(TIME, "sequence_number")).alias("best")
    )


def extract_sequences(lake: Lake, settings: Settings, first: date, last: date) -> int:
    """Sequences of the intraday events from `first` to `last`, replacing what was there; returns the rows written."""
    told = "{events} events, {rows} seconds"
    return write_around_events(lake, settings, first, last, "sequences", "gold.event_sequences", event_sequences, told)
