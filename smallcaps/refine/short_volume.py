"""Short volume of the off-exchange facilities by session, known the next morning.

FINRA's day files carry the symbol of the day, which says whose it is. Volume on exchanges is in none of these figures, so
total_volume is no measure of the tape, and most of what is short here is a market maker's other side.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.lake import Rule, judge
from smallcaps.refine import versions
from smallcaps.refine.bars import NOT_A_SESSION
from smallcaps.refine.publication import impossible_day
from smallcaps.refine.securities import NO_IDENTITY

RULES = (
    NO_IDENTITY,
    NOT_A_SESSION,
    impossible_day("session_date"),
    Rule(
        "impossible_figure",
        "coalesce(exempt_volume, 0) < 0 OR coalesce(exempt_volume, 0) > short_volume OR short_volume > total_volume",
        "a volume is missing or negative, or a part is larger than the whole",
    ),
)
REASONS = {rule.name: rule.reason for rule in RULES} | versions.REASONS


def judged_short_volume(records: DataFrame, calendar: DataFrame) -> DataFrame:
    """Rows of bronze.short_volume with security_id, session_date and known_at by rule, judged, as versions."""
    labelled = records.join(F.broadcast(calendar.select("session_date", "session_number")), "session_date", "left")
    said = ("short_volume", "exempt_volume", "total_volume")
    return versions.versions(judge(labelled, RULES), ("symbol", "session_date"), said)
