"""The download plan: what the windows cover, nothing twice, in as few stretches as can be."""

import datetime as dt
import random
from itertools import pairwise
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.config import Settings
from smallcaps.config.settings import MicrostructureSettings
from smallcaps.errors import BadInput
from smallcaps.ingest.requests import TickWindow
from smallcaps.lake import Lake
from smallcaps.microstructure.windows import download_plan, merged_windows
from smallcaps.refine.labels import calendar_frame
from tests.detectors.test_manifest import event
from tests.microstructure.tables import as_table

TUESDAY, WEDNESDAY = dt.date(2024, 1, 2), dt.date(2024, 1, 3)
OPEN = dt.datetime(2024, 1, 2, 9, tzinfo=dt.UTC)
"""04:00 New York of TUESDAY; the session day ends 57,600 seconds later."""
DAY_SECONDS = 57_600


@pytest.fixture(scope="module")
def micro(settings: Settings) -> MicrostructureSettings:
    """Windows from 30 s before to 60 s after, with a margin of 10 s: [−40, 70)."""
    return settings.microstructure.model_copy(update={"seconds_before": 30, "seconds_after": 60, "margin_seconds": 10})


def known(symbol: str, *seconds: int, day: int = 0) -> list[dict[str, Any]]:
    """Events of a name, known so many seconds after 04:00 New York."""
    moments = [OPEN + dt.timedelta(days=day, seconds=at) for at in seconds]
    return [event(f"{symbol}{day}{at}", day, 2.0, symbol=symbol, ts=at, known_at=at) for at in moments]


def plan(spark: SparkSession, micro: MicrostructureSettings, events: list[dict[str, Any]]) -> dict[str, list[tuple]]:
    """By symbol, (day, first second, last second, events) of each stretch."""
    calendar = calendar_frame(spark, TUESDAY, WEDNESDAY)
    found: dict[str, list[tuple]] = {}
    for row in merged_windows(as_table(spark, "gold.events", events), calendar, micro).collect():
        day = (row.session_date - TUESDAY).days
        zero = int(OPEN.timestamp() + 86_400 * day) * 10**9
        stretch = (day, (row.start_ns - zero) / 1e9, (row.end_ns - zero) / 1e9, row.events)
        found.setdefault(row.symbol, []).append(stretch)
    return {symbol: sorted(stretches) for symbol, stretches in found.items()}


def test_windows_that_overlap_or_touch_become_one_and_others_stay_apart(
    spark: SparkSession, micro: MicrostructureSettings
) -> None:
    events = [
        *known("APART", 1_000, 1_111),  # [960, 1070) and [1071, 1181): a second lies between.
        *known("TOUCH", 1_000, 1_110),  # [960, 1070) and [1070, 1180).
        *known("CHAIN", 1_000, 1_050, 1_100, 5_000),
        *known("SAME", 1_000, 1_000),
        *known("DAYS", 1_000),
        *known("DAYS", 1_000, day=1),
    ]
    assert plan(spark, micro, events) == {
        "APART": [(0, 960, 1_070, 1), (0, 1_071, 1_181, 1)],
        "TOUCH": [(0, 960, 1_180, 2)],
        "CHAIN": [(0, 960, 1_170, 3), (0, 4_960, 5_070, 1)],
        "SAME": [(0, 960, 1_070, 2)],
        "DAYS": [(0, 960, 1_070, 1), (1, 960, 1_070, 1)],
    }


def test_windows_are_cut_to_the_session_day(spark: SparkSession, micro: MicrostructureSettings) -> None:
    events = [*known("EARLY", 5), *known("LATE", DAY_SECONDS - 20), *known("AFTER", DAY_SECONDS + 40)]
    assert plan(spark, micro, events) == {
        "EARLY": [(0, 0, 75, 1)],
        "LATE": [(0, DAY_SECONDS - 60, DAY_SECONDS, 1)],
    }


def test_whatever_the_events_the_plan_covers_their_windows_exactly_once_and_no_two_of_it_meet(
    spark: SparkSession, micro: MicrostructureSettings
) -> None:
    """200 names with up to 25 events each on two days; second by second against a set of seconds."""
    chance = random.Random(6)
    events, covered = [], {}
    for number in range(200):
        symbol, range_ = f"N{number}", chance.choice((300, 3_000, DAY_SECONDS))
        for day in (0, 1):
            seconds = sorted({chance.randrange(range_) for _ in range(chance.randrange(26))})
            events += known(symbol, *seconds, day=day)
            covered[symbol, day] = {
                second for at in seconds for second in range(max(0, at - 40), min(DAY_SECONDS, at + 70))
            }
    found = plan(spark, micro, events)
    for (symbol, day), expected in covered.items():
        stretches = [(int(first), int(last)) for at, first, last, _ in found.get(symbol, []) if at == day]
        assert [second for first, last in stretches for second in range(first, last)] == sorted(expected)
        # As few as can be: between two of them lies a second that no window covers.
        assert all(last < following for (_, last), (following, _) in pairwise(stretches))
    assert sum(stretch[3] for stretches in found.values() for stretch in stretches) == len(events)


def test_the_plan_of_a_lake_is_of_the_manifests_events_alone(
    lake: Lake, settings: Settings, micro: MicrostructureSettings
) -> None:
    own = settings.model_copy(update={"microstructure": micro})
    with pytest.raises(BadInput, match="Run `smallcaps manifest` first"):
        download_plan(lake, own)

    def put(table: str, rows: DataFrame) -> None:
        lake.replace(table, rows, None, "a run")

    chosen, other = known("IN", 1_000), known("OUT", 1_000)
    put("gold.events", as_table(lake.spark, "gold.events", [*chosen, *other]))
    place = {name: chosen[0][name] for name in ("event_id", "symbol", "session_date", "ts", "detector")}
    place |= {"rank": 1, "score": 0.5, "strength_percentile": 0.5, "earlier_events": 0}
    put("gold.core_manifest", as_table(lake.spark, "gold.core_manifest", [place]))
    put("silver.calendar", calendar_frame(lake.spark, TUESDAY, WEDNESDAY))
    start = int(OPEN.timestamp() + 960) * 10**9
    assert download_plan(lake, own) == [TickWindow(TUESDAY, "IN", start, start + 110 * 10**9)]
