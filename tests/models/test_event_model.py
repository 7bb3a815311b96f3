"""Event models: one event and a million are told the same, calibration finds what was planted, contributions add up."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from smallcaps.models.base_rate import Constant
from smallcaps.models.event_model import Calibrated, Classifier, EventModel, Floats, calibrated
from smallcaps.models.gradient_boosting import Trees
from smallcaps.models.logistic_regression import FURTHEST, Line

WIDTH = 19
NAMES = tuple(f"input_{place}" for place in range(WIDTH))


def random_inputs(seed: int, rows: int, missing: float = 0.2) -> Floats:
    random = np.random.default_rng(seed)
    inputs = random.normal(0, [10.0 ** (place % 5 - 2) for place in range(WIDTH)], (rows, WIDTH))
    inputs[random.random(inputs.shape) < missing] = np.nan
    return inputs


def a_line() -> Line:
    random = np.random.default_rng(3)
    return Line(
        *(random.normal(size=WIDTH) for _ in range(2)), random.uniform(0.1, 9, WIDTH), random.normal(size=WIDTH), -0.3
    )


def trees() -> Trees:
    """Grown on what the first two inputs say, twelve of twenty of them used."""
    inputs = random_inputs(5, 400)
    told = np.nan_to_num(inputs[:, 0] / 0.01) + np.nan_to_num(inputs[:, 1] / 0.1)
    happened = (np.random.default_rng(6).random(400) < expit(told)).astype(float)
    rows = xgboost.DMatrix(inputs, happened, feature_names=list(NAMES))
    options = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.3, "seed": 1, "nthread": 1}
    return Trees(xgboost.train(options, rows, 20), 12)


CLASSIFIERS: dict[str, Classifier] = {"base_rate": Constant(-0.7), "logistic_regression": a_line(), "trees": trees()}
MODELS = {
    name: EventModel(
        "daily_5d_1atr",
        name,
        "inputs",
        NAMES,
        {"continuation": Calibrated(one, 0.8, -0.1), "exhaustion": Calibrated(one, 1.3, 0.7)},
    )
    for name, one in CLASSIFIERS.items()
}


def as_given(row: Floats) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else float(value) for name, value in zip(NAMES, row, strict=True)}


@pytest.mark.parametrize("name", MODELS)
@hypothesis_settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 300), by_column=st.booleans())
def test_an_event_alone_is_told_to_the_bit_what_it_is_told_among_others(
    name: str, seed: int, rows: int, by_column: bool
) -> None:
    """Whatever the size of the batch, and however it lies in memory: pandas has columns one after the other."""
    model = MODELS[name]
    inputs = random_inputs(seed, rows)
    together = model.probabilities(np.asfortranarray(inputs) if by_column else inputs)
    for place in {0, rows // 2, rows - 1}:
        alone = model.score(as_given(inputs[place]))
        assert alone == {target: found[place] for target, found in together.items()}
    assert all(((found > 0) & (found < 1)).all() and found.shape == (rows,) for found in together.values())


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_was_pickled_says_the_same(name: str) -> None:
    inputs = random_inputs(8, 50)
    again = pickle.loads(pickle.dumps(MODELS[name]))
    for target, found in MODELS[name].probabilities(inputs).items():
        assert (again.probabilities(inputs)[target] == found).all()


def test_each_target_has_its_own_line_over_the_log_odds() -> None:
    inputs = random_inputs(9, 30)
    for model in MODELS.values():
        margins = CLASSIFIERS[model.algorithm].margins(inputs)
        found = model.probabilities(inputs)
        assert found["continuation"] == pytest.approx(1 / (1 + np.exp(-(0.8 * margins - 0.1))))
        assert found["exhaustion"] == pytest.approx(1 / (1 + np.exp(-(1.3 * margins + 0.7))))


def test_an_input_that_is_not_given_is_refused_and_others_are_ignored() -> None:
    given_ = as_given(random_inputs(1, 1)[0])
    model = MODELS["trees"]
    assert model.score({**given_, "more": 1.0}) == model.score(dict(reversed(given_.items())))
    del given_[NAMES[4]]
    with pytest.raises(KeyError, match="input_4"):
        model.score(given_)


def test_contributions_of_trees_add_up_to_their_log_odds() -> None:
    grown = CLASSIFIERS["trees"]
    inputs = random_inputs(11, 200)
    contributions, margins = grown.contributions(inputs), grown.margins(inputs)
    assert contributions.shape == inputs.shape
    # What is left is the same for every row: the bias.
    rest = margins - contributions.sum(axis=1)
    assert np.ptp(rest) < 1e-5
    assert np.ptp(margins) > 1
    importance = abs(contributions).mean(axis=0)
    assert set(np.argsort(importance)[-2:]) == {0, 1}


def test_only_the_first_trees_speak() -> None:
    grown = trees()
    inputs = random_inputs(12, 50)
    rows = xgboost.DMatrix(inputs, feature_names=list(NAMES))
    first = grown.booster[:12].predict(rows, output_margin=True)
    assert grown.margins(inputs) == pytest.approx(first, abs=1e-6)
    assert not np.allclose(first, grown.booster.predict(rows, output_margin=True))
    assert grown.contributions(inputs) == pytest.approx(
        grown.booster[:12].predict(rows, pred_contribs=True)[:, :-1], abs=1e-5
    )


def test_a_line_by_hand() -> None:
    line = Line(
        median=np.array([2.0, 0.0]),
        mean=np.array([1.0, 10.0]),
        deviation=np.array([0.5, 4.0]),
        weights=np.array([1.0, -0.25]),
        intercept=0.5,
    )
    # (1.5 − 1)/0.5 = 1 and (18 − 10)/4 = 2; what is not known is the median: (2 − 1)/0.5 = 2; and 99 is too far: it counts 5.
    inputs = np.array([[1.5, 18.0], [np.nan, 10.0], [99.0, -999.0]])
    assert FURTHEST == 5
    assert line.contributions(inputs).tolist() == [[1.0, -0.5], [2.0, 0.0], [5.0, 1.25]]
    assert line.margins(inputs).tolist() == [1.0, 2.5, 6.75]


def test_contributions_of_a_line_add_up_and_the_base_rate_has_none() -> None:
    inputs = random_inputs(13, 80)
    line, constant = a_line(), Constant(float(logit(0.3)))
    assert line.contributions(inputs).sum(axis=1) + line.intercept == pytest.approx(line.margins(inputs), rel=1e-12)
    assert not constant.contributions(inputs).any()
    assert constant.contributions(inputs).shape == inputs.shape
    assert Calibrated(constant, 1.0, 0.0).probability(inputs) == pytest.approx(np.full(80, 0.3))


@dataclass(frozen=True)
class Told:
    """The first input is the log odds."""

    def margins(self, inputs: Floats) -> Floats:
        return inputs[:, 0]

    def contributions(self, inputs: Floats) -> Floats:
        return inputs


def planted(slope: float, intercept: float, rows: int = 20_000, seed: int = 1) -> tuple[Floats, Floats]:
    """Margins and what came of them, by a line of the log odds."""
    random = np.random.default_rng(seed)
    margins = random.normal(0.4, 1.5, (rows, 1))
    return margins, (random.random(rows) < expit(slope * margins[:, 0] + intercept)).astype(float)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, -0.8), (2.5, 1.5), (0.05, -2.0)])
def test_calibration_finds_the_line_that_was_planted(slope: float, intercept: float) -> None:
    margins, happened = planted(slope, intercept)
    found = calibrated(Told(), margins, happened)
    # Their standard errors are 0.02 to 0.07.
    assert (found.slope, found.intercept) == pytest.approx((slope, intercept), abs=0.15)
    assert found.probability(margins).mean() == pytest.approx(happened.mean(), abs=1e-3)


def test_who_ranks_the_wrong_way_round_says_the_share_that_came() -> None:
    margins, happened = planted(-1.0, 0.5, rows=2_000)
    found = calibrated(Told(), margins, happened)
    assert found.slope == 0
    assert found.probability(margins) == pytest.approx(np.full(2_000, happened.mean()))


def test_margins_that_are_all_the_same_say_the_share_that_came() -> None:
    found = calibrated(Told(), np.full((10, 1), 3.0), np.array([1.0] * 3 + [0.0] * 7))
    assert (found.slope, found.intercept) == (0, pytest.approx(logit(0.3)))


def test_rows_that_can_be_told_apart_without_error_leave_the_line_finite() -> None:
    margins = np.linspace(-1e-3, 1e-3, 40)[:, None]
    found = calibrated(Told(), margins, (margins[:, 0] > 0).astype(float))
    probability = found.probability(margins)
    assert np.isfinite([found.slope, found.intercept]).all()
    assert (np.diff(probability) > 0).all()
    assert 0.9 < probability[-1] < 1
