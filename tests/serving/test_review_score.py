"""What verdicts come to: against scipy and sklearn, and by hand; nothing is scored that nobody has judged."""

import math
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from sklearn.metrics import cohen_kappa_score

from smallcaps.config import Settings
from smallcaps.errors import BadData, BadInput
from smallcaps.lake import Lake, last_runs
from smallcaps.serving.review_files import Sample, notebook, prepare, write_sample
from smallcaps.serving.review_score import Share, corrected_precision, kappa, score, score_sample
from tests.microstructure.tables import as_table


def reviews(**of_reviewer: list[str]) -> pd.DataFrame:
    """Verdicts by reviewer on the same items: five events, then three near misses and a random moment."""
    kinds = ["event"] * 5 + ["near_miss"] * 3 + ["random"]
    words = {"y": "yes", "n": "no", "u": "unsure"}
    rows = [
        {"item_id": f"i{place}", "reviewer": reviewer, "detector": "gap", "kind": kinds[place], "verdict": words[one]}
        for reviewer, said in of_reviewer.items()
        for place, one in enumerate(said)
        if one != "-"
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    # DOMAIN: 71 % of 100, 400 and 1,000; and by hand, z = 1.959964: 0 of 10 → 0 to z²/(10 + z²) = 3.8415/13.8415.
    [(71, 100, 0.615, 0.790), (284, 400, 0.664, 0.752), (710, 1_000, 0.681, 0.737), (0, 10, 0.0, 0.27753)],
)
def test_the_interval_of_a_share_is_wilsons(hits: int, of: int, low: float, high: float) -> None:
    assert Share(hits, of).interval == pytest.approx((low, high), abs=6e-4)
    z = 1.959963984540054
    p = hits / of
    middle, half = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    whole = 1 + z * z / of
    assert Share(hits, of).interval == pytest.approx(((middle - half) / whole, (middle + half) / whole), abs=1e-12)


def test_of_nothing_nothing_is_known() -> None:
    assert all(math.isnan(one) for one in (Share(0, 0).value, *Share(0, 0).interval))
    for events, decoys in ((Share(3, 4), Share(0, 0)), (Share(0, 0), Share(1, 4)), (Share(3, 4), Share(4, 4))):
        assert all(math.isnan(one) for one in corrected_precision(events, decoys, 7))


def test_an_item_is_confirmed_where_all_said_yes_and_decoys_correct_the_precision() -> None:
    found = score(reviews(anna="yyyynynnn", ben="yyynuyynn"), 12, 7)
    (gap,) = found.scores
    assert (found.reviewers, found.items, found.counted) == (("anna", "ben"), 12, 9)
    # Events: both said yes to three of five; one split, one no and unsure. Decoys: both to one near miss of three.
    assert gap.events == Share(3, 5)
    assert gap.near_misses == Share(1, 3)
    assert gap.random == Share(0, 1)
    # p = 3/5, f = 1/4: (0.6 − 0.25) / 0.75.
    assert gap.corrected == pytest.approx(0.35 / 0.75)
    assert 0 <= gap.low < gap.corrected < gap.high < 1


def test_an_item_that_one_has_not_judged_does_not_count() -> None:
    found = score(reviews(anna="yyyynynnn", ben="yy-------"), 9, 7)
    assert found.counted == 2
    assert found.scores[0].events == Share(2, 2)
    with pytest.raises(BadInput, match="judged by all of anna, ben"):
        score(reviews(anna="yy-------", ben="--yy-----"), 9, 7)


def test_one_reviewer_has_a_precision_and_no_kappa() -> None:
    found = score(reviews(anna="yyyynynnn"), 9, 7)
    assert found.scores[0].events == Share(4, 5)
    assert found.kappas == {}


def test_the_corrected_interval_is_that_of_the_difference_of_large_shares() -> None:
    # 7,100 of 10,000 and 1,000 of 10,000: (0.71 − 0.10) / 0.90. By the delta method the variance is
    # p(1 − p)/n/(1 − f)² + f(1 − f)/n·((1 − p)/(1 − f)²)².
    value, low, high = corrected_precision(Share(7_100, 10_000), Share(1_000, 10_000), 7)
    assert value == pytest.approx(0.61 / 0.90)
    deviation = math.sqrt(0.71 * 0.29 / 1e4 / 0.81 + 0.1 * 0.9 / 1e4 * (0.29 / 0.81) ** 2)
    assert (low, high) == pytest.approx((value - 1.96 * deviation, value + 1.96 * deviation), abs=4e-4)
    assert corrected_precision(Share(7_100, 10_000), Share(1_000, 10_000), 7) == (value, low, high)


