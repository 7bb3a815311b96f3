"""Spread, imbalance, tape and large prints before and after an event; formulas in the data dictionary.

1. Trades in any event's window meet the last valid quotes before them, and later ones, in one as-of join, and are
signed. 2. Events meet the trades and quotes of their window; `known_at` divides before from after. 3. One row an
event. A value without trades or quotes behind it is null, never 0. Late reports take no part; a trade made before the event and
published after it counts as after, quotes stand from when they were published. Halts and late volume are 0 where none is on file.
"""

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.config.settings import MicrostructureSettings, SignRule
from smallcaps.lake import Lake, declared
from smallcaps.lake.gold import HORIZONS, MEASURED_TWICE, STABILITY_MS
from smallcaps.microstructure.as_of import PUBLISHED, TIME, with_quotes
from smallcaps.microstructure.job import Around, write_around_events
from smallcaps.microstructure.signing import is_valid, mid, trade_sign, with_tick
from smallcaps.microstructure.windows import ENDLESS_NS, NANOSECONDS, event_windows, in_any_window
from smallcaps.refine.baselines import MONTH_BEFORE_DAYS
from smallcaps.refine.trade_sizes import earlier_quantiles

INTERVAL_SECONDS, FEWEST_INTERVALS = 10, 20
"""Of Kyle's λ and Amihud's measure: how long an interval is, and how many with a trade and a return a slope needs."""

CONTEXT = {
    **dict.fromkeys(("silver.halts", "silver.baselines"), 0),
    **dict.fromkeys(("silver.calendar", "silver.trade_sizes"), MONTH_BEFORE_DAYS),
}
"""Other tables that are looked at, and how many calendar days before the first event."""
BUCKETS = 50
"""Of VPIN: into so many the usual day's volume is divided, and so many of the last ones it is the mean of."""
_KEY = ["symbol", "session_date"]
_IDENTITY = ["security_id", "session_date"]
_LOOKED_AT = (
    *("security_id", *_KEY, TIME, PUBLISHED, "sequence_number", "price", "shares", "notional"),
    *("is_sweep", "is_off_exchange", "is_odd_lot"),
)
"""Of trades: every column more goes through the as-of join, too."""
_SIDES = {"before": "before", "after": "NOT before"}
"""SQL of which trades are on which side of the event."""
_MADE_KNOWN = f"greatest({TIME}, {PUBLISHED})"
"""SQL of when a trade was made and published."""


def event_features(around: Around, micro: MicrostructureSettings) -> DataFrame:
    """gold.event_features (without run_id) of intraday rows of gold.events. Pure.

    Only days and names with events are looked at. An event without a trade in its window has no row.
    """
    intraday = around.events.where("grain <> 'daily'")
    windows = F.broadcast(event_windows(intraday, micro))
    names = F.broadcast(windows.select(*_KEY).distinct())
    counted = around.trades.where("updates_volume AND NOT is_late").join(names, _KEY, "left_semi")
    shares = F.col("size").cast("double")
    valued = counted.withColumns({"shares": shares, "notional": F.col("price") * shares})
    tape = with_tick(valued.select(*_LOOKED_AT))
    book = around.quotes.join(names, _KEY, "left_semi").withColumn("is_valid", is_valid(micro))
    signed = _signed(tape, book.where("is_valid"), windows, micro.sign_rule)
    met = signed.join(windows, _KEY).where(F.col(TIME).between(F.col("start_ns"), F.col("end_ns") - 1))
    own_large = earlier_quantiles(
        around.context["silver.trade_sizes"],
        intraday.select(*_IDENTITY).distinct(),
        around.context["silver.calendar"],
        micro.large_print_quantile,
    ).withColumnRenamed("dollars", "own_large")
    met = met.join(F.broadcast(own_large), _IDENTITY, "left").withColumn("before", F.expr(f"{_MADE_KNOWN} < known_ns"))
    # How long after the trade before it of its side of the event a trade came.
    order = Window.partitionBy("event_id", "before").orderBy(TIME, "sequence_number")
    spaced = met.withColumn("gap", (F.col(TIME) - F.lag(TIME).over(order)) / NANOSECONDS)
    of_trades = spaced.groupBy("event_id").agg(*_trade_columns(micro))
    late = around.trades.where("updates_volume AND is_late").join(names, _KEY, "left_semi")
    keys = around.events.select("event_id", *_KEY, "known_at")
    wide = keys.join(of_trades, "event_id").join(_peaks(met), "event_id").join(_of_intervals(met), "event_id")
    wide = wide.join(_of_quotes(book, windows), "event_id", "left").join(_of_late(late, windows), "event_id", "left")
    wide = wide.join(_of_halts(around.context["silver.halts"], windows), "event_id", "left")
    wide = wide.join(_vpin(tape, around.context["silver.baselines"], windows), "event_id", "left")
    nothing = [f"{name}_{side}" for name in ("late_volume", "halts") for side in _SIDES]
    counts = wide.fillna(0, ["trades_used", "quotes_used", "quotes_dropped", *nothing])
    changes = {f"{name}_change": F.col(f"{name}_after") - F.col(f"{name}_before") for name in MEASURED_TWICE}
    return counts.withColumns(changes).select(*[column.name for column in declared("gold.event_features").columns])


