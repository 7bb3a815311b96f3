"""The trade grain: integer counts of trades a second. Windows are elapsed seconds of a segment."""

from smallcaps.detectors.declaration import Feature, Grain

_SEGMENT = "PARTITION BY symbol, session_date, segment ORDER BY second"
# Order inside a second as one whole number: nanoseconds of the second, then sequence (below 10⁹).
_ORDER = "(sip_ns % 1000000000L) * 1000000000L + sequence_number"

GRAIN = Grain(
    name="trade",
    source=(
        f"SELECT symbol, security_id, session_date, session, segment, segment_start, second,\n"
        f"  count(*) AS trades, sum(size) AS shares, max_by(price, {_ORDER}) AS last_price,\n"
        "  min(date_trunc('second', ts)) AS ts\n"
        "FROM (SELECT * FROM trades WHERE updates_volume AND session <> 'closed' DISTRIBUTE BY symbol, session_date)\n"
        "GROUP BY symbol, security_id, session_date, session, segment, segment_start, second"
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
        Feature("shares_so_far", "sum(shares) OVER so_far"),
        Feature("shares_through_10_ago", "coalesce(sum(shares) OVER through_10_ago, 0)"),
        Feature("shares_10s", "cast(bround(shares_so_far - shares_through_10_ago) AS bigint)"),
        Feature("price_10_ago", "last_value(last_price) OVER through_10_ago"),
        Feature("elapsed_10_ago", "second - 9 - 60 * segment_start"),
        Feature(
            "expected_10s", "CASE WHEN elapsed_10_ago >= 1800 THEN 10D * trades_through_10_ago / elapsed_10_ago END"
        ),
        # λ in tenths, rounded up in whole numbers; null below half an hour or without a trade before.
        Feature(
            "expected_tenths",
            "CASE WHEN elapsed_10_ago >= 1800 AND trades_through_10_ago > 0 "
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
        "baseline": "'session'",
        "minutes_since_open": "(second - 60 * segment_start) / 60D",
    },
)
