"""Bars: checked, labelled, and one-minute bars built from trades."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.calendar.sessions import new_york_day
from smallcaps.lake import Rule, judge, judge_repeats
from smallcaps.refine.adjustments import like_a_split, with_factor
from smallcaps.refine.labels import label, relabel
from smallcaps.refine.ticks import together, which_holds

NOT_A_SESSION = Rule("not_a_session", "session_number IS NULL", "New York did not trade that day")
RULES = (
    NOT_A_SESSION,
    Rule("wrong_day", f"{new_york_day('window_start_ns')} <> session_date", "the bar does not start on the file's day"),
    Rule("non_positive_price", "least(open, high, low, close) <= 0", "a price is zero or negative"),
    Rule("high_below_low", "high < low", "the high is below the low"),
    Rule(
        "price_outside_range",
        "greatest(open, close) > high OR least(open, close) < low",
        "open or close is outside low–high",
    ),
    Rule("negative_volume", "volume < 0", "the volume is negative"),
)
MINUTE_RULES = (
    *RULES,
    Rule("outside_hours", "session = 'closed'", "the bar starts outside 04:00–20:00 New York"),
    Rule("not_on_the_minute", "window_start_ns % 60000000000L <> 0", "the bar does not start on a minute"),
)
DUPLICATE = "duplicate_row"
REASONS = {rule.name: rule.reason for rule in MINUTE_RULES} | {DUPLICATE: "another row has the same symbol and time"}
_TYPES = (
    *(f"cast({name} AS double) AS {name}" for name in ("open", "high", "low", "close")),
    "cast(bround(volume) AS bigint) AS volume",
    "transactions",
)
"""Prices as doubles, volume in whole shares (half-even): SQL over bronze columns."""


def judged_daily(bars: DataFrame, calendar: DataFrame) -> DataFrame:
    """bronze.bars_1d rows judged: RULES and repeats, with session_number, open_at and close_at."""
    labelled = bars.join(
        F.broadcast(calendar.drop("early_close", "pre_open_at", "post_close_at")), "session_date", "left"
    )
    return judge_repeats(
        judge(labelled, RULES), ("symbol", "session_date"), ("source_sha256", "source_line"), DUPLICATE
    )


LOOK_BACK_DAYS = 20
"""A close from longer ago says nothing about a split of today."""


def daily_bars(judged: DataFrame, factors: DataFrame) -> DataFrame:
    """Judged daily rows (with security_id) as silver.bars_1d; verdict and source columns are kept beside.

    `factors` as `adjustments.cumulative_factors` makes them. What precedes a bar is looked for among the rows given.
    """
    kept = ("_rule", "source_sha256", "source_line", "security_id", "symbol", "session_date", "session_number")
    rows = with_factor(judged, factors, "session_date").selectExpr(
        *(*kept, "open_at", "close_at"),
        *_TYPES,
        "volume = 0 AS zero_volume",
        "cumulative_factor",
    )
    return with_missing_splits(rows, F.col("_rule").isNull() & ~F.col("zero_volume"))


def with_missing_splits(bars: DataFrame, is_sound: Column) -> DataFrame:
    """`bars` (security_id, session_date, open, close, cumulative_factor) with possible_missing_split: the return over night is
    that of a split and none is on file. Only rows that are sound say anything about others: those with prices that somebody made.
    """
    before = Window.partitionBy("security_id", is_sound).orderBy("session_date")

    def former(name: str) -> Column:
        return F.when(is_sound, F.lag(name).over(before))

    marked = bars.withColumns({f"_{name}": former(name) for name in ("close", "cumulative_factor", "session_date")})
    overnight = "abs(ln(try_divide(open, _close)))"
    recent = f"datediff(session_date, _session_date) <= {LOOK_BACK_DAYS} AND cumulative_factor = _cumulative_factor"
    verdict = F.coalesce(F.expr(f"{recent} AND {like_a_split(overnight)}"), F.lit(False))
    return marked.withColumn("possible_missing_split", verdict).drop("_close", "_cumulative_factor", "_session_date")


_IS_AUCTION = "minute = segment_start AND session IN ('regular', 'post') AS is_auction"
"""The first minute of the regular session, that of the close and that of a resumption hold the auctions' prints."""


