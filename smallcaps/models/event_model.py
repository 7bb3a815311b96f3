"""A model of events: inputs in, calibrated probabilities out, the same for one event and for a million."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

Floats = npt.NDArray[np.float64]


class Classifier(Protocol):
    """What an algorithm learns for one target. Each row's answer depends on that row alone."""

    def margins(self, inputs: Floats) -> Floats:
        """Log odds, not yet calibrated, of rows of inputs (rows × inputs, NaN where not known)."""
        ...

    def contributions(self, inputs: Floats) -> Floats:
        """What each input adds to the log odds of each row (rows × inputs): SHAP values."""
        ...


class Representing(Classifier, Protocol):
    """A classifier that makes a point of what it reads: of sequences."""

    def latent(self, inputs: Floats) -> Floats:
        """Rows × dimensions."""
        ...


@dataclass(frozen=True)
class Calibrated:
    """A classifier and the line that turns its log odds into those of a probability (Platt 1999)."""

    classifier: Classifier
    slope: float
    intercept: float

    def probability(self, inputs: Floats) -> Floats:
        """Of rows of inputs."""
        return np.asarray(expit(self.slope * self.classifier.margins(inputs) + self.intercept))


def calibrated(classifier: Classifier, inputs: Floats, happened: Floats) -> Calibrated:
    """The classifier with the line that fits rows it has not seen, of both classes. A classifier that ranks these the wrong way
    round gets a slope of 0: it says their share. Each row counts once, as it will when it is measured.
    """
    margins = classifier.margins(inputs)
    spread = float(np.std(margins))
    share = float(np.mean(happened))
    flat = Calibrated(classifier, 0.0, float(np.log(share / (1 - share))))
    if spread == 0:
        return flat
    # Nearly without a penalty, on margins of spread 1: what little there is keeps separable rows finite.
    fitted = LogisticRegression(C=10.0).fit((margins / spread)[:, None], happened)
    slope = float(fitted.coef_[0, 0]) / spread
    return Calibrated(classifier, slope, float(fitted.intercept_[0])) if slope > 0 else flat


@dataclass(frozen=True)
class EventModel:
    """The calibrated classifiers of one problem, one a target; `algorithm` made them. `reads`: the column of gold.dataset_rows
    whose values are its inputs.
    """

    problem: str
    algorithm: str
    reads: Literal["inputs", "sequence"]
    input_names: tuple[str, ...]
    targets: Mapping[str, Calibrated]

    def probabilities(self, inputs: Floats) -> dict[str, Floats]:
        """Each target's probability of rows of inputs, in the order of input_names, NaN where not known."""
        # Columns that lie one after the other, as pandas has them, would be added up in another order: not to the same bit.
        rows = np.ascontiguousarray(inputs)
        return {target: one.probability(rows) for target, one in self.targets.items()}

    def contributions(self, target: str, inputs: Floats) -> Floats:
        """What each input adds to the log odds of `target`, calibrated, of each of the rows (rows × inputs)."""
        one = self.targets[target]
        return one.slope * one.classifier.contributions(np.ascontiguousarray(inputs))

    def latent(self, inputs: Floats) -> Floats:
        """The latent representation of rows of inputs (rows × dimensions), of a model that reads sequences."""
        return cast(Representing, next(iter(self.targets.values())).classifier).latent(inputs)

    def score(self, values: Mapping[str, float | None]) -> dict[str, float]:
        """The probabilities of one event. Raises KeyError for an input that is not given; None: not known."""
        row = np.array([[np.nan if (value := values[name]) is None else value for name in self.input_names]])
        return {target: float(found[0]) for target, found in self.probabilities(row).items()}
