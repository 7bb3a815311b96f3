"""The series that are taken from FRED, each with the release it belongs to and when it is out at the latest.

The manufacturing survey of the Institute for Supply Management (PMI) is not among them: its owner had it taken off FRED in June
2016 (news.research.stlouisfed.org/2016/06/institute-for-supply-management-data-to-be-removed-from-fred). The surveys of the
Federal Reserve Banks of Philadelphia and New York stand in its place: diffusion indices of the same kind, monthly and free,
of their districts only, around 0 where the PMI is around 50.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum


class Grain(StrEnum):
    """What an observation is about: the month that begins on its date, or the day itself."""

    MONTH = "month"
    DAY = "day"


@dataclass(frozen=True)
class Release:
    """What comes out together. `lag_days`: days after the period's end by which it is out, where releases.csv has no date.

    Lags are meant to be late rather than early: the usual delay, and room for what holidays do. `closes`: the office that
    makes it is shut when the government is. `at` is the time of day in New York.
    """

    name: str
    lag_days: int
    at: time
    closes: bool = False


_MORNING, _TEN, _EVENING = time(8, 30), time(10), time(18)
CPI = Release("cpi", 22, _MORNING, closes=True)
"""Usually in the second week after the month, of January a week later."""
PPI = Release("ppi", 30, _MORNING, closes=True)
"""Usually within some days of the CPI, of January two weeks later."""
EMPLOYMENT = Release("employment", 15, _MORNING, closes=True)
"""Usually on the first Friday after the month, now and then on the second."""
JOLTS = Release("jolts", 50, _TEN, closes=True)
"""Job openings: five to six weeks after the month."""
POLICY = Release("policy", 1, _EVENING)
"""The target range is told at 14:00 on the day before it holds."""
H15 = Release("h15", 5, _EVENING)
"""Yields: on the next business day. Friday 2009-01-16 had to wait for Wednesday (federalreserve.gov/feeds/h15.html)."""
PHILADELPHIA = Release("philadelphia", 0, _EVENING)
"""Within the month itself, on its third Thursday as a rule."""
NEW_YORK = Release("new_york", 0, _EVENING)
"""Within the month itself, about its middle."""
INCOME = Release("income", 40, _MORNING, closes=True)
"""Personal income and outlays: four to five weeks after the month."""
EXPECTATIONS = Release("expectations", 30, _EVENING, closes=True)
"""Expected inflation: the market's at the month's end, the Federal Reserve Bank of Cleveland's model with the consumer prices."""

CLOSURES = ((date(2013, 10, 1), date(2013, 10, 16)), (date(2025, 10, 1), date(2025, 11, 12)))
"""When offices that close were shut, first and last day, as told at bls.gov (blog/2013/post-government-shutdown-updates-…) and
perc.tamu.edu/blog/2025/11/shutdown-stall.html. Periods that end within 60 days of one have twice its length more to wait."""
NEAR_CLOSURE_DAYS = 60


@dataclass(frozen=True)
class Series:
    """A series by FRED's id: what it is, why it is taken, what it comes out with."""

    name: str
    what: str
    why: str
    release: Release
    grain: Grain = Grain.MONTH


def _yields(*names: str) -> Iterable[Series]:
    for name in names:
        span = name.removeprefix("DGS").replace("3MO", "3-month")
        yield Series(name, f"Treasury yield, {span}", "level and slope of the curve", H15, Grain.DAY)


SERIES = (
    Series("CPIAUCSL", "Consumer prices", "inflation: the release that moves everything", CPI),
    Series("CPILFESL", "Consumer prices without food and energy", "what the Federal Reserve looks at", CPI),
    Series("PPIFIS", "Producer prices, final demand", "inflation to come; no archive before February 2014", PPI),
    Series("PPIACO", "Producer prices, all commodities", "producer prices of the years before PPIFIS", PPI),
    Series("PAYEMS", "Jobs outside farms", "growth; revised twice and each year", EMPLOYMENT),
    Series("UNRATE", "Unemployment rate", "slack of the labour market", EMPLOYMENT),
    Series("CES0500000003", "Average hourly earnings", "pressure on wages", EMPLOYMENT),
    Series("JTSJOL", "Job openings", "demand for labour", JOLTS),
    Series("DFEDTARU", "Federal funds target, upper bound", "policy", POLICY, Grain.DAY),
    Series("DFEDTARL", "Federal funds target, lower bound", "policy", POLICY, Grain.DAY),
    *_yields("DGS3MO", "DGS2", "DGS5", "DGS10", "DGS30"),
    Series(
        "GACDFSA066MSFRBPHI", "Philadelphia's survey of manufacturers, general activity", "for the PMI", PHILADELPHIA
    ),
    Series("GACDISA066MSFRBNY", "New York's survey of manufacturers, general conditions", "for the PMI", NEW_YORK),
)
BY_NAME = {series.name: series for series in SERIES}
