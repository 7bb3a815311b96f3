"""Gap: the session opens far from the previous close. Only what is known at the open; the day's volume is not."""

from smallcaps.detectors.declaration import Detector, Feature, Parameter

DETECTOR = Detector(
    name="gap",
    version=1,
    grain="daily",
    summary="Open at least 10 % away from the previous close",
    parameters=(Parameter("threshold", 0.10, "share", 0.01, 1.0, "least distance of open and previous close"),),
    features=(Feature("gap_strength", "abs(open / previous_close - 1) / {threshold}", rounded=True),),
    condition="gap_strength >= 1",
    strength="gap_strength",
    direction="sign(gap_return)",
    context={
        "ts": "open_at",
        "known_at": "timestampadd(SECOND, cast({publication_delay_seconds} AS int), open_at)",
        "price": "open",
        "volume": "NULL",
        "relative_volume": "NULL",
        "dollar_volume": "usual_dollars",
        "pct_change": "gap_return",
        "minutes_since_open": "0D",
    },
)
