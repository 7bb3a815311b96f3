"""The first thing to beat: the share of the past, said of every event."""

from dataclasses import dataclass

import numpy as np

from smallcaps.config.settings import ModelSettings
from smallcaps.models.event_model import Calibrated, Floats
from smallcaps.models.past import Past


@dataclass(frozen=True)
class Constant:
    """The same log odds for every row."""

    margin: float

    def margins(self, inputs: Floats) -> Floats:
        """See Classifier."""
        return np.full(len(inputs), self.margin)

    def contributions(self, inputs: Floats) -> Floats:
        """See Classifier."""
        return np.zeros_like(inputs)


def fit(past: Past, settings: ModelSettings) -> dict[str, Calibrated]:
    """The base rate of each target."""
    return {
        target: Calibrated(Constant(float(np.log(rate / (1 - rate)))), 1.0, 0.0)
        for target, rate in past.base_rates.items()
    }
