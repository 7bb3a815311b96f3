"""Flush reversal: a deep fall from the open that is bought back; and its mirror, the blow-off top."""

from smallcaps.detectors.declaration import Detector, Feature, Parameter


def _reversal(name: str, extreme: str, depth: str) -> tuple[Feature, ...]:
    """Depth against its threshold, the way back against its own, and whether both and the close's location suffice."""
    return (
        Feature(f"{name}_strength", f"try_divide({depth}, flush_threshold)", rounded=True),
        Feature(f"{name}_recovery", f"try_divide(abs(close - {extreme}), {{recovery}} * ({depth}))", rounded=True),
        Feature(f"{name}_location", f"try_divide(abs(close - {extreme}), high - low)", rounded=True),
        Feature(
            f"is_{name}",
            f"coalesce({name}_strength >= 1 AND {name}_recovery >= 1 AND {name}_location >= {{close_location}}, false)",
        ),
    )


DETECTOR = Detector(
    name="flush_reversal",
    version=1,
    grain="daily",
    summary="Falls (or rises) from the open by an ATR14 and 10 %, then takes half of it back",
    parameters=(
        Parameter("minimum_move", 0.10, "share of the open", 0.01, 1, "least depth"),
        Parameter("recovery", 0.5, "share of the depth", 0, 1, "least way back"),
        Parameter("close_location", 0.6, "share of the range", 0, 1, "least distance of the close from the extreme"),
        Parameter("minimum_relative_volume", 1.5, "ratio", 0, 100, "least relative volume"),
    ),
    features=(
        # Where ATR14 is not usable yet the share of the open alone is the threshold: `greatest` leaves nulls out.
        Feature("flush_threshold", "greatest(wilder, {minimum_move} * open)"),
        *_reversal("flush", "low", "open - low"),
        *_reversal("blow_off", "high", "high - open"),
    ),
    condition="(is_flush OR is_blow_off) AND relative_volume >= {minimum_relative_volume}",
    strength="CASE WHEN is_flush THEN flush_strength ELSE blow_off_strength END",
    direction="CASE WHEN is_flush THEN 1 ELSE -1 END",
)