def _signed(trades: DataFrame, quotes: DataFrame, windows: DataFrame, rule: SignRule) -> DataFrame:
    """The trades inside any window with quotes at the trade and at HORIZONS after, and their signs by quotes at the trade
    (`sign`) and STABILITY_MS before it (`sign_5ms`, …).
    """
    wanted = in_any_window(trades, windows)
    older = {f"older_{ms}": -ms * 1_000_000 for ms in STABILITY_MS}
    later = {f"later_{seconds}": seconds * NANOSECONDS for seconds in HORIZONS}
    quoted = with_quotes(wanted, quotes, {"quote": 0} | older | later)

    def sign(quote: str) -> Column:
        return trade_sign(rule, F.col("price"), quote, F.col("tick"))

    older_signs = {f"sign_{ms}ms": sign(f"older_{ms}") for ms in STABILITY_MS}
    return quoted.withColumns({"mid": mid("quote"), "sign": sign("quote")} | older_signs).drop(*older)


def _over(value: str, by: str, condition: str) -> str:
    """SQL of Σ value / Σ by over the rows that meet `condition`, null where the divisor is 0 or there are none."""
    return f"try_divide(sum({value}) FILTER (WHERE {condition}), sum({by}) FILTER (WHERE {condition}))"


def _trade_columns(micro: MicrostructureSettings) -> list[Column]:
    columns = {"trades_used": "count(*)"}
    quoted = "sign IS NOT NULL AND mid IS NOT NULL"
    for (side, is_side), seconds in zip(_SIDES.items(), (micro.seconds_before, micro.seconds_after), strict=True):
        # Of a name without trades in the sessions before the fixed sum decides alone.
        large = f"notional >= greatest(own_large, {micro.large_print_dollars}D)"
        block = f"(shares >= {micro.block_shares} OR notional >= {micro.block_dollars}D)"
        shares = {
            "large_print_share": large,
            "block_share": block,
            "sweep_share": "is_sweep",
            "off_exchange_share": "is_off_exchange",
            "odd_lot_share": "is_odd_lot",
            "sub_penny_share": "pmod(cast(rint(price * 1000000D) AS bigint), IF(price >= 1, 10000L, 100L)) <> 0",
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
            f"inter_arrival_median_{side}": f"percentile(gap, 0.5D) FILTER (WHERE {is_side})",
            f"inter_arrival_cv_{side}": (
                f"try_divide(stddev_pop(gap) FILTER (WHERE {is_side}), avg(gap) FILTER (WHERE {is_side}))"
            ),
            f"quote_age_{side}": f"avg(({TIME} - quote.quote_ns) / {NANOSECONDS}D) FILTER (WHERE {is_side})",
            **{
                f"{name}_{side}": _over(f"IF({condition}, shares, 0D)", "shares", is_side)
                for name, condition in shares.items()
            },
        }
    for seconds in HORIZONS:
        later = f"(later_{seconds}.bid + later_{seconds}.ask) / 2"
        ended = f"{_MADE_KNOWN} + {seconds * NANOSECONDS}L <= known_ns AND {quoted} AND later_{seconds} IS NOT NULL"
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
    """Most trades in any second, and in any ten seconds, of the clock on either side."""
    second = F.expr(f"{TIME} div {NANOSECONDS}L").alias("clock_second")
    seconds = met.groupBy("event_id", "before", second).agg(F.count("*").cast("double").alias("trades"))
    tens = seconds.groupBy("event_id", "before", F.expr("clock_second div 10").alias("ten")).agg(
        F.max("trades").alias("of_one"), F.sum("trades").alias("of_ten")
    )
    peaks = {f"peak_trades_1s_{side}": f"max(of_one) FILTER (WHERE {is_side})" for side, is_side in _SIDES.items()}
    peaks |= {f"peak_trades_10s_{side}": f"max(of_ten) FILTER (WHERE {is_side})" for side, is_side in _SIDES.items()}
    return tens.groupBy("event_id").agg(*[F.expr(sql).alias(name) for name, sql in peaks.items()])


