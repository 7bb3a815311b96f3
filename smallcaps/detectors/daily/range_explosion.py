"""Range explosion: a day far wider than the days before it, on volume."""

from smallcaps.detectors.declaration import Detector, Feature, Parameter

DETECTOR = Detector(
    name="range_explosion",
    version=1,
    grain="daily",
    summary="Range at least 2.5 times the mean of 20 bars and 8 % of the previous close, on twice the volume",
    parameters=(
        Parameter("multiple", 2.5, "times the mean range", 1, 20, "least range against the mean of the 20 bars before"),
        Parameter("minimum_move", 0.08, "share", 0, 1, "least range against the previous close"),
        Parameter("minimum_relative_volume", 2.0, "ratio", 0, 100, "least relative volume"),
    ),
    features=(
        Feature("range_strength", "try_divide(high - low, {multiple} * mean_range)", rounded=True),
        Feature("range_move", "try_divide(high - low, {minimum_move} * previous_close)", rounded=True),
    ),
    condition="range_strength >= 1 AND range_move >= 1 AND relative_volume >= {minimum_relative_volume}",
    strength="range_strength",
    direction="sign(close - open)",
)
