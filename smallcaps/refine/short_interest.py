"""Short interest as it was published: how many shares were short at a settlement, known eight sessions later.

FINRA's lists carry the symbol of the settlement day, and the vendor keeps them so: that day says whose it is.
"""

from pyspark.sql import DataFrame

from smallcaps.lake import Rule, judge
from smallcaps.refine import versions
from smallcaps.refine.publication import impossible_day
from smallcaps.refine.securities import NO_IDENTITY

RULES = (
    NO_IDENTITY,
    impossible_day("settlement_date"),
    Rule(
        "impossible_figure",
        "short_interest < 0 OR coalesce(avg_daily_volume, 0) < 0 OR coalesce(days_to_cover, 0D) < 0",
        "the short interest is missing, or a figure is negative",
    ),
)
REASONS = {rule.name: rule.reason for rule in RULES} | versions.REASONS


def judged_short_interest(records: DataFrame) -> DataFrame:
    """Rows of bronze.short_interest with security_id and known_at by rule, judged, as versions."""
    said = ("short_interest", "avg_daily_volume", "days_to_cover")
    return versions.versions(judge(records, RULES), ("symbol", "settlement_date"), said)
