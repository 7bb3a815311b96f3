"""The trade grain: integer counts of trades, and of millionths of shares, a second. Windows are elapsed seconds of a segment."""

from smallcaps.detectors.declaration import Feature, Grain
from smallcaps.lake import Rule
from smallcaps.refine.ticks import WHOLE_DAYS

_SEGMENT = "PARTITION BY security_id, session_date, segment ORDER BY second"
# Order inside a second as one whole number: nanoseconds of the second, then sequence (below 10⁹).
_ORDER = "(sip_ns % 1000000000L) * 1000000000L + sequence_number"

GRAIN = Grain(
    name="trade",
    source=(
        "SELECT /*+ SHUFFLE_HASH(baselines), BROADCAST(volume_curves) */ * FROM (\n"
        "  SELECT symbol, security_id, session_date, session, segment, segment_start, second, second div 60 AS minute,\n"
        f"    count(*) AS trades, sum(cast(size * 1000000 AS bigint)) AS millionths, max_by(price, {_ORDER}) AS last_price,\n"
        "    min(date_trunc('second', ts)) AS ts\n"
        "  FROM (SELECT * FROM trades WHERE updates_volume AND session <> 'closed' "
        f"AND {WHOLE_DAYS} DISTRIBUTE BY security_id, session_date)\n"
        "  GROUP BY symbol, security_id, session_date, session, segment, segment_start, second\n"
        ")\n"
        "LEFT JOIN baselines USING (security_id, session_date)\n"
        "LEFT JOIN volume_curves USING (session_date, minute)"
    ),
    key=("security_id", "session_date"),
    order="second",
    limits=(
        Rule(
            "price_beyond_limits",
            "NOT (price > 0 AND price <= 1e9)",
            "the price is not a number above 0 and up to 1e9 $",
        ),
        Rule(
            "size_beyond_limits",
            "NOT (size >= 0 AND size <= 1e8)",
            "the size is not a number from 0 to 1e8 shares: sums might overflow",
        ),
    ),
    windows={
        "so_far": f"{_SEGMENT} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        "through_10_ago": f"{_SEGMENT} RANGE BETWEEN UNBOUNDED PRECEDING AND 10 PRECEDING",
        "prior_900_seconds": f"{_SEGMENT} RANGE BETWEEN 900 PRECEDING AND 1 PRECEDING",
    },
    features=(
        Feature("trades_so_far", "sum(trades) OVER so_far"),
        Feature("trades_through_10_ago", "coalesce(sum(trades) OVER through_10_ago, 0L)"),
        Feature("trades_10s", "trades_so_far - trades_through_10_ago"),
        Feature("millionths_so_far", "sum(millionths) OVER so_far"),
        Feature("millionths_through_10_ago", "coalesce(sum(millionths) OVER through_10_ago, 0L)"),
        Feature(
            "shares_10s",
            "cast(bround(cast(millionths_so_far - millionths_through_10_ago AS decimal(20,0)) / 1000000) AS bigint)",
        ),
        Feature("price_10_ago", "last_value(last_price) OVER through_10_ago"),
        Feature("elapsed_10_ago", "second - 9 - 60 * segment_start"),
        # By the sessions before, else by this segment so far: from half an hour and a trade on.
        Feature("of_history", "coalesce(elapsed_10_ago >= 0 AND median_trades * trades_share > 0, false)"),
        Feature(
            "expected_10s",
            "CASE WHEN of_history THEN median_trades * trades_share / 6 "
            "WHEN elapsed_10_ago >= 1800 THEN 10D * trades_through_10_ago / elapsed_10_ago END",
        ),
        Feature("history_tenths", "10 * expected_10s", rounded=True),
        # λ in tenths, rounded up; the segment's own in whole numbers.
        Feature(
            "expected_tenths",
            "CASE WHEN of_history THEN cast(ceil(history_tenths) AS int) "
            "WHEN elapsed_10_ago >= 1800 AND trades_through_10_ago > 0 "
            "THEN cast((100 * trades_through_10_ago + elapsed_10_ago - 1) div elapsed_10_ago AS int) END",
        ),
        Feature("critical", "expected_tenths", lookup="critical_counts"),
        Feature("relative_count", "try_divide(trades_10s, expected_10s)", rounded=True),
        Feature("change_10s", "last_price / price_10_ago - 1", rounded=True),
    ),
    guard="true",
    edge="prior_900_seconds",
    context={
        "ts": "ts",
        "known_at": "timestampadd(SECOND, 1 + cast({publication_delay_seconds} AS int), ts)",
        "price": "last_price",
        "volume": "shares_10s",
        "pct_change": "change_10s",
        "relative_volume": "relative_count",
        "rvol_n": "CASE WHEN of_history THEN counted_bars END",
        "baseline": "IF(of_history, 'history', 'session')",
        "minutes_since_open": "(second - 60 * segment_start) / 60D",
    },
)
