"""A trained network as an algorithm's classifiers: one for each target. Needs the extra `sequence`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from smallcaps.models.event_model import Floats
from smallcaps.models.networks import NETWORKS, GatedRecurrent, TemporalTransformer

AT_A_TIME = 1024
"""Events that go through the network together."""
DECIMALS = 6
"""Log odds are rounded to so many: how events are put together may change the last bits of a sum, not these."""
PATH_STEPS = 16
"""Points on the way from the mean sequence to an event's at which gradients are taken."""


class Network:
    """Weights of a network of NETWORKS and the scale of its channels (mean and deviation over the past it was fitted on)."""

    def __init__(
        self,
        kind: str,
        options: dict[str, Any],
        targets: tuple[str, ...],
        weights: dict[str, npt.NDArray[Any]],
        mean: Floats,
        deviation: Floats,
        steps: int,
    ) -> None:
        self.kind, self.options, self.targets = kind, options, targets
        self.weights, self.mean, self.deviation, self.steps = weights, mean, deviation, steps
        self._module: GatedRecurrent | TemporalTransformer | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_module": None}

    @property
    def module(self) -> GatedRecurrent | TemporalTransformer:
        """The network itself, in double precision, made of the weights when first needed."""
        if self._module is None:
            module = NETWORKS[self.kind](len(self.mean), self.steps, len(self.targets), self.options).double()
            module.load_state_dict({name: torch.from_numpy(value).double() for name, value in self.weights.items()})
            self._module = module.eval()
        return self._module

    def standard(self, sequences: Floats) -> torch.Tensor:
        """Events × steps × channels in deviations from the mean, 0 where not known, of flat sequences."""
        return torch.from_numpy(standard(sequences, self.mean, self.deviation, self.steps))

    def margins(self, sequences: Floats) -> Floats:
        """Log odds: events × targets."""
        return np.round(self._through(sequences, self.module), DECIMALS)

    def latent(self, sequences: Floats) -> Floats:
        """The latent representation: events × hidden."""
        return self._through(sequences, self.module.latent)

    def _through(self, sequences: Floats, part: Any) -> Floats:
        with torch.inference_mode():
            parts = [
                part(self.standard(sequences[first : first + AT_A_TIME])).numpy()
                for first in range(0, len(sequences), AT_A_TIME)
            ]
        return np.concatenate(parts)

    def contributions(self, sequences: Floats, target: int) -> Floats:
        """Integrated gradients (Sundararajan et al. 2017) from the mean sequence: events × (steps × channels), log odds."""
        whole = self.standard(sequences)
        summed = torch.zeros_like(whole)
        for step in range(PATH_STEPS):
            point = (whole * ((step + 0.5) / PATH_STEPS)).requires_grad_(True)
            (slope,) = torch.autograd.grad(self.module(point)[:, target].sum(), point)
            summed += slope
        return np.asarray((whole * summed / PATH_STEPS).reshape(len(sequences), -1).numpy())


@dataclass(frozen=True)
class Head:
    """What a network says of one target."""

    network: Network
    target: int

    def margins(self, inputs: Floats) -> Floats:
        """See Classifier."""
        return self.network.margins(inputs)[:, self.target]

    def contributions(self, inputs: Floats) -> Floats:
        """See Classifier."""
        return self.network.contributions(inputs, self.target)

    def latent(self, inputs: Floats) -> Floats:
        """See Representing."""
        return self.network.latent(inputs)


def standard(sequences: Floats, mean: Floats, deviation: Floats, steps: int) -> Floats:
    """Flat sequences as events × steps × channels in deviations from the mean, 0 where not known."""
    shaped = sequences.reshape(len(sequences), steps, len(mean))
    return np.nan_to_num((shaped - mean) / deviation, nan=0.0)