def _of_intervals(met: DataFrame) -> DataFrame:
    """Kyle's λ and Amihud's measure on either side, of the intervals that have a trade: the return of one is from the last price
    of the one before it.
    """
    interval = F.expr(f"({TIME} - start_ns) div {INTERVAL_SECONDS * NANOSECONDS}L").alias("interval")
    each = met.groupBy("event_id", "before", interval).agg(
        F.max_by("price", F.struct(TIME, "sequence_number")).alias("last"),
        F.expr("sum(sign * notional)").alias("flow"),
        F.sum("notional").alias("dollars"),
    )
    order = Window.partitionBy("event_id", "before").orderBy("interval")
    moved = each.withColumn("log_return", F.log(F.col("last") / F.lag("last").over(order)))
    columns = {}
    for side, is_side in _SIDES.items():
        usable = f"{is_side} AND log_return IS NOT NULL AND flow IS NOT NULL"
        # Hasbrouck (2009): signed roots of dollars, in which the slope is about the same for small trades and large ones.
        slope = f"regr_slope(log_return, sign(flow) * sqrt(abs(flow))) FILTER (WHERE {usable})"
        columns[f"kyle_lambda_{side}"] = f"CASE WHEN count_if({usable}) >= {FEWEST_INTERVALS} THEN {slope} END"
        columns[f"amihud_{side}"] = f"1e6D * avg(abs(log_return) / dollars) FILTER (WHERE {is_side})"
    return moved.groupBy("event_id").agg(*[F.expr(sql).alias(name) for name, sql in columns.items()])


def _of_late(late: DataFrame, windows: DataFrame) -> DataFrame:
    """Shares of trades reported late, by when the report was published: with them volume is what was known at the time."""
    met = late.join(windows, _KEY).where("sip_ns >= start_ns AND sip_ns < end_ns")
    return met.groupBy("event_id").agg(
        F.expr("sum(cast(size AS double)) FILTER (WHERE sip_ns < known_ns)").alias("late_volume_before"),
        F.expr("sum(cast(size AS double)) FILTER (WHERE sip_ns >= known_ns)").alias("late_volume_after"),
    )


