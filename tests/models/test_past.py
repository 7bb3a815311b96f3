"""What one fit may see: parts, weights and base rates by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.models.past import BETWEEN, FIT, HELD_OUT, Past, design_matrix, past_of, sessions_of
from tests.microstructure.tables import as_table
from tests.models.world import SESSIONS

NAMES = ("one", "other")


def row(session: int, outcome: str, *, after: int = 2, **values: Any) -> dict[str, Any]:
    """A row of gold.dataset_rows whose label is certain `after` sessions later."""
    return {
        "event_id": f"{session:02d} {outcome}",
        "symbol": "SYM",
        "session_date": SESSIONS[session]["session_date"],
        "detector": "gap",
        "session_number": session,
        "label_session": session + after,
        "outcome": outcome,
        "gave_back": outcome == "reversal",
        "uniqueness": 0.5,
        "is_core": False,
        "inputs": [float(session), None],
        **values,
    }


def two_a_session(first: int = 1, last: int = 10) -> list[dict[str, Any]]:
    """In each session one event continues and one turns; of every third one more comes to nothing."""
    return [
        row(session, outcome)
        for session in range(first, last + 1)
        for outcome in ("continuation", "reversal", *(["none"] if session % 3 == 0 else []))
    ]


def matrix_of(spark: SparkSession, rows: list[dict[str, Any]]) -> DataFrame:
    return design_matrix(as_table(spark, "gold.dataset_rows", rows), NAMES)


def past(spark: SparkSession, rows: list[dict[str, Any]], train_before: int, share: float = 0.25) -> Past | None:
    matrix = matrix_of(spark, rows)
    return past_of(matrix, sessions_of(matrix), train_before, NAMES, share, "scratch")


def found(spark: SparkSession, rows: list[dict[str, Any]], train_before: int, share: float = 0.25) -> Past:
    one = past(spark, rows, train_before, share)
    assert one is not None
    return one


def parts(one: Past) -> dict[str, set[int]]:
    frame = one.rows.select("part", "session_number").toPandas()
    return {str(part): set(numbers) for part, numbers in frame.groupby("part")["session_number"]}


def test_a_target_is_one_or_zero_and_what_is_not_known_not_a_number(spark: SparkSession) -> None:
    rows = [row(3, "continuation"), row(3, "reversal", fold=2), row(4, "none", is_core=True, gave_back=True)]
    frame = matrix_of(spark, rows).toPandas().set_index("event_id")
    assert frame[["continuation", "reversal", "exhaustion"]].to_numpy().tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert frame["one"].tolist() == [3, 3, 4]
    assert frame["other"].isna().all()
    assert matrix_of(spark, rows).where("isnan(other)").count() == 3
    assert frame["is_core"].tolist() == [False, False, True]
    assert frame["fold"].fillna(0).tolist() == [0, 2, 0]


def test_events_are_counted_by_session_and_session_of_label(spark: SparkSession) -> None:
    rows = [*two_a_session(3, 4), row(4, "none", after=7)]
    counted = sessions_of(matrix_of(spark, rows)).sort_values(["session_number", "label_session"])
    columns = ["session_number", "label_session", "events", "continuation", "reversal", "exhaustion"]
    assert counted[columns].to_numpy().tolist() == [[3, 5, 3, 1, 1, 1], [4, 6, 2, 1, 1, 1], [4, 11, 1, 0, 0, 0]]


def test_what_is_held_out_is_the_latest_and_no_label_that_is_fitted_reaches_into_it(spark: SparkSession) -> None:
    # Before 11: labels of the sessions 1 to 8 are certain. A quarter of these is 7 and 8; labels of 5 and 6 end there.
    assert parts(found(spark, two_a_session(), 11)) == {FIT: {1, 2, 3, 4}, BETWEEN: {5, 6}, HELD_OUT: {7, 8}}
    # Half of them: 5 to 8.
    assert parts(found(spark, two_a_session(), 11, 0.5)) == {FIT: {1, 2}, BETWEEN: {3, 4}, HELD_OUT: {5, 6, 7, 8}}


def test_an_event_is_known_once_its_own_label_is_certain(spark: SparkSession) -> None:
    # A name that was gone comes back: its label of session 2 ends in 10, in time; that of session 3 in 11, too late.
    late = [row(2, "none", after=8), row(3, "none", after=8, event_id="too late")]
    one = found(spark, two_a_session() + late, 11)
    frame = one.rows.toPandas().set_index("event_id")
    assert frame.loc["02 none", "part"] == BETWEEN
    assert "too late" not in frame.index
    assert one.events == len(frame) == 8 * 2 + 2 + 1


def test_base_rates_and_weights_are_of_all_of_the_past(spark: SparkSession) -> None:
    # Sessions 1 to 8: 8 continue, 8 turn, 2 (of sessions 3 and 6) come to nothing. Exhaustion is what turns here.
    one = found(spark, two_a_session(), 11)
    assert one.events == 18
    assert one.targets == ("continuation", "reversal", "exhaustion")
    assert one.base_rates == pytest.approx(dict.fromkeys(one.targets, 8 / 18))
    # 18 / (2 · 8) and 18 / (2 · 10), for each half of an event that a row of uniqueness 0.5 is: both classes weigh 9.
    assert one.class_weights == {target: pytest.approx((2.25, 1.8)) for target in one.targets}
    weights = one.rows.select("continuation", one.weight("continuation").alias("weight")).toPandas()
    assert weights.groupby("continuation")["weight"].unique().map(list).to_dict() == {
        0: [pytest.approx(0.9)],
        1: [pytest.approx(1.125)],
    }
    assert weights.groupby("continuation")["weight"].sum().to_dict() == pytest.approx({0: 9.0, 1: 9.0})


@pytest.mark.parametrize("train_before", [0, 3, 4])
def test_of_one_session_nothing_can_be_held_out(spark: SparkSession, train_before: int) -> None:
    # Before 3 no label is certain, before 4 only that of session 1.
    assert past(spark, two_a_session(), train_before) is None


def test_of_two_sessions_the_second_is_held_out_however_small_the_share(spark: SparkSession) -> None:
    rows = [row(1, "none", after=0), row(4, "none")]
    for share in (0.01, 0.49):
        one = found(spark, rows, 7, share)
        assert parts(one) == {FIT: {1}, HELD_OUT: {4}}
        assert one.targets == ()


def test_a_target_that_only_one_part_has_or_that_every_event_of_a_part_has_is_left_out(spark: SparkSession) -> None:
    held_out, fitted = (7, 8), (1, 2, 3, 4)
    base = [one | {"gave_back": False} for one in two_a_session()]
    never = [one for one in base if one["outcome"] != "reversal" or one["session_number"] not in held_out]
    assert found(spark, never, 11).targets == ()  # Continuation is all that is held out.
    never += [row(session, "none") for session in held_out]
    assert found(spark, never, 11).targets == ("continuation",)
    early = [one for one in base if one["outcome"] != "continuation" or one["session_number"] not in fitted]
    assert found(spark, early, 11).targets == ("reversal",)
    # Between and after are neither.
    elsewhere = [one | {"gave_back": one["session_number"] in (5, 6, 9, 10)} for one in base]
    assert found(spark, elsewhere, 11).targets == ("continuation", "reversal")


def test_a_sample_is_bounded_and_the_same_however_the_rows_lie(spark: SparkSession) -> None:
    rows = two_a_session()
    one = found(spark, rows, 11)
    other = replace(one, rows=found(spark, rows[::-1], 11).rows.repartition(3, "session_number"))
    whole = one.sample(18)
    assert whole["event_id"].is_monotonic_increasing
    assert len(whole) == 18
    assert list(whole.columns) == ["event_id", "part", "uniqueness", *one.targets, *NAMES]
    few, fewer = one.sample(10), one.sample(4)
    assert (len(few), len(fewer)) == (10, 4)
    assert set(fewer["event_id"]) < set(few["event_id"]) < set(whole["event_id"])
    # No stretch of time, though the ids begin with the session.
    assert set(few["event_id"]) not in (set(whole["event_id"][:10]), set(whole["event_id"][-10:]))
    pd.testing.assert_frame_equal(few, other.sample(10))
    held_out = one.sample(18, HELD_OUT)
    assert set(held_out["part"]) == {HELD_OUT}
    assert len(held_out) == len(one.sample(17, HELD_OUT)) == 4
    assert len(one.sample(3, HELD_OUT)) == 3
    assert np.isnan(whole["other"].to_numpy(dtype=float)).all()
