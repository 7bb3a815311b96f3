"""The daily grain. Prices of other days are carried into today's shares by the ratio of cumulative factors. What looks back
follows the security, whatever its symbol was.
"""

from smallcaps.detectors.declaration import Feature, Grain
from smallcaps.lake import Rule

_BY_DAY = "PARTITION BY security_id ORDER BY session_number"

_FOLD = (
    "aggregate(slice(true_ranges, 15, size(true_ranges) - 14), "
    "aggregate(slice(true_ranges, 1, 14), 0D, (total, one) -> total + one) / 14, "
    "(average, one) -> (13 * average + one) / 14) * cumulative_factor"
)

GRAIN = Grain(
    name="daily",
    source="SELECT * FROM bars DISTRIBUTE BY security_id",
    key=("security_id",),
    order="session_number",
    limits=(
        Rule(
            "price_beyond_limits",
            "NOT (least(open, high, low, close) > 0 AND greatest(open, high, low, close) <= 1e9)",
            "a price is not a number above 0 and up to 1e9 $",
        ),
        Rule(
            "volume_beyond_limits", "NOT volume BETWEEN 0 AND 1e15", "the volume is not a number from 0 to 1e15 shares"
        ),
        Rule(
            "factor_beyond_limits",
            "NOT cumulative_factor BETWEEN 1e-12 AND 1e12",
            "the cumulative split factor is not a number from 1e-12 to 1e12",
        ),
    ),
    windows={
        "by_day": _BY_DAY,
        "prior_20_bars": f"{_BY_DAY} ROWS BETWEEN 20 PRECEDING AND 1 PRECEDING",
        "prior_300_bars": f"{_BY_DAY} ROWS BETWEEN 300 PRECEDING AND 1 PRECEDING",
        "prior_20_sessions": f"{_BY_DAY} RANGE BETWEEN 20 PRECEDING AND 1 PRECEDING",
    },
    features=(
        Feature("previous_session", "lag(session_number) OVER by_day"),
        Feature("previous_raw_close", "lag(close) OVER by_day"),
        Feature("previous_volume", "lag(volume) OVER by_day"),
        Feature("previous_factor", "lag(cumulative_factor) OVER by_day"),
        Feature("previous_normal_close", "lag(close / cumulative_factor) OVER by_day"),
        Feature("previous_close", "previous_normal_close * cumulative_factor"),
        Feature("normal_range", "(high - low) / cumulative_factor"),
        Feature("mean_range", "avg(normal_range) OVER prior_20_bars * cumulative_factor"),
        Feature("normal_volume", "volume * cumulative_factor"),
        Feature("median_volume", "percentile(normal_volume, 0.5D) OVER prior_20_sessions / cumulative_factor"),
        Feature("rvol_n", "cast(count(*) OVER prior_20_sessions AS int)"),
        Feature("median_dollars", "percentile(close * volume, 0.5D) OVER prior_20_sessions"),
        Feature(
            "floored",
            "coalesce(previous_raw_close BETWEEN {minimum_price} AND {maximum_price} "
            "AND previous_session = session_number - 1 AND previous_volume > 0 AND rvol_n >= {minimum_bars} "
            "AND median_dollars >= {minimum_dollar_volume}, false)",
        ),
        Feature(
            "relative_volume",
            "CASE WHEN rvol_n >= 10 THEN try_divide(volume, median_volume) END",
            rounded=True,
        ),
        Feature(
            "normal_true_range",
            "greatest(high / cumulative_factor, previous_normal_close) - least(low / cumulative_factor, previous_normal_close)",
        ),
        Feature("true_ranges", "collect_list(normal_true_range) OVER prior_300_bars"),
        # The fold is the dear part: only where an event is possible.
        Feature("wilder", f"CASE WHEN floored AND size(true_ranges) >= 30 THEN {_FOLD} END"),
        Feature("atr", "wilder", rounded=True),
        Feature("day_return", "close / previous_close - 1", rounded=True),
        Feature("gap_return", "open / previous_close - 1", rounded=True),
        Feature("dollars", "close * volume", rounded=True),
        Feature("usual_dollars", "median_dollars", rounded=True),
    ),
    guard="floored",
    context={
        "ts": "close_at",
        "known_at": "timestampadd(SECOND, cast({publication_delay_seconds} AS int), close_at)",
        "price": "close",
        "volume": "volume",
        "dollar_volume": "dollars",
        "pct_change": "day_return",
        "gap_pct": "gap_return",
        "atr": "atr",
        "relative_volume": "relative_volume",
        "rvol_n": "rvol_n",
        "baseline": "'history'",
        "minutes_since_open": "(unix_seconds(close_at) - unix_seconds(open_at)) / 60D",
        "possible_missing_split": "possible_missing_split",
    },
)