def _of_quotes(book: DataFrame, windows: DataFrame) -> DataFrame:
    """Time-weighted spread and depth, order-flow imbalance and counts of quotes, one row an event."""
    order = Window.partitionBy(*_KEY).orderBy(PUBLISHED, "sequence_number")
    earlier = order.rowsBetween(Window.unboundedPreceding, -1)
    best = F.struct("bid_price", "bid_size", "ask_price", "ask_size")
    held = book.withColumns(
        {
            # A quote holds until the next one, sound or not; the last one for as long as anybody asks.
            "until_ns": F.coalesce(F.lead(PUBLISHED).over(order), F.lit(ENDLESS_NS)),
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
    met = (
        held.join(windows, _KEY)
        .withColumnRenamed(PUBLISHED, "at")
        .where("at < end_ns AND (at >= start_ns OR until_ns > start_ns)")
    )
    inside = "at >= start_ns"
    columns = {
        "quotes_used": f"count_if(is_valid AND {inside})",
        "quotes_dropped": f"count_if(NOT is_valid AND {inside})",
    }
    for side, start, end in (("before", "start_ns", "known_ns"), ("after", "known_ns", "end_ns")):
        time = f"greatest(least(until_ns, {end}) - greatest(at, {start}), 0L)"
        weighted = {
            "quoted_spread": "(ask_price - bid_price) / ((ask_price + bid_price) / 2)",
            "depth": "(bid_size + ask_size)",
            "depth_imbalance": "coalesce(try_divide(bid_size - ask_size, bid_size + ask_size), 0D)",
        }
        columns |= {f"{name}_{side}": _over(f"{value} * {time}", time, "is_valid") for name, value in weighted.items()}
        columns[f"order_flow_imbalance_{side}"] = f"sum(flow) FILTER (WHERE is_valid AND at >= {start} AND at < {end})"
    return met.groupBy("event_id").agg(*[F.expr(sql).alias(name) for name, sql in columns.items()])


def _of_halts(halts: DataFrame, windows: DataFrame) -> DataFrame:
    """How many halts began on either side of the event: when one ends is told later."""
    met = halts.select(*_KEY, F.col("start_ns").alias("halt_ns")).join(windows, _KEY)
    return met.groupBy("event_id").agg(
        F.expr("cast(count_if(halt_ns >= start_ns AND halt_ns < known_ns) AS double)").alias("halts_before"),
        F.expr("cast(count_if(halt_ns >= known_ns AND halt_ns < end_ns) AS double)").alias("halts_after"),
    )


def _vpin(tape: DataFrame, baselines: DataFrame, windows: DataFrame) -> DataFrame:
    """VPIN of the last BUCKETS full buckets before each event that has as many: 1/n Σ |bought − sold| / bucket, with the tick
    rule's signs (Easley, López de Prado and O'Hara 2012, who sign in bulk).
    """
    usual = baselines.where("median_volume > 0").select(*_IDENTITY, "median_volume")
    known = tape.join(windows, _KEY).where(f"{_MADE_KNOWN} < known_ns").join(F.broadcast(usual), _IDENTITY)
    so_far = Window.partitionBy("event_id").orderBy(TIME, "sequence_number")
    # Places on the tape, counted in buckets; a trade may lie in several.
    placed = (
        known.withColumn("volume", F.sum("shares").over(so_far.rowsBetween(Window.unboundedPreceding, 0)))
        .withColumn("till", F.expr(f"{BUCKETS} * volume / median_volume"))
        .withColumn("since", F.expr(f"{BUCKETS} * (volume - shares) / median_volume"))
        .withColumn("full", F.floor(F.max("till").over(Window.partitionBy("event_id"))))
        .where(f"full >= {BUCKETS} AND till > full - {BUCKETS} AND since < full")
    )
    first, last = f"greatest(floor(since), full - {BUCKETS})", "least(ceil(till), full) - 1"
    buckets = placed.withColumn("bucket", F.expr(f"explode(sequence({first}, {last}))"))
    # What came before the first change of price counts as balanced.
    bought = F.expr("sum(coalesce(tick, 0) * (least(till, bucket + 1) - greatest(since, bucket)))").alias("bought")
    each = buckets.groupBy("event_id", "bucket").agg(bought)
    return each.groupBy("event_id").agg((F.sum(F.abs("bought")) / BUCKETS).alias("vpin"))


def extract_features(lake: Lake, settings: Settings, first: date, last: date) -> int:
    """Features of the intraday events from `first` to `last`, replacing what was there; returns the rows written."""
    told = "{events} events, {rows} with trades in their window"
    return write_around_events(
        lake, settings, first, last, "features", "gold.event_features", event_features, told, CONTEXT
    )
