"""The CORE manifest: percentiles that only look back, weights, caps and ranks."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from smallcaps.calendar import sessions_between
from smallcaps.config import Settings
from smallcaps.config.settings import ManifestSettings
from smallcaps.detectors.manifest import build_manifest, core_manifest, expanding_percentile, explain
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, declared
from smallcaps.refine.labels import calendar_frame
from tests.microstructure.tables import as_table

Row = dict[str, Any]
FIRST, LAST = dt.date(2024, 1, 2), dt.date(2024, 2, 15)
SESSIONS = sessions_between(FIRST, LAST).to_dict("records")
FREE = {"top": 100_000, "maximum_per_session": 100_000, "maximum_per_name": 100_000}
"""No caps: every event is in, so that its score can be seen."""


def event(event_id: str, session: int, strength: float, **other: Any) -> Row:
    """A row of gold.events in the given session, known at its close unless `minute` says how long before."""
    minutes = other.pop("minute", 0)
    day = SESSIONS[session]
    ts = day["close_at"] - dt.timedelta(minutes=minutes)
    row = dict.fromkeys(column.name for column in declared("gold.events").columns)
    return row | {
        "event_id": event_id,
        "symbol": event_id,
        "security_id": f"T:{event_id}:2024-01-02",
        "session_date": day["session_date"],
        "ts": ts,
        "known_at": ts + dt.timedelta(seconds=2),
        "grain": "daily",
        "detector": "A",
        "detector_version": 1,
        "params_hash": "0",
        "direction": 1,
        "strength": strength,
        "price": 5.0,
        "dollar_volume": 1e6,
        "relative_volume": 2.0,
        **other,
    }


def frame(spark: SparkSession, rows: Iterable[Row]) -> DataFrame:
    return as_table(spark, "gold.events", rows)


def chosen(spark: SparkSession, rows: Iterable[Row] | DataFrame, manifest: ManifestSettings) -> list[Row]:
    """The manifest's rows, best first."""
    events = rows if isinstance(rows, DataFrame) else frame(spark, rows)
    made = core_manifest(events, calendar_frame(spark, FIRST, LAST), manifest)
    assert made.columns == [column.name for column in declared("gold.core_manifest").columns]
    return sorted((row.asDict() for row in made.collect()), key=lambda row: row["rank"])


@pytest.fixture(scope="module")
def free(settings: Settings) -> ManifestSettings:
    shipped = settings.manifest
    assert (shipped.weight_strength, shipped.weight_dollar_volume, shipped.weight_relative_volume) == (0.6, 0.25, 0.15)
    assert (shipped.maximum_per_session, shipped.maximum_per_name, shipped.name_sessions) == (50, 3, 5)
    return shipped.model_copy(update=FREE)


def percentiles(known_at: list[int], values: list[float | None]) -> list[float | None]:
    found = expanding_percentile(pd.Series(known_at), pd.Series(values, dtype=float))
    return [None if pd.isna(one) else one for one in found]


def test_a_percentile_counts_earlier_values_that_are_not_larger_and_half_of_the_value_itself() -> None:
    # 5 is the first: ½ / 1. 3 and 7 are known together, each is compared with 5 alone: ½ / 2 and 1½ / 2. The next 5 finds
    # 3 and 5 among 5, 3, 7: 2½ / 4. Nothing is unknown. 4 finds 3 among 5, 3, 7, 5 (what is missing does not count): 1½ / 5.
    assert percentiles([1, 2, 2, 3, 4, 5], [5, 3, 7, 5, None, 4]) == [0.5, 0.25, 0.75, 0.625, None, 0.3]


def test_an_equal_earlier_value_counts_and_an_equally_early_one_does_not() -> None:
    assert percentiles([1, 2, 3], [4, 4, 4]) == [0.5, 0.75, 2.5 / 3]
    assert percentiles([1, 1, 1], [1, 2, 3]) == [0.5, 0.5, 0.5]
    # The three of moment 1 are earlier than moment 2: 2 is not below 1 and 2.
    assert percentiles([1, 1, 1, 2], [1, 2, 3, 2]) == [0.5, 0.5, 0.5, 2.5 / 4]


def test_the_first_known_value_stands_in_the_middle() -> None:
    assert percentiles([1, 2, 3], [None, 8, 9]) == [None, 0.5, 0.75]
    assert percentiles([], []) == []


VALUES = st.one_of(st.none(), st.sampled_from([1.0, 2.0, 3.0, 4.0]), st.floats(-10, 10))
EVENTS = st.lists(st.tuples(st.integers(0, 8), VALUES), max_size=40).map(
    lambda rows: sorted(rows, key=lambda row: row[0])
)


