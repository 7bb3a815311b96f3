"""Spread, imbalance, tape and large prints before and after an event; formulas in the data dictionary.

1. Trades in any event's window meet the last valid quotes before them, and later ones, in one as-of join, and are
signed. 2. Events meet the trades and quotes of their window; `known_at` divides before from after. 3. One row an
event. A value without trades or quotes behind it is null, never 0. Late reports take no part; what was made before the
event and published after it counts as after.
"""

from datetime import date

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.config.settings import MicrostructureSettings, SignRule
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, between, declared, recorded_run
from smallcaps.microstructure.signing import TIME, is_valid, mid, trade_sign, with_quotes, with_tick
from smallcaps.microstructure.windows import NANOSECONDS, event_windows

HORIZONS = (1, 15, 60, 300)
"""Seconds after a trade at which realised spread and price impact are taken."""

STABILITY_MS = (1, 5, 25, 1_000)
"""Milliseconds by which the quotes are older whose signs are compared with the signs in use."""

ENDLESS_NS = 2**62
_KEY = ["symbol", "session_date"]


def event_features(events: DataFrame, trades: DataFrame, quotes: DataFrame, micro: MicrostructureSettings) -> DataFrame:
    """gold.event_features (without run_id) of intraday rows of gold.events, from silver.trades and silver.quotes. Pure.

    Only days and names with events are looked at. An event without a trade in its window has no row.
    """
    windows = F.broadcast(event_windows(events.where("grain <> 'daily'"), micro))
    names = F.broadcast(windows.select(*_KEY).distinct())
    counted = trades.where("updates_volume AND NOT is_late").join(names, _KEY, "left_semi")
    notional = counted.withColumn("shares", F.col("size").cast("double")).withColumn(
        "notional", F.col("price") * F.col("shares")
    )
    book = quotes.join(names, _KEY, "left_semi").withColumn("is_valid", is_valid(micro))
    signed = _signed(notional, book.where("is_valid"), windows, micro.sign_rule)
    met = signed.join(windows, _KEY).where(F.col(TIME).between(F.col("start_ns"), F.col("end_ns") - 1))
    met = met.join(F.broadcast(_large_limits(notional, windows, micro)), "event_id", "left").withColumn(
        "before", F.greatest(TIME, "sip_ns") < F.col("known_ns")
    )
    of_trades = met.groupBy("event_id").agg(*_trade_columns(micro))
    peaks = _peaks(met)
    of_quotes = _of_quotes(book, windows)
    keys = events.select("event_id", *_KEY, "known_at")
    wide = keys.join(of_trades, "event_id").join(peaks, "event_id").join(of_quotes, "event_id", "left")
    counts = wide.fillna(0, ["trades_used", "quotes_used", "quotes_dropped"])
    return counts.select(*[column.name for column in declared("gold.event_features").columns])


def _signed(trades: DataFrame, quotes: DataFrame, windows: DataFrame, rule: SignRule) -> DataFrame:
    """The trades inside any window with quotes at the trade and at HORIZONS after, and their signs by quotes at the trade
    (`sign`) and STABILITY_MS before it (`sign_5ms`, …).
    """
    inside = (F.col(TIME) >= F.col("start_ns")) & (F.col(TIME) < F.col("end_ns"))
    same = [trades[key] == windows[key] for key in _KEY]
    wanted = with_tick(trades).join(windows, [*same, inside], "left_semi")
    older = {f"older_{ms}": -ms * 1_000_000 for ms in STABILITY_MS}
    later = {f"later_{seconds}": seconds * NANOSECONDS for seconds in HORIZONS}
    quoted = with_quotes(wanted, quotes, {"quote": 0} | older | later)

    def sign(quote: str) -> Column:
        return trade_sign(rule, F.col("price"), quote, F.col("tick"))

    older_signs = {f"sign_{ms}ms": sign(f"older_{ms}") for ms in STABILITY_MS}
    return quoted.withColumns({"mid": mid("quote"), "sign": sign("quote")} | older_signs).drop(*older)