def test_more_decoys_confirmed_than_events_leave_no_precision_and_all_events_leave_it_whole() -> None:
    value, low, high = corrected_precision(Share(2, 10), Share(5, 10), 7)
    assert (value, low) == (0.0, 0.0)
    assert high > 0
    value, low, high = corrected_precision(Share(20, 20), Share(0, 10), 7)
    assert (value, high) == (1.0, 1.0)
    assert 0.7 < low < 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("yyyynynnn", "yyynuyynn"), ("yynnuu", "nnuuyy"), ("ynynyn", "ynynyn"), ("yyyyyn", "yyyyyy"), ("uuyn", "uyyn")],
)
def test_kappa_is_sklearns(one: str, other: str) -> None:
    words = {"y": "yes", "n": "no", "u": "unsure"}
    ours = kappa(*(pd.Series([words[key] for key in said]) for said in (one, other)))
    assert ours == pytest.approx(cohen_kappa_score([*one], [*other]))


def test_kappa_by_hand_and_where_it_is_undefined() -> None:
    # Both of four: yes, yes, no, no and yes, no, no, no. They agree on 3/4; by chance 1/2·1/4 + 1/2·3/4 = 1/2.
    assert kappa(pd.Series(["yes", "yes", "no", "no"]), pd.Series(["yes", "no", "no", "no"])) == pytest.approx(0.5)
    assert kappa(pd.Series(["yes"] * 3), pd.Series(["yes"] * 3)) is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sample of an event and a near miss of it."""
    place = tmp_path / "sample"
    sample = Sample("5a3b1e", "5eed", {"gold.events": 0}, "2024-01-02", "2024-01-31", 50, "settings", "code")
    prepare(place, sample)
    common = {"detector": "gap", "grain": "daily", "symbol": "AAA", "security_id": "T:AAA", "price": 11.0}
    common |= {"session_date": "2024-01-05", "ts_micros": 1_704_465_000_000_000, "known_micros": 1_704_465_002_000_000}
    key = [
        {"item_id": "one", "kind": "event", "event_id": "e" * 32, **common},
        {"item_id": "two", "kind": "near_miss", "event_id": None, **common},
    ]
    write_sample(place, sample, key, [])
    return place


def test_verdicts_are_written_in_place_of_earlier_ones_and_the_run_is_recorded(
    spark: SparkSession, lake: Lake, settings: Settings, folder: Path
) -> None:
    event = {"event_id": "e" * 32, "symbol": "AAA", "security_id": "T:AAA", "session_date": datetime(2024, 1, 5).date()}
    at = datetime(2024, 1, 5, 14, 30, tzinfo=UTC)
    event |= {"ts": at, "known_at": at, "grain": "daily", "detector": "gap", "detector_version": 1}
    event |= {"params_hash": "p", "direction": 1, "strength": 1.1, "price": 11.0}
    lake.replace("gold.events", as_table(spark, "gold.events", [event]), None, "test")
    with pytest.raises(BadInput, match="Nobody has reviewed"):
        score_sample(lake, settings, folder)
    assert not lake.exists("gold.reviews")
    for reviewer, said in (("anna", "yes"), ("ben", "no")):
        with notebook(folder, reviewer) as book:
            book.say("one", said)
            book.say("two", "no")
    assert score_sample(lake, settings, folder).scores[0].events == Share(0, 1)
    with notebook(folder, "ben") as book:
        book.say("one", "yes")
    found = score_sample(lake, settings, folder)
    assert found.scores[0].events == Share(1, 1)
    assert found.kappas == {("anna", "ben"): 1.0}
    assert found.gone == 0
    rows = lake.read("gold.reviews").orderBy("item_id", "reviewer").collect()
    assert [(row.item_id, row.reviewer, row.kind, row.event_id, row.verdict) for row in rows] == [
        ("one", "anna", "event", "e" * 32, "yes"),
        ("one", "ben", "event", "e" * 32, "yes"),
        ("two", "anna", "near_miss", None, "no"),
        ("two", "ben", "near_miss", None, "no"),
    ]
    assert rows[0].events_version == 0
    (seconds,) = lake.read("gold.reviews").selectExpr("unix_seconds(ts)").distinct().collect()[0]
    assert seconds == 1_704_465_000
    run = last_runs(lake, ["review score"])[0]
    assert [one["table"] for one in run["inputs"]] == ["gold.events"]
    assert [(one["table"], one["rows"]) for one in run["outputs"]] == [("gold.reviews", 4)]
    lake.replace("gold.events", lake.empty("gold.events").drop("run_id"), None, "test")
    assert score_sample(lake, settings, folder).gone == 1
    with notebook(folder, "carl") as book:
        book.say("three", "yes")
    with pytest.raises(BadData, match="has no item three"):
        score_sample(lake, settings, folder)
