"""ATR breakout: the close moves more than two average true ranges, on volume."""

from smallcaps.detectors.declaration import Detector, Feature, Parameter

DETECTOR = Detector(
    name="atr_breakout",
    version=1,
    grain="daily",
    summary="Close more than 2 ATR14 and 8 % from the previous close, on twice the volume",
    parameters=(
        Parameter("multiple", 2.0, "ATR14", 0.5, 20, "change that the close must exceed"),
        Parameter("minimum_move", 0.08, "share", 0, 1, "least return"),
        Parameter("minimum_relative_volume", 2.0, "ratio", 0, 100, "least relative volume"),
    ),
    features=(
        Feature("breakout_strength", "try_divide(abs(close - previous_close), {multiple} * wilder)", rounded=True),
    ),
    condition=(
        "breakout_strength > 1 AND abs(day_return) >= {minimum_move} AND relative_volume >= {minimum_relative_volume}"
    ),
    strength="breakout_strength",
    direction="sign(day_return)",
)