def _large_limits(trades: DataFrame, windows: DataFrame, micro: MicrostructureSettings) -> DataFrame:
    """What a large print is for each event: the fixed sum, or the name's own quantile of notional if that is more.

    The quantile is of the session's trades before the window, so nothing later decides it.
    """
    earlier = trades.join(windows, _KEY).where(F.col(TIME) < F.col("start_ns"))
    own = earlier.groupBy("event_id").agg(F.expr(f"percentile(notional, {micro.large_print_quantile}D)").alias("own"))
    return own.select("event_id", F.greatest("own", F.lit(micro.large_print_dollars)).alias("large_limit"))


def _over(value: str, by: str, condition: str) -> str:
    """SQL of Σ value / Σ by over the rows that meet `condition`, null where the divisor is 0 or there are none."""
    return f"try_divide(sum({value}) FILTER (WHERE {condition}), sum({by}) FILTER (WHERE {condition}))"


def _trade_columns(micro: MicrostructureSettings) -> list[Column]:
    columns = {"trades_used": "count(*)"}
    quoted = "sign IS NOT NULL AND mid IS NOT NULL"
    for side, is_side, seconds in (
        ("before", "before", micro.seconds_before),
        ("after", "NOT before", micro.seconds_after),
    ):
        large = f"notional >= coalesce(large_limit, {micro.large_print_dollars}D)"
        block = f"(shares >= {micro.block_shares} OR notional >= {micro.block_dollars}D)"
        shares = {
            "large_print_share": large,
            "block_share": block,
            "sweep_share": "is_sweep",
            "off_exchange_share": "is_off_exchange",
            "odd_lot_share": "is_odd_lot",
            "signed_share": "sign IS NOT NULL",
        }
        columns |= {
            f"effective_spread_{side}": _over(
                "2 * sign * (price - mid) / mid * notional", "notional", f"{is_side} AND {quoted}"
            ),
            f"trade_imbalance_{side}": _over("sign * shares", "shares", f"{is_side} AND sign IS NOT NULL"),
            f"trades_per_second_{side}": f"count_if({is_side}) / {seconds}D",
            f"volume_{side}": f"sum(shares) FILTER (WHERE {is_side})",
            f"dollar_volume_{side}": f"sum(notional) FILTER (WHERE {is_side})",
            **{
                f"{name}_{side}": _over(f"IF({condition}, shares, 0D)", "shares", is_side)
                for name, condition in shares.items()
            },
        }
    for seconds in HORIZONS:
        later = f"(later_{seconds}.bid + later_{seconds}.ask) / 2"
        ended = f"before AND {TIME} + {seconds * NANOSECONDS}L <= known_ns AND {quoted} AND later_{seconds} IS NOT NULL"
        columns[f"realised_spread_{seconds}s"] = _over(
            f"2 * sign * (price - {later}) / mid * notional", "notional", ended
        )
        columns[f"price_impact_{seconds}s"] = _over(f"2 * sign * ({later} - mid) / mid * notional", "notional", ended)
    stale = f"{TIME} - quote.quote_ns > {micro.stale_quote_seconds * NANOSECONDS}L"
    columns["stale_share"] = f"avg(IF({stale}, 1D, 0D)) FILTER (WHERE quote IS NOT NULL)"
    for ms in STABILITY_MS:
        columns[f"sign_agreement_{ms}ms"] = _over(
            f"IF(sign = sign_{ms}ms, shares, 0D)", "shares", f"sign IS NOT NULL AND sign_{ms}ms IS NOT NULL"
        )
    return [F.expr(sql).alias(name) for name, sql in columns.items()]


