"""How the layers of the released proposal heads start."""

from __future__ import annotations

from torch import nn


def initialize(conv: nn.Conv2d) -> None:
    """Weights from a normal distribution of standard deviation 0.01, biases 0, in place."""
    nn.init.normal_(conv.weight, std=0.01)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
