"""Consolidation break: Bollinger bands inside the Keltner channel for six bars, then a close outside on volume."""

from smallcaps.detectors.declaration import Detector, Feature, Parameter

DETECTOR = Detector(
    name="consolidation_break",
    version=2,
    grain="minute",
    summary="Close outside the range of six squeezed bars",
    parameters=(
        Parameter("bollinger", 2.0, "standard deviations", 0.5, 10, "half-width of the Bollinger bands", near=1),
        Parameter("keltner", 1.5, "1-minute ATR", 0.5, 10, "half-width of the Keltner channel", near=1 / 0.7),
        Parameter("minimum_ticks", 4, "ticks", 0, 1000, "least range of the six bars"),
        Parameter("minimum_relative_volume", 1.5, "ratio", 0, 1000, "the minute's volume against expected"),
    ),
    features=(
        Feature("bollinger_width", "{bollinger} * deviation", rounded=True),
        Feature("keltner_width", "{keltner} * atr", rounded=True),
        Feature("squeezed", "coalesce(bollinger_width < keltner_width, false)"),
        Feature("box_squeezed", "bool_and(squeezed) OVER prior_6_bars"),
        Feature("box_bars", "count(*) OVER prior_6_bars"),
        Feature("box_high", "max(p_high) OVER prior_6_bars"),
        Feature("box_low", "min(p_low) OVER prior_6_bars"),
        Feature("box_strength", "try_divide(volume, {minimum_relative_volume} * expected_1m)", rounded=True),
    ),
    condition=(
        "box_bars = 6 AND box_squeezed AND box_high - box_low >= {minimum_ticks} * tick "
        "AND (p_close > box_high OR p_close < box_low) AND box_strength >= 1"
    ),
    strength="box_strength",
    direction="CASE WHEN p_close > box_high THEN 1 ELSE -1 END",
)
