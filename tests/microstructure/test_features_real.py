"""gold.event_features on real ticks: against the oracle, and against a future that was tampered with.

One query over names that share a past: the real future, one of noise, none at all (as on the live tape), and the real one
with its rows in another order.
"""

import math
from collections.abc import Sequence
from datetime import date

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.lake import declared
from smallcaps.microstructure.features import event_features
from tests.microstructure import oracle
from tests.microstructure.real import DAY, KINDS, KNOWN, worlds
from tests.microstructure.tables import around

USUAL = 20_000.0
"""Median volume of the sessions before: well below what trades in the minutes before the events."""
HALTED = (-60 * 10**9, 0, 10**9)
"""When the halts of each name begin, in ns after its event could be known."""
BUCKET = 1_080
"""Of the trades of the sessions before: some of the real ones are larger than exp(10.8) = 49,021 $, many not."""


def halts(events: Sequence[dict]) -> list[dict]:
    """Rows of silver.halts."""
    return [
        {name: one[name] for name in ("security_id", "symbol", "session_date")}
        | {"start_ns": pd.Timestamp(one["known_at"]).value + start, "sources": ["feed"]}
        for one in events
        for start in HALTED
    ]


def usual(events: Sequence[dict]) -> list[dict]:
    """Rows of silver.baselines."""
    same = {"bars": 20, "counted_bars": 20, "median_volume": USUAL}
    names = ("security_id", "symbol", "session_date", "known_at")
    return [same | {name: one[name] for name in names} for one in events]


def sizes(events: Sequence[dict]) -> list[dict]:
    """Rows of silver.trade_sizes: of a session before, and of each day itself much larger ones that nobody may look at."""
    days = {date(2013, 9, 20): BUCKET, DAY: BUCKET + 400}
    return [
        {"security_id": one["security_id"], "session_date": day, "bucket": bucket, "trades": 7}
        for one in events
        for day, bucket in days.items()
    ]


@pytest.fixture(scope="module")
def named() -> dict[str, tuple[dict, pd.DataFrame, pd.DataFrame]]:
    return worlds()


@pytest.fixture(scope="module")
def found(spark: SparkSession, settings: Settings, named: dict[str, tuple]) -> dict[str, dict]:
    """Name → its row of gold.event_features."""
    events, trades, quotes = zip(*named.values(), strict=True)
    frame = event_features(
        around(spark, events, pd.concat(trades), pd.concat(quotes), halts(events), usual(events), sizes(events)),
        settings.microstructure,
    )
    return {row["symbol"]: row.asDict() for row in frame.collect()}


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_real_ticks_are_what_the_oracle_finds(
    kind: str, named: dict[str, tuple], found: dict[str, dict], settings: Settings
) -> None:
    assert set(found) == set(named)
    for name in (name for name in named if name.startswith(kind)):
        one, trades, quotes = named[name]
        known = pd.Timestamp(one["known_at"]).value
        halts_begin = tuple(known + start for start in HALTED)
        own_large = math.exp(BUCKET / 100)
        expected = oracle.features(one, trades, quotes, settings.microstructure, USUAL, halts_begin, own_large)
        assert expected is not None
        assert set(found[name]) == set(expected) | {"event_id", "symbol", "session_date", "known_at"}
        assert oracle.differences(expected, found[name]) == {}


def known_before(row: dict) -> dict:
    """The columns that are declared to be known at the event."""
    return {name: row[name] for name in declared("gold.event_features").known_at_event}


def test_every_feature_says_whether_it_is_known_at_the_event() -> None:
    table = declared("gold.event_features")
    told = {column.name for column in table.columns if column.timing is not None}
    assert {column.name for column in table.columns} - told == {"event_id", "symbol", "session_date", "known_at"}
    assert not [name for name in table.known_at_event if name.endswith(("_after", "_change"))]


@pytest.mark.parametrize("future", ["NOISE", "CUT"])
def test_nothing_after_known_at_changes_what_was_known_by_it(future: str, found: dict[str, dict]) -> None:
    for place in range(len(KNOWN)):
        as_it_was, other = found[f"REAL{place}"], found[f"{future}{place}"]
        expected = known_before(as_it_was)
        # All of it was measured, and what came after did change; 5 minutes take a trade at the window's very start.
        assert [name for name, value in expected.items() if value is None and not name.endswith("_300s")] == []
        assert as_it_was["volume_after"] != other["volume_after"]
        assert oracle.differences(expected, other, tolerance=1e-12) == {}


def test_the_order_of_the_rows_changes_nothing_to_the_last_digit(found: dict[str, dict]) -> None:
    """Running a job twice leaves the same content: no sum may depend on which partition came first."""
    for place in range(len(KNOWN)):
        one, other = ({**found[f"{kind}{place}"], "symbol": "", "event_id": ""} for kind in ("REAL", "SHUFFLED"))
        assert other == one
