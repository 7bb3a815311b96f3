"""Opening range break: the first close beyond the range of the first 5, 15 or 30 minutes, on volume."""

from smallcaps.detectors.declaration import Detector, Feature, Parameter


def _break(minutes: int) -> Detector:
    high, low, bars, width, strength, beyond, earlier, highest, lowest = (
        f"range_{minutes}_{what}"
        for what in (
            "high",
            "low",
            "bars",
            "width",
            "strength",
            "beyond",
            "beyond_before",
            "highest_close",
            "lowest_close",
        )
    )
    inside = f"CASE WHEN session_minute < {minutes} THEN {{}} END"
    # Once the range stands, an earlier close was beyond it where the highest or the lowest of them was.
    later = f"CASE WHEN session_minute >= {minutes} THEN p_close END"
    return Detector(
        name=f"opening_range_break_{minutes}",
        version=2,
        grain="minute",
        summary=f"First close beyond the range of the first {minutes} minutes",
        parameters=(
            Parameter("minimum_ticks", 4, "ticks", 0, 1000, "least width of the range"),
            Parameter("minimum_width", 0.01, "share of the first open", 0, 1, "least width of the range"),
            Parameter("minimum_relative_volume", 2.0, "ratio", 0, 1000, "least 5-minute relative volume"),
        ),
        features=(
            Feature(high, f"max({inside.format('p_high')}) OVER day_so_far"),
            Feature(low, f"min({inside.format('p_low')}) OVER day_so_far"),
            Feature(bars, f"count({inside.format('p_high')}) OVER day_so_far"),
            Feature(width, f"({high} - {low}) / (10000D * {{minimum_width}} * first_open)", rounded=True),
            Feature(beyond, f"coalesce(session_minute >= {minutes} AND (p_close > {high} OR p_close < {low}), false)"),
            Feature(highest, f"max({later}) OVER day_before"),
            Feature(lowest, f"min({later}) OVER day_before"),
            Feature(earlier, f"coalesce({highest} > {high} OR {lowest} < {low}, false)"),
            Feature(strength, "relative_volume / {minimum_relative_volume}", rounded=True),
        ),
        condition=(
            f"{beyond} AND NOT {earlier} AND {bars} >= 3 AND {high} - {low} >= {{minimum_ticks}} * tick "
            f"AND {width} >= 1 AND relative_volume >= {{minimum_relative_volume}}"
        ),
        strength=strength,
        direction=f"CASE WHEN p_close > {high} THEN 1 ELSE -1 END",
    )


DETECTORS = tuple(_break(minutes) for minutes in (5, 15, 30))
