"""Networks that read sequences and say how likely each target is: a GRU and a Transformer. Needs the extra `sequence`."""

from typing import Any

import torch
from torch import Tensor, nn


class GatedRecurrent(nn.Module):
    """A gated recurrent unit (Cho et al. 2014); what it holds after the last step is the latent representation."""

    def __init__(self, channels: int, steps: int, targets: int, options: dict[str, Any]) -> None:
        super().__init__()
        hidden, layers = int(options["hidden"]), int(options["layers"])
        dropout = float(options["dropout"])
        self.recurrent = nn.GRU(channels, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, targets)

    def latent(self, sequences: Tensor) -> Tensor:
        """Events × hidden, of events × steps × channels."""
        _, last = self.recurrent(sequences)
        return last[-1]

    def forward(self, sequences: Tensor) -> Tensor:
        """Log odds: events × targets."""
        return self.head(self.dropout(self.latent(sequences)))


class TemporalTransformer(nn.Module):
    """An encoder (Vaswani et al. 2017) whose steps know their place; the mean over the steps is the latent representation."""

    def __init__(self, channels: int, steps: int, targets: int, options: dict[str, Any]) -> None:
        super().__init__()
        hidden, dropout = int(options["hidden"]), float(options["dropout"])
        self.step = nn.Linear(channels, hidden)
        self.place = nn.Parameter(torch.randn(steps, hidden) * 0.1)
        layer = nn.TransformerEncoderLayer(
            hidden, int(options["heads"]), 2 * hidden, dropout, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, int(options["layers"]), enable_nested_tensor=False)
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, targets)

    def latent(self, sequences: Tensor) -> Tensor:
        """Events × hidden, of events × steps × channels."""
        return self.norm(self.encoder(self.step(sequences) + self.place).mean(dim=1))

    def forward(self, sequences: Tensor) -> Tensor:
        """Log odds: events × targets."""
        return self.head(self.latent(sequences))


NETWORKS: dict[str, type[GatedRecurrent] | type[TemporalTransformer]] = {
    "gru": GatedRecurrent,
    "transformer": TemporalTransformer,
}
