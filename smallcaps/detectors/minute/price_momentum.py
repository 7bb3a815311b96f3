"""Price momentum: five minutes that the last hour's volatility does not explain."""

from smallcaps.detectors.declaration import Detector, Feature, Parameter

DETECTOR = Detector(
    name="price_momentum",
    version=2,
    grain="minute",
    summary="5-minute log return at least 4 sigma and 2 %",
    parameters=(
        Parameter("sigmas", 4, "1-minute σ × √5", 1, 50, "least 5-minute log return"),
        Parameter("minimum_move", 0.02, "log return", 0, 1, "least 5-minute log return"),
    ),
    features=(
        Feature("momentum_strength", "try_divide(abs(log_return_5m), {sigmas} * sigma * sqrt(5D))", rounded=True),
    ),
    condition="momentum_strength >= 1 AND abs(log_return_5m) >= {minimum_move}",
    strength="momentum_strength",
    direction="sign(log_return_5m)",
)
