"""VWAP break: the close crosses the VWAP after five minutes on its other side, far enough and on volume."""

from smallcaps.detectors.declaration import Detector, Feature, Parameter


def _break(name: str, summary: str, sessions: str, vwap: str, prefix: str) -> Detector:
    margin = "greatest({minimum_ticks} * tick / 10000D, {atr_share} * sqrt(5D) * atr)"
    up = f"({prefix}side = 1 AND {prefix}side_5_ago = -1 AND highest_{prefix}side = -1)"
    down = f"({prefix}side = -1 AND {prefix}side_5_ago = 1 AND lowest_{prefix}side = 1)"
    return Detector(
        name=name,
        version=2,
        grain="minute",
        summary=summary,
        parameters=(
            Parameter("minimum_ticks", 2, "ticks", 0, 1000, "least distance from the VWAP"),
            Parameter("atr_share", 0.25, "5-minute ATR", 0, 10, "least distance from the VWAP"),
            Parameter("minimum_relative_volume", 1.5, "ratio", 0, 1000, "the minute's volume against expected"),
        ),
        features=(
            Feature(
                f"{name}_strength",
                f"CASE WHEN atr IS NOT NULL THEN try_divide(abs(close - {vwap}), {margin}) END",
                rounded=True,
            ),
            Feature(f"{name}_volume", "try_divide(volume, {minimum_relative_volume} * expected_1m)", rounded=True),
        ),
        condition=f"session IN ({sessions}) AND ({up} OR {down}) AND {name}_strength >= 1 AND {name}_volume >= 1",
        strength=f"{name}_strength",
        direction=f"{prefix}side",
    )


DETECTORS = (
    _break("vwap_break", "Close crosses the regular session's VWAP", "'regular'", "vwap", ""),
    _break("vwap_break_premarket", "Close crosses the VWAP anchored at 04:00", "'pre', 'regular'", "day_vwap", "day_"),
)
