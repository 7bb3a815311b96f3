"""How far detectors look back: derived from their windows, and all that a job reads."""

from dataclasses import replace
from datetime import date

import pytest
from pyspark.sql import SparkSession

from smallcaps.calendar import sessions_between
from smallcaps.config import Settings
from smallcaps.detectors.compiler import choose, look_back
from smallcaps.detectors.declaration import Detector, Feature, Grain
from smallcaps.detectors.detect import chosen_detectors, first_day_needed, rows_before, rules_of
from smallcaps.detectors.registry import GRAINS

_BY_DAY = "PARTITION BY security_id ORDER BY session_number"
GRAIN = Grain(
    name="example",
    source="SELECT * FROM bars",
    key=("security_id",),
    order="session_number",
    limits=(),
    windows={"by_day": _BY_DAY, "prior_3": f"{_BY_DAY} ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING"},
    features=(
        Feature("before", "lag(close) OVER by_day"),
        Feature("long_before", "lag(nullif(close, 0), 5) OVER by_day"),
        Feature("change", "close - before"),
        Feature("mean_change", "avg(change) OVER prior_3"),
        Feature("rounded_mean", "mean_change", rounded=True),
        Feature("with_default", "lag(close, 6, 0D) OVER by_day"),
        Feature("of_both", "lag(greatest(close, 0), 2) OVER by_day + avg(lag_of_three) OVER prior_3"),
        Feature("lag_of_three", "lag(close, 3) OVER by_day"),
        Feature("first_ever", "lag(close) OVER by_day - first_value(close) OVER by_day"),
    ),
    guard="true",
    context={},
)
CARRYING = replace(
    GRAIN,
    windows={
        **GRAIN.windows,
        "so_far": f"{_BY_DAY} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        "through_5_ago": f"{_BY_DAY} RANGE BETWEEN UNBOUNDED PRECEDING AND 5 PRECEDING",
    },
    features=(
        *GRAIN.features,
        Feature("total", "sum(volume) OVER so_far"),
        Feature("total_change", "sum(change) OVER so_far"),
        Feature("total_5_ago", "coalesce(sum(volume) OVER through_5_ago, 0L)"),
        Feature("mean_of_totals", "avg(total_5_ago) OVER prior_3"),
        Feature("endless", "avg(volume) OVER so_far"),
        Feature("total_of_means", "sum(mean_change) OVER so_far"),
    ),
)
DETECTOR = Detector("one", 1, "example", "", (), condition="close > 1", strength="1D", direction="1")


@pytest.mark.parametrize(
    ("condition", "edge", "rows"),
    [
        ("close > 1", None, 0),
        ("before > 1", None, 1),
        ("long_before > 1", None, 5),
        ("mean_change > 1 AND before > 1", None, 4),  # Three changes, the first of which looks one back.
        ("rounded_mean > 1", "prior_3", 7),
        ("with_default > 1", None, 6),
        ("of_both > 1", None, 6),  # Three rows, of which the first looks three back.
        ("first_ever > 1", None, None),  # Without a frame anything but lag looks at all rows.
    ],
)
def test_the_look_back_follows_what_a_detector_names(
    condition: str, edge: str | None, rows: int | None, settings: Settings
) -> None:
    rules = rules_of(settings)
    chosen = choose([replace(DETECTOR, condition=condition)], {}, rules)
    assert look_back(replace(GRAIN, edge=edge), chosen, rules) == rows


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("before > 1", 0),  # The row before is carried on, too.
        ("long_before > 1", 5),
        ("total > 1 AND total_change > 1", 0),
        ("total_5_ago > 1", 5),  # Later rows than those are not to be in it, and a seed's are not told apart.
        ("mean_of_totals > 1", 8),
        ("endless > 1", None),  # A mean cannot be carried on by itself.
    ],
)
def test_what_is_carried_on_needs_no_rows_before(condition: str, rows: int | None, settings: Settings) -> None:
    rules = rules_of(settings)
    assert look_back(CARRYING, choose([replace(DETECTOR, condition=condition)], {}, rules), rules) == rows


def test_what_is_carried_on_may_not_look_back_itself(settings: Settings) -> None:
    rules = rules_of(settings)
    chosen = choose([replace(DETECTOR, condition="total_of_means > 1")], {}, rules)
    with pytest.raises(ValueError, match=r"total_of_means_here is carried on.*sum\(mean_change\) OVER so_far"):
        look_back(CARRYING, chosen, rules)


def test_a_minute_needs_79_rows_before_and_a_second_10(settings: Settings) -> None:
    # 15 minutes in which the condition may not have been true, and before the first of them the 64 of the last hour's volatility;
    # the 10 seconds whose trades are counted: when the condition was met last is carried on.
    assert rows_before(settings, "minute") == 15 + 64
    assert rows_before(settings, "trade") == 10


def test_the_look_back_of_the_daily_detectors_is_that_of_wilders_range(settings: Settings) -> None:
    # 300 true ranges, of which the first looks at the close before.
    assert look_back(GRAINS["daily"], chosen_detectors(settings, "daily"), rules_of(settings)) == 301


def test_only_daily_windows_leave_a_session() -> None:
    assert {name for name, grain in GRAINS.items() if not grain.stays_in_session} == {"daily"}


def test_a_job_reads_from_the_first_row_that_matters_however_seldom_a_name_traded(
    spark: SparkSession, settings: Settings
) -> None:
    days = list(sessions_between(date(2012, 1, 3), date(2014, 12, 31))["session_date"])
    first, last = days[-2], days[-1]
    rows = [("DAILY", day) for day in days[50:]]
    # Every second session, none of them the first of the range.
    rows += [("SELDOM", day) for day in days[::-2]]
    rows += [("GONE", day) for day in days[:40]]
    bars = spark.createDataFrame(rows, "security_id string, session_date date")
    before = [day for day in days[::-2] if day < first]
    assert first_day_needed(bars, settings, "daily", first, last) == before[300]
    assert first_day_needed(bars.where("security_id = 'DAILY'"), settings, "daily", first, last) == days[-2 - 301]
    assert first_day_needed(bars.where("security_id = 'GONE'"), settings, "daily", days[0], days[1]) == days[0]