def judged_vendor_minutes(bars: DataFrame, calendar: DataFrame, resumptions: DataFrame | None = None) -> DataFrame:
    """bronze.bars_1m rows judged and labelled, in silver.bars_1m's columns but for security_id, and kafka_offset; `resumptions`
    as for `label`. Repeats are not judged yet: `once`.
    """
    judged = judge(label(bars, calendar, "window_start_ns", resumptions), MINUTE_RULES)
    return judged.selectExpr(
        *("_rule", "source_sha256", "source_line", "kafka_offset", "symbol", "session_date"),
        "timestamp_micros(window_start_ns div 1000) AS ts",
        *("session", "segment", "segment_start", "minute"),
        *_TYPES,
        _IS_AUCTION,
        "'vendor' AS source",
    )


def relabelled_minutes(minutes: DataFrame, calendar: DataFrame, resumptions: DataFrame) -> DataFrame:
    """Rows of silver.bars_1m as they are with other resumptions."""
    named = [column for column in minutes.columns if column != "is_auction"]
    again = relabel(minutes.select(named), calendar, "unix_micros(ts) * 1000L", resumptions)
    return again.selectExpr("*", _IS_AUCTION).select(*minutes.columns)


def once(minutes: DataFrame) -> DataFrame:
    """Judged rows of silver.bars_1m's columns, those of one symbol and time but the one that holds judged to be repeats."""
    key = ("session_date", "symbol", "ts")
    return judge_repeats(together(minutes), key, which_holds(), DUPLICATE).drop("kafka_offset")


def minute_bars(trades: DataFrame, calendar: DataFrame, resumptions: DataFrame | None = None) -> DataFrame:
    """One-minute bars of silver.trades rows, in silver.bars_1m's columns but for security_id; `resumptions` as for `label`.

    Open and close are the first and last price that may set them, high and low likewise, volume what may count; a
    minute without a price that may set open and close has no bar, as with the vendor. A trade belongs to the minute in which it
    was published. One that was published late counts as volume and sets no price: the price is of another minute. One that was
    withdrawn before its minute was over does not count; one that was withdrawn later stands, as it stood then.
    """
    order = "struct(sip_ns, sequence_number)"
    bars = (
        trades.where("session <> 'closed'")
        .where("coalesce(withdrawn_ns div 60000000000L > sip_ns div 60000000000L, true)")
        # In the order of the files, by nothing that follows from it: Spark sorts by these.
        .groupBy("session_date", "symbol", F.expr("sip_ns div 60000000000L * 60000000000L").alias("start_ns"))
        .agg(
            F.expr(f"min_by(price, {order}) FILTER (WHERE updates_open_close AND NOT is_late)").alias("open"),
            F.expr("max(price) FILTER (WHERE updates_high_low AND NOT is_late)").alias("high"),
            F.expr("min(price) FILTER (WHERE updates_high_low AND NOT is_late)").alias("low"),
            F.expr(f"max_by(price, {order}) FILTER (WHERE updates_open_close AND NOT is_late)").alias("close"),
            F.expr("cast(bround(coalesce(sum(size) FILTER (WHERE updates_volume), 0)) AS bigint)").alias("volume"),
            F.expr("count_if(updates_volume)").alias("transactions"),
        )
        .where("open IS NOT NULL")
    )
    return label(bars, calendar, "start_ns", resumptions).selectExpr(
        *("symbol", "session_date"),
        "timestamp_micros(start_ns div 1000) AS ts",
        *("session", "segment", "segment_start", "minute"),
        *("open", "high", "low", "close", "volume", "transactions"),
        _IS_AUCTION,
        "'trades' AS source",
    )


