"""Leakage gates: each finds what was planted for it, and nothing where nothing was."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from smallcaps.models.gates import (
    FEWEST,
    Gate,
    no_implausible_input,
    no_overlap,
    no_skill_without_labels,
    shuffled,
)
from smallcaps.models.past import design_matrix
from tests.microstructure.tables import as_table
from tests.models.world import SESSIONS

FOLDS = [
    {"number": 1, "train_before": 8, "test_first": 10, "test_last": 19},
    {"number": 2, "train_before": 18, "test_first": 20, "test_last": 29},
]


def row(event_id: str, session: int = 1, **values: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "symbol": "SYM",
        "session_date": SESSIONS[session]["session_date"],
        "session_number": session,
        "label_session": session + 2,
        "outcome": "none",
        "gave_back": False,
        "uniqueness": 1.0,
        "is_core": False,
        "inputs": [],
        **values,
    }


def overlap(spark: SparkSession, *more: dict[str, Any], folds: list[dict[str, int]] = FOLDS) -> Gate:
    rows = [row(f"{session}", session, fold=session // 10 or None) for session in range(1, 30)]
    return no_overlap(as_table(spark, "gold.dataset_rows", [*rows, *more]), folds)


def test_folds_that_share_nothing_pass(spark: SparkSession) -> None:
    assert overlap(spark) == Gate("no overlap", True, "0 events are on both sides of a fold")


def test_a_training_label_that_reaches_the_test_is_found(spark: SparkSession) -> None:
    # Labels end two sessions later. Training before 11 rather than 8: that of session 8 ends in 10, where the test begins.
    reaching = [FOLDS[0] | {"train_before": 11}, FOLDS[1]]
    assert overlap(spark, folds=[FOLDS[0] | {"train_before": 10}, FOLDS[1]]).passed
    gate = overlap(spark, folds=reaching)
    assert (gate.passed, gate.finding) == (False, "1 events are on both sides of a fold")


def test_a_names_day_on_both_sides_is_found(spark: SparkSession) -> None:
    # The day of session 21, which fold 2 tests, under a wrong number; another name's day is no harm.
    day = SESSIONS[21]["session_date"]
    assert overlap(spark, row("other", 5, session_date=day, symbol="OTHER")).passed
    gate = overlap(spark, row("same", 5, session_date=day))
    assert (gate.passed, gate.finding) == (False, "1 events are on both sides of a fold")


EVENTS = 240


def told(spark: SparkSession, inputs: dict[str, list[float | None]], came: np.ndarray, gave_back: np.ndarray) -> Gate:
    """The gate of a fold with these inputs, beside which fold 1 knows everything."""
    rows = [
        row(
            f"{place:04d}",
            outcome="continuation" if came[place] else "reversal",
            gave_back=bool(gave_back[place]),
            fold=2,
            inputs=[values[place] for values in inputs.values()],
        )
        for place in range(EVENTS)
    ]
    rows += [
        row(f"before {place}", outcome=outcome, fold=1, inputs=[float(place % 2)] * len(inputs))
        for place, outcome in enumerate(("reversal", "continuation") * 100)
    ]
    matrix = design_matrix(as_table(spark, "gold.dataset_rows", rows), list(inputs))
    return no_implausible_input(matrix, 2, list(inputs))


def test_an_input_that_knows_the_outcome_is_named_and_noise_and_honest_signals_are_not(spark: SparkSession) -> None:
    random = np.random.default_rng(2)
    came, gave_back = random.random(EVENTS) < 0.4, random.random(EVENTS) < 0.3
    noise = random.normal(size=(4, EVENTS))
    honest: dict[str, list[float | None]] = {
        "noise": list(noise[0]),
        # As strong as a signal gets: an AUC of 0.9.
        "strong": list(noise[1] + 1.8 * came),
        "nothing": [None] * EVENTS,
        # It knows, of 19 that came and all that did not: of so few nothing can be said.
        "rare": [
            float(came[place]) if not came[place] or came[:place].sum() < FEWEST - 1 else None
            for place in range(EVENTS)
        ],
    }
    assert told(spark, honest, came, gave_back) == Gate("no implausible input", True, "knows the outcome: no input")
    leaks: dict[str, list[float | None]] = {
        "outcome": list(noise[2] / 10 + came),
        # The wrong way round it knows as much; and half of the time is enough.
        "against": [None if place % 2 else -float(came[place]) for place in range(EVENTS)],
        "given_back": list(noise[3] / 10 + gave_back),
    }
    gate = told(spark, honest | leaks, came, gave_back)
    assert not gate.passed
    named = [one.split(" (") for one in gate.finding.removeprefix("knows the outcome: ").split("), ")]
    # What continues does not turn: who knows the one knows the other.
    assert [(name, about.split(",")[0]) for name, about in named] == [
        ("outcome", "continuation"),
        ("against", "continuation"),
        ("outcome", "reversal"),
        ("against", "reversal"),
        ("given_back", "exhaustion"),
    ]


def scored(slope: float, seed: int, rows: int = 400, target: str = "reversal") -> pd.DataFrame:
    random = np.random.default_rng(seed)
    probability = random.uniform(0.1, 0.9, rows)
    happened = random.random(rows) < 0.5 + slope * (probability - 0.5)
    return pd.DataFrame({"target": target, "probability": probability, "happened": happened.astype(int)})


@hypothesis_settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2 * FEWEST + 30, 600))
def test_noise_passes_and_skill_does_not_whichever_way_round(seed: int, rows: int) -> None:
    assert no_skill_without_labels(scored(0, seed, rows)).passed
    assert not no_skill_without_labels(scored(1, seed, 600)).passed
    assert not no_skill_without_labels(scored(-1, seed, 600)).passed


def test_the_standard_error_by_hand_and_one_target_with_skill_is_enough() -> None:
    # 20 of 50 came: √(51 / (12 · 20 · 30)) = 0.0842. All pairs but those of one that came are in order: 19/20.
    came = [1] * 19 + [0] * 30 + [1]
    rows = pd.DataFrame({"target": "reversal", "probability": np.linspace(0.9, 0.1, 50), "happened": came})
    gate = no_skill_without_labels(rows)
    assert gate.finding == "of shuffled labels reversal AUC 0.950 ± 0.084"
    assert not gate.passed
    noise = scored(0, 3, target="continuation")
    assert no_skill_without_labels(noise).passed
    assert not no_skill_without_labels(pd.concat([noise, rows])).passed
    assert not no_skill_without_labels(pd.concat([rows, scored(0, 4, target="zzz")])).passed


def test_of_too_few_nothing_is_told_and_nothing_passes() -> None:
    rows = pd.DataFrame({"target": "reversal", "probability": np.linspace(0, 1, 100), "happened": [0] * 81 + [1] * 19})
    assert no_skill_without_labels(rows) == Gate(
        "no skill on shuffled labels", False, "of shuffled labels too few to tell"
    )


def labelled(spark: SparkSession, rows: int = 300) -> DataFrame:
    random = np.random.default_rng(5)
    outcomes, gave_back = random.choice(["continuation", "reversal", "none"], rows), random.random(rows) < 0.3
    return as_table(
        spark,
        "gold.dataset_rows",
        [
            row(f"{place:04d}", outcome=str(outcomes[place]), gave_back=bool(gave_back[place]), inputs=[float(place)])
            for place in range(rows)
        ],
    )


def test_shuffled_labels_are_the_same_labels_of_other_events(spark: SparkSession) -> None:
    rows = labelled(spark)
    before = rows.toPandas().set_index("event_id").sort_index()
    after = shuffled(rows, 7).toPandas().set_index("event_id").sort_index()
    pairs = [list(zip(frame["outcome"], frame["gave_back"], strict=True)) for frame in (before, after)]
    assert Counter(pairs[0]) == Counter(pairs[1])
    # An outcome falls to one of its own kind as often as kinds are frequent.
    kinds = Counter(pairs[0])
    expected = sum((count / len(before)) ** 2 for count in kinds.values())
    stayed = np.mean([one == other for one, other in zip(*pairs, strict=True)])
    assert stayed == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / len(before)))
    # Nothing else moves.
    others = [name for name in before.columns if name not in ("outcome", "gave_back", "inputs")]
    pd.testing.assert_frame_equal(before[others], after[others])
    assert [list(one) for one in after["inputs"]] == [list(one) for one in before["inputs"]]


def test_the_same_seed_deals_the_same_labels_however_the_rows_lie(spark: SparkSession) -> None:
    rows = labelled(spark, 60)

    def dealt(frame: DataFrame, seed: int) -> dict[str, tuple[str, bool]]:
        found = shuffled(frame, seed).select("event_id", "outcome", "gave_back").collect()
        return {one["event_id"]: (one["outcome"], one["gave_back"]) for one in found}

    assert dealt(rows, 7) == dealt(rows.repartition(3, "outcome").sortWithinPartitions("outcome"), 7)
    assert dealt(rows, 7) != dealt(rows, 8)
