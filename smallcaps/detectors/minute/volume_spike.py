"""Volume spike: five minutes with many times the expected volume, and real money in them."""

from smallcaps.detectors.declaration import Detector, Feature, Parameter

DETECTOR = Detector(
    name="volume_spike",
    version=2,
    grain="minute",
    summary="5-minute volume at least 8 times expected and $50,000",
    parameters=(
        Parameter("multiple", 8, "times expected", 1, 1000, "least 5-minute volume"),
        Parameter("minimum_dollars", 50_000, "$", 0, 1e9, "least dollars in the 5 minutes"),
    ),
    features=(Feature("spike_strength", "relative_volume / {multiple}", rounded=True),),
    condition="relative_volume >= {multiple} AND dollars_5m >= {minimum_dollars}",
    strength="spike_strength",
    direction="coalesce(sign(close - close_5_ago), 0)",
)
