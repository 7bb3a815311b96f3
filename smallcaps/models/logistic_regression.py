"""A line in the log odds: what can be had of the inputs one by one."""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from smallcaps.config.settings import ModelSettings
from smallcaps.models.event_model import Calibrated, Floats, calibrated
from smallcaps.models.past import FIT, HELD_OUT, Past, row_weights

MOST_ROWS = 200_000
"""It is fitted in the driver, on so many rows of the past at most, drawn by event_id."""
FURTHEST = 5.0
"""Standard deviations from the mean beyond which an input counts no further."""


@dataclass(frozen=True)
class Line:
    """Standard inputs (the median where not known), weighted and added up."""

    median: Floats
    mean: Floats
    deviation: Floats
    weights: Floats
    intercept: float

    def margins(self, inputs: Floats) -> Floats:
        """See Classifier."""
        return np.asarray(self.contributions(inputs).sum(axis=1) + self.intercept)

    def contributions(self, inputs: Floats) -> Floats:
        """See Classifier."""
        return np.asarray(_standard(inputs, self.median, self.mean, self.deviation) * self.weights)


def fit(past: Past, settings: ModelSettings) -> dict[str, Calibrated]:
    """A line for each target, on all of the past; calibrated by one that was fitted without what is held out."""
    frame = past.sample(MOST_ROWS)
    inputs = frame[list(past.names)].to_numpy(dtype=np.float64)
    fitted_on, held_out = (frame["part"] == FIT).to_numpy(), (frame["part"] == HELD_OUT).to_numpy()
    found = {}
    for target in past.targets:
        happened = frame[target].to_numpy(dtype=np.float64)
        unique = frame["uniqueness"].to_numpy(dtype=np.float64)
        weight = row_weights(unique, happened, past.class_weights[target])
        trial = _line(inputs[fitted_on], happened[fitted_on], weight[fitted_on], settings)
        scale = calibrated(trial, inputs[held_out], happened[held_out])
        found[target] = Calibrated(_line(inputs, happened, weight, settings), scale.slope, scale.intercept)
    return found


def _line(inputs: Floats, happened: Floats, weight: Floats, settings: ModelSettings) -> Line:
    known = ~np.isnan(inputs)
    # An input that was never known has no median: it counts for nothing.
    median = np.array(
        [np.median(column[there]) if there.any() else 0.0 for column, there in zip(inputs.T, known.T, strict=True)]
    )
    filled = np.where(known, inputs, median)
    mean, deviation = filled.mean(axis=0), filled.std(axis=0)
    deviation[deviation == 0] = 1.0
    standard = _standard(inputs, median, mean, deviation)
    fitted = LogisticRegression(**settings.logistic_regression).fit(standard, happened, sample_weight=weight)
    return Line(median, mean, deviation, fitted.coef_[0], float(fitted.intercept_[0]))


def _standard(inputs: Floats, median: Floats, mean: Floats, deviation: Floats) -> Floats:
    filled = np.where(np.isnan(inputs), median, inputs)
    return np.asarray(np.clip((filled - mean) / deviation, -FURTHEST, FURTHEST))