_PRICES = ("open", "high", "low", "close")
HOUR_RULES = (
    *RULES,
    Rule("outside_hours", "session = 'closed'", "the bar starts outside 04:00–20:00 New York"),
    Rule("not_on_the_hour", "window_start_ns % 3600000000000L <> 0", "the bar does not start on an hour"),
    Rule(
        "contradicts_minutes",
        f"coalesce(volume = minutes_volume AND ({' OR '.join(f'{name} <> minutes_{name}' for name in _PRICES)}), false)",
        "its volume is that of its minute bars and its prices are not theirs",
    ),
    Rule(
        "outside_day",
        "coalesce(is_within_regular AND (high > day_high OR low < day_low), false)",
        "an hour of the regular session is above the day's high or below its low",
    ),
)
HOUR_REASONS = {rule.name: rule.reason for rule in HOUR_RULES} | {DUPLICATE: REASONS[DUPLICATE]}


def rolled_hours(minutes: DataFrame) -> DataFrame:
    """One-hour bars of one-minute bars (symbol, session_date, ts, prices, volume, transactions)."""
    return minutes.groupBy("symbol", "session_date", F.date_trunc("hour", "ts").alias("ts")).agg(
        F.min_by("open", "ts").alias("open"),
        F.max("high").alias("high"),
        F.min("low").alias("low"),
        F.max_by("close", "ts").alias("close"),
        F.sum("volume").alias("volume"),
        F.sum("transactions").alias("transactions"),
    )


def judged_hours(hours: DataFrame, minutes: DataFrame, days: DataFrame, calendar: DataFrame) -> DataFrame:
    """bronze.bars_1h rows judged, against the vendor's own minutes and days too (bronze.bars_1m, bronze.bars_1d), in
    silver.bars_1h's columns but for security_id. An hour with more volume than its minutes may stand: minutes without a price
    are no bars, and some are missing.
    """
    ts = F.expr("timestamp_micros(window_start_ns div 1000)")
    rolled = rolled_hours(minutes.withColumn("ts", ts)).select(
        "symbol", "ts", *[F.col(name).alias(f"minutes_{name}") for name in (*_PRICES, "volume")]
    )
    of_day = days.groupBy("symbol", "session_date").agg(F.max("high").alias("day_high"), F.min("low").alias("day_low"))
    ends_at = "window_start_ns + 3600000000000L <= unix_seconds(close_at) * 1000000000L"
    labelled = (
        label(hours, calendar, "window_start_ns")
        .withColumns({"ts": ts, "is_within_regular": F.expr(f"session = 'regular' AND {ends_at}")})
        .join(rolled, ["symbol", "ts"], "left")
        .join(of_day, ["symbol", "session_date"], "left")
    )
    judged = judge_repeats(
        judge(labelled, HOUR_RULES), ("symbol", "window_start_ns"), ("source_sha256", "source_line"), DUPLICATE
    )
    return judged.selectExpr(
        *("_rule", "source_sha256", "source_line", "symbol", "session_date", "ts", "session"),
        *_TYPES,
        "'vendor' AS source",
    )


def completed_hours(judged: DataFrame, minutes: DataFrame, calendar: DataFrame) -> DataFrame:
    """Judged vendor hours, and where there is no sound one that of silver.bars_1m's `minutes`."""
    own = rolled_hours(minutes).join(
        judged.where("_rule IS NULL").select("symbol", "ts"), ["symbol", "ts"], "left_anti"
    )
    labelled = label(own.withColumn("start_ns", F.unix_micros("ts") * 1000), calendar, "start_ns")
    rows = labelled.selectExpr(*("symbol", "session_date", "ts", "session"), *_TYPES, "'minutes' AS source")
    return judged.unionByName(rows, allowMissingColumns=True)