@hypothesis_settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(rows=EVENTS)
def test_percentiles_are_what_counting_gives(rows: list[tuple[int, float | None]]) -> None:
    expected: list[float | None] = []
    for moment, value in rows:
        earlier = [other for when, other in rows if when < moment and other is not None]
        if value is None:
            expected.append(None)
        else:
            expected.append((sum(other <= value for other in earlier) + 0.5) / (len(earlier) + 1))
    assert percentiles([moment for moment, _ in rows], [value for _, value in rows]) == expected


@hypothesis_settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(rows=EVENTS, later=EVENTS)
def test_later_events_never_change_earlier_percentiles(rows: list, later: list) -> None:
    after = [(moment + 100, value) for moment, value in later]
    alone = percentiles([moment for moment, _ in rows], [value for _, value in rows])
    together = percentiles([moment for moment, _ in rows + after], [value for _, value in rows + after])
    assert together[: len(rows)] == alone


@pytest.fixture(scope="module")
def by_hand(spark: SparkSession, free: ManifestSettings) -> list[Row]:
    """Two detectors on four sessions, listed backwards."""
    rows = [
        event("e1", 0, 2.0, dollar_volume=100.0, relative_volume=3.0),
        event("e2", 1, 3.0, dollar_volume=50.0, relative_volume=None),
        event("e3", 2, 2.0, dollar_volume=100.0, relative_volume=4.0),
        event("e4", 2, 9.0, detector="B", dollar_volume=None, relative_volume=None),
        event("e5", 3, 1.0, dollar_volume=70.0, relative_volume=1.0),
        event("e6", 3, 5.0, dollar_volume=None, relative_volume=9.0),
    ]
    return chosen(spark, reversed(rows), free)


def test_scores_are_weighted_means_of_the_percentiles_that_are_known(by_hand: list[Row]) -> None:
    found = {row["event_id"]: row for row in by_hand}
    measures = ("strength_percentile", "dollar_volume_percentile", "relative_volume_percentile")
    assert {name: tuple(row[measure] for measure in measures) for name, row in found.items()} == {
        "e1": (0.5, 0.5, 0.5),
        "e2": (1.5 / 2, 0.5 / 2, None),  # against e1 alone
        "e3": (1.5 / 3, 2.5 / 3, 1.5 / 2),  # 2 among 2, 3; 100 among 100, 50; 4 among 3: e2's volume ratio is unknown
        "e4": (0.5, None, None),  # the first of its detector: A's do not count
        "e5": (0.5 / 4, 1.5 / 4, 0.5 / 3),  # among 2, 3, 2; 100, 50, 100; 3, 4. e6 is known at the same moment
        "e6": (3.5 / 4, None, 2.5 / 3),
    }
    assert {name: row["score"] for name, row in found.items()} == {
        "e1": 0.5,
        "e2": round((0.6 * 0.75 + 0.25 * 0.25) / (0.6 + 0.25), 9),  # the 0.15 of relative volume is shared out
        "e3": round(0.6 * 0.5 + 0.25 * 2.5 / 3 + 0.15 * 0.75, 9),
        "e4": 0.5,
        "e5": round(0.6 * 0.125 + 0.25 * 0.375 + 0.15 * 0.5 / 3, 9),
        "e6": round((0.6 * 0.875 + 0.15 * 2.5 / 3) / (0.6 + 0.15), 9),
    }


def test_a_row_says_how_many_earlier_events_its_score_rests_on(by_hand: list[Row]) -> None:
    # e5 and e6 are known together: three before each.
    assert {row["event_id"]: row["earlier_events"] for row in by_hand} == {
        "e1": 0,
        "e2": 1,
        "e3": 2,
        "e4": 0,
        "e5": 3,
        "e6": 3,
    }


def test_ranks_go_by_score_and_ties_by_event_id(by_hand: list[Row]) -> None:
    assert [(row["rank"], row["event_id"]) for row in by_hand] == [
        (1, "e6"),
        (2, "e3"),
        (3, "e2"),
        (4, "e1"),
        (5, "e4"),
        (6, "e5"),
    ]


