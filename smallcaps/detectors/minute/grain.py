"""The minute grain. Windows are elapsed minutes of a segment; sums are differences of running sums over integers."""

from smallcaps.detectors.declaration import Feature, Grain
from smallcaps.detectors.expressions import ten_thousandths
from smallcaps.lake import Rule

# Segments are numbered through the day, so that their number alone tells the session and orders the day.
_DAY = "PARTITION BY security_id, session_date ORDER BY segment, minute"
_SEGMENT = "PARTITION BY security_id, session_date, segment ORDER BY minute"


def _of(session: str, value: str) -> str:
    """A value on the rows of one session; null on the others."""
    return f"CASE WHEN session = '{session}' THEN {value} END"


def _by_session(pre: str, regular: str, post: str) -> str:
    """What each session takes."""
    return f"CASE session WHEN 'pre' THEN {pre} WHEN 'regular' THEN {regular} ELSE {post} END"


GRAIN = Grain(
    name="minute",
    source=(
        "SELECT /*+ SHUFFLE_HASH(baselines), BROADCAST(volume_curves) */ *\n"
        "FROM (SELECT * FROM bars DISTRIBUTE BY security_id, session_date)\n"
        "LEFT JOIN baselines USING (security_id, session_date)\n"
        "LEFT JOIN volume_curves USING (session_date, minute)"
    ),
    key=("security_id", "session_date"),
    order="minute",
    # Within them the largest of the integer sums, of squared prices over the minutes of a day and of prices times volume, stay
    # below 2⁶³.
    limits=(
        Rule(
            "price_beyond_limits",
            "NOT (least(open, high, low, close) > 0 AND greatest(open, high, low, close) <= 9000)",
            "a price is not a number above 0 and up to 9,000 $: sums of squares might overflow",
        ),
        Rule(
            "volume_beyond_limits",
            "NOT (volume >= 0 AND volume <= 1e12 AND high * volume <= 1e11)",
            "the volume is not a number from 0 to 1e12 shares worth up to 1e11 $: sums might overflow",
        ),
    ),
    windows={
        "day_so_far": f"{_DAY} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        "day_before": f"{_DAY} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
        "segment_rows": _SEGMENT,
        "segment_so_far": f"{_SEGMENT} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        "through_5_ago": f"{_SEGMENT} RANGE BETWEEN UNBOUNDED PRECEDING AND 5 PRECEDING",
        "through_20_ago": f"{_SEGMENT} RANGE BETWEEN UNBOUNDED PRECEDING AND 20 PRECEDING",
        "prior_5_minutes": f"{_SEGMENT} RANGE BETWEEN 5 PRECEDING AND 1 PRECEDING",
        "prior_15_minutes": f"{_SEGMENT} RANGE BETWEEN 15 PRECEDING AND 1 PRECEDING",
        "hour_before_5_ago": f"{_SEGMENT} RANGE BETWEEN 64 PRECEDING AND 5 PRECEDING",
        "prior_6_bars": f"{_SEGMENT} ROWS BETWEEN 6 PRECEDING AND 1 PRECEDING",
    },
    features=(
        *(Feature(f"p_{name}", ten_thousandths(name)) for name in ("open", "high", "low", "close")),
        Feature("tick", "CASE WHEN p_close >= 10000 THEN 100 ELSE 1 END"),
        Feature("typical", "(p_high + p_low + p_close) * volume"),
        # Volume and dollars
        Feature("volume_so_far", "sum(volume) OVER segment_so_far"),
        Feature("typical_so_far", "sum(typical) OVER segment_so_far"),
        Feature("volume_through_5_ago", "coalesce(sum(volume) OVER through_5_ago, 0L)"),
        Feature("typical_through_5_ago", "coalesce(sum(typical) OVER through_5_ago, 0L)"),
        Feature("volume_5m", "volume_so_far - volume_through_5_ago"),
        Feature("dollars_5m", "(typical_so_far - typical_through_5_ago) / 30000D", rounded=True),
        Feature("elapsed_5_ago", "minute - 4 - segment_start"),
        # By the sessions before, else by this segment so far.
        Feature("of_history", "coalesce(minute - segment_start >= 4 AND median_volume * volume_share_5m > 0, false)"),
        Feature(
            "expected_5m",
            "CASE WHEN of_history THEN median_volume * volume_share_5m "
            "WHEN elapsed_5_ago >= 30 THEN 5D * volume_through_5_ago / elapsed_5_ago END",
        ),
        Feature(
            "expected_1m",
            "coalesce(nullif(median_volume * volume_share, 0D), CASE WHEN minute - segment_start >= 30 "
            "THEN nullif(cast(volume_so_far - volume AS double) / (minute - segment_start), 0D) END)",
        ),
        Feature("relative_volume", "try_divide(volume_5m, expected_5m)", rounded=True),
        # Price
        Feature("close_5_ago", "last_value(close) OVER through_5_ago"),
        Feature("change_5m", "close / close_5_ago - 1", rounded=True),
        Feature("previous_close", "lag(close) OVER segment_rows"),
        Feature("previous_p_close", "lag(p_close) OVER segment_rows"),
        Feature("previous_minute", "lag(minute) OVER segment_rows"),
        Feature("true_range", "greatest(p_high, previous_p_close) - least(p_low, previous_p_close)"),
        Feature("ranges_so_far", "sum(true_range) OVER segment_so_far"),
        Feature("ranges_through_20_ago", "coalesce(sum(true_range) OVER through_20_ago, 0L)"),
        Feature("bars_so_far", "count(*) OVER segment_so_far"),
        Feature("bars_through_20_ago", "count(*) OVER through_20_ago"),
        Feature("bars_20m", "bars_so_far - bars_through_20_ago"),
        Feature(
            "atr",
            "CASE WHEN bars_20m >= 10 THEN (ranges_so_far - ranges_through_20_ago) / (10000D * bars_20m) END",
            rounded=True,
        ),
        # VWAP anchored at 04:00, and of the session: the day without the sessions before
        Feature("day_typical", "sum(typical) OVER day_so_far"),
        Feature("day_volume", "sum(volume) OVER day_so_far"),
        Feature("pre_typical", f"coalesce(sum({_of('pre', 'typical')}) OVER day_so_far, 0L)"),
        Feature("pre_volume", f"coalesce(sum({_of('pre', 'volume')}) OVER day_so_far, 0L)"),
        Feature("post_typical", f"coalesce(sum({_of('post', 'typical')}) OVER day_so_far, 0L)"),
        Feature("post_volume", f"coalesce(sum({_of('post', 'volume')}) OVER day_so_far, 0L)"),
        Feature("session_typical", _by_session("day_typical", "day_typical - pre_typical", "post_typical")),
        Feature("session_volume", _by_session("day_volume", "day_volume - pre_volume", "post_volume")),
        Feature("vwap", "try_divide(session_typical, 30000D * session_volume)", rounded=True),
        Feature("vwap_distance", "close / vwap - 1", rounded=True),
        # Never null, as what is carried on must be: before the session has volume it is on neither side.
        Feature("side", "coalesce(sign(close - vwap), 0D)"),
        Feature("side_5_ago", "last_value(side) OVER through_5_ago"),
        Feature("lowest_side", "coalesce(min(side) OVER prior_5_minutes, side_5_ago)"),
        Feature("highest_side", "coalesce(max(side) OVER prior_5_minutes, side_5_ago)"),
        Feature("day_vwap", "try_divide(day_typical, 30000D * day_volume)", rounded=True),
        Feature("day_side", "coalesce(sign(close - day_vwap), 0D)"),
        Feature("day_side_5_ago", "last_value(day_side) OVER through_5_ago"),
        Feature("lowest_day_side", "coalesce(min(day_side) OVER prior_5_minutes, day_side_5_ago)"),
        Feature("highest_day_side", "coalesce(max(day_side) OVER prior_5_minutes, day_side_5_ago)"),
        # Volatility of one-minute log returns over the hour before the last 5 minutes
        Feature("log_return", "coalesce(ln(close / previous_close), 0D)", rounded=True),
        Feature("squared_return", "log_return * log_return"),
        Feature("squares_hour", "sum(squared_return) OVER hour_before_5_ago"),
        Feature("bars_hour", "count(squared_return) OVER hour_before_5_ago"),
        Feature(
            "sigma",
            "CASE WHEN bars_hour >= 15 THEN sqrt(squares_hour / least(60, elapsed_5_ago)) END",
            rounded=True,
        ),
        Feature("log_return_5m", "ln(close / close_5_ago)", rounded=True),
        # Bollinger inside Keltner: mean and variance of 20 forward-filled closes, taken from the segment's first close
        Feature("first_p_close", "first_value(p_close) OVER segment_so_far"),
        Feature("first_minute", "first_value(minute) OVER segment_so_far"),
        Feature("q", "p_close - first_p_close"),
        Feature("previous_q", "previous_p_close - first_p_close"),
        Feature("held_q", "coalesce(previous_q * (minute - previous_minute), 0L)"),
        Feature("held_q2", "coalesce(previous_q * previous_q * (minute - previous_minute), 0L)"),
        Feature("held_q_so_far", "sum(held_q) OVER segment_so_far"),
        Feature("held_q2_so_far", "sum(held_q2) OVER segment_so_far"),
        Feature("held_q_through_20_ago", "coalesce(sum(held_q) OVER through_20_ago, 0L)"),
        Feature("held_q2_through_20_ago", "coalesce(sum(held_q2) OVER through_20_ago, 0L)"),
        Feature("p_close_20_ago", "last_value(p_close) OVER through_20_ago"),
        Feature("minute_20_ago", "last_value(minute) OVER through_20_ago"),
        Feature("q_20_ago", "p_close_20_ago - first_p_close"),
        Feature("still_held_20_ago", "minute - 19 - minute_20_ago"),
        Feature("sum_q", "held_q_so_far + q - held_q_through_20_ago - coalesce(q_20_ago * still_held_20_ago, 0L)"),
        Feature(
            "sum_q2",
            "held_q2_so_far + q * q - held_q2_through_20_ago - coalesce(q_20_ago * q_20_ago * still_held_20_ago, 0L)",
        ),
        Feature(
            "deviation",
            "CASE WHEN first_minute <= minute - 19 THEN sqrt((20 * sum_q2 - sum_q * sum_q) / 400D) / 10000D END",
        ),
        # The session's opening range
        Feature("pre_start", f"min({_of('pre', 'segment_start')}) OVER day_so_far"),
        Feature("regular_start", f"min({_of('regular', 'segment_start')}) OVER day_so_far"),
        Feature("post_start", f"min({_of('post', 'segment_start')}) OVER day_so_far"),
        Feature("session_start", _by_session("pre_start", "regular_start", "post_start")),
        Feature("session_minute", _of("regular", "minute - session_start")),
        Feature("first_open", f"first_value({_of('regular', 'open')}, true) OVER day_so_far"),
    ),
    guard="NOT is_auction",
    edge="prior_15_minutes",
    context={
        "ts": "ts",
        "known_at": "timestampadd(SECOND, 60 + cast({publication_delay_seconds} AS int), ts)",
        "price": "close",
        "volume": "volume_5m",
        "dollar_volume": "dollars_5m",
        "pct_change": "change_5m",
        "atr": "atr",
        "vwap_distance": "vwap_distance",
        "relative_volume": "relative_volume",
        "rvol_n": "CASE WHEN of_history THEN history_bars END",
        "baseline": "CASE WHEN relative_volume IS NOT NULL THEN IF(of_history, 'history', 'session') END",
        "minutes_since_open": "minute - session_start",
    },
)
