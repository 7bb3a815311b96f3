"""Free float as it was received: the vendor has its latest figure only, so before the first receipt there is none.

The vendor names today's symbols: as_of says whose it is. A new row stands where the figure changed, for the security, so that a
new symbol makes none.
"""

from pyspark.sql import DataFrame

from smallcaps.lake import Rule, judge
from smallcaps.refine import versions
from smallcaps.refine.publication import end_of
from smallcaps.refine.securities import NO_IDENTITY

RULES = (
    NO_IDENTITY,
    Rule(
        "impossible_figure",
        "free_float < 0 OR coalesce(free_float_percent, 0D) NOT BETWEEN 0 AND 100",
        "the float is missing or negative, or its share is not within 0–100 %",
    ),
    Rule(
        "impossible_day",
        "coalesce(effective_date, as_of) > as_of",
        "the figure is of a day after that as of which the vendor said so",
    ),
)
REASONS = {rule.name: rule.reason for rule in RULES} | versions.REASONS


def judged_float(records: DataFrame) -> DataFrame:
    """Rows of bronze.float with security_id, judged, as versions: each known when the as_of day it came on is over."""
    received = records.withColumn("known_at", end_of("as_of"))
    return versions.versions(judge(received, RULES), ("security_id",), ("free_float", "free_float_percent"))
