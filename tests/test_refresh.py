"""A day that the vendor publishes again: what was made of it is made again, that alone, and ends as if it had always been so."""

from datetime import date
from functools import reduce

import pytest
from pyspark.sql import DataFrame

from smallcaps.calendar import sessions_between
from smallcaps.config import Settings
from smallcaps.detectors.detect import detect
from smallcaps.detectors.manifest import build_manifest
from smallcaps.labels.barriers import label_events
from smallcaps.lake import Lake, recorded_run, stale
from smallcaps.refine.job import refine
from smallcaps.refresh import refresh
from tests.refine.frames import bronze_bars
from tests.sources.vendor_files import bar

pytestmark = pytest.mark.slow

DAYS = list(sessions_between(date(2015, 3, 2), date(2015, 4, 30))["session_date"])
GAP, REPUBLISHED = DAYS[36], DAYS[38]
BARS = "bronze.bars_1d"
MADE = ("silver.calendar", "silver.securities", "silver.bars_1d", "silver.universe")
GOLD = ("gold.events", "gold.event_labels", "gold.core_manifest")
RUN_COLUMNS = ("run_id", "source_sha256", "source_line")


def bars(lake: Lake, days: list[date], gaps: dict[date, float]) -> DataFrame:
    """A quiet name at $10, and one that opens and stays elsewhere from a day on; both trade for $1 M a day."""
    rows = []
    for day in days:
        level = reduce(lambda price, at: price * (gaps[at] if at <= day else 1.0), sorted(gaps), 10.0)
        for symbol, price in (("QUIET", 10.0), ("LEAPS", level)):
            values = {"open": price, "close": price, "high": price * 1.01, "low": price * 0.99, "volume": 100_000}
            values |= {name: round(value, 4) for name, value in values.items() if name != "volume"}
            rows.append((str(day), bar(symbol, str(day), **values)))
    return bronze_bars(lake.spark, BARS, rows)


def take_in(lake: Lake, days: list[date], gaps: dict[date, float]) -> None:
    among = ", ".join(f"DATE'{day}'" for day in days)
    with recorded_run(lake, "ingest flatfiles", {}, "settings") as run:
        run.replace(BARS, bars(lake, days, gaps), f"session_date IN ({among})")


def make_all(lake: Lake, settings: Settings) -> None:
    refine(lake, settings, DAYS[0], DAYS[-1], MADE)
    detect(lake, settings, "daily", DAYS[0], DAYS[-1])
    label_events(lake, settings, DAYS[0], DAYS[-1])
    build_manifest(lake, settings)


def content(lake: Lake, name: str) -> list[tuple[str, ...]]:
    frame = lake.read(name).drop(*RUN_COLUMNS)
    return sorted(tuple(str(value) for value in row) for row in frame.select(*sorted(frame.columns)).collect())


def runs_by_day(lake: Lake, name: str) -> dict[date, str]:
    return {row.session_date: row.run_id for row in lake.read(name).select("session_date", "run_id").collect()}


def test_a_day_published_again_ends_as_if_it_had_always_been_so(lake: Lake, settings: Settings, tmp_path: str) -> None:
    first, now = {GAP: 1.2}, {GAP: 1.2, REPUBLISHED: 1.3}
    take_in(lake, DAYS, first)
    make_all(lake, settings)
    assert stale(lake) == []
    before = {name: runs_by_day(lake, name) for name in ("silver.bars_1d", "silver.universe")}

    take_in(lake, DAYS[38:], now)
    found = {one.table: one for one in stale(lake)}
    # Daily bars look back, so days after the touched one may be others too; none before it is.
    assert found["silver.bars_1d"].days == tuple(DAYS[38:])
    assert "gold.events" not in found  # Silver has not changed yet.

    told: list[str] = []
    made = refresh(lake, settings, lambda one: told.append(one.table))
    assert [one.table for one in made] == told
    assert told.index("silver.bars_1d") < told.index("gold.events") < told.index("gold.core_manifest")
    assert stale(lake) == []

    at_once = Lake(f"{tmp_path}/at_once", lake.spark)
    take_in(at_once, DAYS, now)
    make_all(at_once, settings)
    for name in (*MADE, *GOLD):
        assert content(lake, name) == content(at_once, name), name
    assert {
        row.detector for row in lake.read("gold.events").where(f"session_date = DATE'{REPUBLISHED}'").collect()
    } >= {"gap"}
    for name, runs in before.items():
        after = runs_by_day(lake, name)
        assert {day for day in runs if after[day] != runs[day]} == set(DAYS[38:]), name
    assert refresh(lake, settings) == []


def test_one_changed_bar_and_one_that_comes_late_reach_the_events_after_them(lake: Lake, settings: Settings) -> None:
    """Detectors look back over bars, however few there were before the days asked for."""
    late, changed = DAYS[:20], DAYS[25]
    take_in(lake, DAYS[20:], {GAP: 1.2})
    refine(lake, settings, DAYS[20], DAYS[-1], MADE)
    detect(lake, settings, "daily", DAYS[20], DAYS[-1])
    assert [row.session_date for row in lake.read("gold.events").select("session_date").distinct().collect()] == [GAP]

    take_in(lake, [changed], {GAP: 1.2, changed: 0.9})
    refine(lake, settings, changed, changed, ["silver.bars_1d"])
    (found,) = stale(lake, ["gold.events"])
    assert found.days == tuple(DAYS[25:])
    refresh(lake, settings)
    assert stale(lake, ["gold.events"]) == []

    take_in(lake, late, {GAP: 1.2})
    refine(lake, settings, late[0], late[-1], ["silver.bars_1d"])
    (found,) = stale(lake, ["gold.events"])
    assert found.days == tuple(DAYS[20:])
