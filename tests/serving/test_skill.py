"""The page's verdict on a model, on predictions whose worth is planted; scikit-learn is the oracle of the AUC."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from smallcaps.serving.skill import measure


def predictions(weeks: int, slope: float, seed: int = 7) -> pd.DataFrame:
    """Twenty events a week whose probability of continuing is 0.5 ± what the model was told, times `slope`."""
    random = np.random.default_rng(seed)
    told = random.uniform(0.3, 0.7, weeks * 20)
    happened = random.uniform(size=told.size) < 0.5 + slope * (told - 0.5)
    first = date(2015, 1, 5)
    return pd.DataFrame(
        {
            "model": "m",
            "event_id": [f"{number:032d}" for number in range(told.size)],
            "session_date": [first + timedelta(weeks=number // 20) for number in range(told.size)],
            "fold": 1,
            "probability": told,
            "happened": happened.astype(int),
            "base_rate": 0.5,
        }
    )


@pytest.mark.parametrize(("slope", "verdict"), [(2.0, "better"), (-2.0, "worse"), (0.0, "none")])
def test_the_verdict_is_what_was_planted(slope: float, verdict: str) -> None:
    rows = predictions(40, slope)
    (skill,) = measure(rows, samples=300, seed=1)
    assert skill.verdict == verdict
    assert skill.auc == pytest.approx(roc_auc_score(rows["happened"], rows["probability"]))
    assert skill.weeks == 40


def test_a_few_weeks_give_no_interval_and_no_verdict() -> None:
    (skill,) = measure(predictions(9, 2.0), samples=300, seed=1)
    assert (skill.low, skill.high, skill.gain_low) == (None, None, None)
    assert skill.verdict == "unknown"


def test_one_outcome_alone_has_no_auc() -> None:
    (skill,) = measure(predictions(12, 0.0).assign(happened=1), samples=50, seed=1)
    assert skill.auc is None
    assert skill.verdict == "unknown"


def test_deciles_hold_every_event_once_and_rise_with_the_probability() -> None:
    rows = predictions(40, 2.0)
    (skill,) = measure(rows, samples=100, seed=1)
    deciles = skill.deciles
    assert deciles["events"].sum() == len(rows)
    assert deciles["predicted"].is_monotonic_increasing
    assert (deciles["observed"] * deciles["events"]).sum() == pytest.approx(rows["happened"].sum())
    assert deciles["lift"].iloc[-1] > 1 > deciles["lift"].iloc[0]


def test_equal_probabilities_are_one_decile() -> None:
    (skill,) = measure(predictions(12, 0.0).assign(probability=0.5), samples=50, seed=1)
    assert skill.deciles["decile"].tolist() == [1]
