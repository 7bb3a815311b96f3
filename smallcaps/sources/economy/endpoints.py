"""FRED's endpoint that is taken: every figure of the declared series that was in force in a period of ours, by vintage.

fred/series/vintagedates is not asked: the days are in the figures themselves, as realtime_start. Nor is fred/release/dates: it
has the days of releases, but not which period they were about.
"""

from smallcaps.sources.economy.series import SERIES
from smallcaps.sources.fields import Field
from smallcaps.sources.polygon.endpoints import Endpoint, Freshness, Scope, Source

FIRST_OBSERVATION = "2000-01-01"
"""Observations before it are not taken: every request brings all of a series, and no study reaches so far back."""

MACRO_VINTAGES = Endpoint(
    name="macro_vintages",
    table="bronze.macro_vintages",
    path="/fred/series/observations",
    parameters={
        "series_id": "{symbol}",
        "realtime_start": "{from}",
        "realtime_end": "{to}",
        "observation_start": FIRST_OBSERVATION,
        "file_type": "json",
        "limit": 100_000,
    },
    scope=Scope.SYMBOL_YEAR,
    freshness=Freshness.SETTLED,
    fields=(
        Field("observation_date", "date", "date"),
        Field("value", "value", "double", optional=True, missing="."),
        Field("realtime_start", "realtime_start", "date"),
        Field("realtime_end", "realtime_end", "date"),
    ),
    records="observations",
    within="realtime_start",
    source=Source.FRED,
    asked="series",
    names=tuple(series.name for series in SERIES),
)