def _peaks(met: DataFrame) -> DataFrame:
    """Most trades in any clock second of either side."""
    second = F.expr(f"{TIME} div {NANOSECONDS}L").alias("clock_second")
    seconds = met.groupBy("event_id", "before", second).agg(F.count("*").cast("double").alias("trades"))
    return seconds.groupBy("event_id").agg(
        F.expr("max(trades) FILTER (WHERE before)").alias("peak_trades_1s_before"),
        F.expr("max(trades) FILTER (WHERE NOT before)").alias("peak_trades_1s_after"),
    )


def _of_quotes(book: DataFrame, windows: DataFrame) -> DataFrame:
    """Time-weighted spread and depth, order-flow imbalance and counts of quotes, one row an event."""
    order = Window.partitionBy(*_KEY).orderBy(TIME, "sequence_number")
    earlier = order.rowsBetween(Window.unboundedPreceding, -1)
    best = F.struct("bid_price", "bid_size", "ask_price", "ask_size")
    held = book.withColumns(
        {
            # A quote holds until the next one, sound or not; the last one for as long as anybody asks.
            "until_ns": F.coalesce(F.lead(TIME).over(order), F.lit(ENDLESS_NS)),
            "last": F.last(F.when(F.col("is_valid"), best), ignorenulls=True).over(earlier),
        }
    ).withColumn(
        # Cont, Kukanov and Stoikov (2014), eq. 4.
        "flow",
        F.expr(
            "IF(bid_price >= last.bid_price, bid_size, 0D) - IF(bid_price <= last.bid_price, last.bid_size, 0D) "
            "- IF(ask_price <= last.ask_price, ask_size, 0D) + IF(ask_price >= last.ask_price, last.ask_size, 0D)"
        ),
    )
    met = held.join(windows, _KEY).where(
        (F.col(TIME) < F.col("end_ns")) & ((F.col(TIME) >= F.col("start_ns")) | (F.col("until_ns") > F.col("start_ns")))
    )
    inside = f"{TIME} >= start_ns"
    columns = {
        "quotes_used": f"count_if(is_valid AND {inside})",
        "quotes_dropped": f"count_if(NOT is_valid AND {inside})",
    }
    for side, start, end in (("before", "start_ns", "known_ns"), ("after", "known_ns", "end_ns")):
        time = f"greatest(least(until_ns, {end}) - greatest({TIME}, {start}), 0L)"
        weighted = {
            "quoted_spread": "(ask_price - bid_price) / ((ask_price + bid_price) / 2)",
            "depth": "(bid_size + ask_size)",
            "depth_imbalance": "coalesce(try_divide(bid_size - ask_size, bid_size + ask_size), 0D)",
        }
        columns |= {f"{name}_{side}": _over(f"{value} * {time}", time, "is_valid") for name, value in weighted.items()}
        columns[f"order_flow_imbalance_{side}"] = (
            f"sum(flow) FILTER (WHERE is_valid AND {TIME} >= {start} AND {TIME} < {end})"
        )
    return met.groupBy("event_id").agg(*[F.expr(sql).alias(name) for name, sql in columns.items()])


def extract_features(lake: Lake, settings: Settings, first: date, last: date) -> int:
    """Features of the intraday events from `first` to `last`, replacing what was there; returns the rows written.

    Raises BadInput where there are intraday events of the range but no trades or quotes in silver.
    """
    with recorded_run(lake, "features", {"from": first, "to": last}, settings.digest()) as run:
        days = between("session_date", first, last)
        of_days = run.read_days("gold.events", first, last)
        events = of_days.where("grain <> 'daily'").persist(StorageLevel.MEMORY_AND_DISK)
        if missing := [name for name in ("silver.trades", "silver.quotes") if not lake.exists(name)]:
            raise BadInput(f"{' and '.join(missing)} not written yet: features need trades and quotes.")
        trades, quotes = (run.read_days(name, first, last) for name in ("silver.trades", "silver.quotes"))
        features = event_features(events, trades, quotes, settings.microstructure)
        written = run.replace("gold.event_features", features, days).rows
        run.note = f"{events.count()} events, {written} with trades in their window"
        events.unpersist()
        return written