def crowd(seed: int, count: int = 150) -> list[Row]:
    """Random events of two detectors and eight names, with ties and gaps in what is known."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        given = {
            "symbol": f"N{random.integers(0, 8)}",
            "detector": str(random.choice(["A", "B"])),
            "minute": int(random.choice([0, 0, 60, 385])),
            "dollar_volume": float(random.integers(1, 20)) * 1e5,
            "relative_volume": None if random.random() < 0.3 else float(random.integers(1, 6)),
        }
        rows.append(
            event(
                f"{random.integers(0, 2**60):015x}",
                int(random.integers(0, 14)),
                float(random.integers(4, 12)) / 4,
                **given,
            )
        )
    return rows


def places(scored: list[Row], manifest: ManifestSettings) -> list[str]:
    """Who gets a place, from scores alone: session by session the best first, counting what was kept so far."""
    numbers = {session["session_date"]: session["session_number"] for session in SESSIONS}
    kept: list[Row] = []
    for row in sorted(scored, key=lambda row: (row["session_date"], -row["score"], row["event_id"])):
        number = numbers[row["session_date"]]
        in_session = Counter(numbers[other["session_date"]] for other in kept)[number]
        of_name = [other for other in kept if other["symbol"] == row["symbol"]]
        recent = [
            other for other in of_name if number - manifest.name_sessions < numbers[other["session_date"]] <= number
        ]
        if in_session < manifest.maximum_per_session and len(recent) < manifest.maximum_per_name:
            kept.append(row)
    best = sorted(kept, key=lambda row: (-row["score"], row["event_id"]))
    return [row["event_id"] for row in best[: manifest.top]]


@pytest.fixture(scope="module")
def scored(spark: SparkSession, free: ManifestSettings) -> list[Row]:
    return chosen(spark, crowd(1), free)


def test_caps_leave_the_events_that_counting_leaves(
    spark: SparkSession, free: ManifestSettings, scored: list[Row]
) -> None:
    capped = free.model_copy(update={"maximum_per_session": 6, "maximum_per_name": 3, "name_sessions": 5, "top": 40})
    found = chosen(spark, crowd(1), capped)
    assert [row["event_id"] for row in found] == places(scored, capped)
    assert [row["rank"] for row in found] == list(range(1, 41))
    # A cap takes places away, it changes no score; and each cap took some.
    scores = {row["event_id"]: row["score"] for row in scored}
    assert all(row["score"] == scores[row["event_id"]] for row in found)
    lifted = [capped.model_copy(update={cap: 1000}) for cap in ("maximum_per_session", "maximum_per_name", "top")]
    assert all(places(scored, one) != places(scored, capped) for one in lifted)


def test_a_name_brings_three_events_in_five_sessions_and_a_session_two(
    spark: SparkSession, free: ManifestSettings
) -> None:
    # A single weight; strengths rise, so that every event is above all before it.
    rows = [event(f"name {session}", session, 2.0 + session, symbol="BUSY") for session in range(10)]
    # Session 12: three at one moment against all before: two above all, one above one. Session 13: a tie of three.
    rows += [event(f"crowd {number}", 12, strength) for number, strength in ((1, 2.5), (2, 90.0), (3, 91.0))]
    rows += [event(f"tie {number}", 13, 99.0) for number in (3, 1, 2)]
    weights = {"weight_strength": 1.0, "weight_dollar_volume": 0.0, "weight_relative_volume": 0.0}
    found = chosen(
        spark,
        rows,
        free.model_copy(update={**weights, "maximum_per_session": 2, "maximum_per_name": 3, "name_sessions": 5}),
    )
    # 0, 1, 2 are kept; 3 and 4 have three in their five sessions; 5 sees 1 and 2 (of 1–5), 6 sees 2 and 5, 7 sees 5 and 6;
    # 8 and 9 see 5, 6, 7.
    assert {row["event_id"] for row in found if row["symbol"] == "BUSY"} == {
        f"name {session}" for session in (0, 1, 2, 5, 6, 7)
    }
    assert {row["event_id"] for row in found if row["event_id"].startswith("crowd")} == {"crowd 2", "crowd 3"}
    assert {row["event_id"] for row in found if row["event_id"].startswith("tie")} == {"tie 1", "tie 2"}


def test_the_order_of_the_input_does_not_matter(spark: SparkSession, free: ManifestSettings) -> None:
    capped = free.model_copy(update={"maximum_per_session": 6, "maximum_per_name": 3, "top": 40})
    rows = crowd(2)
    mixed = [rows[place] for place in np.random.default_rng(3).permutation(len(rows))]
    assert chosen(spark, frame(spark, mixed).repartition(5, "event_id"), capped) == chosen(spark, rows, capped)


def test_later_sessions_never_change_earlier_scores_or_places(spark: SparkSession, free: ManifestSettings) -> None:
    capped = free.model_copy(update={"maximum_per_session": 6, "maximum_per_name": 3})
    rows = crowd(4)
    cut = SESSIONS[8]["session_date"]
    until = [row for row in rows if row["session_date"] <= cut]
    assert 50 < len(until) < 120

    def without_rank(found: list[Row]) -> list[Row]:
        kept = [{**row, "rank": None} for row in found if row["session_date"] <= cut]
        return sorted(kept, key=lambda row: row["event_id"])

    alone, together = chosen(spark, until, capped), chosen(spark, rows, capped)
    assert len(together) > len(alone)
    assert without_rank(together) == without_rank(alone)


def test_the_manifest_is_rebuilt_as_a_whole_and_twice_alike(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    lake.replace("silver.calendar", calendar_frame(spark, FIRST, LAST), None, "test")
    lake.replace("gold.events", frame(spark, crowd(5, count=30)), None, "test")
    with pytest.raises(BadInput, match="at least one place"):
        build_manifest(lake, settings, top=0)
    assert not lake.exists("gold.core_manifest")
    assert build_manifest(lake, settings, top=10) == 10
    first = lake.read("gold.core_manifest").drop("run_id").orderBy("rank").collect()
    assert [row["rank"] for row in first] == list(range(1, 11))
    assert build_manifest(lake, settings, top=10) == 10
    assert lake.read("gold.core_manifest").drop("run_id").orderBy("rank").collect() == first


def test_an_event_is_explained_by_its_score_and_by_what_left_it_out(
    spark: SparkSession, lake: Lake, settings: Settings, free: ManifestSettings
) -> None:
    rows = [event(f"busy {session}", session, 2.0 + session, symbol="BUSY") for session in range(4)]
    rows += [event(f"day {number}", 6, strength) for number, strength in ((1, 2.0), (2, 90.0), (3, 91.0))]
    rows += [event("unknown volume", 5, 2.5, relative_volume=None)]
    lake.replace("silver.calendar", calendar_frame(spark, FIRST, LAST), None, "test")
    lake.replace("gold.events", frame(spark, rows), None, "test")
    capped = free.model_copy(update={"maximum_per_session": 2, "maximum_per_name": 3, "name_sessions": 5, "top": 5})
    own = settings.model_copy(update={"manifest": capped})
    build_manifest(lake, own)
    told = {row["event_id"]: explain(lake, own, row["event_id"]) for row in rows}
    assert not any(why.is_outdated for why in told.values())
    ranked = {name: why.event["rank"] for name, why in told.items() if why.event["rank"] is not None}
    assert sorted(ranked.values()) == [1, 2, 3, 4, 5, 6]
    assert {row["event_id"]: row["rank"] for row in chosen(spark, rows, capped)} == {
        name: rank for name, rank in ranked.items() if rank <= 5
    }
    assert told["busy 3"].verdict == ("Left out: BUSY has 3 events with a place in the 5 sessions up to 2024-01-05.")
    assert told["day 1"].verdict == "Left out: 2 events of 2024-01-10 with a higher score took its places."
    (last,) = [name for name, rank in ranked.items() if rank == 6]
    assert told[last].verdict == "Left out: rank 6 is beyond the 5 places."
    (first,) = [name for name, rank in ranked.items() if rank == 1]
    assert told[first].verdict == "Rank 1 of at most 5."
    # The share of what is not known goes to the others; shares times percentiles are the score.
    parts = told["unknown volume"].parts
    assert [(name, round(weight, 4)) for name, _, _, weight in parts] == [
        ("strength", round(0.6 / 0.85, 4)),
        ("dollar_volume", round(0.25 / 0.85, 4)),
        ("relative_volume", 0.0),
    ]
    for why in told.values():
        made = sum(percentile * weight for _, _, percentile, weight in why.parts if percentile is not None)
        assert made == pytest.approx(why.event["score"], abs=1e-8)
    assert explain(lake, own, "unk").event["event_id"] == "unknown volume"
    # It is judged for as many places as the manifest was made with, and what has changed since is told.
    build_manifest(lake, own, top=1)
    assert explain(lake, own, last).verdict == "Left out: rank 6 is beyond the 1 places."
    assert not explain(lake, own, last).is_outdated
    build_manifest(lake, own)
    stronger = event("stronger", 9, 99.0)
    lake.replace("gold.events", frame(spark, [*rows, stronger]), None, "test")
    assert explain(lake, own, "stronger").is_outdated
    with pytest.raises(BadInput, match=r"More than one event in gold\.events begins with 'day'"):
        explain(lake, own, "day")
    with pytest.raises(BadInput, match=r"No event in gold\.events begins with 'nobody'"):
        explain(lake, own, "nobody")
